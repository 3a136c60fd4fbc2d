"""The recovery drill: the log is lost in several ways, and brought back as docs/recovery.md says."""
