"""The shim of `--flyctl PATH`: a real flyctl for everything that a rehearsal can answer over HTTP, the stand-in for the rest.

Builds, tunnels and ssh need things that a rehearsal does not have (a builder, WireGuard); the stand-in answers those.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flywizard.rehearsal.fly import launcher_text, write_launchers

ALWAYS_OURS = (("proxy",), ("ssh",), ("mpg", "proxy"), ("managed-postgres", "proxy"), ("mpg", "connect"))


def ours(argv: Sequence[str]) -> bool:
    """Whether the stand-in answers a command line (without the program's name)."""
    words = [word for word in argv if not word.startswith("-")]
    if any(tuple(words[: len(head)]) == head for head in ALWAYS_OURS):
        return True
    if words[:1] != ["deploy"]:
        return False
    return not any(word in ("-i", "--image") or word.startswith("--image=") for word in argv)


def execute() -> None:
    """The executable: the first argument is the real flyctl, the others are its command line."""
    real, argv = sys.argv[1], sys.argv[2:]
    if ours(argv):
        sys.argv = [sys.argv[0], *argv]
        from flywizard.rehearsal.fly import execute as stand_in

        stand_in()
        return
    if sys.platform == "win32":
        import subprocess

        sys.exit(subprocess.run([real, *argv], check=False).returncode)
    os.execv(real, [real, *argv])  # noqa: S606 (a program with its own words, no shell)


def install_shim(bin_dir: Path, real: Path, python: str) -> Path:
    """Writes launchers `fly` and `flyctl` that lead to the shim; gives the path of `fly`."""
    windows = sys.platform == "win32"
    return write_launchers(
        bin_dir, launcher_text(python, "shim", [str(real)], windows=windows), windows=windows
    )


if __name__ == "__main__":
    execute()
