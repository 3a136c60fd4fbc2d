-- How large an event may be, for each topic that the log is published to: `holonstream init` learns it from the topic, and
-- append_events refuses what is larger (docs/kafka.md).
CREATE TABLE holonstream.topic_limits (
    topic       text COLLATE "C" PRIMARY KEY,
    event_bytes integer NOT NULL CHECK (event_bytes > 0)
);
