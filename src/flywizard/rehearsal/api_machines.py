"""Owns the Machines API's machines and leases (``/v1/apps/APP/machines…``)."""

from __future__ import annotations

from flywizard.rehearsal import world_machines as machines
from flywizard.rehearsal.api_apps import app_of, require_card
from flywizard.rehearsal.api_messages import Call, RefusalError, Response, Route, answer
from flywizard.rehearsal.world_machines import Fate
from flywizard.rehearsal.world_records import JSON, Machine, stamp

NONCE = "fly-machine-lease-nonce"
SLICE = 0.2
"""Real seconds after which a waiting request looks again, should someone else have changed the machine."""


def fate(call: Call, config: JSON, app: str) -> Fate:
    """Ask the switches what will become of a machine with this configuration."""
    group = str((config.get("metadata") or {}).get("fly_process_group", ""))
    faults = call.api.faults
    if group == machines.RELEASE_GROUP:
        return Fate(exit_code=1 if faults.strikes("release-command-fails") else 0)
    return Fate(
        crash=faults.strikes("crash-loop", group, app),
        never_healthy=faults.strikes("never-healthy", group, app),
        never_starts=faults.strikes("never-starts", group, app),
    )


def _machine(call: Call) -> Machine:
    app = app_of(call)
    machine = call.api.world.machines.get(call.parts["machine"])
    if machine is None or machine.app != app.name:
        raise RefusalError(404, "machine not found", body={"error": "machine not found"})
    return machine


def _held(call: Call, machine: Machine) -> None:
    """Refuse a change of a machine that someone else holds."""
    lease = machines.lease_of(machine, call.now)
    if lease is not None and call.request.headers.get(NONCE) != lease["nonce"]:
        raise RefusalError(409, lease_text(lease), body={"error": lease_text(lease)})


def lease_text(lease: JSON) -> str:
    """Return the words of a lease conflict."""
    return f"lease currently held by {lease['owner']}, expires at {stamp(lease['expires_at'])}"


def _view(call: Call, machine: Machine) -> JSON:
    return machines.view(call.api.world, machine, call.now, call.api.clock.speed)


def _list(call: Call) -> Response:
    app, query = app_of(call), call.request.query
    wanted = {key.partition(".")[2]: value for key, value in query.items() if key.startswith("metadata.")}
    found = []
    for machine in call.api.world.machines.values():
        metadata = machine.config.get("metadata") or {}
        if (
            machine.app == app.name
            and (query.get("include_deleted") == "true" or machines.phase(machine, call.now) != "destroyed")
            and query.get("region", machine.region) == machine.region
            and all(metadata.get(key) == value for key, value in wanted.items())
        ):
            found.append(_view(call, machine))
    return answer(found)


def _create(call: Call) -> Response:
    app, body, api = app_of(call), call.request.json(), call.api
    config = body.get("config")
    if not isinstance(config, dict) or not config.get("image"):
        raise RefusalError(400, "config.image is required")
    region = str(body.get("region") or api.world.nearest)
    if api.world.region(region) is None:
        raise RefusalError(422, f"region {region} not found")
    require_card(call)
    if api.faults.strikes("no-capacity", region):
        text = "could not reserve resource for machine: insufficient memory available to fulfill request"
        raise RefusalError(422, text, "insufficient_capacity")
    _require_image(call, str(config["image"]))
    will = Fate() if body.get("skip_launch") else fate(call, config, app.name)
    machine = machines.create(api.world, app.name, body, call.now, api.clock.speed, will, call.who.email)
    shown = _view(call, machine)
    del shown["checks"]
    if machine.lease is not None:
        shown["nonce"] = machine.lease["nonce"]
    return answer(shown)


def _require_image(call: Call, ref: str) -> None:
    if call.api.world.image(ref, call.now) is None:
        raise RefusalError(400, f"failed to get manifest {ref}: unknown: manifest unknown")


def _get(call: Call) -> Response:
    return answer(_view(call, _machine(call)))


def _update(call: Call) -> Response:
    machine, body, api = _machine(call), call.request.json(), call.api
    _held(call, machine)
    if machines.phase(machine, call.now) == "destroyed":
        raise RefusalError(404, "machine not found")
    config = body.get("config") or machine.config
    _require_image(call, str(config.get("image", "")))
    will = Fate() if body.get("skip_launch") else fate(call, config, machine.app)
    machines.update(api.world, machine, body, call.now, api.clock.speed, will)
    shown = _view(call, machine)
    if machine.lease is not None and machines.lease_of(machine, call.now):
        shown["nonce"] = machine.lease["nonce"]
    return answer(shown | {"state": "replacing"})


def _delete(call: Call) -> Response:
    machine = _machine(call)
    _held(call, machine)
    state = machines.phase(machine, call.now)
    if (
        state == "started"
        and call.request.query.get("kill") != "true"
        and call.request.query.get("force") != "true"
    ):
        raise RefusalError(412, "failed_precondition: unable to destroy machine, not currently stopped")
    machines.destroy(call.api.world, machine, call.now)
    return answer({"ok": True})


def _start(call: Call) -> Response:
    machine, api = _machine(call), call.api
    if machines.phase(machine, call.now) == "destroyed":
        raise RefusalError(404, "machine not found")
    will = fate(call, machine.config, machine.app)
    before = machines.start(api.world, machine, call.now, api.clock.speed, will)
    return answer({"message": "ok", "status": "success", "previous_state": before})


def _stop(call: Call) -> Response:
    machine = _machine(call)
    machines.stop(call.api.world, machine, call.now, call.api.clock.speed)
    return answer({"ok": True})


