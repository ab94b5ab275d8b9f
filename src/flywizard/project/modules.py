"""Owns the Python module graph of a build context: from a start module to the files it loads."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard.project.python_source import PythonFile


def candidates(module: str, roots: tuple[str, ...]) -> list[str]:
    """Return the paths where a dotted module or a script may lie, below each root in turn."""
    out: list[str] = []
    script = module.removeprefix("./")
    for root in roots:
        prefix = "" if root == "." else root.rstrip("/") + "/"
        if script.endswith(".py"):
            out.append(prefix + script)
        else:
            base = prefix + script.replace(".", "/")
            out += [f"{base}.py", f"{base}/__main__.py", f"{base}/__init__.py"]
    return out


def find(module: str, roots: tuple[str, ...], files: Mapping[str, PythonFile]) -> str | None:
    """Return the file of a module, or None."""
    return next((path for path in candidates(module, roots) if path in files), None)


def relative(path: str, name: str, files: Mapping[str, PythonFile]) -> str | None:
    """Return the file of a relative import in ``path``, or None."""
    base = path.rsplit("/", 1)[0] if "/" in path else ""
    for _step in range(len(name) - len(name.lstrip(".")) - 1):
        base = base.rsplit("/", 1)[0] if "/" in base else ""
    return find(name.lstrip("."), (base or ".",), files) if name.lstrip(".") else None


def reachable(start: str, roots: tuple[str, ...], files: Mapping[str, PythonFile]) -> set[str]:
    """Return the files that importing ``start`` loads, itself included."""
    seen: set[str] = set()
    pending = [start]
    while pending:
        path = pending.pop()
        if path in seen or path not in files:
            continue
        seen.add(path)
        for name, _ in files[path].imports:
            near = name.startswith(".")
            target = relative(path, name, files) if near else find(name, roots, files)
            if target is not None:
                pending.append(target)
    return seen


def package_root(entry: str, context: str, files: Mapping[str, PythonFile]) -> str:
    """Return the folder at or below the context from which the entry's own imports resolve best."""
    folders = []
    folder = entry.rpartition("/")[0] or "."
    while True:
        folders.append(folder)
        if folder in {context, "."}:
            break
        folder = folder.rpartition("/")[0] or "."
    folders.reverse()
    if folders[0] != context:
        return context
    names = [n for n, _ in files[entry].imports if n and not n.startswith(".")]

    def resolved(root: str) -> int:
        return sum(find(name, (root,), files) is not None for name in names)

    return max(folders, key=lambda root: (resolved(root), -folders.index(root)))
