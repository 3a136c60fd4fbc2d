"""What is printed: text of others shows what it holds, and does nothing to a terminal."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import structlog

from holonstream.ops import logs, output

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "[/x]", "[bold red]", "[link=http://x]y[/link]", "\x1b[2J", "\x9b31m", "\x9d0;t\x07", "a\nforged line", "a\rb",
    "\u202egnp.exe", "\u2066a\u2069", "\u200bzero", "a\u2028b\u2029c", "\x00", "\x7f", "\ud800", "\t", "\ufeff",
]  # fmt: skip


class Terminal(io.StringIO):
    """Standard output that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("text", HOSTILE)
def test_a_line_is_one_line_that_is_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.say(f"before {text} after")
    output.say(f"before {text} after", err=True)
    printed = capsys.readouterr()
    assert printed.out == printed.err
    assert printed.out.endswith("\n")
    line = printed.out[:-1]
    assert line.isprintable()
    assert line.startswith("before ")
    assert line.endswith(" after")


def test_what_is_printable_stays() -> None:
    for text in ("plain", "Ünïcode 漢字 \U0001f600", "[x] \\n", "e\u0301"):
        assert output.printable(text) == text
    assert output.printable("a\x1b\n\u202e") == r"a\x1b\n\u202e"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_table_has_a_line_for_each_row(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(f"title {text}", ["stream", text, "count"], [[text, "x" * 500, 1], ["y", text, 22]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)
    assert output.printable(text).strip() in lines[2]
    assert "x" * 500 in lines[2]
    assert lines[3].endswith(" 22")


def test_a_narrow_terminal_folds_cells_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = output.table_text(["stream", "reason"], [["holon/" + "a" * 60, "[/x] \x1b[0m"]])
    assert text.count("a") == 60 + 2  # and those of "stream" and "reason"
    assert "\x1b[1m" in text  # the header is bold
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in output.table_text(["stream"], [["\x1b[0m"]])


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_escaped_by_its_own_rules_and_at_a_terminal_by_more(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {text: [text]}
    if text != "\ud800":
        output.print_json(document)
        printed = capsys.readouterr().out
        assert printed == json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    output.print_json(document)
    output.print_json_line(document)
    shown = terminal.getvalue()
    assert shown.replace("\n", "").isprintable()
    whole, line = shown[: shown.index("\n}") + 3], shown[shown.index("\n}") + 3 :]
    assert json.loads(whole) == json.loads(line) == document


def test_json_is_ascii_where_the_output_knows_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="iso-8859-15", errors="backslashreplace"))
    output.print_json({"name": "漢é"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue().decode("ascii")) == {"name": "漢é"}


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("text", HOSTILE)
def test_log_lines_are_lines(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    structlog.get_logger("x").info("event.happened", stream=text, values=[text], **{text: "name"})
    logging.getLogger("library").warning("said %s", text)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    logs.configure("info", "json")
    structlog.get_logger("x").info("event.happened", stream=text)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["stream"] == text


class Disk(io.StringIO):
    """A stream to a disk that may be full."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(ENOSPC, "No space left on device")
        return super().write(text)


@pytest.mark.usefixtures("logging_restored")
@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_line_that_cannot_be_written_is_left_out(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    disk = Disk()
    monkeypatch.setattr(sys, "stderr", disk)
    logs.configure("info", form)
    for event in ("lost", "kept"):
        structlog.get_logger("x").info(event)
        logging.getLogger("library").warning("%s by a library", event)
        disk.full = False
    lines = disk.getvalue().splitlines()
    assert len(lines) == 2
    assert all("kept" in line for line in lines)


def test_a_library_repeats_a_line_after_a_while_only() -> None:
    now = 0.0
    repetitions = logs.Repetitions(lambda: now)

    def passes(message: str, *arguments: object, **extra: Any) -> bool:
        record = logging.LogRecord("library", logging.ERROR, "", 1, message, arguments, extra.get("exc_info"))
        return repetitions.is_due(record)

    assert passes("No node %s: %s", 1, OSError("refused, the first time"))
    assert not passes("No node %s: %s", 1, OSError("refused, once more"))
    assert passes("No node %s: %s", 2, OSError("another node"))
    assert passes("No node %s: %s", 1, KeyError("another error"))
    assert passes("Crashed", exc_info=(ValueError, ValueError(), None))
    assert passes("Crashed", exc_info=(KeyError, KeyError(), None))
    assert not passes("Crashed", exc_info=(KeyError, KeyError(), None))
    now = logs.REPEAT_INTERVAL
    assert passes("No node %s: %s", 1, OSError("refused"))
    assert not passes("No node %s: %s", 1, OSError("refused"))
    assert all(passes("line %s", number) for number in range(2 * logs.REMEMBERED))


def test_nothing_else_in_the_commands_writes_to_a_terminal() -> None:
    for folder in ("ops", "demo"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.name in ("output.py", "probe.py"):
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in {
                        "print",
                        "click.echo",
                        "click.secho",
                        "sys.stdout.write",
                        "sys.stderr.write",
                    }, f"{file}:{node.lineno} calls {called}"


def test_progress_is_a_line_each_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for done in ("1 of 2", "2 of 2"):
        output.say_progress(done, err=True)
    output.say("done")
    assert capsys.readouterr() == ("done\n", "1 of 2\n2 of 2\n")
    assert output.progress_interval(5.0, err=True) == 5.0


def test_progress_is_redrawn_at_a_terminal_and_the_last_line_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "20")
    for done in ("1 of 2", "2 of 2 \x1b[2J and more than fits"):
        output.say_progress(done)
    output.say("done")
    assert terminal.getvalue() == "\r1 of 2\x1b[K" + "\r2 of 2 \\x1b[2J and \x1b[K" + "\ndone\n"
    assert output.progress_interval(5.0) < 1.0
