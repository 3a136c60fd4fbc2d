"""How commands end: exit codes, one line on standard error, streams that are closed, full or gone."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
import trustme
from msgspec.structs import replace

from holonstream.client.settings import InvalidSettings
from holonstream.ops import cli as command_line
from holonstream.ops import kafka
from holonstream.ops.cli import cli
from holonstream.ops.kafka import client
from holonstream.ops.settings import Settings
from holonstream.producers.errors import KafkaUnavailable, UnreadableEvents
from holonstream.schemas.errors import BadData, Unavailable
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("logging_restored")

HOLONSTREAM = [sys.executable, "-m", "holonstream"]
WRONG = {"HOLONSTREAM_PARTITIONS": "many", "HOLONSTREAM_POSTGRES_DSN": "nonsense", "HOLONSTREAM_SCHEMAS": "/nope"}


def run(*arguments: str, code: int, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*HOLONSTREAM, *arguments], env={**os.environ, **environment}, cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command that runs in this process."""
    monkeypatch.setattr(sys, "argv", ["holonstream", *arguments])
    return command_line.run()


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def callback(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands["fold"], "callback", callback)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadData("first\nsecond [/x] \x1b[1m"), 1, "error: first second [/x] \\x1b[1m"),
        (Unavailable("gone"), 3, "error: gone"),
        (click.UsageError("no \x1b"), 2, "error: no \\x1b"),
        (InvalidSettings(["HOLONSTREAM_X: is wrong"]), 2, "error: HOLONSTREAM_X: is wrong"),
        (UnreadableEvents({7: "no"}), 1, "error: Unreadable events in the log: 1: position 7, no"),
        (PermissionError(13, "Permission denied", "/p\x1b"), 1, "error: /p\\x1b: Permission denied"),
    ],
)
def test_exit_codes_tell_finding_usage_and_outage_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    raising(monkeypatch, error)
    assert ended(monkeypatch, "fold", __file__) == code
    assert capsys.readouterr().err.splitlines()[-1] == line


def test_a_login_that_cannot_be_is_one_line_for_each_fault() -> None:
    settings = Settings.of({"HOLONSTREAM_KAFKA_CERT": __file__, "HOLONSTREAM_KAFKA_MECHANISM": "AWS_MSK_IAM"})
    with pytest.raises(InvalidSettings) as raised:
        client(settings)
    assert raised.value.faults == [
        "HOLONSTREAM_KAFKA_CERT and HOLONSTREAM_KAFKA_KEY belong together",
        "HOLONSTREAM_KAFKA_CERT needs HOLONSTREAM_KAFKA_TLS",
        "HOLONSTREAM_KAFKA_MECHANISM=AWS_MSK_IAM needs HOLONSTREAM_KAFKA_TLS",
    ]


def test_files_that_hold_no_certificates_or_not_a_certificate_with_its_key_are_named(tmp_path: Path) -> None:
    """They raised librdkafka's error, as if by a bug."""
    authority = trustme.CA()
    ca, cert, key = tmp_path / "ca", tmp_path / "cert", tmp_path / "key"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("a.example").cert_chain_pems[0].write_to_path(cert)
    authority.issue_cert("b.example").private_key_pem.write_to_path(key)
    right = Settings(kafka_tls=True, kafka_ca=ca)
    assert client(right)["ssl.ca.location"] == str(ca)
    for wrong, named in (
        (replace(right, kafka_ca=key), "HOLONSTREAM_KAFKA_CA: .* has no certificates"),
        (
            replace(right, kafka_cert=cert, kafka_key=key),
            "KAFKA_KEY: .*cert' and .*key' are no certificate",
        ),
    ):
        with pytest.raises(InvalidSettings, match=named):
            client(wrong)


def test_a_bug_is_shown_whole_and_escaped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(monkeypatch, RuntimeError("a\x1b[2Jb"))
    assert ended(monkeypatch, "fold", __file__) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "RuntimeError: a\\x1b[2Jb"
    assert "Traceback" in lines[0]


def test_an_interrupted_command_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert ended(monkeypatch, "fold", __file__) == 130
    assert capsys.readouterr().err.strip() == ""


def _leaves(command: click.Command, path: str = "") -> dict[str, click.Command]:
    """Every command that does something, by its words."""
    if not isinstance(command, click.Group):
        return {path: command}
    return {
        words: leaf
        for name, child in command.commands.items()
        for words, leaf in _leaves(child, f"{path} {name}".strip()).items()
    }