def _restart(call: Call) -> Response:
    machine, api = _machine(call), call.api
    _held(call, machine)
    will = fate(call, machine.config, machine.app)
    machines.restart(api.world, machine, call.now, api.clock.speed, will)
    return answer({"ok": True})


def _cordon(call: Call) -> Response:
    machine = _machine(call)
    machine.cordoned = call.request.path.endswith("/cordon")
    return answer({"ok": True})


def _signal(call: Call) -> Response:
    _machine(call)
    return answer({"ok": True})


async def _wait(call: Call) -> Response:
    machine = _machine(call)
    states = call.request.all("state") or ["started"]
    try:
        timeout = min(60.0, max(1.0, float(call.request.query.get("timeout") or 60)))
    except ValueError:
        raise RefusalError(400, "timeout: a number of seconds is expected") from None
    clock = call.api.clock
    end = clock.now() + timeout
    while True:
        now = clock.now()
        if machines.reached(machine, states, now):
            return answer({"ok": True})
        if machine.id not in call.api.world.machines:
            raise RefusalError(404, "machine not found", body={"error": "machine not found"})
        if now >= end:
            wanted = ", ".join(f"'{s}'" for s in states)
            text = f"deadline_exceeded: timed out waiting for machine to reach [{wanted}]"
            raise RefusalError(408, text, body={"error": text})
        change = machines.next_change(machine, now)
        real = min(end - now, SLICE if change is None else change - now, SLICE) + 0.001
        await clock.sleep(real * clock.speed)


def _processes(call: Call) -> Response:
    machine = _machine(call)
    if machines.phase(machine, call.now) != "started":
        raise RefusalError(412, "failed_precondition: machine not running")
    return answer(machines.processes(machine))


def _exec(call: Call) -> Response:
    machine = _machine(call)
    if machines.phase(machine, call.now) != "started":
        text = "failed_precondition: machine not running"
        raise RefusalError(412, text, body={"error": text})
    return answer({"exit_code": 0, "stdout": "", "stderr": ""})


def _lease_view(lease: JSON) -> JSON:
    data = {key: lease[key] for key in ("nonce", "owner", "version")}
    return {"status": "success", "data": data | {"expires_at": int(lease["expires_at"]), "description": ""}}


def _get_lease(call: Call) -> Response:
    lease = machines.lease_of(_machine(call), call.now)
    if lease is None:
        raise RefusalError(404, "machine does not have an active lease")
    return answer(_lease_view(lease))


def _take_lease(call: Call) -> Response:
    machine = _machine(call)
    if machines.phase(machine, call.now) == "destroyed":
        raise RefusalError(404, "machine not found")
    _held(call, machine)
    body = call.request.json()
    ttl = float(call.request.query.get("ttl") or body.get("ttl") or 13)
    lease = machines.take_lease(call.api.world, machine, call.now, ttl, call.who.email)
    return answer(_lease_view(lease), 201)


def _release_lease(call: Call) -> Response:
    machine = _machine(call)
    nonce = call.request.headers.get(NONCE)
    lease = machines.lease_of(machine, call.now)
    if lease is not None and nonce is not None and nonce != lease["nonce"]:
        raise RefusalError(409, lease_text(lease), body={"error": lease_text(lease)})
    machine.lease = None
    return answer({"ok": True})


def _get_metadata(call: Call) -> Response:
    return answer(_machine(call).config.get("metadata") or {})


def _set_metadata(call: Call) -> Response:
    machine, key = _machine(call), call.parts["key"]
    metadata = dict(machine.config.get("metadata") or {})
    if call.request.method == "DELETE":
        metadata.pop(key, None)
    else:
        metadata[key] = str(call.request.json().get("value", ""))
    machine.config = {**machine.config, "metadata": metadata}
    return answer(None, 204)


_ALL = "/v1/apps/{app}/machines"
_ONE = _ALL + "/{machine}"
ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, "machine-list", _list),
    Route("POST", _ALL, "machine-create", _create, mutating=True),
    Route("GET", _ONE, "machine-get", _get),
    Route("POST", _ONE, "machine-update", _update, mutating=True),
    Route("DELETE", _ONE, "machine-delete", _delete, mutating=True),
    Route("POST", _ONE + "/start", "machine-start", _start, mutating=True),
    Route("POST", _ONE + "/stop", "machine-stop", _stop, mutating=True),
    Route("POST", _ONE + "/suspend", "machine-stop", _stop, mutating=True),
    Route("POST", _ONE + "/restart", "machine-restart", _restart, mutating=True),
    Route("POST", _ONE + "/cordon", "machine-cordon", _cordon, mutating=True),
    Route("POST", _ONE + "/uncordon", "machine-cordon", _cordon, mutating=True),
    Route("POST", _ONE + "/signal", "machine-stop", _signal, mutating=True),
    Route("POST", _ONE + "/exec", "machine-exec", _exec, mutating=True),
    Route("GET", _ONE + "/wait", "machine-wait", _wait),
    Route("GET", _ONE + "/ps", "machine-ps", _processes),
    Route("GET", _ONE + "/lease", "lease-get", _get_lease),
    Route("POST", _ONE + "/lease", "lease-take", _take_lease, mutating=True),
    Route("DELETE", _ONE + "/lease", "lease-release", _release_lease, mutating=True),
    Route("GET", _ONE + "/metadata", "machine-metadata", _get_metadata),
    Route("POST", _ONE + "/metadata/{key}", "machine-metadata", _set_metadata, mutating=True),
    Route("DELETE", _ONE + "/metadata/{key}", "machine-metadata", _set_metadata, mutating=True),
)
