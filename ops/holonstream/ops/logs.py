"""Log lines of the processes: structlog on standard error, for people or as JSON.

Ours say what happened, to which stream and position, and why (`schemas.incident`): never a payload, never a secret.
What libraries log of an exception is cut down to the same.
"""

from __future__ import annotations

import logging
import sys

import structlog

from holonstream.schemas.incident import incident


def configure(level: str, form: str) -> None:
    """Set up logging for this process; `level` as in logging, `form` is ``console`` or ``json``."""
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
    # Libraries log through the standard library; their chatter starts at warnings.
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_values)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _without_values(record: logging.LogRecord) -> bool:
    """Put what may be told of it in place of each exception that a library logs."""
    if record.exc_info and record.exc_info[1] is not None:
        told = incident(record.exc_info[1])
        record.exc_info = record.exc_text = None
        record.msg, record.args = f"{record.name}: {told['cause']} ({told['reason']})", ()
    elif isinstance(record.args, tuple):
        record.args = tuple(_told(argument) for argument in record.args)
    return True


def _told(argument: object) -> object:
    return " ".join(incident(argument).values()) if isinstance(argument, BaseException) else argument
