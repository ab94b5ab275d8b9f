"""Owns the API as a service: the application's place, its command, port, health routes, package manager."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from flywizard.project import applications, commands, health, modules
from flywizard.project.applications import Applications
from flywizard.project.candidates import Candidate, roots_of
from flywizard.project.compose import join
from flywizard.project.model import Evidence, Question, Role, Service
from flywizard.project.survey import Survey, is_dockerfile

REQUIREMENTS = ("requirements.txt", "pyproject.toml", "Pipfile", "requirements/base.txt")


def api_service(
    survey: Survey,
    candidates: list[Candidate],
    answers: Mapping[str, str],
    questions: list[Question],
    found: Applications | None = None,
) -> Service | None:
    """Return the API, or None; asks where several applications could be meant."""
    found = found or applications.sort_out(survey, candidates, answers, questions)
    if found.api is None:
        return None
    return asgi_service(survey, found.api, found.commands.get(found.api, []), candidates, "api", "api")


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
    return inner.removesuffix(".py").removesuffix("/__init__").removesuffix("/__main__").replace("/", ".")


def root_for(survey: Survey, entry: str, context: str, dockerfile: str | None) -> str:
    """Return the folder from which Python finds the entry: the image's own, else where its imports resolve."""
    src = join(context, "src") or ""
    if (
        entry.startswith(src + "/")
        and entry.count("/") > src.count("/") + 1
        and f"{src}/__init__.py" not in survey.python
    ):
        package = "/".join(entry.split("/")[: src.count("/") + 2])
        data = _pyproject(survey, context)
        if f"{package}/__init__.py" in survey.python and (
            "project" in data or "poetry" in str(data.get("tool", ""))
        ):
            return src
    if dockerfile in survey.dockerfiles:
        for root in roots_of(survey, context, dockerfile):
            if root == "." or entry.startswith(root + "/"):
                return root
    return modules.package_root(entry, context, survey.python)


