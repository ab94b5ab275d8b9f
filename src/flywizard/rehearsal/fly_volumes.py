"""The stand-in's `fly volumes`: create, list, destroy."""

from __future__ import annotations

import asyncio

from flywizard.rehearsal import fly_shapes as shapes
from flywizard.rehearsal.fly_account import platform
from flywizard.rehearsal.fly_apps import app_basic
from flywizard.rehearsal.fly_core import Failure, Fly, table

PINNED = (
    "Warning! Every volume is pinned to a specific physical host. You should create two or more volumes per"
    " application to avoid downtime. Learn more at https://fly.io/docs/volumes/overview/"
)


async def create(fly: Fly) -> None:
    """`fly volumes create`: without `-y` the first volume of its name is refused."""
    if not fly.args:
        raise Failure("accepts 1 arg(s), received 0")
    name, app = fly.args[0], fly.app()
    looked = [app_basic(fly, app), platform(fly)]
    count = int(fly.flag("count", "1"))
    if not fly.on("yes"):
        volumes = await fly.flaps("GET", f"/v1/apps/{app}/volumes")
        await asyncio.gather(*looked)
        if count < 2 and not any(v.get("name") == name for v in volumes or []):
            fly.eprint(PINNED)
            raise Failure("yes flag must be specified when not running interactively")
    else:
        await asyncio.gather(*looked)
    region = fly.region()
    if not region:
        raise Failure("region code must be specified when not running interactively")
    body = {
        "name": name,
        "region": region,
        "size_gb": int(fly.flag("size", "1")),
        "encrypted": not fly.on("no-encryption"),
        "require_unique_zone": fly.flags.get("require-unique-zone", True),
        "unique_zone_app_wide": False,
        "snapshot_retention": int(fly.flag("snapshot-retention", "5")),
        "auto_backup_enabled": None,
        "fstype": None,
        "snapshot_id": None,
        "source_volume_id": None,
        "compute": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
    }
    for _ in range(count):
        made = await fly.flaps("POST", f"/v1/apps/{app}/volumes", body, what="failed creating volume")
        if fly.json_wanted:
            fly.print_json(shapes.volume(made))
        else:
            fly.out(
                f"                  ID: {made['id']}\n                Name: {made['name']}\n"
                f"                 App: {app}\n              Region: {made['region']}\n"
                f"             Size GB: {made['size_gb']}\n\n"
            )


async def listing(fly: Fly) -> None:
    """`fly volumes list`."""
    app = fly.app()
    await app_basic(fly, app)
    volumes = await fly.flaps("GET", f"/v1/apps/{app}/volumes", what="failed retrieving volumes")
    if fly.json_wanted:
        fly.print_json([shapes.volume(v) for v in volumes or []])
        return
    rows = [[v["id"], v["state"], v["name"], f"{v['size_gb']}GB", v["region"]] for v in volumes or []]
    fly.out(table([["ID", "STATE", "NAME", "SIZE", "REGION"], *rows]))


async def destroy(fly: Fly) -> None:
    """`fly volumes destroy`."""
    if not fly.args:
        raise Failure("volume ID must be specified when not running interactively")
    app = fly.app()
    for volume in fly.args:
        await fly.flaps("GET", f"/v1/apps/{app}/volumes/{volume}", what=f"failed retrieving volume {volume}")
        if not fly.on("yes"):
            raise Failure("yes flag must be specified when not running interactively")
        await fly.flaps("DELETE", f"/v1/apps/{app}/volumes/{volume}", what="failed destroying volume")
        fly.print(f"Destroyed volume ID: {volume}")
