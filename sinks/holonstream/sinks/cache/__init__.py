"""A cache of holons that cannot go stale: the invalidating sink, and the store that reads through Redis.

The log is the truth, the graph follows it, the cache follows it too, and neither waits for the other. Two things go
wrong with plain deletion: the sink may be ahead of the graph, so that a reader fills the OLD holon after the deletion,
and a reader may be slow, so that it fills what it read before the deletion. Here a fill must prove itself.

Words
-----
A *position* is the log's order. A holon's ``position`` is that of the last event of its stream and moves with each of
them. Only ``subjects[0]`` of an event changes a holon and only `get_holon` is cached, so a record's stream
``holon/<id>`` names the one key to invalidate; relationship streams touch none. Keys in Redis, below a namespace:

``<namespace>:holon:<id>``
    absent, or a *value* ``V<position><JSON>``, or a *tombstone* ``T<position>``: the newest invalidation known. Values
    live `value_ttl`, tombstones `tombstone_ttl` (longer, so that the policy ``volatile-ttl`` evicts values first).
``<namespace>:fence:<partition>``
    a hash that never expires, of bounded size. ``floor``: events up to this position may have lost their tombstone.
    ``settled``: when fills may begin (ms, Redis's clock). ``0000`` .. ``4095``: *slots*, per hash of the holon's id the
    highest position invalidated since the floor was made.

Every change of these goes through one of three scripts, and a script is atomic:

invalidate (the sink, per batch)
    A key with a tombstone or value at or beyond the event is left alone, any other becomes a tombstone at the event. An
    absent key becomes one at the highest of event, slot and floor: these two are below an event that comes in order,
    and above only one that was seen before, whose holon's newer tombstone may have been evicted. Then slots are raised.
fill (a reader)
    Carries the holon's position g and the checkpoint c of its partition in the graph, *read before the holon*: so what
    was read holds every event of the holon up to r = max(g, c). Refused unless r >= floor, and g >= a present value,
    and r >= a present tombstone, and, if the key is absent, r >= its slot.
floor (the sink, at assignment and at each tick)
    A missing floor is made at the position that this worker has processed. It is never lowered.

Why no value is older than an invalidation acknowledged before
--------------------------------------------------------------
Invariant: a present tombstone or value stands at or beyond every acknowledged event of its holon. Invalidation keeps it
as said; a fill keeps it because floor and slot, and likewise a tombstone or value, are at or beyond every acknowledged
event of the holon, and what was read is at or beyond them. No clock and no key's life is part of this, so that:

- *Expiry and eviction* of tombstones and values are harmless, in any order: an absent key is judged by its slot. The
  tombstone is only the sharper judge: while the graph lags, a holon's own tombstone lets it in as soon as its own last
  event is applied, where a slot speaks for every holon that shares it. (Tombstones alone do not do: one replaced by a
  value which is then evicted leaves nothing to refuse a slow reader's older fill.)
- *A slow reader* needs no age limit: its old r is compared with what is known at the moment of the fill.
- *A graph that lags*, even by days, or is made again from offset zero: its checkpoint is low; values stay, fills stop.
- *FLUSHALL, a restart of Redis, a lost fence*: no floor, no fill. The next write or tick makes the floor, at the end of
  the batch being written, since the scripts of that batch that went before the flush are lost too.
- *kill -9 of the sink* between two scripts of a batch: the batch is not acknowledged, comes again, and may be repeated.
- *Two workers around a rebalance*: positions only rise, whoever writes. Only a floor is made from what ONE worker
  knows, and one that has lost the partition without noticing knows too little. So a new floor *settles*: for `settle`
  seconds no fill is accepted, and the tick of every worker may still raise it. What remains: when the group's offset
  fell behind what an earlier owner had processed, AND the fences were lost after that, AND the graph lags too, an entry
  may be as old as the new owner's lag, until that has caught up.
- *A parked stream*: the graph's checkpoint passes events that the holon does not hold. `read_holon` must therefore give
  a holon of a parked stream a checkpoint below its first parked event: then it is not cached, and no token is taken for
  reached.

Tokens need none of this: an entry carries its position, and a reader compares. Not covered: a snapshot, an append-only
file or a lagging replica that becomes the master brings old values back together with old fences. `open` therefore
refuses a Redis that persists, and after a failover, or after the log was restored from a backup, Redis must be flushed.
"""

from __future__ import annotations

from holonstream.sinks.cache.counters import CacheCounters
from holonstream.sinks.cache.driver import UnsafeRedis, connect
from holonstream.sinks.cache.holons import HolonCache, HolonReader
from holonstream.sinks.cache.sink import InvalidationSink
from holonstream.sinks.cache.store import CachedGraphStore

__all__ = [
    "CacheCounters",
    "CachedGraphStore",
    "HolonCache",
    "HolonReader",
    "InvalidationSink",
    "UnsafeRedis",
    "connect",
]
