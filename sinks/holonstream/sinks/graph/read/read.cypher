// holon_read //
// One node, as it is, and how far the graph had come before it was read: the WITH makes Neo4j read the checkpoint first.
// Of a parked stream the graph has nothing from the parked event on, however far its partition has come; a mark whose
// position cannot be read hides all of it. An instant that
// another program has replaced by a value of another kind becomes null, as everywhere here: the row is then no state.
// No row unless there are as many partitions as the reader took to find the holon's: a graph that is made again from the log may
// have more.
MATCH (c:HolonstreamCheckpoint {topic: $topic, partition: $partition})
WHERE EXISTS { (:HolonstreamCheckpoint {topic: $topic, partition: $partitions - 1}) }
  AND NOT EXISTS { (:HolonstreamCheckpoint {topic: $topic, partition: $partitions}) }
WITH CASE WHEN c.visible IS :: INTEGER NOT NULL THEN c.visible ELSE 0 END AS position
OPTIONAL MATCH (p:HolonstreamParked {key: $key})
WITH position, p.redriven IS NULL AS parked,
  CASE WHEN p IS NULL THEN null WHEN p.since IS :: INTEGER NOT NULL THEN p.since ELSE 1 END AS since
WITH coalesce(parked AND since <= position, false) AS parked,
  CASE WHEN since <= position THEN since - 1 ELSE position END AS position
OPTIONAL MATCH (n:Holon {_id: $id})
RETURN position, parked, labels(n), n {.*, _id: $id, _createdAt: toStringOrNull(n._createdAt), _lastModified: toStringOrNull(n._lastModified)}

// holons_load //
// The states of some holons; one row, which the driver unpacks fastest. A bare end has no type and no state.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
WHERE size(labels(n)) > 1
RETURN collect([labels(n), n {.*, _id: id, _createdAt: toStringOrNull(n._createdAt), _lastModified: toStringOrNull(n._lastModified)}])

// relationships_load //
// The states of some relationships. An event that ends one does not say its type, so this is one index seek per type
// and id; __BRANCHES__ is relationship_branch for each type. Without its hint the planner scans while it thinks that the
// graph is empty, which is for the first seconds of every import.
UNWIND $ids AS id
CALL (id) {
__BRANCHES__
}
RETURN collect([a._id, type(r), b._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}])

// holons_locked //
// The nodes of some ids, each read under its write lock: its last writer is done. One that this writer deleted may still
// come, without a property.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})
USING INDEX SEEK n:Holon(_id)
SET n._lock = true
WITH n
REMOVE n._lock
RETURN labels(n), n {.*, _createdAt: toStringOrNull(n._createdAt), _lastModified: toStringOrNull(n._lastModified)}

// relationships_locked //
// Relationships of one type, each read under its write lock and those of its ends: their last writers are done. One that
// these deleted may still come, without a property.
UNWIND $ids AS id
MATCH (a)-[r__RELATIONSHIP_TYPE__ {_id: id}]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
SET r._lock = true, a._lock = true, b._lock = true
WITH a, r, b
REMOVE r._lock, a._lock, b._lock
RETURN a._id, type(r), b._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}

// holons_query //
// A page of holons of one type, or of all. `_id >` is decided by the index; see pages.py for $after. Another program's
// node may have a label of the same name.
MATCH (n__HOLON_TYPE__)
USING INDEX SEEK n__HOLON_TYPE__(_id)
WHERE n._id >= $after AND n:Holon AND size(labels(n)) > 1
  AND ($filter.status IS NULL OR n._status = $filter.status)
  AND ($filter.after IS NULL OR n._createdAt >= datetime($filter.after))
  AND ($filter.before IS NULL OR n._createdAt <= datetime($filter.before))
  AND all(p IN $filter.equal WHERE n[p.name] = p.value)
  AND all(name IN $filter.there WHERE n[name] IS NOT NULL)
WITH n ORDER BY n._id LIMIT $limit
RETURN labels(n), n {.*, _id: n._id, _createdAt: toStringOrNull(n._createdAt), _lastModified: toStringOrNull(n._lastModified)}

