"""Owns where Python begins to look for modules in an image, told back as folders of the repository."""

from __future__ import annotations

import posixpath

from flywizard.project.compose import join
from flywizard.project.dockerfile import Dockerfile, substitute


def workdir(image: Dockerfile) -> str:
    """Return the image's working directory."""
    here = "/"
    values = image.environment()
    for stage in reversed(image.chain()):
        for instruction in stage.of("WORKDIR"):
            here = posixpath.join(here, substitute(instruction.value.strip("\"'"), values))
    return posixpath.normpath(here)


def copies(image: Dockerfile, context: str) -> list[tuple[str, str]]:
    """Return (folder or file of the repository, absolute path in the image) of its COPY instructions."""
    out: list[tuple[str, str]] = []
    values = image.environment()
    names = {s.name: s for s in image.stages if s.name}
    for stage in reversed(image.chain()):
        here = "/"
        for instruction in stage.instructions:
            if instruction.keyword == "WORKDIR":
                here = posixpath.join(here, substitute(instruction.value.strip("\"'"), values))
            elif instruction.keyword in {"COPY", "ADD"}:
                words = instruction.words()
                if len(words) < 2:
                    continue
                *sources, target = words
                target = posixpath.normpath(posixpath.join(here, substitute(target, values)))
                origin = instruction.flag("from")
                if origin is not None:
                    builder = names.get(origin.lower())
                    if builder is not None and builder is not image.final:
                        out += _through(image, builder.name, sources, target, context)
                    continue
                for source in sources:
                    inside = join(context, source.lstrip("/") or ".")
                    if inside is not None and "*" not in source:
                        out.append((inside, target))
    return out


def _through(
    image: Dockerfile, name: str, sources: list[str], target: str, context: str
) -> list[tuple[str, str]]:
    """Return what a copy from another stage brings along."""
    index = next((i for i, s in enumerate(image.stages) if s.name == name), None)
    if index is None:
        return []
    before = Dockerfile(image.path, image.stages[: index + 1], image.arguments)
    out = []
    for inside, placed in copies(before, context):
        for source in sources:
            start = posixpath.normpath(source)
            if placed == start or placed.startswith(start.rstrip("/") + "/"):
                out.append((inside, posixpath.normpath(target + placed[len(start.rstrip("/")) :])))
    return out


def roots(image: Dockerfile, context: str, app_dir: str | None = None) -> list[str]:
    """Return the folders of the repository that Python's path begins at, in its order."""
    here = workdir(image)
    wanted = [posixpath.normpath(posixpath.join(here, app_dir)) if app_dir else here]
    for part in image.environment().get("PYTHONPATH", "").split(":"):
        if part.startswith("/"):
            wanted.append(posixpath.normpath(part))
        elif part and "$" not in part:
            wanted.append(posixpath.normpath(posixpath.join(here, part)))
    out: list[str] = []
    for root in wanted:
        for source, target in copies(image, context):
            if target == root:
                out.append(source)
            elif root.startswith(target.rstrip("/") + "/"):
                inner = join(source, root[len(target.rstrip("/")) + 1 :])
                out += [inner] if inner else []
            elif target.startswith(root.rstrip("/") + "/"):
                inside = target[len(root.rstrip("/")) + 1 :]
                if source == inside:
                    out.append(".")
                elif source.endswith("/" + inside):
                    out.append(source[: -len(inside) - 1])
    return list(dict.fromkeys(out))
