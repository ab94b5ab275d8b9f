"""Owns the index of kept secrets: names, times, fingerprints, Fly's digests. No value is ever in it.

The OS keyring cannot list what it holds, so this file in the state directory does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flywizard.state_folder import StateError, private_folder, read_private, write_private

FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one name."""

    time: str = ""
    """When it was kept last, RFC 3339."""
    parts: int = 1
    """In how many pieces the keyring holds it; 0: not in the keyring."""
    fingerprint: str = ""
    """See ``vault.fingerprint``; of the value that was set on Fly."""
    fly: Mapping[str, str] = field(default_factory=dict)
    """App to the digest that ``fly secrets list`` showed after setting."""


class SecretIndex:
    """The index file of one project; read at each look, replaced whole at each change."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def entries(self) -> dict[str, Entry]:
        """Return name to entry; a damaged file is empty (names are found again by asking).

        Raises:
            StateError: the file is readable by others, or cannot be read.
        """
        try:
            body = json.loads(read_private(self.path))
            return {
                str(name): Entry(
                    str(raw.get("time", "")),
                    int(raw.get("parts", 1)),
                    str(raw.get("fingerprint", "")),
                    {str(app): str(digest) for app, digest in dict(raw.get("fly", {})).items()},
                )
                for name, raw in dict(body["names"]).items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}

    def kept(self, name: str, *, time: str, parts: int) -> None:
        """Note that the keyring holds a value in so many parts. Raises StateError."""
        self._change(name, replace(self.entries().get(name, Entry()), time=time, parts=parts))

    def sent(self, name: str, app: str, *, digest: str, fingerprint: str) -> None:
        """Note the digest that Fly shows for an app after setting. Raises StateError."""
        entry = self.entries().get(name, Entry(parts=0))
        self._change(name, replace(entry, fingerprint=fingerprint, fly={**entry.fly, app: digest}))

    def forget(self, name: str) -> None:
        """Take a name out. Raises StateError."""
        self._change(name, None)

    def changed_elsewhere(self, name: str, app: str, digest: str) -> bool:
        """Tell whether Fly's digest of now differs from the one noted after setting."""
        noted = self.entries().get(name, Entry()).fly.get(app)
        return noted is not None and noted != digest

    def _change(self, name: str, entry: Entry | None) -> None:
        entries = self.entries()
        entries.pop(name, None)
        if entry is not None:
            entries[name] = entry
        body = {
            "v": 1,
            "names": {
                key: {"time": e.time, "parts": e.parts, "fingerprint": e.fingerprint, "fly": dict(e.fly)}
                for key, e in sorted(entries.items())
            },
        }
        private_folder(self.path.parent)
        write_private(self.path, json.dumps(body, indent=1) + "\n")


__all__ = ["FILE", "Entry", "SecretIndex", "StateError"]
