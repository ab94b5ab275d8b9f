"""Clusters of Managed Postgres become ready in their time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.simulated import Simulated

BODY = {"name": "acme-db", "region": "ams", "plan": "basic", "pg_major_version": "17", "storage_in_gb": 10}


async def _create(fly: Simulated, **change: Any) -> str:
    made = await fly.ask("POST", "/api/v1/organizations/acme/postgresv2", BODY | change, 201)
    assert made["data"]["status"] == "creating"
    return str(made["data"]["id"])


async def test_credentials_come_when_the_cluster_is_ready(fly: Simulated) -> None:
    cluster = await _create(fly)
    path = f"/api/v1/postgresv2/{cluster}"
    early = await fly.ask("GET", path)
    assert early["data"]["mpgd_cluster_id"]
    assert early["credentials"]["password"] == early["credentials"]["pgbouncer_uri"] == ""
    fly.clock.advance(150)
    late = await fly.ask("GET", path)
    assert late["data"]["status"] == "ready"
    credentials = late["credentials"]
    assert credentials["user"] == "fly-user"
    wanted = f"postgresql://fly-user:{credentials['password']}@pgbouncer.{cluster}.flympg.net/fly-db"
    assert credentials["pgbouncer_uri"] == wanted
    assert (await fly.ask("GET", path))["credentials"] == credentials


@pytest.mark.parametrize(
    ("fault", "after", "status"), [("mpg-error", 150, "error"), ("mpg-slow", 1000, "creating")]
)
async def test_switches(fly: Simulated, fault: str, after: float, status: str) -> None:
    fly.faults.add(fault)
    cluster = await _create(fly)
    fly.clock.advance(after)
    assert (await fly.ask("GET", f"/api/v1/postgresv2/{cluster}"))["data"]["status"] == status


async def test_a_real_database_stands_behind_a_cluster(fly: Simulated) -> None:
    real = {"host": "127.0.0.1", "port": 5433, "user": "fly-user", "password": "pw", "database": "fly-db"}
    await fly.ask("POST", "/_db/register", real)
    cluster = await _create(fly)
    fly.clock.advance(150)
    found = await fly.ask("GET", f"/_db/{cluster}")
    assert found == real | {"status": "ready"}
    shown = await fly.ask("GET", f"/api/v1/postgresv2/{cluster}")
    assert shown["credentials"]["password"] == "pw"
    assert "pw" not in str(fly.world.to_json()["clusters"])
    await fly.ask("GET", "/_db/nope", status=404)


async def test_extensions(fly: Simulated) -> None:
    cluster = await _create(fly)
    path = f"/api/v1/postgresv2/{cluster}/databases/fly-db/extensions"
    await fly.ask("POST", path, {"name": "vector"}, 201)
    await fly.ask("POST", path, {"name": "vector"}, 409)
    await fly.ask("POST", path, {"name": "nope"}, 422)
    await fly.ask("POST", f"/api/v1/postgresv2/{cluster}/databases/no/extensions", {"name": "vector"}, 404)
    listed = {e["name"]: e["installed"] for e in (await fly.ask("GET", path))["data"]}
    assert listed["vector"] == {"version": "0.8.0", "schema": "public"}
    assert listed["uuid-ossp"] is None
    await fly.ask("DELETE", path + "/vector", status=204)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": "arn"}, "not available for Managed Postgres"),
        ({"region": "nope"}, "not available for Managed Postgres"),
        ({"plan": "gigantic"}, "plan gigantic is invalid"),
        ({"name": ""}, "blank"),
    ],
)
async def test_bad_wishes(fly: Simulated, change: dict[str, str], words: str) -> None:
    refused = await fly.ask("POST", "/api/v1/organizations/acme/postgresv2", BODY | change, 422)
    assert words in refused["errors"]["detail"]
    assert fly.world.count("cluster") == 0


async def test_users_databases_and_attachments(fly: Simulated) -> None:
    await fly.app()
    cluster = await _create(fly)
    path = f"/api/v1/postgresv2/{cluster}"
    await fly.ask("POST", path + "/users", {"user_name": "reader", "role": "reader"}, 201)
    await fly.ask("POST", path + "/users", {"user_name": "reader", "role": "reader"}, 422)
    one = await fly.ask("GET", path + "/users/reader/credentials")
    two = await fly.ask("GET", path + "/users/fly-user/credentials")
    assert one["data"]["password"] != two["data"]["password"]
    await fly.ask("POST", path + "/databases", {"name": "other"}, 201)
    assert [d["name"] for d in (await fly.ask("GET", path + "/databases"))["data"]] == ["fly-db", "other"]
    await fly.ask("POST", path + "/attachments", {"app_name": "acme-api"}, 201)
    await fly.ask("POST", path + "/attachments", {"app_name": "acme-api"}, 201)
    await fly.ask("POST", path + "/attachments", {"app_name": "nope"}, 404)
    assert len((await fly.ask("GET", path))["data"]["attached_apps"]) == 1
    await fly.ask("DELETE", path + "/attachments/acme-api", status=200)
    await fly.ask("DELETE", f"/api/v1/organizations/acme/postgresv2/{cluster}", status=204)
    await fly.ask("GET", path, status=404)
