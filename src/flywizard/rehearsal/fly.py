"""The stand-in `fly`: prints, requests and exits like flyctl 0.4.87, against a rehearsal's platform.

`main` is one run of the command with everything it touches handed in; `python -m flywizard.rehearsal.fly`
is the executable, and `install` writes the two launchers `fly` and `flyctl`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from flywizard.rehearsal.fly_core import Canceled, Crash, Cut, Failure, Fly, Transport, print_failure
from flywizard.rehearsal.fly_settings import Settings, Tokens
from flywizard.rehearsal.fly_words import NO_LOGIN, Misuse, parse

NOT_LOGGED_IN = "no access token available. Please login with 'flyctl auth login'"
Handler = Callable[[Fly], Awaitable[int | None]]


async def main(
    argv: Sequence[str],
    env: Mapping[str, str],
    stdin: bytes,
    out: Callable[[str], None],
    err: Callable[[str], None],
    transport: Transport,
    *,
    terminal: tuple[bool, bool] = (False, False),
    read_line: Callable[[], Awaitable[str]] | None = None,
) -> int:
    """Runs one command line (without the program's name) and gives its exit code.

    Args:
        argv: the words after `fly`.
        env: the child's environment.
        stdin: everything on standard input.
        out: takes text for stdout.
        err: takes text for stderr.
        transport: the way to the platform.
        terminal: whether stdin and stdout are terminals.
        read_line: reads one line typed on the terminal.
    """
    try:
        parsed = parse(argv)
    except Misuse as misuse:
        err(f"Error: {misuse.text}\n")
        if misuse.help_hint:
            out(f"Run '{misuse.help_hint} --help' for usage.\n")
        return 1
    if not parsed.target or parsed.flags.get("help"):
        out(f"Usage:\n  {' '.join(['flyctl', parsed.command]).strip()} [command] [flags]\n")
        return 0
    settings = Settings.load(env)
    given = str(
        parsed.flags.get("access-token") or env.get("FLY_ACCESS_TOKEN") or env.get("FLY_API_TOKEN") or ""
    )
    if not given and settings.logged_in(transport.time()):
        given = settings.access_token
    fly = Fly(
        words=tuple(argv),
        args=parsed.args,
        flags=parsed.flags,
        env=env,
        stdin=stdin,
        out=out,
        err=err,
        transport=transport,
        settings=settings,
        tokens=Tokens.parse(given),
        stdin_is_terminal=terminal[0],
        stdout_is_terminal=terminal[1],
        read_line=read_line,
    )
    try:
        if not fly.tokens.present and parsed.command not in NO_LOGIN:
            raise Failure(NOT_LOGGED_IN)
        module, _, name = parsed.target.partition(":")
        handler = cast(Handler, getattr(import_module(f"flywizard.rehearsal.{module}"), name))
        return await handler(fly) or 0
    except Failure as failure:
        if transport.interrupted and failure.text.endswith(transport.interrupted):
            return 127
        print_failure(fly, failure)
        return 1
    except Cut as cut:
        err(f"Error: {cut.reason}\n")
        return 1
    except Canceled:
        return 127
    except asyncio.CancelledError:
        if not transport.interrupted:
            raise
        return 127
    except Crash as crash:
        out(f"\x1b[31mOops, something went wrong! Could you try that again?\x1b[0m\n\n{crash}\n")
        out("goroutine 1 [running]:\n(trace left out)\n")
        return 3


def _writer(stream: object) -> Callable[[str], None]:
    """A function that writes text to a stream at once, as UTF-8 on every system."""
    raw = getattr(stream, "buffer", None)

    def write(text: str) -> None:
        if raw is not None:
            raw.write(text.encode("utf-8", "surrogateescape"))
            raw.flush()

    return write


async def _run(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """One run as a process: signals, terminal and pipes."""
    import os
    import signal

    from flywizard.rehearsal.fly_http import HttpTransport

    transport = HttpTransport(env)
    terminal = (os.isatty(0), os.isatty(1))
    wants_stdin = bool(argv) and argv[0] in ("secrets", "secret")
    stdin = sys.stdin.buffer.read() if wants_stdin and not terminal[0] else b""
    loop = asyncio.get_running_loop()

    async def read_line() -> str:
        return await loop.run_in_executor(None, sys.stdin.readline)

    work = asyncio.ensure_future(
        main(
            argv, env, stdin, _writer(sys.stdout), _writer(sys.stderr), transport,
            terminal=terminal, read_line=read_line,
        )
    )  # fmt: skip

    def stop(word: str) -> None:
        if not transport.interrupted:
            transport.interrupted = f"{word} signal received"
            work.cancel()

    for number, word in ((signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminated")):
        try:
            loop.add_signal_handler(number, stop, word)
        except (NotImplementedError, RuntimeError):
            signal.signal(number, lambda *_, w=word: loop.call_soon_threadsafe(stop, w))
    try:
        return await work
    except asyncio.CancelledError:
        return 127


def execute() -> None:
    """The executable: runs the command and ends the process without waiting for threads."""
    import os
    import signal

    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    code = asyncio.run(_run(sys.argv[1:], os.environ))
    os._exit(code)


def launcher_text(python: str, module: str, arguments: Sequence[str] = (), *, windows: bool) -> str:
    """The script that starts a module of this package quickly, wherever the package lies.

    `-S` and `-I` keep the interpreter from reading site-packages and the user's environment, which is
    half of the start-up time; the package's own directory is put on the path instead.
    """
    root = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); from flywizard.rehearsal.{module} import execute; execute()"
    if windows:
        words = " ".join(f'"{a}"' for a in arguments)
        return f'@echo off\r\n"{python}" -I -S -c "{code}" {words} %*\r\n'
    import shlex

    words = " ".join(shlex.quote(a) for a in arguments)
    return f'#!/bin/sh\nexec {shlex.quote(python)} -I -S -c {shlex.quote(code)} {words + " " if words else ""}"$@"\n'


def write_launchers(bin_dir: Path, text: str, *, windows: bool) -> Path:
    """Writes `fly` and `flyctl` with the same text; gives the path of `fly`."""
    bin_dir.mkdir(parents=True, exist_ok=True)
    ending = ".cmd" if windows else ""
    for name in ("flyctl", "fly"):
        path = bin_dir / (name + ending)
        path.write_bytes(text.encode())
        path.chmod(0o755)
    return bin_dir / ("fly" + ending)


def install(bin_dir: Path, python: str) -> Path:
    """Writes launchers `fly` and `flyctl` of the stand-in into a directory; gives the path of `fly`."""
    windows = sys.platform == "win32"
    return write_launchers(bin_dir, launcher_text(python, "fly", windows=windows), windows=windows)


if __name__ == "__main__":
    execute()
