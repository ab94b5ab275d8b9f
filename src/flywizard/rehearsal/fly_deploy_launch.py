"""Machines of new process groups: created one after another, each watched until it is up."""

from __future__ import annotations

import asyncio

from flywizard.rehearsal.fly_core import Failure, Fly, Json
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_deploy_watch import (
    Interrupted,
    check_listening,
    needs_health,
    smoke_check,
    wait_healthy,
    wait_state,
)
from flywizard.rehearsal.fly_machine import machine_path, remember_lease
from flywizard.rehearsal.fly_machine_config import mount_of, services_of

CREATED_LEASE = 300


def prefix(index: int, total: int) -> str:
    """`[i/n] `, or nothing when there is only one."""
    return f"[{index:0{len(str(total))}d}/{total}] " if total > 1 else ""


def _plan_line(rollout: Rollout, group: str) -> str:
    second = rollout.high_availability and mount_of(rollout.config, group) is None
    if second and services_of(rollout.config, group):
        return f' * create 2 "{group}" machines'
    if second:
        return f' * create 1 "{group}" machine and 1 standby machine for it'
    return f' * create 1 "{group}" machine'


async def change_groups(rollout: Rollout, new: list[str], gone: list[Json], *, first: bool) -> None:
    """Destroys the machines of groups that are no more and creates those of new groups.

    Raises:
        Failure: a machine could not be made, or does not come up.
    """
    fly = rollout.fly
    fly.print("This deployment will:" if first else "Process groups have changed. This will:")
    groups = sorted({rollout.group_of(m) for m in gone})
    for group in groups:
        count = sum(rollout.group_of(m) == group for m in gone)
        fly.print(f' * destroy {count} "{group}" machine{"s" if count > 1 else ""}')
    for group in new:
        fly.print(_plan_line(rollout, group))
    fly.print()
    for machine in gone:
        await fly.flaps("DELETE", f"{machine_path(rollout.name, machine['id'])}?kill=true")
    rollout.machines = [m for m in rollout.machines if m not in gone]
    for index, group in enumerate(new, 1):
        await _launch_group(rollout, group, prefix(index, len(new)))
    if new:
        fly.eprint("Finished launching new machines")
    stopping = {}
    for group in new:
        for service in services_of(rollout.config, group):
            if service.get("autostop"):
                stopping[group] = "suspend" if service["autostop"] == "suspend" else "stop"
    if stopping:
        how = next(iter(stopping.values()))
        verb = "stopped" if how == "stop" else "suspended"
        note = f"The machines for [{', '.join(sorted(stopping))}] have services with"
        rollout.autostop_note = (
            f"\n\nNOTE: {note} 'auto_stop_machines = \"{how}\"' that will be {verb} when idling\n\n"
        )


async def _launch_group(rollout: Rollout, group: str, at: str) -> None:
    fly = rollout.fly
    fly.print(f"> {at}Launching new machine")
    fly.print(f"No machines in group {group}, launching a new machine")
    machine = await _launch(rollout, group, at, glyph=">")
    if not rollout.high_availability or mount_of(rollout.config, group) is not None:
        return
    if services_of(rollout.config, group):
        fly.print("Creating a second machine for high availability and zero downtime deployments.")
        fly.print('To disable this, set "min_machines_running = 0" in your fly.toml.')
        await _launch(rollout, group, at, glyph="✔")
    else:
        fly.print(f"Creating a standby machine for {machine['id']}")
        await _launch(rollout, group, at, glyph="✔", standby_for=str(machine["id"]))


async def _launch(rollout: Rollout, group: str, at: str, *, glyph: str, standby_for: str = "") -> Json:
    fly = rollout.fly
    try:
        mount = mount_of(rollout.config, group)
        volume = rollout.free_volume(mount["source"]) if mount else None
        body = rollout.machine_body(group, volume=volume, standby_for=standby_for)
        if standby_for:
            body["skip_launch"] = True
        body |= {
            "skip_secrets": False,
            **rollout.secrets_version(),
            "lease_ttl": int(min(CREATED_LEASE, rollout.wait)),
        }
        machine = await fly.flaps(
            "POST",
            f"/v1/apps/{rollout.name}/machines",
            body,
            what="error creating a new machine: failed to launch VM",
        )
    except Failure as failure:
        fly.print(f"✖ {at}Failed: {failure.text}")
        raise
    if volume:
        volume["attached_machine_id"] = machine["id"]
    remember_lease(fly, rollout.name, str(machine["id"]), machine.get("nonce"))
    fly.print(f"{glyph} {at}Machine {machine['id']} [{group}] was created")
    release_lease = True
    try:
        if not standby_for:
            await _watch(rollout, group, machine, body["config"])
    except asyncio.CancelledError as ended:
        release_lease = False
        _tell_interrupted(fly, rollout, group, str(machine["id"]), at, ended)
        raise
    except Failure as failure:
        fly.print(f"✖ {at}Failed: {failure.text}")
        raise
    finally:
        if release_lease:
            await _give_back(rollout, group, str(machine["id"]))
    if not standby_for and rollout.health and rollout.strategy != "immediate":
        fly.print(f"✔ {at}Machine {machine['id']} [{group}] update finished: success")
    return machine


def _tell_interrupted(
    fly: Fly, rollout: Rollout, group: str, machine: str, at: str, ended: asyncio.CancelledError
) -> None:
    why = fly.transport.interrupted
    if not why:
        return
    fly.info(f"detected canceled context and allowing 500ms to release machine {machine} [{group}] lease")
    url = fly.transport.url("flaps", f"{machine_path(rollout.name, machine)}/lease")
    fly.out(
        f'\x1b[33mWARN\x1b[0m failed to release lease for machine {machine} [{group}]: Delete "{url}": {why}\n'
    )
    text = ended.text if isinstance(ended, Interrupted) else ""
    if not text:
        url = fly.transport.url("flaps", machine_path(rollout.name, machine))
        text = f'failed to get VM {machine}: Get "{url}": {why}'
    fly.print(f"✖ {at}Failed: {text}")


async def _give_back(rollout: Rollout, group: str, machine: str) -> None:
    try:
        await rollout.fly.flaps("DELETE", f"{machine_path(rollout.name, machine)}/lease")
    except Failure as failure:
        rollout.fly.warn(f"failed to release lease for machine {machine} [{group}]: {failure.text}")


async def _watch(rollout: Rollout, group: str, machine: Json, config: Json) -> None:
    machine_id = str(machine["id"])
    if rollout.smoke:
        await smoke_check(rollout, machine_id)
    if rollout.health and rollout.strategy != "immediate":
        await wait_state(rollout, machine_id, "started", rollout.wait)
        try:
            if needs_health(rollout, config):
                await wait_healthy(rollout, machine_id, lambda _: None)
        finally:
            if not rollout.fly.transport.interrupted:
                await check_listening(rollout, machine_id, config)
    else:
        await check_listening(rollout, machine_id, config)
