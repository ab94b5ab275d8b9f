"""Owns the preflight rules about what Python code does when it starts (C-25, C-28, C-47, C-70, C-90, C-94 … C-98, C-102). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flywizard.project import commands, dockerignore, imports, modules, python_traits
from flywizard.project.candidates import Candidate, collect, roots_of
from flywizard.project.compose import join
from flywizard.project.image_tree import Layout, layout
from flywizard.project.model import Findings, Objection, Service
from flywizard.project.python_traits import Traits
from flywizard.project.survey import Survey


def traits(survey: Survey, path: str) -> Traits:
    """Return what a Python file holds; nothing where it cannot be read."""
    return python_traits.read(survey.tree.text(path) or "")


def reached(survey: Survey, service: Service) -> list[str]:
    """Return the Python files that a service loads, its own first; empty where its start is not known."""
    entry = service.entry_file
    if service.language != "python" or entry is None or entry not in survey.python:
        return []
    roots = roots_of(survey, service.path or ".", service.dockerfile)
    files = modules.reachable(entry, roots, survey.python)
    return [entry, *sorted(files - {entry})]


def python_services(survey: Survey, findings: Findings) -> Iterator[tuple[Service, list[str]]]:
    """Yield the Python services whose files are known."""
    for service in findings.services:
        files = reached(survey, service)
        if files:
            yield service, files


def image_of(survey: Survey, service: Service) -> Layout | None:
    """Return what a service's image holds, or None where that cannot be told for certain."""
    image = survey.dockerfiles.get(service.dockerfile or "")
    if image is None or service.path is None:
        return None
    context = service.workspace or service.path
    found = layout(survey.tree, image, context, ignore_of(survey, context, image.path))
    return found if found.sure else None


def ignore_of(survey: Survey, context: str, dockerfile: str | None) -> dockerignore.Ignore:
    """Return the rules that hold for a build context."""
    for path in (f"{dockerfile}.dockerignore", join(context, ".dockerignore") or ".dockerignore"):
        text = survey.tree.text(path)
        if text is not None:
            return dockerignore.parse(text)
    return dockerignore.Ignore()


