"""The stand-in as a process of its own, against the platform's server over loopback."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywizard.rehearsal.api import Api
from flywizard.rehearsal.clock import WorldClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.fly import install
from flywizard.rehearsal.server import Server
from flywizard.rehearsal.shim import install_shim
from flywizard.rehearsal.world import World
from tests.support.recorded_fly import RECORDINGS, TOKEN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and sh launchers are POSIX")
SPEED = 400.0


@dataclass
class Place:
    """A running platform, and the command installed beside it."""

    api: Api
    server: Server
    fly: Path
    env: dict[str, str]

    async def start(self, *argv: str, program: Path | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(program or self.fly),
            *argv,
            env=self.env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *argv: str, stdin: bytes = b"", program: Path | None = None) -> tuple[int, str, str]:
        process = await self.start(*argv, program=program)
        out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = WorldClock(SPEED)
    api = Api(World(), clock, Faults(), control="the-control-token")
    async with Server(api, clock) as server:
        fly = install(tmp_path / "bin", sys.executable)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "FLY_CONFIG_DIR": str(tmp_path / "config"),
            "FLY_API_BASE_URL": server.url,
            "FLY_FLAPS_BASE_URL": server.url,
            "FLY_UIEX_BASE_URL": server.url,
            "FLY_API_TOKEN": f"FlyV1 {TOKEN}",
            "FLY_EMIT_RELEASE_JSON": "1",
            "FLYWIZARD_REHEARSAL_SPEED": str(SPEED),
        }
        yield Place(api, server, fly, env)


async def test_both_names_are_installed_and_answer(place: Place) -> None:
    code, out, err = await place.run("version", "--json")
    assert (code, json.loads(out)["Version"], err) == (0, "0.4.87", "")
    code, out, _ = await place.run("auth", "whoami", "--json", program=place.fly.with_name("flyctl"))
    assert code == 0
    assert set(json.loads(out)) == {"email"}


async def test_no_server_is_told_in_the_real_words(place: Place) -> None:
    place.env["FLY_API_BASE_URL"] = "http://127.0.0.1:9"
    code, out, err = await place.run("auth", "whoami")
    assert (code, out) == (1, "")
    assert err.endswith(
        'Post "http://127.0.0.1:9/graphql": dial tcp 127.0.0.1:9: connect: connection refused\n'
    )


async def test_secrets_come_in_over_standard_input(place: Place) -> None:
    await place.run("apps", "create", "acme-api", "-o", "acme")
    code, out, _ = await place.run(
        "secrets", "import", "-a", "acme-api", "--stage", stdin='A=1\nB="""grün"""\n'.encode()
    )
    assert code == 0
    assert out.startswith("Secrets have been staged")
    code, out, _ = await place.run("secrets", "list", "-a", "acme-api", "--json")
    assert [(s["name"], s["status"]) for s in json.loads(out)] == [("A", "Staged"), ("B", "Staged")]


async def test_a_whole_first_deploy_over_http(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Dockerfile").write_text(
        "FROM python:3.12-slim\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    )
    (source / "requirements.txt").write_text("fastapi\n")
    config = RECORDINGS / "project" / "fly.toml"
    await place.run("apps", "create", "acme-api", "-o", "acme")
    place.env["BUILDKIT_PROGRESS"] = "rawjson"
    code, out, err = await place.run(
        "deploy", str(source), "-a", "acme-api", "-c", str(config), "--build-only", "--push", "--image-label", "src-1",
        "--remote-only", "--https-failover=false",
    )  # fmt: skip
    assert code == 0, err
    assert "image: registry.fly.io/acme-api:src-1\n" in err
    vertexes = [
        v for line in err.splitlines() if line.startswith("{") for v in json.loads(line).get("vertexes", [])
    ]
    assert {v["name"] for v in vertexes if "completed" in v} == {v["name"] for v in vertexes}
    code, out, err = await place.run(
        "deploy", "-a", "acme-api", "-c", str(config), "--image", "registry.fly.io/acme-api:src-1", "--ha=false",
        "--dns-checks=false", "--deploy-retries", "0", "--https-failover=false", "--yes",
    )  # fmt: skip
    assert code == 0, err
    released = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert released["image_ref"] == "registry.fly.io/acme-api:src-1"
    code, out, _ = await place.run("machine", "list", "--json", "-a", "acme-api")
    groups = sorted(m["config"]["metadata"]["fly_process_group"] for m in json.loads(out))
    assert groups == ["app", "worker"]


async def test_a_signal_in_a_deploy_leaves_the_lease_and_ends_the_release(place: Place) -> None:
    place.env["FLYWIZARD_REHEARSAL_SPEED"] = "1"
    await place.run("apps", "create", "acme-api", "-o", "acme")
    place.api.world.add_image("registry.fly.io/acme-api:v1", 0.0, app="acme-api")
    process = await place.start(
        "deploy", "-a", "acme-api", "-c", str(RECORDINGS / "project" / "fly.toml"), "--image",
        "registry.fly.io/acme-api:v1", "--ha=false", "--dns-checks=false", "--yes", "--smoke-checks=true",
    )  # fmt: skip
    assert process.stdout is not None
    seen = b""
    while b"was created" not in seen:
        seen += await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 127
    assert b"detected canceled context" in out
    assert b"interrupt signal received" in out
    assert b"Error:" not in err
    assert [r.status for r in place.api.world.releases.values()] == ["interrupted"]
    (machine,) = place.api.world.machines.values()
    code, out_text, _ = await place.run("machine", "leases", "view", machine.id, "-a", "acme-api", "--json")
    assert code == 0
    assert json.loads(out_text)[machine.id]["data"]["nonce"]
    code, out_text, _ = await place.run("machine", "leases", "clear", machine.id, "-a", "acme-api")
    assert (code, out_text.splitlines()[-1]) == (0, "Lease(s) cleared")


async def test_mpg_create_notices_a_signal_at_its_next_poll(place: Place) -> None:
    place.env["FLYWIZARD_REHEARSAL_SPEED"] = "4"
    process = await place.start(
        "mpg", "create", "-n", "acme-db", "-o", "acme", "-r", "ams", "--plan", "basic"
    )
    assert process.stdout is not None
    seen = b""
    while b"to be ready..." not in seen:
        seen += await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    assert process.returncode == 127
    assert err == b""
    assert b"created successfully" not in out
    assert len(place.api.world.clusters) == 1


async def test_mpg_proxy_relays_until_a_signal(place: Place) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    database = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with database:
        await place.run("mpg", "create", "-n", "acme-db", "-o", "acme", "-r", "ams", "--plan", "basic")
        (cluster,) = place.api.world.clusters
        port = database.sockets[0].getsockname()[1]
        place.api.world.databases["*"] = {"host": "127.0.0.1", "port": port, "user": "u", "password": "p"}
        process = await place.start("mpg", "proxy", cluster, "-p", "0")
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        local = int(line.split("localhost:")[1].split()[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writer.write(b"world\n")
        assert await reader.read() == b"hello world\n"
        writer.close()
        await writer.wait_closed()
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 127


async def test_a_login_is_kept_in_the_configuration_directory(place: Place) -> None:
    token = place.env.pop("FLY_API_TOKEN")
    code, _, err = await place.run("auth", "whoami")
    assert (code, err) == (1, "Error: no access token available. Please login with 'flyctl auth login'\n")
    code, _, err = await place.run("auth", "login")
    assert code == 1
    assert "requires an interactive terminal" in err
    keep_login(Path(place.env["FLY_CONFIG_DIR"]), token)
    assert (await place.run("auth", "whoami"))[0] == 0
    assert (await place.run("auth", "logout"))[0] == 0
    assert (await place.run("auth", "whoami"))[0] == 1


def keep_login(folder: Path, token: str) -> None:
    folder.mkdir(exist_ok=True)
    now = datetime.now(UTC).isoformat()
    (folder / "config.yml").write_text(f"access_token: {token}\nlast_login: {now}\n")


async def test_the_shim_leaves_everything_but_builds_and_tunnels_to_the_real_command(
    place: Place, tmp_path: Path
) -> None:
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    real.chmod(0o755)
    fly = install_shim(tmp_path / "shim", real, sys.executable)
    assert await place.run("deploy", "-a", "x", "--image", "y z", program=fly) == (
        7,
        "deploy|-a|x|--image|y z|",
        "",
    )
    assert await place.run("version", program=fly) == (7, "version|", "")
    code, _, err = await place.run("ssh", "console", "-a", "x", program=fly)
    assert code == 1
    assert "rehearsal" in err
    code, out, _ = await place.run("deploy", str(tmp_path), "--build-only", program=fly)
    assert (code, "|" in out) == (1, False)
