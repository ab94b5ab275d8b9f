"""Owns finding the workers: commands beside the API's, or modules that consume and can be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flywizard.project import commands, modules
from flywizard.project.applications import ASIDE, WORKER_NAME, Applications
from flywizard.project.candidates import Candidate, roots_of
from flywizard.project.detect_api import (
    asgi_service,
    context_of,
    dotted_module,
    package_manager,
    python_version,
    root_for,
)
from flywizard.project.model import Evidence, Question, Service
from flywizard.project.survey import Survey

_RUNS = ("run_worker", "run", "main", "start", "start_worker", "consume", "worker")


def worker_services(
    survey: Survey,
    candidates: list[Candidate],
    api: Service | None,
    answers: Mapping[str, str],
    questions: list[Question],
    found: Applications | None = None,
) -> list[Service]:
    """Return the workers, in order of their names' first place."""
    known = found or Applications()
    serving = {api.entry_file if api else None, *known.others, *known.workers}
    asked = [c for mine in known.commands.values() for c in mine]
    named: dict[str, list[Candidate]] = {}
    hinted: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        start = candidate.start
        if start is None or start.what not in {"python", "celery"} or candidate.image:
            continue
        serves = candidate.entry in serving or candidate.entry in known.commands
        if candidate.entry is not None and serves and not (start.function and candidate not in asked):
            continue
        if start.part == "flower":
            continue
        key = candidate.entry or start.text
        if start.what == "python" and candidate.entry:
            key = _key(candidate, candidates)
        if start.what == "celery":
            key = f"{candidate.entry or start.module} {start.program} {start.part}"
        if start.what == "python" and (start.module is None or commands.one_shot(start.module)):
            continue
        unknown = candidate.entry is None and start.what == "python"
        if unknown and candidate.origin not in {"compose", "fly"}:
            continue
        if candidate.origin == "hint":
            if candidate.entry is None or _is_worker(survey, candidate):
                hinted.setdefault(key, []).append(candidate)
            continue
        named.setdefault(key, []).append(candidate)
    for key, more in hinted.items():
        if key in named:
            named[key] += more
    for candidate in candidates:
        if candidate.start is None and candidate.entry is not None and candidate.entry in named:
            named[candidate.entry].append(candidate)
    asgi = [
        asgi_service(survey, entry, known.commands[entry], candidates, _name(known.commands[entry]), "worker")
        for entry in known.workers
    ]
    if named or asgi:
        return _distinct([*(_of_command(survey, mine, api) for mine in named.values()), *asgi])
    platform = {k: v for k, v in hinted.items() if v[0].hint not in {"script", "document"}}
    chosen = platform or (hinted if len(hinted) == 1 else {})
    if chosen:
        return _distinct([_of_command(survey, mine, api) for mine in chosen.values()])
    return _of_modules(survey, api, answers, questions)


def _key(candidate: Candidate, candidates: list[Candidate]) -> str:
    """Return what tells workers of one file apart: the function, and the arguments that compose gives them."""
    start, entry = candidate.start, candidate.entry or ""
    function = f"{entry} {start.function}" if start and start.function else entry
    composed = [
        c.start.arguments
        for c in candidates
        if c.origin == "compose"
        and c.entry == entry
        and c.start
        and c.start.function == (start and start.function)
    ]
    if len(set(composed)) > 1 and start is not None:
        return f"{function} {start.arguments if candidate.origin == 'compose' else composed[0]}"
    return function


def _is_worker(survey: Survey, candidate: Candidate) -> bool:
    """Tell whether a command that a script or document names starts something that goes on."""
    assert candidate.start is not None  # noqa: S101
    if candidate.start.what == "celery" or candidate.hint not in {"script", "document"}:
        return True
    entry = candidate.entry or ""
    roots = roots_of(survey, candidate.context or ".", candidate.dockerfile)
    reached = modules.reachable(entry, roots, survey.python)
    return any(u.consumer for p in reached for u in (*survey.python[p].kafka, *survey.python[p].messages))


def _name(mine: list[Candidate]) -> str:
    names = (
        c.compose_service or c.group or (c.hint if c.hint not in {"script", "document"} else "") for c in mine
    )
    return next((n for n in names if n), "worker")


def _distinct(services: list[Service]) -> list[Service]:
    out: list[Service] = []
    for index, service in enumerate(services):
        name = service.name
        if len(services) == 1:
            name = "worker"
        if any(o.name == name for o in out) or name in {"api", "web"}:
            stem = (service.module or "").rsplit(".", 1)[-1].rsplit("/", 1)[-1].removesuffix("py").strip("._")
            name = stem.replace("_", "-") or f"{name}-{index + 1}"
        if any(o.name == name for o in out):
            name = f"{name}-{index + 1}"
        out.append(replace(service, name=name))
    return out


