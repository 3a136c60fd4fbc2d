"""The page of all commands, docs/cli.md: ``python -m holonstream.ops.reference > docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from holonstream.ops import output

HEAD = """\
# Command line

(This page is made of what each command says with `--help`: `python -m holonstream.ops.reference` prints it.)

## In all commands

**Settings** come from the environment, from `.env` and from `holonstream.toml` ([settings.md](settings.md)). They are
read when a command runs: a wrong one is named with what is allowed, and never breaks `--help` or completion. A variable
that begins with `HOLONSTREAM_` and is no setting is a warning on standard error, with the one that was meant.

**Exit codes**

| code | means |
|---|---|
| 0 | done; nothing was found |
| 1 | a finding: a difference (also a repaired one), a refusal, bad data, a parked stream, a deadline that passed |
| 2 | wrong usage: a command, an option, an argument or its form, or a setting; nothing was done |
| 3 | outage: a server cannot be reached, or asks for a retry |
| 70 | a bug in holonstream, with a traceback |
| 130 | interrupted by Ctrl-C, or a question that was not answered with yes |
| 141 | the reader of standard output has gone, as with `head` |
| 143 | ended by SIGTERM, of a replay: type the command again to continue |

**Output** for people is on standard output, and what is no result (progress, errors, warnings) on standard error, one
line each. `--json` prints one JSON document, or a document a line where output continues. Ids, names and reasons come
from others: a character that a terminal would obey is shown as its escape, `\\x1b` or `\\u202e`. Without a terminal a
row of a table is one line of any length. Colours leave with `NO_COLOR`.

**Questions**: what cannot be undone asks first when standard input is a terminal; `--yes` answers, and a script is not
asked. (`replay graph` and `replay topic` ask in any case.) `--dry-run` says what would be done.

**Durations** are seconds, or `500ms`, `30s`, `5m`, `2h`, `7d`.

**Completion** of commands and options:

    eval "$(_HOLONSTREAM_COMPLETE=bash_source holonstream)"    # in ~/.bashrc
    eval "$(_HOLONSTREAM_COMPLETE=zsh_source holonstream)"     # in ~/.zshrc
    _HOLONSTREAM_COMPLETE=fish_source holonstream > ~/.config/fish/completions/holonstream.fish
"""
CHECKOUT_ONLY = {"demo", "dataset"}
"""commands that an installed holonstream does not have"""


def page() -> str:
    """The page in Markdown."""
    from holonstream.ops.cli import cli
    from holonstream.ops.commands import SECTIONS

    parts = [HEAD]
    above = click.Context(cli, info_name="holonstream", **cli.context_settings)
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            if name in cli.commands and name not in CHECKOUT_ONLY:
                parts += _command(cli.commands[name], name, above)
    return "\n".join(parts)


def _command(command: click.Command, name: str, above: click.Context) -> Iterator[str]:
    context = click.Context(command, parent=above, info_name=name, max_content_width=100, terminal_width=100)
    yield f"### {context.command_path}\n"
    yield "\n".join(f"    {line}".rstrip() for line in command.get_help(context).splitlines()) + "\n"
    if isinstance(command, click.Group):
        for inner_name, inner in command.commands.items():
            yield from _command(inner, inner_name, context)


if __name__ == "__main__":
    output.print_text(page())
