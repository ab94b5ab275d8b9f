"""Whatever is done to machines, in any order and at any time: what flyctl insists on stays true."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.rehearsal.clock import ManualClock
from flywizard.rehearsal.world import World
from tests.support.simulated import Simulated

STATES = {"created", "starting", "started", "stopping", "stopped", "restarting", "replacing", "destroyed"}
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["update", "start", "stop", "restart", "lease", "unlease", "destroy", "idle"]),
        st.floats(0, 40),
    ),
    max_size=9,
)


async def _do(fly: Simulated, path: str, action: str) -> None:
    lease = fly.world.machines[path.rpartition("/")[2]].lease
    nonce = {"fly_machine_lease_nonce": lease["nonce"]} if lease else {}
    match action:
        case "update":
            config = fly.world.machines[path.rpartition("/")[2]].config
            await fly.send("POST", path, {"config": config}, **nonce)
        case "lease":
            await fly.send("POST", path + "/lease?ttl=13", **nonce)
        case "unlease":
            await fly.send("DELETE", path + "/lease", **nonce)
        case "destroy":
            await fly.send("DELETE", path + "?force=true", **nonce)
        case "start" | "stop" | "restart":
            await fly.send("POST", f"{path}/{action}", **nonce)


def _check(shown: dict[str, Any], now: float) -> None:
    assert shown["state"] in STATES
    assert shown["host_status"] == "ok"
    assert shown["config"]["metadata"]["fly_platform_version"] == "v2"
    kinds = [e["type"] for e in shown["events"]]
    assert kinds[-1] == "launch"
    for event in shown["events"]:
        assert event["timestamp"] <= now * 1000 + 1
        if event["type"] == "exit":
            assert {"exit_code", "requested_stop", "restarting"} <= set(event["request"]["exit_event"])
    if shown["state"] == "started":
        assert "start" in kinds
        assert kinds.index("start") < kinds.index("launch")
    assert len(shown["checks"]) == 1
    if shown["state"] not in ("started", "stopping"):
        assert shown["checks"][0]["status"] != "passing"


@settings(max_examples=40, deadline=None)
@given(ACTIONS, st.sampled_from([1.0, 30.0]), st.sampled_from(["", "crash-loop@app", "never-healthy@app"]))
def test_invariants_of_a_machines_life(actions: list[tuple[str, float]], speed: float, fault: str) -> None:
    async def live() -> None:
        fly = Simulated(clock=ManualClock(speed=speed))
        if fault:
            fly.faults.add(fault)
        await fly.app()
        made = await fly.machine()
        path = f"/v1/apps/acme-api/machines/{made['id']}"
        for action, pause in actions:
            await _do(fly, path, action)
            _check(await fly.ask("GET", path), fly.clock.now())
            fly.clock.advance(pause)
            _check(await fly.ask("GET", path), fly.clock.now())
        logs = await fly.ask("GET", "/api/v1/apps/acme-api/logs?next_token=1")
        ids = [line["id"] for line in logs["data"]]
        assert len(ids) == len(set(ids))
        data = fly.world.to_json()
        assert World.from_json(json.loads(json.dumps(data))).to_json() == data

    asyncio.run(live())
