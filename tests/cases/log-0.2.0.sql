-- The event log as release 0.2.0 made it: pg_dump --schema-only --no-owner, without comments and settings.
CREATE SCHEMA holonstream;
COMMENT ON SCHEMA holonstream IS 'event log 0123456789abcdef';
CREATE TYPE holonstream.incoming AS (
	ord integer,
	stream text,
	nth bigint,
	id uuid,
	type text,
	schema_version integer,
	occurred_at timestamp with time zone,
	actor text,
	subjects text[],
	payload jsonb,
	source_system text,
	source_document text,
	validity_window jsonb,
	causal_links jsonb,
	traceparent text
);
CREATE FUNCTION holonstream.append_events(events jsonb, expected jsonb DEFAULT NULL::jsonb) RETURNS TABLE(ord integer, id uuid, stream text, version bigint, "position" bigint, token text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    SET enable_seqscan TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    incoming   holonstream.incoming[];
    valid      boolean;
    repeated   boolean;  -- an id comes twice in this call
    streams    text[];
    heads      bigint[];  -- of `streams`, before this call
    given      holonstream.incoming[];  -- all of the call's events; `incoming` loses those that are in the log
    known      integer[];  -- ord of the events that are in the log already
BEGIN
    -- 1. Read and check, all events at once.
    BEGIN
        SELECT array_agg(ROW(e.ord, e.stream, e.nth, e.id, e.type, e.schema_version, e.occurred_at, e.actor, e.subjects,
                             e.payload, e.source_system, e.source_document, e.validity_window, e.causal_links,
                             e.traceparent)::holonstream.incoming),
               bool_and(e.valid AND e.stream IS NOT NULL
                        AND holonstream.is_in_range(e.occurred_at)),
               count(DISTINCT e.id) < count(*)
        INTO incoming, valid, repeated
        FROM (
            SELECT row_number() OVER (PARTITION BY hashtext(e.stream), e.stream ORDER BY e.ord) AS nth, e.*
            FROM (
                SELECT e.ord::integer AS ord, coalesce(e.id::uuid, holonstream.new_id()) AS id, e.type,
                       t.version AS schema_version, holonstream.instant_of(e."occurredAt") AS occurred_at, e.actor, e.subjects,
                       coalesce(e.payload, '{}') AS payload, e."sourceSystem" AS source_system,
                       e."sourceDocument" AS source_document, nullif(e."validityWindow", 'null') AS validity_window,
                       nullif(nullif(e."causalLinks", '{}'), 'null') AS causal_links, e.traceparent,
                       CASE t.stream_kind WHEN 'holon' THEN 'holon/' || e.subjects[1]
                                          ELSE 'relationship/' || (e.payload ->> 'relationshipId') END AS stream,
                       coalesce(
                           -- The types in JSON: a column also takes a number as text, and a text '{a,b}' as a list.
                           jsonb_typeof(e.raw -> 'type') = 'string' AND jsonb_typeof(e.raw -> 'occurredAt') = 'string'
                           AND jsonb_typeof(e.raw -> 'actor') = 'string' AND jsonb_typeof(e.raw -> 'sourceSystem') = 'string'
                           AND to_jsonb(e.subjects) = e.raw -> 'subjects'
                           AND (e.id IS NULL OR jsonb_typeof(e.raw -> 'id') = 'string'
                                             AND e.id LIKE '________-____-____-____-____________')  -- casts take more
                           AND (e."schemaVersion" IS NULL OR jsonb_typeof(e.raw -> 'schemaVersion') = 'number')
                           AND (e."sourceDocument" IS NULL OR jsonb_typeof(e.raw -> 'sourceDocument') = 'string')
                           AND (e.traceparent IS NULL OR jsonb_typeof(e.raw -> 'traceparent') = 'string')
                           AND cardinality(e.subjects) >= t.required_subjects AND array_ndims(e.subjects) = 1
                           AND holonstream.is_instant(e."occurredAt")
                           AND e.actor <> '' AND e."sourceSystem" <> ''
                           AND ',' || array_to_string(e.subjects, ',', '') || ',' NOT LIKE '%,,%'
                           AND (e.payload IS NULL AND t.required = '{}'
                                OR jsonb_typeof(e.payload) = 'object' AND e.payload ?& t.required
                                   AND NOT e.payload @> ANY (t.required_nulls)
                                   AND holonstream.is_small(e.payload))
                           AND octet_length(concat(e.actor, e."sourceSystem", e."sourceDocument", e.traceparent,
                                                   array_to_string(e.subjects, ''))) < 1000
                           AND (t.stream_kind = 'holon' OR octet_length(e.payload ->> 'relationshipId') BETWEEN 1 AND 900
                                AND jsonb_typeof(e.payload -> 'relationshipId') = 'string')
                           AND (e."validityWindow" IS NULL OR holonstream.is_validity_window(e."validityWindow")
                                AND holonstream.is_small(e."validityWindow"))
                           AND (e."causalLinks" IS NULL OR jsonb_typeof(e."causalLinks") = 'object'
                                AND holonstream.is_small(e."causalLinks")),
                           false) AS valid
                FROM ROWS FROM (jsonb_to_recordset(events) AS (
                    id text, type text, "schemaVersion" numeric, "occurredAt" text, actor text, subjects text[],
                    payload jsonb, "sourceSystem" text, "sourceDocument" text, "validityWindow" jsonb,
                    "causalLinks" jsonb, traceparent text), jsonb_array_elements(events)) WITH ORDINALITY
                    AS e (id, type, "schemaVersion", "occurredAt", actor, subjects, payload, "sourceSystem",
                          "sourceDocument", "validityWindow", "causalLinks", traceparent, raw, ord)
                LEFT JOIN holonstream.event_types t
                    ON t.name = e.type
                   AND CASE WHEN e."schemaVersion" IS NULL THEN t.is_current ELSE t.version = e."schemaVersion" END
            ) AS e
        ) AS e;
    EXCEPTION WHEN data_exception THEN  -- a value that its column cannot hold
        PERFORM holonstream.refuse_invalid(events);
        RAISE;
    END;
    IF NOT valid THEN
        PERFORM holonstream.refuse_invalid(events);
    END IF;
    IF incoming IS NULL THEN
        RETURN;
    END IF;
    -- 2. Lock the streams and move their heads on, in one order for everybody, so that two calls cannot deadlock.
    WITH counted AS (
        SELECT c.stream, sum(c.events)::bigint AS events
        FROM (SELECT i.stream, 1 AS events FROM unnest(incoming) AS i
              UNION ALL SELECT x.key, 0 FROM jsonb_object_keys(expected) AS x (key)) AS c
        GROUP BY c.stream
    ), locked AS (
        INSERT INTO holonstream.streams AS s (stream, version)
        SELECT c.stream, c.events FROM counted AS c ORDER BY c.stream COLLATE "C"
        ON CONFLICT (stream) DO UPDATE SET version = s.version + excluded.version
        RETURNING s.stream, s.version
    )
    SELECT array_agg(l.stream), array_agg(l.version - c.events) INTO streams, heads
    FROM locked AS l JOIN counted AS c ON c.stream = l.stream;
    -- 3. Look for ids that are in the log already. Whoever appends the same event at the same time had to wait in
    -- step 2, for an event's content names its stream.
    given := incoming;
    SELECT array_agg(i.ord) INTO known FROM unnest(incoming) AS i JOIN holonstream.events AS e ON e.id = i.id;
    IF repeated OR known IS NOT NULL THEN
        incoming := holonstream.drop_repetitions(incoming, known);
        UPDATE holonstream.streams AS s SET version = s.version - d.events
        FROM (SELECT g.stream, count(*) AS events FROM unnest(given) AS g
              WHERE g.ord NOT IN (SELECT i.ord FROM unnest(incoming) AS i) GROUP BY g.stream) AS d
        WHERE s.stream = d.stream;
    END IF;
    IF incoming IS NOT NULL THEN
        -- 4. Compare the heads with what the caller expects.
        IF expected IS NOT NULL THEN
            PERFORM holonstream.check_expected(expected, streams, heads);
        END IF;
        -- 5. Draw the positions, with the streams locked: in a stream, versions and positions rise together.
        PERFORM holonstream.hold_frontier();
        IF known IS NULL AND NOT repeated THEN
            RETURN QUERY
                SELECT w.ord::integer, w.id, w.stream, w.version, w.position, holonstream.token_text(w.stream, w.position)
                FROM holonstream.write_events(incoming, streams, heads)
                    WITH ORDINALITY AS w (id, stream, version, position, ord);
            RETURN;
        END IF;
        PERFORM FROM holonstream.write_events(incoming, streams, heads);
    END IF;
    RETURN QUERY
        SELECT g.ord, e.id, e.stream, e.version, e.position, holonstream.token_text(e.stream, e.position)
        FROM unnest(given) AS g JOIN holonstream.events AS e ON e.id = g.id
        ORDER BY g.ord;
END
$$;
CREATE FUNCTION holonstream.check_expected(expected jsonb, streams text[], heads bigint[]) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    wrong record;
BEGIN
    SELECT x.key AS stream, x.value AS expected, h.version AS actual INTO wrong
    FROM jsonb_each(expected) AS x JOIN unnest(streams, heads) AS h (stream, version) ON h.stream = x.key
    WHERE x.value IS DISTINCT FROM to_jsonb(h.version)
    ORDER BY x.key LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Wrong expected version: stream % is at version %, expected %',
            wrong.stream, wrong.actual, wrong.expected
            USING ERRCODE = 'HS003', DETAIL = jsonb_build_object(
                'stream', wrong.stream, 'expected', wrong.expected, 'actual', wrong.actual);
    END IF;
END
$$;
CREATE TABLE holonstream.events (
    "position" bigint NOT NULL,
    stream text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    schema_version integer NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    actor text NOT NULL COLLATE pg_catalog."C",
    subjects text[] NOT NULL COLLATE pg_catalog."C",
    payload jsonb NOT NULL,
    source_system text NOT NULL,
    source_document text,
    validity_window jsonb,
    causal_links jsonb,
    traceparent text
);
CREATE FUNCTION holonstream.cloud_event(e holonstream.events) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
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
CREATE FUNCTION holonstream.cloud_event_v2(e holonstream.events) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT concat(
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
        ',"data":', e.payload, '}')
$$;
CREATE FUNCTION holonstream.drop_repetitions(incoming holonstream.incoming[], known integer[]) RETURNS holonstream.incoming[]
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    clash  record;
    result holonstream.incoming[];
BEGIN
    -- A repetition may have another traceparent, and another schema version when the newest is meant.
    SELECT i.id, i.type, i.stream, e.stream AS first_stream, e.version AS first_version, e.position AS first_position
    INTO clash
    FROM unnest(incoming) AS i JOIN holonstream.events AS e ON e.id = i.id
    WHERE (e.stream, e.type, e.occurred_at, e.actor, e.subjects, e.payload, e.source_system, e.source_document,
           e.validity_window, e.causal_links)
          IS DISTINCT FROM
          (i.stream, i.type, i.occurred_at, i.actor, i.subjects, i.payload, i.source_system, i.source_document,
           i.validity_window, i.causal_links)
    ORDER BY i.ord LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Event id conflict: % (%, stream %) is in the log with other content: stream % version %, position %',
            clash.id, clash.type, clash.stream, clash.first_stream, clash.first_version, clash.first_position
            USING ERRCODE = 'HS004', DETAIL = jsonb_build_object('id', clash.id);
    END IF;
    SELECT i.id, i.type, i.stream, i.ord, f.ord AS first_ord INTO clash
    FROM (SELECT DISTINCT ON (i.id) i.* FROM unnest(incoming) AS i ORDER BY i.id, i.ord) AS f
    JOIN unnest(incoming) AS i ON i.id = f.id
    WHERE (f.stream, f.type, f.occurred_at, f.actor, f.subjects, f.payload, f.source_system, f.source_document,
           f.validity_window, f.causal_links)
          IS DISTINCT FROM
          (i.stream, i.type, i.occurred_at, i.actor, i.subjects, i.payload, i.source_system, i.source_document,
           i.validity_window, i.causal_links)
    ORDER BY i.ord LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Event id conflict: % (%, stream %) comes twice in one call with different content: numbers % and %',
            clash.id, clash.type, clash.stream, clash.first_ord, clash.ord
            USING ERRCODE = 'HS004', DETAIL = jsonb_build_object('id', clash.id);
    END IF;
    SELECT array_agg(ROW(n.ord, n.stream, n.new_nth, n.id, n.type, n.schema_version, n.occurred_at, n.actor, n.subjects,
                         n.payload, n.source_system, n.source_document, n.validity_window, n.causal_links,
                         n.traceparent)::holonstream.incoming)
    INTO result
    FROM (
        SELECT f.*, row_number() OVER (PARTITION BY f.stream ORDER BY f.ord) AS new_nth
        FROM (SELECT DISTINCT ON (i.id) i.* FROM unnest(incoming) AS i
              WHERE i.ord <> ALL (coalesce(known, '{}')) ORDER BY i.id, i.ord) AS f
    ) AS n;
    RETURN result;
END
$$;
CREATE FUNCTION holonstream.frontier(after bigint DEFAULT '-1'::integer, OUT head bigint, OUT frontier bigint) RETURNS record
    LANGUAGE plpgsql
    AS $$
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
CREATE FUNCTION holonstream.frontier_holders() RETURNS TABLE(held bigint, pid integer, holder text)
    LANGUAGE plpgsql
    AS $$
DECLARE
    before    holonstream.frontier_locks[] := ARRAY(SELECT l FROM holonstream.frontier_locks AS l);
    appending text[];
BEGIN
    IF before = '{}' THEN
        RETURN;
    END IF;
    appending := ARRAY(
        SELECT l.virtualtransaction FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'relation' AND l.relation = 'holonstream.streams'::regclass AND l.mode = 'RowExclusiveLock'
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()));
    RETURN QUERY
        SELECT b.held, b.pid, b.holder FROM unnest(before) AS b WHERE b.holder = ANY (appending)
        UNION ALL
        SELECT b.held, b.pid, b.holder FROM unnest(before) AS b
        WHERE b.holder <> ALL (appending)
          AND NOT EXISTS (SELECT FROM holonstream.frontier_locks AS l WHERE l.held = b.held AND l.holder = b.holder);
