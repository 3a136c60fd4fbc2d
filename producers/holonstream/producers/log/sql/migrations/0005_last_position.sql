-- The key of a frontier lock has 48 bits for a position (append.sql).
ALTER SEQUENCE holonstream.events_position MAXVALUE 281474976710655;
