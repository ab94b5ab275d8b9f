"""The stand-in's `fly machine`: list, exec, restart, start, stop, destroy, leases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flywizard.rehearsal import fly_shapes as shapes
from flywizard.rehearsal.fly_apps import app_compact
from flywizard.rehearsal.fly_core import Failure, Fly, Json, StatusFailure, table

LEASE = 120
LEASE_PATIENCE = 60.0
RETRY_PAUSE = 0.5


def machine_path(app: str, machine: str) -> str:
    """The Machines API path of one machine."""
    return f"/v1/apps/{app}/machines/{machine}"


async def find(fly: Fly, app: str, machine: str) -> Json:
    """The machine.

    Raises:
        Failure: it is not there, or the request failed.
    """
    try:
        return await fly.flaps("GET", machine_path(app, machine), what=f"failed to get VM {machine}")
    except StatusFailure as failure:
        if failure.status == 404:
            raise Failure(f"machine {machine} was not found in app '{app}'") from None
        raise


def _one(fly: Fly) -> str:
    if not fly.args:
        raise Failure("a machine ID must be specified when not running interactively")
    return fly.args[0]


def remember_lease(fly: Fly, app: str, machine: str, nonce: Json) -> str:
    """Keeps a lease's nonce, which later requests to the machine carry; gives it."""
    if nonce:
        fly.nonces[machine_path(app, machine)] = str(nonce)
    return str(nonce or "")


async def acquire(
    fly: Fly, app: str, machine: str, ttl: int, *, waiting: str = "", retry_500: bool = True
) -> str:
    """A lease on a machine; one that somebody holds is waited for in silence, for about a minute.

    Raises:
        Failure: it is still held, or the request failed.
    """
    begun = fly.transport.now()
    told = False
    while True:
        try:
            answer = await fly.flaps(
                "POST",
                f"{machine_path(app, machine)}/lease?ttl={ttl}",
                what=f"failed to get lease on VM {machine}",
            )
            return remember_lease(fly, app, machine, (answer.get("data") or {}).get("nonce"))
        except StatusFailure as failure:
            if failure.status != 409 and not (retry_500 and failure.status == 500):
                raise
            if fly.transport.now() - begun > LEASE_PATIENCE - RETRY_PAUSE:
                raise
            if waiting and not told:
                fly.print(waiting)
                told = True
            await fly.transport.sleep(0.1 if failure.status == 500 else RETRY_PAUSE)


async def release(fly: Fly, app: str, machine: str) -> None:
    """Gives a lease back; a failure is no reason to fail."""
    try:
        await fly.flaps("DELETE", f"{machine_path(app, machine)}/lease")
    except Failure as failure:
        fly.warn(f"failed to release lease for machine {machine}: {failure.text}")
    fly.nonces.pop(machine_path(app, machine), None)


@asynccontextmanager
async def leased(fly: Fly, app: str, machine: str) -> AsyncIterator[Json]:
    """Holds a lease of two minutes on a machine; gives the machine."""
    await find(fly, app, machine)
    try:
        await acquire(fly, app, machine, LEASE, waiting=f"Waiting on lease for machine {machine}...")
    except Failure as failure:
        raise failure.wrapped("failed to obtain lease: ") from None
    try:
        yield await find(fly, app, machine)
    finally:
        await release(fly, app, machine)


async def listing(fly: Fly) -> None:
    """`fly machine list`."""
    app = fly.app()
    machines = await fly.flaps("GET", f"/v1/apps/{app}/machines", what="failed to list VMs")
    if fly.json_wanted:
        fly.print_json([shapes.machine(m) for m in machines or []])
        return
    if fly.on("quiet"):
        fly.out("".join(m["id"] + "\n" for m in machines or []))
        return
    if not machines:
        fly.print(f"No machines are available on this app {app}")
        return
    fly.print(f"{len(machines)} machines have been retrieved from app {app}.")
    fly.print(f"View them in the UI here (https://fly.io/apps/{app}/machines/)\n")
    rows = [[m["id"], m["name"], m["state"], m["region"]] for m in machines]
    fly.out(table([["ID", "NAME", "STATE", "REGION"], *rows]))


async def execute(fly: Fly) -> None:
    """`fly machine exec`: exits 0 whatever the command's own code, which `--json` leaves out when it is 0."""
    machine, app = _one(fly), fly.app()
    await find(fly, app, machine)
    if len(fly.args) < 2:
        raise Failure("requires a command to execute")
    body: dict[str, Json] = {"cmd": fly.args[1]}
    if fly.flag("timeout"):
        body["timeout"] = int(fly.flag("timeout"))
    if fly.flag("container"):
        body["container"] = fly.flag("container")
    result = await fly.flaps(
        "POST",
        f"{machine_path(app, machine)}/exec",
        body,
        what=f"could not exec command on machine {machine}: failed to exec on VM {machine}",
    )
    if fly.json_wanted:
        keys = ("exit_code", "exit_signal", "stdout", "stderr")
        fly.print_json({k: result[k] for k in keys if result.get(k)})
        return
    if result.get("exit_code"):
        fly.print(f"Exit code: {result['exit_code']}")
    if result.get("stdout"):
        fly.out(str(result["stdout"]))
    if result.get("stderr"):
        fly.err(str(result["stderr"]))