def _of_command(survey: Survey, mine: list[Candidate], api: Service | None) -> Service:
    best = next((c for c in mine if c.start and not c.start.development), mine[0])
    assert best.start is not None  # noqa: S101
    fly = next((c for c in mine if c.fly_config), None)
    context = best.context or (api.path if api else None) or "."
    dockerfile = best.dockerfile if best.dockerfile in survey.dockerfiles else None
    if dockerfile is None and api is not None and api.path == context and best.origin in {"hint", "compose"}:
        dockerfile = api.dockerfile
    compose = next((c.compose_service for c in mine if c.compose_service), None)
    evidence = [
        Evidence(c.evidence.file, c.evidence.line, f"starts `{c.start.text}`") for c in mine if c.start
    ]
    evidence += [c.via for c in mine if c.via]
    framework = best.start.program if best.start.what == "celery" else None
    if framework == "celery" and best.start.part in {"beat", "worker+beat"}:
        evidence.append(Evidence(best.evidence.file, best.evidence.line, "celery beat: exactly one machine"))
    return Service(
        _name(mine),
        "worker",
        context,
        dockerfile,
        best.start.text,
        None,
        None,
        "python",
        framework,
        tuple(dict.fromkeys(evidence)),
        module=best.start.module,
        entry_file=best.entry,
        package_manager=package_manager(survey, context, best.entry),
        runtime=python_version(survey, context, best.dockerfile, best.entry),
        build_target=next((c.target for c in mine if c.target), None),
        compose_service=compose,
        fly_config=fly.fly_config if fly else None,
        fly_app=survey.fly[fly.fly_config].app if fly and fly.fly_config else None,
        group=fly.group if fly else None,
    )


def _consumers(survey: Survey, api: Service | None) -> list[str]:
    """Return the files that consume and can be started; those that only hold a function where none can be."""
    found: list[str] = []
    silent: list[str] = []
    loaded: set[str] = set()
    if api and api.entry_file:
        loaded = modules.reachable(
            api.entry_file, roots_of(survey, api.path or ".", api.dockerfile), survey.python
        )
    for path, file in survey.python.items():
        if (
            file.run_port
            or file.apps
            or (api and path == api.entry_file)
            or ASIDE.search(path.removesuffix(".py"))
        ):
            continue
        context = context_of(survey, path)
        reached = modules.reachable(path, roots_of(survey, context, None), survey.python)
        consumes = any(
            u.consumer for p in reached for u in (*survey.python[p].kafka, *survey.python[p].messages)
        )
        if not consumes or commands.one_shot(path):
            continue
        if file.main_line is not None:
            found.append(path)
        elif (
            path not in loaded
            and WORKER_NAME.search(path.removesuffix(".py"))
            and any(n in file.functions for n in _RUNS)
            and (file.kafka or file.messages)
        ):
            silent.append(path)
    if api and api.path not in (None, ".") and api.dockerfile:
        inside = [p for p in found if p.startswith(f"{api.path}/")]
        found = inside or [p for p in found if not _imports_below(survey, p, api.path or ".")]
    loads = {
        p: modules.reachable(p, roots_of(survey, context_of(survey, p), None), survey.python) for p in found
    }
    found = [p for p in found if not any(p in loads[o] and o not in loads[p] for o in found if o != p)]
    likely = [p for p in found if WORKER_NAME.search(p.removesuffix(".py"))]
    return likely or found or silent


def _imports_below(survey: Survey, path: str, folder: str) -> bool:
    """Tell whether a file outside the image imports the image's folder by its name."""
    first = folder.split("/")[0]
    return any(m.split(".")[0] == first for m, _ in survey.python[path].imports)


def _of_modules(
    survey: Survey, api: Service | None, answers: Mapping[str, str], questions: list[Question]
) -> list[Service]:
    """Return the one module that consumes and can be started; ask where there are several."""
    found = _consumers(survey, api)
    if not found:
        return []
    path = found[0] if len(found) == 1 else answers.get("service.worker", "")
    if path not in found:
        if answers.get("service.worker") == "none":
            return []
        places = tuple(
            Evidence(p, survey.python[p].main_line or 1, "can be started, and consumes") for p in found
        )
        questions.append(
            Question("service.worker", "Which of these is the worker?", (*sorted(found), "none"), places)
        )
        return []
    context = context_of(survey, path)
    dockerfile = None
    if api and api.path and (api.path == "." or path.startswith(api.path + "/")):
        context, dockerfile = api.path, api.dockerfile
    root = root_for(survey, path, context, dockerfile)
    module = dotted_module(path, root)
    command = f"python -m {module}"
    file = survey.python[path]
    line = file.main_line or next((file.functions[n] for n in _RUNS if n in file.functions), 1)
    return [
        Service(
            "worker",
            "worker",
            context,
            dockerfile,
            command,
            language="python",
            evidence=(Evidence(path, line, f"can be started: `{command}`"),),
            module=module,
            entry_file=path,
            package_manager=package_manager(survey, context, path),
            runtime=python_version(survey, context, dockerfile, path),
        )
    ]
