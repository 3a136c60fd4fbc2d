-- Seals over ranges of the log: holonstream.producers.log.seals, docs/seals.md. They too are never changed or removed.

CREATE TABLE holonstream.seals (
    number    bigint PRIMARY KEY,
    "after"   bigint NOT NULL,  -- the range is what lies beyond this position
    until     bigint NOT NULL,  -- and up to this one
    events    bigint NOT NULL,
    root      bytea NOT NULL,   -- of the Merkle tree (RFC 6962) over the entries
    previous  bytea NOT NULL,   -- SHA-256 of the seal before; empty for the first
    sealed_at timestamptz NOT NULL,
    entries   bytea NOT NULL,   -- position, id and SHA-256 of the record of each event, 56 bytes
    CHECK ("after" < until),
    CHECK (octet_length(entries) = 56 * events)
);
ALTER TABLE holonstream.seals ALTER COLUMN entries SET STORAGE EXTERNAL;  -- hashes cannot be compressed
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holonstream.seals
    FOR EACH STATEMENT EXECUTE FUNCTION holonstream.refuse_change();
ALTER TABLE holonstream.seals ENABLE ALWAYS TRIGGER append_only;
