"""Owns the tests of the tunnel: ready by answer, ended always, and a blocked network named."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from pathlib import Path

import pytest

from flywizard.adapters.tunnel import FlyTunnel
from flywizard.plan import StepError

PROXY = """#!{python}
import socket, sys, time, os, signal
port = int(sys.argv[sys.argv.index("-p") + 1])
open({note!r}, "w").write(f"{{os.getpid()}} {{' '.join(sys.argv[1:])}}")
mode = {mode!r}
if mode == "fails":
    print("Error: cluster is still initializing, wait a bit more")
    sys.exit(1)
if mode == "blocked":
    print("Waiting for host ... tunnel unavailable: i/o timeout", flush=True)
    signal.pause()
server = socket.create_server(("127.0.0.1", port))
if mode == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
print("Proxying localhost to remote", flush=True)
while True:
    connection, _ = server.accept()
    if connection.recv(8):
        connection.sendall(b"N")
    connection.close()
"""


def fly(folder: Path, mode: str) -> Path:
    path = folder / "fly"
    path.write_text(PROXY.format(python=sys.executable, note=str(folder / "note"), mode=mode))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def gone(folder: Path) -> bool:
    pid = int((folder / "note").read_text().split()[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_it_opens_and_ends(tmp_path: Path) -> None:
    async with FlyTunnel(fly(tmp_path, "works"), {}, tmp_path).open("abc123") as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"12345678")
        assert await reader.read(1) == b"N"
        writer.close()
        await writer.wait_closed()
        assert not gone(tmp_path)
    assert gone(tmp_path)
    assert (tmp_path / "note").read_text().split()[1:] == ["mpg", "proxy", "abc123", "-p", str(port)]


async def test_it_ends_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"):
        async with FlyTunnel(fly(tmp_path, "works"), {}, tmp_path).open("abc123"):
            raise ValueError("inside")
    assert gone(tmp_path)


async def test_a_command_that_ends_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(StepError) as failed:
        async with FlyTunnel(fly(tmp_path, "fails"), {}, tmp_path).open("abc123"):
            pytest.fail("it must not open")
    problem = failed.value.problem
    assert problem.id == "PG-25"
    assert "still initializing" in problem.raw
    assert "WireGuard" not in problem.why


async def test_a_blocked_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError) as failed:
        async with FlyTunnel(fly(tmp_path, "blocked"), {}, tmp_path, deadline=0.5).open("abc123"):
            pytest.fail("it must not open")
    problem = failed.value.problem
    assert "WireGuard" in problem.why
    assert problem.remedies[0].command == "fly wireguard websockets enable"
    assert gone(tmp_path)


async def test_without_fly(tmp_path: Path) -> None:
    with pytest.raises(StepError) as failed:
        async with FlyTunnel(tmp_path / "nothing", {}, tmp_path).open("abc123"):
            pytest.fail("it must not open")
    assert "not found" in failed.value.problem.what
