"""What `holonstream.client` exports: sorted, and every error that a docstring names."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

from holonstream import client
from holonstream.schemas.errors import HolonstreamError, MissingExtra
from holonstream.schemas.extras import EXTRA_OF, extras_needed

ROOT = Path(__file__).parents[2]
# the queries of the clients are spelled out in the stores' base class
FILES = [
    *(ROOT / "client" / "holonstream" / "client").glob("*.py"),
    ROOT / "sinks" / "holonstream" / "sinks" / "store.py",
]
RAISES = re.compile(r"\braises?\b(.*?)(?:\.\s|\.$|\n\n|\Z)", re.DOTALL | re.IGNORECASE)


def docstrings(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def errors_named(file: Path) -> set[str]:
    """The capitalised names in the sentences that say what is raised."""
    said = " ".join(match for text in docstrings(file) for match in RAISES.findall(text))
    return set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]*)+\b", said))


def test_exports_are_sorted_and_complete() -> None:
    exported = [name for name in vars(client) if not name.startswith("_")]
    modules = {module.name for module in iter_modules(client.__path__)} | {"annotations"}
    assert client.__all__ == sorted(set(exported) - modules)


def test_every_error_that_a_docstring_names_is_exported() -> None:
    named = set().union(*map(errors_named, FILES))
    assert {"NotYetVisible", "LogUnavailable", "GraphUnavailable", "WrongExpectedVersion", "MissingExtra"} <= named
    errors = {name for name in named if not isinstance(getattr(builtins, name, None), type)}
    assert errors <= set(client.__all__)
    for name in errors:
        assert issubclass(getattr(client, name), HolonstreamError), name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_sentence_that_says_what_is_raised_names_errors_only(file: Path) -> None:
    for name in errors_named(file):
        assert isinstance(getattr(client, name, getattr(builtins, name, None)), type), name


def test_a_package_of_an_extra_that_is_missing_says_what_to_type() -> None:
    with pytest.raises(MissingExtra) as raised, extras_needed():
        raise ModuleNotFoundError("No module named 'redis.asyncio'", name="redis.asyncio")
    assert str(raised.value) == "The package redis is not installed, type: pip install 'holonstream[read]'"
    assert raised.value.extra == "read"
    with pytest.raises(ModuleNotFoundError, match="other"), extras_needed():
        raise ModuleNotFoundError("other", name="other")


def test_every_package_of_an_extra_is_one_that_can_be_imported() -> None:
    for package in EXTRA_OF:
        import_module(package)
