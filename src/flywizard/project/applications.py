"""Owns telling the ASGI applications of a repository apart: the API, workers that serve, others, decoys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flywizard.project import modules
from flywizard.project.candidates import Candidate, roots_of
from flywizard.project.model import Evidence, Question
from flywizard.project.survey import Survey

WORKER_NAME = re.compile(
    r"(?:^|[-_./])(?:\w*workers?|consumers?|processors?|listeners?|retry|scheduler|subscriber)(?:[-_./]|$)",
    re.IGNORECASE,
)
API_NAME = re.compile(
    r"(?:^|[-_./])(?:api|backend|server|fastapi|gateway|app|web|rest|main|core|service|production)(?:[-_./]|$)",
    re.IGNORECASE,
)
API_SERVICE = re.compile(r"(?:^|[-_])(?:api|backend)(?:[-_]|$)", re.IGNORECASE)
ASIDE = re.compile(
    r"(?:^|[-_./])(?:mcp\w*|\w*mcp|mock\w*|stub\w*|fake\w*|simulator|demo|sandbox|admin-tool|bench\w*|scripts?)(?:[-_./]|$)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Applications:
    """What was decided."""

    api: str | None = None
    """The file that the API's command starts."""
    workers: list[str] = field(default_factory=list)
    """Files of consumers that serve HTTP too."""
    others: list[str] = field(default_factory=list)
    """Files of further servers that compose or fly.toml starts."""
    commands: dict[str, list[Candidate]] = field(default_factory=dict)
    """File to the commands that start it."""


def sort_out(
    survey: Survey, candidates: list[Candidate], answers: Mapping[str, str], questions: list[Question]
) -> Applications:
    """Return which application is what; asks where several could be the API."""
    out = Applications()
    for candidate in candidates:
        if candidate.entry and serves(survey, candidate):
            out.commands.setdefault(candidate.entry, []).append(candidate)
    for candidate in candidates:
        if candidate.start is None and candidate.entry in out.commands:
            out.commands[candidate.entry].append(candidate)
    started = {e: c for e, c in out.commands.items() if any(x.origin != "hint" for x in c)}
    for entry, mine in started.items():
        if consumes(survey, entry, mine) and _named(mine, entry, WORKER_NAME):
            out.workers.append(entry)
    entries = [e for e in started if e not in out.workers]
    plain = [e for e in entries if not is_aside(survey, e, started[e])]
    entries = plain or entries
    if not entries:
        entries = _scanned(survey, out)
    out.api = _chosen(survey, entries, out.commands, answers, questions)
    if out.api is not None:
        out.others = [
            e
            for e, mine in started.items()
            if e != out.api
            and e not in out.workers
            and any(c.compose_service or c.fly_config for c in mine)
            and not _same_service(started[out.api], mine)
        ]
    return out


def _same_service(one: list[Candidate], other: list[Candidate]) -> bool:
    names = {c.compose_service for c in one if c.compose_service}
    return bool(names & {c.compose_service for c in other})


def serves(survey: Survey, candidate: Candidate) -> bool:
    """Tell whether a command starts an HTTP server."""
    start = candidate.start
    if start is None or candidate.entry is None:
        return False
    return start.what == "asgi" or (start.what == "python" and server_file(survey, candidate) is not None)


def server_file(survey: Survey, candidate: Candidate) -> str | None:
    """Return the file whose ``uvicorn.run`` a ``python`` command reaches: its own, or that of a function it imports."""
    entry = candidate.entry
    if entry is None:
        return None
    file = survey.python[entry]
    function = candidate.start.function if candidate.start else None
    if function and file.run_port and file.run_function != function:
        return None
    if file.run_port and (file.main_line or file.run_function or file.module_calls):
        return entry
    roots = roots_of(survey, candidate.context or ".", candidate.dockerfile)
    folder = entry.rpartition("/")[0]
    for name, _ in file.imports:
        module, _, function = name.rpartition(".")
        base = folder if module.startswith(".") and not module.startswith("..") else None
        where = (base or ".",) if base is not None else roots
        target = modules.find(module.lstrip("."), where, survey.python) if module.lstrip(".") else None
        if target is not None:
            found = survey.python[target]
            if found.run_port and found.run_function == function:
                return target
    return None


def consumes(survey: Survey, entry: str, mine: list[Candidate]) -> bool:
    """Tell whether a file, or what it loads, makes a consumer."""
    context = next((c.context for c in mine if c.context), None) or "."
    roots = roots_of(survey, context, next((c.dockerfile for c in mine if c.dockerfile), None))
    return any(
        u.consumer for p in modules.reachable(entry, roots, survey.python) for u in survey.python[p].kafka
    )


