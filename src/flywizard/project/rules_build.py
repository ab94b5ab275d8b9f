"""Owns the preflight rules about the build context (C-09 … C-11, C-13, C-14), and what rules about builds share. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from flywizard.project import dockerignore, nextjs
from flywizard.project.compose import INFRASTRUCTURE, join
from flywizard.project.dockerfile import Dockerfile, Instruction, Stage
from flywizard.project.image_files import can_make_image
from flywizard.project.model import Findings, Objection, Service
from flywizard.project.survey import Survey
from flywizard.project.tree import IGNORED

HEAVY = re.compile(r"(?mi)^\s*[\"']?(torch|tensorflow|sentence-transformers|vllm|nvidia-\S+)\b")
HIDDEN_ELSEWHERE = frozenset({"package.json", "requirements.txt", "pyproject.toml", "alembic.ini"})
"""Files whose hiding is C-99's to tell."""
IGNORED_LINES = {"python": (".venv", ".env"), "javascript": ("node_modules", ".next", ".env")}


def images(survey: Survey, findings: Findings) -> Iterator[tuple[Service, Dockerfile, list[Service]]]:
    """Yield each Dockerfile in use once, with its first service and all its services."""
    by_file: dict[str, list[Service]] = {}
    for service in findings.services:
        if service.dockerfile in survey.dockerfiles and service.path is not None:
            by_file.setdefault(service.dockerfile or "", []).append(service)
    for path, services in by_file.items():
        yield services[0], survey.dockerfiles[path], services


def contexts(findings: Findings) -> Iterator[tuple[str, Service]]:
    """Yield each build context once, with its first service."""
    seen: set[str] = set()
    for service in findings.services:
        context = service.workspace or service.path
        if context is not None and context not in seen and service.image is None:
            seen.add(context)
            yield context, service


def say(
    blocking: bool,
    message: str,
    remedy: str,
    file: str | None,
    line: int | None,
    *,
    fix: bool = False,
    handled: bool = False,
    subject: str = "",
) -> Objection:
    """Make an objection; the table adds its id."""
    return Objection("", blocking, message, remedy, file, line, handled=handled, fixable=fix, subject=subject)


def copies(image: Dockerfile) -> Iterator[tuple[Stage, Instruction, str]]:
    """Yield each source of each COPY and ADD."""
    for stage in image.stages:
        for copy in stage.of("COPY", "ADD"):
            for source in copy.words()[:-1]:
                yield stage, copy, source


