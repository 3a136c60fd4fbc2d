"""The queries are written once: stores and clients inherit signatures and docstrings."""

from __future__ import annotations

import inspect

import pytest

from holonstream.client import Client
from holonstream.sinks.cache.reader import CachedGraphStore
from holonstream.sinks.graph.read.store import Neo4jGraphStore
from holonstream.sinks.store import SemanticGraphStore
from holonstream.testing.memory_graph import MemoryGraphStore

QUERIES = {name for name in vars(SemanticGraphStore) if not name.startswith("_")}


@pytest.mark.parametrize("store", [Client, CachedGraphStore, Neo4jGraphStore, MemoryGraphStore])
def test_a_store_inherits_every_query(store: type[SemanticGraphStore]) -> None:
    own = {name for name in QUERIES if getattr(store, name) is not getattr(SemanticGraphStore, name)}
    assert own <= {"get_holon"}  # through the cache, or as of an instant


def test_every_query_is_documented_and_takes_a_token_and_a_deadline() -> None:
    assert len(QUERIES) == 11
    for name in QUERIES:
        query = getattr(SemanticGraphStore, name)
        assert query.__doc__
        if name != "export":
            assert {"at_least", "deadline"} <= inspect.signature(query).parameters.keys()
