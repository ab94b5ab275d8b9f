"""Apps, secrets, releases, builds, GraphQL and the public edge answer as the real platform does."""

from __future__ import annotations

from typing import Any

import pytest

from flywizard.rehearsal.api import Api, Request, Response
from tests.support.simulated import Simulated

BUILD = {
    "app": "acme-web",
    "tag": "src-1",
    "args": {"NEXT_PUBLIC_API_URL": "https://acme-api.fly.dev"},
    "context_digest": "abc",
}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": "taken-name", "org_slug": "acme"}, 422, "Name has already been taken"),
        ({"name": "acme-api", "org_slug": "acme"}, 422, "Name has already been taken"),
        ({"name": "Acme_API", "org_slug": "acme"}, 422, "Name may only contain"),
        ({"name": "x" * 80, "org_slug": "acme"}, 422, "Name may only contain"),
        ({"name": "acme-new", "org_slug": "nope"}, 404, "Organization nope not found"),
    ],
)
async def test_refused_apps(fly: Simulated, body: dict[str, str], status: int, words: str) -> None:
    await fly.app()
    refused = await fly.ask("POST", "/v1/apps", body, status)
    assert words in refused["error"]
    assert fly.world.count("app") == 1


async def test_whose_a_name_is(fly: Simulated) -> None:
    await fly.app()
    assert (await fly.ask("GET", "/v1/apps/acme-api"))["organization"]["slug"] == "acme"
    await fly.ask("GET", "/v1/apps/taken-name", status=403)
    await fly.ask("GET", "/v1/apps/acme-nope", status=404)


async def test_the_app_list_honours_role_and_organisation(fly: Simulated) -> None:
    await fly.app()
    found = await fly.ask("GET", "/v1/apps?org_slug=acme&app_role=remote-docker-builder")
    assert found == {"total_apps": 0, "apps": []}
    assert (await fly.ask("GET", "/v1/apps?org_slug=acme"))["total_apps"] == 1
    assert (await fly.ask("GET", "/v1/apps?org_slug=personal"))["total_apps"] == 0


async def test_secrets_are_digests_with_a_rising_version(fly: Simulated) -> None:
    await fly.app()
    path = "/v1/apps/acme-api/secrets"
    one = await fly.ask("POST", path, {"values": {"A": "1", "B": "2"}})
    two = await fly.ask("POST", path, {"values": {"A": "1", "B": None, "C": "1"}})
    assert (one["version"], two["version"]) == (1, 2)
    listed = {s["name"]: s["digest"] for s in (await fly.ask("GET", path))["secrets"]}
    assert sorted(listed) == ["A", "C"]
    assert listed["A"] == listed["C"] == one["secrets"][0]["digest"]
    await fly.ask("POST", path, {"values": {"A": 5}}, 400)
    await fly.ask("POST", "/v1/apps/nope/secrets", {"values": {}}, 404)


async def test_the_first_complete_release_makes_the_app_deployed(fly: Simulated) -> None:
    await fly.app()
    body: dict[str, Any] = {
        "app_name": "acme-api",
        "image": "registry.fly.io/acme-api:v1",
        "strategy": "ROLLING",
    }
    made = (await fly.ask("POST", "/api/v1/releases", body | {"definition": {"app": "acme-api"}}, 201))[
        "release"
    ]
    assert (made["version"], made["status"], made["in_progress"]) == (1, "pending", True)
    await fly.ask("PATCH", f"/api/v1/releases/{made['id']}", {"status": "running"})
    assert (await fly.ask("GET", "/v1/apps/acme-api"))["status"] == "pending"
    await fly.ask("PATCH", f"/api/v1/releases/{made['id']}", {"status": "complete"})
    assert (await fly.ask("GET", "/v1/apps/acme-api"))["status"] == "deployed"
    await fly.ask("PATCH", f"/api/v1/releases/{made['id']}", {"status": "odd"}, 422)
    await fly.ask("PATCH", "/api/v1/releases/nope", {"status": "complete"}, 404)
    query = "query($n: String!) { app(name: $n) { currentReleaseUnprocessed { version configDefinition } } }"
    found = await fly.graphql(query, n="acme-api")
    assert found["data"]["app"]["currentReleaseUnprocessed"] == {
        "version": 1,
        "configDefinition": {"app": "acme-api"},
    }


