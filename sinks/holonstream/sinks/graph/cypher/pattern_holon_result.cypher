// What a match says of a holon.
[labels(__VARIABLE__), __VARIABLE__ {.*, _createdAt: toString(__VARIABLE__._createdAt),
  _lastModified: toString(__VARIABLE__._lastModified)}]
