"""A real Postgres stands behind the World's clusters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from flywizard.rehearsal import database
from flywizard.rehearsal.backing import PostgresBacking
from flywizard.rehearsal.postgres_files import Unavailable
from flywizard.rehearsal.world import World
from tests.support.simulated import Simulated

BODY = {"name": "acme-db", "region": "ams", "plan": "basic", "storage_in_gb": 10}


@pytest.fixture
async def data_dir(tmp_path: Path) -> AsyncIterator[Path]:
    place = tmp_path / "postgres"
    try:
        await database.start(place)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield place
    await database.remove(place)


async def _ready(fly: Simulated, name: str) -> str:
    made = await fly.ask("POST", "/api/v1/organizations/acme/postgresv2", BODY | {"name": name}, 201)
    fly.clock.advance(150)
    return str(made["data"]["id"])


async def test_what_the_api_enables_is_really_there(fly: Simulated, data_dir: Path) -> None:
    await fly.ask("POST", "/_db/register", {"data_dir": str(data_dir)})
    for name in ("acme-db", "other-db"):
        cluster = await _ready(fly, name)
        credentials = (await fly.ask("GET", f"/api/v1/postgresv2/{cluster}"))["credentials"]
        extensions = f"/api/v1/postgresv2/{cluster}/databases/{credentials['dbname']}/extensions"
        await fly.ask("POST", extensions, {"name": "vector"}, 201)
        await fly.ask("POST", extensions, {"name": "vector"}, 409)
        await fly.ask("POST", extensions, {"name": "nope"}, 422)
        listed = {e["name"]: e["installed"] for e in (await fly.ask("GET", extensions))["data"]}
        assert listed["vector"]["schema"] == "public"
        assert listed["pg_trgm"] is None
        place = await fly.ask("GET", f"/_db/{cluster}")
        async with await psycopg.AsyncConnection.connect(
            host=place["host"],
            port=place["port"],
            user=credentials["user"],
            password=credentials["password"],
            dbname=credentials["dbname"],
            sslmode="disable",
        ) as connection:
            row = await (await connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'::vector")).fetchone()
        assert row == (1.0,)


async def test_the_password_stays_after_a_restart(fly: Simulated, data_dir: Path) -> None:
    fly.api.backing = PostgresBacking(data_dir)
    cluster = await _ready(fly, "acme-db")
    before = (await fly.ask("GET", f"/api/v1/postgresv2/{cluster}"))["credentials"]
    again = Simulated(clock=fly.clock, world=World.from_json(fly.world.to_json()))
    again.api.backing = PostgresBacking(data_dir)
    assert (await again.ask("GET", f"/api/v1/postgresv2/{cluster}"))["credentials"] == before
    assert before["password"] not in str(fly.world.to_json())
    await again.ask("DELETE", f"/api/v1/organizations/acme/postgresv2/{cluster}", status=204)


async def test_a_postgres_that_does_not_run_is_named(fly: Simulated, tmp_path: Path) -> None:
    fly.api.backing = PostgresBacking(tmp_path)
    cluster = await _ready(fly, "acme-db")
    refused = await fly.ask("GET", f"/api/v1/postgresv2/{cluster}", status=500)
    assert "does not run" in refused["error"]
