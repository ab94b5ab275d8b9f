"""Owns the preflight rules about Fly's files and the repository as a whole (C-00, C-08, C-24, C-80 … C-87). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flywizard.project import nextjs
from flywizard.project.fly_files import _megabytes as megabytes
from flywizard.project.model import Findings, Objection
from flywizard.project.propose import APP_NAME, PLACEHOLDER, app_slug
from flywizard.project.survey import Survey


def nothing_here(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-00."""
    if findings.kind != "unsupported":
        return
    if not survey.tree.sizes:
        yield Objection("", True, "This folder is empty.", "Start flywizard in the root of a repository.")
    else:
        yield Objection(
            "",
            True,
            "There is nothing here that flywizard can deploy: no FastAPI application, no worker, no Next.js frontend."
            + "".join(f" {note.what}" for note in findings.notes[:2]),
            "Start flywizard in the root of such a repository, or write a flywizard.toml.",
        )


def public_env(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-08."""
    for config in survey.fly.values():
        for name in config.table("env"):
            if name.startswith(nextjs.PUBLIC):
                line = config.line("env", name)
                yield Objection(
                    "",
                    False,
                    f"`{name}` in `{config.path}:{line}` has no effect at run time: it is frozen when the image is built.",
                    "Move it to `[build.args]`.",
                    config.path,
                    line,
                    fixable=True,
                    subject=name,
                )


def groups(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-24."""
    for config in survey.fly.values():
        processes = config.processes
        if not config.http_service:
            continue
        named = config.service_groups
        line = config.line("http_service", "processes")
        if processes and not named:
            yield Objection(
                "",
                True,
                f"`{config.path}:{line}`: `[http_service]` names no process group, and the app has {len(processes)}.",
                "flywizard writes it.",
                config.path,
                line,
                handled=True,
                fixable=True,
                subject=next(iter(processes)) if "app" not in processes else "app",
            )
        for group in named:
            if group not in (processes or {"app": ""}):
                yield Objection(
                    "",
                    True,
                    f"`{config.path}:{line}`: `[http_service]` names the process group `{group}`, which `[processes]` does not have.",
                    "Write both groups.",
                    config.path,
                    line,
                    fixable=bool(processes),
                    subject=next(iter(processes), ""),
                )


def placeholder(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-80."""
    for config in survey.fly.values():
        if config.app and PLACEHOLDER.search(config.app):
            line = config.line("app")
            yield Objection(
                "",
                True,
                f"`{config.path}:{line}` still holds a placeholder: `{config.app}`.",
                "flywizard writes the chosen name; comments stay.",
                config.path,
                line,
                handled=True,
                fixable=app_slug(PLACEHOLDER.sub("", config.app)) != "app",
                subject=config.path,
            )


def app_name(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-81."""
    for config in survey.fly.values():
        if config.app and not APP_NAME.match(config.app) and not PLACEHOLDER.search(config.app):
            line = config.line("app")
            yield Objection(
                "",
                True,
                f"`{config.path}:{line}`: `{config.app}` is no app name; only lower-case letters, digits and dashes are allowed.",
                f"flywizard writes another, such as `{app_slug(config.app)}`.",
                config.path,
                line,
                handled=True,
                fixable=True,
                subject=config.path,
            )


def memory(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-84."""
    pages = {s.fly_config for s in findings.services if s.framework == "nextjs"}
    for config in survey.fly.values():
        entries = config.data.get("vm")
        entries = [entries] if isinstance(entries, dict) else entries if isinstance(entries, list) else []
        for index, entry in enumerate(entries):
            size = megabytes(entry) if isinstance(entry, dict) else None
            if size is not None and size < 512:
                key = ("vm", index, "memory") if isinstance(config.data.get("vm"), list) else ("vm", "memory")
                line = config.line(*key)
                yield Objection(
                    "",
                    False,
                    f"`{config.path}:{line}`: {size} MB is likely to be killed.",
                    "Use 1 GB, and 512 MB of swap." if config.path in pages else "Use 1 GB.",
                    config.path,
                    line,
                    fixable=True,
                    subject=f"{index}:swap" if config.path in pages else str(index),
                )


def duplicates(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-85."""
    by_app: dict[str, list[str]] = {}
    for config in survey.fly.values():
        if config.app:
            by_app.setdefault(config.app, []).append(config.path)
    for app, paths in by_app.items():
        if len(paths) > 1:
            yield Objection(
                "",
                False,
                f"{' and '.join(f'`{p}`' for p in paths)} both configure `{app}`.",
                "Keep the one that is live; name it in flywizard.toml.",
                paths[0],
                1,
            )
    folders = {s.path for s in findings.services} | {"."}
    for path in survey.tree.named("fly.json", "fly.yaml", "fly.yml"):
        folder = path.rpartition("/")[0] or "."
        if folder not in folders:
            continue
        beside = f"{folder}/fly.toml".removeprefix("./")
        yield Objection(
            "",
            False,
            f"`{path}` configures an app too; flywizard reads and writes only `fly.toml`"
            + (f", and `{beside}` is there as well." if beside in survey.tree else "."),
            f"Move what matters into `{beside}`, and delete it.",
            path,
            1,
            subject=path,
        )


def template(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-86."""
    path = next((p for p in survey.tree if "{{" in p or "{%" in p), None)
    if path:
        yield Objection(
            "",
            True,
            f"This is a template repository (`{path}`).",
            "Generate a project from it first.",
            path,
            1,
        )
        return
    for file in survey.compose:
        text = survey.tree.text(file.path) or ""
        found = re.search(r"\{\{\s*(cookiecutter|copier|project|values?)\b|\{%", text, re.IGNORECASE)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            yield Objection(
                "",
                True,
                f"This is a template repository (`{file.path}:{line}`).",
                "Generate a project from it first.",
                file.path,
                line,
            )
            return


def unreadable(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-87."""
    for config in survey.fly.values():
        if config.error:
            yield Objection(
                "",
                True,
                f"`{config.path}` is not TOML: {config.error}.",
                "Mend it, or move it away.",
                config.path,
                config.error_line,
            )
    for file in survey.compose:
        if file.error:
            yield Objection(
                "",
                False,
                f"`{file.path}` cannot be read: {file.error}. What it says was left out.",
                "Mend it.",
                file.path,
                file.error_line,
            )
    for package in survey.packages.values():
        if package.error:
            yield Objection(
                "",
                True,
                f"`{package.path}` is not JSON: {package.error}.",
                "Mend it.",
                package.path,
                package.error_line,
            )
    used = {s.entry_file for s in findings.services}
    for python in survey.python.values():
        if python.error and python.path in used:
            yield Objection(
                "",
                True,
                f"`{python.path}` is not Python: {python.error}.",
                "Mend it.",
                python.path,
                python.error_line,
            )
    wanted = [
        p
        for p in survey.tree.unreadable
        if p.rsplit("/", 1)[-1] in {"fly.toml", "package.json", "Dockerfile"} or "compose" in p
    ]
    for path in sorted(wanted):
        yield Objection(
            "",
            False,
            f"`{path}` was not read: {survey.tree.unreadable[path]}.",
            "Look at the file.",
            path,
            None,
        )
