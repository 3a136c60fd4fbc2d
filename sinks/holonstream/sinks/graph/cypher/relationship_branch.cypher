// One branch of relationships_load.
MATCH (a)-[r__RELATIONSHIP_TYPE__ {_id: id}]->(b)
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
RETURN a, r, b
