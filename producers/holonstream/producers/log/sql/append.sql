-- Appending: the one way into the log. Public: holonstream.append_events; the rest is its parts.
--
-- Errors, by SQLSTATE: HS001 unknown event type, HS002 invalid event, HS003 wrong expected version, HS004 event id
-- conflict (also 23505 on events_id_key, when two transactions append one id to two streams at once), HS005 event too
-- large, HS006 append-only, HS008 a logical replica, HS009 position sequence behind the log or altered, HS010 a stream's head is not the log's (also
-- 23505 on events_stream_version_key). DETAIL is a JSON object with the error's values.

-- An event on its way in: what the caller gave, and the stream that follows from it.
DO $$
BEGIN
    CREATE TYPE holonstream.incoming AS (
        ord             integer,
        stream          text,
        nth             bigint,  -- 1, 2, 3 ... among the call's events of the stream
        id              uuid,
        type            text,
        schema_version  integer,
        occurred_at     timestamptz,
        actor           text,
        subjects        text[],
        payload         jsonb,
        source_system   text,
        source_document text,
        validity_window jsonb,
        causal_links    jsonb,
        traceparent     text
    );
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;

-- A time-ordered UUID (version 7): neighbours in time are neighbours in the index.
CREATE OR REPLACE FUNCTION holonstream.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_byte(
        overlay(uuid_send(gen_random_uuid())
                PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
        6, (get_byte(uuid_send(gen_random_uuid()), 6) & 15) | 112), 'hex')::uuid
$$;

-- Whether a text has the form of an instant (docs/domain.md, Envelope; schemas/instant.py has the same form). A cast takes
-- much more ('now', 'infinity', 24:00, a second 60, the name of a zone), which readers refuse.
CREATE OR REPLACE FUNCTION holonstream.is_instant(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT value ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?'
                    '(?:Z|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)?)?$')
$$;

