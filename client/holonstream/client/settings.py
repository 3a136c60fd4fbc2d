"""Settings: environment variables with the prefix ``HOLONSTREAM_``, checked together.

`ClientSettings` holds what a client needs; the operator's processes add theirs (`ops.settings`). A secret may also come
from a file: ``HOLONSTREAM_POSTGRES_PASSWORD_FILE`` names one whose content, without the line end at its end, is the
password, as Docker and Kubernetes provide secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from psycopg.conninfo import make_conninfo

from holonstream.producers.log.postgres import NO_DSN, check_dsn
from holonstream.schemas import duration
from holonstream.schemas.errors import BadData, HolonstreamError
from holonstream.schemas.names import events_topic
from holonstream.sinks.cache.address import check_address

PREFIX = "HOLONSTREAM_"
BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # besides true, false, 1 and 0
SHOWN = 80  # characters of a wrong value that an error quotes
DURATION = object()
"""marks a setting that may be written as ``30s``"""


class InvalidSettings(HolonstreamError):
    """The environment does not describe a pipeline; the message names every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("Invalid settings: " + "; ".join(faults))
        self.faults = list(faults)
        """one line for each"""


class Secret:
    """A text that is shown nowhere by accident; `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def _check_dsn(dsn: Secret) -> None:
    try:
        check_dsn(dsn.reveal())
    except BadData:
        raise ValueError(NO_DSN) from None


def _check_url(schemes: tuple[str, ...], url: str) -> None:
    try:
        parts = urlsplit(url)
        readable = parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
        readable = readable and "@" not in parts.path + parts.query + parts.fragment  # the end of a password with "/?#"
    except ValueError:  # whose text quotes the address
        readable = False
    if not readable:
        raise ValueError(f"is no address {' or '.join(f'{scheme}://' for scheme in schemes)}host:port")


def _check_redis(url: Secret) -> None:
    check_address(url.reveal())


def check_neo4j(uri: str) -> None:
    """Raise ValueError when it is no address of a Neo4j."""
    _check_url(("bolt", "neo4j", "bolt+s", "neo4j+s", "bolt+ssc", "neo4j+ssc"), uri)
    if "@" in uri:
        raise ValueError("must not hold a user or a password: use HOLONSTREAM_NEO4J_USER and _PASSWORD")


def check_file(path: Path | None) -> None:
    """Raise ValueError when there is no such file, or it may not be read."""
    if path is not None:
        _check_path(path.is_file, path, "file")


def _check_folder(path: Path | None) -> None:
    if path is not None:
        _check_path(path.is_dir, path, "folder")


def _check_path(exists: Callable[[], bool], path: Path, kind: str) -> None:
    try:
        if not exists():
            raise ValueError(f"is no {kind}")
    except OSError as error:  # a name that is too long, a loop of links
        raise ValueError(f"is no {kind}: {error.strerror}") from None
    if not os.access(path, os.R_OK):
        raise ValueError(f"is a {kind} that may not be read")


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the stores are, for a program that appends or reads. Times are seconds.

    From the environment: `load`; from any mapping of such variables: `of`, which checks the same.
    """

    postgres_dsn: Annotated[
        Secret,
        Meta(
            description="libpq connection string of the event log. TLS: `?sslmode=verify-full&sslrootcert=ca.pem`; a "
            "client certificate: `&sslcert=me.crt&sslkey=me.key`; several servers: `host-1,host-2`, of which the "
            "primary is taken."
        ),
        _check_dsn,
    ] = Secret("postgresql://postgres@127.0.0.1:5432/holonstream")
    postgres_password: Annotated[
        Secret | None, Meta(description="Password of the event log, when the connection string has none.")
    ] = None
    neo4j_uri: Annotated[
        str, Meta(description="Address of the graph; bolt+s:// or neo4j+s:// for TLS."), check_neo4j
    ] = "bolt://127.0.0.1:7687"
    neo4j_ca: Annotated[
        Path | None,
        Meta(description="File of the authorities (PEM) trusted for the graph; none means the system's."),
        check_file,
    ] = None
    neo4j_user: Annotated[str, Meta(description="User of the graph; used when there is a password.")] = "neo4j"
    neo4j_password: Annotated[
        Secret | None, Meta(description="Password of the graph; none means no authentication.")
    ] = None
    neo4j_database: Annotated[str, Meta(description="Database of the graph.")] = "neo4j"
    redis_url: Annotated[
        Secret,
        Meta(
            description="Address of the cache; rediss:// for TLS. Of its Sentinels: "
            "redis+sentinel://host:port,host:port/service, or rediss+sentinel://."
        ),
        _check_redis,
    ] = Secret("redis://127.0.0.1:6379/0")
    redis_password: Annotated[Secret | None, Meta(description="Password of the cache, when its address has none.")] = (
        None
    )
    redis_sentinel_password: Annotated[
        Secret | None, Meta(description="Password of the Sentinels, when they want one.")
    ] = None
    redis_ca: Annotated[
        Path | None,
        Meta(description="File of the authorities (PEM) trusted for the cache; none means the system's."),
        check_file,
    ] = None
    namespace: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]+\Z",
            extra={"allowed": "letters, digits, '.', '_' and '-'"},
            description="First part of the names of topics, groups and cache keys: pipelines can share servers.",
        ),
    ] = "holonstream"
    schemas: Annotated[
        Path | None,
        Meta(
            description="Folder of event schemas beside those that ship; with a catalogue.json in it, in place of them."
        ),
        _check_folder,
    ] = None
    value_ttl: Annotated[int, Meta(ge=1, description="Life of a cached value."), DURATION] = 3_600
    read_deadline: Annotated[
        float, Meta(gt=0, description="How long a read with a token waits for its view."), DURATION
    ] = 2.0

    traces: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the appends and reads that begin a trace when none is under way; 0 is off. Needs "
            "`pip install 'holonstream[otel]'` (docs/traces.md).",
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        """Take a text for a secret, as the environment gives it. Raises InvalidSettings."""
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if isinstance(value, str) and Secret in _kinds(field.type):
                try:
                    msgspec.structs.force_setattr(self, field.name, _convert(field.type, value))
                except ValueError as error:
                    raise InvalidSettings([f"{field.name}: {error}"]) from None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """The settings that these variables give; the process's own environment is not read.

        Raises InvalidSettings with every fault at once.
        """
        values, faults = _secrets_from_files(cls, environment)
        for field in msgspec.structs.fields(cls):
            variable = PREFIX + field.name.upper()
            text = environment.get(variable) or values.get(field.name)
            if not text:
                continue
            try:
                values[field.name] = _convert(field.type, text)
            except msgspec.ValidationError:
                faults.append(f"{variable}: {_quoted(field, text)} must be {_allowed(field.type)}")
            except ValueError as error:
                faults.append(f"{variable}: {_quoted(field, text)} {error}")
        settings = None if faults else cls(**values)
        if settings is not None:
            faults = settings.contradictions()
        if settings is None or faults:
            raise InvalidSettings(faults)
        return settings

    def contradictions(self) -> list[str]:
        """What is wrong with settings that are right one by one."""
        return []

    @classmethod
    def load(cls) -> Self:
        """The settings that the process's environment gives. Raises InvalidSettings with every fault at once."""
        return cls.of(os.environ)

    @classmethod
    def secrets(cls) -> list[str]:
        """The settings that a file may hold."""
        return [field.name for field in msgspec.structs.fields(cls) if Secret in _kinds(field.type)]

    @property
    def log_dsn(self) -> str:
        """libpq connection string of the event log, with its password: a secret. Raises BadData when it is none."""
        dsn, password = self.postgres_dsn.reveal(), self.postgres_password
        if password is None:
            return dsn
        check_dsn(dsn)  # the driver's error would quote it
        return make_conninfo(dsn, password=password.reveal())

    @property
    def topic(self) -> str:
        """The topic of events."""
        return events_topic(self.namespace)


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types of which a setting is one: ``Annotated[Secret | None, ...]`` gives Secret and NoneType."""
    kind = annotation.__origin__
    return getattr(kind, "__args__", (kind,))


def _convert(annotation: Any, text: str) -> Any:
    """A variable's text as a value of the setting's type, checked. Raises ValueError."""
    kinds = _kinds(annotation)
    if bool in kinds:
        text = BOOLEANS.get(text.lower(), text)
    if DURATION in annotation.__metadata__:
        text = duration.seconds(text)
    value = msgspec.convert(text, annotation, strict=False, dec_hook=lambda kind, text: kind(text))
    for check in annotation.__metadata__:
        if callable(check):
            check(value)
    return value


def _quoted(field: msgspec.structs.FieldInfo, text: str) -> str:
    """The value of a setting as an error may quote it."""
    if Secret in _kinds(field.type) or "@" in text:  # an address may hold a password
        return "***"
    return repr(text[:SHOWN])


def _allowed(annotation: Any) -> str:
    """What a setting may be, in words."""
    meta = next(part for part in annotation.__metadata__ if isinstance(part, Meta))
    if meta.extra is not None:
        return str(meta.extra["allowed"])
    kinds = _kinds(annotation)
    if bool in kinds:
        return "true or false"
    what = "a whole number" if int in kinds else "a number" if float in kinds else "text"
    if DURATION in annotation.__metadata__:
        what = f"{what} of seconds, or a duration like 30s or 5m"
    least = f"at least {meta.ge:g}" if meta.ge is not None else f"more than {meta.gt:g}" if meta.gt is not None else ""
    most = f"at most {meta.le:g}" if meta.le is not None else ""
    return ", ".join(filter(None, (what, least, most)))


def _secrets_from_files(cls: type[ClientSettings], environment: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The texts of secrets that files hold, by setting, and what is wrong with the others."""
    found: dict[str, Any] = {}
    faults = []
    for setting in cls.secrets():
        variable = PREFIX + setting.upper()
        file = environment.get(f"{variable}_FILE")
        if not file:
            continue
        if environment.get(variable):
            faults.append(f"{variable}_FILE: {variable} is set too")
            continue
        try:
            found[setting] = Path(file).read_text().removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{variable}_FILE: cannot read {file}: {getattr(error, 'strerror', None) or 'no text'}")
    return found, faults
