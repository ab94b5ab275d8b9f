"""What a simulated build makes of Dockerfiles, and how it tells it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from flywizard.rehearsal import fly_dockerfile as dockerfile
from tests.support.recorded_builds import build_spare, prepare_project
from tests.support.recorded_fly import Played, play, recording


def names(text: str, target: str = "") -> list[str]:
    return [s.name for s in dockerfile.steps(dockerfile.parse(text), target, lambda _: "sha256:0")]


def test_steps_are_numbered_within_their_stage_and_alike_beginnings_are_shared() -> None:
    text = (
        "# syntax=docker/dockerfile:1\nARG TAG=22\nFROM node:${TAG} AS deps\nWORKDIR /app\nRUN npm \\\n  # why\n  ci\n"
        "FROM node:22 AS unused\nRUN false\nFROM node:22\nWORKDIR /app\nENV A=1\nCOPY --from=deps /app .\n"
    )
    assert names(text) == [
        "[deps 1/3] FROM docker.io/library/node:22@sha256:0",
        "[deps 2/3] WORKDIR /app",
        "[deps 3/3] RUN npm   ci",
        "[stage-2 3/3] COPY --from=deps /app .",
    ]
    assert names(text, "unused")[-1] == "[unused 2/2] RUN false"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "FROM a\n\nRUNN b\n",
            "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        ),
        ("RUN a\n", "dockerfile parse error on line 1: no build stage in current context"),
        ("FROM a\nRUN\n", "dockerfile parse error on line 2: RUN requires at least one argument"),
        ("# nothing\n", "file with no instructions"),
    ],
)
def test_mistakes_are_told_as_buildkit_does(text: str, error: str) -> None:
    with pytest.raises(dockerfile.Broken) as caught:
        dockerfile.parse(text)
    assert str(caught.value) == error


def test_an_unknown_target() -> None:
    with pytest.raises(dockerfile.Broken, match='target stage "prod" could not be found'):
        names("FROM a AS b\n", "prod")


@pytest.mark.parametrize(
    ("copy", "missing"),
    [
        ("COPY app ./app", ""),
        ("COPY ./app/main.py nothere /x/", "/nothere"),
        ("COPY *.lock package.json* ./", ""),
        ("COPY --chown=1:1 secret.env .", "/secret.env"),
        ('COPY ["app", "/x"]', ""),
        ("ADD https://example.com/x /x", ""),
        ("COPY . .", ""),
    ],
)
def test_copy_is_checked_against_the_context_less_what_is_ignored(
    copy: str, missing: str, tmp_path: Path
) -> None:
    from flywizard.rehearsal.fly_build import Context

    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("")
    (tmp_path / "secret.env").write_text("")
    (tmp_path / ".dockerignore").write_text("*.env\n")
    context = Context.read(tmp_path, str(tmp_path / "Dockerfile"))
    (*_, step) = dockerfile.steps(dockerfile.parse(f"FROM a\n{copy}\n"), "", lambda _: "sha256:0")
    assert dockerfile.missing_source(step, context.has) == missing


def played(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any
) -> tuple[dict[str, Any], Played]:
    found = recording(name) | changed
    monkeypatch.chdir(tmp_path)
    prepare_project(tmp_path / "PROJECT")
    return found, play(found, tmp_path, spare=build_spare(found))


def test_raw_progress_is_one_object_a_line_and_fails_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = recording("build_depot_run_fails")
    found, got = played(
        "build_depot_rawjson_run_fails", tmp_path, monkeypatch, stderr=plain["stderr"], signal=None
    )
    want = [text for _, stream, text in found["lines"] if stream == "E"]
    lines = got.stderr.splitlines()
    assert [line for line in lines if not line.startswith("{")] == [t for t in want if not t.startswith("{")]

    def told(texts: list[str]) -> tuple[set[str], set[str], str]:
        objects = [json.loads(t) for t in texts if t.startswith("{")]
        vertexes = [v for o in objects for v in o.get("vertexes", [])]
        logs = b"".join(base64.b64decode(g["data"]) for o in objects for g in o.get("logs", []))
        errors = {v["error"] for v in vertexes if "error" in v}
        return {v["name"].partition("@")[0] for v in vertexes}, errors, logs.decode()

    assert told(lines) == told(want)


@pytest.mark.parametrize("name", ["build_depot_sigint", "build_depot_sigint_failover"])
def test_a_signal_in_a_build(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, got = played(name, tmp_path, monkeypatch)
    assert got.code == found["exit_code"]
    assert got.stdout == found["stdout"]
    tail = found["stderr"].partition("CANCELED\n")[2]
    stamped = got.stderr.partition("CANCELED\n")[2]
    assert stamped[19:] == tail[19:]
