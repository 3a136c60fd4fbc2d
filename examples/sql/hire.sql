-- Hire a person: a row of our own table and an event of the log, in one transaction. Prints the token.
--   psql -qAt -v id=p-1 -v name=Ada -f hire.sql "$DATABASE_URL"
\set ON_ERROR_STOP on
\set VERBOSITY verbose

SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS people (id text PRIMARY KEY, name text NOT NULL);

BEGIN;
SELECT token FROM holonstream.append_events(
    jsonb_build_array(jsonb_build_object(
        'type', 'PersonCreated',
        'occurredAt', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'actor', 'hr-desk',
        'sourceSystem', 'hr',
        'subjects', jsonb_build_array(:'id'),
        'payload', jsonb_build_object('name', :'name')
    )),
    jsonb_build_object('holon/' || :'id', 0)  -- the stream must not exist yet, otherwise SQLSTATE HS003
);
INSERT INTO people VALUES (:'id', :'name');
COMMIT;
