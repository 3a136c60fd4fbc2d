// One hop from many nodes: the relationships, for filters that only Python decides exactly.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})__ARROW__()
USING INDEX SEEK n:Holon(_id)
WHERE ($filter.source IS NULL OR startNode(r)._id = $filter.source)
  AND ($filter.target IS NULL OR endNode(r)._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
WITH DISTINCT r
RETURN startNode(r)._id, type(r), endNode(r)._id, r {.*, _effectiveStart: toString(r._effectiveStart),
  _effectiveEnd: toString(r._effectiveEnd), _lastModified: toString(r._lastModified)}
