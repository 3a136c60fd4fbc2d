// The relationships of some ids, as they are, several of one id too; __BRANCHES__ is relationship_branch for each type.
// An instant of another type than a datetime comes in a list, so that it differs.
UNWIND $ids AS id
CALL (id) {
__BRANCHES__
}
RETURN collect([id, type(r), a:Holon, a._id, b:Holon, b._id, r {.*,
  _effectiveStart: CASE WHEN r._effectiveStart IS NULL THEN null
    WHEN r._effectiveStart IS :: ZONED DATETIME THEN toString(r._effectiveStart) ELSE [r._effectiveStart] END,
  _effectiveEnd: CASE WHEN r._effectiveEnd IS NULL THEN null
    WHEN r._effectiveEnd IS :: ZONED DATETIME THEN toString(r._effectiveEnd) ELSE [r._effectiveEnd] END,
  _lastModified: CASE WHEN r._lastModified IS NULL THEN null
    WHEN r._lastModified IS :: ZONED DATETIME THEN toString(r._lastModified) ELSE [r._lastModified] END}])
