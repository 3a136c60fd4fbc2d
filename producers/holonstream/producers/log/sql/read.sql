-- Reading the log: the frontier, and the form in which events travel.

-- An instant as schemas/instant.render writes it: milliseconds, or microseconds when it has them.
-- (An interval instead of a zone's name: no look-up of the zone.)
CREATE OR REPLACE FUNCTION holonstream.instant_text(value timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT to_char(timezone(interval '0', value),
                   CASE WHEN value = value::timestamptz(3)
                        THEN 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END)
$$;

-- An event as one CloudEvents 1.0 event in structured JSON (schemas/wire.py). The relay does this for every event:
-- concat writes the text once, where || copies it at each step and json_build_object costs three times as much.
-- Neither id nor type can need escaping (event_types.name is checked); both functions are inlined.
CREATE OR REPLACE FUNCTION holonstream.cloud_event(e holonstream.events) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT concat(
        '{"specversion":"1.0","id":"', e.id,
        '","type":"', e.type,
        '","source":', to_json(e.source_system),
        ',"subject":', to_json(e.stream),
        ',"time":"', holonstream.instant_text(e.occurred_at),
        '","datacontenttype":"application/json","dataschema":"urn:holonstream:event:', e.type, ':', e.schema_version,
        '","sequence":"', e.position,
        '","streamversion":', e.version,
        ',"recordedtime":"', holonstream.instant_text(e.recorded_at),
        '","actor":', to_json(e.actor),
        ',"subjects":', array_to_json(e.subjects),
        CASE WHEN e.source_document IS NOT NULL THEN ',"sourcedocument":' || to_json(e.source_document) END,
        CASE WHEN e.validity_window IS NOT NULL THEN ',"validitywindow":' || e.validity_window::text END,
        CASE WHEN e.causal_links IS NOT NULL THEN ',"causallinks":' || e.causal_links::text END,
        CASE WHEN e.traceparent IS NOT NULL THEN ',"traceparent":' || to_json(e.traceparent) END,
        ',"data":', e.payload, '}')
$$;

-- How far the log is settled: up to `frontier` every position is committed and visible to a snapshot taken after this
-- call, or will never be used. `head` is the last position drawn.
--
-- The order of the two statements is the proof. Whoever drew a position up to `head` took its lock before drawing, so
-- before the first statement; at the second the lock is held, and the frontier stays at or below its L, or released,
-- and then the transaction has ended. In one statement the locks could be read first. `after`: when nothing was drawn
-- beyond it the locks, which cost more, are not looked at.
--
-- Raises HS008 on a server in recovery, which knows the primary's sequence in advance and its locks not at all; HS009
-- when the log holds, or `after` says that it held, a position that the sequence has not drawn yet.
CREATE OR REPLACE FUNCTION holonstream.frontier("after" bigint DEFAULT -1, OUT head bigint, OUT frontier bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'Not the primary: this server is in recovery' USING ERRCODE = 'HS008';
    END IF;
    head := holonstream.last_position();
    IF head < "after" THEN
        RAISE EXCEPTION 'Position sequence behind: it has drawn %, position % was drawn before', head, "after"
            USING ERRCODE = 'HS009', DETAIL = jsonb_build_object('drawn', head, 'written', "after");
    END IF;
    frontier := head;
    IF head > "after" THEN
        SELECT least(head, min(h.held)) INTO frontier FROM holonstream.frontier_locks AS h;
    END IF;
END
$$;

-- The frontier locks of this database: who holds the frontier at which position.
CREATE OR REPLACE VIEW holonstream.frontier_locks AS
    SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS held, l.pid
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 = 18515
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());
