"""Owns the life of machines: what an action plans, and what a machine looks like at a moment."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from flywizard.rehearsal.world import World, split_ref
from flywizard.rehearsal.world_records import JSON, Machine, hexdigits, stamp

WORDS = ("moon", "sky", "sea", "sun", "river", "field", "stone", "leaf", "cloud", "hill")
RELEASE_GROUP = "fly_app_release_command"


@dataclass(frozen=True, slots=True)
class Fate:
    """What the switches say about a machine that is about to run."""

    crash: bool = False
    never_healthy: bool = False
    never_starts: bool = False
    exit_code: int = 0
    """Of a release command."""


def phase(machine: Machine, now: float) -> str:
    """Return the state at ``now``."""
    state = machine.phases[0][1]
    for at, name in machine.phases:
        if at <= now:
            state = name
    return str(state)


def next_change(machine: Machine, now: float) -> float | None:
    """Return when the state changes next, or None."""
    return min((float(at) for at, _ in machine.phases if at > now), default=None)


def reached(machine: Machine, states: list[str], now: float) -> bool:
    """Tell whether one of the states is there now or was passed since the last action."""
    if phase(machine, now) in states:
        return True
    return any(name in states and at <= now for at, name in machine.phases[1:])


def create(
    world: World,
    app: str,
    body: JSON,
    now: float,
    speed: float,
    fate: Fate,
    owner: str,
) -> Machine:
    """Make a machine from the body of a create request, and start it unless it says ``skip_launch``."""
    number = world.next("machine")
    config = dict(body.get("config") or {})
    machine = Machine(
        id=hexdigits(f"{world.key}:machine:{number}", 14),
        name=str(body.get("name") or f"aged-{WORDS[number % len(WORDS)]}-{1000 + number}"),
        app=app,
        region=str(body.get("region") or world.nearest),
        instance_id="01INST" + world.new_id("instance", 20).upper(),
        version="01INST" + world.new_id("version", 20).upper(),
        private_ip=f"fdaa:0:1:a7b:{number:x}::2",
        created_at=now,
        updated_at=now,
        config=config,
        phases=[[now, "created"]],
    )
    world.machines[machine.id] = machine
    for mount in config.get("mounts") or []:
        volume = world.volumes.get(str(mount.get("volume", "")))
        if volume is not None:
            volume.attached_machine_id = machine.id
    started = None
    if body.get("skip_launch"):
        if not config.get("standbys"):
            machine.phases.append([now, "stopped"])
    else:
        started = _run(world, machine, now, speed, fate)
    launched = now if started is None else min(now, started - 0.25)
    machine.events.insert(0, _event(machine, "launch", "created", "user", now, launched))
    if body.get("lease_ttl"):
        take_lease(world, machine, now, float(body["lease_ttl"]), owner)
    return machine


def update(world: World, machine: Machine, body: JSON, now: float, speed: float, fate: Fate) -> None:
    """Replace a machine's configuration: new instance, same id, started again unless ``skip_launch``."""
    before = phase(machine, now)
    _end_run(machine, now)
    machine.config = dict(body.get("config") or machine.config)
    machine.region = str(body.get("region") or machine.region)
    machine.updated_at = now
    machine.instance_id = "01INST" + world.new_id("instance", 20).upper()
    machine.version = machine.instance_id
    machine.phases = [[now, before], [now, "replacing"]]
    machine.events = [e for e in machine.events if e["at"] <= now]
    if _restarting(machine):
        machine.events.append(_exit(machine, now, 0, requested=True, restarting=False, count=0))
    if body.get("skip_launch"):
        machine.phases.append([now, "stopped"])
        machine.events.append(_event(machine, "update", "replacing", "user", now, now))
        return
    place = len(machine.events)
    started = _run(world, machine, now, speed, fate)
    shown = now if started is None else min(now, started - 0.25)
    machine.events.insert(place, _event(machine, "update", "replacing", "user", now, shown))


def start(world: World, machine: Machine, now: float, speed: float, fate: Fate) -> str:
    """Start a machine; return the state before. A release command runs, exits and is destroyed."""
    before = phase(machine, now)
    if before == "started" or any(run["at"] > now and run["until"] is None for run in machine.runs):
        return before
    _end_run(machine, now)
    machine.phases = [[now, before]]
    machine.events = [e for e in machine.events if e["at"] <= now]
    _run(world, machine, now, speed, fate)
    return before


def stop(world: World, machine: Machine, now: float, speed: float) -> None:
    """Stop a machine."""
    before = phase(machine, now)
    if before in ("stopped", "destroyed"):
        return
    done = now + world.durations.machine_stop / speed
    _end_run(machine, done)
    machine.phases = [[now, before], [now, "stopping"], [done, "stopped"]]
    machine.events = [e for e in machine.events if e["at"] <= now]
    machine.events.append(_event(machine, "stop", "stopping", "user", now, now))
    machine.events.append(_exit(machine, done, 0, requested=True, restarting=False, count=0))


