"""Faults met by real children: keeper, guard and stand-in flyctl over HTTP. Nothing is made twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywizard.adapters.fly import FlyRunner
from flywizard.flyctl import commands
from flywizard.flyctl.verdict import reading
from tests.support.cli import Fly, flywizard


@pytest.mark.parametrize("kind", ["502-after-commit", "lost-response"])
async def test_a_cluster_is_made_once_whatever_becomes_of_the_answer(
    fly: Fly, user: tuple[Path, dict[str, str]], tmp_path: Path, kind: str
) -> None:
    root, env = user
    fly.world(faults=[f"{kind}@mpg-create"])
    executable = Path(env["FLYCTL_INSTALL"]) / "bin" / "fly"
    runner = FlyRunner(executable, root, tmp_path / "runs", env, lambda: [], pace=0.02)
    lines: list[str] = []
    ended = await runner.run(
        commands.mpg_create("once-db", "acme", "iad", "basic", 10, 17),
        on_output=lambda stream, line: lines.append(line),
        attempt="once",
    )
    assert reading(ended).ok, ended.stderr
    assert any("flywizard-guard: POST" in line for line in lines)
    world = fly.world()
    assert world["names"]["clusters"] == ["once-db"]
    assert [r["fault"] for r in world["requests"] if r["operation"] == "mpg-create"] == [kind]


def test_a_deployment_under_faults_makes_each_thing_once(fly: Fly, user: tuple[Path, dict[str, str]]) -> None:
    root, env = user
    fly.world(
        faults=[
            "lost-response@app-create", "502-after-commit@mpg-create", "502-after-commit@machine-create",
            "lost-response@ip-assign", "503@secrets-set", "429@machine-get",
        ]
    )  # fmt: skip
    words = ("apply", "--json", "--no-input", "--yes", "-C", str(root))
    first = flywizard(*words, "--worker", "app", env=env)
    assert first.code == 0, first.err[-3000:]
    assert first.events()[-1]["outcome"] == "done"
    world = fly.world()
    assert world["faults"] == [], "some fault never struck"
    wanted = {"app": 3, "cluster": 1, "machine": 3, "volume": 0, "address": 4, "image": 2}
    assert {k: world["counts"][k] for k in wanted} == wanted
    before = fly.changes()
    second = flywizard(*words, env=env)
    assert second.code == 0, second.err[-3000:]
    assert [json.loads(line)["outcome"] for line in second.out.splitlines()[-1:]] == ["nothing-to-do"]
    assert fly.changes() == before
