"""Owns reading Dockerfiles: stages and instructions with line numbers."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field, replace

from flywizard.project import commands

_HEREDOC = re.compile(r"<<-?\s*['\"]?([A-Za-z_]\w*)['\"]?")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?::-([^}]*))?\}?")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; continuation lines joined."""

    keyword: str
    value: str
    line: int
    flags: tuple[str, ...] = ()

    def flag(self, name: str) -> str | None:
        """Return the value of ``--name=…``."""
        return next((f.split("=", 1)[1] for f in self.flags if f.startswith(f"--{name}=")), None)

    def words(self) -> tuple[str, ...]:
        """Return the words of the value, in either form."""
        exec_form = self.exec_form()
        if exec_form is not None:
            return exec_form
        try:
            return tuple(shlex.split(self.value))
        except ValueError:
            return tuple(self.value.split())

    def exec_form(self) -> tuple[str, ...] | None:
        """Return the words of the JSON form, or None."""
        if not self.value.startswith("["):
            return None
        try:
            words = json.loads(self.value)
        except ValueError:
            return None
        return tuple(words) if isinstance(words, list) and all(isinstance(w, str) for w in words) else None


@dataclass(frozen=True, slots=True)
class Stage:
    """One ``FROM`` and what follows."""

    base: str
    name: str
    line: int
    instructions: tuple[Instruction, ...] = ()

    def of(self, *keywords: str) -> tuple[Instruction, ...]:
        """Return its instructions of these kinds."""
        return tuple(i for i in self.instructions if i.keyword in keywords)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile as read."""

    path: str
    stages: tuple[Stage, ...] = ()
    arguments: dict[str, str] = field(default_factory=dict)
    """``ARG`` before the first ``FROM``."""

    @property
    def final(self) -> Stage | None:
        """Return the stage that becomes the image."""
        return self.stages[-1] if self.stages else None

    def chain(self, stage: Stage | None = None) -> tuple[Stage, ...]:
        """Return a stage (default: the final one) and those that it builds on, the nearest first."""
        out: list[Stage] = []
        here = stage or self.final
        while here is not None and here not in out:
            out.append(here)
            here = next(
                (s for s in self.stages if s.name and s.name == here.base.lower() and s is not here), None
            )
        return tuple(out)

    def last(self, keyword: str) -> Instruction | None:
        """Return the instruction that holds in the image (``CMD``, ``ENTRYPOINT``)."""
        for stage in self.chain():
            found = stage.of(keyword)
            if found:
                return found[-1]
        return None

    def start(self) -> tuple[commands.Start, Instruction] | None:
        """Return what the image runs: ENTRYPOINT and CMD together."""
        entry, cmd = self.last("ENTRYPOINT"), self.last("CMD")
        if entry is None and cmd is None:
            return None
        words: tuple[str, ...] = ()
        for instruction in (entry, cmd):
            if instruction is None:
                continue
            form = instruction.exec_form()
            if form is None and len([i for i in (entry, cmd) if i]) == 1:
                return commands.parse(instruction.value), instruction
            words += form if form is not None else instruction.words()
        found = commands.parse(words)
        passes_on = found.script or words[0].rsplit("/", 1)[-1] in {"tini", "dumb-init"} if words else False
        if cmd is not None and entry is not None and passes_on:
            # on Fly a process command replaces CMD and is still given to ENTRYPOINT
            form = cmd.exec_form()
            found = replace(found, text=commands.text_of(form) if form is not None else cmd.value)
        return found, cmd or entry  # type: ignore[return-value]  # one of them is there

    def exposed(self) -> tuple[tuple[int, int], ...]:
        """Return (port, line) of the image's EXPOSE instructions."""
        environment = self.environment()
        out: list[tuple[int, int]] = []
        for stage in self.chain():
            for instruction in stage.of("EXPOSE"):
                for word in instruction.value.split():
                    number = substitute(word, environment).split("/")[0]
                    if number.isdigit():
                        out.append((int(number), instruction.line))
        return tuple(out)

    def environment(self) -> dict[str, str]:
        """Return the image's ENV values."""
        out: dict[str, str] = {}
        for stage in reversed(self.chain()):
            for instruction in stage.of("ENV"):
                out.update(assignments(instruction))
        return out

    def base_of(self, stage: Stage) -> str:
        """Return the real base image of a stage, arguments filled in."""
        return substitute(self.chain(stage)[-1].base, self.arguments)


def substitute(text: str, values: dict[str, str]) -> str:
    """Replace ``$NAME`` and ``${NAME:-default}`` where known."""
    return _VARIABLE.sub(lambda m: values.get(m[1], m[2] if m[2] is not None else m[0]), text)


def assignments(instruction: Instruction) -> dict[str, str]:
    """Return the pairs of an ENV or ARG instruction."""
    words = instruction.words()
    if words and "=" not in words[0] and instruction.keyword == "ENV":
        return {words[0]: " ".join(words[1:])}
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def read(path: str, text: str) -> Dockerfile:
    """Read a Dockerfile; pure, never raises."""
    stages: list[tuple[str, str, int, list[Instruction]]] = []
    arguments: dict[str, str] = {}
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            words = instruction.value.split()
            name = words[2].lower() if len(words) >= 3 and words[1].lower() == "as" else ""
            stages.append((words[0] if words else "", name, instruction.line, []))
        elif stages:
            stages[-1][3].append(instruction)
        elif instruction.keyword == "ARG":
            arguments.update(assignments(instruction))
    return Dockerfile(path, tuple(Stage(b, n, line, tuple(i)) for b, n, line, i in stages), arguments)


def _instructions(text: str) -> list[Instruction]:
    out: list[Instruction] = []
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        line = lines[index].strip()
        number = index + 1
        index += 1
        if not line or line.startswith("#"):
            continue
        parts: list[str] = []
        while line.endswith("\\"):
            parts.append(line[:-1].strip())
            while index < len(lines) and (not lines[index].strip() or lines[index].lstrip().startswith("#")):
                index += 1
            if index >= len(lines):
                line = ""
                break
            line = lines[index].strip()
            index += 1
        parts.append(line)
        whole = " ".join(p for p in parts if p)
        keyword, _, value = whole.partition(" ")
        flags: list[str] = []
        value = value.strip()
        while match := re.match(r"(--[a-z-]+(?:=\S+)?)\s+", value):
            flags.append(match[1])
            value = value[match.end() :]
        out.append(Instruction(keyword.upper(), value, number, tuple(flags)))
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            for mark in _HEREDOC.findall(whole):
                while index < len(lines) and lines[index].strip() != mark:
                    index += 1
                index += 1
    return out
