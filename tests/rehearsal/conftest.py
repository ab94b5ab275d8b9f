"""Fixtures of the rehearsal's tests."""

from __future__ import annotations

import pytest

from tests.support.simulated import Simulated


@pytest.fixture
def fly() -> Simulated:
    """Give a fresh simulated Fly.io in this process."""
    return Simulated()
