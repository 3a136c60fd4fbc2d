-- Every statement that Python sends to the log. A name, a line on what it does, the statement.
--
-- In a session whose search_path is not ours, as services have, a function or an operator of another schema goes before one of
-- pg_catalog that takes values of any type ("&&", unnest, format): there these are qualified.

-- append --
-- Append events; one row per event, in the order given. Sent by several drivers: through text, for a driver's own codec
-- of jsonb would encode JSON once more, and without "::", which SQLAlchemy takes for a parameter. The stream comes as bytes,
-- for a service's connection may have an encoding that lacks its characters. All names are qualified: its search_path may
-- hold others.
SELECT id, pg_catalog.convert_to(stream, 'UTF8'), version, position FROM holonstream.append_events(
    CAST(CAST(%(events)s AS pg_catalog.text) AS pg_catalog.jsonb),
    CAST(CAST(%(expected)s AS pg_catalog.text) AS pg_catalog.jsonb));

-- get_event --
-- One event by its id.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e WHERE e.id = %(id)s;

-- row_security --
-- Whether row-level security may hide events from this login.
SELECT row_security_active('holonstream.events');

-- get_events --
-- Events by any of the filters, in log order. Planned again for each set of filters.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(until)s
  AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
  AND (%(start_time)s::timestamptz IS NULL OR e.occurred_at >= %(start_time)s::timestamptz)
  AND (%(end_time)s::timestamptz IS NULL OR e.occurred_at <= %(end_time)s::timestamptz)
  AND (%(actor)s::text IS NULL OR e.actor = %(actor)s::text)
  AND (%(subjects)s::text[] IS NULL OR e.subjects OPERATOR(pg_catalog.&&) %(subjects)s::text[])
ORDER BY e.position
LIMIT %(limit)s::bigint;

-- before_last --
-- The position before the last events that satisfy the filters of get_events, `limit` of them; 0 with fewer.
SELECT coalesce(min(f.position) - 1, 0) FROM (
    SELECT e.position FROM holonstream.events AS e
    WHERE e.position <= %(until)s
      AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
      AND (%(start_time)s::timestamptz IS NULL OR e.occurred_at >= %(start_time)s::timestamptz)
      AND (%(end_time)s::timestamptz IS NULL OR e.occurred_at <= %(end_time)s::timestamptz)
      AND (%(actor)s::text IS NULL OR e.actor = %(actor)s::text)
      AND (%(subjects)s::text[] IS NULL OR e.subjects OPERATOR(pg_catalog.&&) %(subjects)s::text[])
    ORDER BY e.position DESC
    LIMIT %(limit)s::bigint
) AS f;

-- last_event --
-- The position of the last event up to another; 0 without one.
SELECT coalesce(max(e.position), 0) FROM holonstream.events AS e WHERE e.position <= %(until)s;

-- read --
-- A stretch of the log.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(until)s
ORDER BY e.position;

-- read_stream --
-- A stretch of one stream.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.stream = %(stream)s AND e.version > %(after)s AND e.position <= %(until)s
ORDER BY e.version
LIMIT %(limit)s::bigint;

-- read_streams --
-- A stretch of the log in the order of its streams, along the unique index on (stream, version).
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE (e.stream, e.version) > (%(stream)s::text, %(version)s::bigint) AND e.position <= %(until)s
ORDER BY e.stream, e.version
LIMIT %(limit)s;

-- stream_places --
-- Of some streams the position of one version each, null when the log lacks it, and the last version.
SELECT s.stream, e.position, t.version
FROM unnest(%(streams)s::text[], %(versions)s::bigint[]) AS s(stream, version)
JOIN holonstream.streams AS t ON t.stream = s.stream COLLATE "C"
LEFT JOIN holonstream.events AS e ON e.stream = s.stream COLLATE "C" AND e.version = s.version;

-- unknown_streams --
-- Those of some streams that have no event.
SELECT s.stream FROM pg_catalog.unnest(%(streams)s::text[]) AS s(stream)
WHERE NOT EXISTS (SELECT FROM holonstream.events AS e WHERE e.stream = s.stream COLLATE "C");

-- streams_at --
-- The streams of the events at or next beyond some positions.
SELECT DISTINCT s.stream FROM pg_catalog.unnest(%(positions)s::bigint[]) AS p(position) CROSS JOIN LATERAL (
    SELECT e.stream FROM holonstream.events AS e
    WHERE e.position >= p.position AND e.position <= %(until)s
    ORDER BY e.position LIMIT 1
) AS s;

