"""Owns reading a deploy's lines as they come: phases that never go back, machines, and what went wrong.

stdout and stderr are two pipes, so their order is approximate: a line moves the phase forward or not at all.
While a new machine is checked flyctl is silent; a step then looks at the machine itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from flywizard.flyctl.build_output import BuildReader
from flywizard.flyctl.decode import Release, deployed_release
from flywizard.flyctl.plaintext import plain_short

Phase: TypeAlias = Literal[
    "start", "config", "build", "push", "image", "release", "addresses", "volumes", "release command",
    "machines", "dns", "done",
]  # fmt: skip
PHASES: tuple[Phase, ...] = (
    "start", "config", "build", "push", "image", "release", "addresses", "volumes", "release command",
    "machines", "dns", "done",
)  # fmt: skip
State: TypeAlias = Literal[
    "created",
    "updating",
    "starting",
    "started",
    "checking",
    "healthy",
    "done",
    "failed",
    "canceled",
    "standby",
]
_FINISHED: frozenset[State] = frozenset({"done", "failed", "canceled", "standby"})
LOG_LINES = 100

_STATUS = re.compile(r"^(?P<glyph>[ >✔✖]) (?:\[\s*(?P<i>\d+)/(?P<n>\d+)\] )?(?P<text>.*)$")
_MACHINE = re.compile(r"(?:[Mm]achine )?\b(?P<id>[0-9a-f]{14}|\d{10,})\b(?: \[(?P<group>[^\]]+)\])?")
_PLANNED = re.compile(r'^ \* create (\d+) "([^"]+)" machines?(?: and (\d+) standby)?')
_VOLUME = re.compile(r"^Creating a .* volume named '([^']+)'")
_ADDRESS = re.compile(r"^  (?:Dedicated|Shared|Private) ipv[46]: (\S+)")
_IP_FAILED = re.compile(
    r"Failed to provision IP addresses\..*?(?:ERROR: (?P<reason>.*?))?(?P<rest>Finished launching new machines)?$"
)
_ROW = re.compile(r"^  (?P<process>.*?)\s*\| ?(?P<addresses>.*)$")

_TEXTS: tuple[tuple[str, Phase], ...] = (
    ("==> Verifying app config", "config"),
    ("Validating ", "config"),
    ("==> Building image", "build"),
    ("==> Creating build context", "build"),
    ("==> Pushing image", "push"),
    ("Searching for image ", "image"),
    ("image found:", "image"),
    ("image: ", "image"),
    ("Watch your deployment at", "release"),
    ("Provisioning ip", "addresses"),
    ("This deployment will:", "machines"),
    ("Process groups have changed.", "machines"),
    ("Updating existing machines in", "machines"),
    ("No machines in group", "machines"),
    ("Creating green machines", "machines"),
    ("Finished launching new machines", "machines"),
    ("Checking DNS configuration", "dns"),
    ("Visit your newly deployed app", "done"),
    ("Your app is deployed but", "done"),
    ("Your your newly deployed app", "done"),
)
_BLUEGREEN = re.compile(
    r"^(?:Verifying if app|Creating green|Waiting (?:for|before)|Marking green|Checkpointing|Stopping all blue"
    r"|Destroying all blue|Deployment Complete|Rolling back failed)"
)


@dataclass(frozen=True, slots=True)
class MachineProgress:
    """Where one machine stands, by what flyctl said."""

    id: str
    group: str = ""
    state: State = "created"
    reason: str = ""
    checks: str = ""
    """Passed and all health checks, e.g. ``0/1``."""


@dataclass(frozen=True, slots=True)
class DeployProgress:
    """Where a deploy stands."""

    phase: Phase
    text: str
    group: str = ""
    machine: str = ""
    done: int | None = None
    """Machines finished (or build steps, in the phases build and push)."""
    total: int | None = None


@dataclass(frozen=True, slots=True)
class ListenWarning:
    """The app does not listen where fly-proxy asks; a deploy with this exits 0."""

    wanted: tuple[str, ...]
    """e.g. ``0.0.0.0:8000``."""
    found: tuple[tuple[str, str], ...]
    """(process, address), without Fly's own."""


