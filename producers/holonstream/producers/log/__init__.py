"""The event log in PostgreSQL, the single source of truth: everything that is appended to it or read from it.

`store` is what services use, `append` its envelopes; the relay reads with `batches`, operators' tools with `reader`;
`frontier` says up to where the log is gap-free; `schema` makes and upgrades it. ``sql/queries.sql`` holds every
statement that Python sends, the other files of ``sql`` what is made in the database.
"""
