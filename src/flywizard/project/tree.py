"""Owns the one bounded walk over a repository: which files there are, and their texts on demand."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from flywizard.plan import FileChange

IGNORED = frozenset(
    [
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        ".venv",
        "venv",
        ".next",
        ".nuxt",
        ".turbo",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".nox",
        ".cache",
        ".idea",
        ".vscode",
        "dist",
        "coverage",
        "site-packages",
        ".terraform",
        "target",
        ".yarn",
        ".pnpm-store",
    ]
)
MAX_FILES = 20_000
BOM = "\ufeff"
MAX_DEPTH = 12
MAX_TEXT = 1_000_000
"""Bytes; larger files are listed, never read."""


@dataclass(slots=True)
class Tree:
    """A snapshot of a repository: paths relative to the root with ``/``; a text is read once, when asked for."""

    sizes: Mapping[str, int]
    root: Path | None = None
    """None: the texts were given."""
    skipped: tuple[str, ...] = ()
    folders: frozenset[str] = frozenset()
    tracked: frozenset[str] | None = None
    """What git tracks; None: unknown, or no repository."""
    _texts: dict[str, str | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Path to reason, filled as texts are asked for."""
    _order: list[str] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Tree:
        """Make a tree of given texts."""
        folders = {str(p) for path in texts for p in PurePosixPath(path).parents}
        return cls(
            sizes={path: len(text.encode("utf-8", "surrogatepass")) for path, text in texts.items()},
            folders=frozenset(folders),
            _texts=dict(texts),
        )

    def with_changes(self, changes: Mapping[str, str]) -> Tree:
        """Return the tree as it will be after these files are written."""
        folders = self.folders | {str(p) for path in changes for p in PurePosixPath(path).parents}
        sizes = dict(self.sizes) | {path: len(text.encode()) for path, text in changes.items()}
        return Tree(
            sizes,
            self.root,
            self.skipped,
            folders,
            self.tracked,
            self._texts | dict(changes),
            dict(self.unreadable),
        )

    def __contains__(self, path: str) -> bool:
        return path in self.sizes

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_order())

    def _in_order(self) -> list[str]:
        if len(self._order) != len(self.sizes):
            self._order = sorted(self.sizes)
        return self._order

    def is_folder(self, path: str) -> bool:
        """Tell whether there is such a folder (``.`` is the root)."""
        return path in self.folders or path == "."

    def under(self, folder: str) -> Iterator[str]:
        """Yield the files below a folder, ``.`` for all."""
        order = self._in_order()
        if folder == ".":
            return iter(order)
        prefix = folder.rstrip("/") + "/"
        return iter(order[bisect_left(order, prefix) : bisect_left(order, prefix[:-1] + "0")])

    def named(self, *names: str) -> list[str]:
        """Return the files with one of these names, the shallowest first."""
        found = [path for path in self if path.rsplit("/", 1)[-1] in names]
        return sorted(found, key=lambda path: (path.count("/"), path))

    def text(self, path: str) -> str | None:
        """Return a file's text with plain line feeds, or None where it can't be read (see ``unreadable``)."""
        exact = self.exact(path)
        if exact is None:
            return None
        return exact.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n")

    def change(self, path: str, after: str) -> FileChange:
        """Return the change from a file as it is to a text with plain line feeds, in the file's own line ends."""
        exact = self.exact(path)
        if exact is None or after == self.text(path):
            return FileChange(path, exact, after if exact is None else exact)
        if exact.count("\r\n") * 2 > exact.count("\n"):
            after = after.replace("\n", "\r\n")
        return FileChange(path, exact, (BOM if exact.startswith(BOM) else "") + after)

    def exact(self, path: str) -> str | None:
        """Return a file's text as it is, or None where it can't be read (see ``unreadable``)."""
        if path in self._texts:
            return self._texts[path]
        if path not in self.sizes or self.root is None:
            return None
        text, reason = self._read(path)
        if reason:
            self.unreadable[path] = reason
        self._texts[path] = text
        return text

    def _read(self, path: str) -> tuple[str | None, str]:
        assert self.root is not None  # noqa: S101
        if self.sizes[path] > MAX_TEXT:
            return None, f"larger than {MAX_TEXT // 1_000_000} MB"
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.root / path, flags)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None, "not a regular file"
                data = file.read(MAX_TEXT + 1)
        except OSError as error:
            return None, error.strerror or "cannot be opened"
        if len(data) > MAX_TEXT:
            return None, f"larger than {MAX_TEXT // 1_000_000} MB"
        if b"\0" in data:
            return None, "not text"
        try:
            return data.decode(), ""
        except UnicodeDecodeError:
            return None, "not UTF-8"


def scan(root: Path, *, max_files: int = MAX_FILES, max_depth: int = MAX_DEPTH) -> Tree:
    """Walk a repository once, without following symbolic links out of it.

    Raises:
        NotADirectoryError: ``root`` is no folder.
    """
    root = root.resolve()
    if not root.is_dir():
        raise NotADirectoryError(str(root))
    sizes: dict[str, int] = {}
    folders: set[str] = {"."}
    skipped: list[str] = []
    pending: list[tuple[str, int]] = [("", 0)]
    ignored: set[str] = set()
    while pending:
        folder, depth = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(f"`{folder or '.'}`: {error.strerror}")
            continue
        for entry in listing:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.name.isprintable():
                skipped.append(f"`{ascii(path)[1:-1]}`: control characters in the name")
            elif entry.is_symlink():
                inner = _inside(root, root / path)
                if inner is None:
                    skipped.append(f"`{path}`: a link that leads out of the repository")
                else:
                    skipped.append(f"`{path}`: a link to `{inner}`")
            elif entry.is_dir(follow_symlinks=False):
                if entry.name in IGNORED:
                    ignored.add(entry.name)
                elif depth + 1 > max_depth:
                    skipped.append(f"`{path}`: deeper than {max_depth} folders")
                else:
                    folders.add(path)
                    pending.append((path, depth + 1))
            elif entry.is_file(follow_symlinks=False):
                if len(sizes) >= max_files:
                    skipped.append(f"more than {max_files} files: the rest was not looked at")
                    return Tree(sizes, root, tuple(skipped), frozenset(folders), _tracked(root))
                try:
                    sizes[path] = entry.stat(follow_symlinks=False).st_size
                except OSError as error:
                    skipped.append(f"`{path}`: {error.strerror}")
    if ignored:
        skipped.append("by name: " + ", ".join(f"`{name}`" for name in sorted(ignored)))
    return Tree(sizes, root, tuple(skipped), frozenset(folders), _tracked(root))


def _tracked(root: Path) -> frozenset[str] | None:
    from flywizard.project import git_index

    try:
        with (root / ".git" / "index").open("rb") as file:
            data = file.read(git_index.MAX_BYTES)
    except OSError:
        return None
    return git_index.tracked(data)


def _inside(root: Path, link: Path) -> str | None:
    try:
        return link.resolve(strict=True).relative_to(root).as_posix()
    except (OSError, ValueError, RuntimeError):
        return None