class DeployReader:
    """Reads one deploy. Feed every line with its stream; ask it at any time and at the end."""

    def __init__(self) -> None:
        self.phase: Phase = "start"
        self.build = BuildReader()
        self.release: Release | None = None
        self.machines: dict[str, MachineProgress] = {}
        self.addresses: list[str] = []
        self.volumes: list[str] = []
        self.ip_failure: str = ""
        """Why no address could be allocated; the exit code stays 0."""
        self.release_command_machine: str = ""
        self.release_command_log: list[str] = []
        self.crash_log: list[str] = []
        self.failed: list[str] = []
        """Texts of the ``✖`` lines that are not mere cancellations."""
        self._planned = 0
        self._slots = 0
        self._updating = False
        self._standby_next = False
        self._wanted: list[str] = []
        self._found: list[tuple[str, str]] = []
        self._block: Literal["", "listen", "release log", "crash log"] = ""

    @property
    def listen_warning(self) -> ListenWarning | None:
        """Return the warning about the listening address, if there was one."""
        return ListenWarning(tuple(self._wanted), tuple(self._found)) if self._wanted else None

    @property
    def total(self) -> int | None:
        """Return the number of machines this deploy makes or updates, once flyctl has said it."""
        return max(self._planned + self._slots, self.done) or None

    @property
    def done(self) -> int:
        """Return the number of machines that are finished, well or not."""
        return sum(m.state in _FINISHED for m in self.machines.values())

    def feed(self, stream: Literal["stdout", "stderr"], line: str) -> Iterator[DeployProgress]:
        """Take one line; yield progress when it says something new."""
        if (line.startswith('{"') and '"vertexes"' in line) or line.startswith(('{"statuses"', '{"logs"')):
            yield from self._built(line)
            return
        for part in plain_short(line).split("\n"):
            yield from self._line(stream, part)

    def feed_all(self, lines: Iterable[tuple[Literal["stdout", "stderr"], str]]) -> list[DeployProgress]:
        """Take many lines."""
        return [step for stream, line in lines for step in self.feed(stream, line)]

    def _to(self, phase: Phase) -> None:
        if PHASES.index(phase) > PHASES.index(self.phase):
            self.phase = phase

    def _say(self, text: str, group: str = "", machine: str = "") -> DeployProgress:
        counted = self.phase == "machines"
        return DeployProgress(
            self.phase, text, group, machine, self.done if counted else None, self.total if counted else None
        )

    def _built(self, line: str) -> Iterator[DeployProgress]:
        progress = self.build.feed(line)
        if self.phase in ("build", "push"):
            self._to("push" if progress and progress.phase in ("pushing", "pushed") else "build")
            if progress is not None:
                yield DeployProgress(self.phase, progress.text, done=progress.done, total=progress.total)

    def _line(self, stream: str, line: str) -> Iterator[DeployProgress]:
        if self._block and self._in_block(line):
            return
        if stream == "stderr" and (found := _IP_FAILED.search(line)):
            self.ip_failure = (found["reason"] or "no reason given").strip()
            line = found["rest"] or ""
        for start, phase in _TEXTS:
            if line.startswith(start):
                self._to(phase)
                yield self._say(line.removeprefix("==> ").strip())
        if stream == "stderr" and self.phase in ("build", "push", "image"):
            yield from self._built(line)
        self._open_block(line)
        if line.startswith("Updating existing machines in"):
            self._updating = "bluegreen" not in line
        if line.startswith('{"') and (release := deployed_release(line)):
            self.release = release
            self._to("done")
            yield self._say(f"Release {release.version} is complete")
        elif found := _ADDRESS.match(line):
            self.addresses.append(found[1])
        elif found := _VOLUME.match(line):
            self._to("volumes")
            self.volumes.append(found[1])
            yield self._say(line)
        elif found := _PLANNED.match(line):
            self._planned += int(found[1]) + int(found[3] or 0)
        elif " release_command: " in line and line.startswith("Running "):
            self._to("release command")
            yield self._say(line.partition("release_command: ")[2], group="release command")
        elif line.startswith("Creating a standby machine"):
            self._standby_next = True
        elif stream == "stderr" and self._is_bluegreen(line):
            yield from self._bluegreen(line)
        elif stream == "stdout" and (found := _STATUS.match(line)) and found["glyph"] != " ":
            yield from self._status(found["glyph"], found["n"], found["text"])

    # ``> [1/2] …`` lines, of both dialects

    def _status(self, glyph: str, slots: str | None, text: str) -> Iterator[DeployProgress]:
        if self._updating:
            self._slots = max(self._slots, int(slots or 1))
        found = _MACHINE.search(text)
        if "release_command" in text:
            self._to("release command")
            if found:
                self.release_command_machine = found["id"]
            yield self._say(text, group="release command", machine=self.release_command_machine)
            return
        if self.phase == "release command" and (found is None or found["id"] == self.release_command_machine):
            yield self._say(text, group="release command", machine=self.release_command_machine)
            return
        self._to("machines")
        if glyph == "✖" and "canceled" not in text:
            self.failed.append(text)
        if found is None:
            yield self._say(text)
            return
        state = self._state(glyph, text)
        if state is not None:
            self._set(found["id"], found["group"] or "", state, text)
        machine = self.machines.get(found["id"])
        yield self._say(text, group=machine.group if machine else "", machine=found["id"])

    def _state(self, glyph: str, text: str) -> State | None:
        if glyph == "✖":
            return "canceled" if "canceled" in text else "failed"
        if text.endswith("was created") or text.startswith("Created machine"):
            return "standby" if self._standby_next else "created"  # a tick here does not mean finished
        if (
            "update finished: success" in text
            or "update succeeded" in text
            or "is now in a good state" in text
        ):
            return "done"
        if "to become healthy" in text or text.startswith(("Checking health", "Running machine checks")):
            return "checking"
        if text.startswith(("Checking that", "Running smoke checks")):
            return "checking"
        if "has state: started" in text:
            return "started"
        if "to have state: started" in text or "to reach a good state" in text:
            return "starting"
        if text.startswith(("Updating", "Replacing", "Acquiring", "Acquired", "Updated machine config")):
            return "updating"
        return None  # "reached started state" is printed even when the wait failed

    def _set(self, machine: str, group: str, state: State, text: str = "") -> None:
        known = self.machines.get(machine) or MachineProgress(machine)
        if known.state in _FINISHED and state not in _FINISHED:
            state = known.state
        checks = re.search(r"healthy: (\d+/\d+)", text) or re.search(r"- (\d+/\d+) passing", text)
        reason = text.partition("failed: ")[2] if state == "failed" else known.reason
        self.machines[machine] = replace(
            known,
            group=group or known.group,
            state=state,
            reason=reason,
            checks=checks[1] if checks else known.checks,
        )
        if state == "standby":
            self._standby_next = False

    def _is_bluegreen(self, line: str) -> bool:
        if self.phase == "machines":
            return line.startswith("  ") or bool(_BLUEGREEN.match(line))
        return self.phase in ("release", "release command") and bool(_BLUEGREEN.match(line))

    def _bluegreen(self, line: str) -> Iterator[DeployProgress]:
        self._to("machines")
        text = line.strip()
        found = _MACHINE.search(text)
        if found is None:
            yield self._say(text)
            return
        if text.startswith("Created machine"):
            self._set(found["id"], found["group"] or "", "created")
            self._planned += 1
        elif text.endswith("now ready"):
            self._set(found["id"], found["group"] or "", "done")
        elif found["id"] in self.machines:
            passing = text.endswith("passing")
            self._set(found["id"], found["group"] or "", "checking" if passing else "started", text)
        yield self._say(text, group=found["group"] or "", machine=found["id"])

    # Blocks of free text

    def _open_block(self, line: str) -> None:
        if "The app is not listening on the expected address" in line:
            self._block = "listen"
        elif line.startswith("Checking logs: fetching the last"):
            self._block = "release log"
        elif line.startswith("Check its logs: here's the last lines below"):
            self._block = "crash log"

    def _in_block(self, line: str) -> bool:
        """Take a line that belongs to the open block; False closes it and hands the line back."""
        if line.startswith(("> ", "✔ ", "✖ ", "==> ", "--> ", "Watch your")):
            return False  # the other stream
        match self._block:
            case "listen":
                if line.startswith("  - "):
                    self._wanted.append(line[4:].strip())
                elif found := _ROW.match(line):
                    self._row(found["process"].strip(), found["addresses"])
                elif not line.startswith(("You can fix", "Found these", "  ---", "----", "  PROCESS")):
                    self._block = ""
                    return False
            case "release log":
                if line.startswith(
                    ("Error: release command failed", "timeout waiting for release command logs")
                ):
                    self._block = ""
                    return False
                self._log(self.release_command_log, line)
            case _:
                self._log(self.crash_log, line)
        return True

    def _row(self, process: str, addresses: str) -> None:
        process = process or (self._found[-1][0] if self._found else "")
        if process in ("PROCESS", "") or process.startswith("/.fly/"):
            return
        self._found += [(process, a.strip()) for a in addresses.split(",") if a.strip()]

    @staticmethod
    def _log(log: list[str], line: str) -> None:
        if line.strip():
            log.append(line)
            del log[: max(0, len(log) - LOG_LINES)]
