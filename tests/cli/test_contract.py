"""The outside contract: exit codes, flags, JSON, plans that change nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flywizard.answers import QUESTIONS
from flywizard.lock import RunLock
from tests.support import shapes
from tests.support.cli import EXAMPLE, ROOT, Fly, base, flywizard, inside, repository

ANSWERING = ["rehearse", "plan", "apply", "resume"]
OTHER = ["doctor", "inspect"]


@pytest.mark.parametrize("command", ["", *ANSWERING])
def test_the_help_of_a_command_lists_every_answer(command: str, home: Path) -> None:
    done = inside(
        *filter(None, [command]), *(["-C", ".", "--help"] if not command else ["--help"]), env=base(home)
    )
    assert done.code == 0
    for question in QUESTIONS:
        if question.kind != "secret":
            assert re.search(rf"{re.escape(question.flag)}\b", done.out), question.flag
            assert question.variable in re.sub(r"\s+", "", done.out), question.variable
    for word in (
        "--secret",
        "FLYWIZARD_SECRET_NAME",
        "--no-input",
        "--yes",
        "--dry-run",
        "exit codes",
        "130, 143, 129",
    ):
        assert word in done.out, word


@pytest.mark.parametrize("command", OTHER)
def test_the_help_of_a_command_that_asks_nothing(command: str, home: Path) -> None:
    done = inside(command, "--help", env=base(home))
    assert done.code == 0
    assert f"usage: flywizard {command}" in done.out


def test_variables_and_flags_are_one_each() -> None:
    assert len({q.flag for q in QUESTIONS}) == len(QUESTIONS)
    assert len({q.variable for q in QUESTIONS}) == len(QUESTIONS)
    assert not any(q.variable.startswith("FLYWIZARD_SECRET_") for q in QUESTIONS if q.kind != "secret")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["plan", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["no-such-folder"], "there is no folder `no-such-folder`"),
        (["plan", "--database-storage", "7"], "a whole number from 10 to 500"),
        (["plan", "--broker", "fly"], "not offered yet"),
        (["plan", "--api-app", "Bad_Name"], "lower-case letters"),
        (["plan", "--secret", "NAME=value"], "NAME=env:VAR"),
        (["plan", "--secret", "NAME=env:NOT_SET"], "there is no variable `NOT_SET`"),
        (["plan", "--secret", "NAME=file:/does/not/exist"], "can't read"),
        (["apply", "/does/not/exist.json"], "can't read the plan"),
        (["rehearse", "--speed", "0"], "--speed takes a positive number"),
        (["rehearse", "--speed", "nan"], "--speed takes a positive number"),
        (["rehearse", "--speed", "fast"], "invalid float value"),
        (["rehearse", "--flyctl", "/does/not/exist"], "is no executable file"),
        (["rehearse", "--fault", "no-such-fault"], "unknown fault `no-such-fault`"),
        (["rehearse", "--fault", "502-before@nowhere"], "unknown place `nowhere`"),
        (["completion", "tcsh"], "bash|zsh|fish"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_says_what_is_wrong(words: list[str], text: str, home: Path, tmp_path: Path) -> None:
    done = inside(*words, env=base(home), cwd=tmp_path)
    assert done.code == 2, done.err
    assert text in done.err
    assert "Traceback" not in done.both


def test_a_value_is_never_taken_as_an_argument_and_not_repeated(home: Path, tmp_path: Path) -> None:
    done = flywizard("plan", "--secret", "OPENAI_API_KEY=sk-proj-value-9f8e7d", env=base(home), cwd=tmp_path)
    assert done.code == 2
    assert "sk-proj-value" not in done.both


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_scripts_of_their_shell(shell: str, home: Path) -> None:
    done = inside("completion", shell, env=base(home))
    assert done.code == 0
    for word in ("rehearse", "doctor", "inspect", "plan", "apply", "resume"):
        assert word in done.out
    found = shutil.which(shell)
    if found is not None:
        checked = subprocess.run([found, "-n"], input=done.out.encode(), capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_missing_answers_are_listed_all_at_once(fly: Fly, home: Path, tmp_path: Path) -> None:
    done = inside("apply", "--no-input", "--yes", env=fly.env(home), cwd=repository(tmp_path))
    assert done.code == 3
    listed = done.err.partition("answers are missing:")[2]
    for word in (
        "`--bootstrap` or `FLYWIZARD_BOOTSTRAP`",
        "`--secret KAFKA_SASL_USERNAME=env:…` or `FLYWIZARD_SECRET_KAFKA_SASL_USERNAME`",
        "`--secret KAFKA_SASL_PASSWORD=env:…` or `FLYWIZARD_SECRET_KAFKA_SASL_PASSWORD`",
        "`--secret OPENAI_API_KEY=env:…` or `FLYWIZARD_SECRET_OPENAI_API_KEY`",
        "`--keep-secrets` or `FLYWIZARD_KEEP_SECRETS`",
    ):
        assert word in listed, word
    assert not (tmp_path / "helpdesk" / "flywizard.toml").exists()


@pytest.mark.parametrize("kind", ["devnull", "closed", "pipe"])
def test_without_a_terminal_nothing_is_asked(kind: str, fly: Fly, home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flywizard", "apply"]
    if kind == "closed":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    given = {"devnull": subprocess.DEVNULL, "pipe": subprocess.PIPE, "closed": None}[kind]
    child = subprocess.Popen(
        command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=fly.env(home),
        cwd=repository(tmp_path), start_new_session=True,
    )  # fmt: skip
    try:
        # the pipe stays open: a question would wait for ever
        _, err = (child.stdout, child.stderr)
        assert err is not None
        text = err.read().decode()
        assert child.wait(60) == 3
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    assert "answers are missing:" in text
    assert "Traceback" not in text


def test_a_plan_changes_nothing(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    before = fly.changes()
    files = sorted(p for p in place.rglob("*"))
    done = flywizard("plan", "--json", "--no-input", env=fly.answers(home), cwd=place)
    assert done.code == 0, done.err
    plan = done.json()
    shapes.check(plan, shapes.PLAN)
    ids = [s["id"] for s in plan["steps"]]
    assert len(ids) == len(set(ids))
    assert all(need in ids for s in plan["steps"] for need in s["needs"])
    assert plan["monthly_usd"]["total"] == pytest.approx(
        sum(i["usd"] for i in plan["monthly_usd"]["items"]), abs=0.02
    )
    assert {f["path"] for f in plan["files"]} >= {"flywizard.toml", "backend/fly.toml"}
    assert ["fly", "mpg", "create"] in [c[:3] for s in plan["steps"] for c in s["commands"]]
    assert not any(str(tmp_path) in text for text in (done.out,))
    dry = flywizard("apply", "--dry-run", "--no-input", "--yes", "--json", env=fly.answers(home), cwd=place)
    assert (dry.code, dry.json()["digest"]) == (0, plan["digest"])
    again = flywizard("plan", "--exit-code", "--no-input", env=fly.answers(home), cwd=place)
    assert again.code == 10
    assert fly.changes() == before
    assert sorted(p for p in place.rglob("*")) == files


def test_inspect_prints_one_object(home: Path) -> None:
    done = flywizard("inspect", "--json", str(EXAMPLE), env=base(home))
    assert done.code == 0
    assert done.err == ""
    found = done.json()
    shapes.check(found, shapes.INSPECT)
    assert found["kind"] == "full-stack"
    assert all(e["line"] >= 1 for s in found["services"] for e in s["evidence"])
    assert str(ROOT) not in done.out


def test_doctor_lets_no_failure_hide_another(home: Path, tmp_path: Path) -> None:
    state = tmp_path / "open"
    state.mkdir(mode=0o755)
    env = base(home) | {
        "PATH": str(tmp_path / "nothing"), "FLY_API_BASE_URL": "http://127.0.0.1:9", "FLYWIZARD_STATE_DIR": str(state),
        "FLY_FLAPS_BASE_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    done = inside("doctor", "--json", env=env, cwd=tmp_path)
    assert done.code == 1
    shapes.check(done.json(), shapes.DOCTOR)
    failed = {c["id"]: c for c in done.json()["checks"] if c["state"] == "failed"}
    assert set(failed) == {"flyctl", "api", "state"}
    assert all(c["fix"] for c in failed.values())
    plain = inside("doctor", env=env, cwd=tmp_path)
    assert plain.code == 1
    assert plain.err.count("✗") == 3
    assert plain.err.count("hint: ") >= 3


def test_doctor_with_everything_ready(fly: Fly, home: Path, tmp_path: Path) -> None:
    done = inside("doctor", "--json", env=fly.env(home), cwd=tmp_path)
    assert done.code == 0, done.out
    shapes.check(done.json(), shapes.DOCTOR)
    assert {c["id"] for c in done.json()["checks"]} >= {
        "flyctl",
        "api",
        "clock",
        "keyring",
        "git",
        "python",
        "state",
    }


def test_another_run_is_named(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    env = fly.answers(home)
    assert inside("plan", "--no-input", env=env, cwd=place).code == 0
    before = fly.changes()
    lock = RunLock(home / "state" / "helpdesk" / "lock")
    lock.acquire("flywizard apply elsewhere")
    try:
        done = inside("apply", "--no-input", "--yes", env=env, cwd=place)
    finally:
        lock.release()
    assert done.code == 4
    assert "another run holds the lock" in done.err
    assert "flywizard apply elsewhere" in done.err
    assert str(os.getpid()) in done.err
    assert fly.changes() == before


def test_a_blocking_objection_stops_before_anything(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    (place / "backend" / "Dockerfile").write_text(
        (place / "backend" / "Dockerfile")
        .read_text()
        .replace("COPY requirements.txt .", "COPY no-such-file.txt .")
    )
    before = fly.changes()
    for command in (["apply", "--yes"], ["plan"]):
        done = inside(*command, "--no-input", env=fly.answers(home), cwd=place)
        assert done.code == 6, done.err
        assert "backend/Dockerfile:" in done.err
        assert "no-such-file.txt" in done.err
    assert fly.changes() == before


def test_a_review_that_nobody_may_confirm(fly: Fly, home: Path, tmp_path: Path) -> None:
    before = fly.changes()
    done = inside("apply", "--no-input", env=fly.answers(home), cwd=repository(tmp_path))
    assert done.code == 3
    assert "--yes" in done.err
    assert fly.changes() == before


def test_a_reader_that_goes_away_is_no_crash(home: Path) -> None:
    command = f'"{sys.executable}" -m flywizard inspect "{EXAMPLE}" | true; echo "${{PIPESTATUS[0]}}"'
    ended = subprocess.run(
        ["bash", "-c", command], env=base(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.strip() in ("0", "1")
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize(
    "words", [["inspect"], ["plan", "--no-input"], ["doctor"], ["--help"]], ids=lambda w: w[0]
)
def test_output_that_takes_no_unicode(words: list[str], fly: Fly, home: Path, tmp_path: Path) -> None:
    env = fly.answers(home, PYTHONIOENCODING="ascii", LANG="C")
    done = flywizard(*words, env=env, cwd=repository(tmp_path))
    assert done.code == 0, done.err
    assert "Traceback" not in done.both
    assert done.both.isascii()
    assert len(done.both) > 200


def test_strongest_source_wins(fly: Fly, home: Path, tmp_path: Path) -> None:
    place = repository(tmp_path)
    said = (ROOT / "tests" / "cli" / "flywizard.toml").read_text()
    (place / "flywizard.toml").write_text(said)

    def plan_of(*words: str, **env: str) -> str:
        done = inside("plan", "--json", "--no-input", *words, env=fly.answers(home, **env), cwd=place)
        assert done.code == 0, done.err
        commands = [c for s in json.loads(done.out)["steps"] for c in s["commands"]]
        create = next(c for c in commands if c[1:3] == ["mpg", "create"])
        return str(create[create.index("--plan") + 1])

    assert plan_of() == "launch"
    assert plan_of(FLYWIZARD_DATABASE_PLAN="scale") == "scale"
    assert plan_of("--database-plan", "starter", FLYWIZARD_DATABASE_PLAN="scale") == "starter"
