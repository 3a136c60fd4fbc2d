"""Chaos: a pipeline of real processes under load and faults, compared with its promises (docs/chaos.md)."""
