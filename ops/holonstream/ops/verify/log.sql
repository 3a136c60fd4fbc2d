-- The statements of log.py. A name, a line on what it does, the statement.

-- frontier --
-- How far the log is settled. What is read up to it must be read by a later statement (producers/frontier.py).
SELECT head, frontier FROM holonstream.frontier();

-- by_stream --
-- A stretch of the log in the order of its streams, along the unique index on (stream, version).
SELECT e.stream, e.version, e.position, holonstream.cloud_event(e) FROM holonstream.events AS e
WHERE (e.stream, e.version) > (%(stream)s::text, %(version)s::bigint) AND e.position <= %(until)s
ORDER BY e.stream, e.version
LIMIT %(limit)s;

-- one_stream --
-- One stream, whole.
SELECT e.stream, e.version, e.position, holonstream.cloud_event(e) FROM holonstream.events AS e
WHERE e.stream = %(stream)s
ORDER BY e.version;

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
