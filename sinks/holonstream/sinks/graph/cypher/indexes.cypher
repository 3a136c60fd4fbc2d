// What indexes there are that can answer, and whether each holds a uniqueness constraint.
SHOW INDEXES YIELD type, state, labelsOrTypes, properties, owningConstraint
WHERE type = 'RANGE' AND state = 'ONLINE'
RETURN labelsOrTypes[0], properties, owningConstraint IS NOT NULL
