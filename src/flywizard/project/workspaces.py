"""Owns workspaces: which folder's lock file covers a service, which members there are, and who manages its packages. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from flywizard.project.compose import join
from flywizard.project.dockerfile import read as read_dockerfile
from flywizard.project.model import Service
from flywizard.project.nextjs import LOCKS
from flywizard.project.tree import Tree


def placed(tree: Tree, services: Iterable[Service]) -> tuple[Service, ...]:
    """Return the services with the workspace that covers each, and the package manager that it says."""
    return tuple(_placed(tree, service) for service in services)


def _placed(tree: Tree, service: Service) -> Service:
    if service.path in (None, ".") or service.language not in {"python", "javascript"} or service.workspace:
        return service
    folder = service.path or "."
    root = python_root(tree, folder) if service.language == "python" else script_root(tree, folder)
    if root is None or (
        (service.dockerfile or "") in tree and not _needs(tree, service.dockerfile or "", folder, root)
    ):
        return service
    manager = "uv" if service.language == "python" else script_manager(tree, root)
    return replace(service, workspace=root, package_manager=manager or service.package_manager)


def _needs(tree: Tree, dockerfile: str, folder: str, root: str) -> bool:
    """Tell whether a Dockerfile copies what only the workspace's root has."""
    image = read_dockerfile(dockerfile, tree.text(dockerfile) or "")
    for stage in image.stages:
        for copy in stage.of("COPY", "ADD"):
            for source in copy.words()[:-1] if copy.flag("from") is None else ():
                here, above = (join(f, source.lstrip("/") or ".") or "" for f in (folder, root))
                if here not in tree and not tree.is_folder(here) and (above in tree or tree.is_folder(above)):
                    return True
    return False


def _parents(folder: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(folder).parents]


def _inside(patterns: object, root: str, folder: str) -> bool:
    """Tell whether a folder is one of a workspace's members, by its patterns."""
    inner = folder if root == "." else folder[len(root) + 1 :]
    found = False
    for pattern in patterns if isinstance(patterns, list) else []:
        if not isinstance(pattern, str):
            continue
        out = pattern.startswith("!")
        clean = pattern.removeprefix("!").removeprefix("./").rstrip("/")
        if fnmatchcase(inner, clean.replace("**", "*")) and (
            clean.count("/") == inner.count("/") or "**" in clean
        ):
            found = not out
    return found


def _toml(tree: Tree, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(tree.text(path) or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def python_root(tree: Tree, folder: str) -> str | None:
    """Return the root of the uv workspace that a folder is a member of; None where it has a lock of its own."""
    if (join(folder, "uv.lock") or "") in tree or (join(folder, "pyproject.toml") or "") not in tree:
        return None
    for root in _parents(folder):
        if (join(root, "uv.lock") or "") not in tree:
            continue
        tool = _toml(tree, join(root, "pyproject.toml") or "").get("tool")
        uv = tool.get("uv") if isinstance(tool, dict) else None
        workspace = uv.get("workspace") if isinstance(uv, dict) else None
        if isinstance(workspace, dict) and _inside(workspace.get("members"), root, folder):
            return root
    return None


def package_name(tree: Tree, folder: str) -> str | None:
    """Return the name in a folder's pyproject.toml or package.json."""
    project = _toml(tree, join(folder, "pyproject.toml") or "").get("project")
    if isinstance(project, dict) and isinstance(project.get("name"), str):
        return str(project["name"])
    name = package(tree, folder).get("name")
    return name if isinstance(name, str) else None


def package(tree: Tree, folder: str) -> dict[str, Any]:
    """Return a folder's package.json, empty where there is none that can be read."""
    try:
        data = json.loads(tree.text(join(folder, "package.json") or "package.json") or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _patterns(tree: Tree, root: str) -> list[str]:
    """Return the patterns of a JavaScript workspace's members."""
    listed = package(tree, root).get("workspaces")
    if isinstance(listed, dict):
        listed = listed.get("packages")
    out = [p for p in listed if isinstance(p, str)] if isinstance(listed, list) else []
    text = tree.text(join(root, "pnpm-workspace.yaml") or "pnpm-workspace.yaml") or ""
    block = re.search(r"(?m)^packages:\s*\n((?:[ \t]*(?:-.*|#.*)?\n?)+)", text)
    if block:
        out += re.findall(r"(?m)^\s*-\s*[\"']?([^\"'\s#]+)", block[1])
    return out


def script_root(tree: Tree, folder: str) -> str | None:
    """Return the root of the npm, pnpm, yarn or bun workspace that a folder is a member of; None with a lock of its own."""
    if any((join(folder, name) or "") in tree for name in LOCKS):
        return None
    for root in _parents(folder):
        if any((join(root, name) or name) in tree for name in LOCKS) and _inside(
            _patterns(tree, root), root, folder
        ):
            return root
    return None


def script_manager(tree: Tree, folder: str) -> str | None:
    """Return who manages a folder's packages: the field ``packageManager``, else the lock file."""
    named = package(tree, folder).get("packageManager")
    if isinstance(named, str) and named.split("@")[0] in {"npm", "pnpm", "yarn", "bun"}:
        return named.split("@")[0]
    return next((manager for name, manager in LOCKS.items() if (join(folder, name) or name) in tree), None)


def manifests(tree: Tree, root: str) -> list[str]:
    """Return the package.json files of a workspace, the root's first, relative to the root."""
    prefix = "" if root == "." else root + "/"
    found: list[str] = []
    for path in tree.named("package.json"):
        folder = str(PurePosixPath(path).parent)
        if path == f"{prefix}package.json":
            found.insert(0, "package.json")
        elif path.startswith(prefix) and _inside(_patterns(tree, root), root, folder):
            found.append(path[len(prefix) :])
    return found
