// A page of holons of one type, or of all. `_id >` is decided by the index; see reads.py for $after.
MATCH (n__HOLON_TYPE__)
USING INDEX SEEK n__HOLON_TYPE__(_id)
WHERE n._id >= $after AND size(labels(n)) > 1
  AND ($filter.status IS NULL OR n._status = $filter.status)
  AND ($filter.after IS NULL OR n._createdAt >= datetime($filter.after))
  AND ($filter.before IS NULL OR n._createdAt <= datetime($filter.before))
  AND all(p IN $filter.equal WHERE n[p.name] = p.value)
  AND all(name IN $filter.there WHERE n[name] IS NOT NULL)
WITH n ORDER BY n._id LIMIT $limit
RETURN labels(n), n {.*, _id: n._id, _createdAt: toString(n._createdAt), _lastModified: toString(n._lastModified)}
