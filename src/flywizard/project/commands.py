"""Owns what a start command says: which program, which module, which host and port."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

What: TypeAlias = Literal["asgi", "python", "celery", "node", "other"]
SERVERS = frozenset({"uvicorn", "gunicorn", "hypercorn", "granian"})
QUEUES = frozenset({"celery", "arq", "faststream", "faust", "dramatiq", "rq", "taskiq", "huey_consumer"})
ONE_SHOT = re.compile(
    r"(?:^|[-_./])(?:(?:seed\w*|migrat\w*|init|setup|tests?|db-?init|create|prestart|pre_start|initial_data|initdb|"
    r"load_data|import_data|healthcheck|wait_for_\w+|createsuperuser|collectstatic|manage|alembic|pytest|"
    r"backend_pre_start)(?:[-_.]|$)|topics?(?:\.py)?$)"
)
"""Names of what runs once and ends."""
_WRAPPERS = frozenset(
    ["exec", "env", "tini", "dumb-init", "--", "opentelemetry-instrument", "ddtrace-run", "gosu", "su-exec"]
)
_SHELLS = frozenset({"sh", "bash", "ash"})
_VALUED = frozenset(
    {"--package", "--project", "--directory", "-C", "--python", "-p", "--with", "--extra", "--group"}
)
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
    script: str | None = None
    """A shell script that it runs."""
    arguments: str = ""
    """What that script, or a Python module, is given."""
    function: str | None = None
    """The function of a console script."""
    package_script: str | None = None
    """The name in package.json's scripts."""
    app_dir: str | None = None
    """Where uvicorn looks for the application."""
    part: str = ""
    """worker, beat or flower of celery."""


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
        and words[0].rsplit("/", 1)[-1] in _SHELLS
        and words[1] in {"-c", "-ec", "-lc", "-exc"}
    ):
        last = [p for p in re.split(r"&&|;|&", re.sub(r"\d?>&\d", "", words[2])) if p.strip()][-1:]
        inner = parse(last[0].strip().removeprefix("exec ")) if last else Start(text, "other")
        return replace(inner, text=text)
    while words and (words[0].rsplit("/", 1)[-1] in _WRAPPERS or re.match(r"^[A-Za-z_]\w*=", words[0])):
        words = words[2:] if words[0] in {"gosu", "su-exec"} else words[1:]
    runner = words[:2] in (
        ["uv", "run"],
        ["poetry", "run"],
        ["pipenv", "run"],
        ["pdm", "run"],
        ["hatch", "run"],
    )
    if runner:
        words = words[2:]
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] in _VALUED else words[1:]
    if not words:
        return Start(text, "other")
    program = words[0].rsplit("/", 1)[-1]
    rest = words[1:]
    if program in _SHELLS and rest and not rest[0].startswith("-"):
        return Start(text, "other", program=program, script=rest[0], arguments=shlex.join(rest[1:]))
    if program in _SHELLS and len(rest) > 1 and rest[0] in {"-e", "-x", "-ex", "-eu"}:
        return Start(text, "other", program=program, script=rest[1], arguments=shlex.join(rest[2:]))
    if program.endswith((".sh", ".bash")) or program in {"entrypoint", "docker-entrypoint"}:
        return Start(text, "other", program=program, script=words[0], arguments=shlex.join(rest))
    if program.startswith("python"):
        while rest[:1] and rest[0] in {"-u", "-O", "-OO", "-B", "-I", "-E", "-s"}:
            rest = rest[1:]
        if rest[:1] == ["-c"] and len(rest) > 1:
            named = re.search(r"(?:from\s+([\w.]+)\s+import|import\s+([\w.]+))", rest[1])
            module = (named[1] or named[2]) if named else None
            return Start(text, "python", None, module, program=program)
    if (
        program.startswith("python")
        and len(rest) >= 2
        and rest[0] == "-m"
        and rest[1] in {*SERVERS, "fastapi", *QUEUES}
    ):
        program, rest = rest[1], rest[2:]
    host, port, port_text = _listen(rest)
    development = "--reload" in rest or rest[:1] == ["dev"] or rest[:2] == ["run", "dev"]
    if program in SERVERS:
        application = next((w for w in rest if re.match(r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.()]*$", w)), None)
        if program == "gunicorn" and host is None:
            host, port, port_text = _bind(rest)
        module = application.split(":")[0] if application else None
        return Start(
            text,
            "asgi",
            application,
            module,
            host,
            port,
            port_text,
            program,
            development,
            app_dir=_option(rest, "--app-dir"),
        )
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
            given = shlex.join(rest[2:])
            return Start(text, "python", None, rest[1], host, port, port_text, program, arguments=given)
        script = next((w for w in rest if w.endswith(".py")), None)
        given = shlex.join(rest[rest.index(script) + 1 :]) if script else ""
        return Start(text, "python", None, script, host, port, port_text, program, arguments=given)
    if program in QUEUES:
        option = _option(rest, "-A", "--app") if program == "celery" else None
        part = next((p for p in ("beat", "flower", "worker") if p in rest), "") if program == "celery" else ""
        if part == "worker" and ({"-B", "--beat"} & set(rest)):
            part = "worker+beat"
        plain = (
            w
            for w in rest
            if re.match(r"^[A-Za-z_][\w.]*([.:]\w+)?$", w) and w not in {"run", "worker", "beat", "flower"}
        )
        module = option or next(plain, None)
        if program == "arq" and module and ":" not in module:
            module = module.rpartition(".")[0] or module
        return Start(text, "celery", None, module, None, None, None, program, part=part)
    if program in {"node", "npm", "npx", "yarn", "pnpm", "bun", "next", "tsx", "ts-node", "pnpx", "bunx"}:
        script = None
        if program in {"npm", "yarn", "pnpm", "bun"}:
            plain_words = [w for w in rest if not w.startswith("-")]
            if plain_words[:1] == ["run"]:
                plain_words = plain_words[1:]
            script = plain_words[0] if plain_words and plain_words[0] not in {"install", "ci"} else None
        file = next((w for w in rest if w.endswith((".js", ".ts", ".mjs", ".cjs"))), None)
        return Start(
            text, "node", None, file, host, port, port_text, program, development, package_script=script
        )
    return Start(text, "other", None, None, host, port, port_text, program, development)


def _listen(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    host = _option(words, "--host", "-H")
    port = _option(words, "--port", "-p")
    return host, _number(port), port if port and not port.isdigit() else None


def _number(port: str | None) -> int | None:
    """Return a port that is a number, or ``${NAME:-number}``."""
    found = re.fullmatch(r"(?:\$\{\w+:?-)?(\d{1,5})\}?", port or "")
    return int(found[1]) if found else None


def _bind(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    bind = _option(words, "--bind", "-b")
    if not bind or ":" not in bind:
        return None, None, None
    host, _, port = bind.partition(":") if "${" in bind else bind.rpartition(":")
    return host, _number(port), None if port.isdigit() else port


def _option(words: Sequence[str], *names: str) -> str | None:
    for index, word in enumerate(words):
        for name in names:
            if word == name and index + 1 < len(words):
                return words[index + 1]
            if word.startswith(name + "=") and name.startswith("--"):
                return word[len(name) + 1 :]
    return None


def production(text: str) -> str:
    """Return a command without the options that only development wants."""
    out = re.sub(r"\s+--reload(?:-(?:dir|include|exclude)(?:=|\s+)\S+)?", "", text)
    return re.sub(r"\bfastapi dev\b", "fastapi run", out)


def one_shot(module: str) -> bool:
    """Tell whether a module or script runs once and ends, by its own name."""
    last = module.removesuffix(".py").rsplit("/", 1)[-1].rsplit(".", 1)[-1]
    return bool(ONE_SHOT.search(last))
