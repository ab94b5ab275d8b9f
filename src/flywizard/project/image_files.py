"""Owns which Dockerfile, .dockerignore and next.config change a service needs where it has no Dockerfile. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flywizard.plan import FileChange
from flywizard.project import dockerignore, images, nextjs, workspaces
from flywizard.project.compose import join
from flywizard.project.images_web import Member, Packages
from flywizard.project.model import Service
from flywizard.project.next_config import traced, wanted_output
from flywizard.project.tree import Tree

if TYPE_CHECKING:
    from flywizard.spec import ServiceSpec

SERVERS = (
    "@sveltejs/kit", "@react-router/dev", "@remix-run/dev", "astro", "nuxt", "@tanstack/react-start", "@solidjs/start",
    "vike", "@builder.io/qwik-city", "@analogjs/platform",
)  # fmt: skip
"""Frameworks on top of Vite that need a server of their own, or build elsewhere."""
STATIC_PORT = 8080


def can_make_image(service: Service, tree: Tree | None = None) -> bool:
    """Tell whether flywizard can write a Dockerfile for a service that has none."""
    if service.language == "python":
        return service.package_manager in {"pip", "uv", "poetry"} and service.command is not None
    if service.framework not in {"nextjs", "vite"} or service.package_manager not in {
        "npm",
        "yarn",
        "pnpm",
        "bun",
    }:
        return False
    if tree is None or service.framework == "nextjs":
        return True
    package = workspaces.package(tree, service.path or ".")
    names = {**_table(package, "dependencies"), **_table(package, "devDependencies")}
    return not any(name in names for name in SERVERS)


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def is_static(tree: Tree, service: Service) -> bool:
    """Tell whether a web front has no server at run time: Vite, or Next.js with ``output: "export"``."""
    if service.framework == "vite":
        return True
    config = _config(tree, service.path or ".")
    text = tree.text(config) if config else None
    return (
        service.framework == "nextjs"
        and text is not None
        and nextjs.read_config(config or "", text).output == "export"
    )


def _config(tree: Tree, folder: str) -> str | None:
    return next((p for n in nextjs.CONFIGS if (p := join(folder, n) or "") in tree), None)


def image_files(tree: Tree, spec: ServiceSpec, found: Service | None) -> list[FileChange]:
    """Return the changes that a service's image needs; nothing where the project's own Dockerfile is used.

    An existing .dockerignore is extended by missing lines only, and only where flywizard writes the Dockerfile.
    """
    if spec.image or spec.dockerfile is None or spec.path is None:
        return []
    makes = spec.dockerfile not in tree and found is not None and can_make_image(found, tree)
    out = _ignore(tree, spec, makes)
    if not makes or found is None:
        return out
    if found.language == "python":
        if spec.role == "worker" and spec.command is None:
            return out
        return [*out, FileChange(spec.dockerfile, None, _python(tree, spec, found))]
    out.append(FileChange(spec.dockerfile, None, _web(tree, spec, found)))
    if found.framework == "nextjs" and not is_static(tree, found):
        folder = found.path or "."
        config = _config(tree, folder) or join(folder, "next.config.mjs") or "next.config.mjs"
        changed = wanted_output(tree, config)
        if found.workspace is not None and found.workspace == spec.path:
            changed = traced(tree, config, posixpath.relpath(found.workspace, folder), changed)
        out += changed
    return out


def _ignore(tree: Tree, spec: ServiceSpec, makes: bool) -> list[FileChange]:
    path = join(spec.path or ".", ".dockerignore") or ".dockerignore"
    if f"{spec.dockerfile}.dockerignore" in tree:
        return []
    if path not in tree:
        return [FileChange(path, None, images.dockerignore())]
    text = tree.text(path)
    missing = dockerignore.missing(text) if makes and text is not None else []
    return [tree.change(path, dockerignore.extended(text, missing))] if missing and text is not None else []


def _python(tree: Tree, spec: ServiceSpec, found: Service) -> str:
    context = spec.path or "."
    member = None
    if found.workspace == context and found.path and found.path != context:
        inner = posixpath.relpath(found.path, context)
        member = (inner, workspaces.package_name(tree, found.path) or posixpath.basename(inner))
    folder = found.path or context
    files = requirement_files(tree, folder) if found.package_manager == "pip" else ()
    names = [join(folder, n) or n for n in (*files, "pyproject.toml")]
    text = "\n".join(t for n in names if (t := tree.text(n)))
    return images.python_image(
        package_manager=found.package_manager or "pip",
        command=spec.command or found.command or "",
        port=spec.port if spec.role != "worker" else None,
        version=found.runtime,
        requirements=text,
        files=files,
        member=member,
        installs_itself=_is_package(tree, folder, found.package_manager),
    )


def requirement_files(tree: Tree, folder: str) -> tuple[str, ...]:
    """Return requirements.txt and the files that it includes, relative to the folder."""
    out: list[str] = []
    pending = ["requirements.txt"]
    while pending and len(out) < 20:
        name = pending.pop(0)
        path = join(folder, name)
        text = tree.text(path) if path else None
        if name in out or text is None:
            continue
        out.append(name)
        base = posixpath.dirname(name)
        for found in re.finditer(r"(?m)^\s*(?:-r|--requirement|-c|--constraint)[=\s]*(\S+)", text):
            inner = posixpath.normpath(posixpath.join(base, found[1]))
            if not inner.startswith(".."):
                pending.append(inner)
    return tuple(out)


def _is_package(tree: Tree, folder: str, manager: str | None) -> bool:
    """Tell whether the project is installed itself: it has a build system, and Poetry isn't told otherwise."""
    text = tree.text(join(folder, "pyproject.toml") or "") or ""
    if manager == "poetry":
        return bool(re.search(r"(?m)^\[(tool\.poetry|project)\.scripts\]", text)) and not re.search(
            r"package-mode\s*=\s*false", text
        )
    return manager == "uv" and bool(re.search(r"(?m)^\[build-system\]", text))


