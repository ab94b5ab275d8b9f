"""Owns what an image holds of its build context: which repository file lies where in it, and where Python looks. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from flywizard.project.compose import join
from flywizard.project.dockerfile import Dockerfile, Stage, assignments, substitute
from flywizard.project.tree import Tree

KINDS = (".py", ".ini", ".sql", ".prisma", ".toml", ".mako")
"""Endings of the files that rules ask for; of 20,000 others nobody does."""
_MOVES = re.compile(r"(^|[\s;&|])(mv|cp|rsync|git\s+clone|tar|unzip|ln)\s")
_INSTALLS = re.compile(
    r"\bpip3?\s+install\b[^&|;]*\s(?:-e\s+)?\.(?:\[[^\]]*\])?(?=\s|$|[/;&|])|\bpoetry\s+install\b(?!.*--no-root)"
)
_SYNC = re.compile(r"\buv\s+sync\b")


@dataclass(slots=True)
class Layout:
    """The files of an image that come from the repository, of the kinds that rules ask for."""

    workdir: str = "/"
    files: dict[str, str] = field(default_factory=dict)
    """Path in the image to path in the repository."""
    environment: dict[str, str] = field(default_factory=dict)
    sure: bool = True
    """False: something could not be followed; nothing may be called missing."""
    installs_project: bool = False
    """The project itself is installed as a package."""
    _names: dict[str, frozenset[str]] = field(default_factory=dict)

    def importable(self, top: str, folder: str | None = None) -> bool:
        """Tell whether a top-level module can be found from the working directory, a script's folder or PYTHONPATH."""
        paths = [self.workdir, *(self.environment.get("PYTHONPATH", "").split(":"))]
        paths += [folder] if folder else []
        for path in paths:
            base = posixpath.normpath(posixpath.join(self.workdir, path)) if path else self.workdir
            if top in self._inside("" if base == "/" else base):
                return True
        return False

    def _inside(self, folder: str) -> frozenset[str]:
        """Return the modules and packages right below a folder of the image."""
        if folder not in self._names:
            below = (f[len(folder) + 1 :].split("/") for f in self.files if f.startswith(folder + "/"))
            self._names[folder] = frozenset(
                p[0].removesuffix(".py") for p in below if len(p) > 1 or p[0].endswith(".py")
            )
        return self._names[folder]

    def holds(self, path: str) -> bool:
        """Tell whether a repository file is in the image."""
        return path in self.files.values()


def layout(
    tree: Tree, image: Dockerfile, context: str, ignored: Callable[[str], bool] = lambda path: False
) -> Layout:
    """Return where an image's files come from, stages followed.

    Args:
        tree: the repository.
        image: its Dockerfile.
        context: build context relative to the root.
        ignored: the context's .dockerignore.
    """
    final = image.final
    return _stage(tree, image, final, context, ignored, 0) if final else Layout(sure=False)


def _stage(
    tree: Tree, image: Dockerfile, stage: Stage, context: str, ignored: Callable[[str], bool], depth: int
) -> Layout:
    if depth > 12:
        return Layout(sure=False)
    base = next((s for s in image.stages if s.name and s.name == stage.base.lower() and s is not stage), None)
    out = _stage(tree, image, base, context, ignored, depth + 1) if base else Layout()
    values = dict(image.arguments)
    for instruction in stage.instructions:
        match instruction.keyword:
            case "WORKDIR":
                out.workdir = posixpath.normpath(
                    posixpath.join(out.workdir, substitute(instruction.value.strip().strip("\"'"), values))
                )
                out.sure = out.sure and "$" not in out.workdir
            case "ENV" | "ARG":
                pairs = {k: substitute(v, values) for k, v in assignments(instruction).items()}
                values.update(
                    pairs if instruction.keyword == "ENV" else {k: v for k, v in pairs.items() if v}
                )
                if instruction.keyword == "ENV":
                    out.environment.update(pairs)
                    out.sure = out.sure and "$" not in pairs.get("PYTHONPATH", "").replace(
                        "$PYTHONPATH", ""
                    ).replace("${PYTHONPATH}", "")
            case "RUN":
                out.sure = out.sure and not _MOVES.search(instruction.value) and "<<" not in instruction.value
                text = instruction.value
                sync = (
                    _SYNC.search(text)
                    and "--no-install-project" not in text
                    and "--no-install-workspace" not in text
                )
                out.installs_project = out.installs_project or bool(_INSTALLS.search(text) or sync)
            case "COPY" | "ADD":
                words = tuple(substitute(w, values) for w in instruction.words())
                source = instruction.flag("from")
                if len(words) < 2 or any("$" in w for w in words) or any(w.startswith("<<") for w in words):
                    out.sure = out.sure and any(w.startswith("<<") for w in words)
                elif source is None:
                    _copy(tree, out, words, context, ignored)
                else:
                    _copy_from(tree, image, out, words, source, context, ignored, depth, stage)
            case _:
                pass
    return out


