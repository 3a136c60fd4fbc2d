-- Who may do what. A service gets holonstream_writer (EXECUTE only: append-only by privilege), the relay and other
-- readers of the log holonstream_reader. Roles belong to the whole cluster and may be there from another database.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['holonstream_writer', 'holonstream_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- made at the same moment from another database
            END;
        END IF;
    END LOOP;
    -- Lets a reader see who holds the frontier (pg_stat_activity hides the sessions of others).
    IF NOT pg_has_role('holonstream_reader', 'pg_read_all_stats', 'MEMBER') THEN
        BEGIN
            GRANT pg_read_all_stats TO holonstream_reader;
        EXCEPTION WHEN insufficient_privilege OR unique_violation THEN
            RAISE NOTICE 'holonstream_reader cannot see who holds the frontier: GRANT pg_read_all_stats TO it';
        END;
    END IF;
END
$$;

-- Anyone who may connect can take advisory locks, those of appends and of the relay's leader among them.
DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO holonstream_writer, holonstream_reader', current_database());
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA holonstream FROM PUBLIC, holonstream_writer, holonstream_reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA holonstream FROM PUBLIC, holonstream_writer, holonstream_reader;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA holonstream FROM PUBLIC, holonstream_writer, holonstream_reader;
REVOKE ALL ON SCHEMA holonstream FROM PUBLIC, holonstream_writer, holonstream_reader;

-- Rights to write that ALTER DEFAULT PRIVILEGES or somebody has given, on tables, on single columns, and on the schema: what
-- is written past append_events takes no frontier lock, so that the relay may pass it by, and a function that somebody
-- makes here may be called in place of one of ours. Rights to read stay.
DO $$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT c.oid::regclass AS name, c.relkind, a.grantee::regrole AS grantee,
               bool_or(a.privilege_type = 'SELECT') AS reads
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.relnamespace = 'holonstream'::regnamespace AND a.grantee NOT IN (0, c.relowner)
        GROUP BY c.oid, c.relkind, a.grantee
        HAVING bool_or(a.privilege_type NOT IN ('SELECT', 'USAGE'))
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', CASE other.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                       other.name, other.grantee);
        IF other.reads THEN
            EXECUTE format('GRANT SELECT ON %s %s TO %s', CASE other.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                           other.name, other.grantee);
        END IF;
        RAISE NOTICE '% could write to %: revoked', other.grantee, other.name;
    END LOOP;
    FOR other IN
        SELECT c.oid::regclass AS name, a.grantee::regrole AS grantee, string_agg(DISTINCT a.privilege_type, ', ') AS rights
        FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) AS a
        WHERE c.relnamespace = 'holonstream'::regnamespace AND a.grantee NOT IN (0, c.relowner)
          AND a.privilege_type <> 'SELECT'
        GROUP BY c.oid, a.grantee
    LOOP  -- on the table, which takes the rights on its columns away too
        EXECUTE format('REVOKE %s ON TABLE %s FROM %s CASCADE', other.rights, other.name, other.grantee);
        RAISE NOTICE '% could write to columns of %: revoked', other.grantee, other.name;
    END LOOP;
    FOR other IN
        SELECT a.grantee::regrole AS grantee
        FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        WHERE n.nspname = 'holonstream' AND a.grantee NOT IN (0, n.nspowner) AND a.privilege_type = 'CREATE'
    LOOP
        EXECUTE format('REVOKE CREATE ON SCHEMA holonstream FROM %s CASCADE', other.grantee);
        RAISE NOTICE '% could create objects in schema holonstream: revoked', other.grantee;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA holonstream TO holonstream_writer, holonstream_reader;
GRANT EXECUTE ON FUNCTION holonstream.append_events(jsonb, jsonb) TO holonstream_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA holonstream TO holonstream_reader;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA holonstream TO holonstream_reader;
GRANT EXECUTE ON FUNCTION holonstream.frontier(bigint), holonstream.frontier_holders(), holonstream.last_position(),
    holonstream.cloud_event(holonstream.events), holonstream.cloud_event_v2(holonstream.events),
    holonstream.instant_text(timestamptz), holonstream.uri_reference(text) TO holonstream_reader;

-- A stream without events is only a lock (append.sql). Release 0.2 refused to delete that too.
CREATE OR REPLACE TRIGGER never_shrinks BEFORE TRUNCATE ON holonstream.streams
    FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
CREATE OR REPLACE TRIGGER keeps_streams BEFORE DELETE ON holonstream.streams
    FOR EACH ROW WHEN (OLD.version > 0) EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.streams ENABLE ALWAYS TRIGGER never_shrinks, ENABLE ALWAYS TRIGGER keeps_streams;

-- For each row, too: a statement on a table that events were made to inherit from, and logical replication, which applies
-- changes row by row, fire no trigger of a statement.
CREATE OR REPLACE TRIGGER keeps_events BEFORE UPDATE OR DELETE ON holonstream.events
    FOR EACH ROW EXECUTE FUNCTION holonstream.refuse_change();
CREATE OR REPLACE TRIGGER keeps_seals BEFORE UPDATE OR DELETE ON holonstream.seals
    FOR EACH ROW EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.events ENABLE ALWAYS TRIGGER keeps_events;
ALTER TABLE holonstream.seals ENABLE ALWAYS TRIGGER keeps_seals;
