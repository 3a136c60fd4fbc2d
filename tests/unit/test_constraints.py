"""The pinned versions can be installed on the oldest Python that is promised."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PINNED = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
OLDEST = "3.11.2"  # of Debian 12


def test_every_pinned_package_takes_the_python_of_debian_12() -> None:
    pinned = {canonicalize_name(line.partition("==")[0]) for line in PINNED if "==" in line}
    asked = {
        canonicalize_name(one.name): one.metadata["Requires-Python"] or ""
        for one in metadata.distributions()
        if canonicalize_name(one.name) in pinned
    }
    assert len(asked) > 100
    assert {name: python for name, python in asked.items() if not SpecifierSet(python).contains(OLDEST)} == {}
