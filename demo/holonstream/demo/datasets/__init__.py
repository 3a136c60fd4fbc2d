"""Events for the demo and the tests: a made-up organisation of any size, or the real members of Congress."""

from __future__ import annotations

PERSONS = 200  # who serve at a time in the made-up organisation
