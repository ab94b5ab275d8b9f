"""Owns how the tables come to be: Alembic, Prisma, Drizzle, Aerich, or plain SQL files and their order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from flywizard.project import sql
from flywizard.project.compose import join
from flywizard.project.model import Evidence, Question, Schema, Service
from flywizard.project.survey import Survey, is_decoy, is_test

INIT = "/docker-entrypoint-initdb.d"
_NOT_SCHEMA = re.compile(
    r"(?:^|[-_.])(?:seeds?|sample|data|fixtures?|drop|down|rollback|undo|teardown|test|queries|backup|dump)(?:[-_.]|$)",
    re.I,
)
_EXTENSIONS = re.compile(r"^\s*extensions\s*=\s*\[([^\]]*)\]", re.MULTILINE)
_VARIABLE = re.compile(r"\b(url|directUrl|shadowDatabaseUrl)\s*=\s*env\(\s*[\"'](\w+)[\"']\s*\)")


def schema(
    survey: Survey, services: Sequence[Service], answers: Mapping[str, str], questions: list[Question]
) -> Schema:
    """Return how the tables are made; asks where there are several ways."""
    tools = _tools(survey, services)
    with_tables = _sql_with_tables(survey, tools)
    ways: dict[str, list[Evidence]] = {}
    for found in tools:
        ways.setdefault(found.method or "", []).append(found.evidence or Evidence(found.files[0], 1, ""))
    if with_tables:
        ways["sql"] = [Evidence(f.path, 1, "a way to make the tables") for f in with_tables]
    if not ways:
        return Schema()
    method = next(iter(ways)) if len(ways) == 1 else answers.get("schema.method", "")
    if method not in ways:
        if answers.get("schema.method") == "none":
            return Schema("none")
        places = tuple(
            Evidence(e.file, e.line, "a way to make the tables") for way in ways.values() for e in way
        )
        questions.append(Question("schema.method", "How are the tables made?", (*ways, "none"), places))
        return Schema()
    if method != "sql":
        return next(t for t in tools if t.method == method)
    return _of_sql(survey, with_tables, answers, questions)


def _tools(survey: Survey, services: Sequence[Service]) -> list[Schema]:
    tree = survey.tree
    api = next((s for s in services if s.role == "api"), None)
    out: list[Schema] = []

    def near(path: str) -> tuple[bool, int, str]:
        inside = bool(api and api.path and (api.path == "." or path.startswith(api.path + "/")))
        return (not inside, path.count("/"), path)

    alembic = sorted((p for p in tree.named("alembic.ini") if not is_decoy(p) and not is_test(p)), key=near)
    if alembic:
        place, folder = alembic[0], alembic[0].rpartition("/")[0] or "."
        context = api.path if api and api.path else folder
        inner = place if context == "." else place.removeprefix(context + "/")
        option = (
            f"-c {inner} " if "/" in inner and (context == "." or place.startswith(context + "/")) else ""
        )
        out.append(
            Schema("alembic", (place,), f"alembic {option}upgrade head", Evidence(place, 1, "Alembic"))
        )
    else:
        for path, text in survey.requirements.items():
            if found := re.search(r"(?m)^\[tool\.(alembic|aerich)\]", text):
                line = text.count("\n", 0, found.start()) + 1
                what = found[1]
                place_ = Evidence(path, line, what.capitalize())
                if what == "alembic":
                    out.append(Schema("alembic", (path,), "alembic upgrade head", place_))
                else:
                    out.append(Schema("command", (path,), "aerich upgrade", place_))
                break
    prisma = [p for p in tree.named("schema.prisma") if not is_decoy(p)]
    if prisma:
        out.append(Schema("prisma", (prisma[0],), "prisma migrate deploy", Evidence(prisma[0], 1, "Prisma")))
    drizzle = tree.named("drizzle.config.ts", "drizzle.config.js", "drizzle.config.mjs")
    if drizzle:
        out.append(
            Schema("command", (drizzle[0],), "drizzle-kit migrate", Evidence(drizzle[0], 1, "Drizzle"))
        )
    return out


def _sql_with_tables(survey: Survey, tools: Sequence[Schema]) -> list[sql.SqlFile]:
    """Return the SQL files that make tables and belong to no tool."""
    folders = []
    for tool in tools:
        folder = tool.files[0].rpartition("/")[0]
        if tool.method == "prisma":
            folders.append(f"{folder}/migrations/" if folder else "migrations/")
        elif tool.command == "drizzle-kit migrate":
            text = survey.tree.text(tool.files[0]) or ""
            out = re.search(r"\bout\s*:\s*[\"'`](?:\./)?([^\"'`]+)", text)
            folders.append(f"{join(folder or '.', out[1] if out else 'drizzle')}/")
    return [
        f
        for f in survey.sql.values()
        if f.tables and not _is_aside(f.path) and not any(f.path.startswith(folder) for folder in folders)
    ]


def _is_aside(path: str) -> bool:
    return is_test(path) or _NOT_SCHEMA.search(path.rsplit("/", 1)[-1].removesuffix(".sql")) is not None


def _mounted(survey: Survey) -> list[str]:
    """Return the SQL files that compose mounts where the Postgres image runs them, in their order."""
    for service in survey.compose_services():
        found = [(inside, target) for inside, target in service.mounts if target.startswith(INIT)]
        if not found or re.search(r"(?:^|[-_])tests?(?:[-_]|$)", service.name):
            continue
        files: list[tuple[str, str]] = []
        for inside, target in found:
            if inside in survey.sql:
                files.append((target.rsplit("/", 1)[-1], inside))
            else:
                files += [(p.rsplit("/", 1)[-1], p) for p in survey.sql if p.rpartition("/")[0] == inside]
        if files:
            return [path for _, path in sorted(files)]
    return []


def _of_sql(
    survey: Survey, found: list[sql.SqlFile], answers: Mapping[str, str], questions: list[Question]
) -> Schema:
    chosen = _files(survey, found, answers)
    if not chosen:
        places = tuple(Evidence(f.path, f.tables[0][1], f"creates `{f.tables[0][0]}`") for f in found)
        choices = dict.fromkeys(_series(found, f.path) or f.path for f in found)
        questions.append(Question("schema.files", "Which SQL file makes the tables?", tuple(choices), places))
        return Schema()
    tables = tuple(dict.fromkeys(name for f in chosen for name, _ in f.tables))
    first = next((f for f in chosen if f.tables), chosen[0])
    line = first.tables[0][1] if first.tables else 1
    return Schema(
        "sql",
        tuple(f.path for f in chosen),
        None,
        Evidence(first.path, line, f"{len(tables)} tables"),
        tables,
    )


def _numbered(path: str) -> bool:
    return re.match(r"[vV]?\d", path.rsplit("/", 1)[-1]) is not None


def _series(found: Sequence[sql.SqlFile], path: str) -> str | None:
    """Return the folder of numbered files that a file is one of."""
    folder = path.rpartition("/")[0]
    return folder if folder and _numbered(path) and len(found) > 1 else None


def _all_of(survey: Survey, folder: str) -> list[sql.SqlFile]:
    return sorted(
        (
            f
            for f in survey.sql.values()
            if f.path.rpartition("/")[0] == folder and _numbered(f.path) and not _is_aside(f.path)
        ),
        key=lambda f: (_number(f.path), f.path),
    )


def _number(path: str) -> int:
    digits = re.match(r"[vV]?(\d{1,20})", path.rsplit("/", 1)[-1])
    return int(digits[1]) if digits else 0


def _files(survey: Survey, found: list[sql.SqlFile], answers: Mapping[str, str]) -> list[sql.SqlFile]:
    answer = answers.get("schema.files")
    if answer:
        return [f for f in found if f.path == answer] or _all_of(survey, answer)
    mounted = [survey.sql[p] for p in _mounted(survey)]
    if any(f.tables for f in mounted):
        return [f for f in mounted if not _is_aside(f.path)]
    folders = {_series(found, f.path) for f in found}
    if len(found) == 1 and not _numbered(found[0].path):
        return found
    if len(found) == 1:
        return _all_of(survey, found[0].path.rpartition("/")[0]) or found
    if len(folders) == 1 and None not in folders:
        return _all_of(survey, next(iter(folders)) or "")
    named = [f for f in found if f.path.rsplit("/", 1)[-1] == "schema.sql"]
    if len(named) == 1 and folders <= {None}:
        return named
    return []


def _prisma(survey: Survey) -> Iterator[tuple[str, str]]:
    for path in survey.tree.named("schema.prisma"):
        text = survey.tree.text(path)
        if text is not None and not is_decoy(path):
            yield path, re.sub(r"//[^\n]*", "", text)


def prisma_extensions(survey: Survey) -> Iterator[tuple[str, str, int]]:
    """Yield (file, extension, line) that a Prisma schema asks for."""
    for path, text in _prisma(survey):
        for block in _EXTENSIONS.finditer(text):
            line = text.count("\n", 0, block.start(1)) + 1
            for item in re.findall(r"([A-Za-z_][\w-]*)\s*(\([^)]*\))?", block[1]):
                mapped = re.search(r"map\s*:\s*[\"']([^\"']+)", item[1])
                yield path, mapped[1] if mapped else item[0], line


def prisma_variables(survey: Survey, services: Sequence[Service]) -> Iterator[tuple[str, str, Evidence]]:
    """Yield (variable, service, place) that a Prisma schema reads."""
    for path, text in _prisma(survey):
        owners = [
            s.name
            for s in services
            if s.language == "javascript" and (s.source == "." or path.startswith(s.source + "/"))
        ]
        for match in _VARIABLE.finditer(text):
            for owner in owners[:1]:
                if match[1] != "shadowDatabaseUrl":
                    line = text.count("\n", 0, match.start()) + 1
                    yield match[2], owner, Evidence(path, line, "read by Prisma")