def _options(command: click.Command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


# they run until they are stopped and print log lines, which are JSON with HOLONSTREAM_LOG_FORMAT=json; a show for eyes
NO_DOCUMENT = {"relay", "worker", "exporter", "console", "demo"}


def test_every_command_that_prints_has_a_form_for_programs() -> None:
    without = {name for name, command in _leaves(cli).items() if "--json" not in _options(command)}
    assert without == NO_DOCUMENT


def test_what_asks_before_it_acts_can_be_tried_without_effect() -> None:
    asking = {name: command for name, command in _leaves(cli).items() if "--yes" in _options(command)}
    assert {"dead-letters discard", "local down", "replay graph"} <= asking.keys()
    for name, command in asking.items():
        assert "--dry-run" in _options(command), name


WRONG_TEXT = {  # of each kind of argument that has a form
    "choice": ["no-such"],
    "duration": ["soon", "5 parsecs", "-1s", "99999999d"],
    "event": ["zzz", "-1", "9223372036854775808", "5a1c"],
    "instant": ["noon", "2024-13-01T00:00:00Z", "2024-02-30"],
    "integer": ["many", "1.5"],
    "integer range": ["many", "-1"],
    "name": ["1 x", "a/b"],
    "position": ["many", "-1", "9223372036854775808"],
    "stream": ["ada", "holon/", "organisation/ada"],
    "target": ["soon", "-1", "h1.", "h1.%%%", "h1.e30x", "9223372036854775808"],
    "uri": ["127.0.0.1", "http://127.0.0.1:7687", "bolt://user:secret@host"],
    "view": ["grpah", "sink-", "relay"],
}
ANY_TEXT = {"actor", "creates", "events_key", "note", "sink", "subjects", "to_database", "types"}
RIGHT_TEXT = {"choice": "graph", "event": "1", "integer range": "1", "name": "Thing", "stream": "holon/ada"}


def _words(parameter: click.Parameter, value: str) -> list[str]:
    return ["--", value] if isinstance(parameter, click.Argument) else [f"{parameter.opts[0]}={value}"]


def _wrong_values(parameter: click.Parameter) -> list[str]:
    """What a parameter must refuse before any server is asked."""
    if isinstance(parameter.type, click.Path):
        return ["/nonexistent/file"] if parameter.type.exists else []
    if getattr(parameter, "is_flag", False) or parameter.name in ANY_TEXT:
        return []
    return WRONG_TEXT[parameter.type.name]  # one of another kind has no line yet


WRONG_ARGUMENTS = [
    pytest.param(name, parameter, value, id=f"{name} {parameter.name} {value}")
    for name, command in _leaves(cli).items()
    for parameter in command.params
    for value in _wrong_values(parameter)
]


@pytest.mark.parametrize(("name", "parameter", "value"), WRONG_ARGUMENTS)
def test_a_wrong_argument_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    parameter: click.Parameter,
    value: str,
) -> None:
    options: list[str] = []
    arguments: list[str] = []
    for other in _leaves(cli)[name].params:
        if other is parameter:
            (arguments if isinstance(other, click.Argument) else options).extend(_words(other, value))
        elif other.required:
            right = str(tmp_path) if isinstance(other.type, click.Path) else RIGHT_TEXT.get(other.type.name, "graph")
            if isinstance(other.type, click.Path) and not other.type.dir_okay:
                right = __file__
            (arguments if isinstance(other, click.Argument) else options).extend(_words(other, right))
    words = [word for word in arguments if word != "--"]
    assert ended(monkeypatch, *name.split(), *options, "--", *words) == 2
    printed = capsys.readouterr().err
    assert value in printed.splitlines()[-1], printed


def test_arguments_that_depend_on_more_than_their_text_are_wrong_usage_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ["worker", "grpah"],
        ["worker", "no_such_module:make"],
        ["dead-letters", "list", "--sink", "no_such_module:make"],
        ["dead-letters", "redrive"],
        ["replay", "graph"],
        ["schemas", "new", "Thing", "--creates", "Nonsense"],
        ["schemas", "diff", str(tmp_path), __file__],
        ["exporter"],
    ):
        assert ended(monkeypatch, *words) == 2, words


def test_one_option_has_one_meaning_everywhere() -> None:
    """What is a flag in one command is none elsewhere, and every duration can be written as 30s."""
    kinds: dict[str, set[bool]] = {}
    for command in _leaves(cli).values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in parameter.opts:
                    kinds.setdefault(option, set()).add(parameter.is_flag)
                if {"--interval", "--timeout"} & set(parameter.opts):
                    assert parameter.type.name == "duration", command.name
    assert all(len(flags) == 1 for flags in kinds.values()), kinds


def test_names_that_are_misspelt_are_guessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, meant in [
        (("statu",), "status"),
        (("verify", "grph"), "graph"),
        (("replay", "cash"), "cache"),
        (("local", "dwn"), "down"),
    ]:
        assert ended(monkeypatch, *arguments) == 2
        assert f"Did you mean {meant}?" in capsys.readouterr().err


