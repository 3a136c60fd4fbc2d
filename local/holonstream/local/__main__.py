"""`python -m holonstream.local`: the command group without the rest of holonstream."""

from __future__ import annotations

from holonstream.local.cli import local

local(prog_name="local")