-- frontier --
-- Up to where the log is gap-free. What is read up to it must be read by a later statement, in a new snapshot.
SELECT head, frontier FROM holonstream.frontier(%(after)s::bigint);

-- last_position --
-- The last position drawn, whether committed or not; 0 before the first.
SELECT holonstream.last_position();

-- frontier_holder --
-- The transaction that holds the frontier lowest, and of those at one position the oldest.
SELECT h.held, h.pid, coalesce(a.usename, p.owner)::text, a.application_name, a.client_addr::text,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
       coalesce(a.state, CASE WHEN p.gid IS NOT NULL THEN 'prepared' END), p.gid
FROM holonstream.frontier_holders() AS h
LEFT JOIN pg_stat_activity AS a ON a.pid = h.pid
LEFT JOIN pg_locks AS x ON h.pid IS NULL AND x.locktype = 'transactionid' AND x.virtualtransaction = h.holder
LEFT JOIN pg_prepared_xacts AS p ON p.transaction = x.transactionid
ORDER BY h.held, coalesce(a.xact_start, p.prepared)
LIMIT 1;

-- foreign_locks --
-- Sessions that have a lock like those of appends and do not append. An exclusive one makes appends wait.
SELECT a.pid, a.usename::text, a.application_name, a.client_addr::text, a.state, count(*)
FROM holonstream.frontier_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE NOT EXISTS (SELECT FROM holonstream.appending_transactions AS t WHERE t.pid = l.pid)
GROUP BY a.pid, a.usename, a.application_name, a.client_addr, a.state
ORDER BY a.pid;

-- read_batches --
-- What the relay publishes: (position, stream, record value) in log order.
SELECT e.position, e.stream, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(frontier)s
ORDER BY e.position
LIMIT %(limit)s;

-- other_events_at --
-- Those of some events that the log does not have at their positions; and of the one that it has there: id, stream, and when it was
-- recorded.
SELECT t.position, t.id, e.id::text, e.stream, extract(epoch FROM e.recorded_at)::float8
FROM unnest(%(positions)s::bigint[], %(ids)s::text[]) AS t (position, id)
LEFT JOIN holonstream.events AS e ON e.position = t.position
WHERE e.id IS DISTINCT FROM t.id::uuid;

-- first_position --
-- The position of the log's first event; null without one.
SELECT min(position) FROM holonstream.events;

-- log_identity --
-- Which database of which cluster this is: a physical copy has the same, a restored dump another one.
SELECT s.system_identifier::text || '-' || d.oid::text
FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database();

-- backend --
-- The number of the session's backend.
SELECT pg_backend_pid();

-- try_lead --
-- Take the leader lock of the session, if nobody has it, and beside it the lock that says for which namespace. (A session that
-- holds that one keeps us from saying so, not from leading.)
SELECT CASE WHEN pg_try_advisory_lock(%(key)s)
            THEN pg_try_advisory_lock_shared(%(namespace)s) IS NOT NULL ELSE false END;

-- load_event_types --
-- Load the catalogue's types, which append_events checks by.
SELECT holonstream.load_event_types(%(types)s::jsonb);

-- lock_schema --
-- One init at a time.
SELECT pg_advisory_xact_lock(%(key)s);

-- schema_lock_holder --
-- Another session that has the lock of init.
SELECT pg_catalog.format('pid %%s (%%s, %%s)', l.pid, a.usename, a.application_name)
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s
LIMIT 1;

-- pin_session --
-- Make functions from names of pg_catalog and with plain strings, whatever the role or the database sets, and take as long
-- as it takes. Who waits for a table's lock makes all appends wait behind it, so that wait is short.
SELECT set_config('search_path', 'pg_catalog, pg_temp', true), set_config('standard_conforming_strings', 'on', true),
       set_config('lock_timeout', '1s', true), set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true);

-- server_encoding --
-- The encoding of the database.
SELECT current_setting('server_encoding');

-- has_migrations --
-- Whether the database has a record of its migrations.
SELECT to_regclass('holonstream.migrations') IS NOT NULL;

-- applied_schema --
-- The mark of the schema files last applied, NULL before the first time.
SELECT obj_description(to_regnamespace('holonstream'), 'pg_namespace');

