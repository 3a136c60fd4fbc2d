-- Loads the catalogue's types: a JSON array of {name, version, current, streamKind, requiredSubjects, required}.
-- Types that the array lacks stay, for the log may hold their events.
CREATE OR REPLACE FUNCTION holonstream.load_event_types(types jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
