"""Owns a small wizard to be killed: it runs one changing command and says when it has started."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from flywizard.adapters.fly import FlyRunner
from flywizard.plan import Command


async def main(executable: str, root: str, runs: str, attempt: str, guarded: str, *words: str) -> None:
    fly = FlyRunner(Path(executable), Path(root), Path(runs), os.environ, list)
    command = Command(("fly", *words), changes=True, guarded=guarded == "guarded")
    await fly.run(command, attempt=attempt, on_started=lambda born: print(json.dumps(dict(born)), flush=True))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