def asgi_service(
    survey: Survey, entry: str, mine: list[Candidate], candidates: list[Candidate], name: str, role: Role
) -> Service:
    """Return the service that one application is."""
    firm = [c for c in mine if c.origin != "hint"] or mine
    said = {"script", "document"}
    best = next((c for c in firm if c.start and not c.start.development and c.hint not in said), None)
    rough = best or next((c for c in firm if c.start), None)
    context = next((c.context for c in firm if c.context), None) or context_of(survey, entry)
    dockerfile = next((c.dockerfile for c in mine if c.dockerfile in survey.dockerfiles), None)
    if dockerfile is None and not any(c.image for c in firm):
        beside = join(context, "Dockerfile") or ""
        dockerfile = beside if beside in survey.dockerfiles else None
    app_dir = rough.start.app_dir if rough and rough.start else None
    roots = roots_of(survey, context, dockerfile, app_dir)
    root = root_for(survey, entry, context, dockerfile)
    file = survey.python[entry]
    server = next((f for c in mine if (f := applications.server_file(survey, c))), entry)
    evidence: list[Evidence] = []
    application = (rough.start.application if rough and rough.start else None) or survey.python[
        server
    ].run_app
    module = dotted_module(entry, root)
    app_name, app_line, app_file = _application(survey, entry, roots, application)
    if app_name:
        application = application or f"{module}:{app_name}"
        evidence.append(Evidence(app_file, app_line, f"FastAPI application `{application}`"))
    reached = modules.reachable(entry, tuple(dict.fromkeys((*roots, root))), survey.python)
    if server != entry:
        reached |= modules.reachable(server, tuple(dict.fromkeys((*roots, root))), survey.python)
    command, port = None, None
    if best and best.start:
        command, port = best.start.text, best.start.port
        evidence.append(Evidence(best.evidence.file, best.evidence.line, f"starts `{command}`"))
        if best.via:
            evidence.append(best.via)
    elif rough and rough.start and rough.hint not in said and not re.match(r"\S*sh\s+-", rough.start.text):
        command, port = commands.production(rough.start.text), rough.start.port
        evidence.append(Evidence(rough.evidence.file, rough.evidence.line, f"starts `{rough.start.text}`"))
    elif file.run_port and file.main_line:
        command, port = f"python -m {module}", file.run_port[1]
        evidence.append(Evidence(entry, file.run_port[2], f"starts `{command}`"))
    elif application:
        factory = " --factory" if any(a.factory and a.name == app_name for a in file.apps) else ""
        inside = "" if root == context or dockerfile else " --app-dir " + root.removeprefix(context + "/")
        port = rough.start.port if rough and rough.start and rough.start.port else 8000
        command = f"uvicorn {application}{factory}{inside} --host 0.0.0.0 --port {port}"
        if rough and rough.hint in said:
            evidence.append(
                Evidence(
                    rough.evidence.file,
                    rough.evidence.line,
                    f"says `{rough.start.text}`" if rough.start else "",
                )
            )
    if port is None and rough and rough.start and rough.start.what == "python":
        port = _run_port(survey, server, reached)
    if port is None and rough and rough.start:
        port = _port(survey, rough, dockerfile)
    if port is None:
        port = next((c.port for c in mine if c.port), None)
    shallow, deep = health.routes(survey, reached, evidence)
    fly = next((c for c in mine if c.fly_config), None)
    compose = next((c.compose_service for c in mine if c.compose_service), None)
    return Service(
        name,
        role,
        context,
        dockerfile,
        command,
        port,
        shallow,
        "python",
        "fastapi"
        if any(m.split(".")[0] == "fastapi" for p in reached for m, _ in survey.python[p].imports)
        else "asgi",
        tuple(dict.fromkeys(evidence)),
        deep_health=deep,
        application=application,
        module=module,
        entry_file=entry,
        package_manager=package_manager(survey, context, entry),
        runtime=python_version(survey, context, dockerfile, entry),
        image=next((c.image for c in firm if c.image), None) if dockerfile is None else None,
        build_target=next((c.target for c in mine if c.target), None),
        compose_service=compose or _composed(candidates, context, dockerfile),
        fly_config=fly.fly_config if fly else None,
        fly_app=survey.fly[fly.fly_config].app if fly and fly.fly_config else None,
        group=fly.group if fly else None,
    )


def _run_port(survey: Survey, server: str, reached: set[str]) -> int | None:
    """Return the port of ``uvicorn.run``, looked up in the settings where it is one."""
    file = survey.python[server]
    if file.run_port and file.run_port[1]:
        return file.run_port[1]
    for path in sorted(reached) if file.run_port_name else ():
        known = survey.python[path].values.get(file.run_port_name or "")
        if known and known.default and known.default.isdigit():
            return int(known.default)
    return 8000 if file.run_port and not file.run_port_name else None


def _port(survey: Survey, candidate: Candidate, dockerfile: str | None) -> int | None:
    """Return the port of a command that names none, or a variable."""
    start = candidate.start
    if start is None:
        return None
    if not start.port_text:
        return 8000 if start.program in {"uvicorn", "gunicorn", "hypercorn", "fastapi", "granian"} else None
    image = survey.dockerfiles.get(dockerfile or "")
    named = re.fullmatch(r"\$\{?(\w+)\}?", start.port_text)
    value = image.environment().get(named[1], "") if image and named else ""
    return int(value) if value.isdigit() else None


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
    """Return (name, line, file) of the application object, following re-exports and factories."""
    wanted = application.split(":")[1].split("(")[0] if application else None
    path, name = entry, wanted
    for _step in range(5):
        file = survey.python[path]
        for app in file.apps:
            if name in (None, app.name):
                return wanted or app.name, app.line, path
        if name is None:
            made = next((n for n, f in file.made.items() if _is_factory(survey, path, f, roots)), None)
            if made is None:
                return None, 1, entry
            wanted = name = made
        target = file.made.get(name, name)
        local = next((a for a in file.apps if a.name == target), None)
        if local is not None:
            return wanted or name, local.line, path
        source = _source(survey, path, target, roots)
        if source is None or source == path:
            break
        path, name = source, target.rsplit(".", 1)[-1]
    own = survey.python[entry].apps
    return (wanted or own[0].name, own[0].line, entry) if own else (wanted, 1, entry)


