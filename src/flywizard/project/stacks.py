"""Owns which compose files belong together: overrides by name, ``-f`` combinations, ``extends``; merged services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from flywizard.project.compose import NAMES, ComposeFile, ComposeService

_COMBINED = re.compile(r"(?:docker[ -]compose|podman-compose)((?:\s+(?:-f|--file)[ =]\s*[^\s\"'`]+){1,6})")
_FILE = re.compile(r"(?:-f|--file)[ =]\s*([^\s\"'`]+)")
_LOCAL = re.compile(r"[.-](?:dev|development|local|debug|override)(?:[.-]|$)")
_TEST = re.compile(r"[.-](?:test|tests|testing|ci|e2e|bench|benchmark)(?:[.-]|$)")
_PRODUCTION = re.compile(r"[.-](?:prod|production|deploy|release|live)(?:[.-]|$)")


def combinations(texts: Mapping[str, str], known: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the lists of compose files that commands in scripts and documents name together."""
    files = set(known)
    out: list[tuple[str, ...]] = []
    for path, text in texts.items():
        folder = path.rpartition("/")[0]
        for match in _COMBINED.finditer(text.replace("\\\n", " ")):
            named: list[str] = []
            for name in _FILE.findall(match[1]):
                bare = name.removeprefix("./")
                inside = next((p for p in (f"{folder}/{bare}" if folder else bare, bare) if p in files), None)
                if inside is not None:
                    named.append(inside)
            if len(named) > 1:
                out.append(tuple(named))
    return list(dict.fromkeys(out))


def merged(files: Sequence[ComposeFile], combined: Sequence[tuple[str, ...]] = ()) -> list[ComposeService]:
    """Return the services that the project runs, overrides applied; the stack nearest to production first."""
    by_path = {f.path: f for f in files}
    stacks = _stacks(files, combined)
    chosen = [s for s in stacks if not _TEST.search(s[-1])]
    firm = [s for s in chosen if not _LOCAL.search(s[-1].rsplit("/", 1)[-1]) or len(s) > 1]
    applications = [s for s in firm if any(v.context for v in _services(s, by_path))]
    ordered = sorted(applications or chosen, key=_rank) if chosen else []
    rest = [s for s in firm if s not in ordered]
    out: list[ComposeService] = []
    for stack in (*ordered, *rest):
        for service in _services(stack, by_path):
            twin = next((o for o in out if o.name == service.name), None)
            if twin is None or _differs(twin, service):
                out.append(service)
    return out


def _rank(stack: tuple[str, ...]) -> tuple[int, bool, str]:
    name = stack[-1].rsplit("/", 1)[-1]
    production = bool(_PRODUCTION.search(name)) or stack[-1].startswith(("production/", "prod/", "deploy/"))
    local = bool(_LOCAL.search(name))
    return (0 if production else 2 if local else 1, stack[-1].count("/") > 0, stack[-1])


def _stacks(files: Sequence[ComposeFile], combined: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    out = list(combined)
    used = {p for stack in combined for p in stack}
    bases = {f.path.rpartition("/")[0]: f for f in reversed(files) if f.path.rsplit("/", 1)[-1] in NAMES}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        base = bases.get(folder)
        if name in NAMES:
            override = next((f.path for f in files if _is_override(f.path, folder)), None)
            plain = (
                (file.path, override) if override and not _production_only(files, folder) else (file.path,)
            )
            if not any(s[0] == file.path and not _LOCAL.search(s[-1]) for s in out):
                out.append(plain)
        elif _is_override(file.path, folder) or file.path in used:
            continue
        elif base is not None and _only_changes(file, base):
            out.append((base.path, file.path))
        else:
            out.append((file.path,))
    return list(dict.fromkeys(out))


def _production_only(files: Sequence[ComposeFile], folder: str) -> bool:
    return any(
        f.path.rpartition("/")[0] == folder and _PRODUCTION.search(f.path.rsplit("/", 1)[-1]) for f in files
    )


def _is_override(path: str, folder: str) -> bool:
    where, _, name = path.rpartition("/")
    return where == folder and bool(re.match(r"(docker-)?compose\.override\.ya?ml$", name))


def _only_changes(file: ComposeFile, base: ComposeFile) -> bool:
    known = {s.name: s for s in base.services}
    return any(s.name in known and not s.defined for s in file.services) or (
        bool(file.services)
        and all(s.name in known and not s.context for s in file.services)
        and any(s.build_removed or (s.command and not s.image) for s in file.services)
    )


def _services(stack: Sequence[str], by_path: Mapping[str, ComposeFile]) -> list[ComposeService]:
    out: dict[str, ComposeService] = {}
    pending: list[ComposeFile] = []
    for path in stack:
        file = by_path.get(path)
        if file is not None:
            pending += [by_path[p] for p in file.include if p in by_path and p != path]
            pending.append(file)
    for file in pending:
        for service in file.services:
            whole = _extended(service, by_path, 0)
            out[service.name] = _over(out[service.name], whole) if service.name in out else whole
    return [s for s in out.values() if s.defined]


def _extended(service: ComposeService, by_path: Mapping[str, ComposeFile], depth: int) -> ComposeService:
    if service.extends is None or depth > 5:
        return service
    path, name = service.extends
    file = by_path.get(path or service.file)
    base = next((s for s in file.services if s.name == name and s is not service), None) if file else None
    if base is None:
        return service
    return _over(_extended(base, by_path, depth + 1), replace(service, extends=None))


def _over(base: ComposeService, top: ComposeService) -> ComposeService:
    """Return a service with what another file says about it put over it."""
    built = top.context is not None
    gone = top.build_removed
    return replace(
        top,
        line=top.line if built or top.image or top.ports else base.line,
        file=top.file if built or top.image or top.ports else base.file,
        image=top.image or (None if built else base.image),
        context=None if gone else top.context or base.context,
        dockerfile=None if gone else top.dockerfile if built else base.dockerfile,
        dockerfile_line=top.dockerfile_line if built else base.dockerfile_line,
        target=top.target or (None if gone else base.target),
        command=top.command or base.command,
        command_line=top.command_line if top.command else base.command_line,
        command_file=(top.command_file or top.file) if top.command else base.command_file or base.file,
        entrypoint=top.entrypoint or base.entrypoint,
        ports=top.ports or base.ports,
        environment={**base.environment, **top.environment},
        args={**base.args, **top.args},
        profiles=top.profiles or base.profiles,
        mounts=base.mounts + top.mounts,
        working_dir=top.working_dir or base.working_dir,
        env_files=base.env_files + top.env_files,
        completes=base.completes + top.completes,
        image_line=top.image_line or base.image_line,
        build_removed=False,
        extends=top.extends,
        defined=base.defined or top.defined,
    )


def _differs(one: ComposeService, other: ComposeService) -> bool:
    """Tell whether two services of one name are two things to the reader: another build or another command."""
    if one.context is None and one.image and other.context is None:
        return False
    return (one.context, one.dockerfile, one.command) != (other.context, other.dockerfile, other.command)
