"""Owns keyring backends for PYTHON_KEYRING_BACKEND: in a file, locked, slow."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend


class KeyringLocked(Exception):  # noqa: N818
    """Named as keyring's own."""


class InFile(KeyringBackend):
    """Keeps values in the file that FLYWIZARD_TEST_KEYRING names."""

    priority = 5

    def _read(self) -> dict[str, str]:
        path = Path(os.environ["FLYWIZARD_TEST_KEYRING"])
        found = json.loads(path.read_text()) if path.exists() else {}
        return {str(k): str(v) for k, v in found.items()}

    def _write(self, values: dict[str, str]) -> None:
        Path(os.environ["FLYWIZARD_TEST_KEYRING"]).write_text(json.dumps(values))

    def get_password(self, service: str, username: str) -> str | None:
        return self._read().get(f"{service}|{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write(self._read() | {f"{service}|{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        values = self._read()
        del values[f"{service}|{username}"]
        self._write(values)


class Locked(InFile):
    """Is locked."""

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("Failed to unlock the collection!")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("Failed to unlock the collection!")


class Slow(InFile):
    """Never answers."""

    def set_password(self, service: str, username: str, password: str) -> None:
        time.sleep(600)
