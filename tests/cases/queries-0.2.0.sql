-- Every statement that Python sends to the log. A name, a line on what it does, the statement.

-- append --
-- Append events; one row per event, in the order given. Sent by several drivers: through text, for a driver's own codec
-- of jsonb would encode JSON once more, and without "::", which SQLAlchemy takes for a parameter. The stream comes as bytes,
-- for a service's connection may have an encoding that lacks its characters.
SELECT id, convert_to(stream, 'UTF8'), version, position FROM holonstream.append_events(
    CAST(CAST(%(events)s AS text) AS jsonb), CAST(CAST(%(expected)s AS text) AS jsonb));

-- get_event --
-- One event by its id.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e WHERE e.id = %(id)s;

-- get_events --
-- Events by any of the filters, in log order. Planned again for each set of filters.
SELECT e.stream, e.version, e.position, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(until)s
  AND (%(types)s::text[] IS NULL OR e.type = ANY (%(types)s::text[]))
  AND (%(start_time)s::timestamptz IS NULL OR e.occurred_at >= %(start_time)s::timestamptz)
  AND (%(end_time)s::timestamptz IS NULL OR e.occurred_at <= %(end_time)s::timestamptz)
  AND (%(actor)s::text IS NULL OR e.actor = %(actor)s::text)
  AND (%(subjects)s::text[] IS NULL OR e.subjects && %(subjects)s::text[])
ORDER BY e.position
LIMIT %(limit)s::bigint;

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

-- stream_versions --
-- The last version of some streams.
SELECT stream, version FROM holonstream.streams WHERE stream = ANY (%(streams)s);

-- unknown_streams --
-- Those of some streams that have no event.
SELECT s.stream FROM unnest(%(streams)s::text[]) AS s(stream)
WHERE NOT EXISTS (SELECT FROM holonstream.events AS e WHERE e.stream = s.stream COLLATE "C");

-- streams_at --
-- The streams of the events at or next beyond some positions.
SELECT DISTINCT s.stream FROM unnest(%(positions)s::bigint[]) AS p(position) CROSS JOIN LATERAL (
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
WHERE NOT EXISTS (SELECT FROM pg_locks AS t
                  WHERE t.locktype = 'relation' AND t.relation = 'holonstream.streams'::regclass
                    AND t.mode = 'RowExclusiveLock' AND t.pid = l.pid)
GROUP BY a.pid, a.usename, a.application_name, a.client_addr, a.state
ORDER BY a.pid;

-- read_batches --
-- What the relay publishes: (position, stream, record value) in log order.
SELECT e.position, e.stream, holonstream.cloud_event_v2(e) FROM holonstream.events AS e
WHERE e.position > %(after)s AND e.position <= %(frontier)s
ORDER BY e.position
LIMIT %(limit)s;

-- event_id_at --
-- The id of the event at a position.
SELECT id::text FROM holonstream.events WHERE position = %(position)s;

-- first_position --
-- The position of the log's first event; null without one.
SELECT min(position) FROM holonstream.events;

-- try_lead --
-- Take the leader lock of the session, if nobody has it.
SELECT pg_try_advisory_lock(%(key)s);

-- load_event_types --
-- Load the catalogue's types, which append_events checks by.
SELECT holonstream.load_event_types(%(types)s::jsonb);

-- lock_schema --
-- One init at a time.
SELECT pg_advisory_xact_lock(%(key)s);

-- server_encoding --
-- The encoding of the database.
SELECT current_setting('server_encoding');

-- applied_schema --
-- The digest of the schema files last applied, NULL before the first time.
SELECT obj_description(to_regnamespace('holonstream'), 'pg_namespace');

-- sequence_behind --
-- Whether the log holds a position that the sequence has not drawn.
SELECT (SELECT coalesce(max(e.position), 0) FROM holonstream.events AS e)
       > (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM holonstream.events_position AS s);

-- lock_events --
-- Keep appends out until the transaction ends.
LOCK TABLE holonstream.events IN SHARE ROW EXCLUSIVE MODE;

-- raise_sequence --
-- Make the sequence go on beyond the log; the position that it then stands at.
SELECT setval('holonstream.events_position', (SELECT max(e.position) FROM holonstream.events AS e));

-- note_schema --
-- Remember that digest.
COMMENT ON SCHEMA holonstream IS {digest};

-- relay_lag --
-- How many events lie beyond a position, counted up to a bound, and the age of the first of them in seconds.
SELECT (SELECT count(*) FROM (SELECT FROM holonstream.events AS e WHERE e.position > %(position)s LIMIT %(bound)s) AS b),
       (SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8 FROM holonstream.events AS e
        WHERE e.position > %(position)s ORDER BY e.position LIMIT 1);

-- relay_leader --
-- The session that has the leader lock.
SELECT l.pid, a.usename::text, a.application_name, a.client_addr::text,
       extract(epoch FROM clock_timestamp() - a.backend_start)::float8
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = %(key)s;
