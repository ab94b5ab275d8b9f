"""A real wizard killed with SIGKILL in the middle of each creating and releasing step, and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Fly, flywizard

TARGETS = (
    "app.helpdesk-api", "database", "build.helpdesk-web", "secrets.helpdesk-api",
    "release.helpdesk-api", "release.helpdesk-web",
)  # fmt: skip
LIMIT = 60.0


def records(state: Path) -> list[dict[str, Any]]:
    """Return the whole records of the journal so far."""
    found = list(state.rglob("journal.jsonl"))
    lines = found[0].read_text().splitlines(keepends=True) if found else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def until(condition: Callable[[], bool], child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a condition while the wizard lives."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert child.poll() is None, f"it ended with {child.returncode}:\n{log.read_text()[-3000:]}"
        assert time.monotonic() < end, f"it never came to that:\n{log.read_text()[-3000:]}"
        try:
            child.wait(0.01)
        except subprocess.TimeoutExpired:
            continue


def wizard(*words: str, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, as a terminal does."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "flywizard", *words, "--plain", "--no-input"],
            env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip


def in_doubt(journal: list[dict[str, Any]], step: str) -> bool:
    """Tell whether a step's child has begun and its end is not written."""
    kinds = [r["kind"] for r in journal if r.get("step") == step]
    return bool(kinds) and kinds[-1] == "started"


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL on Windows")
def test_killed_in_the_middle_of_every_creating_and_releasing_step(
    fly: Fly, user: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, env = user
    state = Path(env["FLYWIZARD_STATE_DIR"])
    struck: dict[str, int] = {}
    for life, target in enumerate(TARGETS):
        if target in struck:
            continue
        log = tmp_path / f"life-{life}.txt"
        words = ("resume",) if struck else ("apply", "--yes")
        child = wizard(*words, "-C", str(root), env=env, log=log)
        until(lambda target=target: in_doubt(records(state), target), child, log)  # type: ignore[misc]
        child.kill()
        child.wait()
        journal = records(state)
        struck |= dict.fromkeys((t for t in TARGETS if in_doubt(journal, t)), life)
        if target == TARGETS[-1]:  # its keeper and flyctl too, as a power cut does
            born = next(r for r in reversed(journal) if r["kind"] == "started" and r["step"] == target)
            for pid in (born["keeper_pid"], born["pid"]):
                try:
                    os.killpg(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
    assert set(struck) == set(TARGETS)

    last = flywizard("resume", "--plain", "--no-input", "-C", str(root), env=env)
    assert last.code == 0, last.err[-3000:]
    world = fly.world()
    wanted = {"app": 2, "cluster": 1, "machine": 3, "volume": 0, "address": 4, "image": 2}
    assert {k: world["counts"][k] for k in wanted} == wanted
    made = [
        c for c in world["changes"]
        if c == "POST /v1/apps" or (c.endswith(("/machines", "/postgresv2")) and c.startswith("POST "))
    ]  # fmt: skip
    assert sorted(made) == [
        "POST /api/v1/organizations/acme/postgresv2",
        "POST /v1/apps",
        "POST /v1/apps",
        "POST /v1/apps/helpdesk-api/machines",
        "POST /v1/apps/helpdesk-api/machines",
        "POST /v1/apps/helpdesk-web/machines",
    ]
    before = fly.changes()
    again = flywizard("apply", "--plain", "--no-input", "--yes", "-C", str(root), env=env)
    assert again.code == 0, again.err[-3000:]
    assert "nothing to do" in again.both
    assert fly.changes() == before
