"""The server on real sockets: keep-alive, broken answers, its process, its state on disk."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flywizard.rehearsal.api import Api
from flywizard.rehearsal.clock import WorldClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.server import Server, main, serve
from flywizard.rehearsal.state import SERVER, WORLD, StateFolder
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_tokens import new_token

HEADERS = {"authorization": "FlyV1 " + new_token()}
APP = {"name": "acme-api", "org_slug": "acme"}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    clock = WorldClock(speed=1000)
    async with Server(Api(World(), clock, Faults(), control="control"), clock) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=HEADERS, trust_env=False, timeout=20) as found:
        yield found


async def test_requests_over_one_connection(server: Server, client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/apps?wait=true", json=APP)
    assert made.status_code == 201
    assert made.headers["fly-request-id"]
    assert made.headers["date"].endswith("GMT")
    found = await client.get("/v1/apps", params={"org_slug": "acme"})
    assert found.json()["total_apps"] == 1
    assert (await client.get("/v1/apps", params={"org_slug": "nope"})).status_code == 404
    assert len(server._open) == 1


async def test_chunked_bodies_and_waiting_for_a_hundred(server: Server, client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"name": "acme-api", '
        yield b'"org_slug": "acme"}'

    made = await client.post("/v1/apps", content=pieces(), headers={"expect": "100-continue"})
    assert made.status_code == 201


async def test_an_answer_comes_in_one_piece(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    request = (
        f"GET /v1/platform/regions HTTP/1.1\r\nHost: x\r\nAuthorization: {HEADERS['authorization']}\r\n\r\n"
    )
    writer.write(request.encode())
    first = await reader.read(1 << 20)
    head, _, body = first.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split()[1]
    )
    assert len(body) == length
    writer.close()
    await writer.wait_closed()


async def test_a_lost_response_is_committed(server: Server, client: httpx.AsyncClient) -> None:
    server.api.faults.add("lost-response@app-create")
    with pytest.raises(httpx.TransportError):
        await client.post("/v1/apps", json=APP)
    assert server.api.world.count("app") == 1
    assert (await client.get("/v1/apps/acme-api")).status_code == 200


async def test_a_reset_before_is_not(server: Server, client: httpx.AsyncClient) -> None:
    server.api.faults.add("reset-before@app-create")
    with pytest.raises(httpx.TransportError):
        await client.post("/v1/apps", json=APP)
    assert server.api.world.count("app") == 0


async def test_truncated_and_slow_bodies(server: Server, client: httpx.AsyncClient) -> None:
    server.api.faults.add("truncated@regions")
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/v1/platform/regions")
    server.api.faults.add("slow-body@regions")
    assert (await client.get("/v1/platform/regions")).json()["Nearest"] == "ams"


async def test_a_hang_ends_with_the_client(server: Server, client: httpx.AsyncClient) -> None:
    server.api.faults.add("hang@regions")
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/v1/platform/regions", timeout=0.2)
    assert (await client.get("/v1/platform/regions")).status_code == 200


async def test_rubbish_is_survived(server: Server, client: httpx.AsyncClient) -> None:
    for rubbish in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(rubbish)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert (await client.get("/v1/platform/regions")).status_code == 200


async def test_the_control_token_is_asked_for(client: httpx.AsyncClient) -> None:
    assert (await client.get("/_world")).status_code == 403
    assert (await client.get("/_world", headers={"x-rehearsal-token": "nope"})).status_code == 403
    control = {"x-rehearsal-token": "control"}
    await client.post("/v1/apps", json=APP)
    found = (await client.get("/_world", headers=control)).json()
    assert found["counts"]["app"] == 1
    assert found["changes"] == ["POST /v1/apps"]
    wrong = await client.post("/_world", headers=control, json={"faults": ["nope"]})
    assert wrong.status_code == 422
    right = await client.post("/_world", headers=control, json={"faults": ["500@app-get"]})
    assert right.json()["faults"] == ["500@app-get*1"]
    assert (await client.get("/v1/apps/acme-api")).status_code == 500
    cleared = await client.post("/_world", headers=control, json={"reset": True})
    assert cleared.json()["counts"]["app"] == 0
    assert (await client.get("/_builder/images")).status_code == 200
    assert (await client.get("/_builder/images", headers={"authorization": "Bearer"})).status_code == 403


async def test_the_edge_has_a_port_of_its_own(server: Server, client: httpx.AsyncClient) -> None:
    await client.post("/v1/apps", json=APP)
    await client.post("/_builder/images", json={"ref": "registry.fly.io/acme-api:v1"})
    await client.post("/v1/apps/acme-api/ip_assignments", json={"type": "shared_v4"})
    service = {"internal_port": 8000, "checks": [{"type": "http", "path": "/health"}]}
    config = {
        "image": "registry.fly.io/acme-api:v1",
        "init": {"cmd": ["uvicorn", "m:a"]},
        "services": [service],
    }
    machine = (await client.post("/v1/apps/acme-api/machines", json={"config": config})).json()
    await client.get(f"/v1/apps/acme-api/machines/{machine['id']}/wait", params={"state": "started"})
    async with asyncio.timeout(30):
        while (await client.get(f"{server.edge_url}/acme-api/health")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0)
    named = await client.get(f"{server.edge_url}/health", headers={"host": "acme-api.fly.dev"})
    assert named.json() == {"status": "ok"}


def _run(folder: Path, *extra: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "flywizard.rehearsal.server",
        "--state",
        str(folder),
        "--speed",
        "100",
        *extra,
    ]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


async def _ready(folder: Path, child: subprocess.Popen[bytes]) -> dict[str, Any]:
    while True:
        found = StateFolder(folder).read_server()
        if found is not None and found["pid"] == child.pid:
            return found
        assert child.poll() is None
        await asyncio.sleep(0.01)


async def _ended(child: subprocess.Popen[bytes]) -> int:
    await asyncio.to_thread(child.wait, 30)
    assert child.stderr is not None
    child.stderr.close()
    return int(child.returncode)


def _kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()


def _terminate(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [_kill, _terminate])
async def test_the_world_outlives_its_process(
    tmp_path: Path, end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    child = _run(tmp_path, "--fault", "no-card", "--fault", "name-taken@acme-web")
    try:
        place = await _ready(tmp_path, child)
        assert stat.S_IMODE((tmp_path / SERVER).stat().st_mode) == 0o600
        async with httpx.AsyncClient(base_url=place["url"], headers=HEADERS, trust_env=False) as client:
            control = {"x-rehearsal-token": place["control"]}
            await client.post("/_world", headers=control, json={"faults": ["name-taken@acme-web"]})
            assert (await client.post("/v1/apps", json=APP)).status_code == 201
    finally:
        end(child)
        code = await _ended(child)
    assert code == (0 if end is _terminate else -9)
    assert (tmp_path / SERVER).exists() == (end is _kill)
    assert stat.S_IMODE((tmp_path / WORLD).stat().st_mode) == 0o600
    loaded = StateFolder(tmp_path).load()
    assert loaded is not None
    world, faults = loaded
    assert world.count("app", "acme-api") == 1
    assert faults.texts() == ["name-taken@acme-web*always"]

    child = _run(tmp_path)
    try:
        place = await _ready(tmp_path, child)
        async with httpx.AsyncClient(base_url=place["url"], headers=HEADERS, trust_env=False) as client:
            assert (await client.get("/v1/apps/acme-api")).status_code == 200
            control = {"x-rehearsal-token": place["control"]}
            await client.post("/_world", headers=control, json={"shutdown": True})
        assert await _ended(child) == 0
    finally:
        child.kill()
    assert not (tmp_path / SERVER).exists()


async def test_silence_ends_it(tmp_path: Path) -> None:
    await serve(StateFolder(tmp_path), speed=1, idle=0.01)
    assert not (tmp_path / SERVER).exists()
    assert json.loads((tmp_path / WORLD).read_text())["world"]["format"] == 1


async def test_one_process_a_world(tmp_path: Path) -> None:
    child = _run(tmp_path)
    try:
        await _ready(tmp_path, child)
        with pytest.raises(ValueError, match="served already by"):
            await serve(StateFolder(tmp_path), speed=1, idle=0.01)
    finally:
        child.terminate()
        await _ended(child)


def test_wrong_switches_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state", str(tmp_path), "--fault", "nope"]) == 2
    assert "unknown fault `nope`" in capsys.readouterr().err
    assert main(["--state", str(tmp_path), "--speed", "0"]) == 2


def test_a_damaged_world_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / WORLD).write_text("{")
    assert main(["--state", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
