"""Where the real data lie: ``pytest tests/real --congress FOLDER``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder is an option, since the files are not part of the project."""
    parser.addoption("--congress", type=Path, help="Folder with the three files of the congress data set.")


@pytest.fixture
def congress(request: pytest.FixtureRequest) -> Path:
    """The folder of the congress files."""
    folder = request.config.getoption("--congress")
    if folder is None:
        pytest.fail("name the folder of the congress files: --congress FOLDER")
    return Path(folder)
