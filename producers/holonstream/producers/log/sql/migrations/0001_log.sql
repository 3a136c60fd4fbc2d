-- The event log: what it holds. As release 0.2.0 made it, and idempotent: databases of 0.1 and 0.2 have no record of it.

-- What the catalogue says of each version of each event type, as far as append_events checks it.
CREATE TABLE IF NOT EXISTS holonstream.event_types (
    name              text COLLATE "C" NOT NULL CHECK (name ~ '^[A-Za-z][A-Za-z0-9._-]*$'),  -- never needs escaping
    version           integer NOT NULL CHECK (version > 0),
    is_current        boolean NOT NULL,
    stream_kind       text NOT NULL CHECK (stream_kind IN ('holon', 'relationship')),
    required_subjects integer NOT NULL CHECK (required_subjects >= 0),
    required          text[] NOT NULL,   -- payload fields that must be there
    required_nulls    jsonb[] NOT NULL,  -- {"field": null} for each of them: a payload that contains one is refused
    PRIMARY KEY (name, version)
);

-- The head of each stream. Its row is the lock that orders the appends of a stream.
-- Version 0: an append named the stream in `expected` and wrote nothing to it.
CREATE TABLE IF NOT EXISTS holonstream.streams (
    stream  text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL
) WITH (fillfactor = 70);  -- a new head fits on its page, so that no index entry is written

-- CACHE 1: a session that keeps numbers back would write positions at or below another's L (append.sql).
CREATE SEQUENCE IF NOT EXISTS holonstream.events_position AS bigint CACHE 1 NO CYCLE;

CREATE TABLE IF NOT EXISTS holonstream.events (
    position        bigint NOT NULL,
    stream          text COLLATE "C" NOT NULL,
    version         bigint NOT NULL,
    id              uuid NOT NULL,
    type            text COLLATE "C" NOT NULL,
    schema_version  integer NOT NULL,
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    actor           text COLLATE "C" NOT NULL,
    subjects        text[] COLLATE "C" NOT NULL,
    payload         jsonb NOT NULL,
    source_system   text NOT NULL,
    source_document text,
    validity_window jsonb,
    causal_links    jsonb,
    traceparent     text,
    CONSTRAINT events_pkey PRIMARY KEY (position),
    CONSTRAINT events_stream_version_key UNIQUE (stream, version),
    CONSTRAINT events_id_key UNIQUE (id)
);
CREATE INDEX IF NOT EXISTS events_type_position_idx ON holonstream.events (type, position);
CREATE INDEX IF NOT EXISTS events_actor_position_idx ON holonstream.events (actor, position);
CREATE INDEX IF NOT EXISTS events_subjects_idx ON holonstream.events USING gin (subjects);
-- The log grows roughly by time: a summary per block range costs an append next to nothing.
CREATE INDEX IF NOT EXISTS events_occurred_at_idx
    ON holonstream.events USING brin (occurred_at timestamptz_minmax_multi_ops) WITH (autosummarize = on);

-- Append-only, for the owner and superusers too, and also under session_replication_role (ENABLE ALWAYS).
CREATE OR REPLACE FUNCTION holonstream.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Append-only: % of %.% refused: events are never changed or removed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME USING ERRCODE = 'HS006';
END
$$;
CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holonstream.events
    FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.events ENABLE ALWAYS TRIGGER append_only;
CREATE OR REPLACE TRIGGER never_shrinks BEFORE DELETE OR TRUNCATE ON holonstream.streams
    FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.streams ENABLE ALWAYS TRIGGER never_shrinks;
