"""Owns the log lines of running machines: made from their runs at each look, so nothing has to tick."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flywizard.rehearsal import world_machines as machines
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import JSON, Machine, stamp

NEWEST = 100
PLACES = 37
"""Lines of one machine that may fall on the same microsecond."""
LEAST_HEARTBEAT = 1.0
"""Real seconds between health lines, however fast the World runs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One log line."""

    nanoseconds: int
    message: str
    level: str
    instance: str
    region: str
    provider: str

    def view(self) -> JSON:
        """Return the line as the logs endpoint shows it."""
        return {
            "id": f"log_{self.nanoseconds}",
            "type": "log",
            "attributes": {
                "timestamp": stamp(self.nanoseconds / 1e9),
                "message": self.message,
                "level": self.level,
                "instance": self.instance,
                "region": self.region,
                "meta": {
                    "instance": self.instance,
                    "region": self.region,
                    "event": {"provider": self.provider},
                    "http": None,
                    "error": None,
                    "url": None,
                },
            },
        }


def role(world: World, machine: Machine) -> str:
    """Guess what a machine runs: release, web, worker, api or other."""
    if machine.group == machines.RELEASE_GROUP:
        return "release"
    words = machines.command(machine).lower()
    image = world.images.get(str(machine.config.get("image", "")))
    if any(w in words for w in ("uvicorn", "fastapi", "gunicorn", "hypercorn")):
        return "api"
    if "worker" in machine.group.lower() or any(w in words for w in ("worker", "consumer", "processor")):
        return "worker"
    if (image is not None and image.kind == "web") or any(w in words for w in ("next", "node", "npm")):
        return "web"
    if image is not None and image.kind == "api":
        return "api"
    return "api" if machine.config.get("services") else "other"


def lines(
    world: World, app: str, now: float, speed: float, *, since: int = 0, instance: str = "", region: str = ""
) -> list[Line]:
    """Return the lines of an app after ``since`` (nanoseconds), oldest first; without it the newest 100."""
    found: list[Line] = []
    for index, machine in enumerate(world.machines.values()):
        if machine.app != app or instance not in ("", machine.id) or region not in ("", machine.region):
            continue
        found += _machine_lines(world, machine, index, now, speed, since)
    for number, said in enumerate(world.said):
        if said["app"] != app or instance not in ("", said["instance"]):
            continue
        found.append(
            Line(
                _nanoseconds(float(said["at"]), 900 + number % 100),
                said["message"],
                said["level"],
                said["instance"],
                said.get("region") or world.nearest,
                "app",
            )
        )
    found = sorted((line for line in found if line.nanoseconds > since), key=lambda line: line.nanoseconds)
    return found if since else found[-NEWEST:]


def _nanoseconds(at: float, place: int) -> int:
    return round(at * 1e6) * 1000 + place % 1000


def _machine_lines(
    world: World, machine: Machine, index: int, now: float, speed: float, since: int
) -> list[Line]:
    found: list[Line] = []
    kind = role(world, machine)
    place = index * PLACES
    told = 0

    def say(at: float, message: str, level: str = "info", provider: str = "app") -> None:
        # A line's number does not depend on the moment of the look, so its id stays the same.
        nonlocal told
        told += 1
        if at <= now:
            number = _nanoseconds(at, place + told % (PLACES - 1))
            found.append(Line(number, message, level, machine.id, machine.region, provider))

    boot = world.durations.machine_start / speed
    for run in machine.runs:
        at, until = float(run["at"]), math.inf if run["until"] is None else float(run["until"])
        ref = str(machine.config.get("image", ""))
        say(at - boot, f"Pulling container image {ref}", provider="runner")
        say(at - boot / 2, "Successfully prepared image (1.2s)", provider="runner")
        say(at - boot / 4, "Configuring firecracker", provider="runner")
        say(at, f" INFO Starting init (commit: 00000000)... preparing to run: `{machines.command(machine)}`")
        messages = _CRASH if run["crash"] else _START[kind]
        step = (until - at) / (len(messages) + 1) if run["crash"] else world.durations.logs / speed / 4
        for number, message in enumerate(messages, 1):
            when = at + number * step
            say(when if when < until else math.inf, message.format(port=_port(machine)))
        if not run["crash"] and kind in _HEARTBEAT and not machine.never_healthy:
            begin = at + (len(messages) + 1) * step
            found += _heartbeats(world, machine, place, kind, begin, min(now, until), speed, since)
        code = run["exit_code"]
        if kind == "release" and code:
            say(until, "alembic.util.exc.CommandError: Can't locate revision identified by 'head'", "error")
        say(until, f" INFO Main child exited normally with code: {code}")
    return found


def _heartbeats(
    world: World, machine: Machine, place: int, kind: str, start: float, end: float, speed: float, since: int
) -> list[Line]:
    every = max(LEAST_HEARTBEAT, world.durations.heartbeat / speed)
    first = start + world.durations.checks / speed
    last = int((end - first) // every)
    low = 0 if not since else max(0, int((since / 1e9 - first) // every))
    low = max(low, last - NEWEST)
    text = _HEARTBEAT[kind].format(path=_path(machine), port=_port(machine))
    return [
        Line(
            _nanoseconds(first + k * every, place + PLACES - 1),
            text,
            "info",
            machine.id,
            machine.region,
            "app",
        )
        for k in range(low, last + 1)
    ]


def _port(machine: Machine) -> int:
    for service in machine.config.get("services") or []:
        return int(service.get("internal_port") or 8000)
    return 8000


def _path(machine: Machine) -> str:
    return next((path for _, path in machines.check_names(machine) if path), "/health")


_START: dict[str, tuple[str, ...]] = {
    "api": (
        "INFO:     Started server process [314]",
        "INFO:     Waiting for application startup.",
        "INFO:     Database connection ready",
        "INFO:     Application startup complete.",
        "INFO:     Uvicorn running on http://0.0.0.0:{port} (Press CTRL+C to quit)",
    ),
    "worker": (
        "INFO worker: connecting to the broker",
        "INFO aiokafka.consumer.group_coordinator: Discovered coordinator 1 for the group",
        "INFO aiokafka.consumer.group_coordinator: (Re-)joining group",
        "INFO aiokafka.consumer.group_coordinator: Successfully synced group with generation 1",
        "INFO worker: waiting for messages",
    ),
    "web": (
        "   ▲ Next.js 16.0.0",
        "   - Local:        http://localhost:{port}",
        "   - Network:      http://0.0.0.0:{port}",
        " ✓ Starting...",
        " ✓ Ready in 412ms",
    ),
    "release": ("Running the release command",),
    "other": ("started",),
}
_HEARTBEAT: dict[str, str] = {
    "api": 'INFO:     172.19.0.1:0 - "GET {path} HTTP/1.1" 200 OK',
    "worker": "INFO worker: heartbeat, lag 0",
}
_CRASH = (
    "Traceback (most recent call last):",
    '  File "/app/src/main.py", line 3, in <module>',
    "ModuleNotFoundError: No module named 'app'",
)
