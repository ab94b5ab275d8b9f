"""Tests of the guard against a scripted Fly: each row of what it promises."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import httpx
import pytest

from flywizard.guard import Guard
from tests.processes.conftest import Guarded
from tests.support.upstream import Fault, Upstream, cut, status

CREATES: dict[str, tuple[str, dict[str, Any]]] = {
    "app": ("/v1/apps", {"name": "helpdesk-api", "org_slug": "acme"}),
    "machine": (
        "/v1/apps/helpdesk-api/machines",
        {
            "region": "iad",
            "config": {"metadata": {"fly_release_id": "r1", "fly_process_group": "app"}},
            "lease_ttl": 300,
        },
    ),
    "volume": ("/v1/apps/helpdesk-api/volumes", {"name": "data", "region": "iad", "size_gb": 1}),
    "address": ("/v1/apps/helpdesk-api/ip_assignments", {"type": "v6"}),
    "cluster": (
        "/api/v1/organizations/acme/postgresv2",
        {"name": "helpdesk-db", "region": "iad", "postgis_enabled": True},
    ),
}
LOOKS = {"app": "/v1/apps/helpdesk-api", "cluster": "/api/v1/organizations/acme/postgres"}
GRAPHQL_MUTATION = {"query": "mutation($input: X!) { allocateIpAddress(input: $input) { app { name } } }"}
GRAPHQL_QUERY = {"query": "query { viewer { email } }"}
MACHINES = "/v1/apps/helpdesk-api/machines"
kinds = pytest.mark.parametrize("kind", list(CREATES))


def made(upstream: Upstream, kind: str) -> int:
    path, _ = CREATES[kind]
    return len(upstream.apps) if kind == "app" else len(upstream.get(path))


@kinds
async def test_a_create_without_fault_passes_unchanged(guarded: Guarded, kind: str) -> None:
    path, body = CREATES[kind]
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == (201 if kind in {"app", "cluster"} else 200)
    assert answer.headers["fly-request-id"] == "01ABC"
    assert made(guarded.upstream, kind) == 1
    assert guarded.upstream.count("POST", path) == 1
    assert guarded.guard.doubts == []


@kinds
@pytest.mark.parametrize(
    "fault",
    [*(status(code, commit=True) for code in (500, 502, 503, 504, 408)), cut(commit=True), Fault("truncate")],
    ids=["500", "502", "503", "504", "408", "cut", "truncated"],
)
async def test_a_create_whose_answer_was_lost_is_answered_with_what_was_found(
    guarded: Guarded, kind: str, fault: Fault
) -> None:
    path, body = CREATES[kind]
    guarded.upstream.fail("POST", path, fault)
    answer = await guarded.flyctl.post(path, json=body)
    assert guarded.upstream.count("POST", path) == 1
    assert made(guarded.upstream, kind) == 1
    assert guarded.guard.doubts == []
    value = answer.json()
    match kind:
        case "app":
            assert (answer.status_code, value["name"]) == (201, "helpdesk-api")
        case "cluster":
            assert answer.status_code == 201
            assert (value["ok"], value["errors"], value["data"]["postgis_enabled"]) == (True, {}, True)
            assert value["data"]["id"] == guarded.upstream.get(path)[0]["id"]
        case "machine":
            assert answer.status_code == 200
            assert value["nonce"] == f"nonce-{value['id']}"
        case _:
            assert (answer.status_code, value) == (200, guarded.upstream.get(path)[0])
    assert guarded.journal[-1]["note"].endswith("settled by look-up")
    assert guarded.time.slept == [0.3]
    [settled] = guarded.guard.settled
    assert settled["path"] == path


@kinds
@pytest.mark.parametrize("fault", [status(502), status(503), cut()], ids=["502", "503", "cut"])
async def test_a_create_that_was_not_carried_out_is_refused_in_doubt(
    guarded: Guarded, kind: str, fault: Fault
) -> None:
    path, body = CREATES[kind]
    guarded.upstream.fail("POST", path, fault)
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 500
    text = answer.json()["error"]
    assert text.startswith(f"flywizard-guard: in doubt: POST {path} ")
    assert answer.json() == {"error": text, "message": text, "errors": {"detail": text}}
    assert guarded.upstream.count("POST", path) == 1
    assert guarded.upstream.count("GET", LOOKS.get(kind, path)) == 7
    assert sum(guarded.time.slept) == pytest.approx(18.9)
    [doubt] = guarded.guard.doubts
    assert (doubt["method"], doubt["path"]) == ("POST", path)
    if fault.how == "status":
        assert f"{fault.status} (Request ID: 01ABC)" in doubt["reason"]


@pytest.mark.parametrize("kind", ["machine", "volume", "address", "cluster"])
async def test_two_new_ones_stay_in_doubt_at_once(guarded: Guarded, kind: str) -> None:
    path, body = CREATES[kind]
    upstream = guarded.upstream

    def another() -> None:
        if kind == "address":
            upstream.address(path, "v6")
        else:
            upstream.add(path, body)

    upstream.fail("POST", path, Fault("status", 502, commit=True, then=another))
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 500
    assert "2 new ones" in guarded.guard.doubts[0]["reason"]
    assert guarded.time.slept == [0.3]


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (
            "machine",
            {"region": "iad", "config": {"metadata": {"fly_release_id": "r0", "fly_process_group": "app"}}},
        ),
        ("machine", {"region": "ams", "config": CREATES["machine"][1]["config"]}),
        ("volume", {"name": "data", "region": "ams"}),
        ("cluster", {"name": "other", "region": "iad"}),
    ],
)
async def test_what_someone_else_made_is_not_taken_for_ours(
    guarded: Guarded, kind: str, other: dict[str, Any]
) -> None:
    path, body = CREATES[kind]
    upstream = guarded.upstream
    upstream.fail("POST", path, Fault("status", 502, then=lambda: upstream.add(path, other)))
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 500
    assert len(guarded.guard.doubts) == 1


async def test_addresses_are_told_apart_by_family_and_sharing(guarded: Guarded) -> None:
    path, _ = CREATES["address"]
    upstream = guarded.upstream

    def others() -> None:
        for kind in ("v6", "v4", "private_v6"):
            upstream.address(path, kind)

    upstream.fail("POST", path, Fault("status", 502, commit=True, then=others))
    answer = await guarded.flyctl.post(path, json={"type": "shared_v4"})
    assert answer.status_code == 200
    assert answer.json()["shared"] is True


async def test_an_app_that_was_there_before_or_is_foreign_is_not_ours(guarded: Guarded) -> None:
    path, body = CREATES["app"]
    guarded.upstream.app("helpdesk-api", "acme")
    guarded.upstream.fail("POST", path, status(502))
    assert (await guarded.flyctl.post(path, json=body)).status_code == 500
    guarded.upstream.apps.clear()
    foreign = Fault("status", 502, then=lambda: guarded.upstream.app("helpdesk-api", "umbrella"))
    guarded.upstream.fail("POST", path, foreign)
    assert (await guarded.flyctl.post(path, json=body)).status_code == 500
    assert len(guarded.guard.doubts) == 2


async def test_two_equal_machines_at_once_are_both_made_and_each_answered_with_its_own(
    guarded: Guarded,
) -> None:
    path, body = CREATES["machine"]
    guarded.upstream.fail("POST", path, status(502, commit=True), cut(commit=True))
    first, second = await asyncio.gather(
        guarded.flyctl.post(path, json=body), guarded.flyctl.post(path, json=body)
    )
    assert first.status_code == second.status_code == 200
    assert {first.json()["id"], second.json()["id"]} == {item["id"] for item in guarded.upstream.get(path)}
    assert len(guarded.upstream.get(path)) == 2
    posts_and_looks = [seen.method for seen in guarded.upstream.seen if seen.path == path]
    assert posts_and_looks == ["GET", "POST", "GET", "GET", "POST", "GET"]


async def test_without_a_list_from_before_nothing_can_be_called_new(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    guarded.upstream.fail("GET", path, status(403))
    guarded.upstream.fail("POST", path, status(502, commit=True))
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 500
    assert len(guarded.guard.doubts) == 1


@pytest.mark.parametrize("code", [400, 402, 403, 409, 422, 429])
async def test_a_refusal_of_a_create_passes_unchanged(guarded: Guarded, code: int) -> None:
    path, body = CREATES["volume"]
    guarded.upstream.fail("POST", path, status(code, headers=(("Retry-After", "1"),)))
    answer = await guarded.flyctl.post(path, json=body)
    assert (answer.status_code, answer.content) == (code, b'{"error": "bad gateway"}')
    assert guarded.upstream.count("POST", path) == 1
    assert guarded.guard.doubts == []
    assert guarded.time.slept == []


async def test_after_a_time_out_absence_is_not_believed_for_two_minutes(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    upstream = guarded.upstream
    guarded.limits(create=0.05)
    upstream.fail("POST", path, Fault("hang"))

    def late(looked: str) -> None:
        if guarded.time.now > 100 and not upstream.get(path):
            upstream.add(path, body)

    upstream.on_look = late
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 200
    assert answer.json()["id"] == upstream.get(path)[0]["id"]
    assert 100 < guarded.time.now <= 120
    assert guarded.guard.doubts == []


async def test_a_time_out_that_stays_without_trace_is_in_doubt_after_two_minutes(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    guarded.limits(create=0.05)
    guarded.upstream.fail("POST", path, Fault("hang"))
    answer = await guarded.flyctl.post(path, json=body)
    assert answer.status_code == 500
    assert guarded.time.now == pytest.approx(120)
    assert "no answer in 0.05 s" in guarded.guard.doubts[0]["reason"]


@pytest.mark.parametrize(
    "path",
    [
        f"{MACHINES}/1/exec",
        f"{MACHINES}/1/signal",
        f"{MACHINES}/1/restart",
        "/v1/apps/helpdesk-api/volumes/v/snapshots",
        "/v1/apps/helpdesk-api/secretkeys/k/generate",
        "/v1/postgres",
        "/api/v1/postgresv2/c/users",
        "/api/v1/postgresv2/c/databases",
        "/api/v1/postgresv2/c/attachments",
        "/api/v1/postgresv2/c/databases/db/extensions",
        "/api/v1/organizations/acme/builders",
        "/api/v1/builds/depot_builder",
        "/v1/some/thing/unknown",
    ],
)
@pytest.mark.parametrize("fault", [status(502), status(500), cut()], ids=["502", "500", "cut"])
async def test_what_can_not_be_found_again_is_sent_once(guarded: Guarded, path: str, fault: Fault) -> None:
    guarded.upstream.fail("POST", path, fault)
    answer = await guarded.flyctl.post(path, json={"cmd": "migrate"})
    assert answer.status_code == 500
    assert "in doubt" in answer.json()["error"]
    assert guarded.upstream.count("POST", path) == 1
    assert [doubt["path"] for doubt in guarded.guard.doubts] == [path]
    assert guarded.time.slept == []


@pytest.mark.parametrize(
    "body",
    [GRAPHQL_MUTATION, {"query": "nonsense"}, {"no": "query"}, ["batch"]],
    ids=["mutation", "odd", "none", "list"],
)
@pytest.mark.parametrize(
    "fault", [status(502), status(503), status(500), cut()], ids=["502", "503", "500", "cut"]
)
async def test_a_mutation_is_never_repeated(guarded: Guarded, body: Any, fault: Fault) -> None:
    guarded.upstream.fail("POST", "/graphql", fault)
    answer = await guarded.flyctl.post("/graphql", json=body)
    assert answer.status_code == 200
    assert answer.json()["data"] is None
    assert answer.json()["errors"][0]["message"].startswith("flywizard-guard: in doubt: POST /graphql ")
    assert guarded.upstream.count("POST", "/graphql") == 1
    assert len(guarded.guard.doubts) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{MACHINES}/1"),
        ("DELETE", f"{MACHINES}/1"),
        ("POST", f"{MACHINES}/1"),
        ("POST", f"{MACHINES}/1/lease"),
        ("POST", f"{MACHINES}/1/start"),
        ("POST", f"{MACHINES}/1/metadata/key"),
        ("POST", "/v1/apps/helpdesk-api/secrets"),
        ("POST", "/v1/apps/helpdesk-api/certificates/acme"),
        ("POST", "/v1/platform/placements"),
        ("POST", "/api/v1/builds"),
        ("POST", "/api/v1/builds/finish"),
        ("POST", "/api/v1/releases"),
        ("PATCH", "/api/v1/releases/r1"),
        ("PUT", "/v1/apps/helpdesk-api/volumes/v/extend"),
    ],
)
async def test_what_may_be_repeated_is_repeated_with_its_body(
    guarded: Guarded, method: str, path: str
) -> None:
    guarded.upstream.fail(method, path, status(502), cut(), status(503))
    content = None if method in {"GET", "DELETE"} else b'{"config": {}}'
    answer = await guarded.flyctl.request(method, path, content=content)
    assert answer.status_code == 200
    assert [seen.body for seen in guarded.upstream.seen] == [content or b""] * 4
    assert guarded.time.slept == [0.5, 1.0, 2.0]
    assert guarded.guard.doubts == []
    assert guarded.journal[-1]["note"] == "repeated 3"


async def test_a_query_is_repeated(guarded: Guarded) -> None:
    guarded.upstream.fail("POST", "/graphql", status(503))
    answer = await guarded.flyctl.post("/graphql", json=GRAPHQL_QUERY)
    assert answer.json() == {"data": {"done": True}}


@pytest.mark.parametrize(
    ("path", "slept"),
    [(f"{MACHINES}/1", [0.5, 1.0, 2.0]), ("/api/v1/organizations/acme", [0.5, 1.0, 2.0, 4.0])],
)
@pytest.mark.parametrize("fault", [status(502), status(503), cut()], ids=["502", "503", "cut"])
async def test_a_storm_ends_with_504_within_the_patience_of_flyctl(
    guarded: Guarded, path: str, slept: list[float], fault: Fault
) -> None:
    guarded.upstream.fail("GET", path, *[fault] * 10)
    answer = await guarded.flyctl.get(path)
    assert answer.status_code == 504
    assert answer.json()["error"].startswith(f"flywizard-guard: no answer: GET {path}")
    assert guarded.time.slept == slept


async def test_a_500_is_repeated_three_times_for_a_get_and_then_passed_on(guarded: Guarded) -> None:
    path = "/api/v1/postgresv2/c"
    guarded.upstream.fail("GET", path, status(500), status(500))
    assert (await guarded.flyctl.get(path)).status_code == 200
    guarded.upstream.fail("GET", path, *[status(500)] * 9)
    answer = await guarded.flyctl.get(path)
    assert (answer.status_code, answer.content) == (500, b'{"error": "bad gateway"}')
    assert guarded.upstream.count("GET", path) == 3 + 4


async def test_a_500_is_not_repeated_for_anything_but_get(guarded: Guarded) -> None:
    guarded.upstream.fail("POST", f"{MACHINES}/1", status(500))
    assert (await guarded.flyctl.post(f"{MACHINES}/1", json={})).status_code == 500
    assert guarded.upstream.count("POST", f"{MACHINES}/1") == 1


async def test_408_is_the_answer_of_wait_and_passes(guarded: Guarded) -> None:
    guarded.upstream.fail("GET", f"{MACHINES}/1/wait", status(408))
    assert (await guarded.flyctl.get(f"{MACHINES}/1/wait?state=started&timeout=60")).status_code == 408
    assert guarded.time.slept == []
    assert guarded.upstream.seen[-1].target.endswith("?state=started&timeout=60")


async def test_retry_after_is_obeyed(guarded: Guarded) -> None:
    guarded.upstream.fail("GET", f"{MACHINES}/1", status(429, headers=(("Retry-After", "2"),)))
    assert (await guarded.flyctl.get(f"{MACHINES}/1")).status_code == 200
    assert guarded.time.slept == [2.0]


async def test_a_long_retry_after_is_waited_for_where_flyctl_can_wait(guarded: Guarded) -> None:
    long = status(429, headers=(("Retry-After", "20"),))
    guarded.upstream.fail("GET", "/api/v1/releases/r1", long)
    assert (await guarded.flyctl.get("/api/v1/releases/r1")).status_code == 200
    assert guarded.time.slept == [20.0]
    guarded.upstream.fail("GET", f"{MACHINES}/1", long)
    assert (await guarded.flyctl.get(f"{MACHINES}/1")).status_code == 429
    assert guarded.time.slept == [20.0]


async def test_a_silent_server_is_not_waited_for_without_end(guarded: Guarded) -> None:
    guarded.limits(other=0.05)
    guarded.upstream.fail("GET", f"{MACHINES}/1", *[Fault("hang")] * 9)
    answer = await guarded.flyctl.get(f"{MACHINES}/1")
    assert answer.status_code == 504
    assert "no answer in 0.05 s" in answer.json()["error"]


async def test_a_truncated_answer_is_passed_on_as_truncated(guarded: Guarded) -> None:
    guarded.upstream.fail("GET", f"{MACHINES}/1", Fault("truncate"))
    with pytest.raises(httpx.RemoteProtocolError):
        await guarded.flyctl.get(f"{MACHINES}/1")
    assert guarded.journal[-1]["note"].startswith("cut")


async def test_a_compressed_answer_passes_raw(guarded: Guarded) -> None:
    packed = gzip.compress(b'{"a": 1}')
    guarded.upstream.fail("GET", "/v1/apps/a", Fault("gzip", body=packed))
    async with guarded.flyctl.stream("GET", "/v1/apps/a") as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert raw == packed
    assert answer.headers["content-encoding"] == "gzip"


async def test_a_head_request_gets_no_body(guarded: Guarded) -> None:
    guarded.upstream.fail("HEAD", "/v1/apps/a", *[cut()] * 9)
    answer = await guarded.flyctl.head("/v1/apps/a")
    assert (answer.status_code, answer.content) == (504, b"")
    assert (await guarded.flyctl.get("/v1/apps/a/x")).status_code == 200


async def test_headers_pass_unchanged_but_hop_by_hop_ones_and_host(guarded: Guarded) -> None:
    sent = {
        "Fly-Machine-Lease-Nonce": "n1",
        "traceparent": "00-1",
        "User-Agent": "flyctl/0.4.87",
        "TE": "trailers",
    }
    await guarded.flyctl.get(f"{MACHINES}/a%2Fb?x=%2F", headers=sent)
    seen = guarded.upstream.seen[-1]
    assert seen.target == f"{MACHINES}/a%2Fb?x=%2F"
    assert seen.headers["fly-machine-lease-nonce"] == "n1"
    assert seen.headers["traceparent"] == "00-1"
    assert seen.headers["user-agent"] == "flyctl/0.4.87"
    assert seen.headers["host"] == f"127.0.0.1:{guarded.upstream.port}"
    assert "te" not in seen.headers


async def test_creating_requests_take_a_fresh_connection(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    for _ in range(2):
        await guarded.flyctl.post(path, json=body)
    numbers = {seen.method: set[int]() for seen in guarded.upstream.seen}
    for seen in guarded.upstream.seen:
        numbers[seen.method].add(seen.connection)
    assert len(numbers["POST"]) == 2
    assert len(numbers["GET"]) == 1
    assert not numbers["GET"] & numbers["POST"]


@pytest.mark.parametrize("header", [None, "Bearer fm2_stranger", "FlyV1 fm2_mark"])
async def test_a_stranger_is_refused(guarded: Guarded, header: str | None) -> None:
    async with httpx.AsyncClient(base_url=guarded.flyctl.base_url, trust_env=False) as stranger:
        answer = await stranger.get("/v1/apps/a", headers={"Authorization": header} if header else {})
    assert answer.status_code == 403
    assert guarded.upstream.seen == []


@pytest.mark.parametrize(
    "header", ["Bearer fm2_marked,fm2_second", "FlyV1 fm2_second", "FlyV1 fm2_marked,fm2_discharge"]
)
async def test_every_form_in_which_flyctl_sends_our_token_is_taken(guarded: Guarded, header: str) -> None:
    answer = await guarded.flyctl.get("/v1/apps/a", headers={"Authorization": header})
    assert answer.status_code == 404
    assert guarded.upstream.seen[-1].headers["authorization"] == header


async def test_a_dropped_token_is_answered_as_fly_would(guarded: Guarded) -> None:
    assert (await guarded.flyctl.get("/v1/apps/a", headers={"Authorization": "Bearer"})).status_code == 401


async def test_another_host_name_is_refused(guarded: Guarded) -> None:
    assert (await guarded.flyctl.get("/v1/apps/a", headers={"Host": "evil.example"})).status_code == 403


@pytest.mark.parametrize("name", ["validateWireGuardPeers", "addWireGuardPeer"])
async def test_no_agent_is_started_through_the_guard(guarded: Guarded, name: str) -> None:
    answer = await guarded.flyctl.post(
        "/graphql", json={"query": f"mutation($i: I!) {{ x: {name}(input: $i) {{ ok }} }}"}
    )
    assert answer.status_code == 200
    assert "WireGuard" in answer.json()["errors"][0]["message"]
    assert guarded.upstream.seen == []
    assert guarded.guard.doubts == []


async def test_a_request_that_flyctl_gave_up_is_given_up(guarded: Guarded) -> None:
    guarded.upstream.fail("GET", f"{MACHINES}/1", Fault("hang"))
    request = asyncio.ensure_future(guarded.flyctl.get(f"{MACHINES}/1"))
    await guarded.upstream.hanging.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await guarded.upstream.dropped.wait()
    assert guarded.upstream.count("GET", f"{MACHINES}/1") == 1


async def test_a_creating_request_that_flyctl_gave_up_is_carried_to_its_end(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    guarded.upstream.fail("POST", path, Fault("hang"))
    request = asyncio.ensure_future(guarded.flyctl.post(path, json=body))
    await guarded.upstream.hanging.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    drained = asyncio.ensure_future(guarded.guard.drain())
    guarded.upstream.released.set()
    await drained
    await guarded.guard.close()
    assert made(guarded.upstream, "volume") == 1
    assert guarded.guard.doubts == []
    assert guarded.journal[-1]["note"] == "dropped by flyctl"


async def test_a_creating_request_that_is_open_at_the_end_is_a_doubt(guarded: Guarded) -> None:
    path, body = CREATES["volume"]
    guarded.upstream.fail("POST", path, Fault("hang"))
    request = asyncio.ensure_future(guarded.flyctl.post(path, json=body))
    await guarded.upstream.hanging.wait()
    await guarded.guard.close()
    await asyncio.gather(request, return_exceptions=True)
    assert guarded.guard.doubts == [
        {"method": "POST", "path": path, "reason": "given up before the answer came"}
    ]


async def test_a_server_that_is_not_there_is_no_doubt(tmp_path: Any, guarded: Guarded) -> None:
    gone = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{gone.sockets[0].getsockname()[1]}"
    gone.close()
    await gone.wait_closed()
    guard = Guard({"FLY_FLAPS_BASE_URL": base}, sleep=guarded.time.sleep, monotonic=guarded.time.monotonic)
    port = await guard.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as flyctl:
            answer = await flyctl.post("/v1/apps/a/machines/1/exec", json={})
            assert answer.status_code == 504
            assert "not sent" in answer.json()["error"]
            assert guard.doubts == []
    finally:
        await guard.close()


async def test_the_journal_holds_no_query_header_or_body(guarded: Guarded) -> None:
    await guarded.flyctl.post(
        "/v1/apps/helpdesk-api/secrets?marked=query", json={"values": {"K": "marked-value"}}
    )
    await guarded.flyctl.post("/graphql", json=GRAPHQL_MUTATION)
    text = guarded.journal_path.read_text()
    assert "marked" not in text
    first, second = guarded.journal
    assert first.keys() == {"method", "path", "status", "ms", "size", "note"}
    assert (first["method"], first["path"], first["status"]) == ("POST", "/v1/apps/helpdesk-api/secrets", 200)
    assert second["field"] == "allocateIpAddress"
    assert guarded.journal_path.stat().st_mode & 0o777 == 0o600
