"""Owns a child in flyctl's place: each word of its command line is one thing that it does, in order."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def install(folder: Path) -> Path:
    """Write an executable that runs this file, quick to start and independent of the environment."""
    program = folder / "flyctl"
    program.write_text(
        f"#!{sys.executable} -IS\nimport runpy\nrunpy.run_path({__file__!r}, run_name='__main__')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


def request(method: str, path: str) -> None:
    url = os.environ["FLY_FLAPS_BASE_URL"] + path
    body = None if method == "GET" else b'{"name": "data", "region": "iad"}'
    sent = urllib.request.Request(url, body, {"Authorization": os.environ["FLY_API_TOKEN"]}, method=method)
    try:
        with urllib.request.urlopen(sent) as answer:
            print(answer.status, answer.read().decode(), flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode(), flush=True)


def main(words: list[str]) -> int:
    interrupts = 0

    def interrupted(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        print(f"interrupt {interrupts}", flush=True)

    for word in words:
        name, _, value = word.partition("=")
        if name == "say":
            print(value, flush=True)
        elif name == "complain":
            print(value, file=sys.stderr, flush=True)
        elif name == "raw":
            sys.stdout.write(value.encode().decode("unicode_escape"))
            sys.stdout.flush()
        elif name == "repeat":
            count, _, text = value.partition(",")
            sys.stdout.write(text * int(count))
            sys.stdout.flush()
        elif name == "env":
            print(os.environ.get(value), flush=True)
        elif name == "cwd":
            print(os.getcwd(), flush=True)
        elif name == "pid":
            print(os.getpid(), flush=True)
        elif name == "files":
            print(sorted(int(number) for number in os.listdir("/proc/self/fd"))[:-1], flush=True)
        elif name == "stdin":
            print(sys.stdin.read(), end="", flush=True)
        elif name == "dribble":
            for byte in sys.stdin.buffer.read():
                os.write(1, bytes([byte]))
        elif name == "touch":
            Path(value).touch()
        elif name == "pidfile":
            Path(f"{value}.new").write_text(str(os.getpid()))
            Path(f"{value}.new").rename(value)
        elif name == "await":
            wait_for(value)
        elif name == "catch":
            signal.signal(signal.SIGINT, interrupted)
        elif name == "hang":
            while not interrupts:
                time.sleep(0.01)
        elif name == "forever":
            while True:
                time.sleep(0.01)
        elif name == "grandchild":
            subprocess.Popen([sys.executable, "-IS", __file__, f"pidfile={value}", "forever"])
            wait_for(value)
        elif name == "request":
            request(*value.split(",", 1))
        elif name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "exit":
            return int(value)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
