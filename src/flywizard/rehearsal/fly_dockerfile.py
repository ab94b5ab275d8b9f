"""The Dockerfile as BuildKit names its steps: stages, numbered steps, what each needs, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

KNOWN = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip
COUNTED = ("RUN", "COPY", "ADD", "WORKDIR")


class Broken(Exception):  # noqa: N818
    """The Dockerfile cannot be built; the text is BuildKit's."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: keyword, the text after it as BuildKit shows it, and its line."""

    keyword: str
    text: str
    line: int


@dataclass(slots=True)
class Stage:
    """One stage: its base image or stage, and the instructions after `FROM`."""

    index: int
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that BuildKit shows: `name` is what stands after `#N `."""

    name: str
    keyword: str
    text: str
    stage: str = ""


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their continuations joined, comments and empty lines dropped, here-documents kept with theirs."""
    found: list[tuple[int, str]] = []
    lines = text.splitlines()
    index = 0
    while index < len(lines):
        start, line = index, lines[index]
        index += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        while line.rstrip().endswith("\\") and index < len(lines):
            line = line.rstrip()[:-1]
            while index < len(lines) and lines[index].lstrip().startswith("#"):
                index += 1
            if index < len(lines):
                line += lines[index]
                index += 1
        for _, word in (
            re.findall(r"<<-?(['\"]?)(\w+)\1", line) if re.match(r"\s*(RUN|COPY|ADD)\b", line, re.I) else []
        ):
            while index < len(lines) and lines[index].strip() != word:
                index += 1
            index += 1
        found.append((start + 1, line.strip()))
    return found


def parse(text: str) -> list[Stage]:
    """Reads a Dockerfile.

    Raises:
        Broken: it has a mistake, or no stage.
    """
    stages: list[Stage] = []
    args: dict[str, str] = {}
    for number, line in _logical_lines(text):
        keyword, _, rest = line.partition(" ")
        keyword, rest = keyword.upper(), rest.strip()
        if keyword not in KNOWN:
            import difflib

            close = difflib.get_close_matches(keyword, KNOWN, 1, 0.7)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise Broken(
                f"dockerfile parse error on line {number}: unknown instruction: {line.split()[0]}{hint}"
            )
        if not rest:
            raise Broken(f"dockerfile parse error on line {number}: {keyword} requires at least one argument")
        if keyword == "FROM":
            words = [w for w in rest.split() if not w.startswith("--")]
            base = re.sub(r"\$\{?(\w+)(?::-([^}]*))?\}?", lambda m: args.get(m[1]) or m[2] or "", words[0])
            name = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else ""
            stages.append(Stage(len(stages), base, name))
        elif not stages:
            if keyword != "ARG":
                raise Broken(f"dockerfile parse error on line {number}: no build stage in current context")
            name, _, value = rest.partition("=")
            args[name] = value.strip("\"'")
        else:
            stages[-1].instructions.append(Instruction(keyword, rest, number))
    if not stages:
        raise Broken("file with no instructions")
    return stages


def _find(stages: list[Stage], name: str) -> Stage | None:
    for stage in stages:
        if stage.name and stage.name == name.lower():
            return stage
    return stages[int(name)] if name.isdigit() and int(name) < len(stages) else None


def _sources(stage: Stage) -> list[str]:
    found = []
    for instruction in stage.instructions:
        if instruction.keyword in ("COPY", "ADD", "RUN"):
            found += re.findall(r"--from=(\S+)|\bfrom=([\w.-]+)", instruction.text.split(" -- ")[0])
    return [a or b for a, b in found]


def needed(stages: list[Stage], target: str = "") -> list[Stage]:
    """The stages that the target (default: the last one) needs, in the order of the file.

    Raises:
        Broken: there is no such stage.
    """
    last = _find(stages, target) if target else stages[-1]
    if last is None:
        raise Broken(f'target stage "{target}" could not be found')
    wanted: set[int] = set()
    todo = [last]
    while todo:
        stage = todo.pop()
        if stage.index in wanted:
            continue
        wanted.add(stage.index)
        for name in (stage.base, *_sources(stage)):
            other = _find(stages[: stage.index], name)
            if other is not None:
                todo.append(other)
    return [s for s in stages if s.index in wanted]


def image_name(base: str) -> str:
    """A base image's full name."""
    host = base.split("/")[0]
    full = (
        base
        if "/" in base and ("." in host or ":" in host or host == "localhost")
        else f"docker.io/{base if '/' in base else 'library/' + base}"
    )
    return full if ":" in full.rsplit("/", 1)[-1] or "@" in full else full + ":latest"


def bases(stages: list[Stage]) -> list[str]:
    """The images that have to be fetched, each once, in the order of the file."""
    names = {s.name for s in stages if s.name}
    found = [image_name(s.base) for s in stages if s.base.lower() not in names and s.base != "scratch"]
    return list(dict.fromkeys(found))


def steps(stages: list[Stage], target: str, digest: Callable[[str], str]) -> list[Step]:
    """The steps of a build in a possible order, each once even when two stages begin alike.

    `digest` gives a base image's digest.
    """
    found: list[Step] = []
    names = {s.name for s in stages if s.name}
    seen: set[tuple[str, ...]] = set()
    chains: dict[str, tuple[str, ...]] = {}
    for stage in needed(stages, target):
        counted = [i for i in stage.instructions if i.keyword in COUNTED]
        total = len(counted) + 1
        label = stage.name or (f"stage-{stage.index}" if len(stages) > 1 else "")
        shown = f"{label} " if label else ""
        if stage.base.lower() not in names and stage.base != "scratch":
            full = image_name(stage.base)
            text = full if "@" in full else f"{full}@{digest(full)}"
            chain: tuple[str, ...] = (full,)
            if chain not in seen:
                found.append(Step(f"[{shown}1/{total}] FROM {text}", "FROM", full, label))
        else:
            chain = chains.get(stage.base.lower(), (stage.base,))
        seen.add(chain)
        for number, instruction in enumerate(counted, 2):
            chain = (*chain, f"{instruction.keyword} {instruction.text}")
            chains[stage.name or str(stage.index)] = chain
            if chain in seen:
                continue
            seen.add(chain)
            name = f"[{shown}{number}/{total}] {instruction.keyword} {instruction.text}"
            found.append(Step(name, instruction.keyword, instruction.text, label))
    return found


def copied(text: str) -> list[str]:
    """The sources of a `COPY` or `ADD` that come from the build context, without those that are patterns or URLs."""
    words = text.split()
    if any(w.startswith("--from=") for w in words) or "<<" in text:
        return []
    plain = [w for w in words if not w.startswith("--")]
    if text.lstrip().startswith("["):
        import json

        try:
            plain = [str(w) for w in json.loads(text[text.index("[") :])]
        except ValueError:
            return []
    return [w.strip("\"'") for w in plain[:-1] if "://" not in w and not any(c in w for c in "*?[$")]


def missing_source(step: Step, has: Callable[[str], bool], values: Mapping[str, str] | None = None) -> str:
    """The first source of a step that the build context does not hold, as `/PATH`; `""` when all are there."""
    if step.keyword not in ("COPY", "ADD"):
        return ""
    for source in copied(step.text):
        path = source.removeprefix("./").strip("/")
        if path not in ("", ".") and not has(path):
            return f"/{path}"
    return ""
