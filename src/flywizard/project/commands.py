"""Owns what a start command says: which program, which module, which host and port."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

What: TypeAlias = Literal["asgi", "python", "celery", "node", "other"]
SERVERS = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian"})
_SHELL = re.compile(r"&&|\|\||[|;<>`]|\$\(|\$\{?[A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Start:
    """A start command, understood as far as possible."""

    text: str
    what: What
    application: str | None = None
    """``module:object``."""
    module: str | None = None
    """Python module (dotted) or script (with ``/`` or ``.py``)."""
    host: str | None = None
    port: int | None = None
    port_text: str | None = None
    """The port as written, where it is no number (``${PORT}``)."""
    program: str = ""
    development: bool = False


def text_of(command: str | Sequence[str]) -> str:
    """Return the one-line form of a command, quoted where needed."""
    return command if isinstance(command, str) else shlex.join(command)


def needs_shell(command: str) -> bool:
    """Tell whether a command has shell syntax outside an explicit ``sh -c``."""
    try:
        words = shlex.split(command)
    except ValueError:
        return True
    if len(words) >= 3 and words[0].rsplit("/", 1)[-1] in {"sh", "bash", "ash"} and words[1].startswith("-"):
        return False
    bare = re.sub(r"'[^']*'", "''", command)
    return bool(_SHELL.search(bare))


def parse(command: str | Sequence[str]) -> Start:
    """Read a start command; never raises."""
    text = text_of(command)
    try:
        words = shlex.split(text)
    except ValueError:
        return Start(text, "other")
    if (
        len(words) >= 3
        and words[0].rsplit("/", 1)[-1] in {"sh", "bash", "ash"}
        and words[1] in {"-c", "-ec", "-lc"}
    ):
        last = re.split(r"&&|;", words[2])[-1].strip()
        inner = parse(last.removeprefix("exec "))
        return Start(text, **{n: getattr(inner, n) for n in inner.__slots__ if n != "text"})
    while words and (
        words[0] in {"exec", "env", "tini", "dumb-init", "--"} or re.match(r"^[A-Z_]+=", words[0])
    ):
        words = words[1:]
    if words[:2] in (["uv", "run"], ["poetry", "run"], ["pipenv", "run"], ["pdm", "run"]):
        words = words[2:]
        while words and words[0].startswith("--"):
            words = words[1:]
    if not words:
        return Start(text, "other")
    program = words[0].rsplit("/", 1)[-1]
    rest = words[1:]
    if program.startswith("python") and rest[:1] == ["-u"]:
        rest = rest[1:]
    if (
        program.startswith("python")
        and len(rest) >= 2
        and rest[0] == "-m"
        and rest[1] in {*SERVERS, "fastapi", "celery"}
    ):
        program, rest = rest[1], rest[2:]
    host, port, port_text = _listen(rest)
    development = "--reload" in rest or rest[:1] == ["dev"] or rest[:2] == ["run", "dev"]
    if program in SERVERS:
        application = next((w for w in rest if re.match(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.()]*$", w)), None)
        if program == "gunicorn" and host is None:
            host, port, port_text = _bind(rest)
        module = application.split(":")[0] if application else None
        return Start(text, "asgi", application, module, host, port, port_text, program, development)
    if program == "fastapi":
        script = next((w for w in rest[1:] if not w.startswith("-") and w.endswith(".py")), None)
        return Start(
            text,
            "asgi",
            None,
            script,
            host or "0.0.0.0",  # noqa: S104
            port or (None if port_text else 8000),
            port_text,
            program,
            development,
        )
    if program.startswith("python"):
        if rest[:1] == ["-m"] and len(rest) > 1:
            return Start(text, "python", None, rest[1], host, port, port_text, program)
        script = next((w for w in rest if w.endswith(".py")), None)
        return Start(text, "python", None, script, host, port, port_text, program)
    if program in {"celery", "arq", "faststream", "faust", "dramatiq", "rq"}:
        return Start(
            text,
            "celery",
            None,
            next(
                (
                    w
                    for w in rest
                    if re.match(r"^[A-Za-z_][\w.]*([.:]\w+)?$", w) and w not in {"run", "worker", "beat"}
                ),
                None,
            ),
            None,
            None,
            None,
            program,
        )
    if program in {"node", "npm", "npx", "yarn", "pnpm", "bun", "next"}:
        return Start(text, "node", None, None, host, port, port_text, program, development)
    return Start(text, "other", None, None, host, port, port_text, program, development)


def _listen(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    host = _option(words, "--host", "-H")
    port = _option(words, "--port", "-p")
    return host, int(port) if port and port.isdigit() else None, port if port and not port.isdigit() else None


def _bind(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    bind = _option(words, "--bind", "-b")
    if not bind or ":" not in bind:
        return None, None, None
    host, _, port = bind.rpartition(":")
    return host, int(port) if port.isdigit() else None, None if port.isdigit() else port


def _option(words: Sequence[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        for name in names:
            if word == name and index + 1 < len(words):
                return words[index + 1]
            if word.startswith(name + "=") and name.startswith("--"):
                return word[len(name) + 1 :]
    return None
