"""Log lines of our processes: structlog on standard error, for people or as JSON.

A line says what happened, to which stream and position, and why (`schemas.incident`): never a payload, never a secret.
Of an exception that a library logs, only the same is kept.
"""

from __future__ import annotations

import logging
import sys

import structlog

from holonstream.schemas.incident import incident


def configure(level: str, form: str) -> None:
    """Set up logging for this process. `level` is a name of logging, `form` is ``console`` or ``json``."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Libraries log through the standard library. Only their warnings and errors are kept.
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_values)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


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
