"""Chaos: a pipeline of real processes under load and faults, held against its promises. docs/chaos.md says more."""
