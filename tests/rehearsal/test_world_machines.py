"""Machines live through time as flyctl insists on."""

from __future__ import annotations

import pytest

from flywizard.rehearsal.clock import Durations, ManualClock
from flywizard.rehearsal.world_machines import secret_names
from tests.support.simulated import Simulated


async def test_a_machine_starts_and_becomes_healthy(fly: Simulated) -> None:
    await fly.app()
    made = await fly.machine(lease_ttl=300)
    path = f"/v1/apps/acme-api/machines/{made['id']}"
    assert made["state"] == "created"
    assert made["nonce"]
    assert made["host_status"] == "ok"
    assert made["config"]["metadata"]["fly_platform_version"] == "v2"

    assert await fly.ask("GET", path + "/wait?state=started&timeout=60") == {"ok": True}
    shown = await fly.ask("GET", path)
    assert shown["state"] == "started"
    assert [e["type"] for e in shown["events"]] == ["start", "launch"]
    assert shown["events"][0]["timestamp"] > shown["events"][1]["timestamp"] > 1_700_000_000_000
    assert [(c["name"], c["status"]) for c in shown["checks"]] == [("servicecheck-00-http-8000", "warning")]

    fly.clock.advance(Durations().checks)
    shown = await fly.ask("GET", path)
    assert [c["status"] for c in shown["checks"]] == ["passing"]


@pytest.mark.parametrize("speed", [1.0, 4.0, 60.0])
async def test_the_smoke_check_takes_eleven_simulated_seconds(speed: float) -> None:
    fly = Simulated(clock=ManualClock(speed=speed))
    await fly.app()
    made = await fly.machine()
    await fly.ask("GET", f"/v1/apps/acme-api/machines/{made['id']}/wait?state=started&timeout=60")
    fly.clock.advance(11.1)
    shown = await fly.ask("GET", f"/v1/apps/acme-api/machines/{made['id']}")
    age = fly.clock.now() - shown["events"][0]["timestamp"] / 1000
    assert 10.0 < age < 12.0
    real = fly.clock.now() - fly.world.machines[made["id"]].runs[0]["at"]
    assert real < 11.5 / speed


async def test_an_update_keeps_the_id_and_changes_the_instance(fly: Simulated) -> None:
    await fly.app()
    made = await fly.machine()
    path = f"/v1/apps/acme-api/machines/{made['id']}"
    fly.clock.advance(20)
    updated = await fly.ask("POST", path, {"config": {**made["config"], "env": {"A": "1"}}})
    assert updated["id"] == made["id"]
    assert updated["instance_id"] != made["instance_id"]
    assert updated["state"] == "replacing"
    await fly.ask("GET", path + "/wait?state=started&timeout=60")
    shown = await fly.ask("GET", path)
    assert shown["config"]["env"] == {"A": "1"}
    assert [e["type"] for e in shown["events"]] == ["start", "update", "start", "launch"]


async def test_a_lease_keeps_others_out(fly: Simulated) -> None:
    await fly.app()
    made = await fly.machine()
    path = f"/v1/apps/acme-api/machines/{made['id']}"
    taken = await fly.ask("POST", path + "/lease?ttl=13", status=201)
    nonce = taken["data"]["nonce"]
    refused = await fly.ask("POST", path + "/lease?ttl=13", status=409)
    assert refused["error"].startswith("lease currently held by you@example.com, expires at ")
    await fly.ask("POST", path, {"config": made["config"]}, 409)
    again = await fly.ask("POST", path + "/lease?ttl=13", status=201, fly_machine_lease_nonce=nonce)
    assert again["data"]["nonce"] == nonce
    await fly.ask("POST", path, {"config": made["config"]}, 200, fly_machine_lease_nonce=nonce)
    fly.clock.advance(14)
    await fly.ask("GET", path + "/lease", status=404)
    other = await fly.ask("POST", path + "/lease?ttl=13", status=201)
    assert other["data"]["nonce"] != nonce
    await fly.ask("DELETE", path + "/lease", status=409, fly_machine_lease_nonce="wrong")
    await fly.ask("DELETE", path + "/lease", status=200, fly_machine_lease_nonce=other["data"]["nonce"])
    await fly.ask("GET", path + "/lease", status=404)