def _web(tree: Tree, spec: ServiceSpec, found: Service) -> str:
    context, folder = spec.path or ".", found.path or "."
    member = None
    if found.workspace == context and folder != context:
        inner = posixpath.relpath(folder, context)
        member = Member(
            inner,
            workspaces.package_name(tree, folder) or inner,
            tuple(workspaces.manifests(tree, context)),
            (join(context, "turbo.json") or "turbo.json") in tree,
        )
    major = re.search(r"\d+", found.runtime or "")
    even = int(major[0]) if major and int(major[0]) >= 22 and int(major[0]) % 2 == 0 else None
    version = str(even) if even else None
    packages = packages_of(tree, context, folder, found.package_manager or "npm")
    if not is_static(tree, found):
        return images.next_image(
            package_manager=packages,
            public_names=found.public_names,
            port=spec.port or 3000,
            version=version,
            member=member,
        )
    exported = found.framework == "nextjs"
    return images.static_image(
        package_manager=packages,
        public_names=found.public_names,
        port=spec.port or STATIC_PORT,
        version=version,
        member=member,
        output="out" if exported else _vite_output(tree, folder),
        fallback="/404.html" if exported else "/index.html",
        tool="next build" if exported else "vite build",
    )


def _vite_output(tree: Tree, folder: str) -> str:
    for name in ("vite.config.ts", "vite.config.js", "vite.config.mts", "vite.config.mjs"):
        text = tree.text(join(folder, name) or "")
        found = (
            re.search(r"\boutDir\s*:\s*[\"'`]([\w./-]+)[\"'`]", nextjs.without_comments(text))
            if text
            else None
        )
        if found and not found[1].startswith(("..", "/")):
            return posixpath.normpath(found[1])
    return "dist"


def packages_of(tree: Tree, context: str, folder: str, manager: str) -> Packages:
    """Return how the packages of a build context are installed.

    Args:
        tree: the repository.
        context: where the lock file lies.
        folder: the service's own folder, for its script ``build`` and its Prisma schema.
        manager: npm, pnpm, yarn or bun.
    """
    package = workspaces.package(tree, context)
    named = package.get("packageManager")
    pinned = isinstance(named, str) and named.startswith(f"{manager}@")
    lock = next((n for n, m in nextjs.LOCKS.items() if m == manager and (join(context, n) or n) in tree), "")
    text = tree.text(join(context, lock) or lock) or "" if lock else ""
    extra = [n for n in (".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml") if (join(context, n) or n) in tree]
    if manager == "yarn" and "yarnPath" in (tree.text(join(context, ".yarnrc.yml") or "") or ""):
        extra.append(".yarn/")
    prisma = posixpath.normpath(posixpath.join(posixpath.relpath(folder, context), "prisma"))
    own = workspaces.package(tree, folder)
    reads = {**_table(own, "dependencies"), **_table(own, "devDependencies")}
    if (join(folder, "prisma/schema.prisma") or "") in tree and (
        {"prisma", "@prisma/client"} & set(reads) or "prisma" in str(own.get("scripts"))
    ):
        extra.append(f"{prisma}/")
    major = None
    if manager == "pnpm" and (found := re.search(r"(?m)^lockfileVersion:\s*'?(\d+)", text)):
        major = {"5": "7", "6": "8"}.get(found[1], "10")
    return Packages(
        manager,
        lock,
        pinned,
        major,
        berry="__metadata:" in text,
        extra=tuple(extra),
        build="build" in _table(own, "scripts"),
    )
