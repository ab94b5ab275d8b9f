"""Owns the preflight rules that are found late: Fly's groups, one-shot services, hidden files, literals (C-27, C-29, C-82, C-83, C-92, C-99, C-103, C-104). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flywizard.project import commands, nextjs
from flywizard.project.candidates import ONE_SHOT
from flywizard.project.compose import join
from flywizard.project.dockerfile import Dockerfile, Instruction
from flywizard.project.flytoml import FlyConfig
from flywizard.project.model import Findings, Objection
from flywizard.project.rules_build import contexts, copies, images
from flywizard.project.rules_python import consumer_in_api, ignore_of
from flywizard.project.survey import Survey, is_decoy, is_test

NEEDED = frozenset(
    {
        "package.json",
        "requirements.txt",
        "pyproject.toml",
        "uv.lock",
        "poetry.lock",
        "alembic.ini",
        *nextjs.LOCKS,
    }
)
_PLACEHOLDER = re.compile(
    r"example|change|your|placeholder|xxx|test|dummy|local|secret$|^password$|^postgres$|<|\$|\{|\*\*|…|\.\.\.|fake|sample|todo|redacted",
    re.IGNORECASE,
)
_LIVE = (
    re.compile(
        r"(?P<value>\bsk-(?:proj-|live-)?[A-Za-z0-9_-]{24,}|\bAKIA[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|\bxox[abp]-[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bFlyV1 fm[12]\w{20,}|\bnpg_[A-Za-z0-9]{10,})"
    ),
    re.compile(
        r"postgres(?:ql)?(?:\+\w+)?://[^\s:@/]+:(?P<value>[^\s@/'\"]{6,})@(?!localhost|127\.|postgres\b|db\b|database\b|host\b)[\w.-]+\.[a-z]{2,}"
    ),
    re.compile(r"(?i)\bpassword\s+'(?P<value>[^'\s]{8,})'"),
    re.compile(
        r"(?m)^\s*(?:export\s+)?[A-Z][A-Z0-9_]*(?:PASSWORD|SECRET|TOKEN|API_KEY)=[\"']?(?P<value>[A-Za-z0-9+/_=.-]{16,})[\"']?\s*$"
    ),
)
_API_NAME = re.compile(
    r"(?i)\b(?:const|let|var)\s+(\w*(?:api|backend|base)_?(?:url|base|host|endpoint|root)\w*)\s*=\s*[\"'`](https?://[^\"'`\s]+)"
)
_FETCH = re.compile(
    r"(?:fetch|axios(?:\.\w+)?|XMLHttpRequest|EventSource|WebSocket)\s*\(\s*[\"'`](?P<url>(?:https?|wss?)://(?:localhost|127\.0\.0\.1)(?::\d+)?[^\"'`\s]*)"
)
_LOCAL = re.compile(r"//(localhost|127\.0\.0\.1)(:|/|$)")
_PLATFORMS = re.compile(
    r"\.(onrender\.com|up\.railway\.app|herokuapp\.com|vercel\.app|fly\.dev|ngrok(-free)?\.(app|io|dev)|hf\.space|run\.app|azurewebsites\.net)(:|/|$)"
)


def served_worker(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-27."""
    workers = {(s.fly_config, s.group) for s in findings.services if s.role == "worker" and s.fly_config}
    for config in survey.fly.values():
        for key, service in _services(config):
            groups = (
                [g for g in service.get("processes") or () if isinstance(g, str)]
                if isinstance(service.get("processes"), list)
                else []
            )
            for group in groups:
                if (config.path, group) in workers:
                    line = config.line(*key, "processes")
                    alone = len(groups) == 1
                    yield Objection(
                        "",
                        False,
                        f"`{config.path}:{line}` serves `{group}`, which has no port: Fly would stop the consumer when no one calls it.",
                        "Take the group out." if not alone else "Take this service out.",
                        config.path,
                        line,
                        handled=not alone,
                        fixable=not alone,
                        subject=f"group:{group}:{'.'.join(str(k) for k in key)}",
                    )
    found = consumer_in_api(survey, findings)
    api = findings.service("api")
    if found is None or api is None:
        return
    path, line, name = found
    known = survey.fly.get(api.fly_config or "")
    stops = [(key, s) for key, s in _services(known)] if known else []
    stops = [
        (key, s)
        for key, s in stops
        if s.get("auto_stop_machines") not in (None, "off", False) or s.get("min_machines_running") == 0
    ]
    if known and not stops:
        return
    where = (known.path, known.line(*stops[0][0], "auto_stop_machines")) if known else (path, line)
    yield Objection(
        "",
        False,
        f"`{path}:{line}` consumes (`{name}`) inside the API: it would sleep whenever no one calls the API.",
        "Keep one machine running, without auto-stop.",
        *where,
        handled=known is None,
        fixable=known is not None,
        subject=f"consumer:{api.name}",
    )


