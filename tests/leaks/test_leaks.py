"""Twenty marked secrets flow through whole runs; none is found where it does not belong, in any spelling."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import marked
from tests.support.cli import ROOT, Fly, base, repository
from tests.support.terminal import Terminal

LIMIT = 100.0


def variant(folder: Path) -> Path:
    """Return the example whose API reads twenty secrets."""
    more = "".join(
        f"    {n.lower()}: str\n"
        for n in marked.ALL
        if n not in ("OPENAI_API_KEY", "WEBHOOK_SECRET_KEY") and not n.startswith("KAFKA")
    )
    return repository(
        folder, ("backend/src/config.py", "    openai_api_key: str\n", f"    openai_api_key: str\n{more}")
    )


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    lines = []
    for name in marked.IN_FILE:
        value = values[name].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'{name}="{value}"')
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)


def noting(folder: Path, fly: Fly, values: Mapping[str, str]) -> Path:
    """Put the noting `fly` before the stand-in; return its folder."""
    place = folder / "noting" / "bin"
    place.mkdir(parents=True)
    target = Path(fly.started.environ["PATH"].split(os.pathsep)[0]) / "flyctl"
    shutil.copy(ROOT / "tests" / "support" / "noting_fly.py", place / "noting_fly.py")
    (place / "target").write_text(str(target))
    (place / "values.json").write_text(json.dumps(values))
    for name in ("fly", "flyctl"):
        (place / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{place}/noting_fly.py" "$@"\n')
        (place / name).chmod(0o755)
    return place


def echo(fly: Fly, values: Mapping[str, str]) -> None:
    """Let the application's log repeat every value, plain and encoded."""
    lines = [
        {"app": "helpdesk-api", "message": f"{name} is {text}; go on"}
        for name, value in values.items()
        for text in marked.utterances(value)
    ]
    fly.world(say=lines)


class Setting:
    """One run's folders, values and environment."""

    def __init__(self, tmp_path: Path, fly: Fly) -> None:
        self.home = tmp_path / "home"
        self.home.mkdir()
        self.values = marked.marked()
        self.repository = variant(tmp_path)
        write_env_file(self.repository / ".env", self.values)
        self.bin = noting(tmp_path, fly, self.values)
        given = {f"FLYWIZARD_SECRET_{n}": self.values[n] for n in marked.BY_VARIABLE}
        given |= {f"GIVEN_{n}": self.values[n] for n in marked.BY_FLAG}
        self.env = fly.answers(self.home, FLYWIZARD_KEEP_SECRETS="memory") | given
        self.env["PATH"] = f"{self.bin}{os.pathsep}{self.env['PATH']}"
        self.env["FLYCTL_INSTALL"] = str(self.bin.parent)
        self.words = []
        for name in marked.BY_FLAG:
            self.words += ["--secret", f"{name}=env:GIVEN_{name}"]
        for name in marked.BY_PATH:
            file = tmp_path / f"{name}.txt"
            file.write_text(self.values[name])
            self.words += ["--secret", f"{name}=file:{file}"]
        self.words += ["--use-env-files", "true"]

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.bin / "notes.jsonl").read_text().splitlines()]

    def assert_children_were_told_nothing(self, token: str) -> None:
        notes = self.notes()
        assert len(notes) > 10
        for note in notes:
            argv = "\0".join(note["argv"]).encode()
            assert marked.found_in(argv, self.values) == []
            assert token not in "\0".join(note["argv"])
            environ = json.dumps(note["environ"]).encode()
            assert marked.found_in(environ, self.values) == []
            assert not [n for n in note["environ"] if n.startswith(("FLYWIZARD_SECRET_", "GIVEN_"))]

    def assert_disk_is_clean(self, values: Mapping[str, str]) -> None:
        assert marked.search([self.home], values) == []
        assert marked.search([self.repository], values, [self.repository / ".env"]) == []


def cluster_password(fly: Fly) -> str:
    """Return the password that Fly made for the cluster, as its own API tells it."""
    import http.client

    headers = {"Authorization": fly.started.environ["FLY_API_TOKEN"]}
    connection = http.client.HTTPConnection("127.0.0.1", int(fly.started.server["port"]), timeout=10)
    try:
        connection.request("GET", "/api/v1/organizations/acme/postgres", headers=headers)
        found = json.loads(connection.getresponse().read())
        cluster = found["data"][0]["id"]
        connection.request("GET", f"/api/v1/postgresv2/{cluster}", headers=headers)
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    match = re.search(r"://[^:/@]+:([^@]+)@", text)
    assert match is not None, text
    return match[1]


