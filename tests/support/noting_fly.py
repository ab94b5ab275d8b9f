"""Owns a `fly` that notes its arguments and environment, repeats secrets in pieces, and then is the stand-in.

Run as a script: NOTES and VALUES are files named beside it.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import urllib.parse
from pathlib import Path


def main() -> None:
    """Note, speak, become the stand-in."""
    here = Path(__file__).parent
    with (here / "notes.jsonl").open("a") as notes:
        notes.write(json.dumps({"argv": sys.argv, "environ": dict(os.environ)}) + "\n")
    if sys.argv[1:2] == ["deploy"]:
        for value in json.loads((here / "values.json").read_text()).values():
            first = value.splitlines()[0] if not value.startswith("-----") else value.splitlines()[1]
            for text in (
                first,
                urllib.parse.quote(first, safe=""),
                base64.b64encode(first.encode()).decode(),
                json.dumps(first),
            ):
                half = len(text) // 2
                for stream in (sys.stdout, sys.stderr):
                    stream.write(f"echo {text[:half]}")
                    stream.flush()
                time.sleep(0.001)
                for stream in (sys.stdout, sys.stderr):
                    stream.write(f"{text[half:]} end\n")
                    stream.flush()
    target = (here / "target").read_text()
    os.execv(target, [target, *sys.argv[1:]])


if __name__ == "__main__":
    main()
