"""Owns following a start command into what it runs: shell scripts, entry points of pyproject, scripts of package.json."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from flywizard.project import commands
from flywizard.project.compose import join
from flywizard.project.model import Evidence
from flywizard.project.survey import Survey

_DEFAULT = re.compile(r"^(?:export\s+)?([A-Za-z_]\w*)=[\"']?(?:\$\{\1:?-([^}]*)\}|([^\s\"'$]+))[\"']?$")
_WORDS = re.compile(r"^(?:then|else|do|!|exec|nohup|time|if|elif|while|until)\s+")
_CASE = re.compile(r"^[\"']?[\w*|\" -]+[\"']?\)\s*")
_HARMLESS = re.compile(
    r"^(?:set\b|cd\b|echo\b|printf\b|sleep\b|:$|fi$|done$|esac$|then$|else$|do$|case\b|if\b|elif\b|while\b|until\b|for\b"
    r"|trap\b|wait\b|exit\b|\}$|\{$|[\w]+\(\)|return\b|alembic\b|prisma\b|npx prisma\b|\[|;;$|nc\b|pg_isready\b"
    r"|(?:\./)?[\w./-]*wait[-_]for[\w.-]*|local\b|true$|ulimit\b|umask\b|python3? -m alembic\b)"
)


@dataclass(frozen=True, slots=True)
class Followed:
    """One thing that a start command comes down to."""

    start: commands.Start
    via: Evidence | None = None
    """Where the script or entry point is written."""


def follow(
    survey: Survey, start: commands.Start, context: str, dockerfile: str | None, depth: int = 0
) -> list[Followed]:
    """Return what a command really starts; the command itself where there is nothing to follow."""
    if depth > 3:
        return [Followed(start)]
    if start.script:
        path = _script(survey, start.script, context, dockerfile)
        text = survey.tree.text(path) if path else None
        if path is None or text is None:
            inner = commands.parse(start.arguments) if start.arguments else start
            return [Followed(replace(inner, text=start.text))]
        return _of_script(survey, start, path, text, context, dockerfile, depth)
    if start.what in {"other", "node"} and start.program:
        named = _entry_point(survey, start, context)
        if named is not None:
            module, function, place = named
            return [Followed(replace(start, what="python", module=module, function=function), place)]
    if start.package_script:
        found = _package_script(survey, start, context)
        if found is not None:
            command, place = found
            more = follow(survey, commands.parse(command), context, dockerfile, depth + 1)
            return [
                Followed(
                    replace(f.start, text=start.text, package_script=start.package_script), f.via or place
                )
                for f in more
            ]
    return [Followed(start)]


def _script(survey: Survey, name: str, context: str, dockerfile: str | None) -> str | None:
    """Return the file of a script that a command names by its path in the image."""
    bare = name.removeprefix("./")
    base = bare.rsplit("/", 1)[-1]
    tries = [join(context, bare.lstrip("/"))]
    if bare.startswith("/"):
        tries += [join(context, "/".join(bare.split("/")[n:])) for n in (2, 3)]
    image = survey.dockerfiles.get(dockerfile or "")
    for stage in image.chain() if image else ():
        for copy in stage.of("COPY", "ADD"):
            if copy.flag("from"):
                continue
            *sources, target = copy.words() or ("",)
            for source in sources:
                if source.rsplit("/", 1)[-1] == base or (target.rsplit("/", 1)[-1] == base):
                    tries.append(join(context, source.lstrip("/")))
                else:
                    tries.append(join(context, f"{source.rstrip('/')}/{base}"))
    found = next((t for t in tries if t and t in survey.tree), None)
    if found is None:
        same = [p for p in survey.tree.under(context) if p.rsplit("/", 1)[-1] == base]
        found = same[0] if len(same) == 1 else None
    return found


def _of_script(
    survey: Survey,
    start: commands.Start,
    path: str,
    text: str,
    context: str,
    dockerfile: str | None,
    depth: int,
) -> list[Followed]:
    found: list[Followed] = []
    harmless = True
    values: dict[str, str] = {}
    for number, line in _lines(text):
        assigned = _DEFAULT.match(line)
        if assigned:
            values[assigned[1]] = assigned[2] or assigned[3] or ""
            harmless = harmless and not line.startswith("export")
            continue
        if "$@" in line and re.match(r"^(?:exec\s+)?[\"']?\$@", line):
            if start.arguments:
                inner = commands.parse(start.arguments)
                found += [
                    Followed(replace(f.start, text=start.arguments), f.via)
                    for f in follow(survey, inner, context, dockerfile, depth + 1)
                ]
            continue
        bare = _filled(_bare(line), values)
        if not bare:
            continue
        inner = commands.parse(bare)
        serves = inner.what in {"asgi", "celery", "node"} or (
            inner.what == "python" and inner.module is not None and not commands.one_shot(inner.module)
        )
        if inner.script and inner.script.rsplit("/", 1)[-1] == path.rsplit("/", 1)[-1]:
            continue
        if inner.script or serves:
            for followed in follow(survey, inner, context, dockerfile, depth + 1):
                if followed.start.what != "other":
                    found.append(
                        Followed(followed.start, Evidence(path, number, f"`{path}` starts `{inner.text}`"))
                    )
        elif not _HARMLESS.match(bare):
            harmless = False
    distinct = {f.start.module: f for f in found}
    if not found:
        if start.arguments:
            return [Followed(commands.parse(start.arguments))]
        return [Followed(start)]
    if len(distinct) == 1 and not harmless:
        one = found[-1]
        keep = one.start.text if start.arguments == one.start.text else start.text
        return [Followed(replace(one.start, text=keep), one.via)]
    return list(distinct.values())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    number = 0
    lines = text.split("\n")
    while number < len(lines):
        first, line = number + 1, lines[number].strip()
        number += 1
        while line.endswith("\\") and number < len(lines):
            line = line[:-1].strip() + " " + lines[number].strip()
            number += 1
        if line.startswith("#"):
            continue
        for part in re.split(r"\s*(?:;;|;|&&)\s*", re.sub(r"\s#\s.*$", "", line)):
            if part.strip():
                yield first, part.strip()


def _bare(line: str) -> str:
    line = _CASE.sub("", line) if "(" not in line.split(")")[0] else line
    before = ""
    while before != line:
        before = line
        line = _WORDS.sub("", line)
    line = re.sub(r"\s*(?:2>&1|[12&]?>>?\s*\S+)", "", line)
    return re.sub(r"\s*(?:\|\|.*|\|\s.*|&)\s*$", "", line).strip()


def _filled(line: str, values: dict[str, str]) -> str:
    line = re.sub(r"\$\{([A-Za-z_]\w*):?-([^}]*)\}", r"\2", line)
    return re.sub(r"\"?\$\{?([A-Za-z_]\w*)\}?\"?", lambda m: values[m[1]] if values.get(m[1]) else m[0], line)


def _entry_point(survey: Survey, start: commands.Start, context: str) -> tuple[str, str, Evidence] | None:
    """Return the module and function of a console script that pyproject.toml declares."""
    import tomllib

    for path, text in survey.requirements.items():
        if not path.endswith("pyproject.toml"):
            continue
        folder = path.rpartition("/")[0] or "."
        if not (folder == context or context == "." or context.startswith(folder + "/") or folder == "."):
            continue
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        project, tool = data.get("project"), data.get("tool")
        tables = [project.get("scripts") if isinstance(project, dict) else None]
        poetry = tool.get("poetry") if isinstance(tool, dict) else None
        tables.append(poetry.get("scripts") if isinstance(poetry, dict) else None)
        for table in tables:
            target = table.get(start.program) if isinstance(table, dict) else None
            if isinstance(target, str) and ":" in target:
                line = next((n for n, t in enumerate(text.split("\n"), 1) if target in t), 1)
                module, _, function = target.partition(":")
                place = Evidence(path, line, f"`{start.program}` is `{target}`")
                return module.strip(), function.split("[")[0].strip(), place
    return None


def _package_script(survey: Survey, start: commands.Start, context: str) -> tuple[str, Evidence] | None:
    path = join(context, "package.json") or ""
    package = survey.packages.get(path)
    command = package.scripts().get(start.package_script or "") if package else None
    if package is None or not command or command.split()[:1] in (["turbo"], ["nx"], ["lerna"]):
        return None
    try:
        shlex.split(command)
    except ValueError:
        return None
    return command, Evidence(path, package.line(start.package_script or ""), f"runs `{command}`")