def test_a_run_with_lines_typed_on_a_terminal(fly: Fly, tmp_path: Path) -> None:
    """Typed, from .env, by flag, file and variable; echoed by the build and by the application's log."""
    fly.world(reset=True)
    here = Setting(tmp_path, fly)
    echo(fly, here.values)
    token = here.env["FLY_API_TOKEN"]
    prompt = re.compile(rb"(?:^|\n|\r) *([^\r\n]*?): $")
    asked: list[str] = []
    with (
        marked.Watch(here.home, here.values) as watch,
        Terminal(
            "flywizard", "apply", "--plain", "-C", str(here.repository), *here.words, env=here.env
        ) as terminal,
    ):
        at, end = 0, time.monotonic() + LIMIT
        while terminal.child.poll() is None:
            assert time.monotonic() < end, bytes(terminal.raw[-2000:]).decode("utf-8", "replace")
            terminal.read(0.1)
            found = prompt.search(bytes(terminal.raw[at:]))
            if found is None:
                continue
            question = found[1].decode("utf-8", "replace").strip()
            asked.append(question)
            at = len(terminal.raw)
            name = question.split(" ")[0]
            if name in marked.TYPED:
                terminal.send(here.values[name] + "\n")
            else:
                terminal.send("yes\n" if "Type `yes`" in question else "\n")
        code = terminal.ends()
        said = bytes(terminal.raw)
    assert code == 0, said[-3000:].decode("utf-8", "replace")
    values = here.values | {"cluster password": cluster_password(fly), "token": token}
    assert {q.split(" ")[0] for q in asked} >= set(marked.TYPED)
    assert "Deploy this" in asked[-1]
    assert marked.found_in(said, values) == []
    assert said.count("••••".encode()) > 100, "the application's log was not shown"
    here.assert_disk_is_clean(values)
    here.assert_children_were_told_nothing(token)
    assert any("keeper" in name for name in watch.seen)
    assert watch.hits == set()
    _assert_world_holds_digests_only(fly, here.values)


def _assert_world_holds_digests_only(fly: Fly, values: Mapping[str, str]) -> None:
    world = fly.started.folder / "world"
    assert (world / "world.json").is_file()
    kept = {n: v for n, v in values.items() if n not in ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")}
    # what the application's log repeats is the World's own script, put there by the test
    text = json.loads((world / "world.json").read_text())
    assert text["world"].pop("said")
    assert marked.found_in(json.dumps(text).encode(), kept) == []


def test_a_run_told_in_json(fly: Fly, tmp_path: Path) -> None:
    """The event stream, with a run that fails on the way: the problem's raw text repeats secrets too."""
    fly.world(reset=True)
    here = Setting(tmp_path, fly)
    words = [*here.words]
    for name in marked.TYPED:
        here.env[f"FLYWIZARD_SECRET_{name}"] = here.values[name]
    fly.world(faults=["build-fails@helpdesk-api"])
    echo(fly, here.values)
    with marked.Watch(here.home, here.values) as watch:
        child = subprocess.Popen(
            [sys.executable, "-m", "flywizard", "apply", "--json", "--no-input", "--yes", "--verbose", *words],
            env=here.env, cwd=here.repository, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 1, err[-3000:].decode()
    events = [json.loads(line) for line in out.decode().splitlines()]
    assert [e for e in events if e["event"] == "step_failed"]
    assert sum("echo" in e.get("text", "") for e in events) > 20
    values = here.values | {"token": here.env["FLY_API_TOKEN"]}
    assert marked.found_in(out, values) == []
    assert marked.found_in(err, values) == []
    here.assert_disk_is_clean(values)
    here.assert_children_were_told_nothing(here.env["FLY_API_TOKEN"])
    assert watch.hits == set()


def test_a_rehearsal_writes_no_value_anywhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    values = marked.marked()
    place = variant(tmp_path)
    write_env_file(place / ".env", values)
    env = base(home) | {f"FLYWIZARD_SECRET_{n}": v for n, v in values.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "flywizard", "rehearse", str(place), "--plain", "--no-input", "--speed", "100"],
        env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:].decode()
    assert marked.found_in(ended.stdout + ended.stderr, values) == []
    assert marked.search([home], values) == []
    assert marked.search([place], values, [place / ".env"]) == []


@pytest.mark.parametrize("name", marked.ALL)
def test_the_search_would_find_them(name: str, tmp_path: Path) -> None:
    values = marked.marked()
    for number, form in enumerate(marked.spellings(values[name])):
        (tmp_path / str(number)).write_bytes(b"before " + form + b" after")
        assert marked.found_in(b"x" + form + b"y", {name: values[name]})
    assert marked.search([tmp_path], {name: values[name]})
