"""Owns finding the API: the ASGI application, its command, port and health routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from flywizard.project import modules
from flywizard.project.candidates import Candidate, roots_of
from flywizard.project.compose import join
from flywizard.project.model import Evidence, Question, Service
from flywizard.project.survey import Survey, is_dockerfile

SHALLOW = re.compile(
    r"^(/api)?(/v\d+)?/_?(health|healthz|livez|live|liveness|ping|healthcheck|health-check|up|status)(/live|/liveness)?/?$"
)
DEEP = re.compile(r"/(ready|readyz|readiness|health/(ready|deep|db|full|detailed)|healthz/ready)/?$")
REQUIREMENTS = ("requirements.txt", "pyproject.toml")


def api_service(
    survey: Survey, candidates: list[Candidate], answers: Mapping[str, str], questions: list[Question]
) -> Service | None:
    """Return the API, or None; asks where several applications could be meant."""
    asgi = [c for c in candidates if _serves(survey, c)]
    entries = list(dict.fromkeys(c.entry for c in asgi if c.entry))
    if not entries:
        found = [p for p, f in survey.python.items() if f.apps]
        entries = found
    if not entries:
        return None
    entry = entries[0] if len(entries) == 1 else _preferred(asgi, entries) or answers.get("service.api", "")
    if entry not in entries:
        if answers.get("service.api") == "none":
            return None
        places = tuple(_application_evidence(survey, e) for e in entries)
        questions.append(
            Question("service.api", "Which of these is the API?", (*sorted(entries), "none"), places)
        )
        return None
    return _service(survey, entry, [c for c in asgi if c.entry == entry], candidates)


def _preferred(asgi: list[Candidate], entries: list[str]) -> str | None:
    """Return the entry that fly.toml or compose builds, if they agree on one."""
    for origin in ("fly", "compose"):
        named = {c.entry for c in asgi if c.origin == origin and c.entry in entries}
        if len(named) == 1:
            return named.pop()
    return None


def _serves(survey: Survey, candidate: Candidate) -> bool:
    start = candidate.start
    if start is None or candidate.entry is None:
        return False
    if start.what == "asgi":
        return True
    file = survey.python[candidate.entry]
    return start.what == "python" and bool(file.run_port and file.main_line)


def _application_evidence(survey: Survey, entry: str) -> Evidence:
    apps = survey.python[entry].apps
    return Evidence(
        entry, apps[0].line if apps else 1, "FastAPI application" if apps else "started by a command"
    )


def context_of(survey: Survey, path: str) -> str:
    """Return the nearest folder above a file that has a Dockerfile or a dependency file; else the root."""
    for parent in PurePosixPath(path).parents:
        folder = str(parent)
        if any((join(folder, n) or "") in survey.tree for n in ("Dockerfile", *REQUIREMENTS)):
            return folder
    return "."


def dotted_module(path: str, context: str) -> str:
    """Return the module name of a file as seen from its context."""
    inner = path if context == "." else path[len(context) + 1 :]
    return inner.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _service(survey: Survey, entry: str, mine: list[Candidate], candidates: list[Candidate]) -> Service:
    best = next((c for c in mine if c.start and not c.start.development), None)
    context = next((c.context for c in mine if c.context), None) or context_of(survey, entry)
    dockerfile = next((c.dockerfile for c in mine if c.dockerfile in survey.dockerfiles), None)
    if dockerfile is None:
        beside = join(context, "Dockerfile") or ""
        dockerfile = beside if beside in survey.dockerfiles else None
    roots = roots_of(survey, context, dockerfile)
    file = survey.python[entry]
    evidence: list[Evidence] = []
    application = best.start.application if best and best.start else None
    module = dotted_module(entry, context)
    app_name, app_line, app_file = _application(survey, entry, roots, application)
    if app_name:
        application = application or f"{module}:{app_name}"
        evidence.append(Evidence(app_file, app_line, f"FastAPI application `{application}`"))
    command, port = None, None
    if best and best.start:
        command, port = best.start.text, best.start.port
        evidence.append(Evidence(best.evidence.file, best.evidence.line, f"starts `{command}`"))
    elif file.run_port and file.main_line:
        command, port = f"python -m {module}", file.run_port[1]
        evidence.append(Evidence(entry, file.run_port[2], f"starts `{command}`"))
    elif application:
        factory = " --factory" if any(a.factory and a.name == app_name for a in file.apps) else ""
        command, port = f"uvicorn {application}{factory} --host 0.0.0.0 --port 8000", 8000
    if port is None and best and best.start and best.start.program == "uvicorn" and not best.start.port_text:
        port = 8000
    if port is None:
        port = next((c.port for c in mine if c.port), None)
    reached = modules.reachable(entry, roots, survey.python)
    health, deep = _health(survey, reached, evidence)
    fly = next((c for c in mine if c.fly_config), None)
    return Service(
        "api",
        "api",
        context,
        dockerfile,
        command,
        port,
        health,
        "python",
        "fastapi"
        if any(m.split(".")[0] == "fastapi" for p in reached for m, _ in survey.python[p].imports)
        else "asgi",
        tuple(evidence),
        deep_health=deep,
        application=application,
        module=module,
        entry_file=entry,
        package_manager=package_manager(survey, context),
        runtime=python_version(survey, context, dockerfile),
        build_target=next((c.target for c in mine if c.target), None),
        compose_service=next(
            (c.compose_service for c in mine if c.compose_service), _composed(candidates, context, dockerfile)
        ),
        fly_config=fly.fly_config if fly else None,
        fly_app=survey.fly[fly.fly_config].app if fly and fly.fly_config else None,
        group=fly.group if fly else None,
    )


def _composed(candidates: list[Candidate], context: str, dockerfile: str | None) -> str | None:
    """Return the compose service that runs the image's own command."""
    names = [
        c.compose_service
        for c in candidates
        if c.origin == "compose" and c.context == context and c.dockerfile == dockerfile and c.start is None
    ]
    return names[0] if len(names) == 1 else None


