"""What a log line says about an error: enough to act on, and nothing that an event contains."""

from __future__ import annotations

import traceback
from pathlib import Path

from holonstream.schemas.errors import BadData, HolonstreamError

FRAMES = 4  # innermost places in the code that are named


def incident(error: BaseException) -> dict[str, str]:
    """`cause`, the error's class, and `reason`.

    holonstream's errors about servers, streams and positions give their text. Errors about data (BadData) quote values,
    and the text of a bug may hold anything: for these the reason is the places in the code.
    """
    has_safe_text = isinstance(error, HolonstreamError | TimeoutError) and not isinstance(error, BadData)
    return {"cause": type(error).__name__, "reason": str(error) if has_safe_text and str(error) else places(error)}


def places(error: BaseException) -> str:
    """Where an error came from, innermost first: ``sink.py:210 _write < follower.py:160 _sunk``."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames)) or "no place known"