END
$$;
CREATE FUNCTION holonstream.hold_frontier() RETURNS void
    LANGUAGE plpgsql
    AS $_$
DECLARE
    transaction_id text := pg_current_xact_id()::text;
    marker         text := current_setting('holonstream.holds_frontier', true);
    marked         text := split_part(marker, ' ', 2);
    last_position  bigint;
BEGIN
    IF split_part(marker, ' ', 1) = transaction_id AND marked ~ '^[0-9]{1,15}$' THEN
        SELECT least(marked::bigint, CASE WHEN s.is_called THEN s.last_value ELSE 0 END) INTO last_position
        FROM holonstream.events_position AS s;
    ELSE
        last_position := holonstream.last_position();
    END IF;
    PERFORM pg_advisory_xact_lock_shared((18515::bigint << 48) | last_position);  -- 18515: 'HS'
    PERFORM set_config('holonstream.holds_frontier', transaction_id || ' ' || last_position, true);
    -- Otherwise others, the relay among them, would see a commit that a crash can still take back.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
END
$_$;
CREATE FUNCTION holonstream.instant_of(value text) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN length(value) < 27 AND strpos(value, ',') = 0 THEN value::timestamptz
                ELSE regexp_replace(replace(value, ',', '.'), '([.][0-9]{6})[0-9]+', '\1')::timestamptz END
