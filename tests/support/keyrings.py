"""Owns a keyring backend for tests, with the switches that real ones show."""

from __future__ import annotations

import threading
from typing import Literal

Mood = Literal["good", "absent", "locked", "slow", "lies", "forgets", "too-long", "raises", "ssh"]


class KeyringLocked(Exception):  # noqa: N818
    """Named as keyring's own."""


class NoKeyringError(RuntimeError):
    """Named as keyring's own."""


class FakeBackend:
    """Keeps values in a dictionary; ``mood`` says how badly, ``release`` ends a slow call."""

    priority = 5.0

    def __init__(self, mood: Mood = "good") -> None:
        self.mood: Mood = mood
        self.values: dict[tuple[str, str], str] = {}
        self.calls: list[tuple[str, str]] = []
        self.release = threading.Event()

    def _act(self, what: str, username: str, value: str = "") -> None:
        self.calls.append((what, username))
        match self.mood:
            case "absent":
                raise NoKeyringError("install keyrings.alt")
            case "locked":
                raise KeyringLocked("Failed to unlock the collection!")
            case "slow":
                self.release.wait(30)
            case "too-long" if len(value) > 1280:
                raise OSError("(1783, 'CredWrite', 'The stub received bad data.')")
            case "raises":
                raise ValueError(f"bad value {value}")
            case "ssh":
                raise OSError("Can't store password on keychain: (-25308, 'Unknown Error')")
            case _:
                return

    def get_password(self, service: str, username: str) -> str | None:
        self._act("get", username)
        found = self.values.get((service, username))
        return found if self.mood != "lies" or found is None else found[::-1] + "x"

    def set_password(self, service: str, username: str, password: str) -> None:
        self._act("set", username, password)
        if self.mood != "forgets":
            self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._act("delete", username)
        del self.values[service, username]


FakeBackend.__module__ = "keyring.backends.SecretService"
