"""A cache of holons that cannot go stale: the sink that invalidates, and the store that reads through Redis.

The log is the truth. The graph follows it, the cache follows it too, and neither waits for the other. Plain deletion of
keys fails in two ways: the sink may be ahead of the graph, so that a reader fills the OLD holon after the deletion; and
a reader may be slow, so that it fills what it read before the deletion. Here a fill must prove that it is new enough.

Words
-----
A *position* is the log's order. A holon's ``position`` is that of the last event of its stream and rises with each of
them. Only ``subjects[0]`` of an event changes a holon and only `get_holon` is cached, so a record's stream
``holon/<id>`` names the one key to invalidate; relationship streams invalidate none. Keys in Redis, in a namespace:

``<namespace>:holon:<id>``
    absent, or a *value* ``V<position><JSON>``, or a *tombstone* ``T<position>``: the newest invalidation known. Values
    live `value_ttl`, tombstones `tombstone_ttl` (longer, so that the policy ``volatile-ttl`` evicts values first).
``<namespace>:watermarks:<partition>``
    a hash that never expires, of bounded size. ``floor``: the oldest position that may be trusted; tombstones of events
    up to it may be lost. ``fills_from``: when fills may begin (ms, Redis's clock). ``0000`` .. ``4095``: *slots*. The
    hash of a holon's id chooses its slot, which has the highest position invalidated since the floor was made.

Only three scripts change these, and a script is atomic:

invalidate (the sink, per batch)
    A key with a tombstone or value at or beyond the event stays as it is; any other key becomes a tombstone at the
    event. An absent key becomes one at the highest of event, slot and floor: slot and floor are lower for an event that
    comes in order. They are higher only for one that comes again, and then a newer tombstone of its holon may have been
    evicted. At the end slots are raised.
fill (a reader)
    Carries the holon's position g and the checkpoint c of its partition in the graph, *read before the holon*: so what
    was read holds every event of the holon up to r = max(g, c). Refused unless r >= floor, and g >= a present value,
    and r >= a present tombstone, and, if the key is absent, r >= its slot.
floor (the sink, at assignment and every second)
    A missing floor is made at the position that this worker has processed. It is never lowered.

Why no value is older than an invalidation acknowledged before
--------------------------------------------------------------
Invariant: a present tombstone or value stands at or beyond every acknowledged event of its holon. Invalidation keeps it
as described; a fill keeps it because floor and slot, and likewise a tombstone or value, are at or beyond every
acknowledged event of the holon, and what was read is at or beyond them. No clock and no key's life is part of this, so:

- *Expiry and eviction* of tombstones and values are harmless, in any order: for an absent key the slot decides. The
  tombstone is only more precise: while the graph lags, it lets a holon in as soon as the holon's own last event is
  applied, whereas a slot stands for every holon that shares it. (Tombstones alone are not enough: one replaced by a
  value which is then evicted leaves nothing to refuse a slow reader's older fill.)
- *A slow reader* needs no age limit: its old r is compared with what is known at the moment of the fill.
- *A graph that lags*, even by days, or is rebuilt from offset zero: its checkpoint is low; values stay, fills stop.
- *FLUSHALL, a restart of Redis, lost watermarks*: no floor, no fill. The next write or check makes the floor. A write
  makes it at the end of its batch, because the scripts of that batch that ran before the flush are lost too.
- *kill -9 of the sink* between two scripts of a batch: the batch is not acknowledged, comes again, and may be repeated.
- *Two workers around a rebalance*: positions only rise, whichever of them writes. Only a floor is made from what ONE
  worker knows, and one that has lost the partition without noticing knows too little. So a new floor has a *grace
  period*, in which no fill is accepted and the check of every worker may still raise it. What remains: when the group's
  offset fell behind what an earlier owner had processed, AND the watermarks were lost after that, AND the graph lags
  too, an entry may be as old as the new owner's lag, until that has caught up.
- *A parked stream*: the graph's checkpoint passes events that the holon does not hold. `read_holon` must therefore give
  a holon of a parked stream a checkpoint below its first parked event: then it is not cached, and no token counts as
  reached.

Tokens need none of this: an entry carries its position, and a reader compares. Not covered: a snapshot, an append-only
file or a lagging replica that becomes the master brings old values back together with old watermarks. `open` therefore
refuses a Redis that persists, and after a failover, or after the log was restored from a backup, Redis must be flushed.

Before 0.2 the watermarks were ``<namespace>:fence:<partition>``. Readers of that version trust the key, and nothing
raises its slots any more: a worker deletes it when it takes the partition, and without it they fill nothing.
"""
