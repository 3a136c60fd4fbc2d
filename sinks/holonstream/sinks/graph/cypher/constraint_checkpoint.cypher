CREATE CONSTRAINT holonstream_checkpoint IF NOT EXISTS
FOR (c:HolonstreamCheckpoint) REQUIRE (c.topic, c.partition) IS UNIQUE
