"""The stand-in's `fly scale`: show and count."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from flywizard.rehearsal.fly_apps import EGRESS
from flywizard.rehearsal.fly_config import AppConfig
from flywizard.rehearsal.fly_config_command import release_definition
from flywizard.rehearsal.fly_core import Failure, Fly, Json, table
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_machine import LEASE, acquire, find, machine_path, release
from flywizard.rehearsal.fly_machine_config import guest, machine_config, size_name

RELEASES = (
    "query ($appName: String!, $limit: Int!) { app(name: $appName) { releases: releasesUnprocessed(first: $limit) {"
    " nodes { id version description reason status imageRef stable user { id email name } createdAt } } } }"
)


async def _machines(fly: Fly, app: str) -> list[Json]:
    found = await fly.flaps("GET", f"/v1/apps/{app}/machines", what="failed to list VMs")
    return [
        m
        for m in found or []
        if ((m.get("config") or {}).get("metadata") or {}).get("fly_platform_version") == "v2"
        and Rollout.group_of(m) != "fly_app_release_command"
        and m.get("state") not in ("destroyed", "destroying")
    ]


async def show(fly: Fly) -> None:
    """`fly scale show`."""
    app = fly.app()
    rows: dict[str, dict[str, Any]] = {}
    for machine in await _machines(fly, app):
        group, shape = Rollout.group_of(machine), (machine.get("config") or {}).get("guest") or {}
        row = rows.setdefault(
            group,
            {
                "Process": group,
                "Count": 0,
                "CPUKind": shape.get("cpu_kind"),
                "CPUs": shape.get("cpus"),
                "Memory": shape.get("memory_mb"),
                "Regions": {},
            },
        )
        row["Count"] += 1
        row["Regions"][machine["region"]] = row["Regions"].get(machine["region"], 0) + 1
    found = [rows[g] for g in sorted(rows)]
    if fly.json_wanted:
        fly.print_json(found)
        return
    lines = [[r["Process"], str(r["Count"]), str(r["CPUKind"]), f"{r['Memory']} MB"] for r in found]
    fly.out(f"VM Resources for app: {app}\n\nGroups\n" + table([["NAME", "COUNT", "KIND", "MEMORY"], *lines]))


def _wanted(fly: Fly, default: str) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for word in fly.args:
        group, equals, count = word.rpartition("=")
        try:
            wanted[group if equals else fly.flag("process-group", default)] = int(count)
        except ValueError:
            raise Failure(f"'{word}' is not a valid process=count option") from None
    if not wanted:
        raise Failure("requires at least 1 arg(s), only received 0")
    return wanted


async def count(fly: Fly) -> None:
    """`fly scale count`: new machines are made without any wait or check."""
    app = fly.app()
    definition = await release_definition(fly, app)
    machines = await _machines(fly, app)
    if not definition and not machines:
        raise Failure(
            "failed to grab app config from existing machines, error: could not create a fly.toml from any"
            " machines :-(\nNo machines configured for this app"
        )
    data = await fly.gql(RELEASES, {"appName": app, "limit": 1, "status": "complete"})
    nodes = ((data.get("app") or {}).get("releases") or {}).get("nodes") or []
    await fly.flaps("GET", f"/v1/apps/{app}/volumes")
    config = AppConfig("fly.toml", definition or {"app": app}, definition or {"app": app})
    changes: list[tuple[str, int]] = []
    for group, target in sorted(_wanted(fly, config.default_group()).items()):
        have = [m for m in machines if Rollout.group_of(m) == group]
        if target != len(have):
            changes.append((group, target - len(have)))
    if not changes:
        fly.print("App already scaled to desired state. No need for changes")
        return
    if not nodes:
        raise Failure(
            "this app has no complete releases. Run `fly deploy` to create one and rerun this command"
        )
    await _execute(fly, app, config, machines, nodes[0], changes)


async def _execute(
    fly: Fly, app: str, config: AppConfig, machines: list[Json], latest: Json, changes: list[tuple[str, int]]
) -> None:
    region = fly.region() or str(config.definition.get("primary_region") or "ams")
    fly.print(f"App '{app}' is going to be scaled according to this plan:")
    for group, delta in changes:
        size = size_name(guest(config, group))
        fly.print(f"  {delta:+d} machines for group '{group}' on region '{region}' of size '{size}'")
    if not fly.on("yes"):
        raise Failure("yes flag must be specified when not running interactively")
    fly.print("Executing scale plan")
    ids = [str(m["id"]) for m in machines]

    async def hold(machine: str) -> None:
        await acquire(fly, app, machine, LEASE)
        await find(fly, app, machine)

    await asyncio.gather(*(hold(i) for i in ids))
    try:
        for group, delta in changes:
            size = size_name(guest(config, group))
            end = f"group:{group} region:{region} size:{size}"
            for _ in range(max(0, delta)):
                made = await fly.flaps(
                    "POST", f"/v1/apps/{app}/machines", _body(fly, app, config, group, machines, latest, region),
                    what="failed to launch VM",
                )  # fmt: skip
                fly.print(f"  Created {made['id']} {end}")
            doomed = [m for m in machines if Rollout.group_of(m) == group][: max(0, -delta)]
            for machine in doomed:
                await fly.flaps(
                    "DELETE", f"{machine_path(app, machine['id'])}?kill=true", what="failed to destroy VM"
                )
                fly.print(f"  Destroyed {machine['id']} {end}")
        with suppress(Failure):
            await fly.gql(EGRESS, {"appName": app})
    finally:
        for machine in ids:
            await release(fly, app, machine)


def _body(
    fly: Fly, app: str, config: AppConfig, group: str, machines: list[Json], latest: Json, region: str
) -> dict[str, Any]:
    like = next((m for m in machines if Rollout.group_of(m) == group), None)
    image = str(latest.get("imageRef") or "")
    if like:
        made = {k: v for k, v in (like.get("config") or {}).items() if k not in ("mounts", "standbys")}
    else:
        made = machine_config(config, group, image, latest)
    seen = fly.settings.minvers.get(app)
    return {
        "config": made,
        "region": region,
        "skip_secrets": False,
        **({"min_secrets_version": seen} if seen else {}),
    }
