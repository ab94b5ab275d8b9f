"""Who may ask what: empty, refused, expired, opaque, deploy and user tokens."""

from __future__ import annotations

import pytest

from flywizard.rehearsal import world_tokens
from tests.support.simulated import Simulated

WHO = {"query": "{ viewer { ... on User { id email } ... on Macaroon { email } } }"}
ORGS = "query($admin: Boolean!) { organizations(admin: $admin) { nodes { slug rawSlug } } }"
TOKEN = """mutation($name: String!, $organizationId: ID!, $profile: String!, $profileParams: JSON) {
  createLimitedAccessToken(input: {name: $name, organizationId: $organizationId, profile: $profile,
                                   profileParams: $profileParams}) { limitedAccessToken { tokenHeader } } }"""


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "FlyV1 ", "Bearer ,", "Bearer made-up", "FlyV1 fm2_"]
)
async def test_strangers_get_401(fly: Simulated, header: str) -> None:
    fly.authorization = header
    refused = await fly.ask("POST", "/graphql", WHO, 401)
    assert refused == {"errors": [{"message": "You must be authenticated to view this."}]}
    assert await fly.ask("GET", "/v1/apps/acme-api", status=401) == {"error": "unauthorized"}


@pytest.mark.parametrize("scheme", ["FlyV1 ", "Bearer "])
async def test_both_schemes_and_lists_are_read(fly: Simulated, scheme: str) -> None:
    fly.authorization = f"{scheme}made-up,{world_tokens.new_token()}"
    found = await fly.ask("POST", "/graphql", WHO)
    assert found["data"]["viewer"]["email"] == "you@example.com"


async def test_known_expired_and_refused_tokens(fly: Simulated) -> None:
    fly.authorization = "Bearer opaque"
    await fly.ask("POST", "/graphql", WHO, 401)
    world_tokens.know(fly.world, "opaque")
    await fly.ask("POST", "/graphql", WHO, 200)
    world_tokens.know(fly.world, "opaque", expired=True)
    await fly.ask("POST", "/graphql", WHO, 401)
    token = world_tokens.new_token()
    fly.authorization = "FlyV1 " + token
    await fly.ask("POST", "/graphql", WHO, 200)
    world_tokens.refuse(fly.world, token)
    await fly.ask("POST", "/graphql", WHO, 401)


async def test_a_deploy_token_reaches_one_app_only(fly: Simulated) -> None:
    await fly.app("acme-api")
    await fly.app("acme-web")
    variables = {
        "name": "ci",
        "organizationId": "orgA1",
        "profile": "deploy",
        "profileParams": {"app_id": fly.world.apps["acme-api"].id},
    }
    made = await fly.graphql(TOKEN, **variables)
    fly.authorization = made["data"]["createLimitedAccessToken"]["limitedAccessToken"]["tokenHeader"]
    assert (await fly.ask("POST", "/graphql", WHO))["data"]["viewer"] == {"email": "you@example.com"}
    await fly.ask("GET", "/v1/apps/acme-api")
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"A": "1"}})
    await fly.ask("GET", "/v1/apps/acme-web", status=403)
    await fly.ask("POST", "/v1/apps", {"name": "acme-new", "org_slug": "acme"}, 403)
    await fly.ask("GET", "/api/v1/organizations/acme/postgres", status=403)
    await fly.ask("GET", "/api/v1/apps/acme-api/logs", status=401)
    listed = await fly.graphql(ORGS, admin=False)
    assert listed["errors"][0]["extensions"]["code"] == "UNAUTHORIZED"
    assert fly.world.count("token", "acme-api") == 1


async def test_a_readonly_token_changes_nothing(fly: Simulated) -> None:
    await fly.app()
    fly.authorization = world_tokens.issue(fly.world, kind="readonly")
    await fly.ask("GET", "/v1/apps/acme-api")
    await fly.ask("DELETE", "/v1/apps/acme-api", status=403)
    assert fly.world.count("app") == 1


async def test_single_sign_on_is_said_early(fly: Simulated) -> None:
    fly.faults.add("sso")
    await fly.ask("POST", "/graphql", WHO, 200)
    listed = await fly.graphql(ORGS, admin=False)
    assert "must be authenticated" in listed["errors"][0]["message"]
    await fly.ask("GET", "/v1/platform/regions")


async def test_browser_login(fly: Simulated) -> None:
    fly.authorization = ""
    opened = await fly.ask("POST", "/api/v1/cli_sessions", {"name": "host"}, 201)
    await fly.ask("GET", f"/api/v1/cli_sessions/{opened['id']}", status=404)
    fly.clock.advance(3)
    done = await fly.ask("GET", f"/api/v1/cli_sessions/{opened['id']}")
    fly.authorization = done["access_token"]
    await fly.ask("POST", "/graphql", WHO, 200)


def test_tokens_look_like_flyctl_wants_them() -> None:
    import base64

    raw = base64.b64decode(world_tokens.new_token().removeprefix("fm2_"))
    assert raw[0] == 0x94
    assert b"https://api.fly.io/v1" in raw
    assert world_tokens.new_token() != world_tokens.new_token()