def _is_factory(survey: Survey, path: str, function: str, roots: tuple[str, ...]) -> bool:
    if any(a.name == function for a in survey.python[path].apps):
        return True
    source = _source(survey, path, function, roots)
    return source is not None and any(
        a.name == function.rsplit(".", 1)[-1] for a in survey.python[source].apps
    )


def _source(survey: Survey, path: str, name: str, roots: tuple[str, ...]) -> str | None:
    """Return the file that a name is imported from."""
    full = survey.python[path].aliases.get(name.split(".")[0])
    if full is None:
        return None
    module = full if "." in name else full.rpartition(".")[0]
    if module.startswith("."):
        return modules.relative(path, module, survey.python)
    return modules.find(module, roots, survey.python)


def _pyproject(survey: Survey, folder: str) -> dict[str, Any]:
    import tomllib

    text = survey.requirements.get(join(folder, "pyproject.toml") or "")
    if not text:
        return {}
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _folders(context: str, entry: str | None) -> list[str]:
    """Return the folders whose dependency files may hold for a context: itself, those of the entry, those above."""
    out = [context]
    if entry:
        inside = [str(p) for p in PurePosixPath(entry).parents]
        out += [f for f in reversed(inside) if f == context or context == "." or f.startswith(context + "/")]
    out += [str(p) for p in PurePosixPath(context).parents]
    return list(dict.fromkeys(out))


def package_manager(survey: Survey, context: str, entry: str | None = None) -> str | None:
    """Return uv, poetry, pipenv or pip for a context: the lock of a ``[project]`` wins, else requirements.txt."""
    tree = survey.tree
    for folder in _folders(context, entry):
        data = _pyproject(survey, folder)
        tool = data.get("tool")
        poetry = isinstance(tool, dict) and "poetry" in tool
        above = [folder, *(str(p) for p in PurePosixPath(folder).parents)]
        if "project" in data and any((join(f, "uv.lock") or "") in tree for f in above):
            return "uv"
        if (join(folder, "poetry.lock") or "") in tree and ("project" in data or poetry):
            return "poetry"
        if any((join(folder, n) or "") in tree for n in ("requirements.txt", "requirements/base.txt")):
            return "pip"
        if (join(folder, "Pipfile") or "") in tree:
            return "pipenv"
        if poetry and "dependencies" in (tool or {}).get("poetry", {}):
            return "poetry"
        if "project" in data:
            return "uv" if isinstance(tool, dict) and "uv" in tool else "pip"
    return None


def python_version(
    survey: Survey, context: str, dockerfile: str | None, entry: str | None = None
) -> str | None:
    """Return the Python version that the Dockerfile or the project's files ask for, e.g. ``3.12``."""
    image = survey.dockerfiles.get(dockerfile or "")
    if image and image.final:
        found = re.search(r"(?:^|/|:)python:?(\d+\.\d+)", image.base_of(image.final))
        if found:
            return found[1]
    for folder in _folders(context, entry):
        text = survey.requirements.get(join(folder, "pyproject.toml") or "") or ""
        wanted = re.search(r"requires-python\s*=\s*[\"'][^\"'\d]*(\d+\.\d+)", text) or re.search(
            r"(?m)^python\s*=\s*[\"'][^\"'\d]*(\d+\.\d+)", text
        )
        pinned = re.match(
            r"\s*(?:python-)?(\d+\.\d+)", survey.tree.text(join(folder, ".python-version") or "") or ""
        )
        written = re.match(r"\s*python-(\d+\.\d+)", survey.tree.text(join(folder, "runtime.txt") or "") or "")
        if chosen := pinned or wanted or written:
            return chosen[1]
    return None


__all__ = [
    "api_service",
    "asgi_service",
    "context_of",
    "dotted_module",
    "is_dockerfile",
    "package_manager",
    "python_version",
]
