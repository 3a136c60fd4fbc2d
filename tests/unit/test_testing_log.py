"""The log in memory holds the contract of event logs."""

from __future__ import annotations

import pytest

from holonstream.producers.log.store import EventStore
from holonstream.testing import MemoryEventStore
from tests.conformance.event_store import CATALOGUE, EventStoreContract


class TestMemoryEventStore(EventStoreContract):
    @pytest.fixture
    def store(self) -> EventStore:
        return MemoryEventStore(CATALOGUE)