def passing(machine: Json) -> tuple[int, int]:
    """How many checks of a machine pass, and how many there are."""
    checks = [
        c for c in machine.get("checks") or [] if not str(c.get("name", "")).startswith("bg_deployments")
    ]
    return sum(1 for c in checks if c.get("status") == "passing"), len(checks)


def has_checks(config: Json) -> bool:
    """Whether a machine's configuration has any health check."""
    return bool(config.get("checks")) or any(s.get("checks") for s in config.get("services") or [])


async def restart(fly: Fly) -> None:
    """`fly machine restart`."""
    app = fly.app()
    for machine in fly.args or [_one(fly)]:
        async with leased(fly, app, machine) as found:
            fly.print(f"Restarting machine {machine}")
            stop = str(fly.on("force-stop") or fly.on("force")).lower()
            await fly.flaps(
                "POST",
                f"{machine_path(app, machine)}/restart?force_stop={stop}",
                what=f"could not stop machine {machine}: failed to restart VM {machine}",
            )
            await fly.flaps(
                "GET",
                f"{machine_path(app, machine)}/wait?state=started&timeout=60",
                what=f"failed to wait for VM {machine} in [started] state",
            )
            if not fly.on("skip-health-checks") and has_checks(found.get("config") or {}):
                while True:
                    now = await find(fly, app, machine)
                    good, total = passing(now)
                    fly.eprint(
                        f"  Waiting for {machine} to become healthy ({now.get('state')}, {good}/{total})"
                    )
                    if total and good == total:
                        break
                    await fly.transport.sleep(1.0)
            fly.print(f"Machine {machine} restarted successfully!")


async def start(fly: Fly) -> None:
    """`fly machine start`."""
    app = fly.app()
    for machine in fly.args or [_one(fly)]:
        async with leased(fly, app, machine):
            await fly.flaps(
                "POST", f"{machine_path(app, machine)}/start", what=f"could not start machine {machine}"
            )
            fly.print(f"{machine} has been started")


async def stop(fly: Fly) -> None:
    """`fly machine stop`."""
    app = fly.app()
    for machine in fly.args or [_one(fly)]:
        async with leased(fly, app, machine):
            fly.print(f"Sending kill signal to machine {machine}...")
            await fly.flaps(
                "POST",
                f"{machine_path(app, machine)}/stop",
                {"id": machine, "timeout": f"{fly.flag('timeout', '0')}s"},
                what=f"could not stop machine {machine}",
            )
            fly.print(f"{machine} has been successfully stopped")


async def destroy(fly: Fly) -> None:
    """`fly machine destroy`."""
    app = fly.app()
    force = fly.on("force")
    for machine in fly.args or [_one(fly)]:
        async with leased(fly, app, machine) as found:
            await app_compact(fly, app)
            state = found.get("state")
            if state not in ("stopped", "suspended", "created", "failed") and not force:
                raise Failure(
                    f"machine {machine} currently {state}",
                    more="Either stop machine first or use --force flag",
                )
            fly.print(
                f"machine {machine} was found and is currently in {state} state, attempting to destroy..."
            )
            await fly.flaps(
                "DELETE",
                f"{machine_path(app, machine)}?kill={str(force).lower()}",
                what=f"could not destroy machine {machine}: failed to destroy VM {machine}",
            )
            fly.print(f"{machine} has been destroyed")


async def leases_view(fly: Fly) -> None:
    """`fly machine leases view`: who holds a machine, and until when."""
    app = fly.app()
    found: dict[str, Json] = {}
    for machine in fly.args or [_one(fly)]:
        await find(fly, app, machine)
        try:
            lease = await fly.flaps("GET", f"{machine_path(app, machine)}/lease")
        except StatusFailure as failure:
            if failure.status == 404 and not fly.json_wanted:
                fly.print(f"No lease found for machine {machine}")
                continue
            raise failure.wrapped(f"failed to get lease on VM {machine}: ") from None
        data = lease.get("data") or {}
        keys = ("nonce", "expires_at", "owner", "version")
        found[machine] = {"status": lease.get("status"), "data": {k: data.get(k) for k in keys}}
    if fly.json_wanted:
        fly.print_json(found)
        return
    rows = [[m, str(f["data"]["owner"]), str(f["data"]["expires_at"])] for m, f in found.items()]
    if rows:
        fly.out(table([["MACHINE", "OWNER", "EXPIRES AT"], *rows]))


async def leases_clear(fly: Fly) -> None:
    """`fly machine leases clear`."""
    app = fly.app()
    for machine in fly.args or [_one(fly)]:
        fly.print(f"clearing lease for machine {machine}")
        lease = await fly.flaps(
            "GET", f"{machine_path(app, machine)}/lease", what=f"failed to get lease on VM {machine}"
        )
        remember_lease(fly, app, machine, (lease.get("data") or {}).get("nonce"))
        await fly.flaps(
            "DELETE", f"{machine_path(app, machine)}/lease", what=f"failed to clear lease on VM {machine}"
        )
    fly.print("Lease(s) cleared")
