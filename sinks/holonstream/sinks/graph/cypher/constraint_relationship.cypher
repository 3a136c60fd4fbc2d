// One per type: the id is then found by a seek, and MATCH over all types is a union of seeks.
CREATE CONSTRAINT __NAME__ IF NOT EXISTS FOR ()-[r__RELATIONSHIP_TYPE__]-() REQUIRE r._id IS UNIQUE
