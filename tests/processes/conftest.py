from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flywizard.guard import Guard
from flywizard.guard_rules import Limits
from tests.support.upstream import Time, Upstream

TOKEN = "FlyV1 fm2_marked,fm2_second"


@dataclass
class Guarded:
    """A guard before a scripted Fly, and a client in flyctl's place."""

    guard: Guard
    upstream: Upstream
    time: Time
    flyctl: httpx.AsyncClient
    journal_path: Path

    @property
    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal_path.read_text().splitlines()]

    def limits(self, **changes: Any) -> None:
        """Change single durations of the guard."""
        self.guard._limits = Limits(**changes)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    await upstream.start()
    yield upstream
    await upstream.close()


@pytest.fixture
async def guarded(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Guarded]:
    base = f"http://127.0.0.1:{upstream.port}"
    environment = {
        "FLY_API_BASE_URL": base,
        "FLY_FLAPS_BASE_URL": f"{base}/dropped",
        "FLY_UIEX_BASE_URL": base,
        "FLY_API_TOKEN": TOKEN,
    }
    time = Time()
    journal = tmp_path / "requests.jsonl"
    guard = Guard(environment, journal=journal, sleep=time.sleep, monotonic=time.monotonic)
    port = await guard.start()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": TOKEN}, trust_env=False
    ) as flyctl:
        yield Guarded(guard, upstream, time, flyctl, journal)
    await guard.close()