-- made_now --
-- A digest of functions, views, triggers of ours, and rights, but for those to read that somebody has given to others. In the
-- names of pin_session's search_path.
SELECT md5(string_agg(m.line, E'\n' ORDER BY m.line COLLATE "C")) FROM (
    SELECT concat_ws(' ', p.proname, pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid),
                     p.prosecdef, p.provolatile, p.proconfig, p.prosrc, pg_get_function_sqlbody(p.oid)) AS line
    FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('holonstream')
    UNION ALL
    SELECT concat_ws(' ', c.relname, pg_get_viewdef(c.oid))
    FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('holonstream') AND c.relkind = 'v'
    UNION ALL
    SELECT concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
    FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE p.pronamespace = to_regnamespace('holonstream')
    UNION ALL
    SELECT concat_ws(' ', r.what, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, a.privilege_type)
    FROM (
        SELECT p.proname || ' ' || pg_get_function_identity_arguments(p.oid) AS what, p.proowner AS owner,
               coalesce(p.proacl, acldefault('f', p.proowner)) AS rights
        FROM pg_proc AS p WHERE p.pronamespace = to_regnamespace('holonstream')
        UNION ALL
        SELECT c.relname, c.relowner, c.relacl FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('holonstream')
        UNION ALL
        SELECT c.relname || '.' || t.attname, c.relowner, t.attacl
        FROM pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid
        WHERE c.relnamespace = to_regnamespace('holonstream')
        UNION ALL
        SELECT 'schema', n.nspowner, n.nspacl FROM pg_namespace AS n WHERE n.nspname = 'holonstream'
        UNION ALL
        SELECT 'database', d.datdba, coalesce(d.datacl, acldefault('d', d.datdba))
        FROM pg_database AS d WHERE d.datname = current_database()
    ) AS r CROSS JOIN LATERAL aclexplode(r.rights) AS a
    WHERE a.grantee <> r.owner AND (r.what <> 'database' OR a.privilege_type = 'CONNECT')
      AND (a.privilege_type NOT IN ('SELECT', 'USAGE', 'EXECUTE', 'CONNECT') OR a.grantee = 0
           OR pg_get_userbyid(a.grantee) IN ('holonstream_writer', 'holonstream_reader'))
) AS m;

-- made_then --
-- That digest as the last init has left it.
SELECT obj_description(to_regclass('holonstream.migrations'), 'pg_class');

-- note_made --
-- Remember it.
COMMENT ON TABLE holonstream.migrations IS {digest};

-- schema_of_others --
-- The owner of a schema of our name that somebody else has made: neither the login nor a superuser.
SELECT r.rolname FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner
WHERE n.nspname = 'holonstream' AND r.rolname <> current_user AND NOT r.rolsuper;

-- make_migrations --
-- Make that record; number 0 stands for the functions. Several commands, sent at once.
CREATE SCHEMA IF NOT EXISTS holonstream;
REVOKE ALL ON SCHEMA holonstream FROM PUBLIC;
CREATE TABLE IF NOT EXISTS holonstream.migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    release    text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- applied_migrations --
-- What was applied, in order.
SELECT number, name, release, applied_at FROM holonstream.migrations ORDER BY number;

-- note_migration --
-- Record a migration, or the functions again.
INSERT INTO holonstream.migrations AS m (number, name, release) VALUES (%(number)s, %(name)s, %(release)s)
ON CONFLICT (number) DO UPDATE SET name = excluded.name, release = excluded.release, applied_at = excluded.applied_at;

-- note_schema --
-- Remember that mark.
COMMENT ON SCHEMA holonstream IS {digest};

-- sequence_behind --
-- Whether the log holds a position that the sequence has not drawn.
SELECT (SELECT coalesce(max(e.position), 0) FROM holonstream.events AS e)
       > (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM holonstream.events_position AS s);

-- sequence_altered --
-- Whether somebody has altered the sequence (migrations 0001 and 0005).
SELECT (q.seqcache, q.seqincrement, q.seqcycle, q.seqmax) <> (1, 1, false, 281474976710655)
FROM pg_catalog.pg_sequence AS q WHERE q.seqrelid = 'holonstream.events_position'::regclass;

-- heads_differ --
-- Whether of the streams of the last events one has another head than the log.
SELECT EXISTS (
    SELECT FROM (SELECT DISTINCT l.stream FROM (
        SELECT e.stream FROM holonstream.events AS e ORDER BY e.position DESC LIMIT %(events)s) AS l) AS s
    LEFT JOIN holonstream.streams AS h ON h.stream = s.stream
    WHERE h.version IS DISTINCT FROM (SELECT max(e.version) FROM holonstream.events AS e WHERE e.stream = s.stream));

-- lock_heads --
-- Keep appends out until the transaction ends, and wait for those that are open.
LOCK TABLE holonstream.streams, holonstream.events IN SHARE ROW EXCLUSIVE MODE;

