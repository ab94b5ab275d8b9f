"""Clocks: waits are divided, days are not."""

from __future__ import annotations

import time

import pytest

from flywizard.rehearsal.clock import Durations, ManualClock, WorldClock


async def test_a_manual_clock_moves_at_once() -> None:
    clock = ManualClock(start=1000.0, speed=4)
    await clock.sleep(3600)
    assert clock.now() == 1900.0
    clock.advance(4)
    assert clock.now() == 1901.0
    await clock.sleep(-5)
    assert clock.now() == 1901.0


def test_a_world_clock_shows_real_time_or_the_given_start() -> None:
    before = time.time()
    assert before <= WorldClock(speed=50).now() <= time.time()
    assert 1000.0 <= WorldClock(start=1000.0).now() < 1000.0 + 60


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_wrong_speeds(speed: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        WorldClock(speed=speed)


def test_durations_by_name() -> None:
    assert Durations().at("cluster", 50) == 3.0
    with pytest.raises(KeyError):
        Durations().at("nope", 1)