def restart(world: World, machine: Machine, now: float, speed: float, fate: Fate) -> None:
    """Stop and start again in one go."""
    before = phase(machine, now)
    _end_run(machine, now)
    machine.updated_at = now
    machine.phases = [[now, before], [now, "restarting"]]
    machine.events = [e for e in machine.events if e["at"] <= now]
    machine.events.append(_event(machine, "restart", "restarting", "user", now, now))
    machine.events.append(_exit(machine, now, 0, requested=True, restarting=False, count=0))
    _run(world, machine, now, speed, fate)


def destroy(world: World, machine: Machine, now: float) -> None:
    """Destroy a machine at once; it can still be asked for by id."""
    before = phase(machine, now)
    _end_run(machine, now)
    machine.phases = [[now, before], [now, "destroyed"]]
    machine.events = [e for e in machine.events if e["at"] <= now]
    machine.events.append(_event(machine, "destroy", "destroyed", "user", now, now))
    machine.lease = None
    for volume in world.volumes.values():
        if volume.attached_machine_id == machine.id:
            volume.attached_machine_id = None


def lease_of(machine: Machine, now: float) -> JSON | None:
    """Return the lease that is still held, or None."""
    lease = machine.lease
    return lease if lease is not None and float(lease["expires_at"]) > now else None


def take_lease(world: World, machine: Machine, now: float, ttl: float, owner: str) -> JSON:
    """Take or refresh the lease for ``ttl`` real seconds; a refresh keeps the nonce."""
    held = lease_of(machine, now)
    nonce = held["nonce"] if held else world.new_id("lease", 12)
    machine.lease = {
        "nonce": nonce,
        "expires_at": now + ttl,
        "owner": owner,
        "version": machine.instance_id[-8:].lower(),
    }
    return machine.lease


def image_ref(world: World, machine: Machine, now: float) -> JSON:
    """Return the ``image_ref`` object."""
    ref = str(machine.config.get("image", ""))
    repository, tag = split_ref(ref)
    registry, _, rest = repository.partition("/")
    if "." not in registry or not rest:
        registry, rest = "docker.io", repository
    image = world.image(ref, now)
    return {
        "registry": registry,
        "repository": rest,
        "tag": tag,
        "digest": image.digest if image else "sha256:" + hexdigits(ref, 64),
        "labels": None,
    }


def view(world: World, machine: Machine, now: float, speed: float) -> JSON:
    """Return the machine as the Machines API shows it at ``now``; events newest first."""
    events = [e for e in machine.events if e["at"] <= now]
    body: JSON = {
        "id": machine.id,
        "name": machine.name,
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.version,
        "private_ip": machine.private_ip,
        "created_at": stamp(machine.created_at),
        "updated_at": stamp(machine.updated_at),
        "config": machine.config,
        "image_ref": image_ref(world, machine, now),
        "host_status": machine.host_status,
        "incomplete_config": None,
        "cordoned": machine.cordoned,
        "state": phase(machine, now),
        "events": [{k: v for k, v in e.items() if k != "at"} for e in reversed(events)],
        "checks": checks(world, machine, now, speed),
    }
    return body


def check_names(machine: Machine) -> list[tuple[str, str]]:
    """Return (name, path or "") of the health checks that the configuration asks for."""
    names: list[tuple[str, str]] = []
    for name, check in (machine.config.get("checks") or {}).items():
        names.append((str(name), str((check or {}).get("path") or "")))
    for service in machine.config.get("services") or []:
        for index, check in enumerate(service.get("checks") or []):
            kind = str(check.get("type") or "tcp")
            names.append(
                (
                    f"servicecheck-{index:02d}-{kind}-{service.get('internal_port')}",
                    str(check.get("path") or ""),
                )
            )
    return names


def checks(world: World, machine: Machine, now: float, speed: float) -> list[JSON]:
    """Return the state of each check: waiting for the process, then passing unless a switch says otherwise."""
    run = current_run(machine, now)
    passes = None if run is None else float(run["at"]) + world.durations.checks / speed
    shown: list[JSON] = []
    for name, path in check_names(machine):
        status, output, at = "warning", "connect: connection refused", now
        if run is not None:
            at = float(run["at"])
        if passes is not None and now >= passes:
            at = passes
            if machine.never_healthy:
                status = "critical"
            else:
                status, output = "passing", "200 OK" if path else "Success"
        shown.append({"name": name, "status": status, "output": output, "updated_at": stamp(at)})
    return shown


def healthy(world: World, machine: Machine, now: float, speed: float) -> bool:
    """Tell whether it is started, and all its checks pass."""
    return phase(machine, now) == "started" and all(
        c["status"] == "passing" for c in checks(world, machine, now, speed)
    )


