"""What every test may use."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tests.fix_stack", "tests.fix_pipeline"]


@pytest.fixture(autouse=True)
def no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's environment must not leak into a test."""
    for name in list(os.environ):
        if name.startswith("HOLONSTREAM_") and not name.startswith(("HOLONSTREAM_TEST_", "HOLONSTREAM_CACHE_DIR")):
            monkeypatch.delenv(name)
