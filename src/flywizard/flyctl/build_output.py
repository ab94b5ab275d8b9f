"""Owns reading a build's lines as they come: BuildKit's raw JSON, BuildKit's plain text, the classic builder.

With raw JSON every step is known before it starts, so the counts are exact. Plain text hides steps that run
beside another, so it has no total. The classic builder counts instructions.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from flywizard.flyctl.plaintext import plain, plain_short

BuildPhase: TypeAlias = Literal["waiting", "building", "pushing", "pushed"]
_ORDER: dict[BuildPhase, int] = {"waiting": 0, "building": 1, "pushing": 2, "pushed": 3}
KEEP = 200
"""Log lines kept of one step."""

_PLAIN = re.compile(r"^#(\d+) (.*)$")
_CLASSIC = re.compile(r"^Step (\d+)/(\d+) : (.*)$")
_LAYER = re.compile(r"^([0-9a-f]{12}): (Preparing|Waiting|Pushing|Pushed|Layer already exists)\b")
_SECONDS = re.compile(r"^\d+\.\d+ ")
_RULE = re.compile(r"^-{6}$")


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """Where a build stands."""

    phase: BuildPhase
    text: str
    """The step that runs, in BuildKit's or Docker's words."""
    done: int | None = None
    total: int | None = None
    """None where nobody knows it."""


@dataclass(slots=True)
class _Step:
    name: str
    number: int
    running: bool = False
    completed: bool = False
    cached: bool = False
    error: str = ""
    shown: bool = False
    log: list[str] = field(default_factory=list)


class BuildReader:
    """Reads one build. Feed every line of stderr (and stdout), in order; ask it at any time."""

    def __init__(self) -> None:
        self.phase: BuildPhase = "waiting"
        self.image: str = ""
        """The pushed reference, once flyctl has named it."""
        self.size: str = ""
        self.said: tuple[str, ...] = ()
        """What the last line says to a reader; raw JSON decoded, so it has to be masked and cleaned again."""
        self._steps: dict[str, _Step] = {}
        self._done = 0
        self._exact = False
        self._classic: tuple[int, int] | None = None
        self._layers: dict[str, bool] = {}
        self._between: list[str] | None = None
        self._block: list[str] = []
        self._run: list[str] = []
        self._text = "Waiting for the builder"

    def feed(self, line: str) -> BuildProgress | None:
        """Take one line; return the new state of progress when it changed."""
        before = self.progress
        self.said = ()
        if line.startswith('{"') and self._raw(line):
            self._to("building")
        else:
            self.said = (line,)
            for part in plain_short(line).split("\n"):
                self._line(part)
        after = self.progress
        return after if after != before else None

    @property
    def progress(self) -> BuildProgress:
        """Return where the build stands."""
        done: int | None = None
        total: int | None = None
        if self.phase == "pushing" and self._layers:
            done, total = sum(self._layers.values()), len(self._layers)
        elif self._classic is not None:
            done, total = self._classic[0] - (self.phase == "building"), self._classic[1]
        elif self._exact:
            done, total = self._done, len(self._steps)
        elif self._steps:
            done = self._done
        return BuildProgress(self.phase, self._text, done, total)

    @property
    def cached(self) -> int:
        """Return how many steps came from the cache."""
        return sum(step.cached for step in self._steps.values())

    @property
    def failed_step(self) -> str:
        """Return the name of the step that failed, or an empty text."""
        for step in reversed(self._steps.values()):
            if step.error and "canceled" not in step.error.lower():
                return step.name
        return ""

    @property
    def failure_log(self) -> tuple[str, ...]:
        """Return the last lines of the step that failed: the reason, which flyctl's own error leaves out."""
        if self._block:
            return tuple(self._block)
        for step in reversed(self._steps.values()):
            if step.error and "canceled" not in step.error.lower() and step.log:
                return tuple(step.log)
        return tuple(self._run)

    def log_of(self, name: str) -> tuple[str, ...]:
        """Return the kept lines of a step by its name."""
        return tuple(line for step in self._steps.values() if step.name == name for line in step.log)

    def _to(self, phase: BuildPhase) -> None:
        if _ORDER[phase] > _ORDER[self.phase]:
            self.phase = phase

    def _count(self) -> None:
        # a vertex may be opened again; a bar that goes back would only alarm
        self._done = max(self._done, sum(step.completed for step in self._steps.values()))

    def _step(self, key: str, name: str) -> _Step:
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = _Step(name, len(self._steps) + 1)
        return step

    # BuildKit, raw JSON

    def _raw(self, line: str) -> bool:
        try:
            update = json.loads(line)
        except ValueError:
            return False
        if not isinstance(update, dict) or not update.keys() & {"vertexes", "statuses", "logs", "warnings"}:
            return False
        self._exact = True
        for vertex in _dicts(update, "vertexes"):
            self._vertex(vertex)
        for log in _dicts(update, "logs"):
            step = self._steps.get(str(log.get("vertex")))
            if step is not None:
                lines = _decoded(log.get("data"))
                self.said += tuple(lines)
                _keep(step.log, lines)
        for status in _dicts(update, "statuses"):
            if str(status.get("id", "")).startswith("pushing "):
                self._to("pushing")
                self._text = "Pushing the image"
        self._count()
        return True

    def _vertex(self, vertex: Mapping[str, Any]) -> None:
        name = str(vertex.get("name") or "")
        step = self._step(str(vertex.get("digest")), name)
        if vertex.get("started") and not step.shown:
            step.shown = True
            self.said += (f"{name} (cached)" if vertex.get("cached") else name,)
        if vertex.get("error") and not step.error:
            self.said += (f"ERROR: {plain(str(vertex['error']))}",)
        step.completed = bool(vertex.get("completed"))
        step.running = bool(vertex.get("started")) and not step.completed
        step.cached = bool(vertex.get("cached")) or step.cached
        step.error = str(vertex.get("error") or "")
        running = [s for s in self._steps.values() if s.running]
        if running and self.phase != "pushing":
            # the last to start, but a step of the Dockerfile rather than one of BuildKit's own
            self._text = max(running, key=lambda s: (not s.name.startswith("[internal]"), s.number)).name

    # Lines for people

    def _line(self, line: str) -> None:
        if _RULE.match(line):
            if self._between is None:
                self._between = []
            else:
                self._block = self._between[1:]
                self._between = None
            return
        if self._between is not None:
            _keep(self._between, [_SECONDS.sub("", line)])
            return
        if found := _PLAIN.match(line):
            self._plain(found.group(1), found.group(2))
        elif found := _CLASSIC.match(line):
            self._to("building")
            self._classic = (int(found.group(1)), int(found.group(2)))
            self._text = found.group(3)
            self._run = []
        elif found := _LAYER.match(line):
            self._to("pushing")
            known = self._layers.get(found.group(1), False)
            self._layers[found.group(1)] = known or found.group(2) in ("Pushed", "Layer already exists")
        else:
            self._word(line)

    def _word(self, line: str) -> None:
        if line.startswith(
            ("Waiting for depot builder", "Waiting for remote builder", "Connecting to buildkit")
        ):
            self._text = line.rstrip(".")
        elif line.startswith("==> Building image with") or line.startswith("==> Creating build context"):
            self._to("building")
            self._text = line[4:]
        elif line.startswith("==> Pushing image"):
            self._to("pushing")
            self._text = "Pushing the image"
        elif line.startswith("image: "):
            self._to("pushed")
            self.image = line[7:].strip()
            self._text = f"Pushed {self.image}"
            self._done = len(self._steps)
        elif line.startswith("image size: "):
            self.size = line[12:].strip()
        elif line.startswith(" ---> Running in"):
            self._run = []
        elif (
            self._classic is not None
            and self.phase == "building"
            and not line.startswith((" ---> ", "Error: "))
        ):
            _keep(self._run, [line] if line.strip() else [])

    def _plain(self, number: str, text: str) -> None:
        self._to("building")
        known = number in self._steps
        step = self._step(number, text)
        if not known:
            self._text = text
            step.running = True
        elif text.startswith("DONE ") or text == "CACHED":
            step.completed, step.running = True, False
            step.cached = step.cached or text == "CACHED"
        elif text.startswith("ERROR: "):
            step.error, step.running = text[7:], False
        elif text == "CANCELED":
            step.running = False
        elif text.startswith("pushing "):
            self._to("pushing")
            self._text = "Pushing the image"
        elif _SECONDS.match(text):
            _keep(step.log, [_SECONDS.sub("", text)])
        self._count()


def _dicts(update: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = update.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _decoded(data: object) -> list[str]:
    try:
        text = base64.b64decode(str(data), validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    return [line for line in plain(text).split("\n") if line.strip()]


def _keep(log: list[str], lines: list[str]) -> None:
    log.extend(lines)
    del log[: max(0, len(log) - KEEP)]
