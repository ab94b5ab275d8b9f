"""Owns which state folder a session works in: it follows name and organisation, and never takes another's unasked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flywizard.backstage import Backstage
from flywizard.draft import read_draft
from flywizard.session_state import State
from flywizard.state_folder import Pair, project_state_dir, recorded_pair
from flywizard.text import shorten_home

DRAFT = "draft.toml"


class Place:
    """The state folder of the answers as they stand.

    A folder that was made for another repository or organisation is left alone: until the user agrees (or
    chooses another name) the session keeps its draft in a folder of its own beside it.
    """

    def __init__(self, back: Backstage, state: State) -> None:
        self._back, self._state = back, state
        self._key: tuple[str, str] | None = None
        self._path: Path | None = None

    def _wanted(self) -> tuple[str, str]:
        return self._state.value("project.name"), self._state.value("signin.organization")

    def folder(self) -> Path:
        """Return the folder, made when it is first asked for.

        Raises:
            StateError: it cannot be made, is a symbolic link, or others can read it.
        """
        wanted = self._wanted()
        if self._path is None or self._key != wanted:
            name, organization = wanted
            found = project_state_dir(self._back.project_root, organization, name, self._back.environ)
            self._state.foreign = found.recorded
            if found.recorded is not None:
                mark = hashlib.sha256(f"{self._back.project_root.resolve()}\0{organization}".encode())
                aside = f"{name}-{mark.hexdigest()[:8]}"
                found = project_state_dir(self._back.project_root, organization, aside, self._back.environ)
            moved = self._path is None or self._path != found.path
            self._key, self._path = wanted, found.path
            if moved:
                self._read_draft(found.path)
        return self._path

    def _read_draft(self, path: Path) -> None:
        draft = path / DRAFT
        if draft.exists():
            self._state.draft.put("draft", read_draft(draft.read_text("utf-8", "replace")))
            self._state.refresh()

    def look(self) -> None:
        """Compare without making anything: is the folder of the answers somebody else's?"""
        name, organization = self._wanted()
        there = recorded_pair(name, self._back.environ)
        root = str(self._back.project_root.resolve())
        same = there is None or (
            there.root == root
            and (there.organization == organization or "" in (there.organization, organization))
        )
        self._state.foreign = None if same else there

    def adopt(self) -> None:
        """Take the folder over, after the user agreed. Raises StateError."""
        name, organization = self._wanted()
        project_state_dir(self._back.project_root, organization, name, self._back.environ).adopt()
        self._key = self._path = None
        self._state.foreign = None


def foreign_words(pair: Pair, name: str) -> str:
    """Return the question that a folder of somebody else's raises."""
    organization = f" in `{pair.organization}`" if pair.organization else ""
    return f"`{name}` is in use: this computer keeps its state for `{shorten_home(pair.root)}`{organization}"


def foreign_hint(pair: Pair) -> str:
    """Return the ways on."""
    here = "was it moved, or renamed?" if not Path(pair.root).is_dir() else "is it another project?"
    return f"{here} Name this one differently with `--name NAME`, or take the state over: run `flywizard` on a terminal"