def _names(mine: list[Candidate]) -> list[str]:
    return [n for c in mine for n in (c.compose_service, c.group, c.hint) if n]


def _named(mine: list[Candidate], entry: str, pattern: re.Pattern[str]) -> bool:
    names = _names(mine)
    if names:
        return any(pattern.search(n) for n in names) and not any(
            API_NAME.search(n) and not pattern.search(n) for n in names
        )
    return bool(pattern.search(entry.rsplit("/", 1)[-1].removesuffix(".py")))


def is_aside(survey: Survey, entry: str, mine: list[Candidate]) -> bool:
    """Tell whether an application stands beside the project: an MCP server, a mock, a demo."""
    tops = {m.split(".")[0] for m, _ in survey.python[entry].imports}
    names = [*_names(mine), entry.removesuffix(".py")]
    return bool(tops & {"mcp", "fastmcp"}) or any(ASIDE.search(n) for n in names)


def _scanned(survey: Survey, out: Applications) -> list[str]:
    """Return the files that hold an application, without those that another one takes in."""
    found = [p for p, f in survey.python.items() if any(not a.factory for a in f.apps)]
    factories = {
        (p, a.name): p for p, f in survey.python.items() for a in f.apps if a.factory and p not in found
    }
    for path, file in survey.python.items():
        for name, made in file.made.items():
            target = file.aliases.get(made.split(".")[0], made).rsplit(".", 1)[-1]
            sources = [key for key in factories if key[1] == target]
            if sources and re.search(r"app|api|server", name) and path not in found:
                found.append(path)
                for key in sources:
                    if key[0] in file_imports(survey, path) or key[0] == path:
                        factories.pop(key, None)
    found += [p for p in dict.fromkeys(factories.values()) if p not in found]
    plain = [p for p in found if not is_aside(survey, p, [])]
    found = plain or found
    loads = {p: modules.reachable(p, _likely_roots(survey, p), survey.python) for p in found}
    found = [p for p in found if not any(p in loads[o] and o not in loads[p] for o in found if o != p)]
    named = [e for e, mine in out.commands.items() if mine[0].hint not in {"script", "document"}]
    if len(found) == 1 and len(named) == 1 and found[0] in file_imports(survey, named[0]):
        return named
    hinted = [p for p in found if p in out.commands]
    if len(found) > 1 and len(hinted) == 1:
        return hinted
    quiet = [p for p in found if not WORKER_NAME.search(p.removesuffix(".py"))]
    return quiet or found


def file_imports(survey: Survey, path: str) -> set[str]:
    """Return the project's files that a file imports itself."""
    roots = _likely_roots(survey, path)
    return modules.reachable(path, roots, survey.python) - {path}


def _likely_roots(survey: Survey, path: str) -> tuple[str, ...]:
    folders = [str(p) for p in re.sub(r"/[^/]*$", "", path).split("/")] if "/" in path else []
    return tuple(dict.fromkeys([".", *("/".join(folders[: n + 1]) for n in range(len(folders)))]))


def _chosen(
    survey: Survey,
    entries: list[str],
    commands: Mapping[str, list[Candidate]],
    answers: Mapping[str, str],
    questions: list[Question],
) -> str | None:
    if not entries:
        return None
    answer = answers.get("service.api")
    if len(entries) == 1:
        return entries[0]
    if answer in entries:
        return answer
    if answer == "none":
        return None
    preferred = _preferred(commands, entries)
    if preferred is not None:
        return preferred
    places = []
    for entry in entries:
        mine = commands.get(entry, [])
        apps = survey.python[entry].apps
        place = mine[0].evidence if mine else Evidence(entry, apps[0].line if apps else 1, "")
        what = f"starts `{entry}`" if mine else "FastAPI application"
        places.append(Evidence(place.file, place.line, what))
    questions.append(
        Question("service.api", "Which of these is the API?", (*sorted(entries), "none"), tuple(places))
    )
    return None


def _preferred(commands: Mapping[str, list[Candidate]], entries: list[str]) -> str | None:
    """Return the entry that fly.toml or compose starts, if they agree on one; else the one named like an API."""
    for origin in ("fly", "compose"):
        named = {e for e in entries if any(c.origin == origin for c in commands.get(e, ()))}
        if len(named) == 1:
            return named.pop()
        if named:
            for pattern in (API_SERVICE, API_NAME):
                like = {e for e in named if any(pattern.search(n) for n in _names(commands[e]))}
                if len(like) == 1:
                    return like.pop()
            return None
    return None
