"""Durations as people write them: ``500ms``, ``30s``, ``5m``, ``1h30m``, ``7d``; a number alone is seconds."""

from __future__ import annotations

import re
from decimal import Decimal

SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|[smhd]))+\Z")


def seconds(text: str) -> str:
    """The seconds that a text means, as the text of a number. Raises ValueError when it is none."""
    given = text.strip().lower()
    if re.fullmatch(_NUMBER, given):
        return given
    if not _DURATION.match(given):
        raise ValueError("is no duration like 30s, 5m or 1h")
    parts = re.findall(rf"({_NUMBER})(ms|[smhd])", given)
    total = sum((Decimal(number) * SECONDS[unit] for number, unit in parts), Decimal(0))
    return f"{total.normalize():f}"


def shown(number: float) -> str:
    """Seconds in the largest units that give them exactly: 86400 as ``1d``, 90 as ``1m30s``, 0.02 as ``20ms``."""
    left, text = Decimal(str(number)), ""
    if left == 0:
        return "0s"
    for unit in ("d", "h", "m"):
        count, left = divmod(left, SECONDS[unit])
        text += f"{int(count)}{unit}" if count else ""
    if 0 < left < 1:
        return text + f"{(left * 1000).normalize():f}ms"
    return text + (f"{left.normalize():f}s" if left else "")
