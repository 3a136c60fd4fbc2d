// Take away relationships that are made again with other ends or another type.
UNWIND $ids AS id
MATCH ()-[r__RELATIONSHIP_TYPE__ {_id: id}]->()
USING INDEX SEEK r__RELATIONSHIP_TYPE__(_id)
DELETE r