async def test_graphql_speaks_as_flyctl_expects(fly: Simulated) -> None:
    await fly.app()
    missing = await fly.graphql("query($n: String!) { appcompact: app(name: $n) { id } }", n="nope")
    assert missing["errors"][0] == {
        "message": "Could not find App",
        "path": ["appcompact"],
        "extensions": {"code": "NOT_FOUND"},
    }
    assert missing["data"] == {"appcompact": None}
    query = """query($n: String!, $r: String!) { app(name: $n) { postgresAppRole: role { name } unheardOf
               image(ref: $r) { ref compressedSize: compressedSizeFull } } }"""
    found = await fly.graphql(query, n="acme-api", r="registry.fly.io/acme-api:v1")
    app = found["data"]["app"]
    assert app["postgresAppRole"] is None
    assert app["image"]["compressedSize"].isdigit()
    none = await fly.graphql(query, n="acme-api", r="registry.fly.io/acme-api:gone")
    assert none["data"]["app"]["image"] is None
    odd = await fly.graphql("query { unheardOf { id } }")
    assert "unheardOf" in odd["errors"][0]["message"]
    await fly.ask("POST", "/graphql", {"query": "{ app("}, 400)
    peers = "mutation($input: ValidateWireGuardPeersInput!) { validateWireGuardPeers(input: $input) { invalidPeerIps } }"
    assert (await fly.graphql(peers, input={"peerIps": []}))["errors"][0][
        "message"
    ] == "wireguard is not available"


async def test_only_what_changed_something_counts_as_a_change(fly: Simulated) -> None:
    await fly.app()
    before = len(fly.world.changes())
    await fly.graphql("{ organizations(admin: false) { nodes { id } } }")
    await fly.ask("POST", "/v1/apps", {"name": "taken-name", "org_slug": "acme"}, 422)
    await fly.ask("GET", "/v1/apps/acme-api")
    assert len(fly.world.changes()) == before
    allocate = (
        "mutation($input: AllocateIPAddressInput!) { allocateIpAddress(input: $input) { ipAddress { id } } }"
    )
    await fly.graphql(allocate, input={"appId": "nope", "type": "v6"})
    assert len(fly.world.changes()) == before
    await fly.graphql(allocate, input={"appId": "acme-api", "type": "v6"})
    assert [r.operation for r in fly.world.changes()[before:]] == ["ip-assign"]


async def test_somebody_may_follow_committed_changes(fly: Simulated) -> None:
    seen: list[tuple[str, int, int]] = []

    async def after(api: Api, request: Request, response: Response) -> None:
        seen.append((request.path, response.status, api.world.count("app")))

    fly.api.after = after
    fly.faults.add("lost-response@app-create")
    await fly.send("POST", "/v1/apps", {"name": "acme-api", "org_slug": "acme"})
    await fly.send("POST", "/v1/apps", {"name": "acme-api", "org_slug": "acme"})
    await fly.send("GET", "/v1/apps/acme-api")
    assert seen == [("/v1/apps", 0, 1)]


async def test_unknown_paths_and_methods(fly: Simulated) -> None:
    await fly.ask("GET", "/v1/planets", status=404)
    await fly.ask("PUT", "/v1/apps", status=405)
    response = await fly.send("GET", "/v1/apps/acme-nope")
    assert response.headers["fly-request-id"]
    headers = {"authorization": fly.authorization}
    bad = await fly.api.handle(Request("POST", "/v1/apps", {}, headers, b"{nope"))
    assert bad.status == 400


async def test_a_build_makes_an_image_in_its_time(fly: Simulated) -> None:
    await fly.app("acme-web")
    made = await fly.ask("POST", "/_builder/builds", BUILD)
    assert made["ref"] == "registry.fly.io/acme-web:src-1"
    assert made["seconds"] == sum(s["seconds"] for s in made["steps"]) == 120
    assert (await fly.ask("GET", "/_builder/images/acme-web/src-1"))["ready"] is False
    fly.clock.advance(120)
    assert (await fly.ask("GET", "/_builder/images/acme-web/src-1"))["ready"] is True
    again = await fly.ask("POST", "/_builder/builds", BUILD | {"tag": "src-2"})
    assert again["cached"]
    assert again["digest"] == made["digest"]
    assert again["seconds"] < 10
    other = await fly.ask(
        "POST", "/_builder/builds", BUILD | {"tag": "src-3", "args": {"NEXT_PUBLIC_API_URL": "x"}}
    )
    assert other["digest"] != made["digest"]
    await fly.ask("GET", "/_builder/images/acme-web/nope", status=404)
    await fly.ask("POST", "/_builder/builds", BUILD | {"app": "nope"}, 404)


