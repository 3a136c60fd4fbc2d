-- The statements of ops/replay/stream_log.py. A name, a line on what it does, the statement.

-- read --
-- A stretch of one stream, each event as the relay publishes it.
SELECT e.version, e.position, holonstream.cloud_event(e) FROM holonstream.events AS e
WHERE e.stream = %(stream)s AND e.version > %(after_version)s AND e.position <= %(until_position)s
ORDER BY e.version
LIMIT %(limit)s;

-- versions --
-- The last version of some streams.
SELECT stream, version FROM holonstream.streams WHERE stream = ANY (%(streams)s);
