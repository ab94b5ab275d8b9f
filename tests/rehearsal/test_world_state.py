"""The World keeps what was committed, and nothing secret."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.rehearsal.world import KEPT_READS, World, split_ref
from flywizard.rehearsal.world_records import RequestRecord
from tests.support.simulated import Simulated


async def _busy(fly: Simulated) -> None:
    await fly.app()
    await fly.machine(lease_ttl=300)
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"PASSWORD": "hunter2-marked", "B": "x"}})
    await fly.ask("POST", "/v1/apps/acme-api/volumes", {"name": "data", "region": "ams", "size_gb": 10})
    body = {"name": "acme-db", "region": "ams", "plan": "basic", "storage_in_gb": 10}
    await fly.ask("POST", "/api/v1/organizations/acme/postgresv2", body)
    release = {
        "app_name": "acme-api",
        "image": "registry.fly.io/acme-api:v1",
        "definition": {"app": "acme-api"},
    }
    await fly.ask("POST", "/api/v1/releases", release)


async def test_a_world_survives_json(fly: Simulated) -> None:
    await _busy(fly)
    data = fly.world.to_json()
    again = World.from_json(json.loads(json.dumps(data)))
    assert again.to_json() == data
    assert again.count("cluster", "acme-db") == 1
    assert again.count("machine", "acme-api/app") == 1
    assert len(again.changes()) == len(fly.world.changes()) == 8
    assert again.new_id("x", 8) == fly.world.new_id("x", 8)


async def test_no_secret_is_in_the_state(fly: Simulated) -> None:
    await _busy(fly)
    fly.clock.advance(200)
    listed = await fly.ask("GET", "/api/v1/organizations/acme/postgres")
    shown = await fly.ask("GET", f"/api/v1/postgresv2/{listed['data'][0]['id']}")
    password = shown["credentials"]["password"]
    token = fly.authorization.partition(" ")[2]
    text = json.dumps(fly.world.to_json())
    for secret in (password, token, "hunter2-marked"):
        assert secret
        assert secret not in text
    assert "PASSWORD" in text


def test_another_format_is_refused() -> None:
    data = World().to_json() | {"format": 99}
    with pytest.raises(ValueError, match="another format"):
        World.from_json(data)


def test_digests_are_equal_for_equal_values_of_one_world_only() -> None:
    one, other = World(key="00"), World(key="01")
    assert one.digest("value") == one.digest("value")
    assert one.digest("value") != one.digest("Value")
    assert one.digest("value") != other.digest("value")


def test_counting_refuses_unknown_kinds() -> None:
    with pytest.raises(ValueError, match="does not count"):
        World().count("planet")


def test_reads_are_dropped_and_changes_are_kept() -> None:
    world = World()
    for number in range(3 * KEPT_READS):
        world.record(RequestRecord(number, "GET", "/v1/apps", "app-list", 200, False, False))
        if number % 100 == 0:
            world.record(RequestRecord(number, "POST", "/v1/apps", "app-create", 201, True, True))
    assert len(world.changes()) == 15
    assert len(world.requests) <= 2 * KEPT_READS + 15
    assert world.reads == 3 * KEPT_READS


async def test_destroying_an_app_frees_its_name_and_things(fly: Simulated) -> None:
    await _busy(fly)
    await fly.ask("DELETE", "/v1/apps/acme-api", status=202)
    for kind in ("app", "machine", "volume", "release", "image", "address"):
        assert fly.world.count(kind) == 0, kind
    assert fly.world.count("cluster") == 1
    await fly.app()


@settings(max_examples=60)
@given(
    st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,5})?(/[a-z]{1,8}){0,2}", fullmatch=True),
    st.none() | st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
)
def test_image_references_are_split(repository: str, tag: str | None) -> None:
    ref = repository if tag is None else f"{repository}:{tag}"
    assert split_ref(ref) == (repository, tag or "latest")
    assert split_ref(f"{ref}@sha256:{'a' * 64}") == (repository, tag or "latest")


def test_a_registry_with_a_port_is_no_tag() -> None:
    assert split_ref("127.0.0.1:5000/app") == ("127.0.0.1:5000/app", "latest")
