"""Fixtures of the command's tests: one simulated Fly.io for all of them, and homes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Fly, start


@pytest.fixture(scope="session")
def fly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fly]:
    """Give a simulated Fly.io that runs a hundred times as fast."""
    found = start(tmp_path_factory.mktemp("platform"))
    yield found
    found.started.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give an empty home."""
    place = tmp_path / "home"
    place.mkdir()
    return place
