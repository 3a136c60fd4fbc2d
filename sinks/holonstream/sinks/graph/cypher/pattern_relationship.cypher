// A relationship of a pattern. A MATCH of its own: two patterns may then be one relationship.
MATCH (__SOURCE__)-[__VARIABLE____RELATIONSHIP_TYPE__]->(__TARGET__)
WHERE ($__VARIABLE__.ended OR __VARIABLE__._effectiveEnd IS NULL)
  AND all(p IN $__VARIABLE__.equal WHERE __VARIABLE__[p.name] = p.value)
  AND all(name IN $__VARIABLE__.there WHERE __VARIABLE__[name] IS NOT NULL)