-- Whether a text is, with milliseconds, what an instant that was cast from it is written as. So has the usual form, and
-- this costs a third of the pattern. Needs time zone UTC and ISO dates, which append_events sets.
CREATE OR REPLACE FUNCTION holonstream.is_usual_instant(value text, "instant" timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT value LIKE '____-__-__T__:__:__.___Z'
       AND "instant"::timestamp::text = rtrim(rtrim(replace(left(value, 23), 'T', ' '), '0'), '.')
$$;

-- The instant of such a text. Digits beyond the microsecond are dropped (a cast rounds them), a comma counts as a point.
CREATE OR REPLACE FUNCTION holonstream.instant_of(value text) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(value) < 27 AND strpos(value, ',') = 0 THEN value::timestamptz
                ELSE regexp_replace(replace(value, ',', '.'), '([.][0-9]{6})[0-9]+', E'\\1')::timestamptz END
$$;

-- Whether an instant has a year of four digits, as every reader needs.
CREATE OR REPLACE FUNCTION holonstream.is_in_range(value timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT value BETWEEN '0001-01-01Z' AND '9999-12-31 23:59:59.999999Z'
$$;

CREATE OR REPLACE FUNCTION holonstream.is_timestamp(value text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN holonstream.is_instant(value) AND holonstream.is_in_range(holonstream.instant_of(value));
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;

CREATE OR REPLACE FUNCTION holonstream.is_validity_window(value jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
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

-- Whether JSON is surely not too large, not nested more than 200 levels deep, and without a number of more than 4,000 digits
-- before the point: a reader that meets more than it can take (msgspec 1,000 levels, CPython 4,300 digits) is lost, and
-- with it everybody behind that event. As jsonb, 201 levels take 1,600 bytes.
CREATE OR REPLACE FUNCTION holonstream.is_small(value jsonb) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (pg_column_size(value) < 1500 OR NOT value @? '$.**{201}')
       AND (octet_length(value::text) < 4000
            OR octet_length(value::text) < 100000 AND NOT value @? 'strict $.** ? (@ >= 1e4000 || @ <= -1e4000)')
$$;

-- A text for an error's message or DETAIL. A session whose client_encoding lacks a character would get an error about that
-- instead, so there every character beyond ASCII is written as in JSON.
CREATE OR REPLACE FUNCTION holonstream.error_text(value text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN current_setting('client_encoding') = 'UTF8' THEN value
                ELSE (SELECT string_agg(
                          CASE WHEN c.code < 128 THEN c.c
                               WHEN c.code < 65536 THEN E'\\u' || lpad(to_hex(c.code), 4, '0')
                               ELSE E'\\u' || to_hex(55232 + (c.code >> 10)) || E'\\u' || to_hex(56320 + (c.code & 1023)) END,
                          '' ORDER BY c.n)
                      FROM (SELECT c.c, ascii(c.c) AS code, c.n
                            FROM regexp_split_to_table(value, '') WITH ORDINALITY AS c (c, n)) AS c) END
$$;

-- Refuses an event that is surely too large, before anything makes copies of it: jsonb takes at most 8 times the bytes of
-- the JSON text. Between that and what refuse_invalid counts, the text must be made.
CREATE OR REPLACE FUNCTION holonstream.refuse_huge(events jsonb) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    size bigint;
BEGIN
    IF jsonb_typeof(events) <> 'array' THEN
        RETURN;  -- refuse_invalid says so
    END IF;
    FOR n IN 0 .. jsonb_array_length(events) - 1 LOOP
        size := pg_column_size(events -> n);
        IF size > 7200000 THEN
            RAISE EXCEPTION 'Event too large: number % of the call has % bytes as jsonb, at most 900000 of text are taken',
                n + 1, size USING ERRCODE = 'HS005', DETAIL = jsonb_build_object('ord', n + 1, 'size', size);
        END IF;
    END LOOP;
END
$$;

-- Bytes of JSON text that an event may have, so that its record fits every topic.
CREATE OR REPLACE FUNCTION holonstream.max_event_bytes() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT least(900000, min(l.event_bytes)) FROM holonstream.topic_limits AS l
$$;

-- Explains why a call was refused: finds the first event that is wrong and raises. Slow and exact, where the check in
-- append_events is quick and errs on the side of calling this. Returns when nothing is wrong after all.
CREATE OR REPLACE FUNCTION holonstream.refuse_invalid(events jsonb) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    event   jsonb;
    n       bigint;
    kind    holonstream.event_types;
    field   text;
    place   text;
    detail  text;
    fault   text;
    needed  integer;
    size    bigint;
BEGIN
    IF jsonb_typeof(events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'Invalid events: expected a JSON array of envelopes, got %', coalesce(jsonb_typeof(events), 'NULL')
            USING ERRCODE = 'HS002', DETAIL = '{}';
    END IF;
    FOR event, n IN SELECT * FROM jsonb_array_elements(events) WITH ORDINALITY LOOP
        IF jsonb_typeof(event) <> 'object' THEN
            RAISE EXCEPTION 'Invalid event (number % of the call): expected an object, got %', n, jsonb_typeof(event)
                USING ERRCODE = 'HS002', DETAIL = jsonb_build_object('ord', n);
        END IF;
        place := format('(event %s, number %s of the call)',
                        coalesce(holonstream.error_text(left(event ->> 'id', 80)), 'without id'), n);
        detail := holonstream.error_text(jsonb_build_object('ord', n, 'id', event ->> 'id')::text);
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
            RAISE EXCEPTION 'Invalid event: % %', holonstream.error_text(fault), place
                USING ERRCODE = 'HS002', DETAIL = detail;
        END IF;

        SELECT * INTO kind FROM holonstream.event_types t
        WHERE t.name = event ->> 'type'
          AND CASE WHEN event ->> 'schemaVersion' IS NULL THEN t.is_current
                   ELSE t.version = (event ->> 'schemaVersion')::numeric END;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'Unknown event type: % %',
                holonstream.error_text(concat_ws(' version ', left(event ->> 'type', 120), event ->> 'schemaVersion')), place
                USING ERRCODE = 'HS001', DETAIL = holonstream.error_text(
                          jsonb_build_object('ord', n, 'id', event ->> 'id', 'type', event ->> 'type')::text),
                      HINT = 'holonstream init loads the catalogue''s types; docs/adding-an-event-type.md says how to add one.';
        END IF;
        needed := greatest(kind.required_subjects, (kind.stream_kind = 'holon')::integer);
        IF jsonb_array_length(event -> 'subjects') < needed THEN
            RAISE EXCEPTION 'Missing subject: % needs %, has % %', kind.name, needed,
                jsonb_array_length(event -> 'subjects'), place
                USING ERRCODE = 'HS002', DETAIL = detail;
        END IF;
        FOREACH field IN ARRAY kind.required LOOP
            IF coalesce(jsonb_typeof(event -> 'payload' -> field), 'null') = 'null' THEN
                RAISE EXCEPTION 'Missing payload field: % needs %, is % %', kind.name, holonstream.error_text(field),
                    coalesce((event -> 'payload' -> field)::text, 'absent'), place
                    USING ERRCODE = 'HS002', DETAIL = detail;
            END IF;
        END LOOP;
        IF kind.stream_kind = 'relationship'
           AND (jsonb_typeof(event -> 'payload' -> 'relationshipId') IS DISTINCT FROM 'string'
                OR octet_length(event -> 'payload' ->> 'relationshipId') NOT BETWEEN 1 AND 1000) THEN
            RAISE EXCEPTION 'Invalid event: relationshipId must be a string of 1 to 1000 bytes, is % %',
                coalesce(holonstream.error_text(left(event -> 'payload' ->> 'relationshipId', 80)), 'missing'), place
                USING ERRCODE = 'HS002', DETAIL = detail;
        END IF;
        -- Kafka refuses records over 1 MB, and a record that Kafka refuses would hold up the relay for ever. So what the
        -- wire form adds is counted: a "\" for each quote in lists and objects, which travel as text, and "%20" for a
        -- space in the source. It also repeats the stream (a subject or an id of the payload) and adds fixed text:
        -- 100 kB are left for that.
        size := octet_length(event::text) + octet_length(holonstream.uri_reference(event ->> 'sourceSystem'))
            + (SELECT coalesce(sum(octet_length(to_json(f.value::text)::text) - octet_length(f.value::text)), 0)
               FROM jsonb_each(event) AS f WHERE f.key IN ('subjects', 'validityWindow', 'causalLinks'));
        IF size > holonstream.max_event_bytes() THEN
            RAISE EXCEPTION 'Event too large: % has % bytes as JSON text, at most % are taken %',
                kind.name, size, holonstream.max_event_bytes(), place
                USING ERRCODE = 'HS005', DETAIL = jsonb_build_object(
                    'ord', n, 'id', event ->> 'id', 'size', size, 'limit', holonstream.max_event_bytes());
        END IF;
    END LOOP;
END
$$;

-- Refuses expected versions that say nothing: whatever is not a stream's name is at version 0 for ever.
CREATE OR REPLACE FUNCTION holonstream.refuse_invalid_expected(expected jsonb) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    wrong record;
BEGIN
    IF jsonb_typeof(expected) <> 'object' THEN
        RAISE EXCEPTION 'Invalid expected versions: expected a JSON object {stream: version}, got %', jsonb_typeof(expected)
            USING ERRCODE = 'HS002', DETAIL = '{}';
    END IF;
    SELECT x.key, x.value INTO wrong FROM jsonb_each(expected) AS x
    WHERE x.key !~ '^(holon|relationship)/.' OR octet_length(x.key) > 1013  -- as append_events makes them
       OR jsonb_typeof(x.value) <> 'number' OR x.value::text !~ '^[0-9]{1,19}([.]0+)?$'
    ORDER BY x.key LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Invalid expected versions: "%": %: a stream is holon/<id> or relationship/<id>, a version a whole number from 0',
            holonstream.error_text(left(wrong.key, 80)), holonstream.error_text(left(wrong.value::text, 80))
            USING ERRCODE = 'HS002', DETAIL = holonstream.error_text(
                jsonb_build_object('stream', left(wrong.key, 1000), 'expected', left(wrong.value::text, 80))::text);
    END IF;
END
$$;

-- Takes the frontier lock, in every call that writes.
--
-- The lock's key says L, the last position drawn before it was taken: everything that this transaction writes lies
-- above L, and the relay goes no further than the smallest L that is held. So the order matters: read L, take the
-- lock, and only then draw. With the lock after the draw, the relay could read in between and pass us by.
--
-- The setting remembers the transaction and its L, so that a second call takes the first one's lock again instead of a
-- second lock. A session may write the setting itself, so it is not believed: whatever it says, a lock is taken, at L or
-- below. A forged, too low L holds the frontier until the transaction ends, as any open append does. Lock and setting
-- are undone together by ROLLBACK TO a savepoint set before.
CREATE OR REPLACE FUNCTION holonstream.hold_frontier() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
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
$$;

-- The last position drawn. Raises HS009 when the log holds a higher one: logical replication and partial dumps bring the
-- rows without the sequence, and what is drawn from it then falls between old positions, which the relay has passed.
--
-- What is in the log was drawn before it was written, so the log is read first. A serializable transaction does not
-- read it: every appender would then conflict with every other. There the relay, which checks too, notices.
--
-- Raises HS008 on a logical replica: rows come there in the order of commits, without the locks of those who append, and what
-- is appended there is in no other log.
--
-- Raises HS009, too, when somebody has altered the sequence so that a session draws positions at or below another's L.
-- With row_security = off, row-level security is an error: a reader from whom it hides events would go on without them.
CREATE OR REPLACE FUNCTION holonstream.last_position() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
    written bigint := 0;
    drawn   bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'serializable' THEN
        SELECT coalesce(max(e.position), 0) INTO written FROM holonstream.events AS e;
    END IF;
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO drawn FROM holonstream.events_position AS s;
    IF EXISTS (SELECT FROM pg_sequence AS q WHERE q.seqrelid = 'holonstream.events_position'::regclass
               AND (q.seqcache, q.seqincrement, q.seqcycle) <> (1, 1, false)) THEN
        RAISE EXCEPTION 'Position sequence altered: it must have CACHE 1, INCREMENT 1 and NO CYCLE'
            USING ERRCODE = 'HS009', DETAIL = '{}', HINT = 'holonstream init repairs the sequence.';
    END IF;
    IF EXISTS (SELECT FROM pg_subscription_rel AS r WHERE r.srrelid = 'holonstream.events'::regclass) THEN
        RAISE EXCEPTION 'Not the primary: a subscription (logical replication) writes holonstream.events'
            USING ERRCODE = 'HS008', HINT = 'DROP SUBSCRIPTION when the log has moved here.';
    END IF;
    IF written > drawn THEN
        RAISE EXCEPTION 'Position sequence behind the log: it has drawn %, the log holds position %', drawn, written
            USING ERRCODE = 'HS009', DETAIL = jsonb_build_object('drawn', drawn, 'written', written),
                  HINT = 'holonstream init repairs the sequence.';
    END IF;
    RETURN drawn;
END
$$;

-- The consistency token of one event (schemas/token.py): "h1." and the unpadded base64url of {"stream": position}.
-- (Not translate(), which costs four times as much.)
CREATE OR REPLACE FUNCTION holonstream.token_text(stream text, "position" bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'h1.' || rtrim(replace(replace(replace(
        encode(convert_to('{' || to_json(stream) || ':' || "position" || '}', 'UTF8'), 'base64'),
        E'\n', ''), '+', '-'), '/', '_'), '=')
$$;

-- The events of a call that are to be written: without those in the log (`known`, by ord) and without the second and
-- later ones of an id. Raises when an id comes with another content than before.
CREATE OR REPLACE FUNCTION holonstream.drop_repetitions(incoming holonstream.incoming[], known integer[])
RETURNS holonstream.incoming[] LANGUAGE plpgsql STABLE AS $$
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
            clash.id, clash.type, holonstream.error_text(clash.stream), holonstream.error_text(clash.first_stream),
            clash.first_version, clash.first_position
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
            clash.id, clash.type, holonstream.error_text(clash.stream), clash.first_ord, clash.ord
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

CREATE OR REPLACE FUNCTION holonstream.check_expected(expected jsonb, streams text[], heads bigint[])
RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    wrong record;
BEGIN
    SELECT x.key AS stream, x.value AS expected, h.version AS actual INTO wrong
    FROM jsonb_each(expected) AS x JOIN unnest(streams, heads) AS h (stream, version) ON h.stream = x.key
    WHERE x.value IS DISTINCT FROM to_jsonb(h.version)
    ORDER BY x.key LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Wrong expected version: stream % is at version %, expected %',
            holonstream.error_text(wrong.stream), wrong.actual, holonstream.error_text(wrong.expected::text)
            USING ERRCODE = 'HS003', DETAIL = holonstream.error_text(jsonb_build_object(
                'stream', wrong.stream, 'expected', wrong.expected, 'actual', wrong.actual)::text);
    END IF;
END
$$;

-- Refuses heads whose event the log does not have: rows of holonstream.streams were restored, replicated or changed without
-- the events, and what is appended now would leave a hole, which stops the stream in every view. (A head that is too low
-- meets the unique constraint.) Twenty streams of a call: for 1,000 it would cost a tenth. Not in a serializable transaction,
-- which would conflict with appends to neighbouring streams.
CREATE OR REPLACE FUNCTION holonstream.check_heads(streams text[], heads bigint[]) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    wrong record;
BEGIN
    IF current_setting('transaction_isolation') = 'serializable' THEN
        RETURN;
    END IF;
    SELECT h.stream, h.version INTO wrong FROM unnest(streams[:20], heads[:20]) AS h (stream, version)
    WHERE h.version > 0
      AND NOT EXISTS (SELECT FROM holonstream.events AS e WHERE e.stream = h.stream AND e.version = h.version)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Stream heads altered: holonstream.streams has % at version %, which the log does not have',
            holonstream.error_text(wrong.stream), wrong.version
            USING ERRCODE = 'HS010', HINT = 'holonstream init --heads repairs the heads.',
                  DETAIL = holonstream.error_text(jsonb_build_object('stream', wrong.stream, 'version', wrong.version)::text);
    END IF;
END
$$;

-- Refuses what a trigger of somebody else has made of the events just written: every reader would see other events than
-- those that were acknowledged, out of order or with holes. Not for every call: it costs as much as to read them.
CREATE OR REPLACE FUNCTION holonstream.refuse_changed(
    incoming holonstream.incoming[], streams text[], heads bigint[], recorded_at timestamptz
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    above   bigint := split_part(current_setting('holonstream.holds_frontier'), ' ', 2);
    changed record;
BEGIN
    SELECT w.ord, w.stream, w.version INTO changed
    FROM (
        SELECT i.ord, i.stream, h.version + i.nth AS version, e.position,
               max(e.position) OVER (ORDER BY i.ord ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
               (e.id, e.type, e.schema_version, e.occurred_at, e.recorded_at, e.actor, e.subjects, e.payload,
                e.source_system, e.source_document, e.validity_window, e.causal_links, e.traceparent)
               IS DISTINCT FROM
               (i.id, i.type, i.schema_version, i.occurred_at, refuse_changed.recorded_at, i.actor, i.subjects, i.payload,
                i.source_system, i.source_document, i.validity_window, i.causal_links, i.traceparent) AS differs
        FROM unnest(incoming) AS i JOIN unnest(streams, heads) AS h (stream, version) ON h.stream = i.stream
        LEFT JOIN holonstream.events AS e ON e.stream = i.stream AND e.version = h.version + i.nth
    ) AS w
    WHERE w.differs OR w.position <= coalesce(w.before, above)
       OR w.position > (SELECT s.last_value FROM holonstream.events_position AS s)
    ORDER BY w.ord LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'Events were not written as given: a trigger on holonstream.events has changed number % of the call (stream % version %)',
            changed.ord, holonstream.error_text(changed.stream), changed.version USING ERRCODE = '27000';
    END IF;
END
$$;

-- Writes checked events to their streams, whose versions before the call are `heads`; returns them in order.
CREATE OR REPLACE FUNCTION holonstream.write_events(incoming holonstream.incoming[], streams text[], heads bigint[])
RETURNS TABLE (id uuid, stream text, version bigint, "position" bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    recorded_at timestamptz := date_trunc('milliseconds', clock_timestamp());
    written     bigint;
BEGIN
    PERFORM set_config('holonstream.durable_id', incoming[1].id::text, true);  -- of the event that `commits_durably` is for
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
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(incoming) THEN
        RAISE EXCEPTION 'Events were not written: a trigger on holonstream.events has dropped % of %',
            cardinality(incoming) - written, cardinality(incoming) USING ERRCODE = '55000';
    END IF;
    IF EXISTS (SELECT FROM pg_trigger AS t
               WHERE t.tgrelid = 'holonstream.events'::regclass AND t.tgenabled <> 'D'
                 AND t.tgtype & 7 = 7) THEN  -- for each row, before, insert: none of ours is
        PERFORM holonstream.refuse_changed(incoming, streams, heads, recorded_at);
    END IF;
END
$$;

-- At the commit, whatever was set after the append: others, the relay among them, would see a commit that a crash can still
-- take back. For one event of each call (write_events): on every event it would cost a call of 1,000 a tenth.
CREATE OR REPLACE FUNCTION holonstream.commit_durably() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN
        PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    CREATE CONSTRAINT TRIGGER commits_durably AFTER INSERT ON holonstream.events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.id::text = current_setting('holonstream.durable_id', true))
        EXECUTE FUNCTION holonstream.commit_durably();
    ALTER TABLE holonstream.events ENABLE ALWAYS TRIGGER commits_durably;
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;

-- Appends events, in the caller's transaction.
--
--   events    JSON array of envelopes as producers give them: type, occurredAt, actor, subjects, sourceSystem, and
--             optionally id (a UUID), payload, schemaVersion, sourceDocument, validityWindow, causalLinks, traceparent
--   expected  JSON object {stream: version}: the version that each of these streams must be at before the call,
--             0 for a stream that must not exist; NULL checks nothing
--
-- Returns a row per event, in the order given: ord (from 1), id, stream, version, position, token.
-- An id that is in the log with the same content gives the first append's row; when that holds for every event of the
-- call, the call is a repetition and `expected` is not checked.
--
-- Each step is a statement of its own: under READ COMMITTED a statement sees what was committed before it began, so
-- that what was waited for in one step is seen in the next.
CREATE OR REPLACE FUNCTION holonstream.append_events(events jsonb, expected jsonb DEFAULT NULL)
RETURNS TABLE (ord integer, id uuid, stream text, version bigint, "position" bigint, token text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET standard_conforming_strings = on
SET enable_seqscan = off  -- a plan made while the log was small stays with the session
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    incoming   holonstream.incoming[];
    valid      boolean;
    repeated   boolean;  -- an id comes twice in this call
    streams    text[];
    heads      bigint[];  -- of `streams`, before this call
    only_named text[];  -- in `expected`: streams that do not exist
    given      holonstream.incoming[];  -- all of the call's events; `incoming` loses those that are in the log
    known      integer[];  -- ord of the events that are in the log already
    max_bytes  integer := holonstream.max_event_bytes();
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION 'Events cannot be appended: the transaction is read-only'
            USING ERRCODE = '25006', HINT = 'default_transaction_read_only is on, the transaction was begun READ ONLY, or the server is a standby.';
    END IF;

    -- 1. Read and check, all events at once.
    IF events IS NULL THEN
        PERFORM holonstream.refuse_invalid(events);
    ELSIF pg_column_size(events) > 7200000 THEN
        PERFORM holonstream.refuse_huge(events);
    END IF;
    IF expected IS NOT NULL THEN
        PERFORM holonstream.refuse_invalid_expected(expected);
    END IF;
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
                       t.version AS schema_version, e.occurred_at, e.actor, e.subjects,
                       coalesce(e.payload, '{}') AS payload, e.source_system, e.source_document, e.validity_window,
                       nullif(e.causal_links, '{}') AS causal_links, e.traceparent,
                       CASE t.stream_kind WHEN 'holon' THEN 'holon/' || e.subjects[1]
                                          ELSE 'relationship/' || (e.payload ->> 'relationshipId') END AS stream,
                       coalesce(
                           -- The types in JSON, for "->>" gives a text of anything. Only a string has the form of an id or
                           -- an instant, or the name of a type.
                           jsonb_typeof(e.raw -> 'actor') = 'string' AND jsonb_typeof(e.raw -> 'sourceSystem') = 'string'
                           AND (e.source_document IS NULL OR jsonb_typeof(e.raw -> 'sourceDocument') = 'string')
                           AND (e.traceparent IS NULL OR jsonb_typeof(e.raw -> 'traceparent') = 'string')
                           AND (e.schema_version IS NULL OR jsonb_typeof(e.raw -> 'schemaVersion') = 'number')
                           AND (cardinality(e.subjects) = 1 AND jsonb_typeof(e.raw -> 'subjects' -> 0) = 'string'
                                OR to_jsonb(e.subjects) = e.raw -> 'subjects')
                           AND (e.id IS NULL OR e.id LIKE '________-____-____-____-____________')  -- casts take more
                           AND (holonstream.is_usual_instant(e.occurred, e.occurred_at) OR holonstream.is_instant(e.occurred))
                           AND e.actor <> '' AND e.source_system <> '' AND '' <> ALL (e.subjects)
                           AND cardinality(e.subjects) >= t.required_subjects
                           AND octet_length(e.actor) + octet_length(e.source_system) + pg_column_size(e.subjects)
                               + coalesce(octet_length(e.source_document), 0) + coalesce(octet_length(e.traceparent), 0)
                               < 1000
                           AND (e.payload IS NULL AND t.required = '{}'
                                OR jsonb_typeof(e.payload) = 'object' AND e.payload ?& t.required
                                   AND NOT e.payload @> ANY (t.required_nulls)
                                   AND holonstream.is_small(e.payload))
                           AND (t.stream_kind = 'holon' OR octet_length(e.payload ->> 'relationshipId') BETWEEN 1 AND 900
                                AND jsonb_typeof(e.payload -> 'relationshipId') = 'string')
                           AND (e.validity_window IS NULL OR holonstream.is_validity_window(e.validity_window)
                                AND holonstream.is_small(e.validity_window))
                           AND (e.causal_links IS NULL OR jsonb_typeof(e.causal_links) = 'object'
                                AND holonstream.is_small(e.causal_links)),
                           false) AS valid
                FROM (
                    SELECT e.*, holonstream.instant_of(e.occurred) AS occurred_at
                    FROM (
                        SELECT e.raw, e.ord, e.raw ->> 'id' AS id, e.raw ->> 'type' AS type,
                               (e.raw ->> 'schemaVersion')::numeric AS schema_version, e.raw ->> 'occurredAt' AS occurred,
                               e.raw ->> 'actor' AS actor,
                               CASE jsonb_array_length(e.raw -> 'subjects')
                                   WHEN 1 THEN ARRAY[e.raw -> 'subjects' ->> 0]
                                   WHEN 2 THEN ARRAY[e.raw -> 'subjects' ->> 0, e.raw -> 'subjects' ->> 1]
                                   ELSE ARRAY(SELECT jsonb_array_elements_text(e.raw -> 'subjects')) END AS subjects,
                               nullif(e.raw -> 'payload', 'null') AS payload, e.raw ->> 'sourceSystem' AS source_system,
                               e.raw ->> 'sourceDocument' AS source_document,
                               nullif(e.raw -> 'validityWindow', 'null') AS validity_window,
                               nullif(e.raw -> 'causalLinks', 'null') AS causal_links, e.raw ->> 'traceparent' AS traceparent
                        FROM jsonb_array_elements(events) WITH ORDINALITY AS e (raw, ord)
                        OFFSET 0  -- each value is taken out once
                    ) AS e
                    OFFSET 0
                ) AS e
                LEFT JOIN holonstream.event_types t
                    ON t.name = e.type
                   AND CASE WHEN e.schema_version IS NULL THEN t.is_current ELSE t.version = e.schema_version END
            ) AS e
        ) AS e;
    EXCEPTION WHEN data_exception THEN  -- a value that its column cannot hold
        PERFORM holonstream.refuse_invalid(events);
        RAISE;
    END;
    -- What was checked lets events of up to some 300 kB pass: enough for the usual limit.
    IF NOT valid OR (max_bytes < 400000 AND 2 * octet_length(events::text) > max_bytes) THEN
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
    SELECT array_agg(l.stream), array_agg(l.version - c.events), array_agg(l.stream) FILTER (WHERE l.version = 0)
    INTO streams, heads, only_named
    FROM locked AS l JOIN counted AS c ON c.stream = l.stream;

    -- A stream that `expected` names and nobody has appended to is locked by a row of its own. No row is left: until this
    -- transaction ends, anyone who inserts the stream waits all the same.
    IF only_named IS NOT NULL THEN
        DELETE FROM holonstream.streams AS s WHERE s.stream = ANY (only_named) AND s.version = 0;
    END IF;

    -- 3. Look for ids that are in the log already. Anyone who appends the same event at the same time had to wait in
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

        PERFORM holonstream.check_heads(streams, heads);

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
