"""What a recorded build needs beside its recording: a project directory, and a builder that says what BuildKit said."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.recorded_fly import RECORDINGS

ORGANIZATION = {"id": "orgA1", "slug": "acme", "raw_slug": "acme", "name": "Acme Inc"}


def prepare_project(project: Path) -> None:
    """Lays out `/PROJECT/NAME` directories as the recorded builds had them."""
    shutil.copytree(RECORDINGS / "project", project)
    for name in (
        "api",
        "web",
        "copymiss",
        "ignall",
        "nobase",
        "parallel",
        "runfail",
        "slow",
        "syntax",
        "src",
        "emptydir",
    ):
        place = project / name
        (place / "app").mkdir(parents=True)
        source = project / f"{name}.Dockerfile"
        if name == "src":
            source = project / "api.Dockerfile"
        if source.exists():
            shutil.copy(source, place / "Dockerfile")
        shutil.copy(project / ("web.toml" if name in ("web", "parallel") else "fly.toml"), place / "fly.toml")
        (place / "requirements.txt").write_text("fastapi==0.116.1\n")
        (place / "package.json").write_text("{}\n")
        (place / "app" / "main.py").write_text("")
        if name != "ignall":
            (place / ".dockerignore").write_text(".git\n.env\n")
    for path in (project / "emptydir").rglob("*"):
        if path.is_file():
            path.unlink()


def outcome_of(stderr: str) -> tuple[int, dict[str, Any]]:
    """What the rehearsal's builder would have to answer for this output."""
    steps: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    failed = False
    stderr = "==> Building image with Depot".join(stderr.split("==> Building image with Depot")[:2])
    for number, said in re.findall(r"^#(\d+) (.*)$", stderr, re.M):
        if number not in names:
            names[number] = said
            steps.setdefault(said, {"name": said, "lines": [], "cached": False, "seconds": 0})
            continue
        step = steps[names[number]]
        if said == "CACHED":
            step["cached"] = True
        elif said.startswith("ERROR: "):
            step["error"], failed = said.removeprefix("ERROR: "), True
        elif line := re.match(r"\d+\.\d+ (.*)", said):
            step["lines"].append(line[1])
    digest = re.search(r"exporting manifest (sha256:\w+)", stderr)
    body = {
        "digest": digest[1] if digest else "",
        "size": 1551922,
        "seconds": 3.0,
        "steps": list(steps.values()),
    }
    return (422 if failed else 200), body


def build_spare(found: dict[str, Any]) -> Callable[[str, str, Any], tuple[int, Any] | None]:
    """Answers to requests whose recorded ones were not kept: most build recordings hold only the last."""
    unavailable = any(e["path"].endswith("depot_builder") and e["status"] == 422 for e in found["exchange"])
    app = "myapp-web" if "myapp-web" in found["argv"] else "myapp-api"
    machines: dict[str, dict[str, Any]] = {}

    def spare(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        if path == "/_builder/builds":
            return (404, {"error": "not found"}) if unavailable else outcome_of(found["stderr"])
        if path == f"/v1/apps/{app}":
            return 200, {
                "name": app,
                "status": "pending",
                "organization": {"slug": "acme", "name": "Acme Inc"},
            }
        if path == "/api/v1/organizations/acme":
            return 200, {"organization": ORGANIZATION}
        if path == "/api/v1/builds":
            return 200, {"id": 9001, "status": "started"}
        if path == "/api/v1/builds/finish":
            return 200, {"id": 9001, "status": "completed"}
        return _deploy(found, machines, method, path, body)

    return spare


def _deploy(
    found: dict[str, Any], machines: dict[str, dict[str, Any]], method: str, path: str, body: Any
) -> tuple[int, Any] | None:
    """The requests after the build: those of a first deploy, whose answers this recording left out."""
    if path.endswith("/ip_assignments"):
        if method == "GET":
            return 200, {"ips": []}
        return 200, {"ip": "2a09:8280:1::1:0" if body["type"] == "v6" else "66.241.124.2"}
    if path == "/api/v1/releases" or path.startswith("/api/v1/releases/"):
        release = re.search(r'\{"id":"(\w+)"', found["stdout"])
        return 201 if method == "POST" else 200, {
            "release": {"id": release[1] if release else "rel", "version": 1}
        }
    if path == "/graphql":
        return 200, {"data": {"app": {"egressIpAddresses": {"nodes": []}}}}
    if path.endswith("/machines"):
        if method == "GET":
            return 200, list(machines.values())
        number = (
            "90801234560222" if body["config"]["metadata"]["fly_process_group"] == "app" else "90801234560333"
        )
        events = [{"type": "start", "timestamp": 1}, {"type": "launch", "timestamp": 0}]
        checks = [{"name": "c", "status": "passing"}]
        machines[number] = {
            "id": number,
            "state": "started",
            "config": body["config"],
            "events": events,
            "checks": checks,
        }
        return 200, machines[number]
    if path.endswith("/wait?state=started&timeout=60") or path.endswith("/lease"):
        return 200, {"ok": True}
    if path.endswith("/ps"):
        return 200, [{"command": "uvicorn", "listen_sockets": [{"proto": "tcp", "address": "0.0.0.0:8000"}]}]
    machine = machines.get(path.rpartition("/")[2])
    return (200, machine) if machine else None