def _application(
    survey: Survey, entry: str, roots: tuple[str, ...], application: str | None
) -> tuple[str | None, int, str]:
    """Return (name, line, file) of the application object, following a re-export."""
    file = survey.python[entry]
    wanted = application.split(":")[1].split("(")[0] if application else None
    for app in file.apps:
        if wanted in (None, app.name):
            return app.name, app.line, entry
    for name, _line in file.imports:
        if wanted and name.endswith("." + wanted):
            source = modules.find(name.rsplit(".", 1)[0], roots, survey.python)
            if source and survey.python[source].apps:
                return wanted, survey.python[source].apps[0].line, source
    if file.apps:
        return file.apps[0].name, file.apps[0].line, entry
    return wanted, 1, entry


def _health(survey: Survey, reached: set[str], evidence: list[Evidence]) -> tuple[str | None, str | None]:
    shallow: list[tuple[bool, str, str, int]] = []
    deep: list[tuple[str, str, int]] = []
    included = {
        k[8:]: v for p in reached for k, v in survey.python[p].prefixes.items() if k.startswith("include:")
    }
    for path in reached:
        file = survey.python[path]
        name = path.rsplit("/", 1)[-1].removesuffix(".py")
        for route in file.routes:
            prefix = ""
            if route.owner.endswith("router"):
                outer = included.get(f"{name}.router", included.get(f"{name}_router", ""))
                prefix = outer + file.prefixes.get("router", "")
            full = prefix + route.path
            if SHALLOW.match(full):
                shallow.append((route.deep, full, path, route.line))
            elif DEEP.search(full):
                deep.append((full, path, route.line))
    shallow.sort(key=lambda s: (s[0], len(s[1]), s[1]))
    deep.sort(key=lambda d: (len(d[0]), d[0]))
    if shallow:
        evidence.append(
            Evidence(
                shallow[0][2],
                shallow[0][3],
                f"health `{shallow[0][1]}`" + (", which reaches further" if shallow[0][0] else ""),
            )
        )
    if deep:
        evidence.append(Evidence(deep[0][1], deep[0][2], f"deep health `{deep[0][0]}`"))
    return (shallow[0][1] if shallow else None), (deep[0][0] if deep else None)


def package_manager(survey: Survey, context: str) -> str | None:
    """Return uv, poetry or pip for a context: the lock of a ``[project]`` wins, else requirements.txt."""
    import tomllib

    tree = survey.tree
    text = survey.requirements.get(join(context, "pyproject.toml") or "")
    data: dict[str, object] = {}
    if text:
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            data = {}
    tool = data.get("tool")
    poetry = isinstance(tool, dict) and "poetry" in tool
    if (join(context, "uv.lock") or "") in tree and "project" in data:
        return "uv"
    if (join(context, "poetry.lock") or "") in tree and ("project" in data or poetry):
        return "poetry"
    if (join(context, "requirements.txt") or "") in tree:
        return "pip"
    return "uv" if "project" in data and "uv.lock" in tree else None


def python_version(survey: Survey, context: str, dockerfile: str | None) -> str | None:
    """Return the Python version that the Dockerfile or ``requires-python`` asks for, e.g. ``3.12``."""
    image = survey.dockerfiles.get(dockerfile or "")
    if (
        image
        and image.final
        and (found := re.match(r"(?:.*/)?python:(\d+\.\d+)", image.base_of(image.final)))
    ):
        return found[1]
    text = survey.requirements.get(join(context, "pyproject.toml") or "") or ""
    wanted = re.search(r"requires-python\s*=\s*[\"'][^\"'\d]*(\d+\.\d+)", text)
    return wanted[1] if wanted else None


__all__ = ["api_service", "context_of", "dotted_module", "is_dockerfile", "package_manager", "python_version"]