@pytest.mark.parametrize("code", [0, 1])
async def test_a_release_command_runs_once_and_can_still_be_asked_for(fly: Simulated, code: int) -> None:
    if code:
        fly.faults.add("release-command-fails")
    await fly.app()
    config = {
        "auto_destroy": True,
        "restart": {"policy": "no"},
        "init": {"cmd": ["alembic", "upgrade", "head"]},
    }
    made = await fly.machine(group="fly_app_release_command", config=config, skip_launch=True)
    path = f"/v1/apps/acme-api/machines/{made['id']}"
    await fly.ask("GET", path + "/wait?state=stopped&timeout=60")
    assert (await fly.ask("POST", path + "/start"))["previous_state"] == "stopped"
    await fly.ask("GET", path + "/wait?state=started&timeout=60")
    await fly.ask("GET", path + "/wait?state=destroyed&timeout=60")
    shown = await fly.ask("GET", path)
    assert shown["state"] == "destroyed"
    assert [e["type"] for e in shown["events"][:2]] == ["exit", "start"]
    assert shown["events"][0]["request"]["exit_event"]["exit_code"] == code
    assert await fly.ask("GET", "/v1/apps/acme-api/machines") == []
    logs = await fly.ask("GET", f"/api/v1/apps/acme-api/logs?instance={made['id']}")
    assert logs["data"][-1]["attributes"]["message"].endswith(f"Main child exited normally with code: {code}")


async def test_a_crash_loop_looks_like_one(fly: Simulated) -> None:
    fly.faults.add("crash-loop@worker")
    await fly.app()
    good = await fly.machine()
    bad = await fly.machine(group="worker")
    fly.clock.advance(9.9)
    shown = await fly.ask("GET", f"/v1/apps/acme-api/machines/{bad['id']}")
    newest = next(e for e in shown["events"] if e["type"] == "exit")
    exit_event = newest["request"]["exit_event"]
    assert newest["request"]["restart_count"] > 1
    assert (exit_event["exit_code"], exit_event["restarting"], exit_event["requested_stop"]) == (
        1,
        True,
        False,
    )
    assert (await fly.ask("GET", f"/v1/apps/acme-api/machines/{good['id']}"))["state"] == "started"
    logs = await fly.ask("GET", f"/api/v1/apps/acme-api/logs?instance={bad['id']}")
    assert any("ModuleNotFoundError" in line["attributes"]["message"] for line in logs["data"])


async def test_never_healthy_and_never_starts(fly: Simulated) -> None:
    fly.faults.add("never-healthy@app")
    fly.faults.add("never-starts@worker")
    await fly.app()
    sick = await fly.machine()
    late = await fly.machine(group="worker")
    fly.clock.advance(600)
    assert (await fly.ask("GET", f"/v1/apps/acme-api/machines/{sick['id']}"))["checks"][0][
        "status"
    ] == "critical"
    waited = await fly.ask(
        "GET", f"/v1/apps/acme-api/machines/{late['id']}/wait?state=started&timeout=5", status=408
    )
    assert waited["error"].startswith("deadline_exceeded")


async def test_standbys_and_destroyed_machines(fly: Simulated) -> None:
    await fly.app()
    first = await fly.machine(group="worker")
    standby = await fly.machine(group="worker", config={"standbys": [first["id"]]}, skip_launch=True)
    fly.clock.advance(30)
    shown = await fly.ask("GET", f"/v1/apps/acme-api/machines/{standby['id']}")
    assert shown["state"] == "created"
    path = f"/v1/apps/acme-api/machines/{first['id']}"
    await fly.ask("DELETE", path, status=412)
    await fly.ask("POST", path + "/stop")
    await fly.ask("GET", path + "/wait?state=stopped&timeout=10")
    await fly.ask("DELETE", path, status=200)
    assert (await fly.ask("GET", path))["state"] == "destroyed"
    assert [m["id"] for m in await fly.ask("GET", "/v1/apps/acme-api/machines")] == [standby["id"]]
    every = await fly.ask("GET", "/v1/apps/acme-api/machines?include_deleted=true")
    assert len(every) == 2
    assert fly.world.count("machine", "acme-api/worker") == 1


async def test_a_machine_sees_the_secrets_that_were_there_at_its_start(fly: Simulated) -> None:
    await fly.app()
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"A": "1"}})
    made = await fly.machine()
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"A": "2", "B": "3"}})
    machine = fly.world.machines[made["id"]]
    assert secret_names(fly.world, machine) == ["A"]
    await fly.ask("POST", f"/v1/apps/acme-api/machines/{made['id']}", {"config": made["config"]})
    assert secret_names(fly.world, machine) == ["A", "B"]


async def test_an_unknown_image_is_refused(fly: Simulated) -> None:
    await fly.app()
    config = {"image": "registry.fly.io/acme-api:nope", "metadata": {}}
    refused = await fly.ask("POST", "/v1/apps/acme-api/machines", {"config": config}, 400)
    assert "manifest unknown" in refused["error"]
    assert fly.world.count("machine") == 0
