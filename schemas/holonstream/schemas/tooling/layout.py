"""JSON and YAML as people read them."""

from __future__ import annotations

import json
import re
from typing import Any

PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.-]*")
RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Plain texts that YAML readers take for something else."""


def pretty(value: Any, indent: int = 0, width: int = 110) -> str:
    """The JSON text of a value, two blanks a level; objects and arrays that fit within the width stay on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or len(line) + indent <= width:
        return line
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        members = [f"{json.dumps(k, ensure_ascii=False)}: {pretty(v, indent + 2, width)}" for k, v in value.items()]
        return "{\n" + ",\n".join(pad + member for member in members) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 2, width) for item in value) + "\n" + " " * indent + "]"


def yaml(value: Any, indent: int = 0) -> str:
    """The YAML text of a JSON value: blocks of plain keys, scalars as in JSON, which YAML reads alike."""
    pad = " " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, member in value.items():
            name = key if PLAIN.fullmatch(key) and key.lower() not in RESERVED else json.dumps(key)
            if isinstance(member, dict | list) and member:
                lines.append(f"{pad}{name}:\n{yaml(member, indent + 2)}")
            else:
                lines.append(f"{pad}{name}: {json.dumps(member)}")
        return "\n".join(lines)
    if isinstance(value, list) and value:
        return "\n".join(f"{pad}- {yaml(item, indent + 2).lstrip(' ')}" for item in value)
    return f"{pad}{json.dumps(value)}"
