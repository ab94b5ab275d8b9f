"""The stand-in against the platform in process: a first deployment, a second one, and the traps of the real command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from flywizard.rehearsal.fly import main
from flywizard.rehearsal.fly_http import DirectTransport
from tests.support.recorded_fly import RECORDINGS
from tests.support.simulated import Simulated

CONFIG = str(RECORDINGS / "project" / "fly.toml")
STANDARD = ("--ha=false", "--dns-checks=false", "--deploy-retries", "0", "--https-failover=false", "--yes")


@dataclass
class Runner:
    """Runs command lines against one simulated platform."""

    fly: Simulated
    env: Mapping[str, str]

    async def run(self, *argv: str, stdin: bytes = b"") -> tuple[int, str, str]:
        out: list[str] = []
        err: list[str] = []
        transport = DirectTransport(self.fly.api, clock=self.fly.clock)
        code = await main(argv, self.env, stdin, out.append, err.append, transport)
        return code, "".join(out), "".join(err)

    async def good(self, *argv: str, stdin: bytes = b"") -> str:
        code, out, err = await self.run(*argv, stdin=stdin)
        assert code == 0, (argv, out, err)
        return out

    async def image(self, app: str, tag: str = "v1") -> str:
        ref = f"registry.fly.io/{app}:{tag}"
        self.fly.world.add_image(ref, self.fly.clock.now(), app=app)
        return ref


@pytest.fixture
def runner(fly: Simulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    env = {
        "FLY_CONFIG_DIR": str(tmp_path / "config"),
        "FLY_API_TOKEN": fly.authorization,
        "FLY_EMIT_RELEASE_JSON": "1",
    }
    return Runner(fly, env)


async def first(runner: Runner, app: str = "acme-api") -> tuple[int, str, str]:
    await runner.good("apps", "create", app, "-o", "acme")
    return await runner.run("deploy", "-a", app, "-c", CONFIG, "--image", await runner.image(app), *STANDARD)


async def test_a_first_deployment_and_a_second(runner: Runner, tmp_path: Path) -> None:
    source = tmp_path / "api"
    (source / "app").mkdir(parents=True)
    (source / "app" / "main.py").write_text("")
    (source / "requirements.txt").write_text("fastapi\n")
    (source / "Dockerfile").write_bytes((RECORDINGS / "project" / "api.Dockerfile").read_bytes())
    await runner.good("apps", "create", "acme-api", "-o", "acme")
    await runner.good("mpg", "create", "-n", "acme-db", "-o", "acme", "-r", "ams", "--plan", "basic")
    cluster = json.loads(await runner.good("mpg", "list", "-o", "acme", "--json"))[0]["id"]
    await runner.good("mpg", "databases", "extensions", "enable", "vector", "-c", cluster, "-d", "fly-db")
    attached = await runner.good("mpg", "attach", cluster, "-a", "acme-api", "-d", "fly-db", "-u", "fly-user")
    assert "DATABASE_URL=postgresql://fly-user:" in attached
    await runner.good("secrets", "import", "-a", "acme-api", "--stage", stdin=b'API_KEY="""k"""\n')
    build = (
        "deploy",
        str(source),
        "-a",
        "acme-api",
        "-c",
        CONFIG,
        "--build-only",
        "--push",
        "--image-label",
        "src-1",
    )
    await runner.good(*build, "--remote-only", "--https-failover=false")
    ref = "registry.fly.io/acme-api:src-1"
    out = await runner.good("deploy", "-a", "acme-api", "-c", CONFIG, "--image", ref, *STANDARD)
    assert '"version":1' in out
    listed = json.loads(await runner.good("secrets", "list", "-a", "acme-api", "--json"))
    assert {s["name"]: s["status"] for s in listed} == {"API_KEY": "Deployed", "DATABASE_URL": "Deployed"}
    shown = json.loads(await runner.good("scale", "show", "--json", "-a", "acme-api"))
    assert [(s["Process"], s["Count"]) for s in shown] == [("app", 1), ("worker", 1)]
    assert {a["Type"] for a in json.loads(await runner.good("ips", "list", "--json", "-a", "acme-api"))} == {
        "v6",
        "shared_v4",
    }
    before = [m.id for m in runner.fly.world.machines.values()]
    out = await runner.good("deploy", "-a", "acme-api", "-c", CONFIG, "--image", ref, *STANDARD)
    assert "Updating existing machines" in out
    assert [m.id for m in runner.fly.world.machines.values()] == before
    releases = json.loads(await runner.good("releases", "--json", "--image", "-a", "acme-api"))
    assert [(r["Version"], r["Status"]) for r in releases] == [(2, "complete"), (1, "complete")]


async def test_a_502_after_the_commit_makes_two_clusters_and_says_nothing(runner: Runner) -> None:
    runner.fly.faults.add("502-after-commit@mpg-create")
    await runner.good("mpg", "create", "-n", "acme-db", "-o", "acme", "-r", "ams", "--plan", "basic")
    assert len(json.loads(await runner.good("mpg", "list", "-o", "acme", "--json"))) == 2


async def test_a_502_after_the_commit_calls_our_own_app_taken(runner: Runner) -> None:
    runner.fly.faults.add("502-after-commit@app-create")
    code, _, err = await runner.run("apps", "create", "acme-api", "-o", "acme")
    assert (code, err.splitlines()[0]) == (
        1,
        "Error: Name has already been taken (Request ID: 01SIMREQUEST-ams)",
    )
    assert "acme-api" in runner.fly.world.apps


async def test_one_group_of_two_that_crashes_ends_with_127_and_no_error_line(runner: Runner) -> None:
    assert (await first(runner))[0] == 0
    runner.fly.faults.add("crash-loop@worker")
    runner.fly.faults.add("never-healthy@app")
    ref = await runner.image("acme-api", "v2")
    code, out, err = await runner.run("deploy", "-a", "acme-api", "-c", CONFIG, "--image", ref, *STANDARD)
    assert code == 127
    assert "Error:" not in err
    assert "update failed: smoke checks for" in out
    assert "update canceled while it was in progress" in out
    releases = json.loads(await runner.good("releases", "--json", "-a", "acme-api"))
    assert releases[0]["Status"] == "interrupted"


async def test_a_first_deploy_that_crashes_shows_the_last_log_lines(runner: Runner) -> None:
    runner.fly.faults.add("crash-loop@app")
    code, out, err = await first(runner)
    assert code == 1
    assert "✖ [1/2] Failed: smoke checks for" in out
    assert "the app appears to be crashing\nCheck its logs" in err


async def test_a_machine_that_never_gets_healthy(runner: Runner) -> None:
    runner.fly.faults.add("never-healthy@app")
    code, _, err = await first(runner)
    assert code == 1
    assert "Error: timeout reached waiting for health checks to pass for machine" in err


async def test_a_failed_address_is_no_failure(runner: Runner) -> None:
    runner.fly.faults.add("500@ip-assign")
    code, _, err = await first(runner)
    assert code == 0
    assert "Failed to provision IP addresses." in err


async def test_a_release_command_that_fails(runner: Runner) -> None:
    runner.fly.faults.add("release-command-fails")
    config = str(RECORDINGS / "project" / "release.toml")
    await runner.good("apps", "create", "acme-api", "-o", "acme")
    ref = await runner.image("acme-api")
    code, _, err = await runner.run("deploy", "-a", "acme-api", "-c", config, "--image", ref, *STANDARD)
    assert code == 1
    assert "Error: release command failed - aborting deployment. machine" in err


async def test_a_build_that_fails_says_why_before_the_error(runner: Runner, tmp_path: Path) -> None:
    runner.fly.faults.add("build-fails@acme-api")
    await runner.good("apps", "create", "acme-api", "-o", "acme")
    (tmp_path / "Dockerfile").write_text("FROM python:3.12-slim\nRUN pip install .\n")
    code, _, err = await runner.run(
        "deploy", str(tmp_path), "-a", "acme-api", "-c", CONFIG, "--build-only", "--https-failover=false"
    )
    assert code == 1
    reason = err.partition("------\n > [2/2] RUN pip install .:\n")[2].partition("------\n")[0]
    assert "ERROR: No matching distribution found" in reason
    assert err.endswith('process "/bin/sh -c pip install ." did not complete successfully: exit code: 1\n')


async def test_no_lists_are_not_json(runner: Runner) -> None:
    assert (
        await runner.good("mpg", "list", "-o", "acme", "--json")
        == "No managed postgres clusters found in organization acme\n"
    )


async def test_what_does_not_exist_fails_as_in_flyctl(runner: Runner) -> None:
    assert await runner.run("frobnicate") == (
        1,
        "Run 'flyctl --help' for usage.\n",
        'Error: unknown command "frobnicate" for "flyctl"\n',
    )
    assert await runner.run("deploy", "--json") == (1, "", "Error: unknown flag: --json\n")
    code, _, err = await runner.run("apps", "create", "x", "-o")
    assert (code, err) == (1, "Error: flag needs an argument: 'o' in -o\n")
