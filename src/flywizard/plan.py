"""Owns the plan: commands as values, steps, and the checked graph of them."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from flywizard.events import StepError as StepError
from flywizard.events import StepInfo
from flywizard.vault import MASK

if TYPE_CHECKING:
    from flywizard.ports import Context

Verb: TypeAlias = Literal["create", "reuse", "change", "skip", "run", "set", "write"]
State: TypeAlias = Literal["present", "absent", "different", "unknown"]
CHANGING: frozenset[str] = frozenset({"create", "change", "run", "set", "write"})


class PlanError(ValueError):
    """The steps do not form a plan: a repeated id, an unknown need, or a cycle."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line as a value: shown in the Review, logged and run from the same object. No shell."""

    argv: tuple[str, ...]
    """First word ``fly``; the process adapter replaces it by the executable that was found."""
    stdin: tuple[str, ...] = ()
    """Names of the values that go in over stdin; shown as ``NAME=••••``."""
    guarded: bool = False
    """Run behind the loopback guard (guard.md §11): it creates or changes something over Fly's APIs."""
    changes: bool = False
    """It changes something outside this machine, so a keeper runs it."""
    env: tuple[tuple[str, str], ...] = ()
    """Additions to the child's environment, never secret."""
    timeout: float = 60.0
    """Our own limit in seconds; flyctl has none."""
    private: bool = False
    """Its output holds secrets in clear (``mpg status``): kept in memory, never logged."""

    def shown(self) -> str:
        """Return the line to show and copy; secret values as ``••••``."""
        line = shlex.join(self.argv)
        if self.stdin:
            line += " < " + " ".join(f"{name}={MASK}" for name in self.stdin)
        return line


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look found: the state of the thing, one line about it, and facts for later steps."""

    state: State
    text: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Not secret: written to the journal with ``done``."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One price of the Review."""

    what: str
    usd: float
    """US dollars a month, before rounding."""
    source: str
    date: str
    about: bool = False
    """A guess: shown with "about"."""
    idle_usd: float | None = None
    """What is billed when nothing runs; None where it is the same."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that the plan writes, with the whole texts before and after."""

    path: str
    """Relative to the repository root, with ``/``."""
    before: str | None
    after: str

    @property
    def verb(self) -> Literal["create", "change", "same"]:
        """Tell whether the file is new, changed, or the same byte for byte."""
        if self.before is None:
            return "create"
        return "same" if self.before == self.after else "change"

    def diff(self) -> str:
        """Return the unified diff."""
        import difflib

        old = [] if self.before is None else self.before.splitlines(keepends=True)
        return "".join(
            line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(
                old,
                self.after.splitlines(keepends=True),
                "/dev/null" if self.before is None else f"a/{self.path}",
                f"b/{self.path}",
            )
        )


ProbeFunction: TypeAlias = "Callable[[Context], Awaitable[Probe]]"
ApplyFunction: TypeAlias = "Callable[[Context], Awaitable[Probe]]"
UndoFunction: TypeAlias = "Callable[[Context], Awaitable[str]]"


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the plan.

    ``probe`` only reads and says whether the thing is there; ``apply`` makes it so, and returns what
    a probe would now find. Both are given the run's Context.
    """

    id: str
    """Dotted and stable, e.g. ``app.helpdesk-api``, ``build.api``, ``release.helpdesk-api``."""
    title: str
    resource: str
    """The word in the Review's column "what": app, Managed Postgres, extension, secrets, file …"""
    name: str
    why: str
    """Where the wish comes from: file:line, "you", "default", "flywizard.toml"."""
    verb: Verb
    """The verb when the thing is absent."""
    probe: ProbeFunction
    apply: ApplyFunction
    undo: UndoFunction | None = None
    needs: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    costs: tuple[Cost, ...] = ()
    expected: tuple[float, float] | None = None
    """Usual duration as (low, high) in seconds."""
    irreversible: bool = False
    paid: bool = False
    """It creates something that is billed: never repeated before a look-up proved absence."""
    exclusive: str = ""
    """Steps with the same word here run one at a time (``secrets``: flyctl keeps a version file)."""
    skippable: str = ""
    """What breaks when the user skips it; empty: it may not be skipped."""
    reads: bool = False
    """It only looks (a smoke test): it does not count as a change."""

    def info(self, verb: str | None = None) -> StepInfo:
        """Return what fronts draw."""
        return StepInfo(self.id, self.title, self.needs, verb or self.verb, self.expected)


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked set of steps in display order, with the files they write."""

    project: str
    steps: tuple[Step, ...]
    files: tuple[FileChange, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    """What the plan rests on: name to digest (files, answers, remote serials); re-checked before applying."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen:
                raise PlanError(f"two steps are called `{step.id}`")
            seen.add(step.id)
        for step in self.steps:
            for need in step.needs:
                if need not in seen:
                    raise PlanError(f"`{step.id}` needs `{need}`, which is not in the plan")
        try:
            TopologicalSorter({s.id: s.needs for s in self.steps}).prepare()
        except CycleError as error:
            raise PlanError(f"the steps wait for each other: {' → '.join(error.args[1])}") from None

    def __getitem__(self, step_id: str) -> Step:
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    @property
    def digest(self) -> str:
        """Return 16 hex digits over everything that decides what would be done."""
        body: dict[str, Any] = {
            "project": self.project,
            "steps": [
                [s.id, s.verb, s.name, list(s.needs), [list(c.argv) for c in s.commands]] for s in self.steps
            ],
            "files": [[f.path, f.after] for f in self.files],
            "inputs": dict(sorted(self.inputs.items())),
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
