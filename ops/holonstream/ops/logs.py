"""Log lines of our processes: structlog on standard error, for people or as JSON.

A line says what happened, to which stream and position, and why (`schemas.incident`): never a payload, never a secret.
Of an exception that a library logs, only the same is kept.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TextIO

import structlog

from holonstream.ops.output import printable
from holonstream.schemas import tracing
from holonstream.schemas.incident import incident

REPEAT_INTERVAL = 30.0  # seconds until a library's line is logged once more
REMEMBERED = 1_000  # lines


class Repetitions:
    """Lets a line of a library pass once per REPEAT_INTERVAL, whatever exceptions it names.

    A client whose server is down says so with every attempt, some fifty times a second.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logged: dict[tuple[object, ...], float] = {}

    def is_due(self, record: logging.LogRecord) -> bool:
        """Whether the line was not logged lately."""
        arguments: tuple[object, ...] = record.args if isinstance(record.args, tuple) else (record.args,)
        if record.exc_info:
            arguments = (*arguments, record.exc_info[1])
        kinds = (type(part).__name__ if isinstance(part, BaseException) else str(part) for part in arguments)
        line, now = (record.name, record.levelno, str(record.msg), *kinds), self._clock()
        if now - self._logged.get(line, float("-inf")) < REPEAT_INTERVAL:
            return False
        if len(self._logged) >= REMEMBERED:
            self._logged.clear()
        self._logged[line] = now
        return True


class LogStream:
    """Where log lines go. A line that cannot be written, since the disk is full or the reader has gone, is left out: no
    process ends for that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, if that is possible."""
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(level: str, form: str) -> None:
    """Set up logging for this process. `level` is a name of logging, `form` is ``console`` or ``json``."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _with_trace_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[structlog.typing.Processor]
    stream = None if sys.stderr is None else LogStream(sys.stderr)
    if form == "json":
        rendering = [structlog.processors.JSONRenderer()]
    else:
        terminal = sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        rendering = [_printable, structlog.dev.ConsoleRenderer(colors=terminal)]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(stream),  # type: ignore[arg-type]
    )
    # Libraries log through the standard library. Only their warnings and errors are kept.
    handler = logging.StreamHandler(stream)
    handler.addFilter(Repetitions().is_due)
    handler.addFilter(_without_values)
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[meta, *rendering], foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def warn(event: str, **values: str) -> None:
    """A warning of a module that does not import structlog, which is slow."""
    structlog.get_logger(__name__).warning(event, **values)


def _with_trace_id(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    found = tracing.trace_id()
    return event if found is None else {**event, "trace_id": found}


def _printable(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Texts as a terminal may be sent them; the renderer shows other values as Python writes them."""
    return {printable(key): printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _without_values(record: logging.LogRecord) -> bool:
    """Replace each exception that a library logs by what may be logged of it."""
    if record.exc_info and record.exc_info[1] is not None:
        known = incident(record.exc_info[1])
        record.exc_info = record.exc_text = None
        record.msg, record.args = f"{record.name}: {known['cause']} ({known['reason']})", ()
    elif isinstance(record.args, tuple):
        record.args = tuple(_without_value(argument) for argument in record.args)
    return True


def _without_value(argument: object) -> object:
    return " ".join(incident(argument).values()) if isinstance(argument, BaseException) else argument
