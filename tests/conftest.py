"""What every test may use."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A machine that does other things too is no fault of the code.
settings.register_profile("holonstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("holonstream")

pytest_plugins = ["tests.fix_signals", "tests.fix_stack", "tests.fix_pipeline"]


@pytest.fixture(autouse=True)
def no_settings_from_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's environment must not leak into a test."""
    for name in list(os.environ):
        if name.startswith("HOLONSTREAM_") and not name.startswith(("HOLONSTREAM_TEST_", "HOLONSTREAM_CACHE_DIR")):
            monkeypatch.delenv(name)


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """For a test in which a command sets up logging in this process: it is as before at the end."""
    root, kept, was_configured = logging.getLogger(), structlog.get_config(), structlog.is_configured()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    if was_configured:
        structlog.configure(**kept)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also when the tests run in the background of a shell, which makes them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
