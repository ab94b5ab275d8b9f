"""Owns rehearsals in a real terminal: the command as a user starts it, and the World behind it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.terminal import Terminal

PAGES = (
    "What a deployment needs",
    "Who deploys, and where",
    "What is in this repository",
    "Where should Postgres live?",
    "Which Kafka?",
    "Values that the code needs",
)
HOME = "What would you like to do?"
REVIEW = "nothing has been changed yet"
WIDE, NARROW = (118, 32), (80, 24)
ENTER, ESCAPE, TAB, DOWN, INTERRUPT = "\r", "\x1b", "\t", "\x1b[B", "\x03"


@contextmanager
def rehearse(
    folder: Path, *words: str, size: tuple[int, int] = WIDE, speed: int = 300, source: Path | None = None
) -> Iterator[Terminal]:
    """Start ``flywizard rehearse`` with a state folder of its own; its platform ends with it, however that is."""
    place = [str(source)] if source is not None else []
    environment = {
        "FLYWIZARD_STATE_DIR": str(folder),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    try:
        with Terminal(
            "flywizard", "rehearse", *place, "--speed", str(speed), *words, size=size, env=environment
        ) as terminal:
            yield terminal
    finally:
        for server in folder.glob("rehearsals/*/world/server.json"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(json.loads(server.read_text("utf-8"))["pid"]), signal.SIGTERM)


def to_review(terminal: Terminal) -> None:
    """Press Enter from Home on until the Review has looked."""
    for text in (HOME, *PAGES):
        terminal.shows(text)
        terminal.send(ENTER)
    terminal.shows(REVIEW)
    terminal.shows("to write")


def deploy(terminal: Terminal) -> None:
    """Go from Home into the run with Enter only."""
    to_review(terminal)
    terminal.send(ENTER)
    terminal.shows("Deploying")


def world(folder: Path, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the World of a rehearsal, or tell it something (``say``, ``faults``)."""
    server = json.loads(next(folder.glob("rehearsals/*/world/server.json")).read_text("utf-8"))
    connection = http.client.HTTPConnection("127.0.0.1", int(server["port"]), timeout=10)
    try:
        headers = {"x-rehearsal-token": str(server["control"]), "Content-Type": "application/json"}
        if body is None:
            connection.request("GET", "/_world", headers=headers)
        else:
            connection.request("POST", "/_world", json.dumps(body), headers)
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()
