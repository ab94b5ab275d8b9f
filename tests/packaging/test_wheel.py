"""The built wheel by itself: it carries the example, and its ``rehearse`` runs in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what git knows, so that nothing made by hand gets in."""
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, files):
        if name.startswith("tests/") or not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=source, check=True, capture_output=True, env={**os.environ, "HOME": str(out)},
    )  # fmt: skip
    return next(out.glob("*.whl"))


def test_it_carries_data_and_the_example_and_no_leftovers(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "flywizard/problems.toml",
        "flywizard/prices.toml",
        "flywizard/py.typed",
        "flywizard/tui/flywizard.tcss",
        "flywizard/examples/helpdesk/docker-compose.yml",
        "flywizard/examples/helpdesk/database/schema.sql",
        "flywizard/examples/helpdesk/.env.example",
        "flywizard/examples/helpdesk/backend/.dockerignore",
    ):
        assert wanted in names
    assert not [n for n in names if "__pycache__" in n or "node_modules" in n or n.startswith("tests/")]
    assert not [n for n in names if n.endswith("/.env")]


def test_it_rehearses_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    where = subprocess.run(
        [python, "-c", "import flywizard; print(flywizard.__file__)"],
        cwd=empty, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    done = subprocess.run(
        [python, "-m", "flywizard", "rehearse", "--speed", "100"],
        cwd=empty, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "helpdesk is deployed" in done.stdout
    assert "rehearsal" in done.stdout
    assert list(empty.iterdir()) == []
