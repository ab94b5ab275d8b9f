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


def reachable(start: str, roots: tuple[str, ...], files: Mapping[str, PythonFile]) -> set[str]:
    """Return the files that importing ``start`` loads, itself included."""
    seen: set[str] = set()
    pending = [start]
    while pending:
        path = pending.pop()
        if path in seen or path not in files:
            continue
        seen.add(path)
        folder = path.rsplit("/", 1)[0] if "/" in path else ""
        for name, _ in files[path].imports:
            if name.startswith("."):
                level = len(name) - len(name.lstrip("."))
                base = folder
                for _step in range(level - 1):
                    base = base.rsplit("/", 1)[0] if "/" in base else ""
                target = find(name.lstrip("."), (base or ".",), files) if name.lstrip(".") else None
            else:
                target = find(name, roots, files)
            if target is not None:
                pending.append(target)
    return seen
