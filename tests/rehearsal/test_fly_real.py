"""The real flyctl and the stand-in, side by side against the same platform. Needs a real `flyctl` on the path."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flywizard.rehearsal.api import Api
from flywizard.rehearsal.clock import WorldClock
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.fly import install
from flywizard.rehearsal.server import Server
from flywizard.rehearsal.world import World
from tests.support.recorded_fly import RECORDINGS, TOKEN

REAL = shutil.which("flyctl")
CONFIG = str(RECORDINGS / "project" / "fly.toml")
pytestmark = [
    pytest.mark.flyctl,
    pytest.mark.skipif(REAL is None, reason="no real `flyctl` on the path to compare with"),
]
DEPLOY = ("deploy", "-a", "acme-api", "-c", CONFIG, "--image", "registry.fly.io/acme-api:v1", "--ha=false",
          "--dns-checks=false", "--deploy-retries", "0", "--https-failover=false", "--yes")  # fmt: skip
SCRIPT: tuple[tuple[tuple[str, ...], bytes], ...] = (
    (("auth", "whoami", "--json"), b""),
    (("orgs", "list", "--json"), b""),
    (("platform", "regions", "--json"), b""),
    (("platform", "vm-sizes", "--json"), b""),
    (("apps", "create", "acme-api", "-o", "acme"), b""),
    (("apps", "create", "acme-api", "-o", "acme"), b""),
    (("apps", "create", "acme-x", "-o", "nope"), b""),
    (("secrets", "import", "-a", "acme-api", "--stage"), b'A=1\nB="""x # y"""\n'),
    (("secrets", "list", "-a", "acme-api", "--json"), b""),
    (("mpg", "list", "-o", "acme", "--json"), b""),
    (("mpg", "create", "-n", "acme-db", "-o", "acme", "-r", "ams", "--plan", "basic"), b""),
    (("mpg", "list", "-o", "acme", "--json"), b""),
    (("config", "validate", "--strict", "-c", CONFIG, "-a", "acme-api"), b""),
    (DEPLOY, b""),
    (DEPLOY, b""),
    (("releases", "--json", "--image", "-a", "acme-api"), b""),
    (("scale", "show", "--json", "-a", "acme-api"), b""),
    (("ips", "list", "--json", "-a", "acme-api"), b""),
    (("status", "--json", "-a", "acme-nope"), b""),
    (("apps", "destroy", "acme-api", "-y"), b""),
)
LEFT = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b(rel|app|img_)[0-9a-f]{8,}\b", "ID"),
    (r"\b[0-9a-f]{14}\b", "MACHINE"),
    (r"(?<=:)[0-9a-f]{24}(?=@)", "PASSWORD"),
    (r" \(Trace ID: \w+\)", ""),
    (r"\[\d+/\d+\]", "[n]"),
    (r"https?://127\.0\.0\.1:\d+", "http://fly.test"),
)


def shape(text: str) -> list[str]:
    for pattern, shown in LEFT:
        text = re.sub(pattern, shown, text)
    return sorted(text.splitlines())


async def told(program: str, folder: Path) -> list[tuple[tuple[str, ...], int, list[str], list[str]]]:
    """Runs the script with one of the two against a fresh platform."""
    clock = WorldClock(200.0)
    api = Api(World(key="00" * 16), clock, Faults(), control="control")
    found = []
    async with Server(api, clock) as server:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "FLY_CONFIG_DIR": str(folder),
            "FLY_API_TOKEN": f"FlyV1 {TOKEN}",
            "FLY_NO_UPDATE_CHECK": "1",
            "FLY_NO_INCIDENTS_CHECK": "1",
            "FLY_SEND_METRICS": "0",
            "FLY_SYNTHETICS_AGENT": "0",
            "FLY_EMIT_RELEASE_JSON": "1",
            "NO_COLOR": "1",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            "FLYWIZARD_REHEARSAL_SPEED": "200",
        }
        for base in ("API", "FLAPS", "UIEX", "METRICS"):
            env[f"FLY_{base}_BASE_URL"] = server.url
        for argv, stdin in SCRIPT:
            if argv is DEPLOY:
                api.world.add_image("registry.fly.io/acme-api:v1", 0.0, app="acme-api")
            process = await asyncio.create_subprocess_exec(
                program, *argv, env=env, cwd=folder,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate(stdin)
            assert process.returncode is not None
            found.append((argv, process.returncode, shape(out.decode()), shape(err.decode())))
    return found


async def test_both_say_the_same(tmp_path: Path) -> None:
    assert REAL is not None
    stand_in = install(tmp_path / "bin", sys.executable)
    real = await told(REAL, tmp_path)
    ours = await told(str(stand_in), tmp_path)
    for (argv, *one), (_, *other) in zip(real, ours, strict=True):
        assert other == one, argv


def rehearse(program: str, folder: Path) -> tuple[int, str, str]:
    """Rehearse the example with a flyctl of one's own: builds and tunnels by the stand-in, all else by it."""
    done = subprocess.run(
        [sys.executable, "-m", "flywizard", "rehearse", "--flyctl", program, "--speed", "50", "--plain"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
        cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(900)
def test_a_rehearsal_with_it_ends_done_and_a_second_finds_nothing_to_do(tmp_path: Path) -> None:
    assert REAL is not None
    code, out, err = rehearse(REAL, tmp_path)
    assert code == 0, err[-3000:]
    assert "helpdesk is deployed" in out
    code, out, err = rehearse(REAL, tmp_path)
    assert code == 0, err[-3000:]
    assert "nothing to do" in out
