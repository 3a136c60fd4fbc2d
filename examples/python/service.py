"""A FastAPI service that appends in its own transaction, and lets its callers read what they have just written.

A write returns a token in the header ``Holonstream-Token``; a read that carries it waits until it shows the write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

from holonstream.client import (
    Client,
    ClientSettings,
    HolonstreamError,
    InvalidEvent,
    InvalidToken,
    NotYetVisible,
    Unavailable,
    WrongExpectedVersion,
    append_in_async,
)
from holonstream.client.events import PersonCreated

TOKEN = "Holonstream-Token"
STATUS: dict[type[HolonstreamError], int] = {
    WrongExpectedVersion: 409,  # somebody else was first
    InvalidEvent: 422,
    InvalidToken: 400,
    NotYetVisible: 503,  # the graph lags; the caller tries again
    Unavailable: 503,  # a server is down, or the transaction met another: the caller tries again
}


class Person(BaseModel):
    """What a caller sends."""

    name: str


class Service:
    """What the requests share: connections for the service's own tables, and a client for the graph."""

    def __init__(self, pool: AsyncConnectionPool, client: Client) -> None:
        self.pool, self.client = pool, client


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the requests share."""
    settings = ClientSettings.load()
    async with AsyncConnectionPool(settings.log_dsn, open=False) as pool, Client.from_settings(settings) as client:
        async with pool.connection() as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS people (id text PRIMARY KEY, name text NOT NULL)")
        app.state.service = Service(pool, client)
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/people/{person_id}", status_code=201)
async def hire(person_id: str, person: Person, request: Request, response: Response) -> None:
    """Hire a person: a row of our own table and an event of the log, or neither."""
    service: Service = request.app.state.service
    hired = PersonCreated(
        subject=person_id,
        name=person.name,
        occurred_at=datetime.now(UTC).isoformat(),
        actor="hr-desk",
        source_system="hr",
    )
    async with service.pool.connection() as connection:  # a transaction: the end of the block commits
        (appended,) = await append_in_async(connection, [hired], expected={f"holon/{person_id}": 0})
        await connection.execute("INSERT INTO people VALUES (%s, %s)", [person_id, person.name])
    response.headers[TOKEN] = str(appended.token)


@app.get("/people/{person_id}")
async def person(
    person_id: str, request: Request, token: Annotated[str | None, Header(alias=TOKEN)] = None
) -> dict[str, Any]:
    """A person as the graph has them; with a token, as new as what it was returned for."""
    service: Service = request.app.state.service
    holon = await service.client.get_holon(person_id, at_least=token, deadline=10)
    if holon is None:
        raise HTTPException(404)
    return {"id": holon.id, "version": holon.version, **holon.properties}


@app.exception_handler(HolonstreamError)
async def refuse(_: Request, error: HolonstreamError) -> JSONResponse:
    """An error of holonstream as an HTTP status."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"detail": str(error)}, status, headers={"Retry-After": "1"} if status == 503 else None)
