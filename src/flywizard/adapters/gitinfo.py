"""Owns asking git: commit, branch, changed files, a file as it was. Runs nothing a repository configures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flywizard.adapters.process import child_environment, run_child
from flywizard.ports import Ended
from flywizard.text import clean

LIMIT = 5.0
"""Seconds for one call of git."""


@dataclass(frozen=True, slots=True)
class GitInfo:
    """What git says of a working tree."""

    state: Literal["ok", "no-git", "no-repository", "slow", "broken"]
    commit: str = ""
    """40 (or 64) hex digits; empty before the first commit."""
    branch: str = ""
    """Empty on a detached head."""
    changed: tuple[str, ...] = ()
    """Paths from the repository's top that differ from the commit, also files git does not know."""
    text: str = ""
    """For ``broken``: what git said, clean."""

    @property
    def dirty(self) -> bool:
        """Tell whether something is not committed."""
        return bool(self.changed)


async def git_info(root: Path, environ: Mapping[str, str], *, limit: float = LIMIT) -> GitInfo:
    """Look at the repository around ``root``; never fails, ``state`` says what was found."""
    try:
        filters = await _filters(root, environ, limit)
        ended = await _git(
            root,
            environ,
            limit,
            *filters,
            "status",
            *("--porcelain=v2", "--branch", "-z", "--untracked-files=normal", "--ignore-submodules=all"),
        )
    except FileNotFoundError:
        return GitInfo("no-git")
    except OSError as error:
        return GitInfo("broken", text=error.strerror or type(error).__name__)
    if ended.timed_out:
        return GitInfo("slow")
    if ended.code != 0:
        said = clean(ended.stderr).strip()
        return GitInfo("no-repository") if "not a git repository" in said else GitInfo("broken", text=said)
    return _parsed(ended.stdout)


async def file_at(
    root: Path, environ: Mapping[str, str], commit: str, path: str, *, limit: float = LIMIT
) -> str | None:
    """Return a file's text at a commit (path from the repository's top), or None when git cannot tell."""
    if not commit or not all(c in "0123456789abcdef" for c in commit):
        return None
    try:
        ended = await _git(root, environ, limit, "cat-file", "blob", f"{commit}:{path}")
    except OSError:
        return None
    return ended.stdout if ended.code == 0 and not ended.timed_out else None


async def _filters(root: Path, environ: Mapping[str, str], limit: float) -> list[str]:
    """Return options that switch off the content filters a repository names: ``status`` would run them."""
    ended = await _git(root, environ, limit, "config", "--name-only", "--list", "-z")
    options = []
    for key in dict.fromkeys(ended.stdout.split("\0")):
        section, _, rest = key.partition(".")
        name, _, last = rest.rpartition(".")
        if (
            section.lower() == "filter"
            and last.lower() in ("clean", "process", "required")
            and "=" not in name
        ):
            options += ["-c", f"filter.{name}.{last}={'false' if last.lower() == 'required' else ''}"]
    return options


async def _git(root: Path, environ: Mapping[str, str], limit: float, *arguments: str) -> Ended:
    argv = [
        *("git", "--no-optional-locks", "--no-pager", "-c", "core.fsmonitor=false"),
        *(
            "-c",
            f"core.hooksPath={os.devnull}",
            "-c",
            "core.quotePath=false",
            "-c",
            "submodule.recurse=false",
        ),
        *arguments,
    ]
    environment = child_environment(
        environ, {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_PROTOCOL_FROM_USER": "0"}
    )
    return await run_child(argv, cwd=root, env=environment, timeout=limit)


def _parsed(output: str) -> GitInfo:
    commit = branch = ""
    changed: list[str] = []
    records = iter(output.split("\0"))
    for record in records:
        kind, _, rest = record.partition(" ")
        match kind:
            case "#":
                key, _, value = rest.partition(" ")
                if key == "branch.oid" and value != "(initial)":
                    commit = value
                elif key == "branch.head" and value != "(detached)":
                    branch = clean(value)
            case "1" | "u":
                changed.append(clean(rest.split(" ", 7 if kind == "1" else 9)[-1]))
            case "2":
                changed.append(clean(rest.split(" ", 8)[-1]))
                next(records, "")  # the name it had before
            case "?":
                changed.append(clean(rest))
            case _:
                continue
    return GitInfo("ok", commit, branch, tuple(changed))
