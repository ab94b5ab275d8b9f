"""Owns the World's place on disk: one JSON file, written whole and at once, readable by its owner only."""

from __future__ import annotations

import json
import os
from pathlib import Path

from flywizard.rehearsal.clock import Durations
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import JSON

WORLD = "world.json"
SERVER = "server.json"


class StateFolder:
    """The folder of one rehearsal's World."""

    def __init__(self, path: Path) -> None:
        """Use (and make, 0700) the folder ``path``."""
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self, *, durations: Durations | None = None) -> tuple[World, Faults] | None:
        """Return the saved World and the switches that are still set, or None when there is none.

        Raises:
            ValueError: the file is damaged or of another format.
        """
        try:
            text = (self.path / WORLD).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        data = json.loads(text)
        return World.from_json(data["world"], durations=durations), Faults(data["faults"])

    def save(self, world: World, faults: Faults) -> None:
        """Write the World and the switches."""
        self.write(WORLD, {"world": world.to_json(), "faults": faults.texts()})

    def read_server(self) -> JSON | None:
        """Return {"pid", "port", "edge_port", "url", "edge_url", "control", "speed"} of the last server, or None."""
        try:
            found = json.loads((self.path / SERVER).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, data: JSON) -> None:
        """Write one JSON file by a temporary file beside it and a rename, mode 0600."""
        beside = self.path / f".{name}.{os.getpid()}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, separators=(",", ":"), ensure_ascii=False)
        os.replace(beside, self.path / name)

    def forget_server(self, pid: int) -> None:
        """Drop ``server.json`` if it is this process's."""
        found = self.read_server()
        if found is not None and found.get("pid") == pid:
            (self.path / SERVER).unlink(missing_ok=True)