$$;
CREATE FUNCTION holonstream.instant_text(value timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT to_char(timezone(interval '0', value),
                   CASE WHEN value = value::timestamptz(3)
                        THEN 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END)
$$;
CREATE FUNCTION holonstream.is_in_range(value timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT value BETWEEN '0001-01-01Z' AND '9999-12-31 23:59:59.999999Z'
$$;
CREATE FUNCTION holonstream.is_instant(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $_$
    SELECT value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,9})?Z$'
        OR value ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?'
                    '(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?)?$')
$_$;
CREATE FUNCTION holonstream.is_small(value jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $_$
    SELECT (pg_column_size(value) < 1500 OR NOT value @? '$.**{201}')
       AND (octet_length(value::text) < 4000
            OR octet_length(value::text) < 100000 AND NOT value @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)')
$_$;
CREATE FUNCTION holonstream.is_timestamp(value text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN holonstream.is_instant(value) AND holonstream.is_in_range(holonstream.instant_of(value));
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;
CREATE FUNCTION holonstream.is_validity_window(value jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    starts text := value ->> 'start';
    ends   text := value ->> 'end';
BEGIN
    RETURN jsonb_typeof(value) = 'object'
        AND coalesce(jsonb_typeof(value -> 'start'), 'null') IN ('string', 'null')
        AND coalesce(jsonb_typeof(value -> 'end'), 'null') IN ('string', 'null')
        AND coalesce(holonstream.is_instant(starts), true) AND coalesce(holonstream.is_instant(ends), true)
        AND coalesce(holonstream.is_in_range(holonstream.instant_of(starts)), true)
        AND coalesce(holonstream.is_in_range(holonstream.instant_of(ends)), true)
        AND coalesce(holonstream.instant_of(starts) <= holonstream.instant_of(ends), true);
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;
CREATE FUNCTION holonstream.last_position() RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    written bigint := 0;
    drawn   bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'serializable' THEN
        SELECT coalesce(max(e.position), 0) INTO written FROM holonstream.events AS e;
    END IF;
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO drawn FROM holonstream.events_position AS s;
    IF written > drawn THEN
        RAISE EXCEPTION 'Position sequence behind the log: it has drawn %, the log holds position %', drawn, written
            USING ERRCODE = 'HS009', DETAIL = jsonb_build_object('drawn', drawn, 'written', written),
                  HINT = 'holonstream init raises the sequence.';
    END IF;
    RETURN drawn;
END
$$;
CREATE FUNCTION holonstream.load_event_types(types jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    changed record;
BEGIN
    SELECT t.name, t.version, t.stream_kind, x."streamKind" AS wanted INTO changed
    FROM jsonb_to_recordset(types) AS x (name text, version integer, "streamKind" text)
    JOIN holonstream.event_types AS t ON t.name = x.name
    WHERE t.stream_kind <> x."streamKind" LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Event type % changes its stream from % to %: its events in the log belong to % streams; choose a new name',
            changed.name, changed.stream_kind, changed.wanted, changed.stream_kind USING ERRCODE = 'HS007';
    END IF;
    INSERT INTO holonstream.event_types AS t
        (name, version, is_current, stream_kind, required_subjects, required, required_nulls)
    SELECT x.name, x.version, x.current, x."streamKind", x."requiredSubjects", x.required,
           ARRAY(SELECT jsonb_build_object(field, NULL) FROM unnest(x.required) AS field)
    FROM jsonb_to_recordset(types)
        AS x (name text, version integer, current boolean, "streamKind" text, "requiredSubjects" integer, required text[])
    ON CONFLICT (name, version) DO UPDATE SET
        is_current = excluded.is_current, required_subjects = excluded.required_subjects,
        required = excluded.required, required_nulls = excluded.required_nulls
    WHERE (t.is_current, t.required_subjects, t.required)
          IS DISTINCT FROM (excluded.is_current, excluded.required_subjects, excluded.required);
    -- An older catalogue, loaded later, does not take the newest version back.
    UPDATE holonstream.event_types AS t SET is_current = (t.version = n.newest)
    FROM (SELECT name, max(version) AS newest FROM holonstream.event_types GROUP BY name) AS n
    WHERE n.name = t.name AND t.is_current <> (t.version = n.newest);
END
$$;
CREATE FUNCTION holonstream.new_id() RETURNS uuid
    LANGUAGE sql
    AS $$
    SELECT encode(set_byte(
        overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        6, (get_byte(uuid_send(gen_random_uuid()), 6) & 15) | 112), 'hex')::uuid
$$;
CREATE FUNCTION holonstream.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'Append-only: % of %.% refused: events are never changed or removed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'HS006';
END
$$;
CREATE FUNCTION holonstream.refuse_invalid(events jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    AS $_$
DECLARE
    event   jsonb;
    n       bigint;
    kind    holonstream.event_types;
    field   text;
    place   text;
    fault   text;
    needed  integer;
    size    bigint;
BEGIN
    IF jsonb_typeof(events) <> 'array' THEN
        RAISE EXCEPTION 'Invalid events: expected a JSON array of envelopes, got %', jsonb_typeof(events)
            USING ERRCODE = 'HS002', DETAIL = '{}';
    END IF;
    FOR event, n IN SELECT * FROM jsonb_array_elements(events) WITH ORDINALITY LOOP
        IF jsonb_typeof(event) <> 'object' THEN
            RAISE EXCEPTION 'Invalid event (number % of the call): expected an object, got %', n, jsonb_typeof(event)
                USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n);
        END IF;
        place := format('(event %s, number %s of the call)', coalesce(left(event ->> 'id', 80), 'without id'), n);
        fault := NULL;
        FOREACH field IN ARRAY ARRAY['type', 'occurredAt', 'actor', 'sourceSystem'] LOOP
            IF jsonb_typeof(event -> field) IS DISTINCT FROM 'string' OR event ->> field = '' THEN
                fault := format('%s must be a non-empty string, is %s', field, coalesce(left((event -> field)::text, 80), 'missing'));
            END IF;
        END LOOP;
        FOREACH field IN ARRAY ARRAY['id', 'sourceDocument', 'traceparent'] LOOP
            IF jsonb_typeof(event -> field) NOT IN ('string', 'null') THEN
                fault := format('%s must be a string, is %s', field, left((event -> field)::text, 80));
            END IF;
        END LOOP;
        IF fault IS NOT NULL THEN
            NULL;
        ELSIF event ->> 'id' !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
            fault := format('id is not a UUID: %s', left(event ->> 'id', 80));
        ELSIF NOT holonstream.is_timestamp(event ->> 'occurredAt') THEN
            fault := format('occurredAt is not an ISO-8601 instant: %s', left(event ->> 'occurredAt', 80));
        ELSIF jsonb_typeof(event -> 'payload') NOT IN ('object', 'null') THEN
            fault := format('payload must be an object, is %s', jsonb_typeof(event -> 'payload'));
        ELSIF jsonb_typeof(event -> 'causalLinks') NOT IN ('object', 'null') THEN
            fault := format('causalLinks must be an object, is %s', jsonb_typeof(event -> 'causalLinks'));
        ELSIF event -> 'payload' @? '$.**{201}' OR event -> 'causalLinks' @? '$.**{201}'
              OR event -> 'validityWindow' @? '$.**{201}' THEN
            fault := 'payload or causalLinks are nested more than 200 levels deep';
        ELSIF jsonb_path_exists(
                jsonb_build_array(event -> 'payload', event -> 'causalLinks', event -> 'validityWindow'),
                'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)') THEN
            fault := 'payload or causalLinks hold a number of more than 4000 digits';
        ELSIF jsonb_typeof(event -> 'validityWindow') <> 'null'
              AND NOT holonstream.is_validity_window(event -> 'validityWindow') THEN
            fault := format('validityWindow must be {start, end}, ISO-8601 instants with start not after end, is %s',
                            left(event ->> 'validityWindow', 120));
        ELSIF jsonb_typeof(event -> 'schemaVersion') NOT IN ('null', 'number')
              OR (event ->> 'schemaVersion') !~ '^[1-9][0-9]{0,8}([.]0+)?$' THEN
            fault := format('schemaVersion must be a number from 1, is %s', left(event ->> 'schemaVersion', 80));
        ELSIF jsonb_typeof(event -> 'subjects') IS DISTINCT FROM 'array' THEN
            fault := format('subjects must be a list of ids, is %s', coalesce(left(event ->> 'subjects', 80), 'missing'));
        ELSIF EXISTS (SELECT FROM jsonb_array_elements(event -> 'subjects') AS s
                      WHERE jsonb_typeof(s) <> 'string' OR s = '""' OR octet_length(s #>> '{}') > 1000) THEN
            fault := format('subjects must be non-empty strings of at most 1000 bytes, are %s', left(event ->> 'subjects', 120));
        ELSIF octet_length(event ->> 'actor') > 1000 THEN
            fault := format('actor has %s bytes, at most 1000 are taken', octet_length(event ->> 'actor'));
        END IF;
        IF fault IS NOT NULL THEN
            RAISE EXCEPTION 'Invalid event: % %', fault, place
                USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id');
        END IF;
        SELECT * INTO kind FROM holonstream.event_types t
        WHERE t.name = event ->> 'type'
          AND CASE WHEN event ->> 'schemaVersion' IS NULL THEN t.is_current
                   ELSE t.version = (event ->> 'schemaVersion')::numeric END;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Unknown event type: % %',
                concat_ws(' version ', left(event ->> 'type', 120), event ->> 'schemaVersion'), place
                USING ERRCODE = 'HS001', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id', 'type', event ->> 'type'),
                      HINT = 'holonstream init loads the catalogue''s types; docs/adding-an-event-type.md says how to add one.';
        END IF;
        needed := greatest(kind.required_subjects, (kind.stream_kind = 'holon')::integer);
        IF jsonb_array_length(event -> 'subjects') < needed THEN
            RAISE EXCEPTION 'Missing subject: % needs %, has % %', kind.name, needed,
                jsonb_array_length(event -> 'subjects'), place
                USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id');
        END IF;
        FOREACH field IN ARRAY kind.required LOOP
            IF coalesce(jsonb_typeof(event -> 'payload' -> field), 'null') = 'null' THEN
                RAISE EXCEPTION 'Missing payload field: % needs %, is % %', kind.name, field,
                    coalesce((event -> 'payload' -> field)::text, 'absent'), place
                    USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id');
            END IF;
        END LOOP;
        IF kind.stream_kind = 'relationship'
           AND (jsonb_typeof(event -> 'payload' -> 'relationshipId') IS DISTINCT FROM 'string'
                OR octet_length(event -> 'payload' ->> 'relationshipId') NOT BETWEEN 1 AND 1000) THEN
            RAISE EXCEPTION 'Invalid event: relationshipId must be a string of 1 to 1000 bytes, is % %',
                coalesce(left(event -> 'payload' ->> 'relationshipId', 80), 'missing'), place
                USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id');
        END IF;
        -- Kafka refuses records over 1 MB, and a record that Kafka refuses would hold up the relay for ever. So what the
        -- wire form adds is counted: a "\" for each quote in lists and objects, which travel as text, and "%20" for a
        -- space in the source. It also repeats the stream (a subject or an id of the payload) and adds fixed text:
        -- 100 kB are left for that.
        size := octet_length(event::text) + octet_length(holonstream.uri_reference(event ->> 'sourceSystem'))
            + (SELECT coalesce(sum(octet_length(to_json(f.value::text)::text) - octet_length(f.value::text)), 0)
               FROM jsonb_each(event) AS f WHERE f.key IN ('subjects', 'validityWindow', 'causalLinks'));
        IF size > 900000 THEN
            RAISE EXCEPTION 'Event too large: % has % bytes as JSON text, at most 900000 are taken %', kind.name, size, place
                USING ERRCODE = 'HS005', DETAIL = jsonb_build_object('ord', n, 'id', event ->> 'id', 'size', size);
        END IF;
    END LOOP;
END
$_$;
CREATE FUNCTION holonstream.token_text(stream text, "position" bigint) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT 'h1.' || translate(encode(convert_to('{' || to_json(stream) || ':' || "position" || '}', 'UTF8'), 'base64'),
                              E'+/=\n', '-_')
$$;
CREATE FUNCTION holonstream.uri_reference(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $_$
DECLARE
    reference text := replace(value, '%', '%25');
    reserved  text;
BEGIN
    IF value ~ '^[A-Za-z][A-Za-z0-9+.-]*:(//[A-Za-z0-9.-]+(:[0-9]+)?)?(/?[A-Za-z0-9._~!$&''()*+,;=:@-]+)*/?$'
       AND value !~ ':$' THEN
        RETURN value;
    END IF;
    LOOP
        reserved := substring(reference FROM '[^A-Za-z0-9._~%-]');
        EXIT WHEN reserved IS NULL;
        reference := replace(reference, reserved,
                             regexp_replace(upper(encode(convert_to(reserved, 'UTF8'), 'hex')), '(..)', '%\1', 'g'));
    END LOOP;
    RETURN reference;
END
$_$;
CREATE FUNCTION holonstream.write_events(incoming holonstream.incoming[], streams text[], heads bigint[]) RETURNS TABLE(id uuid, stream text, version bigint, "position" bigint)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    recorded_at timestamptz := date_trunc('milliseconds', clock_timestamp());
BEGIN
    RETURN QUERY
        INSERT INTO holonstream.events (
            position, stream, version, id, type, schema_version, occurred_at, recorded_at, actor, subjects, payload,
            source_system, source_document, validity_window, causal_links, traceparent)
        SELECT nextval('holonstream.events_position'), i.*  -- drawn after the sort
        FROM (
            SELECT i.stream, h.version + i.nth, i.id, i.type, i.schema_version, i.occurred_at, recorded_at, i.actor,
                   i.subjects, i.payload, i.source_system, i.source_document, i.validity_window, i.causal_links,
                   i.traceparent
            FROM unnest(incoming) AS i JOIN unnest(streams, heads) AS h (stream, version) ON h.stream = i.stream
            ORDER BY i.ord
        ) AS i
        RETURNING events.id, events.stream, events.version, events.position;
END
$$;
CREATE TABLE holonstream.event_types (
    name text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    is_current boolean NOT NULL,
    stream_kind text NOT NULL,
    required_subjects integer NOT NULL,
    required text[] NOT NULL,
    required_nulls jsonb[] NOT NULL,
    CONSTRAINT event_types_name_check CHECK ((name ~ '^[A-Za-z][A-Za-z0-9._-]*$'::text)),
    CONSTRAINT event_types_required_subjects_check CHECK ((required_subjects >= 0)),
    CONSTRAINT event_types_stream_kind_check CHECK ((stream_kind = ANY (ARRAY['holon'::text, 'relationship'::text]))),
    CONSTRAINT event_types_version_check CHECK ((version > 0))
);
CREATE SEQUENCE holonstream.events_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE VIEW holonstream.frontier_locks AS
 SELECT ((((l.classid)::bigint & (65535)::bigint) << 32) | (l.objid)::bigint) AS held,
    l.pid,
    l.virtualtransaction AS holder
   FROM pg_locks l
  WHERE ((l.locktype = 'advisory'::text) AND (l.objsubid = 1) AND (((l.classid)::bigint >> 16) = 18515) AND (l.database = ( SELECT d.oid
           FROM pg_database d
          WHERE (d.datname = current_database()))));
CREATE TABLE holonstream.streams (
    stream text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL
)
WITH (fillfactor='70');
ALTER TABLE ONLY holonstream.event_types
    ADD CONSTRAINT event_types_pkey PRIMARY KEY (name, version);
ALTER TABLE ONLY holonstream.events
    ADD CONSTRAINT events_id_key UNIQUE (id);
ALTER TABLE ONLY holonstream.events
    ADD CONSTRAINT events_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY holonstream.events
    ADD CONSTRAINT events_stream_version_key UNIQUE (stream, version);
ALTER TABLE ONLY holonstream.streams
    ADD CONSTRAINT streams_pkey PRIMARY KEY (stream);
CREATE INDEX events_actor_position_idx ON holonstream.events USING btree (actor, "position");
CREATE INDEX events_occurred_at_idx ON holonstream.events USING brin (occurred_at timestamptz_minmax_multi_ops) WITH (autosummarize='on');
CREATE INDEX events_subjects_idx ON holonstream.events USING gin (subjects);
CREATE INDEX events_type_position_idx ON holonstream.events USING btree (type, "position");
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON holonstream.events FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.events ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER never_shrinks BEFORE DELETE OR TRUNCATE ON holonstream.streams FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.streams ENABLE ALWAYS TRIGGER never_shrinks;
GRANT USAGE ON SCHEMA holonstream TO holonstream_writer;
GRANT USAGE ON SCHEMA holonstream TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.append_events(events jsonb, expected jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.append_events(events jsonb, expected jsonb) TO holonstream_writer;
REVOKE ALL ON FUNCTION holonstream.check_expected(expected jsonb, streams text[], heads bigint[]) FROM PUBLIC;
GRANT SELECT ON TABLE holonstream.events TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.cloud_event(e holonstream.events) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.cloud_event(e holonstream.events) TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.cloud_event_v2(e holonstream.events) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.cloud_event_v2(e holonstream.events) TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.drop_repetitions(incoming holonstream.incoming[], known integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.frontier(after bigint, OUT head bigint, OUT frontier bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.frontier(after bigint, OUT head bigint, OUT frontier bigint) TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.frontier_holders() FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.frontier_holders() TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.hold_frontier() FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.instant_of(value text) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.instant_text(value timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.instant_text(value timestamp with time zone) TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.is_in_range(value timestamp with time zone) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.is_instant(value text) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.is_small(value jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.is_timestamp(value text) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.is_validity_window(value jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.last_position() FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.last_position() TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.load_event_types(types jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.new_id() FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.refuse_change() FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.refuse_invalid(events jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.token_text(stream text, "position" bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION holonstream.uri_reference(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION holonstream.uri_reference(value text) TO holonstream_reader;
REVOKE ALL ON FUNCTION holonstream.write_events(incoming holonstream.incoming[], streams text[], heads bigint[]) FROM PUBLIC;
GRANT SELECT ON TABLE holonstream.event_types TO holonstream_reader;
GRANT SELECT ON SEQUENCE holonstream.events_position TO holonstream_reader;
GRANT SELECT ON TABLE holonstream.frontier_locks TO holonstream_reader;
GRANT SELECT ON TABLE holonstream.streams TO holonstream_reader;
