"""Replays the recorded requests of flyctl against the simulated API, and compares status and shape."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from flywizard.rehearsal import world_database as postgres
from flywizard.rehearsal import world_machines as machines
from flywizard.rehearsal.api import Api, Request, Response
from flywizard.rehearsal.clock import Durations, ManualClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import Organization, Region, Release, Volume
from flywizard.rehearsal.world_tokens import new_token
from tests.support.exchange_shapes import differences, document

RECORDINGS = Path(__file__).parent.parent / "recordings"
START = 1_767_225_600.0
QUICK = Durations(
    machine_start=0.2, machine_stop=0.05, checks=0.1, smoke=0.0, cluster=4.0, release_command=0.4, crash=0.04
)
FAULT_TEXTS = (
    "simulated",
    "boom",
    "unavailable",
    "request timed out",
    "rate limit exceeded",
    "<html",
    "oops",
)


def load(name: str) -> dict[str, Any]:
    """Return one recording."""
    data = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


@dataclass(slots=True)
class Replay:
    """A World that is made ready for a recording, and the names of things that differ."""

    recording: dict[str, Any]
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    world: World = field(default_factory=lambda: World(durations=QUICK, key="00", taken=("taken-name",)))
    names: dict[str, str] = field(default_factory=dict)
    """Recorded id or nonce to ours."""
    problems: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    held: str = ""

    def prepare(self) -> None:
        """Put in place what the recording takes for granted."""
        world = self.world
        world.email = "dev@example.com"
        world.organizations = [
            Organization("orgP1", "personal", "dev-personal", "Dev", "PERSONAL", 101),
            Organization("orgA1", "acme", "acme", "Acme Inc", "SHARED", 102),
        ]
        world.regions = [
            Region("ams", "Amsterdam, Netherlands", 52.37, 4.89, "europe", True),
            Region("fra", "Frankfurt, Germany", 50.11, 8.68, "europe", True),
            Region("iad", "Ashburn, Virginia (US)", 39.02, -77.46, "north_america", True),
            Region("arn", "Stockholm, Sweden", 59.65, 17.92, "europe", False),
        ]
        made: set[str] = set()
        for entry in self.recording["exchange"]:
            self._foresee(entry, made)
        name = self.recording["name"]
        for words, switch in BEHAVIOURS.items():
            if words in name:
                self.faults.add(switch)

    def _foresee(self, entry: dict[str, Any], made: set[str]) -> None:
        path, body, response = entry["path"], entry["request_body"], entry["response_body"]
        status = entry["status"]
        if entry["method"] == "POST" and path.startswith("/v1/apps?"):
            if isinstance(response, dict) and response.get("status") == "name_taken":
                self._app(body["name"])
            made.add(body["name"])
        names = re.findall(r"/apps/([^/?]+)", path)
        if isinstance(body, dict):
            variables = body.get("variables") or {}
            names += [variables[k] for k in ("appName",) if k in variables]
            names += [body["app_name"]] if "app_name" in body else []
            if isinstance(variables.get("input"), dict) and "appId" in variables["input"]:
                names.append(variables["input"]["appId"])
        missing = status == 404 or "Could not find App" in json.dumps(response)
        for name in names:
            if name not in made and name not in self.world.apps:
                made.add(name)
                if not missing or "/machines/" in path or "/certificates/" in path:
                    self._app(name)
        variables = (body.get("variables") or {}) if isinstance(body, dict) else {}
        if "imageRef" in variables and (response["data"]["app"] or {}).get("image"):
            self.world.add_image(variables["imageRef"], START)
        self._foresee_things(entry, made)

    def _app(self, name: str) -> None:
        org = self.world.organization("acme")
        assert org is not None
        self.world.create_app(name, org, START - 60)

    def _foresee_things(self, entry: dict[str, Any], made: set[str]) -> None:
        path, response, status = entry["path"], entry["response_body"], entry["status"]
        found = response if isinstance(response, list) else [response]
        app = next(iter(re.findall(r"/v1/apps/([^/?]+)", path)), "")
        if entry["method"] == "POST" and status in (200, 201) and isinstance(response, dict):
            made.add(str(response.get("id")))
            made.add(str((response.get("release") or {}).get("id")))
            made.add(str((response.get("data") or {}).get("id")))
        if re.search(r"/machines(\?|$)", path) and entry["method"] == "GET" and status == 200:
            for shown in found:
                if shown["id"] not in made:
                    made.add(shown["id"])
                    self._machine(app, shown)
        elif (match := re.search(r"/machines/(\w+)", path)) and match[1] not in made and status != 404:
            made.add(match[1])
            config = response.get("config") if isinstance(response, dict) else None
            self._machine(app, {"id": match[1], "config": config if isinstance(config, dict) else {}})
        if path.endswith("/volumes") and entry["method"] == "GET" and status == 200:
            for shown in found:
                if shown["id"] not in made:
                    made.add(shown["id"])
                    self.world.volumes[shown["id"]] = Volume(
                        shown["id"], shown["name"], app, shown["region"], shown["size_gb"], START
                    )
        match = re.search(r"postgresv2/(?!regions)([^/?]+)", path)
        if (match and match[1] not in made and status != 404) or (
            path.endswith("/acme/postgres") and response["data"]
        ):
            shown = response["data"][0] if path.endswith("/postgres") else (response or {}).get("data") or {}
            key = match[1] if match else shown["id"]
            if key not in made:
                made.add(key)
                self._cluster(key, shown if isinstance(shown, dict) else {}, path, status)
        if match and status == 409 and match[1] in self.world.clusters:
            for database in self.world.clusters[match[1]].databases.values():
                database["extensions"]["vector"] = {"version": "0.8.0", "schema": "public"}
        nodes = None
        if isinstance(response, dict) and isinstance(response.get("data"), dict):
            shown_app = response["data"].get("app") or {}
            nodes = (shown_app.get("releases") or {}).get("nodes")
            current = shown_app.get("currentReleaseUnprocessed") or shown_app.get("currentRelease")
            nodes = nodes or ([current] if current else None)
        if isinstance(response, dict) and isinstance(response.get("releases"), list):
            nodes = response["releases"]
        name = ((entry["request_body"] or {}).get("variables") or {}).get("appName") or app
        name = name or next(iter(re.findall(r"/apps/([^/?]+)", path)), "")
        for node in nodes or []:
            if not self.world.releases_of(name):
                definition = node.get("configDefinition") or {"app": name}
                self.world.releases["relseed"] = Release(
                    "relseed",
                    name,
                    1,
                    "complete",
                    "ROLLING",
                    "dev@example.com",
                    START,
                    "registry.fly.io/x:1",
                    definition,
                )
        self._certificates(entry, app)

    def _certificates(self, entry: dict[str, Any], app: str) -> None:
        response = entry["response_body"]
        if "/certificates" not in entry["path"] or app not in self.world.apps:
            return
        there = "already exists" in json.dumps(response) or (
            entry["path"].endswith("/check") and entry["status"] == 200
        )
        host = (entry["request_body"] or {}).get("hostname") or entry["path"].split("/")[-2]
        if there:
            self.world.apps[app].certificates[host] = {"created_at": START}

    def _machine(self, app: str, shown: dict[str, Any]) -> None:
        config = shown.get("config") or {}
        config = config if isinstance(config, dict) else {}
        self.world.add_image(str(config.get("image", "registry.fly.io/x:1")), START - 60)
        machine = machines.create(
            self.world,
            app,
            {"config": config, "region": shown.get("region", "ams")},
            START - 30,
            1.0,
            machines.Fate(),
            "dev@example.com",
        )
        del self.world.machines[machine.id]
        machine.id = shown["id"]
        self.world.machines[machine.id] = machine
        if shown.get("state") == "stopped" or self.recording["name"] == "machine_exec_412":
            machines.stop(self.world, machine, START - 10, 1.0)
        for entry in self.recording["exchange"]:
            text = json.dumps(entry["response_body"])
            until = re.search(r"lease currently held by (\S+), expires at ([0-9TZ:.-]+)", text)
            if until and f"/machines/{machine.id}/lease" in entry["path"]:
                ends = datetime.fromisoformat(until[2].replace("Z", "+00:00")).timestamp()
                machines.take_lease(self.world, machine, START, ends - START, until[1])
        if self.recording["name"] in ("machine_leases_clear", "machine_leases_view"):
            machines.take_lease(self.world, machine, START, 300, "dev@example.com")

    def _cluster(self, key: str, shown: dict[str, Any], path: str, status: int) -> None:
        org = self.world.organization("acme")
        assert org is not None
        cluster = postgres.create(
            self.world,
            org,
            {"name": shown.get("name", "myapp-db"), "region": "ams", "plan": "basic"},
            START if shown.get("status") == "creating" else START - 600,
            1.0,
            failed=False,
            slow=False,
        )
        if "detach" in self.recording["name"]:
            cluster.attachments.append("myapp-api")
        del self.world.clusters[cluster.id]
        cluster.id = key
        self.world.clusters[key] = cluster

    async def run(self) -> list[str]:
        """Send every request of the recording; return what differs."""
        self.prepare()
        api = Api(self.world, self.clock, self.faults)
        header = "FlyV1 " + new_token()
        for number, entry in enumerate(self.recording["exchange"]):
            for turn in range(int(entry.get("repeat") or 1)):
                if turn and self.clock.now() < START + entry["at_ms"] / 1000 + 0.5:
                    self.clock.advance(0.25)
                response = await self._send(api, entry, header)
            self._compare(number, entry, response)
        return self.problems

    async def _send(self, api: Api, entry: dict[str, Any], header: str) -> Response:
        at = START + entry["at_ms"] / 1000
        if self.clock.now() < at:
            self.clock.advance(at - self.clock.now())
        if switch := INJECTED.get(self.recording["name"], {}).get(entry["status"]) or fault_for(entry):
            self.faults.add(switch)
        body = entry["request_body"]
        if entry["path"] == "/graphql":
            query, variables = document(body, entry["response_body"])
            data = json.dumps({"query": query, "variables": variables}).encode()
        elif isinstance(body, dict):
            data = self._translate(json.dumps(body)).encode()
        else:
            data = b""
        path, _, query = self._translate(entry["path"]).partition("?")
        headers = {"authorization": header}
        if self.recording["name"] in ("whoami_401", "whoami_200_unauthorized"):
            headers = {"authorization": "Bearer "}
        found = re.search(r"/machines/(\w+)", path)
        machine = self.world.machines.get(found[1]) if found else None
        if machine is not None and machine.lease and entry["status"] != 409:
            headers["fly-machine-lease-nonce"] = machine.lease["nonce"]
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        return await api.handle(Request(entry["method"], path, dict(pairs), headers, data, pairs))

    def _translate(self, text: str) -> str:
        for old, new in self.names.items():
            text = text.replace(old, new)
        return text

    def _compare(self, number: int, entry: dict[str, Any], response: Response) -> None:
        where = f"{number} {entry['method']} {entry['path']}"
        if response.status != entry["status"]:
            self.problems.append(
                f"{where}: {entry['status']} is wanted, {response.status} {response.body[:120]!r}"
            )
            return
        wanted = entry["response_body"]
        if isinstance(wanted, dict | list) and not fault_for(entry) and response.status:
            found = response.json()
            self.problems += [f"{where}: {line}" for line in differences(wanted, found)]
            if isinstance(wanted, dict) and isinstance(found, dict) and entry["method"] == "POST":
                self._learn(wanted, found)

    def _learn(self, wanted: dict[str, Any], found: dict[str, Any]) -> None:
        for key in ("id", "nonce"):
            for one, other in ((wanted, found), (wanted.get("release"), found.get("release"))):
                if isinstance(one, dict) and isinstance(other, dict) and one.get(key) and other.get(key):
                    self.names[str(one[key])] = str(other[key])
        one, other = wanted.get("data"), found.get("data")
        if isinstance(one, dict) and isinstance(other, dict) and "id" in one and "name" in one:
            self.names[str(one["id"])] = str(other["id"])


BEHAVIOURS = {
    "crash": "crash-loop@any",
    "never_healthy": "never-healthy@any",
    "never_starts": "never-starts@any",
    "release_command_failed": "release-command-fails",
    "error_status": "mpg-error",
    "eventually_visible": "app-hidden@slow-app*4",
    "logs_401": "logs-refused",
}


LEFT_OUT = {
    "build_depot_ok_deploy": "Depot's own service is not simulated; builds go through the stand-in's builder",
    "build_depot_ok_only_push": "Depot's own service is not simulated; builds go through the stand-in's builder",
    "build_remote_loopback_no_heartbeat": "its exchange refers to another recording instead of holding bodies",
    "build_remote_loopback_only_push": "its exchange refers to another recording instead of holding bodies",
    "deploy_first_detach": "`ps` was asked before the start had ended; ours says that the machine is not running",
    "whoami_200_unauthorized": "the same refusal in another form: ours is the 401 of `whoami_401`",
}
"""Recordings whose exchange is not replayed, with the reason."""

INJECTED = {
    "apps_create_401": {401: "401"},
    "apps_create_422": {422: "422"},
    "apps_create_forbidden": {403: "403"},
    "deploy_machine_create_422": {422: "no-capacity"},
    "deploy_mounts_volume_create_422": {422: "422"},
    "deploy_again_machine_wait_408": {408: "408"},
    "deploy_release_command_timeout": {408: "408"},
    "machine_exec_408": {408: "408"},
}
"""Answers that were injected although their texts look like the platform's own."""


def fault_for(entry: dict[str, Any]) -> str:
    """Return the switch that makes this answer, where it was an injected one; "" otherwise."""
    status, text = entry["status"], json.dumps(entry["response_body"])
    after = (entry.get("fault") or {}) if isinstance(entry.get("fault"), dict) else {}
    if status == 0:
        return "lost-response"
    if status == 502:
        return "502-after-commit" if "fault" in entry or after else "502-before"
    if status in (500, 503):
        return str(status)
    if status in (401, 403, 404, 408, 409, 422, 429) and any(word in text for word in FAULT_TEXTS):
        return str(status)
    return ""
