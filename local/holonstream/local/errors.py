"""The one error of this package."""

from __future__ import annotations


class LocalStackError(Exception):
    """The local stack cannot do what was asked; the message says why and what to do."""
