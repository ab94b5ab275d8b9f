"""Owns reading web front ends: package.json, next.config, and the public names their source reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONFIGS = ("next.config.ts", "next.config.js", "next.config.mjs", "next.config.cjs")
SOURCES = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte")
LOCKS = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
_READ = re.compile(
    r"(?:process\.env|import\.meta\.env)(?:\.([A-Z][A-Z0-9_]*)|\[\s*['\"]([A-Z][A-Z0-9_]*)['\"]\s*\])"
    r"(?:\s*(?:\?\?|\|\|)\s*([\"'`])([^\"'`\n]*)\3)?"
)
_LOCAL = re.compile(r"[\"'`](https?://(?:localhost|127\.0\.0\.1)(?::\d+)?[^\"'`\s]*)")
_PLATFORM = frozenset(
    {
        "NODE_ENV",
        "PORT",
        "HOSTNAME",
        "CI",
        "NEXT_RUNTIME",
        "NEXT_PHASE",
        "ANALYZE",
        "MODE",
        "PROD",
        "DEV",
        "SSR",
        "BASE_URL",
        "VERCEL_URL",
    }
)
PUBLIC = ("NEXT_PUBLIC_", "VITE_", "PUBLIC_")


@dataclass(frozen=True, slots=True)
class Package:
    """A package.json as read."""

    path: str
    data: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    error: str | None = None
    error_line: int | None = None

    def dependencies(self) -> dict[str, str]:
        """Return run-time dependencies."""
        return _strings(self.data.get("dependencies"))

    def dev_dependencies(self) -> dict[str, str]:
        """Return development dependencies."""
        return _strings(self.data.get("devDependencies"))

    def scripts(self) -> dict[str, str]:
        """Return the scripts."""
        return _strings(self.data.get("scripts"))

    @property
    def framework(self) -> str | None:
        """Return nextjs, vite or None."""
        both = self.dependencies() | self.dev_dependencies()
        return "nextjs" if "next" in both else "vite" if "vite" in both else None

    def line(self, key: str) -> int:
        """Return the first line that holds the key, else 1."""
        quoted = json.dumps(key)
        return next(
            (
                n
                for n, line in enumerate(self.text.split("\n"), 1)
                if quoted + ":" in line.replace('" :', '":')
            ),
            1,
        )

    def package_manager(self) -> str | None:
        """Return what the field ``packageManager`` names."""
        value = self.data.get("packageManager")
        return value.split("@")[0] if isinstance(value, str) else None

    def node(self) -> str | None:
        """Return the field ``engines.node``."""
        return _strings(self.data.get("engines")).get("node")


@dataclass(frozen=True, slots=True)
class NextConfig:
    """A next.config as read by pattern; it is never run."""

    path: str
    output: str | None = None
    output_line: int | None = None
    dynamic: bool = False
    """``output`` is set to something that is no literal."""
    local_rewrites: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """One variable read in the source."""

    name: str
    line: int
    default: str | None


def _strings(value: Any) -> dict[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def read_package(path: str, text: str) -> Package:
    """Read a package.json; pure, never raises."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        return Package(path, text=text, error=error.msg, error_line=error.lineno)
    except RecursionError:
        return Package(path, text=text, error="too deep")
    if not isinstance(data, dict):
        return Package(path, text=text, error="no object", error_line=1)
    return Package(path, data, text)


def without_comments(text: str) -> str:
    """Blank out comments of TypeScript or JavaScript, keeping line numbers and quoted texts."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0]) if match[0].startswith(("//", "/*")) else match[0]

    pattern = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|//[^\n]*|/\*.*?(?:\*/|\Z)"
    return re.sub(pattern, blank, text, flags=re.DOTALL)


def read_config(path: str, text: str) -> NextConfig:
    """Read a next.config by pattern; pure, never raises."""
    bare = without_comments(text)
    literal = re.search(r"[\"']?\boutput[\"']?\s*:\s*[\"'`](\w+)[\"'`]", bare)
    other = re.search(r"[\"']?\boutput[\"']?\s*:", bare)
    return NextConfig(
        path,
        literal[1] if literal else None,
        bare.count("\n", 0, literal.start()) + 1 if literal else None,
        dynamic=bool(other and not literal),
        local_rewrites=local_addresses(bare),
    )


def reads(text: str) -> tuple[Read, ...]:
    """Return the variables that a source text reads, without those the platform sets."""
    bare = without_comments(text)
    out = []
    for match in _READ.finditer(bare):
        name = match[1] or match[2]
        if name not in _PLATFORM:
            out.append(Read(name, bare.count("\n", 0, match.start()) + 1, match[4]))
    return tuple(out)


def local_addresses(text: str) -> tuple[tuple[str, int], ...]:
    """Return (address, line) of literals that point at localhost."""
    bare = without_comments(text)
    return tuple((m[1], bare.count("\n", 0, m.start()) + 1) for m in _LOCAL.finditer(bare))


def next_version(package: Package, lock: str | None) -> str | None:
    """Return the locked version of Next, else the lowest that the range allows, as digits and dots."""
    if lock:
        try:
            entry = json.loads(lock).get("packages", {}).get("node_modules/next", {})
            if isinstance(entry.get("version"), str):
                return str(entry["version"])
        except (ValueError, AttributeError, RecursionError):
            pass
        found = re.search(r"^\s+/?next@(\d+\.\d+\.\d+)", lock, re.MULTILINE)
        if found:
            return found[1]
    wanted = (package.dependencies() | package.dev_dependencies()).get("next", "")
    number = re.search(r"\d+(?:\.\d+)*", wanted)
    return number[0] if number else None


NODE_NEEDED = ((16, (20, 9)), (15, (18, 18)), (14, (18, 17)))
"""Next's major version to the lowest Node, from the ``engines`` of its releases."""


def node_needed(version: str) -> tuple[int, int] | None:
    """Return the lowest (major, minor) of Node for a version of Next; None where unknown."""
    major = int(version.split(".")[0])
    return next((node for least, node in NODE_NEEDED if major >= least), None)
