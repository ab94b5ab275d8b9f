"""Logs grow with time, in the voice of each service."""

from __future__ import annotations

import pytest

from flywizard.rehearsal.clock import ManualClock
from tests.support.simulated import Simulated


async def _messages(fly: Simulated, query: str = "") -> list[str]:
    found = await fly.ask("GET", "/api/v1/apps/acme-api/logs" + query)
    return [line["attributes"]["message"] for line in found["data"]]


async def test_each_role_says_its_own(fly: Simulated) -> None:
    await fly.app()
    await fly.ask("POST", "/_builder/images", {"ref": "registry.fly.io/acme-api:web", "kind": "web"})
    api = await fly.machine()
    worker = await fly.machine(group="worker")
    web = await fly.machine(
        config={"image": "registry.fly.io/acme-api:web", "init": {"cmd": ["node", "server.js"]}}
    )
    fly.clock.advance(60)
    assert any(
        "Uvicorn running on http://0.0.0.0:8000" in m for m in await _messages(fly, f"?instance={api['id']}")
    )
    assert any("GET /health" in m for m in await _messages(fly, f"?instance={api['id']}"))
    assert any("group with generation" in m for m in await _messages(fly, f"?instance={worker['id']}"))
    assert any("Next.js" in m for m in await _messages(fly, f"?instance={web['id']}"))
    assert await _messages(fly, "?region=fra") == []


@pytest.mark.parametrize("speed", [1.0, 50.0])
async def test_following_gives_every_line_once(speed: float) -> None:
    fly = Simulated(clock=ManualClock(speed=speed))
    await fly.app()
    await fly.machine()
    await fly.machine(group="worker")
    ids: list[str] = []
    token = "1"
    for _ in range(40):
        fly.clock.advance(2)
        found = await fly.ask("GET", f"/api/v1/apps/acme-api/logs?next_token={token}")
        ids += [line["id"] for line in found["data"]]
        token = found["meta"]["next_token"] or token
    assert len(ids) == len(set(ids)) > 15
    everything = await fly.ask("GET", "/api/v1/apps/acme-api/logs?next_token=1")
    assert ids == [line["id"] for line in everything["data"]]


async def test_no_more_than_the_newest_hundred_without_a_token(fly: Simulated) -> None:
    await fly.app()
    await fly.machine()
    fly.clock.advance(100_000)
    found = await fly.ask("GET", "/api/v1/apps/acme-api/logs")
    assert len(found["data"]) == 100
    times = [line["attributes"]["timestamp"] for line in found["data"]]
    assert times == sorted(times)


async def test_nothing_before_there_is_a_machine(fly: Simulated) -> None:
    await fly.app()
    found = await fly.ask("GET", "/api/v1/apps/acme-api/logs")
    assert found == {"data": [], "meta": {"next_token": ""}}
    await fly.ask("GET", "/api/v1/apps/acme-api/logs?next_token=x", status=400)


async def test_lines_can_be_put_in_from_outside(fly: Simulated) -> None:
    await fly.app()
    await fly.machine()
    fly.clock.advance(30)
    hostile = "\x1b]0;owned\x07[bold]hello[/bold]\r\n"
    await fly.ask("POST", "/_world", {"say": [{"app": "acme-api", "message": hostile}]})
    assert hostile in await _messages(fly)