def _services(config: FlyConfig) -> list[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    out: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = []
    if config.http_service:
        out.append((("http_service",), config.http_service))
    services = config.data.get("services")
    for index, service in enumerate(services if isinstance(services, list) else []):
        if isinstance(service, dict):
            out.append((("services", index), service))
    return out


def one_shots(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-29."""
    running = {s.compose_service for s in findings.services}
    seen: set[str] = set()
    for service in survey.compose_services():
        start = commands.parse(service.command) if service.command else None
        module = (start.module or "").rsplit(".", 1)[-1].rsplit("/", 1)[-1] if start else ""
        once = ONE_SHOT.search(service.name) or (module and ONE_SHOT.search(module))
        if (
            not once
            or service.name in running
            or service.name in seen
            or re.search(r"(^|[-_])tests?([-_]|$)", service.name)
        ):
            continue
        if service.context is None and service.image is None:
            continue
        seen.add(service.name)
        text = f"{service.name} {commands.text_of(service.command or '')}"
        kind = (
            "topics"
            if re.search(r"kafka|topic", text, re.IGNORECASE)
            else "schema"
            if re.search(r"migrat|alembic|prisma|schema|\bdb-?init|init-?db", text, re.IGNORECASE)
            else "other"
        )
        handled = (kind == "topics" and findings.broker.needed) or (
            kind == "schema" and findings.database.schema.method not in (None, "none")
        )
        remedy = {
            "topics": "flywizard makes the topics in a step of its own.",
            "schema": "flywizard makes the tables before the first release.",
        }
        yield Objection(
            "",
            False,
            f"`{service.name}` (`{service.file}:{service.line}`) runs once: it becomes no machine.",
            remedy[kind] if handled else "Run it by hand after the first release: `fly ssh console -C …`.",
            service.file,
            service.line,
            handled=handled,
            subject=service.name,
        )


def mounts(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-82."""
    for config in survey.fly.values():
        found = config.data.get("mounts")
        entries = [found] if isinstance(found, dict) else found if isinstance(found, list) else []
        for index, entry in enumerate(e for e in entries if isinstance(e, dict)):
            key: tuple[str | int, ...] = ("mounts", index) if isinstance(found, list) else ("mounts",)
            named = entry.get("processes")
            groups = [g for g in named if isinstance(g, str)] if isinstance(named, list) else []
            line = config.line(*key, "processes") if groups else config.line(*key)
            if len(groups) > 1:
                yield _mount(
                    config.path,
                    line,
                    f"`{entry.get('source')}` is mounted in {len(groups)} process groups",
                    groups[0],
                )
                continue
            default = "app" if "app" in config.processes or not config.processes else min(config.processes)
            group = groups[0] if groups else default
            for where, service in _services(config):
                count = service.get("min_machines_running")
                served = service.get("processes") or [default]
                if isinstance(count, int) and count > 1 and group in served:
                    yield _mount(
                        config.path,
                        config.line(*where, "min_machines_running"),
                        f"`{entry.get('source')}` is mounted in {count} machines",
                        group,
                    )


def _mount(file: str, line: int, what: str, group: str) -> Objection:
    return Objection(
        "",
        True,
        f"`{file}:{line}`: {what}; each machine has a volume of its own, and they share nothing.",
        f"Mount it in one group, and run one machine of `{group}`.",
        file,
        line,
        subject=f"{file}:{line}",
    )


def regions(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-83."""
    used = list(dict.fromkeys(s.fly_config for s in findings.services if s.fly_config in survey.fly))
    said = [(p, survey.fly[p].data.get("primary_region")) for p in used if p]
    said = [(p, r) for p, r in said if isinstance(r, str)]
    for path, region in said[1:]:
        first, other = said[0]
        if region != other:
            line = survey.fly[path].line("primary_region")
            yield Objection(
                "",
                False,
                f"`{path}:{line}` says `{region}`, `{first}` says `{other}`: private traffic between regions is slow and is billed.",
                "flywizard writes one region into both.",
                path,
                line,
                handled=True,
                fixable=True,
                subject=f"{other}:{path}",
            )


def uv_as_root(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-92."""
    for _, image, _users in images(survey, findings):
        start = image.start()
        user = _user(image)
        if start is None or user is None or image.final is None:
            continue
        words = start[0].text.split()
        if words[:2] != ["uv", "run"] or "--no-sync" in words:
            continue
        stages = image.chain()
        text = "\n".join(i.value for s in stages for i in s.of("RUN"))
        flags = [f for s in stages for i in s.of("COPY") for f in i.flags]
        if re.search(r"\bchown\b", text) or any(f.startswith("--chown") for f in flags):
            continue
        synced = [
            i for s in image.stages for i in s.of("RUN") if re.search(r"\buv\s+(sync|venv|pip)\b", i.value)
        ]
        own = {i.line for s in stages for i in s.of("RUN")}
        if not synced or any(i.line in own and i.line > user.line for i in synced):
            continue
        if "UV_NO_SYNC" in image.environment():
            continue
        yield Objection(
            "",
            True,
            f"`{image.path}:{start[1].line}`: `uv run` wants to write the environment, which belongs to root; `{user.value}` may not, and the process would end at its start.",
            "Start the program of the environment directly.",
            image.path,
            start[1].line,
            fixable=start[1].exec_form() is not None,
        )


def _user(image: Dockerfile) -> Instruction | None:
    """Return the instruction that makes the image run as somebody else than root."""
    found = image.last("USER")
    return found if found and found.value.split(":")[0] not in {"root", "0"} else None


def hidden(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-99."""
    for service, image, _ in images(survey, findings):
        context = service.workspace or service.path or "."
        ignored = ignore_of(survey, context, image.path)
        own = f"{image.path}.dockerignore"
        file = own if own in survey.tree else join(context, ".dockerignore") or ".dockerignore"
        for _, copy, source in copies(image):
            inner = source.removeprefix("./").lstrip("/")
            target = join(context, inner or ".")
            name = inner.rsplit("/", 1)[-1]
            if (
                copy.flag("from")
                or target is None
                or name not in NEEDED
                or target not in survey.tree
                or not ignored(inner)
            ):
                continue
            yield _hidden(survey, file, inner, f"`{image.path}:{copy.line}` copies it")
    api, schema = findings.service("api"), findings.database.schema
    if api and api.path is not None and schema.method in {"alembic", "prisma"} and schema.files:
        ignored = ignore_of(survey, api.path, api.dockerfile)
        prefix = "" if api.path == "." else f"{api.path}/"
        inner = schema.files[0][len(prefix) :] if schema.files[0].startswith(prefix) else ""
        if inner and ignored(inner):
            file = join(api.path, ".dockerignore") or ".dockerignore"
            yield _hidden(survey, file, inner, "the migration needs it")
    yield from _unversioned(survey, findings)


def _hidden(survey: Survey, file: str, inner: str, why: str) -> Objection:
    return Objection(
        "",
        True,
        f"`{file}` hides `{inner}`, so it would not be in the build context, and {why}.",
        f"Add `!{inner}` as its last line.",
        file,
        _matching_line(survey.tree.text(file) or "", inner),
        fixable=True,
        subject=f"{file}>{inner}",
    )


def _matching_line(text: str, inner: str) -> int:
    from flywizard.project.dockerignore import of

    lines = text.split("\n")
    return next((n for n in range(len(lines), 0, -1) if of([lines[n - 1]])(inner)), 1)


def _unversioned(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """Say which lock file is kept out of git by name, where it is missing for that reason."""
    for context, service in contexts(findings):
        names = (
            nextjs.LOCKS if service.language == "javascript" else {"uv.lock": "uv", "poetry.lock": "poetry"}
        )
        known = {p: _lines(survey, p) for f in dict.fromkeys((context, ".")) if (p := join(f, ".gitignore"))}
        for name in names:
            here = join(context, name) or name
            path = next((p for p, lines in known.items() if name in lines), None)
            if path is None or (
                here in survey.tree and (survey.tree.tracked is None or here in survey.tree.tracked)
            ):
                continue
            if here not in survey.tree and any((join(context, n) or "") in survey.tree for n in names):
                continue
            line = known[path].index(name) + 1
            yield Objection(
                "",
                False,
                f"`{path}:{line}` keeps `{name}` out of git: a build from a fresh clone would lack it.",
                f"Take `{name}` out of `{path}`, and commit the file.",
                path,
                line,
                fixable=True,
                subject=f"git:{path}>{name}",
            )


def _lines(survey: Survey, path: str) -> list[str]:
    return [line.strip().lstrip("/") for line in (survey.tree.text(path) or "").split("\n")]


def committed_secrets(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-103."""
    for path in sorted(survey.tree.tracked or ()):
        if (
            not path.endswith((".sql", ".sh", ".bash", ".py", ".ps1", ".yml", ".yaml", ".toml"))
            or is_test(path)
            or is_decoy(path)
        ):
            continue
        if path not in survey.tree:
            continue
        text = survey.tree.text(path) or ""
        for pattern in _LIVE:
            found = next(
                (
                    m
                    for m in pattern.finditer(text)
                    if not _PLACEHOLDER.search(m["value"]) and _varied(m["value"])
                ),
                None,
            )
            if found:
                line = text.count("\n", 0, found.start("value")) + 1
                yield Objection(
                    "",
                    False,
                    f"`{path}:{line}` holds what looks like a live password or key (not shown), and is committed.",
                    "Make a new one, and read it from a variable.",
                    path,
                    line,
                    subject=path,
                )
                break


def _varied(value: str) -> bool:
    return len(set(value)) >= 5 and bool(re.search(r"\d", value)) and not re.fullmatch(r"[\d.]+", value)


def literal_api(survey: Survey, findings: Findings) -> Iterator[Objection]:
    """C-104."""
    for folder in dict.fromkeys(s.path for s in findings.services if s.role == "web" and s.path is not None):
        for path in survey.tree.under(folder):
            page = path.endswith((".html", ".htm"))
            if (
                not (page or path.endswith(nextjs.SOURCES))
                or is_test(path)
                or re.search(r"\.(config|test|spec|stories|min)\.", path)
            ):
                continue
            text = survey.tree.text(path) or ""
            text = text if page else nextjs.without_comments(text)
            found = _API_NAME.search(text)
            url = found[2] if found else None
            if page and not url and (fetched := _FETCH.search(text)):
                found, url = fetched, fetched["url"]
            if found is None or url is None or "${" in url:
                continue
            local = bool(_LOCAL.search(url))
            if local and not page:
                continue
            line = text.count("\n", 0, found.start()) + 1
            host = re.sub(r"^\w+://([^/]*).*$", r"\1", url)
            yield Objection(
                "",
                local or bool(_PLATFORMS.search(url)),
                f"`{path}:{line}`: the pages would call `{host}`, because the address is written into the file.",
                "Read it from a build argument (`NEXT_PUBLIC_…`, `VITE_…`)."
                if not page
                else "Write the API's address when the image is built.",
                path,
                line,
                subject=f"{path}:{line}",
            )
