"""The schedule of faults: a pure function of seed and duration."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

GROUPS = ("graph", "cache")
FEWEST, MOST = 2, 4  # workers of a group
SERVERS = ("kafka", "neo4j", "redis", "postgres")
PROXIED = ("neo4j", "redis", "postgres")
CALM_BEFORE, CALM_AFTER = 3.0, 6.0  # seconds without a new fault

# How long each lasts, in seconds. Sessions of workers last 4 s: a worker frozen for longer has lost its partitions.
HOLDS = {
    "kill": (0.0, 2.0),
    "terminate": (0.0, 1.0),
    "freeze": (5.5, 9.0),
    "kill-server": (0.0, 4.0),
    "stop-server": (0.0, 4.0),
    "pause-server": (2.0, 7.0),
    "cut": (0.5, 6.0),
    "stall": (2.0, 8.0),
    "fill": (3.0, 6.0),
    "fail-over": (0.5, 4.0),
    "restore": (0.5, 4.0),
    "rogue": (1.0, 4.0),
    "hold-locks": (1.0, 4.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`at` and `hold` are seconds: from the run's start to the fault, and from the fault to its end."""

    at: float
    kind: str
    target: str
    hold: float = 0.0

    @property
    def name(self) -> str:
        """The name under which recoveries are counted."""
        return f"{self.kind} {self.target.partition('-')[0] if self.target.startswith(GROUPS) else self.target}"

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def deck() -> list[tuple[str, str]]:
    """Every (kind, target) once; a target of graph or cache stands for a worker of that group."""
    cards = [(kind, who) for kind in ("kill", "terminate") for who in ("relay-leader", "relay-standby", *GROUPS)]
    cards += [("freeze", who) for who in ("relay-leader", *GROUPS)]
    cards += [(kind, group) for kind in ("add", "remove") for group in GROUPS]
    cards += [(kind, server) for kind in ("kill-server", "stop-server", "pause-server") for server in SERVERS]
    cards += [(kind, server) for kind in ("cut", "stall") for server in PROXIED]
    cards += [(kind, "redis") for kind in ("flush", "fill", "fail-over", "restore")]
    cards += [("poison", "log"), ("garbage", "topic"), ("rogue", "topic"), ("hold-locks", "postgres")]
    return cards


def make_schedule(
    seed: int, duration: float, gap: tuple[float, float] = (2.0, 8.0), brokers: Sequence[str] = ("kafka",)
) -> list[Fault]:
    """The faults of a run. Every card of the deck comes once before any comes twice; `gap` in seconds lies between the
    beginnings of two faults, so that they may overlap. A fault of Kafka hits one of the brokers.
    """
    dice = random.Random(seed)
    workers = {group: [f"{group}-{number}" for number in range(1, FEWEST + 1)] for group in GROUPS}
    numbers = dict.fromkeys(GROUPS, FEWEST)
    cards = _endless(dice)
    at = CALM_BEFORE
    faults: list[Fault] = []
    while at < duration - CALM_AFTER:
        kind, target = next(cards)
        if target in GROUPS:
            members = workers[target]
            if kind == "add" and len(members) == MOST:
                kind = "remove"
            elif kind == "remove" and len(members) == FEWEST:
                kind = "add"
            if kind == "add":
                numbers[target] += 1
                members.append(f"{target}-{numbers[target]}")
                target = members[-1]
            else:
                target = dice.choice(members)
                if kind == "remove":
                    members.remove(target)
        if target == "kafka" and len(brokers) > 1:
            target = dice.choice(brokers)
        hold = round(dice.uniform(*HOLDS.get(kind, (0.0, 0.0))), 2)
        faults.append(Fault(round(at, 2), kind, target, hold))
        at += dice.uniform(*gap)
    return faults


def _endless(dice: random.Random) -> Iterator[tuple[str, str]]:
    while True:
        cards = deck()
        dice.shuffle(cards)
        yield from cards
