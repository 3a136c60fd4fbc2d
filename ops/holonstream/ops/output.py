"""What commands print: lines, tables and JSON documents. No other module of ``ops`` or ``demo`` writes to a terminal.

Ids, actors, reasons and errors come from others, and a terminal obeys what it is sent. So a line is one line, whatever
its text holds, and what is not printable is shown as its escape, like ``\\x1b``. JSON escapes by its own rules.
"""

from __future__ import annotations

import codecs
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from holonstream.schemas.errors import HolonstreamError

if TYPE_CHECKING:
    from holonstream.schemas.state import State


class OutputClosed(Exception):
    """The reader of standard output has gone, as `head` does when it has enough."""


class OutputFailed(HolonstreamError):
    """Standard output cannot be written."""


def printable(text: object) -> str:
    """The text as one line that a terminal shows and does not obey.

    Control characters, line ends, marks that change the direction of writing and characters without a width become
    escapes.
    """
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number and what it counts, ``1 stream`` or ``1,234 streams``; `plural` where an s does not do."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def say(text: object = "", *, err: bool = False) -> None:
    """Print one line; on standard error with `err`."""
    _write(printable(text) + "\n", err=err)


def say_progress(text: object, *, err: bool = False) -> None:
    """Print a line of progress: on a terminal over the one before, elsewhere below it."""
    global _unfinished
    if not _is_terminal(err=err):
        say(text, err=err)
        return
    if _unfinished != err:
        _finish_line()
    line = printable(text)[: shutil.get_terminal_size().columns - 1]
    _unfinished = err
    _echo(f"\r{line}\x1b[K", err=err)


def progress_interval(elsewhere: float, *, err: bool = False) -> float:
    """Seconds between two lines of progress: few on a terminal, where they take no room, `elsewhere` else."""
    return 0.25 if _is_terminal(err=err) else elsewhere


def print_text(text: str) -> None:
    """Print a page of our own, as it is: it must hold nothing that others gave."""
    _write(text)


def print_json(document: Any) -> None:
    """Print a JSON document."""
    _write(_json(document, indent=2) + "\n")


def print_json_line(document: Any) -> None:
    """Print a JSON document on one line."""
    _write(_json(document) + "\n")


def print_graph(states: Iterable[State]) -> None:
    """Print the canonical JSON of some entities, sorted by id."""
    from holonstream.schemas.state import Holon, Relationship, canonical_graph

    states = list(states)
    holons = [state for state in states if isinstance(state, Holon)]
    relationships = [state for state in states if isinstance(state, Relationship)]
    _write(_json(canonical_graph(holons, relationships), indent=2, sort_keys=True) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table, with numbers aligned to the right.

    On a terminal long cells are folded to its width. Otherwise a row is one line, of any length.
    """
    if title:
        say(title)
    _write(table_text(columns, rows))


def table_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as text that can be printed."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        table.add_column(Text(printable(column)), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    terminal = _is_terminal()
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    # Twice: a character may take two places.
    console = Console(file=StringIO(), force_terminal=terminal, width=None if terminal else 2 * sum(widths) + 100)
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def redraw(interval: float, show: Callable[[], None], *, clears: bool = False, rounds: int = 0) -> None:
    """Show something every `interval` seconds, `rounds` times, or until Ctrl-C if that is 0.

    With `clears` at the same place of a terminal.
    """
    pause = threading.Event()
    for number in count(1):
        if clears and _is_terminal():
            click.clear()
        show()
        if number == rounds:
            return
        pause.wait(interval)


def flush() -> None:
    """Write what is buffered. Raises OutputClosed, OutputFailed."""
    _write("")


def release() -> None:
    """Give up on standard output, so that nothing is written when the process ends."""
    sys.stdout = StringIO()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(value)


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _is_terminal(*, err: bool = False) -> bool:
    stream = sys.stderr if err else sys.stdout
    return stream is not None and stream.isatty()


def _json(document: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    ascii_only = codecs.lookup(encoding).name != "utf-8"
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent, sort_keys=sort_keys)
    if _is_terminal() and not text.isprintable():  # between line ends it holds C1 and other characters as they are
        return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text


_unfinished: bool | None = None
"""where the last line of progress waits for the next one: True on standard error, None nowhere"""


def _finish_line() -> None:
    """Leave the last line of progress as it is, and continue below it."""
    global _unfinished
    if _unfinished is not None:
        err, _unfinished = _unfinished, None
        _echo("\n", err=err)


def _write(text: str, *, err: bool = False) -> None:
    _finish_line()
    _echo(text, err=err)


def _echo(text: str, *, err: bool) -> None:
    """The only place that writes. Raises OutputClosed, OutputFailed; errors of standard error are ignored."""
    try:
        click.echo(text, nl=False, err=err)
    except BrokenPipeError:
        if not err:
            raise OutputClosed from None
    except OSError as error:
        if not err:
            raise OutputFailed(f"Standard output cannot be written: {error.strerror}") from error
