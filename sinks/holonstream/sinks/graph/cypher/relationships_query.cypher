// A page of relationships of one type.
MATCH (a)-[r__RELATIONSHIP_TYPE__]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
WHERE r._id >= $after
  AND ($filter.source IS NULL OR a._id = $filter.source)
  AND ($filter.target IS NULL OR b._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
WITH a, r, b ORDER BY r._id LIMIT $limit
RETURN a._id, type(r), b._id, r {.*, _effectiveStart: toString(r._effectiveStart),
  _effectiveEnd: toString(r._effectiveEnd), _lastModified: toString(r._lastModified)}
