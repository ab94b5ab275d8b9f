"""A platform in this process for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
