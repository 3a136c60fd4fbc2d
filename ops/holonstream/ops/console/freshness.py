"""How fresh the views are, over the last hour: from the workers' histograms, minute by minute.

Workers count in buckets for as long as they live. The difference between two scrapes of a worker is what happened in
between; one that was started again counts from zero.
"""

from __future__ import annotations

import socket
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from math import inf
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from holonstream.schemas.metrics import METRICS

NAME = "holonstream_freshness_seconds"
BOUNDS = (*METRICS[NAME].buckets, inf)
MINUTES = 60
TIMEOUT = 2.0  # seconds for a worker's answer
BIGGEST = 4 << 20  # bytes of it

Counts = list[float]
_open = build_opener(ProxyHandler({})).open


@dataclass(slots=True)
class FreshnessHour:
    """Counts by group and minute; written by one thread."""

    minutes: deque[tuple[int, dict[str, Counts]]] = field(default_factory=lambda: deque(maxlen=MINUTES))
    _seen: dict[tuple[str, str], Counts] = field(default_factory=dict)

    def scrape(self, workers: str, now: float) -> None:
        """Ask every worker; one that does not answer is left out."""
        for address in addresses(workers):
            try:
                with _open(f"http://{address}/metrics", timeout=TIMEOUT) as answer:
                    text = answer.read(BIGGEST).decode()
                self.add(address, cumulative(text), now)
            except (OSError, HTTPException, ValueError):  # it does not answer, or is no worker
                continue

    def add(self, worker: str, counts: Mapping[str, Counts], now: float) -> None:
        """Count what a worker has done since it was asked last; the first answer is where counting begins."""
        minute = int(now // 60)
        if not self.minutes or self.minutes[-1][0] != minute:
            self.minutes.append((minute, {}))
        groups = self.minutes[-1][1]
        for group, total in counts.items():
            before = self._seen.get((worker, group))
            self._seen[worker, group] = total
            if before is None:
                continue
            new = total if total[-1] < before[-1] else [n - b for n, b in zip(total, before, strict=True)]
            have = groups.setdefault(group, [0.0] * len(BOUNDS))
            groups[group] = [h + n for h, n in zip(have, new, strict=True)]

    def last(self, group: str, minutes: int, now: float) -> Counts:
        """The counts of the last minutes together."""
        since = int(now // 60) - minutes
        chosen = [groups[group] for minute, groups in self.minutes if minute > since and group in groups]
        return [sum(column) for column in zip(*chosen, strict=True)] if chosen else [0.0] * len(BOUNDS)


def addresses(workers: str) -> list[str]:
    """Every address behind the names of the settings, as ``host:port``."""
    found = []
    for part in filter(None, (part.strip() for part in workers.split(","))):
        host, _, port = part.rpartition(":")
        try:
            infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            continue
        for *_, target in infos:
            address = str(target[0])
            found.append(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    return sorted(set(found))


def cumulative(text: str) -> dict[str, Counts]:
    """By group, how many events were at most as old as each bound. Raises ValueError when it is no such page."""
    found: defaultdict[str, dict[float, float]] = defaultdict(dict)
    try:
        for family in text_string_to_metric_families(text):
            if family.name == NAME:
                for sample in family.samples:
                    if sample.name == f"{NAME}_bucket" and {"group", "le"} <= sample.labels.keys():
                        found[sample.labels["group"]][float(sample.labels["le"])] = sample.value
    except LookupError as error:  # of the parser, which expects a page of metrics
        raise ValueError("no page of metrics") from error
    return {group: [counts[bound] for bound in BOUNDS] for group, counts in found.items() if counts.keys() >= {*BOUNDS}}


def quantile(counts: Sequence[float], share: float) -> float | None:
    """The age that this share of events did not exceed, interpolated within a bucket; None without events."""
    total = counts[-1]
    if not total:
        return None
    below, low = 0.0, 0.0
    for bound, count in zip(BOUNDS, counts, strict=True):
        if count >= share * total:
            if bound == inf:
                return low
            return low + (bound - low) * (share * total - below) / max(count - below, 1e-9)
        below, low = count, bound
    return low


def share_within(counts: Sequence[float], bound: float) -> float | None:
    """Which share of events was at most so old; `bound` is one of the buckets'."""
    return counts[BOUNDS.index(bound)] / counts[-1] if counts[-1] else None
