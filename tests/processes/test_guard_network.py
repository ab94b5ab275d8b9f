"""Tests of the guard's way to Fly: TLS, proxies, loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from flywizard.adapters.fly import FlyRunner
from flywizard.guard import Guard
from flywizard.plan import Command
from tests.support import fake_flyctl
from tests.support.certificates import Authority, make_authority
from tests.support.upstream import Time, Upstream

TOKEN = "fm2_marked_token_of_mine"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def secured(authority: Authority, label: str) -> AsyncIterator[tuple[Upstream, str]]:
    upstream = Upstream()
    base = await upstream.start(authority.context(label))
    try:
        yield upstream, base
    finally:
        await upstream.close()


@asynccontextmanager
async def guarding(base: str) -> AsyncIterator[tuple[httpx.AsyncClient, Guard, Time]]:
    time = Time()
    environment = dict.fromkeys(("FLY_FLAPS_BASE_URL", "FLY_API_BASE_URL", "FLY_UIEX_BASE_URL"), base)
    guard = Guard(environment, sleep=time.sleep, monotonic=time.monotonic)
    port = await guard.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as flyctl:
            yield flyctl, guard, time
    finally:
        await guard.close()


@pytest.mark.parametrize("label", ["good", "wronghost", "expired", "selfsigned"])
async def test_a_certificate_that_is_not_trusted_ends_the_command_at_once(
    authority: Authority, label: str
) -> None:
    async with secured(authority, label) as (upstream, base), guarding(base) as (flyctl, guard, time):
        for answer in (
            await flyctl.get("/v1/apps/a"),
            await flyctl.post("/v1/apps/a/machines/1/exec", json={}),
        ):
            assert answer.status_code == 500
            assert "certificate" in answer.json()["error"]
        answer = await flyctl.post("/graphql", json={"query": "{ viewer { email } }"})
        assert "certificate" in answer.json()["errors"][0]["message"]
        assert time.slept == []
        assert guard.doubts == []
        assert upstream.seen == []


async def test_an_authority_named_in_the_childs_environment_is_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    async with secured(authority, "good") as (upstream, base):
        environment = {
            "SSL_CERT_FILE": str(authority.folder / "ca.pem"),
            "FLY_FLAPS_BASE_URL": base,
            "FLY_API_TOKEN": TOKEN,
        }
        fly = FlyRunner(fake_flyctl.install(tmp_path), tmp_path, tmp_path / "runs", environment, list)
        command = Command(("fly", "request=POST,/v1/apps/a/volumes"), changes=True, guarded=True)
        ended = await fly.run(command, attempt="a1")
        assert ended.stdout.startswith("200 ")
        assert upstream.count("POST", "/v1/apps/a/volumes") == 1


async def test_a_wrong_host_is_refused_also_below_a_trusted_authority(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.folder / "ca.pem"))
    async with secured(authority, "wronghost") as (upstream, base), guarding(base) as (flyctl, _, _):
        assert "certificate" in (await flyctl.get("/v1/apps/a")).json()["error"]
        assert upstream.seen == []


async def test_a_proxy_is_used_as_flyctl_would(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{upstream.port}")
    async with guarding("http://fly.invalid") as (flyctl, _, _):
        await flyctl.get("/v1/apps/a")
    assert upstream.seen[-1].target == "http://fly.invalid/v1/apps/a"


async def test_loopback_is_reached_without_the_proxy(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    async with guarding(f"http://127.0.0.1:{upstream.port}") as (flyctl, _, _):
        assert (await flyctl.get("/v1/apps/a/x")).status_code == 200
