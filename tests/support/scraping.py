"""Reading the metrics and the health of a process as Prometheus and an orchestrator do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Sample:
    """One value and its labels."""

    labels: Mapping[str, str]
    value: float


class Scrape:
    """What one scrape brought."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, str] = {}
        self.help: dict[str, str] = {}
        self.samples: dict[str, list[Sample]] = {}
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            self.types[name], self.help[name] = family.type, family.documentation
            for sample in family.samples:
                self.samples.setdefault(sample.name, []).append(Sample(sample.labels, sample.value))

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the samples that have these labels; None without any."""
        found = [s.value for s in self.samples.get(name, []) if labels.items() <= s.labels.items()]
        return sum(found) if found else None


@dataclass(frozen=True)
class Target:
    """A process that serves on a port of this machine."""

    port: int

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body; (0, reason) while nothing listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError as error:
            return 0, str(error)
        finally:
            connection.close()

    def scrape(self) -> Scrape:
        """The metrics now; none while nothing listens."""
        status, body = self.get("/metrics")
        return Scrape(body if status == 200 else "")

    def ready(self) -> bool:
        """Whether it makes progress."""
        return self.get("/readyz")[0] == 200

    def unready(self, reason: str) -> bool:
        """Whether it says that it makes no progress, for a reason that holds this text."""
        status, body = self.get("/readyz")
        return status == 503 and reason in body


def scrape(registry: CollectorRegistry) -> Scrape:
    """What a registry of this process holds."""
    from prometheus_client import generate_latest

    text: Any = generate_latest(registry)
    return Scrape(text.decode())
