// Every relationship that is, or claims to be, one of ours. The id only where it is one, and of a known type.
MATCH (a)-[r]->(b)
WHERE type(r) IN $types OR r._id IS NOT NULL
RETURN elementId(r), CASE WHEN type(r) IN $types AND r._id IS :: STRING NOT NULL THEN r._id END,
  type(r), r._id, a._id, b._id
