"""A headless Chromium, which is installed where it is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from holonstream.local.install import Program, require

CHROMIUM = Program("Chromium", lambda: shutil.which("chromium") is not None, lambda: "chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that ends with the block."""
    require([CHROMIUM], print)
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
        yield opened
        opened.close()
