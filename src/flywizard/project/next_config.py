"""Owns changing a next.config without running it: the standalone output, and where its files are traced from. Pure."""

from __future__ import annotations

import re

from flywizard.plan import FileChange
from flywizard.project import nextjs
from flywizard.project.tree import Tree

_OPENING = re.compile(
    r"(?:(?:const|let|var)\s+\w*[cC]onfig\w*\s*(?::\s*[\w.]+)?\s*=|module\.exports\s*=|export\s+default(?=\s*\{))\s*\{"
)
FRESH = 'export default {\n  output: "standalone",\n};\n'


def wanted_output(tree: Tree, path: str) -> list[FileChange]:
    """Return next.config with ``output: "standalone"``; nothing where it is so, or the file's form is not known."""
    text = tree.text(path)
    if text is None:
        return [] if path in tree else [FileChange(path, None, FRESH)]
    known = nextjs.read_config(path, text)
    if known.output == "standalone" or known.dynamic:
        return []
    if known.output is not None:
        literal = re.compile(r"(\boutput[\"']?\s*:\s*)([\"'`])\w+\2")
        bare = nextjs.without_comments(text)
        found = literal.search(bare)
        if found is None:
            return []
        return [tree.change(path, text[: found.start()] + f'{found[1]}"standalone"' + text[found.end() :])]
    after = _with_option(text, 'output: "standalone",')
    return [tree.change(path, after)] if after else []


def _with_option(text: str, option: str) -> str | None:
    opening = _OPENING.search(text)
    return text[: opening.end()] + f"\n  {option}" + text[opening.end() :] if opening else None


def traced(tree: Tree, path: str, root: str, changes: list[FileChange]) -> list[FileChange]:
    """Add ``outputFileTracingRoot`` to a next.config of a workspace's member.

    Args:
        tree: the repository.
        path: the next.config.
        root: the workspace relative to the config's folder, such as ``../..``.
        changes: what is changed in it already.
    """
    before = changes[0].after.replace("\r\n", "\n").removeprefix("\ufeff") if changes else tree.text(path)
    if before is None or "outputFileTracingRoot" in before:
        return changes
    module = path.endswith(".mjs") or (
        path.endswith((".js", ".ts")) and re.search(r"(?m)^\s*(import|export)\s", before) is not None
    )
    here = (
        "import.meta.dirname"
        if path.endswith(".mjs")
        else "__dirname"
        if path.endswith((".ts", ".cjs")) or not module
        else "import.meta.dirname"
    )
    after = _with_option(before, f'outputFileTracingRoot: join({here}, "{root}"),')
    if after is None:
        return changes
    line = 'import { join } from "node:path";\n' if module else 'const { join } = require("node:path");\n'
    if not re.search(r"\bjoin\b", before):
        after = line + ("\n" if not after.startswith(("import", "const")) else "") + after
    if path not in tree:
        return [FileChange(path, None, after)]
    return [tree.change(path, after)]
