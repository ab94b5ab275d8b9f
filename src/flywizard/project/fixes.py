"""Owns the one-key fixes of preflight: each returns whole-file changes. Pure; a line that is not as expected is left alone."""

from __future__ import annotations

import ast
import json
import re
import shlex
from typing import Any

from flywizard.plan import FileChange
from flywizard.project import dockerfile as dockerfiles
from flywizard.project import dockerignore as ignores
from flywizard.project import images
from flywizard.project.model import Objection
from flywizard.project.next_config import wanted_output
from flywizard.project.tree import Tree


def _change(tree: Tree, path: str, after: str) -> list[FileChange]:
    return [tree.change(path, after)]


def _lines(tree: Tree, objection: Objection) -> tuple[str, list[str], int]:
    """Return (path, lines, index of the objection's line)."""
    path = objection.file or ""
    return path, (tree.text(path) or "").split("\n"), (objection.line or 1) - 1


def _edit(tree: Tree, objection: Objection, pattern: str, replacement: str) -> list[FileChange]:
    """Replace a pattern on the objection's line and its continuation lines."""
    path, lines, index = _lines(tree, objection)
    while index < len(lines):
        lines[index] = re.sub(pattern, replacement, lines[index])
        if not lines[index].rstrip().endswith("\\"):
            break
        index += 1
    return _change(tree, path, "\n".join(lines))


def _insert(tree: Tree, objection: Objection, *new: str) -> list[FileChange]:
    path, lines, index = _lines(tree, objection)
    return _change(tree, path, "\n".join([*lines[:index], *new, *lines[index:]]))


def _replace_instruction(tree: Tree, path: str, line: int, new: str | None) -> list[str]:
    """Return the file's lines with the instruction at ``line`` replaced (None: removed), continuation lines included."""
    lines = (tree.text(path) or "").split("\n")
    end = line - 1
    while end < len(lines) - 1 and lines[end].rstrip().endswith("\\"):
        end += 1
    return [*lines[: line - 1], *([new] if new is not None else []), *lines[end + 1 :]]


