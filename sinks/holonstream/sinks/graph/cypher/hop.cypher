// One hop from many nodes: the ids at the other ends.
UNWIND $ids AS id
MATCH (n:Holon {_id: id})__ARROW__(m)
USING INDEX SEEK n:Holon(_id)
WHERE ($filter.source IS NULL OR startNode(r)._id = $filter.source)
  AND ($filter.target IS NULL OR endNode(r)._id = $filter.target)
  AND ($filter.ended OR r._effectiveEnd IS NULL)
  AND ($filter.at IS NULL OR (r._effectiveStart <= datetime($filter.at)
    AND (r._effectiveEnd IS NULL OR r._effectiveEnd >= datetime($filter.at))))
  AND ($filter.authority IS NULL OR r._authorityLevel = $filter.authority)
  AND all(p IN $filter.equal WHERE r[p.name] = p.value)
  AND all(name IN $filter.there WHERE r[name] IS NOT NULL)
RETURN collect(DISTINCT m._id)
