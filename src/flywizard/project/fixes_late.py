"""Owns the one-key fixes of the later preflight rules: fly.toml, dependency files, start commands. Pure; what is not as expected is left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from flywizard.plan import FileChange
from flywizard.project import dockerfile as dockerfiles
from flywizard.project.fixes import _edit, _insert, _replace_instruction
from flywizard.project.model import Objection
from flywizard.project.propose import PLACEHOLDER, app_slug, runnable
from flywizard.project.tree import Tree


def _toml(tree: Tree, path: str, edit: Callable[[Any], bool | None]) -> list[FileChange]:
    """Change a TOML document in place; nothing where ``edit`` says False or the text is no TOML."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(tree.text(path) or "")
    except TOMLKitError:
        return []
    if edit(document) is False:
        return []
    return [tree.change(path, tomlkit.dumps(document))]


def start_command(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-05: a CMD at the end."""
    from flywizard.project.images import command_words

    path = objection.file or ""
    text = tree.text(path)
    if text is None or not objection.subject:
        return []
    return [tree.change(path, text.rstrip("\n") + f"\nCMD {json.dumps(command_words(objection.subject))}\n")]


def port(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-21: the port of the command that will run."""
    wanted, _, old = objection.subject.partition(">")
    if not wanted.isdigit():
        return []
    return _edit(tree, objection, rf"\b{re.escape(old)}\b", wanted)


def shell(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-26: through ``sh -c``."""

    def edit(document: Any) -> bool:
        table = document.get("processes")
        for group, text in table.items() if isinstance(table, dict) else ():
            if isinstance(text, str) and text == objection.subject:
                table[group] = runnable(str(text))
                return True
        return False

    return _toml(tree, objection.file or "", edit)


def served(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-27: no service for a worker, and no sleep for a consumer."""
    kind, _, rest = objection.subject.partition(":")

    def edit(document: Any) -> bool:
        if kind == "group":
            group, _, key = rest.partition(":")
            part: Any = document
            for name in key.split("."):
                part = part[int(name) if name.isdigit() else name]
            part["processes"] = [g for g in part["processes"] if g != group]
            return True
        services = document.get("services")
        parts = [document["http_service"]] if "http_service" in document else list(services or [])
        for part in parts:
            part["auto_stop_machines"] = "off"
            if not isinstance(part.get("min_machines_running"), int) or part["min_machines_running"] < 1:
                part["min_machines_running"] = 1
        return bool(parts)

    return _toml(tree, objection.file or "", edit)


def migration_files(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-46: copy Alembic's files."""
    new = [
        f"COPY {path} {path if '/' in path or path.endswith('.ini') else './' + path}"
        for path in objection.subject.split(",")
    ]
    return _insert(tree, objection, *new)


def broker_security(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-62: what the broker wants; in fly.toml the line goes, because the secret says it."""
    old, sign, rest = objection.subject.partition(">")
    if sign:
        return _edit(tree, objection, rf"(?<=[\"']){re.escape(old)}(?=[\"'])", rest.split(":")[0])

    def edit(document: Any) -> bool:
        env = document.get("env")
        if not isinstance(env, dict) or old not in env:
            return False
        del env[old]
        return True

    return _toml(tree, objection.file or "", edit)


def dependency(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-70, C-90: one more line in the requirements."""
    path, _, name = objection.subject.partition(">")
    text = tree.text(path)
    if text is None or not path.endswith(".txt"):
        return []
    return [tree.change(path, text + ("" if not text or text.endswith("\n") else "\n") + name + "\n")]


def placeholder(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-80: the name without its placeholder, where something is left."""

    def edit(document: Any) -> bool:
        slug = app_slug(PLACEHOLDER.sub("", str(document.get("app", ""))))
        if slug == "app" or PLACEHOLDER.search(slug):
            return False
        document["app"] = slug
        return True

    return _toml(tree, objection.file or "", edit)


def app_name(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-81: the nearest name that Fly takes."""

    def edit(document: Any) -> None:
        document["app"] = app_slug(str(document.get("app", "")))

    return _toml(tree, objection.file or "", edit)


def region(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-83: one region."""

    def edit(document: Any) -> None:
        document["primary_region"] = objection.subject.partition(":")[0]

    return _toml(tree, objection.file or "", edit)


def without_uv(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-92: start the environment's own program."""
    path = objection.file or ""
    image = dockerfiles.read(path, tree.text(path) or "")
    start = image.start()
    form = start[1].exec_form() if start else None
    if start is None or form is None or list(form[:2]) != ["uv", "run"]:
        return []
    words = list(form[2:])
    while words and words[0].startswith("-"):
        words = words[1:]
    if not words:
        return []
    folders = [i.value.strip().rstrip("/") for s in reversed(image.chain()) for i in s.of("WORKDIR")]
    place = image.environment().get("UV_PROJECT_ENVIRONMENT", f"{folders[-1] if folders else '/app'}/.venv")
    words[0] = f"{place}/bin/{words[0]}"
    lines = _replace_instruction(tree, path, start[1].line, f"{start[1].keyword} {json.dumps(words)}")
    return [tree.change(path, "\n".join(lines))]


def json_list(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-93: a plain list as JSON."""

    def edit(document: Any) -> bool:
        env = document.get("env")
        value = env.get(objection.subject) if isinstance(env, dict) else None
        if not isinstance(value, str):
            return False
        env[objection.subject] = json.dumps([part.strip() for part in value.split(",") if part.strip()])
        return True

    return _toml(tree, objection.file or "", edit)


def unhide(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-99: an exception in .dockerignore, or the line out of .gitignore."""
    path, _, name = objection.subject.removeprefix("git:").partition(">")
    text = tree.text(path)
    if text is None:
        return []
    if objection.subject.startswith("git:"):
        kept = [line for line in text.split("\n") if line.strip().lstrip("/") != name]
        return [tree.change(path, "\n".join(kept))]
    return [tree.change(path, text + ("" if text.endswith("\n") else "\n") + f"!{name}\n")]


def production_server(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-101: no reload, and ``fastapi run``."""
    path = objection.file or ""
    image = dockerfiles.read(path, tree.text(path) or "")
    start = image.start()
    form = start[1].exec_form() if start else None
    if start is None or form is None:
        return []
    words = [w for w in form if w != "--reload"]
    if words[:2] == ["fastapi", "dev"]:
        words[1] = "run"
    if words == list(form):
        return []
    lines = _replace_instruction(tree, path, start[1].line, f"{start[1].keyword} {json.dumps(words)}")
    return [tree.change(path, "\n".join(lines))]