-- set_heads --
-- Give each stream of the log its last version.
INSERT INTO holonstream.streams AS s (stream, version)
SELECT e.stream, max(e.version) FROM holonstream.events AS e GROUP BY e.stream
ON CONFLICT (stream) DO UPDATE SET version = excluded.version WHERE s.version <> excluded.version;

-- empty_heads --
-- Give those that the log does not have version 0.
UPDATE holonstream.streams AS s SET version = 0
WHERE NOT EXISTS (SELECT FROM holonstream.events AS e WHERE e.stream = s.stream);

-- remove_heads --
-- Remove these.
DELETE FROM holonstream.streams WHERE version = 0;

-- altered_tables --
-- What somebody has done to the log's tables by which events may be lost, changed or doubled; what is wrong, and what helps.
WITH tables AS (SELECT unnest(ARRAY['holonstream.events', 'holonstream.streams']::regclass[]) AS id)
SELECT c.id || ' is unlogged, so that a crash of the server empties it', 'ALTER TABLE ' || c.id || ' SET LOGGED'
FROM tables AS c JOIN pg_class AS p ON p.oid = c.id WHERE p.relpersistence <> 'p'
UNION ALL
SELECT 'row-level security is on for ' || c.id || ', so that readers are refused',
       'ALTER TABLE ' || c.id || ' DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY'
FROM tables AS c JOIN pg_class AS p ON p.oid = c.id WHERE p.relrowsecurity
UNION ALL
SELECT 'trigger ' || t.tgname || ' on ' || c.id || ' may change or drop what is appended',
       format('DROP TRIGGER %I ON %s, or make it AFTER INSERT', t.tgname, c.id)
FROM tables AS c JOIN pg_trigger AS t ON t.tgrelid = c.id
WHERE t.tgtype & 7 = 7 AND NOT t.tgisinternal AND t.tgenabled <> 'D'  -- row, before, insert
UNION ALL
SELECT 'trigger ' || t.tgname || ' on ' || c.id || ', which keeps events, is off',
       format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', c.id, t.tgname)
FROM tables AS c JOIN pg_trigger AS t ON t.tgrelid = c.id
WHERE t.tgname IN ('append_only', 'keeps_events', 'never_shrinks', 'keeps_streams', 'commits_durably') AND t.tgenabled <> 'A'
UNION ALL
SELECT 'rule ' || r.rulename || ' on ' || c.id || ' may change or drop what is appended', format('DROP RULE %I ON %s', r.rulename, c.id)
FROM tables AS c JOIN pg_rewrite AS r ON r.ev_class = c.id
UNION ALL
SELECT i.inhrelid::regclass || ' inherits from ' || c.id || ', so that its rows count as events',
       format('ALTER TABLE %s NO INHERIT %s', i.inhrelid::regclass, c.id)
FROM tables AS c JOIN pg_inherits AS i ON i.inhparent = c.id
UNION ALL
SELECT c.id || ' inherits from ' || i.inhparent::regclass || ', whose rights count for its rows',
       format('ALTER TABLE %s NO INHERIT %s', c.id, i.inhparent::regclass)
FROM tables AS c JOIN pg_inherits AS i ON i.inhrelid = c.id
UNION ALL
SELECT 'constraint ' || n.name || ' is gone', 'restore the log, or make it again as migrations/0001_log.sql does'
FROM unnest(ARRAY['events_pkey', 'events_stream_version_key', 'events_id_key', 'streams_pkey']) AS n (name)
WHERE NOT EXISTS (SELECT FROM pg_constraint AS k JOIN tables AS c ON k.conrelid = c.id WHERE k.conname = n.name)
UNION ALL
SELECT format('function %s is of role %I, and may be called in place of one of ours', p.oid::regprocedure, r.rolname),
       format('DROP FUNCTION %s', p.oid::regprocedure)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_roles AS r ON r.oid = p.proowner
WHERE n.nspname = 'holonstream' AND NOT pg_has_role(p.proowner, n.nspowner, 'MEMBER');

-- restore_sequence --
-- Make it what it was.
ALTER SEQUENCE holonstream.events_position INCREMENT 1 MAXVALUE 281474976710655 CACHE 1 NO CYCLE;

-- lock_events --
-- Keep appends out until the transaction ends.
LOCK TABLE holonstream.events IN SHARE ROW EXCLUSIVE MODE;

-- raise_sequence --
-- Make the sequence continue beyond the log; the position that it then stands at.
SELECT setval('holonstream.events_position', (SELECT max(e.position) FROM holonstream.events AS e));

