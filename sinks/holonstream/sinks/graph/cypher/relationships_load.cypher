// The states of some relationships. An event that ends one does not say its type, so this is one index seek per type
// and id; __BRANCHES__ is relationship_branch for each type. Without its hint the planner scans while it thinks that the
// graph is empty, which is for the first seconds of every import.
UNWIND $ids AS id
CALL (id) {
__BRANCHES__
}
RETURN collect([a._id, type(r), b._id, r {.*, _effectiveStart: toString(r._effectiveStart),
  _effectiveEnd: toString(r._effectiveEnd), _lastModified: toString(r._lastModified)}])