def public_folder(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-01: create ``public/.gitkeep``."""
    return [FileChange(f"{objection.subject}/.gitkeep", None, "")]


def standalone_of(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-02: set ``output: "standalone"``."""
    return wanted_output(tree, objection.subject)


def node_version(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-03: a Node that the locked Next runs on."""
    path, lines, index = _lines(tree, objection)
    if "node:" in lines[index]:
        return _edit(tree, objection, r"(\bnode:)\d+(?:\.\d+)*", rf"\g<1>{images.NODE}")
    text = re.sub(r"(?m)^(ARG\s+NODE\w*=)(?:node:)?\d+[\d.]*", rf"\g<1>{images.NODE}", "\n".join(lines))
    return _change(tree, path, text)


def full_install(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-04: install everything in the build stage."""
    return _edit(tree, objection, r"\s--(?:only=prod(?:uction)?|omit=dev|production|prod)(?=\s|$)", "")


def entrypoint_to_cmd(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-06: one CMD instead of ENTRYPOINT and CMD."""
    path = objection.file or ""
    image = dockerfiles.read(path, tree.text(path) or "")
    entry, cmd = image.last("ENTRYPOINT"), image.last("CMD")
    if entry is None:
        return []
    words = list(entry.words()) + list(cmd.words() if cmd else ())
    lines = _replace_instruction(tree, path, entry.line, f"CMD {json.dumps(words)}")
    after = "\n".join(lines)
    if cmd is not None:
        line = next(
            i.line for s in dockerfiles.read(path, after).stages for i in s.of("CMD") if i.value == cmd.value
        )
        after = "\n".join(_replace_instruction(Tree.of({path: after}), path, line, None))
    return _change(tree, path, after)


def build_arguments(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-07: ARG and ENV before the build."""
    names = objection.subject.split(",")
    return _insert(
        tree, objection, *(text for name in names for text in (f"ARG {name}", f"ENV {name}=${name}"))
    )


def public_env_to_args(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-08: from ``[env]`` to ``[build.args]``."""
    import tomlkit

    path = objection.file or ""
    document = tomlkit.parse(tree.text(path) or "")
    env = document.get("env")
    if not isinstance(env, dict) or objection.subject not in env:
        return []
    value = str(env[objection.subject])
    del env[objection.subject]
    build = document.setdefault("build", tomlkit.table())
    build.setdefault("args", tomlkit.table())[objection.subject] = value
    return _change(tree, path, tomlkit.dumps(document))


def dockerignore(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-11: write the file, or add what is missing."""
    path = objection.subject
    text = tree.text(path)
    if text is None:
        return [FileChange(path, None, images.dockerignore())]
    lines = ignores.missing(text)
    return _change(tree, path, ignores.extended(text, lines)) if lines else []


def debian_base(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-12: slim instead of Alpine."""
    return _edit(tree, objection, r"(python:[\d.]*?)-?alpine[\d.]*", r"\g<1>-slim-bookworm")


def hostname(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-15: HOSTNAME and PORT before CMD."""
    values = {"HOSTNAME": "0.0.0.0", "PORT": "3000"}  # noqa: S104
    return _insert(tree, objection, *(f"ENV {name}={values[name]}" for name in objection.subject.split(",")))


def exec_form(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-16: the exec form of CMD."""
    path = objection.file or ""
    cmd = dockerfiles.read(path, tree.text(path) or "").last("CMD")
    if cmd is None or cmd.exec_form() is not None:
        return []
    return _change(
        tree,
        path,
        "\n".join(_replace_instruction(tree, path, cmd.line, f"CMD {json.dumps(shlex.split(cmd.value))}")),
    )


def all_addresses(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-20: listen on all addresses."""
    path, lines, index = _lines(tree, objection)
    if re.search(r"127\.0\.0\.1|localhost", lines[index]):
        return _edit(tree, objection, r"127\.0\.0\.1|localhost", "0.0.0.0")  # noqa: S104
    image = dockerfiles.read(path, tree.text(path) or "")
    start = image.start()
    if start is None or start[1].line != objection.line:
        return []
    cmd = start[1]
    form = cmd.exec_form()
    if start[0].program == "gunicorn":
        extra = ["--bind", f"0.0.0.0:{start[0].port or 8000}"]
    else:
        extra = ["--host", "0.0.0.0"]  # noqa: S104
    new = (
        f"{cmd.keyword} {json.dumps([*form, *extra])}"
        if form
        else f"{cmd.keyword} {cmd.value} {' '.join(extra)}"
    )
    return _change(tree, path, "\n".join(_replace_instruction(tree, path, cmd.line, new)))


def main_guard(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-23: a start line for the function found."""
    path, name = objection.file or "", objection.subject
    text = tree.text(path) or ""
    try:
        module = ast.parse(text)
    except SyntaxError:
        return []
    function = next(
        (n for n in module.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name),
        None,
    )
    if function is None:
        return []
    call = (
        f"    import asyncio\n\n    asyncio.run({name}())"
        if isinstance(function, ast.AsyncFunctionDef)
        else f"    {name}()"
    )
    return _change(tree, path, text.rstrip("\n") + f'\n\n\nif __name__ == "__main__":\n{call}\n')


def service_groups(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-24: name the process group of the service."""
    import tomlkit

    path = objection.file or ""
    document = tomlkit.parse(tree.text(path) or "")
    service = document.get("http_service")
    if not isinstance(service, dict) or not objection.subject:
        return []
    service["processes"] = [objection.subject]
    return _change(tree, path, tomlkit.dumps(document))


def extension_name(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-40: the extension's right name."""
    written, _, right = objection.subject.partition(">")
    quoted = f'"{right}"' if not right.isidentifier() else right
    return _edit(
        tree, objection, rf"\"{re.escape(written)}\"|(?<![\w-]){re.escape(written)}(?![\w-])", quoted
    )


def memory(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-84: one gigabyte."""
    import tomlkit

    path = objection.file or ""
    document = tomlkit.parse(tree.text(path) or "")
    entries = document.get("vm")
    index, _, swap = objection.subject.partition(":")
    entry = entries[int(index)] if isinstance(entries, list) else entries
    if not isinstance(entry, dict):
        return []
    entry["memory"] = "1gb"
    if "memory_mb" in entry:
        del entry["memory_mb"]
    if swap and "swap_size_mb" not in document:
        _at_top(document, "swap_size_mb", 512)
    return _change(tree, path, tomlkit.dumps(document))


def _at_top(document: Any, key: str, value: Any) -> None:
    """Add a key before the first table of a TOML document."""
    import tomlkit

    last = next((k for k in ("primary_region", "app") if k in document), None)
    if last is None:
        document.add(key, value)
        return
    document.update({key: value}) if key in document else document._insert_after(
        last, key, tomlkit.item(value)
    )


def venv_path(tree: Tree, objection: Objection) -> list[FileChange]:
    """C-91: uv's environment on PATH."""
    path = objection.file or ""
    image = dockerfiles.read(path, tree.text(path) or "")
    folders = [i.value.strip().rstrip("/") for s in image.stages for i in s.of("WORKDIR")]
    return _insert(tree, objection, f'ENV PATH="{folders[-1] if folders else "/app"}/.venv/bin:$PATH"')