def foreign_root(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-25."""
    seen: set[tuple[str, int]] = set()
    for service, files in python_services(survey, findings):
        image = image_of(survey, service)
        if image is None or image.installs_project or service.path is None:
            continue
        declared = imports.declared(
            survey.tree, service.path, survey.dockerfiles.get(service.dockerfile or "")
        )
        script = next((p for p, r in image.files.items() if r == service.entry_file), None)
        folder = script.rsplit("/", 1)[0] if script else None
        if script is None:
            continue
        for path in files:
            for found in traits(survey, path).imports:
                top = found.module.split(".")[0]
                if (path, found.line) in seen or imports.is_standard(top) or image.importable(top, folder):
                    continue
                if declared is not None and declared.has(imports.normal(imports.DISTRIBUTIONS.get(top, top))):
                    continue
                lies = modules.find(found.module, (".",), survey.python)
                if lies is None:
                    continue
                seen.add((path, found.line))
                yield _foreign(survey, found.module, lies, image, path, found.line)
    yield from _foreign_commands(survey, findings)


def _foreign(survey: Survey, module: str, lies: str, image: Layout, file: str, line: int) -> Objection:
    inside = next((p for p, r in image.files.items() if r == lies), None)
    right = _dotted(inside, image.workdir) if inside else None
    return Objection(
        "",
        True,
        f"`{file}:{line}`: `{module}` is not importable in the image, which does not hold `{module.split('.')[0]}/`. The process would end at once.",
        f"Import `{right}`, its name inside the image."
        if right
        else "Build from the folder above, or import what the image holds.",
        file,
        line,
        subject=module,
    )


def _dotted(path: str, workdir: str) -> str | None:
    base = workdir.rstrip("/") + "/"
    if not path.startswith(base):
        return None
    return path[len(base) :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def foreign_start(survey: Survey, candidate: Candidate) -> str | None:
    """Return the module name under which a start command's module can be found in its context, if only another root has it."""
    start = candidate.start
    if (
        start is None
        or start.what != "python"
        or not start.module
        or candidate.entry
        or candidate.context in (None, ".")
    ):
        return None
    context = candidate.context or "."
    lies = modules.find(start.module, (".",), survey.python)
    if lies is None or not lies.startswith(context + "/"):
        return None
    inner = lies[len(context) + 1 :]
    return (
        inner
        if start.module.endswith(".py")
        else inner.removesuffix(".py").removesuffix("/__main__").removesuffix("/__init__").replace("/", ".")
    )


def _foreign_commands(survey: Survey, findings: Findings) -> Iterator[Objection]:
    seen: set[tuple[str, int]] = set()
    for candidate in collect(survey):
        right = foreign_start(survey, candidate)
        place = (candidate.evidence.file, candidate.evidence.line)
        image = survey.dockerfiles.get(candidate.dockerfile or "")
        if right is None or candidate.start is None or place in seen or image is None:
            continue
        held = layout(survey.tree, image, candidate.context or ".")
        top = (candidate.start.module or "").split(".")[0].split("/")[0]
        if not held.sure or held.installs_project or held.importable(top):
            continue
        seen.add(place)
        yield Objection(
            "",
            True,
            f"`{candidate.start.text}` (`{place[0]}:{place[1]}`): the image is built from `{candidate.context}` and does not hold `{top}/`. The process would end at once.",
            f"Start `{right}`, its name inside the image.",
            *place,
            subject=right,
        )


def schedulers(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-28."""
    for service in findings.services:
        start = commands.parse(service.command) if service.command else None
        words = service.command.split() if service.command else []
        place = next((e for e in service.evidence if e.what.startswith("starts `")), None)
        if start and start.program == "celery" and ("beat" in words or "-B" in words or "--beat" in words):
            yield _once(service, place.file if place else None, place.line if place else None, "celery beat")
            continue
        for path in reached(survey, service):
            used = traits(survey, path).schedulers
            if used:
                yield _once(service, path, used[0].line, used[0].text)
                break


def _once(service: Service, file: str | None, line: int | None, what: str) -> Objection:
    return Objection(
        "",
        False,
        f"`{service.name}` holds a scheduler (`{what}`): on two machines every job would run twice.",
        "flywizard starts one machine, without a standby; leave it at one.",
        file,
        line,
        handled=True,
        subject=service.name,
    )


def vector_length(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-47."""
    lengths = set(findings.database.vector_dimensions)
    known = [(p, traits(survey, p)) for _, files in python_services(survey, findings) for p in files]
    models = {(u.text, p, u.line) for p, t in known for u in t.models}
    names = {text.rsplit("/", 1)[-1].lower() for text, _, _ in models}
    if not lengths or len(names) != 1 or any(t.shortened for _, t in known):
        return
    has = python_traits.DIMENSIONS[names.pop()]
    if has in lengths:
        return
    text, path, line = min(models, key=lambda m: (m[1], m[2]))
    wanted = ", ".join(str(n) for n in sorted(lengths))
    yield Objection(
        "",
        False,
        f"`{path}:{line}`: `{text}` makes vectors of {has} numbers, the tables hold {wanted}: inserts would fail.",
        f"Use `vector({has})`, or another model.",
        path,
        line,
    )


def not_installed(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-70."""
    folders = {p.rsplit("/", 1)[-1] for p in survey.tree.folders}
    local = folders | {p.rsplit("/", 1)[-1].removesuffix(".py") for p in survey.tree if p.endswith(".py")}
    seen: set[tuple[str | None, str]] = set()
    for service, files in python_services(survey, findings):
        if service.image:
            continue
        image = survey.dockerfiles.get(service.dockerfile or "")
        declared = imports.declared(survey.tree, service.path or ".", image)
        if declared is None or not declared.complete:
            continue
        for path in files:
            for found in traits(survey, path).imports:
                top = found.module.split(".")[0]
                distribution = imports.distribution_of(top)
                if distribution is None or imports.is_standard(top) or top in local:
                    continue
                if not declared.lacks(distribution) or (declared.file, distribution) in seen:
                    continue
                seen.add((declared.file, distribution))
                yield _absent(
                    declared,
                    distribution,
                    f"`{top}` is imported in `{path}:{found.line}` and not installed: the process would end at its start.",
                    path,
                    found.line,
                )


def _absent(declared: imports.Declared, distribution: str, message: str, path: str, line: int) -> Objection:
    plain = declared.file is not None and declared.file.endswith(".txt") and not declared.locked
    remedy = f"Add `{distribution}` to `{declared.file}`" + ("." if plain else ", and renew the lock file.")
    return Objection(
        "", True, message, remedy, path, line, fixable=plain, subject=f"{declared.file}>{distribution}"
    )


def email_validator(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-90."""
    seen: set[str | None] = set()
    for service, files in python_services(survey, findings):
        image = survey.dockerfiles.get(service.dockerfile or "")
        declared = imports.declared(survey.tree, service.path or ".", image)
        if (
            declared is None
            or declared.file in seen
            or not declared.lacks("email-validator")
            or service.image
        ):
            continue
        for path in files:
            line = traits(survey, path).email
            if line is not None:
                seen.add(declared.file)
                yield _absent(
                    declared,
                    "email-validator",
                    f"`{path}:{line}` uses `EmailStr`, which needs `email-validator`; it is not installed, and the process would end at its start.",
                    path,
                    line,
                )
                break


def falls_back(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-94."""
    seen: set[str] = set()
    for _, files in python_services(survey, findings):
        for path in files:
            found = traits(survey, path)
            use = found.optional_kafka or found.silenced_start
            if use is None or path in seen:
                continue
            seen.add(path)
            why = f"`{use.text}` is missing" if found.optional_kafka else "the broker cannot be reached"
            yield Objection(
                "",
                False,
                f"`{path}:{use.line}` goes on without Kafka when {why}: the service would stay green and send nothing.",
                "Let the failure end the process. flywizard proves the worker by its consumer group.",
                path,
                use.line,
                subject=path,
            )


def other_topics(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-95."""
    api = findings.service("api")
    workers = [s for s in findings.services if s.role == "worker"]
    if api is None or not workers or any(not reached(survey, s) for s in (api, *workers)):
        return
    known: dict[str, set[str]] = {}
    mine = {p for s in (api, *workers) for p in reached(survey, s)}
    for path in mine:
        for name, value in traits(survey, path).constants.items():
            known.setdefault(name, set()).add(value)
    defaults = {e.name: e.default for e in findings.env}

    def resolved(token: str) -> str | None:
        if token.startswith('"'):
            return token[1:]
        values = known.get(token, set())
        if len(values) == 1:
            return next(iter(values))
        return defaults.get(token.upper()) or (f"${token.upper()}" if token.upper() in defaults else None)

    sent = [(resolved(t), p, n) for p in reached(survey, api) for t, n in traits(survey, p).sends]
    taken = [
        (resolved(t), p, n)
        for s in workers
        for p in reached(survey, s)
        for t, n in traits(survey, p).consumes
    ]
    if not sent or not taken or any(t is None for t, _, _ in (*sent, *taken)):
        return
    if {t for t, _, _ in sent} & {t for t, _, _ in taken}:
        return
    (topic, path, line), (other, where, number) = sent[0], taken[0]
    yield Objection(
        "",
        False,
        f"`{path}:{line}` sends to `{topic}`, the worker reads `{other}` (`{where}:{number}`): it would never see a message.",
        "Read the topic from one setting.",
        path,
        line,
    )


def late_broker(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-96."""
    seen: set[str] = set()
    for service, files in python_services(survey, findings):
        if service.role != "worker":
            continue
        for path in files:
            use = traits(survey, path).bounded_retry
            if use is None or path in seen:
                continue
            seen.add(path)
            yield Objection(
                "",
                False,
                f"`{path}:{use.line}` gives up after `{use.text}` tries when the broker is late.",
                "flywizard starts the broker first, and Fly starts the worker again when it ends.",
                path,
                use.line,
                handled=True,
                subject=path,
            )


def cannot_work(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-98."""
    seen: set[tuple[str, int]] = set()
    for service, files in python_services(survey, findings):
        if service.role != "worker":
            continue
        for path in files:
            for use in python_traits.broken(survey.tree.text(path) or ""):
                if (path, use.line) in seen:
                    continue
                seen.add((path, use.line))
                yield Objection(
                    "",
                    True,
                    f"`{path}:{use.line}`: {use.text}; the worker cannot run as it stands.",
                    "Await it." if "awaited" in use.text else "Correct the name, or write the method.",
                    path,
                    use.line,
                    subject=f"{path}:{use.line}",
                )


def consumer_in_api(survey: Survey, findings: Findings) -> tuple[str, int, str] | None:
    """Return (file, line, function) where the API starts a consumer loop inside its own process."""
    api = findings.service("api")
    files = reached(survey, api) if api else []
    roots = roots_of(survey, api.path or ".", api.dockerfile) if api else ()
    for path in files:
        for task in traits(survey, path).tasks:
            if not python_traits.looks_like_work(task.text):
                continue
            near = {path} | {
                t
                for m, _ in survey.python[path].imports
                if not m.startswith(".") and (t := modules.find(m, roots, survey.python))
            }
            near |= set().union(*(modules.reachable(p, roots, survey.python) for p in near if p != path))
            if any(traits(survey, p).consumes for p in near):
                return path, task.line, task.text
    return None


def worker_twice(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-102."""
    found = consumer_in_api(survey, findings)
    worker = findings.service("worker")
    if found is None or worker is None:
        return
    path, line, name = found
    yield Objection(
        "",
        False,
        f"`{path}:{line}` starts `{name}` inside the API, and `{worker.name}` is a service too: messages would be handled in both.",
        "Keep one of them.",
        path,
        line,
        subject=worker.name,
    )


def development_script(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-101, the part about code that asks whether it runs in Docker."""
    places: dict[str, int] = {}
    for _, files in python_services(survey, findings):
        for path in files:
            line = traits(survey, path).docker_file
            if line is not None:
                places.setdefault(path, line)
    for service in findings.services:
        image = survey.dockerfiles.get(service.dockerfile or "")
        for instruction in (image.last("CMD"), image.last("ENTRYPOINT")) if image else ():
            for word in instruction.words() if instruction else ():
                script = join(service.path or ".", word.lstrip("/")) if word.endswith(".sh") else None
                text = survey.tree.text(script) if script else None
                if script and text and "/.dockerenv" in text:
                    places.setdefault(script, text.count("\n", 0, text.index("/.dockerenv")) + 1)
    for path, line in places.items():
        yield Objection(
            "",
            False,
            f"`{path}:{line}` looks for `/.dockerenv`, which a Fly machine does not have: it would take the other branch.",
            "Read a setting instead.",
            path,
            line,
            subject=path,
        )
