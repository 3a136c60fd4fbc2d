"""Running the Python blocks of a page of docs, and putting what they print into the page."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any


def run_blocks(page: str, **names: Any) -> str:
    """The page with what its blocks print; they see `names`, and what earlier blocks defined.

    The answer of a ```python block is the ```text block right after it. A block without one may print nothing.
    """
    known: dict[str, Any] = {}

    def run(block: re.Match[str]) -> str:
        known.update(names)  # a block may have used one of the names for something of its own
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block[1], known)
        answer = f"```text\n{printed.getvalue()}```\n" if block[2] is not None or printed.getvalue() else ""
        return f"```python\n{block[1]}```\n{answer}"

    return re.sub(r"```python\n(.*?)```\n(```text\n.*?```\n)?", run, page, flags=re.DOTALL)
