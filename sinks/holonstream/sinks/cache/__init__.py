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
    absent, or a *value* ``V<position><generation><partition><JSON>``, or a *tombstone*, the same with ``T`` and without
    JSON: the newest invalidation known. Values live `value_ttl`, tombstones `tombstone_ttl` (longer, so that the policy
    ``volatile-ttl`` evicts values first).
``<namespace>:watermarks:<partition>``
    a hash that never expires, of bounded size. ``floor``: the oldest position that may be trusted; tombstones of events
    up to it may be lost. ``fills_from``: when fills may begin (ms, Redis's clock). ``0000`` .. ``4095``: *slots*. The
    hash of a holon's id chooses its slot, which has the highest position invalidated since the floor was made.
    ``generation``: a random name, drawn when the floor is made. ``server``: the replication id of the server on which
    that was, ``topic``: the id of the topic. ``invalidated``: the end of the last batch written. ``lease``: until when
    readers trust the partition's entries (ms, Redis's clock).

Redis draws a new replication id at each start and at each promotion, and a replica has its master's. So no two servers
are ever master under one id, and one that is has forgotten nothing under it: only commands change what it holds.
Every script asks the server for its role and id (``INFO replication``, about 1 us), and stops unless it is a master.
Watermarks of another id count as lost. *An entry counts only in its generation*: in a script, one whose generation is
not that of its partition's watermarks is absent.

Only three scripts change these keys, a fourth reads them, and a script is atomic:

invalidate (the sink, per batch)
    A key with a tombstone or value at or beyond the event stays as it is; any other key becomes a tombstone at the
    event. An absent key becomes one at the highest of event, slot and floor: slot and floor are lower for an event that
    comes in order. They are higher only for one that comes again, and then a newer tombstone of its holon may have been
    evicted. At the end slots are raised.
fill (a reader)
    Carries the holon's position g and the checkpoint c of its partition in the graph, *read before the holon*: so what
    was read holds every event of the holon up to r = max(g, c). Refused unless r >= floor, and g >= a present value,
    and r >= a present tombstone, and, if the key is absent, r >= its slot; also when the lease has ended.
floor (the sink, at assignment and every second)
    A missing floor is made at the position that this worker has processed, with a new generation. It is never lowered.
    Renews the lease.
read (a reader)
    Returns an entry that counts, unless the lease has ended.

Why no value is older than an invalidation acknowledged before
--------------------------------------------------------------
Invariant: an entry that counts stands at or beyond every acknowledged event of its holon. At the begin of a generation
none counts, and its floor is at or beyond every acknowledged event. Invalidation keeps it as described; a fill keeps it
because floor and slot, and likewise a tombstone or value, are at or beyond every acknowledged event of the holon, and
what was read is at or beyond them. No clock and no key's life is part of this, so:

- *Expiry and eviction* of tombstones and values are harmless, in any order: for an absent key the slot decides. The
  tombstone is only more precise: while the graph lags, it lets a holon in as soon as the holon's own last event is
  applied, whereas a slot stands for every holon that shares it. (Tombstones alone are not enough: one replaced by a
  value which is then evicted leaves nothing to refuse a slow reader's older fill.)
- *A slow reader* needs no age limit: its old r is compared with what is known at the moment of the fill.
- *A graph that lags*, even by days, or is rebuilt from offset zero: its checkpoint is low; values stay, fills stop.
- *FLUSHALL, a restart of Redis, lost watermarks*: no floor, no fill. The next write or check makes the floor. A write
  makes it at the end of its batch, because the scripts of that batch that ran before the flush are lost too.
- *A replica that lacks the last tombstones is promoted; a snapshot or append-only file from before is restored; keys
  are copied to another server; a master was a replica for a while*: the id is not that of the watermarks. So readers
  find nothing and fill nothing, also those that come before the worker or whose connections stayed open, until the
  worker has begun a generation in which none of the old entries counts.
- *A reader at a replica*: the script stops, and the graph is asked.
- *kill -9 of the sink* between two scripts of a batch: the batch is not acknowledged, comes again, and may be repeated.
- *Two workers around a rebalance*: positions only rise, whichever of them writes. Only a floor is made from what ONE
  worker knows, and one that has lost the partition without noticing knows too little. So a new floor has a *grace
  period*, in which no fill is accepted and the check of every worker may still raise it. What remains: when the group's
  offset fell behind what an earlier owner had processed, AND the watermarks were lost after that, AND the graph lags
  too, an entry may be as old as the new owner's lag, until that has caught up.
- *A parked stream*: the graph's checkpoint passes events that the holon does not hold. `read_holon` must therefore give
  a holon of a parked stream a checkpoint below its first parked event: then it is not cached, and no token counts as
  reached.

Tokens need none of this: an entry carries its position, and a reader compares.

Where a clock bounds it
-----------------------
- *Two masters at once*, a worker at one and a reader at the other (a split network; an address changed in some
  processes only): nothing at the reader's server can tell it. The worker renews no lease there, so what the reader is
  given is at most `lease` seconds older than an acknowledged invalidation. For as long the cache is trusted while no
  worker follows the partition.
- *The same master brings an old content back*, which takes a login with administrative rights: SWAPDB to and fro, DEBUG
  RELOAD NOSAVE, RESTORE of the watermarks. A worker knows which position Redis has confirmed, to it or to the group's
  earlier owners. Watermarks whose ``invalidated`` is lower count as lost: found at the next check, after a second.
  (So a batch without holons is written too.) Who restores a single entry is not found out: `holonstream verify cache`
  does that.
- *The log was restored from a backup*, so that positions that the cache knows come again for other events, and the
  topic was made again, as it then must be: the watermarks are of another topic, and lost. Readers may be given what the
  lost events said until a worker has come.

Before 0.2 the watermarks were ``<namespace>:fence:<partition>``. Readers of that version trust the key, and nothing
raises its slots any more: a worker deletes it when it takes the partition, and without it they fill nothing.
"""
