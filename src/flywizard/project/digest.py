"""Owns the digests by which anybody can tell what runs: of an image's source, and of a configuration text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from flywizard.project import flytoml
from flywizard.project.dockerignore import Ignore, parse

_OWN = frozenset({"flywizard.toml", ".dockerignore"})


def config_digest(text: str) -> str:
    """Return 16 hex digits over a configuration text."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()[:16]


def source_digest(
    root: Path,
    *,
    context: str,
    dockerfile: str,
    build_args: Mapping[str, str],
    target: str | None = None,
    overlay: Mapping[str, str] | None = None,
) -> str:
    """Return 16 hex digits over what decides an image: context after .dockerignore, Dockerfile, build arguments.

    Left out on purpose: ``.git``, Fly configurations and ``flywizard.toml`` (they don't change the image, and
    have their own digest), file modes and times. A symbolic link counts by its target's text.

    Args:
        root: the repository.
        context: build context relative to the root, ``.`` for the root.
        dockerfile: relative to the root.
        build_args: resolved values.
        target: the stage to build, if not the last.
        overlay: path relative to the root → text that will be there when the image is built.

    Raises:
        OSError: a file can't be read.
    """
    overlay = overlay or {}
    prefix = "" if context == "." else context.rstrip("/") + "/"
    ignored = ignore_rules(root, context, dockerfile, overlay)
    entries: dict[str, bytes] = {}
    base = root / context if prefix else root
    pending = [""] if base.is_dir() else []
    while pending:
        folder = pending.pop()
        with os.scandir(base / folder) as found:
            listing = list(found)
        for entry in listing:
            path = f"{folder}/{entry.name}" if folder else entry.name
            left_out = ignored(path)
            if entry.is_symlink():
                if not left_out:
                    entries[path] = b"link:" + os.readlink(base / path).encode("utf-8", "surrogateescape")
            elif entry.is_dir(follow_symlinks=False):
                if path != ".git" and (not left_out or ignored.has_exceptions):
                    pending.append(path)
            elif entry.is_file(follow_symlinks=False) and not left_out and not _own(path):
                entries[path] = _file_digest(base / path)
    for path, text in overlay.items():
        inner = path[len(prefix) :] if path.startswith(prefix) else None
        if inner is not None and not ignored(inner) and not _own(inner):
            entries[inner] = hashlib.sha256(text.encode()).digest()
    total = hashlib.sha256(b"flywizard source 1\n")
    for path in sorted(entries):
        _add(total, path.encode("utf-8", "surrogateescape"), entries[path])
    _add(total, b"dockerfile", _text(root, dockerfile, overlay))
    _add(total, b"target", (target or "").encode())
    for name in sorted(build_args):
        _add(total, name.encode(), build_args[name].encode())
    return total.hexdigest()[:16]


def ignore_rules(
    root: Path, context: str, dockerfile: str, overlay: Mapping[str, str] | None = None
) -> Ignore:
    """Return the rules that hold: ``DOCKERFILE.dockerignore`` wins over the context's own file."""
    folder = "" if context == "." else context.rstrip("/") + "/"
    for path in (f"{dockerfile}.dockerignore", f"{folder}.dockerignore"):
        data = _text(root, path, overlay or {})
        if data:
            return parse(data.decode("utf-8", "replace").replace("\r\n", "\n"))
    return Ignore()


def _own(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return name in _OWN or bool(flytoml.NAME.search(name))


def _text(root: Path, path: str, overlay: Mapping[str, str]) -> bytes:
    if path in overlay:
        return overlay[path].encode()
    try:
        return (root / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _add(total: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
