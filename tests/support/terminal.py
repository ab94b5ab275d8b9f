"""Owns a real pseudo-terminal with a program in it, and what stands on its screen."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 30.0


class Terminal:
    """Runs ``python -m MODULE WORDS`` in a pty; reads only while somebody waits."""

    def __init__(
        self,
        module: str,
        *words: str,
        size: tuple[int, int] = (100, 32),
        env: dict[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        columns, rows = size
        self.screen: Any = pyte.Screen(columns, rows)
        self._stream: Any = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        self._main, follower = os.openpty()
        termios.tcsetwinsize(self._main, (rows, columns))
        self.before = termios.tcgetattr(follower)
        self._follower = follower
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ["HOME"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        } | (env or {})
        self.child = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.vanish()

    @property
    def text(self) -> str:
        """Return the screen as lines."""
        return "\n".join(str(row).rstrip() for row in self.screen.display)

    def vanish(self) -> None:
        """Close the terminal as a closed window does."""
        for number in (self._follower, self._main):
            if number >= 0:
                os.close(number)
        self._follower = self._main = -1

    @property
    def printed(self) -> str:
        """Return what was written after the program left the alternate screen."""
        return bytes(self.raw).rpartition(b"\x1b[?1049l")[2].decode()

    def read(self, timeout: float) -> bool:
        """Take what the program wrote; tell whether there was something."""
        ready, _, _ = select.select([self._main], [], [], timeout)
        if not ready:
            return False
        data = os.read(self._main, 65536)
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Read until the condition holds."""
        end = time.monotonic() + LIMIT
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"never came: {what}\n{self.text}")
            self.read(0.1)

    def shows(self, text: str) -> None:
        """Wait until the text is on the screen."""
        self.until(lambda: text in self.text, text)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._main, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as a dragged window does."""
        self.screen.resize(rows, columns)
        termios.tcsetwinsize(self._main, (rows, columns))
        self.child.send_signal(signal.SIGWINCH)

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.child.send_signal(number)

    def ends(self) -> int:
        """Read until the program ended; return its exit code."""
        self.until(lambda: self.child.poll() is not None, "the end of the program")
        while self.read(0):
            pass
        return self.child.wait()

    def assert_restored(self) -> None:
        """Check that the terminal is as it was: screen, cursor, mouse, paste mode, line discipline."""
        for on, off in (
            ("?1049h", "?1049l"),
            ("?25l", "?25h"),
            ("?1000h", "?1000l"),
            ("?1003h", "?1003l"),
            ("?2004h", "?2004l"),
        ):
            last_on = self.raw.rfind(f"\x1b[{on}".encode())
            last_off = self.raw.rfind(f"\x1b[{off}".encode())
            assert last_on <= last_off, f"{on} was not taken back"
        assert b"\x1b[?1049l" in self.raw
        assert termios.tcgetattr(self._follower) == self.before
