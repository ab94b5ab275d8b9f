"""Looking at Fly, without Fly."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from flywizard.adapters.fly_http import FlyHttp, Limiter, authorization
from flywizard.adapters.web import MOST, PublicWeb
from flywizard.ports import Clock, Look, LookError, Web
from flywizard.problems import diagnose
from flywizard.vault import Secret
from tests.support.flyctl_recordings import stdout


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 1_767_225_600.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds


Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    def __init__(self, *answers: Answer | httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def ok(body: Any) -> Answer:
    return lambda request: httpx.Response(200, json=body)


def look(server: Server, clock: Clock | None = None, token: str | None = "FlyV1 fm2_abc,fo1_x") -> FlyHttp:
    async def provider() -> Secret | None:
        return None if token is None else Secret(token)

    environ = {"FLY_FLAPS_BASE_URL": "http://flaps.test/", "FLY_API_BASE_URL": "http://api.test"}
    return FlyHttp(
        provider,
        environ=environ,
        clock=clock or FakeClock(),
        transport=httpx.MockTransport(server),
        jitter=lambda: 0.0,
    )


def test_it_is_the_port() -> None:
    port: Look = look(Server(ok({})))
    web: Web = PublicWeb()
    assert port is not None
    assert web is not None


@pytest.mark.parametrize(
    ("token", "header"),
    [
        ("fm2_a", "FlyV1 fm2_a"),
        ("FlyV1 fm2_a,fm1r_b,fo1_c", "FlyV1 fm2_a,fm1r_b"),
        ("Bearer fm2_a", "FlyV1 fm2_a"),
        ("fo1_c", "Bearer fo1_c"),
        (" Bearer opaque ", "Bearer opaque"),
    ],
)
def test_the_authorization_header(token: str, header: str) -> None:
    assert authorization(Secret(token)) == header


async def test_an_app_is_there_absent_or_foreign() -> None:
    server = Server(ok({"name": "a", "status": "pending"}), httpx.Response(404), httpx.Response(403))
    async with look(server) as port:
        found = await port.app("a")
        assert isinstance(found, Mapping)
        assert found["status"] == "pending"
        assert await port.app("a") == "absent"
        assert await port.app("a") == "foreign"
    request = server.seen[0]
    assert str(request.url) == "http://flaps.test/v1/apps/a"
    assert request.headers["authorization"] == "FlyV1 fm2_abc"


async def test_machines_as_flyctl_recorded_them() -> None:
    raw = json.loads(stdout("machine_list_json"))
    raw.append({"id": "gone", "state": "destroyed"})
    raw.append({"id": "odd", "state": "daydreaming", "config": None, "checks": None, "extra": {}})
    async with look(Server(ok(raw))) as port:
        found = {m.id: m for m in await port.machines("helpdesk-api")}
    machine = found["90801234560222"]
    assert (machine.group, machine.region, machine.memory_mb, machine.release_version) == (
        "app",
        "ams",
        512,
        "2",
    )
    assert machine.image == "registry.fly.io/myapp-api:deployment-2"
    assert machine.env["PORT"] == "8000"
    assert machine.checks == (("servicecheck-00-http-8000", "passing", "200 OK"),)
    assert machine.events[0]["type"] == "start"
    assert "gone" not in found
    assert found["odd"].state == "daydreaming"


async def test_an_unknown_app_has_nothing() -> None:
    async with look(Server(httpx.Response(404, json={"error": "app not found"}))) as port:
        assert list(await port.machines("a")) == []
        assert dict(await port.secrets("a")) == {}


async def test_secrets_volumes_and_addresses() -> None:
    body = {
        "secrets": [{"name": "A", "digest": "d"}, {"digest": "x"}],
        "ips": [{"ip": "1.2.3.4", "shared": True}],
    }
    async with look(Server(ok(body))) as port:
        assert await port.secrets("a") == {"A": "d"}
        assert (await port.addresses("a"))[0]["ip"] == "1.2.3.4"
    async with look(Server(ok([{"id": "vol_1", "name": "data"}]))) as port:
        assert (await port.volumes("a"))[0]["name"] == "data"


async def test_logs_give_lines_and_a_token() -> None:
    page = {
        "data": [{"id": "1", "attributes": {"timestamp": "2026-01-01T00:00:00Z", "message": "\x1b[31mhi", "level": "info",
                 "instance": "9", "region": "ams", "meta": {"event": {"provider": "app"}}}}],
        "meta": {"next_token": "17"},
    }  # fmt: skip
    server = Server(ok(page), ok({"data": [], "meta": {}}))
    async with look(server) as port:
        lines, token = await port.logs("a", "5", instance="9")
        assert [(x.id, x.text, x.provider) for x in lines] == [("1", "\x1b[31mhi", "app")]
        assert token == "17"
        assert await port.logs("a", token) == ([], "17")
    assert dict(server.seen[0].url.params) == {"next_token": "5", "instance": "9"}
    assert server.seen[0].url.path == "/api/v1/apps/a/logs"


@pytest.mark.parametrize(
    "fault",
    [
        httpx.Response(503),
        httpx.Response(500, text="<html>"),
        httpx.ConnectError("no"),
        httpx.ReadTimeout("x"),
    ],
)
async def test_what_passes_is_repeated(fault: httpx.Response | Exception) -> None:
    clock = FakeClock()
    server = Server(fault, fault, ok([]))
    async with look(server, clock) as port:
        assert list(await port.machines("a")) == []
    assert len(server.seen) == 3
    assert clock.sleeps == [0.5, 1.0]


async def test_it_gives_up_after_four_tries() -> None:
    server = Server(httpx.Response(502, text="<html>Bad gateway</html>"))
    async with look(server) as port:
        with pytest.raises(LookError, match="status 502") as caught:
            await port.machines("a")
    assert len(server.seen) == 4
    assert caught.value.status == 502
    assert "html" not in caught.value.text
    assert diagnose("look", caught.value.text).id == "API-TROUBLE"


async def test_retry_after_is_obeyed_up_to_a_limit() -> None:
    clock = FakeClock()
    async with look(Server(httpx.Response(429, headers={"Retry-After": "7"}), ok([])), clock) as port:
        await port.machines("a")
    assert clock.sleeps == [7.0]
    clock = FakeClock()
    date = "Thu, 01 Jan 2026 00:00:05 GMT"
    async with look(Server(httpx.Response(429, headers={"Retry-After": date}), ok([])), clock) as port:
        await port.machines("a")
    assert clock.sleeps == [5.0]
    clock = FakeClock()
    server = Server(httpx.Response(429, headers={"Retry-After": "600"}))
    async with look(server, clock) as port:
        with pytest.raises(LookError) as caught:
            await port.machines("a")
    assert (len(server.seen), clock.sleeps) == (1, [])
    assert diagnose("look", caught.value.text).id == "API-LIMIT"


@pytest.mark.parametrize(("status", "rule"), [(401, "AUTH-10"), (422, "UNKNOWN")])
async def test_what_will_not_pass_is_not_repeated(status: int, rule: str) -> None:
    server = Server(
        httpx.Response(status, json={"error": "no\x1b[31m way"}, headers={"fly-request-id": "01R"})
    )
    async with look(server) as port:
        with pytest.raises(LookError) as caught:
            await port.secrets("a")
    assert len(server.seen) == 1
    assert caught.value.text == f"Fly's API answered with status {status}: no [31m way (Request ID: 01R)"
    assert diagnose("look", caught.value.text).id == rule


async def test_a_bad_certificate_is_said_and_not_repeated() -> None:
    error = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.__cause__ = ssl.SSLCertVerificationError("bad")
    server = Server(error)
    async with look(server) as port:
        with pytest.raises(LookError, match="certificate") as caught:
            await port.app("a")
    assert len(server.seen) == 1
    assert diagnose("look", caught.value.text).id == "NET-CERTIFICATE"


async def test_no_answer_is_named() -> None:
    async with look(Server(httpx.ConnectError("refused"))) as port:
        with pytest.raises(LookError) as caught:
            await port.app("a")
    assert caught.value.status == 0
    assert diagnose("look", caught.value.text).id == "NET-OFFLINE"


async def test_nothing_is_sent_without_a_token() -> None:
    server = Server(ok([]))
    async with look(server, token=None) as port:
        with pytest.raises(LookError) as caught:
            await port.machines("a")
    assert server.seen == []
    assert diagnose("look", caught.value.text).id == "AUTH-1"


@pytest.mark.parametrize("body", ["", "<html>", '{"secrets": 7}', '"x"', "[1, null]"])
async def test_odd_answers_are_look_errors_or_nothing(body: str) -> None:
    async with look(Server(lambda request: httpx.Response(200, text=body))) as port:
        with contextlib.suppress(LookError):
            assert dict(await port.secrets("a")) == {}


async def test_redirects_are_not_followed() -> None:
    server = Server(httpx.Response(302, headers={"Location": "http://evil.test/"}))
    async with look(server) as port:
        with pytest.raises(LookError, match="302"):
            await port.app("a")
    assert [r.url.host for r in server.seen] == ["flaps.test"]


async def test_no_error_shows_the_token() -> None:
    async with look(Server(httpx.Response(401, json={"error": "bad"})), token="fm2_hunter2") as port:
        with pytest.raises(LookError) as caught:
            await port.app("a")
    assert "hunter2" not in repr(caught.value) + caught.value.text


async def test_the_limiter_lets_three_through_and_then_one_a_second() -> None:
    clock = FakeClock()
    limiter = Limiter(clock)
    times = []
    for _ in range(6):
        await limiter.wait("a")
        times.append(round(clock.time - 1_767_225_600.0, 6))
    assert times == [0, 0, 0, 1, 2, 3]
    await limiter.wait("b")
    assert clock.time - 1_767_225_600.0 == pytest.approx(3)
    await clock.sleep(60)
    clock.sleeps.clear()
    for _ in range(3):
        await limiter.wait("a")
    assert clock.sleeps == []


async def test_looks_at_one_app_are_spaced_and_others_are_not_held_up() -> None:
    clock = FakeClock()
    async with look(Server(ok([])), clock) as port:
        for _ in range(4):
            await port.machines("a")
        assert sum(clock.sleeps) == pytest.approx(1.0)
        await port.machines("b")
        await port.volumes("a")
    assert sum(clock.sleeps) == pytest.approx(1.0)


async def test_the_servers_date() -> None:
    server = Server(httpx.Response(401, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    async with look(server) as port:
        assert await port.server_date() == (True, "Thu, 01 Jan 2026 00:00:00 GMT")
    assert "authorization" not in server.seen[0].headers
    async with look(Server(httpx.ConnectError("x"))) as port:
        assert await port.server_date() == (False, None)


async def test_the_web_asks_like_a_visitor() -> None:
    server = Server(httpx.Response(503, text="oh", headers={"X-A": "1"}))
    status, text, headers = await PublicWeb(transport=httpx.MockTransport(server)).get(
        "https://helpdesk.fly.dev/health"
    )
    assert (status, text, headers["x-a"]) == (503, "oh", "1")
    assert str(server.seen[0].url) == "https://helpdesk.fly.dev/health"


async def test_the_web_can_be_led_to_an_edge() -> None:
    server = Server(httpx.Response(200, text="ok"))

    def edge(url: str) -> tuple[str, Mapping[str, str]]:
        return f"http://127.0.0.1:9{httpx.URL(url).path}", {"Host": str(httpx.URL(url).host)}

    web = PublicWeb(edge=edge, transport=httpx.MockTransport(server))
    assert (await web.get("https://helpdesk.fly.dev/x"))[0] == 200
    assert (str(server.seen[0].url), server.seen[0].headers["host"]) == (
        "http://127.0.0.1:9/x",
        "helpdesk.fly.dev",
    )


async def test_the_web_reads_no_endless_body_and_follows_no_redirect() -> None:
    server = Server(
        httpx.Response(200, content=b"x" * (MOST + 5)), httpx.Response(307, headers={"Location": "/y"})
    )
    web = PublicWeb(transport=httpx.MockTransport(server))
    assert len((await web.get("https://a.test/"))[1]) == MOST
    assert (await web.get("https://a.test/"))[0] == 307


@pytest.mark.parametrize(
    "fault", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")]
)
async def test_no_answer_is_an_os_error(fault: Exception) -> None:
    with pytest.raises(OSError, match=r"."):
        await PublicWeb(transport=httpx.MockTransport(Server(fault))).get("https://a.test/")


async def test_an_odd_address_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r"."):
        await PublicWeb().get("http://[::1")


async def test_the_organisation_is_asked_with_every_token_as_bearer() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"organization": {"slug": "acme", "billable": False}})

    async def token() -> Secret:
        return Secret("FlyV1 fm2_one,fo1_two")

    look = FlyHttp(
        token, environ={"FLY_UIEX_BASE_URL": "http://127.0.0.1:1"}, transport=httpx.MockTransport(answer)
    )
    async with look:
        found = await look.organization("acme")
    assert found["billable"] is False
    assert str(seen[0].url) == "http://127.0.0.1:1/api/v1/organizations/acme"
    assert seen[0].headers["authorization"] == "Bearer fm2_one,fo1_two"