def _target(out: Layout, target: str) -> str:
    return posixpath.normpath(posixpath.join(out.workdir, target))


def _copy(
    tree: Tree, out: Layout, words: tuple[str, ...], context: str, ignored: Callable[[str], bool]
) -> None:
    *sources, target = words
    base = _target(out, target)
    into = target.endswith("/") or target in {".", ".."} or len(sources) > 1
    for source in sources:
        if re.match(r"https?://|git@", source) or source.endswith((".tar.gz", ".tgz", ".zip")):
            out.sure = False
            continue
        inner = posixpath.normpath(source.lstrip("/") or ".")
        wild = any(c in inner for c in "*?[")
        prefix = "" if context == "." else context + "/"
        for path in tree.under(context):
            seen = path[len(prefix) :]
            if not path.endswith(KINDS) or ignored(seen):
                continue
            if inner == ".":
                out.files[posixpath.join(base, seen)] = path
            elif seen == inner:
                name = posixpath.basename(inner)
                out.files[posixpath.join(base, name) if into or base in _folders(out) else base] = path
            elif seen.startswith(inner + "/"):
                out.files[posixpath.join(base, seen[len(inner) + 1 :])] = path
            elif wild:
                parts = seen.split("/")
                count = inner.count("/") + 1
                head = "/".join(parts[:count])
                if len(parts) >= count and fnmatchcase(head, inner):
                    rest = "/".join(parts[count:]) or parts[-1]
                    out.files[posixpath.join(base, rest)] = path
        if join(context, source.lstrip("/") or ".") is None:
            out.sure = False


def _folders(out: Layout) -> set[str]:
    return {out.workdir} | {posixpath.dirname(path) for path in out.files}


def _copy_from(
    tree: Tree,
    image: Dockerfile,
    out: Layout,
    words: tuple[str, ...],
    source: str,
    context: str,
    ignored: Callable[[str], bool],
    depth: int,
    own: Stage,
) -> None:
    stage = next((s for s in image.stages if s.name == source.lower()), None)
    if stage is None and source.isdigit() and int(source) < len(image.stages):
        stage = image.stages[int(source)]
    if stage is None or stage is own:
        return
    inner = _stage(tree, image, stage, context, ignored, depth + 1)
    *paths, target = words
    base = _target(out, target)
    for path in paths:
        wanted = posixpath.normpath(posixpath.join("/", path))
        prefix = "" if wanted == "/" else wanted
        for file, repo in inner.files.items():
            if file == wanted:
                into = target.endswith("/") or target == "." or len(paths) > 1 or base in _folders(out)
                out.files[posixpath.join(base, posixpath.basename(file)) if into else base] = repo
            elif file.startswith(prefix + "/"):
                out.files[posixpath.join(base, file[len(prefix) + 1 :])] = repo
        if inner.files and (wanted == inner.workdir or inner.workdir.startswith(prefix + "/")):
            out.sure = out.sure and inner.sure
            out.installs_project = out.installs_project or inner.installs_project
        elif (
            "venv" in wanted
            or "site-packages" in wanted
            or wanted.startswith(("/usr/local", "/install", "/root/.local"))
        ):
            out.installs_project = out.installs_project or inner.installs_project