def current_run(machine: Machine, now: float) -> JSON | None:
    """Return the run of the main process at ``now``, or None."""
    for run in reversed(machine.runs):
        if run["at"] <= now and (run["until"] is None or now < run["until"]):
            return run
    return None


def secret_names(world: World, machine: Machine) -> list[str]:
    """Return the names of the secrets that its main process was started with."""
    app = world.apps.get(machine.app)
    found = app.secrets if app else {}
    return sorted(name for name, secret in found.items() if secret["since"] <= machine.secrets_version)


def command(machine: Machine) -> str:
    """Return the command of the main process, as text."""
    init = machine.config.get("init") or {}
    words = init.get("cmd") or init.get("entrypoint") or init.get("exec") or []
    return shlex.join(str(w) for w in words)


def processes(machine: Machine) -> list[JSON]:
    """Return what ``ps`` shows."""
    ports = [s.get("internal_port") for s in machine.config.get("services") or []]
    return [
        {
            "pid": 314,
            "stime": 1,
            "rtime": 1,
            "command": command(machine) or "main",
            "directory": "/app",
            "cpu": 1,
            "rss": 1000,
            "listen_sockets": [{"proto": "tcp", "address": f"0.0.0.0:{port}"} for port in ports],
        }
    ]


def _run(world: World, machine: Machine, now: float, speed: float, fate: Fate) -> float | None:
    """Plan a start; return the time stamp that its start event shows, None if it never starts."""
    lasts = world.durations
    app = world.apps.get(machine.app)
    machine.secrets_version = app.secrets_version if app else 0
    machine.never_healthy = fate.never_healthy
    if fate.never_starts:
        machine.phases.append([now, "created"])
        return None
    up = now + lasts.machine_start / speed
    if machine.phases[-1][1] not in ("created", "replacing", "restarting"):
        machine.phases.append([now, "starting"])
    if machine.group == RELEASE_GROUP:
        return _run_once(machine, up, up + lasts.release_command / speed, fate.exit_code)
    if fate.crash:
        return _run_crashing(machine, up, lasts.crash / speed)
    machine.phases.append([up, "started"])
    shown = up - lasts.smoke * (1 - 1 / max(1.0, speed))
    machine.events.append(_event(machine, "start", "started", "flyd", up, shown))
    machine.runs.append({"at": up, "until": None, "crash": False, "exit_code": 0})
    return shown


def _run_once(machine: Machine, up: float, end: float, code: int) -> float:
    machine.phases.append([up, "started"])
    machine.events.append(_event(machine, "start", "started", "flyd", up, up))
    machine.runs.append({"at": up, "until": end, "crash": False, "exit_code": code})
    machine.events.append(_exit(machine, end, code, requested=False, restarting=False, count=0))
    machine.phases.append([end, "destroyed" if machine.config.get("auto_destroy") else "stopped"])
    return up


def _run_crashing(machine: Machine, up: float, lasts: float) -> float:
    at = up
    for count in range(1, 4):
        machine.phases.append([at, "started"])
        machine.events.append(_event(machine, "start", "started", "flyd", at, at))
        machine.runs.append({"at": at, "until": at + lasts, "crash": True, "exit_code": 1})
        at += lasts
        machine.events.append(_exit(machine, at, 1, requested=False, restarting=True, count=count))
        machine.phases.append([at, "stopped"])
        at += 2 * lasts
    return up


def _end_run(machine: Machine, at: float) -> None:
    machine.runs = [r for r in machine.runs if r["at"] <= at]
    for run in machine.runs:
        if run["until"] is None or run["until"] > at:
            run["until"] = at


def _event(machine: Machine, kind: str, status: str, source: str, at: float, shown: float) -> JSON:
    return {
        "at": at,
        "id": "01EV" + hexdigits(f"{machine.instance_id}:{kind}:{at}", 20).upper(),
        "type": kind,
        "status": status,
        "source": source,
        "timestamp": int(shown * 1000),
        "request": {},
    }


def _restarting(machine: Machine) -> bool:
    """Tell whether the last thing it did was to crash: a new configuration ends the row of restarts."""
    newest = next((e for e in reversed(machine.events) if e["type"] == "exit"), None)
    return newest is not None and bool(newest["request"]["exit_event"]["restarting"])


def _exit(machine: Machine, at: float, code: int, *, requested: bool, restarting: bool, count: int) -> JSON:
    event = _event(machine, "exit", "stopped", "flyd", at, at)
    exit_event: dict[str, Any] = {
        "exit_code": code,
        "guest_exit_code": code,
        "requested_stop": requested,
        "restarting": restarting,
        "oom_killed": False,
        "error": "",
        "guest_signal": -1,
        "signal": -1,
        "exited_at": stamp(at),
    }
    return event | {"request": {"exit_event": exit_event, "restart_count": count}}
