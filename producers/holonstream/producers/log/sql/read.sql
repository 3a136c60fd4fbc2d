-- Reading the log: the frontier, and the form in which events travel.
--
-- Whatever a session's search_path says, the names here are those of pg_catalog: functions that are inlined have a body
-- that is parsed when they are made (RETURN), the others set their own search_path.

-- An instant as schemas/instant.render writes it: milliseconds, or microseconds when it has them.
-- (An interval instead of a zone's name: no look-up of the zone.)
CREATE OR REPLACE FUNCTION holonstream.instant_text(value timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(timezone(interval '0', value),
               CASE WHEN value = value::timestamptz(3)
                    THEN 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END);

-- A text as a URI reference: what is one already stays (a URI, or unreserved characters only), in anything else every
-- character that is not unreserved is percent-encoded. No text that stays holds a "%", so decoding gives the text back.
-- A long text by runs of characters, in linear time; a short one by its different characters, which costs a third of that.
CREATE OR REPLACE FUNCTION holonstream.uri_reference(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reference text := replace(value, '%', '%25');
    reserved  text;
BEGIN
    IF value ~ '^[A-Za-z][A-Za-z0-9+.-]*:(//[A-Za-z0-9.-]+(:[0-9]+)?)?(/?[A-Za-z0-9._~!$&''()*+,;=:@-]+)*/?$'
       AND value !~ ':$' THEN
        RETURN value;
    END IF;
    IF length(value) > 100 THEN
        RETURN (SELECT string_agg(CASE WHEN r.run[1] ~ '^[A-Za-z0-9._~-]' THEN r.run[1]
                                       ELSE regexp_replace(upper(encode(convert_to(r.run[1], 'UTF8'), 'hex')), '(..)', E'%\\1', 'g')
                                  END, '' ORDER BY r.n)
                FROM regexp_matches(value, '[A-Za-z0-9._~-]+|[^A-Za-z0-9._~-]+', 'g') WITH ORDINALITY AS r (run, n));
    END IF;
    LOOP
        reserved := substring(reference FROM '[^A-Za-z0-9._~%-]');
        EXIT WHEN reserved IS NULL;
        reference := replace(reference, reserved,
                             regexp_replace(upper(encode(convert_to(reserved, 'UTF8'), 'hex')), '(..)', E'%\\1', 'g'));
    END LOOP;
    RETURN reference;
END
$$;

-- An event as one CloudEvents 1.0 event in structured JSON (schemas/wire.py, docs/adr/0006). The relay does this for every
-- event: concat writes the text once, where || copies it at each step and json_build_object costs three times as much.
-- Neither id nor type can need escaping (event_types.name is checked); the SQL functions are inlined.
CREATE OR REPLACE FUNCTION holonstream.cloud_event_v2(e holonstream.events) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN concat(
    '{"specversion":"1.0","id":"', e.id,
    '","type":"', e.type,
    '","source":"', CASE WHEN quote_ident(e.source_system) = e.source_system  -- lower case: cheaper than the pattern
                           OR e.source_system !~ '[^A-Za-z0-9._~-]' THEN e.source_system
                         ELSE holonstream.uri_reference(e.source_system) END,
    '","subject":', to_json(e.stream),
    ',"time":"', holonstream.instant_text(e.occurred_at),
    '","datacontenttype":"application/json","dataschema":"urn:holonstream:event:', e.type, ':', e.schema_version,
    '","sequence":"', lpad(e.position::text, 19, '0'),  -- in the order of positions as text, too
    '","streamversion":"', e.version,
    '","recordedtime":"', holonstream.instant_text(e.recorded_at),
    '","actor":', to_json(e.actor),
    ',"subjects":', to_json(array_to_json(e.subjects)::text),
    CASE WHEN e.source_document IS NOT NULL THEN ',"sourcedocument":' || to_json(e.source_document) END,
    CASE WHEN e.validity_window IS NOT NULL THEN ',"validitywindow":' || to_json(e.validity_window::text) END,
    CASE WHEN e.causal_links IS NOT NULL THEN ',"causallinks":' || to_json(e.causal_links::text) END,
    CASE WHEN e.traceparent IS NOT NULL THEN ',"traceparent":' || to_json(e.traceparent) END,
    ',"data":', e.payload, '}');

-- The form before, for a relay of 0.1 that still runs while an upgrade is under way.
CREATE OR REPLACE FUNCTION holonstream.cloud_event(e holonstream.events) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN concat(
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
    ',"data":', e.payload, '}');

-- Up to where the log is gap-free: up to `frontier` every position is committed and visible to a snapshot taken after this
-- call, or will never be used. `head` is the last position drawn.
--
-- The order of the two statements is the proof. Anyone who drew a position up to `head` took its lock before drawing, so
-- before the first statement; at the second the lock is held, and the frontier stays at or below its L, or released,
-- and then the transaction has ended. In one statement the locks could be read first. `after`: when nothing was drawn
-- beyond it the locks, which cost more, are not read.
--
-- Raises HS008 on a server in recovery, which knows the primary's sequence in advance and its locks not at all, and on a
-- logical replica (last_position); HS009
-- when the log holds, or `after` says that it held, a position that the sequence has not drawn yet.
CREATE OR REPLACE FUNCTION holonstream.frontier("after" bigint DEFAULT -1, OUT head bigint, OUT frontier bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
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
        SELECT least(head, min(h.held)) INTO frontier FROM holonstream.frontier_holders() AS h;
    END IF;
END
$$;

-- The advisory locks of this database that look like frontier locks, and who has them. Anybody who may connect can take
-- such a lock.
CREATE OR REPLACE VIEW holonstream.frontier_locks AS
    SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS held, l.pid, l.virtualtransaction AS holder
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint >> 16 = 18515
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());

-- The transactions that append, or have appended and are still open. `pid` is NULL for a prepared one.
--
-- Anyone who appends locks rows of holonstream.streams first, and so holds a ROW EXCLUSIVE lock on that table until the
-- transaction ends; only the owner's functions get that.
CREATE OR REPLACE VIEW holonstream.appending_transactions AS
    SELECT l.virtualtransaction AS holder, l.pid FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'relation' AND l.relation = 'holonstream.streams'::regclass AND l.mode = 'RowExclusiveLock'
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database());

-- The frontier locks of transactions that append. `pid` is NULL for a prepared transaction.
--
-- A frontier lock whose holder does not append is somebody else's. Locks change while they are read (a transaction that is being prepared hands them on one by one), so
-- a lock is left out only if the same holder has it before and after the table's locks were read without one of his.
CREATE OR REPLACE FUNCTION holonstream.frontier_holders() RETURNS TABLE (held bigint, pid integer, holder text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before    holonstream.frontier_locks[] := ARRAY(SELECT l FROM holonstream.frontier_locks AS l);
    appending text[];
BEGIN
    IF before = '{}' THEN
        RETURN;
    END IF;
    appending := ARRAY(SELECT a.holder FROM holonstream.appending_transactions AS a);
    RETURN QUERY
        SELECT b.held, b.pid, b.holder FROM unnest(before) AS b WHERE b.holder = ANY (appending)
        UNION ALL
        SELECT b.held, b.pid, b.holder FROM unnest(before) AS b
        WHERE b.holder <> ALL (appending)
          AND NOT EXISTS (SELECT FROM holonstream.frontier_locks AS l WHERE l.held = b.held AND l.holder = b.holder);
END
$$;
