"""The compose file with three brokers, of which each loses its network once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.kit import Compose, Trickle, compose_project

BROKERS = {"kafka": 29092, "kafka-2": 29093, "kafka-3": 29094}
BOOTSTRAP = ",".join(f"127.0.0.1:{port}" for port in BROKERS.values())


@pytest.fixture(scope="module")
def compose(small_organisation: Path) -> Iterator[Compose]:
    with compose_project() as made:
        made.environment["COMPOSE_FILE"] = "docker-compose.yml:docker-compose.brokers.yml"
        made.settings["HOLONSTREAM_KAFKA_BOOTSTRAP"] = BOOTSTRAP
        made.compose("--profile", "pipeline", "build")
        made.up(profiles=("--profile", "pipeline"))
        made.holonstream("import", str(small_organisation))
        made.verify()
        yield made


@pytest.mark.parametrize("broker", BROKERS)
def test_publishing_continues_without_any_one_broker(compose: Compose, broker: str) -> None:
    with Trickle(BOOTSTRAP) as trickle:
        with compose.cut_off(broker):
            trickle.wait_for(100, f"publishing continues without {broker}")
        trickle.wait_for(100, f"publishing continues with {broker}")
    assert trickle.failure is None
    print(f"{broker} was cut off: the longest pause of publishing was {trickle.longest_pause():.2f} s")
    compose.verify()
