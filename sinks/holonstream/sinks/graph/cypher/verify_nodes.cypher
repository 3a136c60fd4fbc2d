// Every node that is, or claims to be, a holon; bare ends are left out. The id only where it is one.
MATCH (n)
WHERE (n:Holon OR any(label IN labels(n) WHERE label IN $types))
  AND NOT (labels(n) = ['Holon'] AND keys(n) = ['_id'] AND n._id IS :: STRING NOT NULL)
RETURN elementId(n), CASE WHEN n:Holon AND n._id IS :: STRING NOT NULL THEN n._id END, labels(n), n._id
