"""Whole runs of the command: saved plans, events, signals, a step that fails, and going on afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import shapes
from tests.support.cli import Fly, flywizard, repository

PARALLEL = ("step_output", "step_progress", "step_waiting")


def test_a_saved_plan_is_applied_once_and_refused_when_stale(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    env = fly.answers(home)
    saved = flywizard("plan", "--no-input", "--name", "saved", "--out", "plan.json", env=env, cwd=place)
    assert saved.code == 0, saved.err
    text = (place / "plan.json").read_text()
    assert not any(v in text for k, v in env.items() if k.startswith("FLYWIZARD_SECRET_KAFKA_SASL_PASSWORD"))
    source = place / "backend" / "src" / "main.py"
    before = source.read_text()
    source.write_text(before + "\n# changed since\n")
    changes = fly.changes()
    stale = flywizard("apply", "plan.json", "--no-input", "--yes", env=env, cwd=place)
    assert stale.code == 5, stale.err
    assert "the plan is stale" in stale.err
    assert fly.changes() == changes
    assert not (place / "flywizard.toml").exists()
    source.write_text(before)

    done = flywizard("apply", "plan.json", "--no-input", "--yes", "--json", env=env, cwd=place)
    assert done.code == 0, done.err
    events = done.events()
    for event in events:
        shapes.check(event, shapes.EVENTS[event["event"]])
    assert [events[0]["event"], events[1]["event"], events[-1]["event"]] == [
        "run_started",
        "plan_ready",
        "run_ended",
    ]
    assert events[-1]["outcome"] == "done"
    assert set(events[-1]["urls"].values()) == {"https://saved-api.fly.dev", "https://saved-web.fly.dev"}
    assert len({e["run"] for e in events}) == 1
    assert not any(e["rehearsal"] for e in events)
    planned = {s["id"] for s in events[1]["steps"]}
    ended = [e["step"] for e in events if e["event"] in ("step_done", "step_skipped", "step_failed")]
    assert sorted(ended) == sorted(planned), "each step ends once"
    assert not any(c < " " or "\x7f" <= c <= "\x9f" for e in events for c in str(e.get("text", "")))
    assert str(home) not in done.out

    changes = fly.changes()
    again = flywizard("apply", "--no-input", "--yes", "--json", env=env, cwd=place)
    assert (again.code, again.events()[-1]["outcome"]) == (0, "nothing-to-do"), again.err
    assert fly.changes() == changes
    exact = flywizard("plan", "--no-input", "--exit-code", env=env, cwd=place)
    assert exact.code == 0, exact.out


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["int", "term", "hup"],
)
def test_an_interrupted_run_says_so_and_goes_on(
    number: signal.Signals, code: int, fly: Fly, home: Path, tmp_path: Path
) -> None:
    place = repository(tmp_path)
    name = f"stopped-{number.name.lower()}"
    env = fly.answers(home, FLYWIZARD_NAME=name)
    child = subprocess.Popen(
        [sys.executable, "-m", "flywizard", "apply", "--plain", "--no-input", "--yes"],
        env=env, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    said = []
    with child.stderr:
        for line in child.stderr:
            said.append(line)
            if line.startswith("▸ Database"):
                child.send_signal(number)
    assert child.wait(60) == code, "".join(said)
    text = "".join(said)
    assert "flywizard resume" in text
    assert "Traceback" not in text
    journal = [
        json.loads(line) for line in (home / "state" / name / "journal.jsonl").read_text().splitlines()
    ]
    assert journal[-1] == journal[-1] | {"kind": "end", "outcome": "interrupted"}
    if number != signal.SIGTERM:
        return  # going on is the same for all
    resumed = flywizard("resume", "--plain", "--no-input", "--yes", env=env, cwd=place)
    assert resumed.code == 0, resumed.err
    clusters = [c for c in fly.world()["names"]["clusters"] if c == f"{name}-db"]
    assert clusters == [f"{name}-db"], "the database was made twice"
    nothing = flywizard("resume", "--no-input", env=env, cwd=place)
    assert (nothing.code, "nothing to resume" in nothing.err) == (0, True)


def test_a_step_that_fails_is_named_and_can_be_gone_on_from(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    env = fly.answers(home, FLYWIZARD_NAME="failing")
    fly.world(faults=["build-fails@failing-api"])
    failed = flywizard("apply", "--no-input", "--yes", "--json", env=env, cwd=place)
    fly.world(faults=[])
    assert failed.code == 1, failed.err
    events = failed.events()
    for event in events:
        shapes.check(event, shapes.EVENTS[event["event"]])
    problem = next(e for e in events if e["event"] == "step_failed")
    assert problem["step"] == "build.failing-api"
    assert problem["problem"]["remedies"]
    assert events[-1]["outcome"] == "failed"
    for words in (
        "✗ Build failing-api",
        "  why: ",
        "  what to do:",
        "the full log is in",
        "flywizard resume",
    ):
        assert words in failed.err, words
    resumed = flywizard("resume", "--no-input", "--yes", env=env, cwd=place)
    assert resumed.code == 0, resumed.err
    assert "= Database failing-db" in resumed.err
