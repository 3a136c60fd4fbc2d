// A holon of a pattern; its parameter has a name of its own, as two patterns may share a variable.
MATCH (__VARIABLE____HOLON_TYPE__)
WHERE size(labels(__VARIABLE__)) > 1
  AND all(p IN $__PARAMETER__.equal WHERE __VARIABLE__[p.name] = p.value)
  AND all(name IN $__PARAMETER__.there WHERE __VARIABLE__[name] IS NOT NULL)
