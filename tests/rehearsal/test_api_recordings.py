"""The simulated API answers what flyctl was recorded to ask, with the recorded status and shape."""

from __future__ import annotations

import pytest

from tests.support.exchanges import LEFT_OUT, RECORDINGS, Replay, load

NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LEFT_OUT])
async def test_recorded_exchange(name: str) -> None:
    recording = load(name)
    if not recording.get("exchange"):
        assert recording["argv"]
        return
    assert await Replay(recording).run() == []


def test_most_recordings_are_replayed() -> None:
    with_requests = [name for name in NAMES if load(name).get("exchange")]
    assert len(with_requests) > 250
    assert set(LEFT_OUT) <= set(NAMES)
    assert len(LEFT_OUT) < 10


async def test_a_wrong_shape_is_noticed() -> None:
    recording = load("apps_create_ok")
    for entry in recording["exchange"]:
        if entry["status"] == 201:
            entry["response_body"]["unheard_of"] = 1
    found = await Replay(recording).run()
    assert any("unheard_of: missing" in line for line in found)
