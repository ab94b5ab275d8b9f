"""Owns a session's flywizard.toml: peeked at for a quick start, read in full before it counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flywizard.draft import Answer
from flywizard.session_state import State, environment_answers
from flywizard.spec_faults import SpecError, SpecFault

SPEC_FILE = "flywizard.toml"


class SpecFile:
    """The file of one repository."""

    def __init__(self, root: Path, state: State) -> None:
        self._root, self._state = root, state
        self._loaded = False

    def load(self) -> None:
        """Read flywizard.toml, where there is one. Raises SpecError."""
        self._loaded = True
        text = self._text()
        if text is None:
            return
        from flywizard.spec import load

        self._state.spec_text = text
        self._state.spec = load(text, SPEC_FILE)
        self._state.draft.put("flywizard.toml", environment_answers(self._state.spec))

    def _text(self) -> str | None:
        try:
            return (self._root / SPEC_FILE).read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
            raise SpecError([SpecFault(SPEC_FILE, None, f"can't be read: {why}")]) from None

    def peek(self) -> None:
        """Take project, organisation and region, as far as they are plain to see."""
        import tomllib

        try:
            table = tomllib.loads(self._text() or "")
        except (tomllib.TOMLDecodeError, SpecError, RecursionError):
            return
        names = {"name": "project.name", "organization": "signin.organization", "region": "signin.region"}
        found = {field: table[key] for key, field in names.items() if isinstance(table.get(key), str)}
        self._state.draft.put("flywizard.toml", {k: Answer(v, "flywizard.toml") for k, v in found.items()})

    async def load_late(self) -> None:
        """Read flywizard.toml in full, when that was put off; faults are shown on Home and on each page."""
        if self._loaded:
            return
        try:
            await asyncio.to_thread(self.load)
        except SpecError as error:
            self._state.spec_faults = tuple(str(fault) for fault in error.faults)
        self._state.refresh()
