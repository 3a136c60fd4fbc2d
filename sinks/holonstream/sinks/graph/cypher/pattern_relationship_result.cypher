// What a match says of a relationship.
[startNode(__VARIABLE__)._id, type(__VARIABLE__), endNode(__VARIABLE__)._id, __VARIABLE__ {.*,
  _effectiveStart: toString(__VARIABLE__._effectiveStart), _effectiveEnd: toString(__VARIABLE__._effectiveEnd),
  _lastModified: toString(__VARIABLE__._lastModified)}]