-- seal_entries --
-- What a seal covers of each event: position, id, and the SHA-256 of the record that the relay publishes.
SELECT int8send(e.position) || uuid_send(e.id) || sha256(convert_to(holonstream.cloud_event_v2(e), 'UTF8'))
FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(until)s
ORDER BY e.position
LIMIT %(limit)s;

-- lock_seals --
-- One who makes seals at a time.
LOCK TABLE holonstream.seals IN SHARE ROW EXCLUSIVE MODE;

-- last_seal --
-- The last seal.
SELECT number, "after", until, events, root, previous, sealed_at FROM holonstream.seals ORDER BY number DESC LIMIT 1;

-- seals --
-- All seals, without their entries.
SELECT number, "after", until, events, root, previous, sealed_at FROM holonstream.seals ORDER BY number;

-- entries_of_seal --
-- The entries of a seal.
SELECT entries FROM holonstream.seals WHERE number = %(number)s;

-- add_seal --
-- Add a seal.
INSERT INTO holonstream.seals (number, "after", until, events, root, previous, sealed_at, entries)
VALUES (%(number)s, %(after)s, %(until)s, %(events)s, %(root)s, %(previous)s, %(sealed_at)s, %(entries)s);

-- relay_lag --
-- How many events lie beyond a position, counted up to a bound, and the age of the first of them in seconds.
SELECT (SELECT count(*) FROM (SELECT FROM holonstream.events AS e WHERE e.position > %(position)s LIMIT %(bound)s) AS b),
       (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8 FROM holonstream.events AS e
        WHERE e.position > %(position)s ORDER BY e.position LIMIT 1);

-- relay_leader --
-- The session that has the leader lock; and whether it has it for another namespace. (Relays of earlier versions and
-- other programs do not say for which.)
SELECT l.pid, a.usename::text, a.application_name, a.client_addr::text,
       extract(epoch FROM clock_timestamp() - a.backend_start)::float8,
       coalesce((SELECT bool_and((n.classid::bigint << 32 | n.objid::bigint) <> %(namespace)s) FROM pg_locks AS n
                 WHERE n.pid = l.pid AND n.locktype = 'advisory' AND n.granted AND n.objsubid = 1
                   AND n.database = l.database AND n.classid::bigint >> 16 = %(namespace)s >> 48), false)
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s;

-- server_facts --
-- What doctor shows of the server.
SELECT current_setting('server_version'), current_setting('server_encoding'), current_user::text,
       extract(epoch FROM clock_timestamp())::float8, pg_database_size(current_database()),
       (SELECT count(*) FROM pg_stat_activity AS a WHERE a.backend_type = 'client backend'),
       current_setting('max_connections')::bigint,
       (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'data_directory'),
       ARRAY(SELECT s.name FROM pg_settings AS s
             WHERE s.name IN ('fsync', 'full_page_writes') AND s.setting = 'off' ORDER BY s.name);

-- loaded_event_types --
-- The event types that the log knows.
SELECT name, version FROM holonstream.event_types;

-- log_rights --
-- What the login may do with the log: append, read, see the sessions of others.
SELECT has_function_privilege('holonstream.append_events(jsonb, jsonb)', 'EXECUTE'),
       has_table_privilege('holonstream.events', 'SELECT'),
       pg_has_role('pg_read_all_stats', 'MEMBER');

-- idle_transactions --
-- Sessions of this database that keep a transaction open and do nothing, oldest first.
SELECT a.pid, a.usename::text, a.application_name, extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.state LIKE 'idle in transaction%%'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY a.xact_start;

-- store_topic_limit --
-- Note how large an event may be so that its record fits a topic.
INSERT INTO holonstream.topic_limits AS l (topic, event_bytes) VALUES (%(topic)s, %(event_bytes)s)
ON CONFLICT (topic) DO UPDATE SET event_bytes = excluded.event_bytes WHERE l.event_bytes <> excluded.event_bytes;

-- event_limit --
-- How large an event may be, and the topic that allows no more, if it is another one: that of another namespace, which may be
-- gone.
SELECT holonstream.max_event_bytes(), (
    SELECT l.topic FROM holonstream.topic_limits AS l
    WHERE l.event_bytes = holonstream.max_event_bytes()
      AND l.event_bytes < (SELECT o.event_bytes FROM holonstream.topic_limits AS o WHERE o.topic = %(topic)s)
    ORDER BY l.topic LIMIT 1);

-- remove_topic_limit --
-- Forget the limit of a topic that no relay publishes to any more.
DELETE FROM holonstream.topic_limits WHERE topic = {topic};
