"""Owns the files that a plan writes into the repository: fly.toml, Dockerfile, .dockerignore. Pure: texts in, changes out."""

from __future__ import annotations

import re

from flywizard.plan import FileChange
from flywizard.project import fixes, flytoml, images, nextjs
from flywizard.project.compose import join
from flywizard.project.fly_files import fly_toml
from flywizard.project.model import Findings, Service
from flywizard.project.tree import Tree
from flywizard.spec import ServiceSpec, Spec, dump, resolve


def files(
    tree: Tree, spec: Spec, findings: Findings, *, spec_path: str = "flywizard.toml"
) -> list[FileChange]:
    """Return every file that differs from what the spec wants, ``flywizard.toml`` first.

    Args:
        tree: the repository as it is.
        spec: unresolved, as it is saved.
        findings: what the repository is, for versions and package managers.
        spec_path: where the spec is kept.
    """
    before = tree.text(spec_path)
    out = [tree.change(spec_path, dump(spec, before))]
    resolved = resolve(spec)
    seen: set[str] = set()
    for app, members in resolved.apps().items():
        first = next(iter(members.values()))
        if first.config and first.config not in seen:
            seen.add(first.config)
            existing = tree.text(first.config)
            if first.config in tree and (existing is None or flytoml.read(first.config, existing).error):
                continue  # C-87 has said so; what can't be read is not written over
            out.append(tree.change(first.config, fly_toml(resolved, app, existing)))
        for name, service in members.items():
            found = next((s for s in findings.services if s.name == name or s.role == service.role), None)
            for change in _image_files(tree, service, found):
                if change.path not in seen:
                    seen.add(change.path)
                    out.append(change)
    return [change for change in out if change.verb != "same"]


def can_make_image(service: Service) -> bool:
    """Tell whether flywizard can write a Dockerfile for a service that has none."""
    if service.language == "python":
        return service.package_manager in {"pip", "uv", "poetry"} and service.command is not None
    return service.framework == "nextjs" and service.package_manager in {"npm", "yarn", "pnpm"}


def _image_files(tree: Tree, service: ServiceSpec, found: Service | None) -> list[FileChange]:
    if service.image or service.dockerfile is None or service.path is None:
        return []
    out: list[FileChange] = []
    ignore = join(service.path, ".dockerignore") or ".dockerignore"
    if ignore not in tree and f"{service.dockerfile}.dockerignore" not in tree:
        out.append(FileChange(ignore, None, images.dockerignore()))
    if service.dockerfile in tree or found is None or not can_make_image(found):
        return out
    if found.language == "python":
        if service.role == "worker" and service.command is None:
            return out
        names = (join(service.path, n) or "" for n in ("requirements.txt", "pyproject.toml"))
        text = images.python_image(
            package_manager=found.package_manager or "pip",
            command=service.command or found.command or "",
            port=service.port or 8000,
            version=found.runtime,
            requirements="\n".join(t for n in names if (t := tree.text(n))),
        )
        out.append(FileChange(service.dockerfile, None, text))
    else:
        major = re.search(r"\d+", found.runtime or "")
        even = int(major[0]) if major and int(major[0]) >= 22 and int(major[0]) % 2 == 0 else None
        text = images.next_image(
            package_manager=found.package_manager or "npm",
            public_names=found.public_names,
            port=service.port or 3000,
            version=str(even) if even else None,
        )
        out.append(FileChange(service.dockerfile, None, text))
        if not found.standalone:
            config = next((p for n in nextjs.CONFIGS if (p := join(service.path, n) or "") in tree), None)
            out += fixes.standalone(
                tree, config or join(service.path, "next.config.mjs") or "next.config.mjs"
            )
    return out
