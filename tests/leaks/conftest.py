"""Fixtures of the leak tests: a simulated Fly.io, and a `fly` in front of it that notes what it is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cli import Fly, start


@pytest.fixture(scope="session")
def fly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fly]:
    """Give a simulated Fly.io that runs fifty times as fast."""
    found = start(tmp_path_factory.mktemp("platform"), speed=50.0)
    yield found
    found.started.stop()
