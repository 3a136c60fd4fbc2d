"""What a log line may say of an error: enough to act on, and nothing that an event carries."""

from __future__ import annotations

import traceback
from pathlib import Path

from holonstream.schemas.errors import BadData, HolonstreamError

FRAMES = 4  # innermost places of an error that are told


def incident(error: BaseException) -> dict[str, str]:
    """`cause`, the error's class, and `reason`.

    Errors of ours about servers, streams and positions are told in full. Those about data (BadData) name values, and
    nobody knows what the text of a bug holds: of these the places in the code are told.
    """
    tells = isinstance(error, HolonstreamError | TimeoutError) and not isinstance(error, BadData)
    return {"cause": type(error).__name__, "reason": str(error) if tells and str(error) else places(error)}


def places(error: BaseException) -> str:
    """Where an error came from, innermost first: ``sink.py:210 _write < follower.py:160 _sunk``."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames)) or "no place known"