def copy_outside(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-09."""
    tree = survey.tree
    for service, image, _ in images(survey, findings):
        context = service.workspace or service.path or "."
        ignored = _rules(survey, context, image.path)
        for _, copy, source in copies(image):
            if copy.flag("from") or source.startswith(("http://", "https://", "git@", "<<")) or "$" in source:
                continue
            target = join(context, source.lstrip("/") or ".")
            inner = source.removeprefix("./").lstrip("/").rstrip("/")
            name = inner.rsplit("/", 1)[-1]
            if (
                inner in {"", "."}
                or name in nextjs.LOCKS
                or name in {"public", "uv.lock", "poetry.lock"}
                or set(inner.split("/")) & IGNORED
            ):
                continue
            if target is None or ".." in source.split("/"):
                yield say(
                    True,
                    f"`{image.path}:{copy.line}` copies `{source}`, which is outside `{context}`.",
                    "Choose another build context, or move the file.",
                    image.path,
                    copy.line,
                )
            elif any(c in source for c in "*?["):
                if len(copy.words()) == 2 and not any(fnmatchcase(p, target) for p in tree.under(context)):
                    yield say(
                        True,
                        f"`{image.path}:{copy.line}` copies `{source}`, which matches nothing in `{context}`.",
                        "Choose another build context, or add the file.",
                        image.path,
                        copy.line,
                    )
            elif target not in tree and not tree.is_folder(target):
                yield say(
                    True,
                    f"`{image.path}:{copy.line}` copies `{source}`, which does not exist in `{context}`.",
                    "Choose another build context, or add the file.",
                    image.path,
                    copy.line,
                )
            elif name not in HIDDEN_ELSEWHERE and ignored(inner) and not ignored.has_exceptions:
                yield say(
                    True,
                    f"`{image.path}:{copy.line}` copies `{source}`, which .dockerignore hides.",
                    "Take it out of .dockerignore.",
                    image.path,
                    copy.line,
                )


def _rules(survey: Survey, context: str, dockerfile: str | None) -> dockerignore.Ignore:
    for path in (f"{dockerfile}.dockerignore", join(context, ".dockerignore") or ""):
        text = survey.tree.text(path)
        if text is not None:
            return dockerignore.parse(text)
    return dockerignore.Ignore()


def lock_file(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-10."""
    for context, service in contexts(findings):
        image = survey.dockerfiles.get(service.dockerfile or "")
        runs = " ".join(r.value for s in image.stages for r in s.of("RUN")) if image else ""
        file, line = (image.path, image.stages[0].line) if image and image.stages else (None, None)
        if service.language == "javascript":
            locks = {m for n, m in nextjs.LOCKS.items() if (join(context, n) or "") in survey.tree}
            package = join(context, "package.json")
            if not locks:
                if image is None or re.search(r"\bnpm ci\b|--frozen-lockfile|--immutable", runs):
                    yield say(
                        True,
                        f"There is no lock file in `{context}`: the build would end with `Lockfile not found.`",
                        "Commit the lock file.",
                        file or package,
                        line or 1,
                    )
                continue
            used = re.search(
                r"\b(npm) ci\b|\b(yarn) install\b|\b(pnpm) (?:i|install)\b|\b(bun) install\b", runs
            )
            wanted = next((g for g in used.groups() if g), None) if used else service.package_manager
            if wanted and wanted not in locks:
                yield say(
                    True,
                    f"`{wanted}` installs in `{context}`, but the lock file belongs to `{sorted(locks)[0]}`.",
                    f"Commit the lock file of `{wanted}`.",
                    file or package,
                    line or 1,
                )
        elif (
            re.search(r"\buv sync\b.*--(locked|frozen)", runs)
            and (join(context, "uv.lock") or "") not in survey.tree
        ):
            yield say(
                True,
                f"`uv sync --locked` needs `uv.lock`, which is not in `{context}`.",
                "Commit `uv.lock`.",
                file,
                line,
            )


def ignore_file(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-11."""
    for context, service in contexts(findings):
        path = join(context, ".dockerignore") or ".dockerignore"
        own = f"{service.dockerfile}.dockerignore"
        if own in survey.tree:
            continue
        if path not in survey.tree:
            yield say(
                False,
                f"`{context}` has no .dockerignore: local files and `.env` would go to the builder.",
                "flywizard writes one.",
                None,
                None,
                fix=True,
                handled=True,
                subject=path,
            )
            continue
        ignored = _rules(survey, context, service.dockerfile)
        wanted = IGNORED_LINES.get(service.language or "", (".env",))
        missing = [name for name in wanted if not ignored(name)]
        if missing:
            names = ", ".join(f"`{n}`" for n in missing)
            yield say(
                False,
                f"`{path}` lets {names} into the build context.",
                "Add the missing lines.",
                path,
                1,
                fix=True,
                subject=path,
            )


def requirements(survey: Survey, context: str) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of a context's dependency files."""
    for name in ("requirements.txt", "pyproject.toml"):
        path = join(context, name) or name
        if path in survey.requirements:
            yield path, survey.requirements[path]


def missing_dockerfile(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-13."""
    makeable = {s.path: s for s in findings.services if can_make_image(s, survey.tree)}
    for service in survey.compose_services():
        if (
            service.context
            and service.dockerfile
            and service.dockerfile not in survey.dockerfiles
            and service.dockerfile not in survey.tree
        ):
            if service.image and INFRASTRUCTURE.search(service.image):
                continue
            if any(o.name == service.name and o.image and not o.context for o in survey.compose_services()):
                continue  # another compose file runs a ready image
            handled = (
                service.context in makeable
                and makeable[service.context].dockerfile is None
                and service.dockerfile == join(service.context, "Dockerfile")
            )
            yield say(
                True,
                f"`{service.file}:{service.dockerfile_line}` names `{service.dockerfile}`, which does not exist.",
                "flywizard writes it." if handled else "Choose among those found.",
                service.file,
                service.dockerfile_line,
                handled=handled,
            )
    for config in survey.fly.values():
        named = config.table("build").get("dockerfile")
        path = join(config.folder, named) if isinstance(named, str) else None
        if path and path not in survey.tree:
            line = config.line("build", "dockerfile")
            yield say(
                True,
                f"`{config.path}:{line}` names `{path}`, which does not exist.",
                "Choose among those found.",
                config.path,
                line,
            )
    yield from _imageless(survey, findings)


def _imageless(survey: Survey, findings: Findings) -> Iterator[Objection]:
    for service in findings.services:
        if (
            service.role == "other"
            or service.image
            or service.dockerfile
            or can_make_image(service, survey.tree)
        ):
            continue
        place = service.evidence[0] if service.evidence else None
        yield say(
            True,
            f"`{service.name}` in `{service.path}` has no Dockerfile, and flywizard cannot write one for it.",
            "Add a Dockerfile, or name a ready image in flywizard.toml.",
            place.file if place else None,
            place.line if place else None,
        )


def huge_packages(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-14."""
    for context, service in contexts(findings):
        for path, text in (
            requirements(survey, service.path or context) if service.language == "python" else ()
        ):
            found = HEAVY.search(text)
            if found and "/whl/cpu" not in text:
                line = text.count("\n", 0, found.start(1)) + 1
                yield say(
                    False,
                    f"`{path}:{line}`: `{found[1]}` can make the image larger than the 8 GB that Fly allows.",
                    "Use a CPU-only wheel, or load models at start.",
                    path,
                    line,
                )
