"""The stand-in's `fly deploy`: configuration, image, release, machines; and the restart that secrets cause."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from flywizard.rehearsal.fly_apps import EGRESS
from flywizard.rehearsal.fly_config import AppConfig, canonical, find_config, load
from flywizard.rehearsal.fly_config_command import announce, check_types, release_definition
from flywizard.rehearsal.fly_core import Canceled, Failure, Fly, Json, StatusFailure, go_json, seconds_of
from flywizard.rehearsal.fly_deploy_image import Image, image_step
from flywizard.rehearsal.fly_deploy_plan import Rollout
from flywizard.rehearsal.fly_machine_config import mount_of, services_of

SENSITIVE = ("KEY", "PRIVATE", "DATABASE_URL", "PASSWORD", "SECRET")
LATEST_IMAGE = "query LatestImage ($appName: String!) { app(name: $appName) { currentReleaseUnprocessed { id version imageRef } } }"
PATCH_PAUSES = (0.5, 1.0)
WAIT, LEASE = 300.0, 13.0
MOUNT_LOST = "yes flag must be specified when not running interactively"


def _config(fly: Fly, directory: Path) -> AppConfig:
    shown = find_config(fly.flag("config"), directory)
    if not shown:
        raise Failure(
            "could not find a fly.toml in the working directory; run 'fly launch' or name one with --config"
        )
    config = load(shown, directory)
    check_types(fly, config)
    for pair in fly.flags.get("env") or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Failure(f"'{pair}': must be in the format NAME=VALUE")
        config.definition.setdefault("env", {})[name] = value
    if "env" in config.definition:
        config.definition["env"] = dict(sorted(config.definition["env"].items()))
        config.definition = {k: config.definition[k] for k in canonical(config.definition)}
    if fly.flag("strategy"):
        config.definition["deploy"] = {
            **(config.definition.get("deploy") or {}),
            "strategy": fly.flag("strategy"),
        }
        config.definition = {k: config.definition[k] for k in canonical(config.definition)}
    if fly.flag("app"):
        config.definition = {**config.definition, "app": fly.flag("app")}
    return config


async def deploy(fly: Fly) -> int | None:
    """`fly deploy`."""
    fly.in_deploy = True
    directory = Path(fly.args[0]) if fly.args else Path.cwd()
    fly.eprint("==> Verifying app config")
    config = _config(fly, directory)
    announce(fly, config)
    fly.eprint("--> Verified app config")
    name = fly.flag("app") or fly.env.get("FLY_APP", "") or str(config.definition.get("app", ""))
    if not name:
        raise Failure("app name is missing")
    app = await fly.flaps("GET", f"/v1/apps/{name}")
    _warn_sensitive(fly, config)
    image = await image_step(fly, config, name, app, directory)
    if fly.on("build-only"):
        return None
    fly.out(f"\nWatch your deployment at https://fly.io/apps/{name}/monitoring\n\n")
    rollout = _rollout(fly, config, name, app, image)
    await _prepare(rollout)
    await run_release(rollout)
    if rollout.autostop_note:
        fly.out(rollout.autostop_note)
    await _check_dns(fly, rollout)
    _emit(fly, rollout)
    if rollout.has_http():
        fly.out(f"\nVisit your newly deployed app at https://{name}.fly.dev/\n\n")
    return None


def _warn_sensitive(fly: Fly, config: AppConfig) -> None:
    for variable in config.definition.get("env") or {}:
        if any(part in variable for part in SENSITIVE):
            fly.err(
                f"\x1b[33mWARN\x1b[0m {variable} may be a potentially sensitive environment variable. Consider"
                " setting it as a secret, and removing it from the [env] section: https://fly.io/docs/apps/secrets/\n\n"
            )


def _seconds(fly: Fly, flag: str, default: float) -> float:
    text = fly.flag(flag)
    if not text:
        return default
    if text == "none":
        return default if flag != "release-command-timeout" else float("inf")
    try:
        return seconds_of(text)
    except ValueError as error:
        raise Failure(f'invalid argument "{text}" for "--{flag}" flag: {error}') from None


def _rollout(fly: Fly, config: AppConfig, name: str, app: Json, image: Image) -> Rollout:
    deploy_section = config.definition.get("deploy") or {}
    wait, lease = _seconds(fly, "wait-timeout", WAIT), _seconds(fly, "lease-timeout", LEASE)
    rollout = Rollout(
        fly=fly,
        config=config,
        name=name,
        app=app,
        image=image.ref,
        build_id=image.build_id,
        strategy=fly.flag("strategy") or str(deploy_section.get("strategy") or "rolling"),
        wait=wait,
        lease=lease,
        release_timeout=_seconds(fly, "release-command-timeout", WAIT),
        smoke=fly.flags.get("smoke-checks", True) and not fly.on("detach"),
        health=not fly.on("detach"),
        high_availability=bool(fly.flags.get("ha", True)),
    )
    if (wait, lease) != (WAIT, LEASE):
        delay = lease / 3
        fly.info(
            f"Using wait timeout: {_short(wait)} lease timeout: {_short(lease)}"
            f" delay between lease refreshes: {_short(int(delay))}"
        )
    return rollout


def _short(seconds: float) -> str:
    from flywizard.rehearsal.fly_core import duration_text

    text = duration_text(seconds)
    return text.removesuffix("0s") if text.endswith("m0s") else text


async def _prepare(rollout: Rollout) -> None:
    """Machines, mounts, addresses and volumes, before there is a release."""
    fly, name = rollout.fly, rollout.name
    await rollout.list_machines()
    if not rollout.machines:
        await rollout.list_machines()
    mounts = rollout.config.definition.get("mounts")
    if mounts:
        rollout.volumes = (
            await fly.flaps("GET", f"/v1/apps/{name}/volumes", what="error fetching volumes") or []
        )
    first = not rollout.machines and rollout.app.get("status") == "pending"
    if first and not fly.on("no-public-ips"):
        await _provision_addresses(rollout)
    if mounts and first:
        await _seed_volumes(rollout)
    for machine in rollout.machines:
        group = rollout.group_of(machine)
        mounted = (machine.get("config") or {}).get("mounts")
        if mounted and group in rollout.config.groups() and mount_of(rollout.config, group) is None:
            fly.eprint(
                f"Warning! machine {machine['id']} [{group}] has a volume mounted but app config does not specify"
                " a volume.\nThis usually indicates a misconfiguration."
            )
            raise Failure(MOUNT_LOST)
    if mounts and not first:
        _need_volumes(rollout)


def _need_volumes(rollout: Rollout) -> None:
    have = {rollout.group_of(m) for m in rollout.machines}
    for group in rollout.config.groups():
        mount = mount_of(rollout.config, group)
        if mount and group not in have and not rollout.free_volume(mount["source"]):
            raise Failure(
                f"creating a new machine in group '{group}' requires an unattached '{mount['source']}' volume."
                f" Create it with `fly volume create {mount['source']}`"
            )


async def _provision_addresses(rollout: Rollout) -> None:
    fly, name = rollout.fly, rollout.name
    if not any(services_of(rollout.config, g) for g in rollout.config.groups()):
        return
    path = f"/v1/apps/{name}/ip_assignments"
    try:
        known = await fly.flaps("GET", path)
        if known.get("ips"):
            return
        fly.print(f"Provisioning ips for {name}")
        slug = (rollout.app.get("organization") or {}).get("slug", "")
        body = {"type": "v6", "region": "", "org_slug": slug, "network": "", "service_name": ""}
        made = await _address(fly, path, body, "ipv6")
        fly.print(f"  Dedicated ipv6: {made['ip']}")
        made = await _address(fly, path, {**body, "type": "shared_v4"}, "shared ipv4")
        fly.print(f"  Shared ipv4: {made['ip']}")
        fly.out("  Add a dedicated ipv4 with: fly ips allocate-v4\n\n")
    except Failure as failure:
        fly.err(
            "Failed to provision IP addresses. Use `fly ips` commands to remediate it. ERROR: " + failure.text
        )


async def _address(fly: Fly, path: str, body: Json, kind: str) -> Json:
    return await fly.flaps(
        "POST",
        path,
        body,
        what=f"error allocating {kind} after detecting first deploy and presence of services: failed to add ip to app",
    )


async def _seed_volumes(rollout: Rollout) -> None:
    from flywizard.rehearsal.fly_machine_config import guest, memory_mb

    fly = rollout.fly
    for group in rollout.config.groups():
        mount = mount_of(rollout.config, group)
        if mount is None or rollout.free_volume(mount["source"]):
            continue
        size = int(fly.flag("volume-initial-size", "0")) or 1
        if mount.get("initial_size"):
            size = max(1, memory_mb(mount["initial_size"]) // 1024)
        fly.print(
            f"Creating a {size} GB volume named '{mount['source']}' for process group '{group}'."
            " Use 'fly vol extend' to increase its size"
        )
        body = {
            "name": mount["source"],
            "region": rollout.region(),
            "size_gb": size,
            "encrypted": True,
            **dict.fromkeys(
                ("require_unique_zone", "unique_zone_app_wide", "snapshot_retention", "auto_backup_enabled", "fstype",
                 "snapshot_id", "source_volume_id")
            ),
            "compute": guest(rollout.config, group),
            "compute_image": rollout.image,
        }  # fmt: skip
        made = await fly.flaps(
            "POST",
            f"/v1/apps/{rollout.name}/volumes",
            body,
            what="failed to provision seed volumes: failed to create volume",
        )
        rollout.volumes.append(made)


async def _patch(rollout: Rollout, status: str, error: str | None) -> None:
    metadata = (
        None if error is None else {"post_deployment_info": {"flyctl_version": "0.4.87", "error": error}}
    )
    path = f"/releases/{rollout.release['id']}"
    for pause in (*PATCH_PAUSES, None):
        try:
            await rollout.fly.uiex(
                "PATCH", path, {"metadata": metadata, "status": status}, what="update release"
            )
        except Failure as failure:
            if pause is None or "(status 5" not in failure.text:
                raise
            await rollout.fly.transport.sleep(pause)
        else:
            return


async def run_release(rollout: Rollout, *, egress: bool = True) -> None:
    """One release: made, run, and closed as `complete`, `failed` or `interrupted`.

    Raises:
        Failure: it failed.
        Canceled: a signal came, or flyctl cancelled the other groups.
    """
    fly = rollout.fly
    body = {
        "app_name": rollout.name,
        "build_id": rollout.build_id,
        "definition": rollout.config.definition,
        "image": rollout.image,
        "strategy": rollout.strategy.upper(),
    }
    answer = await fly.uiex("POST", "/releases", body, what="create release", ok=(200, 201))
    rollout.release = answer["release"]
    if egress:
        with suppress(Failure):
            await fly.gql(EGRESS, {"appName": rollout.name})
    try:
        await _patch(rollout, "running", None)
    except Failure as failure:
        raise failure.wrapped("failed to set release status to 'running': ") from None
    try:
        await rollout.run()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not fly.transport.interrupted or task is None:
            raise
        task.uncancel()
        fly.err("\n\n")
        await _close(rollout, "interrupted", "")
        raise Canceled from None
    except Canceled:
        await _close(rollout, "interrupted", "")
        raise
    except Failure as failure:
        await _close(rollout, "failed", failure.text)
        raise
    await _close(rollout, "complete", "")


async def _close(rollout: Rollout, status: str, error: str) -> None:
    try:
        await _patch(rollout, status, error)
    except Failure as failure:
        rollout.fly.warn(f"failed to set final release status after deployment failure: {failure.text}")


async def _check_dns(fly: Fly, rollout: Rollout) -> None:
    if not fly.flags.get("dns-checks", True) or fly.on("detach") or not rollout.has_http():
        return
    fly.eprint(f"Checking DNS configuration for {rollout.name}.fly.dev")
    try:
        await fly.flaps("GET", f"/v1/apps/{rollout.name}/ip_assignments")
    except StatusFailure as failure:
        fly.eprint(f"WARNING: DNS verification failed: {failure.text}")
        fly.eprint("Your app is deployed but DNS may take a few minutes to propagate globally")
    else:
        fly.eprint("✓ DNS configuration verified")


def _emit(fly: Fly, rollout: Rollout) -> None:
    if fly.env.get("FLY_EMIT_RELEASE_JSON") in ("1", "true"):
        release = rollout.release
        line = {"id": release["id"], "version": release["version"], "image_ref": rollout.image}
        fly.print(go_json(line, None))


async def restart_with_secrets(fly: Fly, name: str) -> None:
    """A release of the same image and configuration, so that the machines get new secrets."""
    definition: dict[str, Any] = await release_definition(fly, name) or {"app": name}
    app = await fly.flaps("GET", f"/v1/apps/{name}")
    config = AppConfig(os.fspath(Path("fly.toml")), definition, definition)
    rollout = Rollout(
        fly=fly,
        config=config,
        name=name,
        app=app,
        image="",
        build_id=0,
        strategy=str((definition.get("deploy") or {}).get("strategy") or "rolling"),
        wait=WAIT,
        lease=LEASE,
        release_timeout=WAIT,
        smoke=True,
        health=not fly.on("detach"),
        high_availability=False,
        restart_only=True,
    )
    await rollout.list_machines()
    latest = await fly.gql_named("LatestImage", LATEST_IMAGE, {"appName": name})
    rollout.image = ((latest.get("app") or {}).get("currentReleaseUnprocessed") or {}).get("imageRef") or ""
    await run_release(rollout, egress=False)
    await _check_dns(fly, rollout)
    _emit(fly, rollout)
