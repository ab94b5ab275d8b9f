"""Tests of children that only look: their environment, their lines, their time."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.adapters.process import LineSplitter, child_environment, run_child
from flywizard.attempt import start_time
from flywizard.text import collapse_cr
from tests.support import fake_flyctl

KEPT = [
    *("PATH", "HOME", "LANG", "LC_ALL", "TERM", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "TMPDIR"),
    *("FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_UIEX_BASE_URL", "FLY_METRICS_BASE_URL"),
    *("FLY_API_TOKEN", "FLY_ACCESS_TOKEN", "FLY_CONFIG_DIR", "FLY_REGISTRY_HOST"),
    *("DOCKER_HOST", "BUILDKIT_PROGRESS", "DEPOT_API_URL"),
    *("HTTP_PROXY", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
]
DROPPED = [
    *("FLY_APP", "FLY_ORG", "FLY_ORGANIZATION", "FLY_REGION", "FLY_JSON", "FLY_VERBOSE"),
    *("FLY_LOG_GQL_ERRORS", "FLY_FORCE_INSTANCE_ID", "LOG_LEVEL", "DEPLOY_TRIGGER", "CI"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "NODE_OPTIONS", "GODEBUG"),
    *("OPENAI_API_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "FLYWIZARD_DATABASE_URL"),
]
text = st.lists(st.sampled_from(["a", "é", "€", "\r", "\n", "\r\n", "bc"]), max_size=40).map("".join)


def test_a_child_gets_what_it_needs_and_nothing_else() -> None:
    env = child_environment(dict.fromkeys(KEPT + DROPPED, "x"))
    assert {name for name in KEPT if name not in env} == set()
    assert {name for name in DROPPED if name in env} == set()


def test_what_we_add_wins() -> None:
    env = child_environment(
        {"FLY_SEND_METRICS": "1", "BUILDKIT_PROGRESS": "tty"}, [("BUILDKIT_PROGRESS", "rawjson")]
    )
    assert env == {
        "FLY_NO_UPDATE_CHECK": "1",
        "FLY_NO_INCIDENTS_CHECK": "1",
        "FLY_SEND_METRICS": "0",
        "FLY_SYNTHETICS_AGENT": "0",
        "FLY_EMIT_RELEASE_JSON": "1",
        "NO_COLOR": "1",
        "BUILDKIT_PROGRESS": "rawjson",
    }


def lines(splitter: LineSplitter, chunks: list[bytes]) -> list[str]:
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


@given(text, st.lists(st.integers(0, 80)))
def test_lines_do_not_depend_on_how_they_are_cut(whole: str, cuts: list[int]) -> None:
    content = whole.encode()
    at = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    chunks = [content[a:b] for a, b in itertools.pairwise(at)]
    expected = collapse_cr(whole).split("\n")
    if not expected[-1]:
        expected.pop()
    assert lines(LineSplitter(), chunks) == expected


@given(text.map(lambda value: value.replace("\r", "")), st.integers(1, 7))
def test_a_limit_cuts_lines_and_loses_nothing(whole: str, limit: int) -> None:
    pieces = lines(LineSplitter(limit), [bytes([byte]) for byte in whole.encode()])
    assert "".join(pieces) == whole.replace("\n", "")
    assert all(len(piece) <= limit for piece in pieces)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert lines(LineSplitter(), [b"a\xff\xe2\x82", b"\n"]) == ["a\ufffd\ufffd"]


@pytest.fixture
def flyctl(tmp_path: Path) -> Path:
    return fake_flyctl.install(tmp_path)


async def test_output_of_both_pipes_and_the_status(flyctl: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    ended = await run_child(
        [str(flyctl), "stdin", "repeat=300000,x", "complain=bad", "cwd", "exit=3"],
        cwd=tmp_path,
        env={},
        stdin=b"given\n",
        on_line=lambda stream, line: heard.append((stream, line)),
    )
    assert (ended.code, ended.stderr) == (3, "bad\n")
    assert ended.stdout == "given\n" + "x" * 300_000 + f"{tmp_path}\n"
    assert [line[:5] for stream, line in heard if stream == "stdout"] == ["given", "xxxxx"]


async def test_stdin_is_empty_when_none_is_given(flyctl: Path, tmp_path: Path) -> None:
    assert (await run_child([str(flyctl), "stdin", "say=end"], cwd=tmp_path, env={})).stdout == "end\n"


async def test_a_child_that_does_not_read_its_stdin_is_no_problem(flyctl: Path, tmp_path: Path) -> None:
    ended = await run_child([str(flyctl), "exit=2"], cwd=tmp_path, env={}, stdin=b"x" * 1_000_000)
    assert ended.code == 2


async def test_a_hanging_child_is_killed_in_time(flyctl: Path, tmp_path: Path) -> None:
    ended = await run_child([str(flyctl), "forever"], cwd=tmp_path, env={}, timeout=0.2)
    assert (ended.code, ended.timed_out, ended.signalled) == (-9, True, True)


async def test_cancelling_kills_the_whole_group(flyctl: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    ready = asyncio.Event()
    grandchild = tmp_path / "grandchild"

    def listen(_: str, line: str) -> None:
        heard.append(line)
        if line == "ready":
            ready.set()

    words = ["pid", f"grandchild={grandchild}", "say=ready", "forever"]
    task = asyncio.ensure_future(run_child([str(flyctl), *words], cwd=tmp_path, env={}, on_line=listen))
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert start_time(int(heard[0])) is None
    while start_time(int(grandchild.read_text())) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_pipes_that_a_grandchild_holds_are_left(flyctl: Path, tmp_path: Path) -> None:
    ended = await run_child(
        [str(flyctl), "pid", f"grandchild={tmp_path / 'ready'}"], cwd=tmp_path, env={}, linger=0.05
    )
    assert (ended.code, ended.timed_out) == (0, False)
    os.killpg(int(ended.stdout), 9)


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await run_child([str(tmp_path / "none")], cwd=tmp_path, env={})


async def test_the_environment_is_only_what_was_given(tmp_path: Path) -> None:
    argv = [sys.executable, "-IS", "-c", "import os; print(sorted(os.environ))"]
    ended = await run_child(argv, cwd=tmp_path, env={"ONE": "1", "LC_ALL": "C.UTF-8"})
    assert ended.stdout == "['LC_ALL', 'ONE']\n"
