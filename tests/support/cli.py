"""Owns running the command as users do: a process of its own, against a simulated Fly.io that tests share."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywizard.cli import main
from flywizard.rehearsal.launch import Rehearsal, begin

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "helpdesk"
LIMIT = 100.0
NO_KEYRING = "keyring.backends.fail.Keyring"
BROKER_SECRETS = {
    "FLYWIZARD_SECRET_KAFKA_SASL_USERNAME": "rehearsal-key",
    "FLYWIZARD_SECRET_KAFKA_SASL_PASSWORD": "rehearsal-stand-in-secret",
    "FLYWIZARD_SECRET_OPENAI_API_KEY": "sk-proj-4pCq8LwX2ZbNn7TtVv3Yh6Jd",
    "FLYWIZARD_SECRET_WEBHOOK_SECRET_KEY": "b7Tq2mWx9ZpLr4NvKc8YhJdF",
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        """Return the one object on stdout."""
        return json.loads(self.out)

    def events(self) -> list[dict[str, Any]]:
        """Return the JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


def base(home: Path) -> dict[str, str]:
    """Return a small environment with a home of its own."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PYTHON_KEYRING_BACKEND": NO_KEYRING,
        "FLYWIZARD_STATE_DIR": str(home / "state"),
        "PYTHONWARNINGS": "error::RuntimeWarning",
    }


def flywizard(
    *words: str, env: Mapping[str, str], cwd: Path | None = None, stdin: str = "", python: Sequence[str] = ()
) -> Done:
    """Run the command to its end."""
    ended = subprocess.run(
        [sys.executable, *python, "-m", "flywizard", *words],
        env=dict(env), cwd=cwd or ROOT, input=stdin.encode(), capture_output=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    return Done(
        ended.returncode, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode("utf-8", "replace")
    )


def inside(*words: str, env: Mapping[str, str], cwd: Path | None = None) -> Done:
    """Run the command in this process, where the interpreter and the imports are paid for already.

    keyring keeps the first backend that a process chose: what tells backends apart needs ``flywizard``.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before, place, stdin = dict(os.environ), Path.cwd(), sys.stdin
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or ROOT)
    try:
        with open(os.devnull) as nothing, redirect_stdout(out), redirect_stderr(err):
            sys.stdin = nothing
            try:
                code = main(list(words))
            except SystemExit as end:
                code = int(end.code or 0)
    finally:
        sys.stdin = stdin
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)
    texts = []
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
        texts.append(stream.read())
        stream.close()
    return Done(code, texts[0], texts[1])


@dataclass(slots=True)
class Fly:
    """A simulated Fly.io that runs, and the environment that leads to it."""

    started: Rehearsal

    def env(self, home: Path, **more: str) -> dict[str, str]:
        """Return a user's environment: token, flyctl and addresses are the platform's, state is their own."""
        keep = ("FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_UIEX_BASE_URL", "FLY_METRICS_BASE_URL")
        mine = {k: self.started.environ[k] for k in (*keep, "FLY_API_TOKEN", "FLYWIZARD_REHEARSAL_SPEED")}
        bin_dir = self.started.environ["PATH"].split(os.pathsep)[0]
        found = base(home)
        config = home / "fly"
        config.mkdir(exist_ok=True)
        return (
            found
            | mine
            | {
                "PATH": f"{bin_dir}{os.pathsep}{found['PATH']}",
                "FLYCTL_INSTALL": str(Path(bin_dir).parent),
                "FLY_CONFIG_DIR": str(config),
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1,localhost",
            }
            | more
        )

    def answers(self, home: Path, **more: str) -> dict[str, str]:
        """Return an environment that also answers every question."""
        return self.env(
            home,
            FLYWIZARD_ORGANIZATION="acme",
            FLYWIZARD_BOOTSTRAP=f"127.0.0.1:{self.started.broker_port}",
            FLYWIZARD_BROKER_PROTOCOL="SASL_PLAINTEXT",
            FLYWIZARD_BROKER_PROVIDER="other",
            **BROKER_SECRETS,
            **more,
        )

    def world(self, **orders: Any) -> dict[str, Any]:
        """Ask (or tell) the World."""
        return self.started.control(orders or None)

    def changes(self) -> list[str]:
        """Return the changing requests so far, without the looks of GraphQL."""
        return [str(c) for c in self.world()["changes"]]


def start(folder: Path, *, speed: float = 100.0, faults: Sequence[str] = ()) -> Fly:
    """Start a platform; end it by ``fly.started.stop()``."""
    folder.mkdir(parents=True, exist_ok=True)
    return Fly(begin(EXAMPLE, base(folder), speed=speed, faults=faults, reset=True))


def repository(folder: Path, *edits: tuple[str, str, str], name: str = "helpdesk") -> Path:
    """Copy the example with replacements (path, old, new)."""
    place = folder / name
    shutil.copytree(
        EXAMPLE,
        place,
        ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".next", ".venv", ".pytest_cache"),
    )
    for path, old, new in edits:
        text = (place / path).read_text()
        assert old in text, f"{old!r} is not in {path}"
        (place / path).write_text(text.replace(old, new))
    return place
