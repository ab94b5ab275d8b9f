"""Owns reading the recordings of flyctl for tests."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from flywizard.ports import Ended

FOLDER = Path(__file__).parents[1] / "recordings"


@cache
def recording(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    if data["stderr"] == "(see lines)":
        data["stderr"] = "".join(f"{text}\n" for _, stream, text in data["lines"] if stream == "E")
    return data


def names(prefix: str) -> list[str]:
    found = sorted(path.stem for path in FOLDER.glob(f"{prefix}*.json"))
    assert found, f"no recordings called {prefix}*"
    return found


def stdout(name: str) -> str:
    return str(recording(name)["stdout"])


def stderr(name: str) -> str:
    return str(recording(name)["stderr"])


def ended(name: str) -> Ended:
    data = recording(name)
    return Ended(data["exit_code"], data["stdout"], data["stderr"], signalled=bool(data.get("signal")))


def lines(name: str) -> list[tuple[str, str]]:
    return [("stdout" if s == "O" else "stderr", text) for _, s, text in recording(name)["lines"]]
