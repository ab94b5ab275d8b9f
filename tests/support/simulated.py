"""A simulated Fly.io in one process, with a clock that the test moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from flywizard.rehearsal.api import Api, Request, Response
from flywizard.rehearsal.clock import ManualClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_tokens import new_token

SERVICE = {
    "internal_port": 8000,
    "autostart": True,
    "checks": [{"type": "http", "path": "/health"}],
}


@dataclass(slots=True)
class Simulated:
    """The API with its World, and short ways to ask it."""

    faults: Faults = field(default_factory=Faults)
    clock: ManualClock = field(default_factory=ManualClock)
    world: World = field(default_factory=lambda: World(key="00" * 16))
    authorization: str = field(default_factory=lambda: "FlyV1 " + new_token())
    saves: int = 0
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self.world, self.clock, self.faults, on_commit=self._save)

    def _save(self) -> None:
        self.saves += 1

    async def send(self, method: str, target: str, body: Any = None, **headers: str) -> Response:
        """Send one request; header names are given with ``_`` for ``-``."""
        path, _, query = target.partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        sent = {"authorization": self.authorization} | {k.replace("_", "-"): v for k, v in headers.items()}
        data = b"" if body is None else json.dumps(body).encode()
        return await self.api.handle(Request(method, path, dict(pairs), sent, data, pairs))

    async def ask(
        self, method: str, target: str, body: Any = None, status: int | None = None, **headers: str
    ) -> Any:
        """Send one request and return the JSON of its answer; the status is asserted."""
        response = await self.send(method, target, body, **headers)
        wanted = {status} if status else {200, 201, 202, 204}
        assert response.status in wanted, (response.status, response.body)
        return response.json()

    async def graphql(self, query: str, **variables: Any) -> Any:
        """Ask the GraphQL endpoint."""
        return await self.ask("POST", "/graphql", {"query": query, "variables": variables}, 200)

    async def app(self, name: str = "acme-api") -> None:
        """Make an app with an image ``v1`` and a public address."""
        await self.ask("POST", "/v1/apps", {"name": name, "org_slug": "acme"})
        await self.ask("POST", "/_builder/images", {"ref": f"registry.fly.io/{name}:v1"})
        await self.ask("POST", f"/v1/apps/{name}/ip_assignments", {"type": "shared_v4"})

    async def machine(self, app: str = "acme-api", group: str = "app", **extra: Any) -> dict[str, Any]:
        """Make a machine of a group; ``app`` has a service with a check."""
        config: dict[str, Any] = {
            "image": f"registry.fly.io/{app}:v1",
            "metadata": {"fly_process_group": group, "fly_platform_version": "v2"},
            "init": {"cmd": ["uvicorn", "main:app"] if group == "app" else ["python", "-m", "worker"]},
        }
        if group == "app":
            config["services"] = [SERVICE]
        config |= extra.pop("config", {})
        found = await self.ask(
            "POST", f"/v1/apps/{app}/machines", {"config": config, "region": "ams", **extra}
        )
        assert isinstance(found, dict)
        return found
