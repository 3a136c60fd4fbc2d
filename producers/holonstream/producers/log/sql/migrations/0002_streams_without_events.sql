-- A row of holonstream.streams without events is only a lock, which the append that made it removes again (append.sql,
-- roles.sql). Those that earlier releases left are removed too.

DROP TRIGGER IF EXISTS never_shrinks ON holonstream.streams;
DELETE FROM holonstream.streams WHERE version = 0;

-- append_events tells a type's name from the JSON values true and false by this.
ALTER TABLE holonstream.event_types ADD CONSTRAINT event_types_name_is_no_literal CHECK (name NOT IN ('true', 'false'));
