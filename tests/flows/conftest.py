"""A platform in this process for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Fly, repository, start
from tests.support.inprocess import Platform, install, make_platform


@pytest.fixture
def new_platform(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Platform]:
    """Give a function that makes one more platform."""
    made: list[Platform] = []
    install(monkeypatch, made)

    def make(**options: Any) -> Platform:
        home: Path = tmp_path_factory.mktemp("platform")
        made.append(make_platform(home, **options))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def platform_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fly]:
    """Give a simulated Fly.io in processes of its own, two hundred times as fast."""
    found = start(tmp_path_factory.mktemp("fly"), speed=200.0)
    yield found
    found.started.stop()


@pytest.fixture
def fly(platform_process: Fly) -> Fly:
    """Give it with an empty World."""
    platform_process.world(reset=True, faults=[])
    return platform_process


@pytest.fixture
def user(fly: Fly, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Give a repository, and an environment with all answers and a home of its own."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return repository(tmp_path / "repository"), fly.answers(home)