// relationships_query //
// A page of relationships of one type. Another program's may have the same type: one of ours touches a holon.
MATCH (a)-[r__RELATIONSHIP_TYPE__]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
WHERE r._id >= $after AND (a:Holon OR b:Holon)
  AND ($filter.source IS NULL OR a._id = $filter.source)
  AND ($filter.target IS NULL OR b._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
WITH a, r, b ORDER BY r._id LIMIT $limit
RETURN a._id, type(r), b._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}

// relationships_all //
// A page of relationships of any type: the first ones of each type (__PAGES__ is relationship_page for each), by its own
// index, since all together have none; and of these the first ones.
CALL () {
__PAGES__
}
WITH a, r, b ORDER BY r._id LIMIT $limit
RETURN a._id, type(r), b._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}

// relationships_of //
// A page of the relationships of one node.
MATCH (n:Holon {_id: $id})__ARROW__()
USING INDEX SEEK n:Holon(_id)
WHERE r._id >= $after
  AND ($filter.source IS NULL OR startNode(r)._id = $filter.source)
  AND ($filter.target IS NULL OR endNode(r)._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
RETURN DISTINCT startNode(r)._id, type(r), endNode(r)._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}, r._id AS id
ORDER BY id
LIMIT $limit

// hop //
// One hop from many nodes: the ids at the other ends.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})__ARROW__(m)
USING INDEX SEEK n:Holon(_id)
WHERE r._id IS NOT NULL
  AND ($filter.source IS NULL OR startNode(r)._id = $filter.source)
  AND ($filter.target IS NULL OR endNode(r)._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
RETURN collect(DISTINCT m._id)

// hop_relationships //
// One hop from many nodes: the relationships, for filters that only Python decides exactly.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})__ARROW__()
USING INDEX SEEK n:Holon(_id)
WHERE r._id IS NOT NULL
  AND ($filter.source IS NULL OR startNode(r)._id = $filter.source)
  AND ($filter.target IS NULL OR endNode(r)._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
WITH DISTINCT r
RETURN startNode(r)._id, type(r), endNode(r)._id, r {.*, _effectiveStart: toStringOrNull(r._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(r._effectiveEnd), r._effectiveEnd),
  _lastModified: toStringOrNull(r._lastModified)}

// pattern_holon //
// A holon of a pattern; its parameter has a name of its own, as two patterns may share a variable. Another program's node
// may have a label of the same name.
MATCH (__VARIABLE____HOLON_TYPE__)
WHERE __VARIABLE__:Holon AND size(labels(__VARIABLE__)) > 1
  AND all(p IN $__PARAMETER__.equal WHERE __VARIABLE__[p.name] = p.value)
  AND all(name IN $__PARAMETER__.there WHERE __VARIABLE__[name] IS NOT NULL)

// pattern_relationship //
// A relationship of a pattern. A MATCH of its own: two patterns may then be one relationship.
MATCH (__SOURCE__)-[__VARIABLE____RELATIONSHIP_TYPE__]->(__TARGET__)
WHERE ($__VARIABLE__.ended OR __VARIABLE__._effectiveEnd IS NULL)
  AND all(p IN $__VARIABLE__.equal WHERE __VARIABLE__[p.name] = p.value)
  AND all(name IN $__VARIABLE__.there WHERE __VARIABLE__[name] IS NOT NULL)

// pattern_holon_result //
// What a match returns of a holon.
[labels(__VARIABLE__), __VARIABLE__ {.*, _createdAt: toStringOrNull(__VARIABLE__._createdAt),
  _lastModified: toStringOrNull(__VARIABLE__._lastModified)}]

// pattern_relationship_result //
// What a match returns of a relationship.
[startNode(__VARIABLE__)._id, type(__VARIABLE__), endNode(__VARIABLE__)._id, __VARIABLE__ {.*,
  _effectiveStart: toStringOrNull(__VARIABLE__._effectiveStart),
  _effectiveEnd: coalesce(toStringOrNull(__VARIABLE__._effectiveEnd), __VARIABLE__._effectiveEnd),
  _lastModified: toStringOrNull(__VARIABLE__._lastModified)}]
