"""Owns the tests of asking git, with real repositories and hostile ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flywizard.adapters.gitinfo import file_at, git_info

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
WHO = ["-c", "user.name=You", "-c", "user.email=you@example.com"]


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *WHO, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.txt").write_text("one\n")
    (root / "b c.txt").write_text("two\n" * 20)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


async def test_clean_then_changed(root: Path) -> None:
    info = await git_info(root, os.environ)
    assert (info.state, info.branch, info.changed) == ("ok", "main", ())
    assert info.commit == git(root, "rev-parse", "HEAD")
    (root / "a.txt").write_text("changed\n")
    (root / "new\x1b[31m.txt").write_text("x")
    git(root, "mv", "b c.txt", "d e.txt")
    info = await git_info(root, os.environ)
    assert info.dirty
    assert sorted(info.changed) == ["a.txt", "d e.txt", "new.txt"]


async def test_a_file_as_it_was(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD")
    (root / "a.txt").write_text("changed\n")
    assert await file_at(root, os.environ, commit, "a.txt") == "one\n"
    assert await file_at(root, os.environ, commit, "none") is None
    assert await file_at(root, os.environ, "--help", "a.txt") is None


async def test_detached_and_unborn(root: Path, tmp_path: Path) -> None:
    git(root, "checkout", "-q", "--detach")
    assert (await git_info(root, os.environ)).branch == ""
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q", "-b", "main")
    info = await git_info(empty, os.environ)
    assert (info.state, info.commit, info.branch) == ("ok", "", "main")


async def test_no_repository_no_git_and_a_slow_git(root: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    assert (await git_info(lonely, os.environ)).state == "no-repository"
    assert (await git_info(root, {**os.environ, "PATH": str(lonely)})).state == "no-git"
    fake = lonely / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    path = {**os.environ, "PATH": f"{lonely}{os.pathsep}{os.environ['PATH']}"}
    assert (await git_info(root, path, limit=0.2)).state == "slow"


async def test_a_hostile_repository_runs_nothing(root: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    evil.chmod(0o755)
    for key in ("core.fsmonitor", "filter.bad.clean", "filter.bad.process", "core.pager", "core.sshCommand"):
        git(root, "config", key, str(evil))
    git(root, "config", "filter.bad.required", "true")
    (root / ".gitattributes").write_text("*.txt filter=bad\n")
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(evil, hooks / "post-index-change")
    (root / "a.txt").write_text("ONE\n")
    info = await git_info(root, os.environ)
    assert info.state == "ok"
    assert "a.txt" in info.changed
    assert await file_at(root, os.environ, info.commit, "a.txt") == "one\n"
    assert not os.path.exists(mark)  # noqa: ASYNC240