async def test_the_edge_shows_the_build_arguments(fly: Simulated) -> None:
    await fly.app("acme-web")
    await fly.ask("POST", "/_builder/builds", BUILD)
    assert (await fly.send("GET", "/_edge/acme-web/")).status == 502
    fly.clock.advance(120)
    await fly.machine(
        "acme-web", config={"image": "registry.fly.io/acme-web:src-1", "init": {"cmd": ["node", "server.js"]}}
    )
    fly.clock.advance(4)
    assert (await fly.send("GET", "/_edge/acme-web/")).status == 503
    fly.clock.advance(8)
    for target, host in (("/_edge/acme-web/", "127.0.0.1"), ("/", "acme-web.fly.dev")):
        shown = await fly.send("GET", target, host=host)
        assert shown.status == 200
        source = shown.body.decode().split('<script src="')[1].split('"')[0]
        script = await fly.send("GET", source, host=host)
        assert b"https://acme-api.fly.dev" in script.body
        assert script.headers["content-type"] == "application/javascript"
    fly.faults.add("wrong-page@acme-web")
    assert b"nginx" in (await fly.send("GET", "/_edge/acme-web/")).body


async def test_the_edge_of_an_api(fly: Simulated) -> None:
    await fly.app()
    await fly.machine()
    fly.clock.advance(12)
    health = await fly.send("GET", "/health", host="acme-api.fly.dev:443")
    assert health.json() == {"status": "ok"}
    assert (await fly.send("GET", "/_edge/acme-api/")).status == 404
    assert (await fly.send("GET", "/_edge/acme-nope/health")).status == 404
    assert fly.world.requests[-1].path != "/health"


async def test_an_app_without_an_address_is_not_reachable(fly: Simulated) -> None:
    await fly.ask("POST", "/v1/apps", {"name": "acme-api", "org_slug": "acme"})
    assert (await fly.send("GET", "/_edge/acme-api/health")).status == 404


async def test_addresses_volumes_and_certificates(fly: Simulated) -> None:
    await fly.app()
    path = "/v1/apps/acme-api"
    shared = await fly.ask("POST", path + "/ip_assignments", {"type": "shared_v4"})
    six = await fly.ask("POST", path + "/ip_assignments", {"type": "v6"})
    assert shared["shared"]
    assert six["region"] == "global"
    assert len((await fly.ask("GET", path + "/ip_assignments"))["ips"]) == 2
    await fly.ask("POST", path + "/ip_assignments", {"type": "v7"}, 422)
    await fly.ask("DELETE", f"{path}/ip_assignments/{six['ip']}")
    await fly.ask("DELETE", f"{path}/ip_assignments/{six['ip']}", status=404)
    volume = await fly.ask("POST", path + "/volumes", {"name": "data", "region": "ams", "size_gb": 3})
    machine = await fly.machine(config={"mounts": [{"volume": volume["id"], "path": "/data"}]})
    assert (await fly.ask("GET", f"{path}/volumes/{volume['id']}"))["attached_machine_id"] == machine["id"]
    await fly.ask("DELETE", f"{path}/volumes/{volume['id']}", status=412)
    await fly.ask("PUT", f"{path}/volumes/{volume['id']}/extend", {"size_gb": 5})
    assert (await fly.ask("GET", path + "/volumes"))[0]["size_gb"] == 5
    await fly.ask("POST", path + "/certificates/acme", {"hostname": "app.example.com"}, 201)
    await fly.ask("POST", path + "/certificates/acme", {"hostname": "app.example.com"}, 422)
    await fly.ask("POST", path + "/certificates/app.example.com/check")
    await fly.ask("DELETE", path + "/certificates/app.example.com")
    await fly.ask("GET", path + "/certificates/app.example.com", status=404)
