"""Owns the tests of writing in the repository."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from flywizard.adapters.files import RepositoryFiles, keep_newlines
from flywizard.plan import StepError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    return root


@pytest.fixture
def files(root: Path, tmp_path: Path) -> RepositoryFiles:
    return RepositoryFiles(root, tmp_path / "state" / "backups")


def problem(caught: pytest.ExceptionInfo[StepError]) -> str:
    return caught.value.problem.id


def test_a_new_file_in_a_new_folder(files: RepositoryFiles, root: Path) -> None:
    assert files.read("backend/fly.toml") is None
    before = os.umask(0o022)
    try:
        files.write("backend/fly.toml", "app = 'x'\r\n", None)
    finally:
        os.umask(before)
    assert (root / "backend/fly.toml").read_bytes() == b"app = 'x'\r\n"
    assert stat.S_IMODE((root / "backend/fly.toml").stat().st_mode) == 0o644
    assert files.read("backend/fly.toml") == "app = 'x'\r\n"
    assert os.listdir(root / "backend") == ["fly.toml"]


def test_a_change_keeps_the_mode_and_a_copy(files: RepositoryFiles, root: Path) -> None:
    (root / "run.sh").write_text("old\n")
    (root / "run.sh").chmod(0o751)
    files.write("run.sh", "new\n", "old\n")
    files.write("run.sh", "newer\n", "new\n")
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o751
    copies = files.backups("run.sh")
    assert sorted(copy.read_text() for copy in copies) == ["new\n", "old\n"]
    assert {stat.S_IMODE(copy.stat().st_mode) for copy in copies} == {0o600}
    assert stat.S_IMODE(copies[0].parent.stat().st_mode) == 0o700


def test_what_changed_meanwhile_is_not_lost(files: RepositoryFiles, root: Path) -> None:
    (root / "a").write_text("theirs")
    for expected in ("ours", None):
        with pytest.raises(StepError) as caught:
            files.write("a", "new", expected)
        assert problem(caught) == "FILE-1"
    with pytest.raises(StepError) as caught:
        files.write("gone", "new", "old")
    assert problem(caught) == "FILE-1"
    assert "is gone" in caught.value.problem.what
    assert (root / "a").read_text() == "theirs"
    assert os.listdir(root) == ["a"]


def test_writing_what_is_there_does_nothing(files: RepositoryFiles, root: Path) -> None:
    (root / "a").write_text("same")
    files.write("a", "same", None)
    assert files.backups("a") == []


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "", ".", "C:\\x", "out/x", "link", ".git/config", "loop"]
)
def test_nothing_leaves_the_root(files: RepositoryFiles, root: Path, tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "out").symlink_to(outside, target_is_directory=True)
    (root / "link").symlink_to(outside / "target")
    (root / "loop").symlink_to("loop")
    with pytest.raises(StepError) as caught:
        files.write(path, "x", None)
    assert problem(caught) == "FILE-2"
    with pytest.raises(StepError) as caught:
        files.read(path)
    assert problem(caught) == "FILE-2"
    assert list(outside.iterdir()) == []


def test_a_link_inside_the_root_keeps_being_a_link(files: RepositoryFiles, root: Path) -> None:
    (root / "real.toml").write_text("old")
    (root / "fly.toml").symlink_to("real.toml")
    files.write("fly.toml", "new", "old")
    assert (root / "fly.toml").is_symlink()
    assert (root / "real.toml").read_text() == "new"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "FILE-4"), (errno.EDQUOT, "FILE-4"), (errno.EROFS, "FILE-3"), (errno.EIO, "FILE-5")],
)
@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
def test_the_system_refuses(
    files: RepositoryFiles,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: str,
    where: str,
) -> None:
    (root / "a").write_text("old")

    def broken(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, where, broken)
    with pytest.raises(StepError) as caught:
        files.write("a", "new", "old")
    assert problem(caught) == expected
    assert os.strerror(number) in caught.value.problem.raw
    assert (root / "a").read_text() == "old"
    assert os.listdir(root) == ["a"]


def test_a_read_only_file_is_not_replaced(
    files: RepositoryFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(StepError) as caught:
        files.write("a", "new", "old")
    assert problem(caught) == "FILE-3"
    assert (root / "a").read_text() == "old"


def test_what_is_no_text_is_refused(files: RepositoryFiles, root: Path) -> None:
    (root / "bin").write_bytes(b"\xff\x00")
    (root / "dir").mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(StepError) as caught:
        files.read("bin")
    assert problem(caught) == "FILE-6"
    for path in ("dir", "pipe"):
        with pytest.raises(StepError) as caught:
            files.read(path)
        assert problem(caught) == "FILE-5"


def test_keep_newlines() -> None:
    assert keep_newlines("a\nb\n", "x\r\ny\r\n") == "a\r\nb\r\n"
    assert keep_newlines("a\r\nb\n", "x\ny\r\nz\n") == "a\nb\n"
    assert keep_newlines("a\n", None) == "a\n"