def _help_of(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    return [path, *(leaf for name, child in inner for leaf in _help_of(child, (*path, name)))]


def test_help_of_every_command_needs_no_right_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in WRONG.items():
        monkeypatch.setenv(name, value)
    for path in _help_of(cli):
        assert ended(monkeypatch, *path, "--help") == 0, path
        assert capsys.readouterr().out.startswith("Usage: "), path
    assert ended(monkeypatch, "settings") == ended(monkeypatch, "metrics") == 0
    capsys.readouterr()
    assert ended(monkeypatch, "status") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == len(WRONG)
    for name in WRONG:
        assert any(line.startswith(f"error: {name}: ") for line in lines)


def test_completion_needs_no_right_setting_and_loads_quickly(tmp_path: Path) -> None:
    asked = {"_HOLONSTREAM_COMPLETE": "bash_complete", "COMP_WORDS": "holonstream dead-letters re", "COMP_CWORD": "2"}
    done = run(code=0, cwd=tmp_path, **WRONG, **asked)
    assert done.stdout == "plain,redrive\n"
    for shell in ("bash", "zsh", "fish"):
        source = run(code=0, cwd=tmp_path, **WRONG, _HOLONSTREAM_COMPLETE=f"{shell}_source").stdout
        assert "_HOLONSTREAM_COMPLETE" in source


def test_init_that_makes_nothing_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "init", "--dry-run") == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err.startswith("nothing was made; `holonstream migrate status`")) == ("", True)


def test_after_an_outage_the_brokers_of_all_places_of_settings_are_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kafka, "LOGIN_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as broker:
        (tmp_path / ".env").write_text(f"HOLONSTREAM_KAFKA_BOOTSTRAP=127.0.0.1:{broker.getsockname()[1]}\n")
        assert command_line._refused_login(KafkaUnavailable("gone")) is None
        broker.settimeout(30)
        broker.accept()[0].close()


def test_help_loads_no_driver() -> None:
    slow = ["psycopg", "neo4j", "redis", "confluent_kafka", "faust", "structlog", "rich", "jsonschema_rs"]
    script = f"import sys, holonstream.ops.cli; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*HOLONSTREAM, "dataset", "organisation", "--persons", "20"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "[\n"
    process.stdout.close()
    assert process.wait(120) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*HOLONSTREAM, "settings"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: Standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(tmp_path: Path, closed: str) -> None:
    command = f'"{sys.executable}" -m holonstream settings {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_other_locales_and_no_home(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    event = {"type": "PersonCreated", "subjects": ["漢\u202e"], "payload": {"name": "é"}, "actor": "a"}
    file.write_text(json.dumps([{**event, "occurredAt": "2024-01-01", "sourceSystem": "x"}]))
    for environment in (
        {"LANG": "C", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "iso-8859-1"},
        {"HOME": "/nope", "PYTHONUTF8": "0"},
    ):
        done = subprocess.run(
            [*HOLONSTREAM, "fold", str(file)], env={**os.environ, **environment}, capture_output=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        encoding = environment.get("PYTHONIOENCODING", "utf-8")
        (holon,) = json.loads(done.stdout.decode(encoding))["holons"]
        assert (holon["id"], holon["properties"]["name"]) == ("漢\u202e", "é")


def test_events_come_from_standard_input() -> None:
    event = {"type": "PersonCreated", "subjects": ["a"], "actor": "a", "occurredAt": "2024-01-01", "sourceSystem": "x"}
    for given, code in ((json.dumps([{**event, "payload": {"name": "A"}}]), 0), ("[{]", 1), ("", 1)):
        done = subprocess.run([*HOLONSTREAM, "fold", "-"], input=given, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert code == 0 or done.stderr.startswith("error: standard input: Invalid JSON")


def test_a_file_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert ended(monkeypatch, "schemas", "types", "--out", str(tmp_path / "none" / "x.py")) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/none/x.py: No such file or directory\n"


@pytest.mark.parametrize("content", [b"[{]", b"\xff\xfe[", b"", b"7", b'{"facts": []}', b"[[]]"])
def test_a_wrong_file_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "bad\x1b.json"
    file.write_bytes(content)
    for command in (("fold",), ("import", "--dry-run")):
        assert ended(monkeypatch, *command, str(file)) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("error: ")
        assert line.isprintable()


def test_a_file_that_is_missing_or_a_folder_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for file in (tmp_path, tmp_path / "missing"):
        for command in ("fold", "import"):
            assert ended(monkeypatch, command, str(file)) == 2
            assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_a_question_is_asked_at_a_terminal_only(tmp_path: Path) -> None:
    """Without one the command does what it did; at one, a no and the end of input change nothing."""
    data = tmp_path / "stack"
    for answer, code in ((b"n\n", 130), (b"\x04", 130), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*HOLONSTREAM, "local", "--dir", str(data), "down", "--wipe"],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        os.write(ours, answer)
        _, said = process.communicate(timeout=120)
        os.close(ours)
        assert process.returncode == code, said
        assert (b"down after" in said) == (code == 0)
        assert b"[y/N]" in said
    assert "down after" in run("local", "--dir", str(data), "down", "--wipe", code=0, cwd=tmp_path).stderr


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_no_traceback(tmp_path: Path) -> None:
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    process = subprocess.Popen([*HOLONSTREAM, "fold", str(fifo)], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    with fifo.open("w"):  # returns when the command reads
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None, "the command ended")
    assert process.returncode == 130
    assert process.stderr is not None
    assert process.stderr.read().strip() == ""
    process.stderr.close()
