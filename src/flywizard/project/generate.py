"""Owns the files that a plan writes into the repository: fly.toml, Dockerfile, .dockerignore. Pure: texts in, changes out."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard.plan import FileChange
from flywizard.project import dockerfile, flytoml
from flywizard.project.fly_files import fly_toml
from flywizard.project.image_files import can_make_image, image_files, is_static
from flywizard.project.model import Findings
from flywizard.project.tree import Tree
from flywizard.spec import ServiceSpec, Spec, dump, resolve

__all__ = ["can_make_image", "files"]


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
    static = frozenset(s.name for s in findings.services if s.role == "web" and is_static(tree, s))
    awake = frozenset(
        o.subject.removeprefix("consumer:")
        for o in findings.problems
        if o.id == "C-27" and o.subject.startswith("consumer:")
    )
    for app, members in resolved.apps().items():
        first = next(iter(members.values()))
        if first.config and first.config not in seen:
            seen.add(first.config)
            existing = tree.text(first.config)
            if first.config in tree and (existing is None or flytoml.read(first.config, existing).error):
                continue  # C-87 has said so; what can't be read is not written over
            out.append(
                tree.change(
                    first.config,
                    fly_toml(resolved, app, existing, static=static, awake=awake, bare=_bare(tree, members)),
                )
            )
        for name, service in members.items():
            found = next((s for s in findings.services if s.name == name or s.role == service.role), None)
            for change in image_files(tree, service, found):
                if change.path not in seen:
                    seen.add(change.path)
                    out.append(change)
    return [change for change in out if change.verb != "same"]


def _bare(tree: Tree, members: Mapping[str, ServiceSpec]) -> frozenset[str]:
    """Return the services whose own Dockerfile does not start what the spec says."""
    out = set()
    for name, service in members.items():
        text = tree.text(service.dockerfile) if service.dockerfile else None
        if text is None or service.command is None or service.dockerfile is None:
            continue
        start = dockerfile.read(service.dockerfile, text).start()
        if start is None or start[0].text != service.command:
            out.add(name)
    return frozenset(out)
