"""Names for people, places and boats, from the lists in names.json."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from random import Random
from typing import Any

from holonstream.schemas import jsontext


class Names:
    """Gives names out; knows which were given."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._given = Counter[str]()
        self.lists: dict[str, Any] = jsontext.decode((files(__package__) / "names.json").read_bytes())

    def next(self, list_: str) -> str:
        """The next name of a list, with a number once the list is used up."""
        turn, place = divmod(self._given[list_], len(self.lists[list_]))
        self._given[list_] += 1
        return str(self.lists[list_][place]) + (f" {turn + 1}" if turn else "")

    def person(self) -> str:
        """Somebody's name; two may have the same."""
        return f"{self._random.choice(self.lists['given'])} {self._random.choice(self.lists['family'])}"

    def unique(self, id_: str) -> str:
        """The id, with a number when it was given before."""
        self._given[id_] += 1
        return id_ if self._given[id_] == 1 else f"{id_}-{self._given[id_]}"


def slug(name: str) -> str:
    """A name as part of an id."""
    return name.lower().replace(" ", "-")
