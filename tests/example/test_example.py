"""Runs the example project's own tests with this interpreter, and looks at what it ships."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "helpdesk"


def test_the_examples_own_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:xdist", "-p", "no:randomly"],
        cwd=EXAMPLE / "backend",
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


def test_the_lock_is_real_and_names_no_registry() -> None:
    lock = json.loads((EXAMPLE / "frontend/package-lock.json").read_text())
    package = json.loads((EXAMPLE / "frontend/package.json").read_text())
    assert lock["lockfileVersion"] == 3
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    locked = {name: entry for name, entry in lock["packages"].items() if name}
    assert locked["node_modules/next"]["version"].startswith("16.")
    assert all("integrity" in entry for entry in locked.values())
    assert not any("resolved" in entry for entry in locked.values())


def test_no_value_of_a_real_secret_is_shipped() -> None:
    names = {path.name for path in EXAMPLE.rglob("*") if "node_modules" not in path.parts}
    assert ".env" not in names
    example = (EXAMPLE / ".env.example").read_text()
    assert "OPENAI_API_KEY=your-openai-api-key\n" in example
