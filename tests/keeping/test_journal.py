"""Owns the tests of the journal: what it holds after any kind of end, and what it refuses."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywizard.journal import Journal, JournalCorruptError, JournalError, project_state_dir, read_state
from flywizard.state_folder import Pair, StateError, private_folder, write_private


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "helpdesk" / "journal.jsonl"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path, now=lambda: 1767323045.678) as journal:
        yield journal


def fill(journal: Journal) -> None:
    journal.append("run", run="r1", command="apply", plan="abc", rehearsal=True)
    journal.append("intent", step="app.api", name="helpdesk-api", attempt="r1-app.api-1")
    journal.append("started", step="app.api", attempt="r1-app.api-1", pid=7, start_time="9")
    journal.append("done", step="app.api", facts={"host": "helpdesk-api.fly.dev"}, acted=True)
    journal.append("intent", step="database", name="helpdesk-db", attempt="r1-database-1")
    journal.append("failed", step="database", problem="MPG-1", what="no region")
    journal.append("skipped", step="smoke")
    journal.append("end", outcome="failed")
    journal.append("run", run="r2", command="resume", plan="abc")
    journal.append("intent", step="database", name="helpdesk-db", attempt="r2-database-1")


def test_state_tells_each_step_and_each_run(journal: Journal, path: Path) -> None:
    fill(journal)
    state = journal.state()
    assert read_state(path) == state
    api, database = state.steps["app.api"], state.steps["database"]
    assert (api.status, api.attempt, dict(api.facts)) == (
        "done",
        "r1-app.api-1",
        {"host": "helpdesk-api.fly.dev"},
    )
    assert api.created
    assert api.started == {"pid": 7, "start_time": "9"}
    assert (database.status, database.attempt, database.created) == ("in-doubt", "r2-database-1", False)
    assert state.steps["smoke"].status == "skipped"
    assert [(r.id, r.outcome) for r in state.runs] == [("r1", "failed"), ("r2", "")]
    assert state.runs[0].extra == {"rehearsal": True}
    assert state.resumable
    assert state.in_doubt == ("database",)
    journal.append("end", outcome="done")
    assert not journal.state().resumable


def test_a_later_done_that_only_adopted_stays_created(journal: Journal) -> None:
    fill(journal)
    journal.append("done", step="app.api", facts={"host": "x"}, acted=False)
    assert journal.state().steps["app.api"].created


def test_files_are_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(path) as journal:
            journal.append("run", run="r")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_record_is_synced_before_append_returns(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write, sync = os.write, os.fsync

    def noted_write(descriptor: int, data: Any) -> int:
        order.append("write")
        return write(descriptor, data)

    def noted_sync(descriptor: int) -> None:
        order.append("sync")
        sync(descriptor)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_sync)
    journal.append("intent", step="a")
    assert order == ["write", "sync"]


def test_cut_at_any_byte_it_reads_as_the_records_before(
    journal: Journal, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # thousands of them would only cost time
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    private_folder(tmp_path / "cut")
    cut = tmp_path / "cut" / "journal.jsonl"
    for size in range(len(data)):
        write_private(cut, data[:size].decode("utf-8", "ignore"))
        whole = data[:size].count(b"\n")
        with Journal.open(cut) as again:
            assert [r["kind"] for r in again._records] == [json.loads(line)["kind"] for line in lines[:whole]]
            assert bool(again.state().notices) == (size != sum(map(len, lines[:whole])))
            again.append("end", outcome="interrupted")
        with Journal.open(cut) as again:
            assert again.state().notices == ()


def test_a_last_line_of_zeros_is_torn_too(journal: Journal, path: Path) -> None:
    fill(journal)
    with path.open("ab") as file:
        file.write(b"\0" * 40 + b"\n")
    assert read_state(path).steps.keys() == journal.state().steps.keys()
    assert read_state(path).notices


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"{}", b'{"v":1}', b"[1]", b'{"v":"1","kind":"x"}', b""])
def test_garbage_in_the_middle_is_refused_with_a_backup(journal: Journal, path: Path, garbage: bytes) -> None:
    fill(journal)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = garbage + b"\n"
    path.write_bytes(b"".join(lines))
    for _ in range(2):
        with pytest.raises(JournalCorruptError) as caught:
            Journal.open(path)
    assert caught.value.line == 4
    assert caught.value.backup.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(caught.value.backup.stat().st_mode) == 0o600
    assert str(caught.value.backup) in str(caught.value)
    assert len(list(path.parent.glob("*.damaged-*"))) == 1


def test_a_newer_format_is_refused(journal: Journal, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"v":2,"kind":"run"}\n')
    with pytest.raises(JournalError, match="newer flywizard"):
        Journal.open(path)


def test_the_first_format_stays_readable(path: Path) -> None:
    private_folder(path.parent)
    write_private(
        path,
        '{"v":1,"time":"2026-11-24T10:00:00.000Z","kind":"run","run":"r","command":"apply","plan":"p"}\n'
        '{"v":1,"time":"2026-11-24T10:00:01.000Z","kind":"intent","step":"s","name":"n","attempt":"a"}\n'
        '{"v":1,"time":"2026-11-24T10:00:02.000Z","kind":"done","step":"s","facts":{"k":"v"},"acted":true}\n'
        '{"v":1,"time":"2026-11-24T10:00:02.500Z","kind":"later-kind","step":"s"}\n'
        '{"v":1,"time":"2026-11-24T10:00:03.000Z","kind":"end","outcome":"done"}\n',
    )
    state = read_state(path)
    assert dict(state.steps["s"].facts) == {"k": "v"}
    assert state.last is not None
    assert (state.last.plan, state.last.ended) == ("p", "2026-11-24T10:00:03.000Z")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("taken", [0, 9])
def test_a_failed_write_raises_and_leaves_the_journal_whole(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch, number: int, taken: int
) -> None:
    fill(journal)
    before, write = path.read_bytes(), os.write

    def full(descriptor: int, data: Any) -> int:
        if taken and len(data) > taken and not full.done:  # type: ignore[attr-defined]
            full.done = True  # type: ignore[attr-defined]
            return write(descriptor, data[:taken])
        raise OSError(number, os.strerror(number))

    full.done = False  # type: ignore[attr-defined]
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(JournalError) as caught:
        journal.append("intent", step="new")
    assert caught.value.errno == number
    assert caught.value.strerror == os.strerror(number)
    assert path.read_bytes() == before
    monkeypatch.undo()
    journal.append("intent", step="new")
    assert read_state(path).steps["new"].status == "in-doubt"


def test_a_rest_that_could_not_be_cut_is_cut_by_the_next_append(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    monkeypatch.setattr(os, "ftruncate", broken)
    with pytest.raises(JournalError):
        journal.append("intent", step="lost")
    monkeypatch.undo()
    journal.append("intent", step="kept")
    assert list(read_state(path).steps) == ["kept"]


def test_state_that_others_can_read_is_refused(journal: Journal, path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(JournalError, match="read by others"):
        Journal.open(path)
    path.chmod(0o600)
    path.parent.chmod(0o755)
    with pytest.raises(JournalError, match="chmod 0700"):
        Journal.open(path)
    path.parent.chmod(0o700)


def test_symbolic_links_are_refused(tmp_path: Path, path: Path) -> None:
    private_folder(path.parent)
    target = tmp_path / "target"
    target.write_text("")
    path.symlink_to(target)
    with pytest.raises(JournalError, match="symbolic link"):
        Journal.open(path)
    with pytest.raises(JournalError, match="symbolic link"):
        read_state(path)
    assert target.read_text() == ""
    folder = tmp_path / "link"
    folder.symlink_to(path.parent, target_is_directory=True)
    with pytest.raises(JournalError, match="symbolic link"):
        Journal.open(folder / "journal.jsonl")


def test_a_pipe_in_its_place_is_refused(path: Path) -> None:
    private_folder(path.parent)
    os.mkfifo(path, 0o600)
    with pytest.raises(JournalError, match="plain file"):
        Journal.open(path)


def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = Journal.open(path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append("end")


def test_a_missing_journal_says_nothing(path: Path) -> None:
    state = read_state(path)
    assert (state.steps, state.last, state.resumable) == ({}, None, False)


def test_state_folder_records_root_and_organization(tmp_path: Path) -> None:
    environ = {"FLYWIZARD_STATE_DIR": str(tmp_path / "state")}
    root, other = tmp_path / "one", tmp_path / "two"
    first = project_state_dir(root, "", "helpdesk", environ)
    assert first.path == tmp_path / "state" / "helpdesk"
    assert first.recorded is None
    assert project_state_dir(root, "acme", "helpdesk", environ).recorded is None
    assert project_state_dir(root, "", "helpdesk", environ).recorded is None
    assert project_state_dir(root, "globex", "helpdesk", environ).recorded == Pair(str(root), "acme")
    moved = project_state_dir(other, "acme", "helpdesk", environ)
    assert moved.recorded == Pair(str(root), "acme")
    assert moved.adopt().recorded is None
    assert project_state_dir(other, "acme", "helpdesk", environ).recorded is None


def test_a_project_name_cannot_leave_the_state_folder(tmp_path: Path) -> None:
    environ = {"FLYWIZARD_STATE_DIR": str(tmp_path / "state")}
    assert project_state_dir(tmp_path, "", "../../x/y", environ).path == tmp_path / "state" / "_.._x_y"


def test_without_the_variable_the_users_state_directory_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    folder = project_state_dir(tmp_path, "", "p", {})
    assert folder.path.name == "p"
    assert folder.path.parent.name == "flywizard"


def test_a_failed_replacement_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = private_folder(tmp_path / "s") / "x.json"
    write_private(file, "old")

    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, broken)
            with pytest.raises(StateError, match="No space left"):
                write_private(file, "new")
        assert file.read_text() == "old"
        assert os.listdir(file.parent) == ["x.json"]
