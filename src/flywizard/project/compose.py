"""Owns reading docker-compose files: services with line numbers; templates and broken YAML are reported, never raised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

NAMES = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
MAX_NODES = 20_000
TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
INFRASTRUCTURE = re.compile(
    r"(?:^|/)(?:postgres(?:ql)?|pgvector|postgis|timescaledb(?:-ha)?|supabase|mysql|mariadb|mongo(?:db)?|mongo-express|"
    r"redis(?:-stack(?:-server)?|insight|-commander)?|valkey|keydb|dragonfly|memcached|kafka(?:-native)?|"
    r"kafka-(?:ui|exporter|manager|rest|connect|topics-ui|magic)|cp-[\w-]+|zookeeper|redpanda|console|kafdrop|akhq|"
    r"cmak|schema-registry|connect|ksqldb-\w+|rabbitmq|nats|nginx|nginx-unprivileged|traefik|caddy|haproxy|envoy|kong|"
    r"adminer|pgadmin4?|pgbouncer|phpmyadmin|mailhog|mailpit|mailcatcher|inbucket|minio|mc|qdrant|weaviate|chroma|"
    r"milvus|etcd|neo4j|elasticsearch|kibana|opensearch|meilisearch|typesense|clickhouse-server|influxdb|cassandra|"
    r"prometheus|grafana|loki|promtail|tempo|alertmanager|cadvisor|[\w-]+-exporter|jaeger|all-in-one|zipkin|"
    r"otel\w*|opentelemetry-collector(?:-contrib)?|alpine|busybox|curl|ollama|localstack|keycloak|vault|consul|"
    r"flower|metabase|superset|portainer|watchtower|ngrok|cloudflared|stripe-cli|wiremock|selenium|standalone-chrome|"
    r"playwright|temporal|auto-setup|ui|certbot|soketi|awscli|dbgate|cloudbeaver)(?:[:@]|$)"
)
"""Ready images that are never a service of the project: databases, brokers, proxies, tools."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::?[-?+]([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service of a compose file; paths relative to the repository."""

    name: str
    line: int
    file: str
    image: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    target: str | None = None
    command: str | tuple[str, ...] | None = None
    command_line: int = 0
    entrypoint: str | tuple[str, ...] | None = None
    ports: tuple[tuple[int, int], ...] = ()
    """(port inside, line)."""
    environment: Mapping[str, tuple[str | None, int]] = field(default_factory=dict)
    args: Mapping[str, tuple[str | None, int]] = field(default_factory=dict)
    dockerfile_line: int = 0
    profiles: tuple[str, ...] = ()
    mounts: tuple[tuple[str, str], ...] = ()
    """(path in the repository, path inside) of bind mounts."""
    working_dir: str | None = None
    build_removed: bool = False
    """``build`` is there and null."""
    extends: tuple[str | None, str] | None = None
    """(file, service)."""
    env_files: tuple[str, ...] = ()
    completes: tuple[str, ...] = ()
    """Services that it waits for to *end*: they are one-shot jobs."""
    image_line: int = 0
    defined: bool = True
    """It says on its own what it runs; False: only changes a service of another file."""
    command_file: str = ""
    """Where the command is, if not in ``file``."""


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file as read."""

    path: str
    services: tuple[ComposeService, ...] = ()
    error: str | None = None
    """In words; the file is then empty."""
    error_line: int | None = None
    template: int | None = None
    """The line of the first template marker."""
    include: tuple[str, ...] = ()


class _TooLargeError(Exception):
    pass


def read(path: str, text: str) -> ComposeFile:
    """Read a compose file; pure, never raises."""
    import yaml

    template = next((n for n, line in enumerate(text.split("\n"), 1) if TEMPLATE.search(line)), None)
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        return ComposeFile(path, error=str(error.problem or "not YAML"), error_line=line, template=template)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ComposeFile(path, error="not YAML", template=template)
    lines: dict[tuple[str, ...], int] = {}
    try:
        data = _plain(node, (), lines, [MAX_NODES], 0)
    except _TooLargeError:
        return ComposeFile(path, error="too many or too deep values", template=template)
    if not isinstance(data, dict):
        return ComposeFile(path, error=None if data is None else "no table of services", template=template)
    services = data.get("services")
    if not isinstance(services, dict):
        return ComposeFile(path, template=template)
    base = str(PurePosixPath(path).parent)
    found = [
        _service(path, base, name, body, lines) for name, body in services.items() if isinstance(body, dict)
    ]
    include = data.get("include")
    included = [i for i in include if isinstance(i, str)] if isinstance(include, list) else []
    return ComposeFile(
        path,
        tuple(found),
        template=template,
        include=tuple(p for i in included if (p := join(base, i)) is not None),
    )


def plain_documents(text: str) -> list[tuple[dict[str, Any], dict[tuple[str, ...], int]]]:
    """Return each YAML document that is a table, with the lines of its keys; never raises, broken: none."""
    import yaml

    out = []
    try:
        for node in yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            lines: dict[tuple[str, ...], int] = {}
            data = _plain(node, (), lines, [MAX_NODES], 0)
            if isinstance(data, dict):
                out.append((data, lines))
    except (yaml.YAMLError, ValueError, RecursionError, _TooLargeError):
        return []
    return out


def _plain(
    node: Any, key: tuple[str, ...], lines: dict[tuple[str, ...], int], budget: list[int], depth: int
) -> Any:
    import yaml

    budget[0] -= 1
    if budget[0] < 0 or depth > 40:
        raise _TooLargeError
    match node:
        case yaml.MappingNode():
            out: dict[str, Any] = {}
            merged: dict[str, Any] = {}
            for name_node, value_node in node.value:
                name = str(getattr(name_node, "value", ""))
                if name == "<<":
                    bases = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                    for base in bases:
                        value = _plain(base, key, lines, budget, depth + 1)
                        if isinstance(value, dict):
                            merged = value | merged
                    continue
                lines[(*key, name)] = name_node.start_mark.line + 1
                out[name] = _plain(value_node, (*key, name), lines, budget, depth + 1)
            return merged | out
        case yaml.SequenceNode():
            items = []
            for index, item in enumerate(node.value):
                lines[(*key, str(index))] = item.start_mark.line + 1
                items.append(_plain(item, (*key, str(index)), lines, budget, depth + 1))
            return items
        case yaml.ScalarNode():
            return None if node.tag.endswith(":null") else str(node.value)
        case _:
            return None


def expand(value: str) -> str | None:
    """Replace ``${NAME:-default}`` by its default; None where there is none."""
    missing = False

    def default(match: re.Match[str]) -> str:
        nonlocal missing
        if match[2] is None:
            missing = True
            return ""
        return match[2]

    out = _VARIABLE.sub(default, value)
    return None if missing else out


def join(base: str, path: str) -> str | None:
    """Join and normalise; None where the result is outside the repository."""
    parts: list[str] = []
    for part in (*PurePosixPath(base).parts, *PurePosixPath(path).parts):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part == "/":
            return None
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def _service(
    path: str, base: str, name: str, body: dict[str, Any], lines: Mapping[tuple[str, ...], int]
) -> ComposeService:
    here = ("services", name)
    build = body.get("build")
    context = dockerfile = target = None
    args: dict[str, tuple[str | None, int]] = {}
    dockerfile_line = lines.get((*here, "build"), 0)
    if isinstance(build, str):
        context = join(base, expand(build) or build)
    elif isinstance(build, dict):
        context = join(base, expand(str(build.get("context") or ".")) or ".")
        target = expand(build["target"]) if isinstance(build.get("target"), str) else None
        args = _pairs(build.get("args"), (*here, "build", "args"), lines)
        if isinstance(build.get("dockerfile"), str):
            dockerfile = join(context or ".", build["dockerfile"])
            dockerfile_line = lines.get((*here, "build", "dockerfile"), dockerfile_line)
    if context is not None and dockerfile is None and build is not None:
        dockerfile = join(context, "Dockerfile")
    image = body.get("image")
    extends = body.get("extends")
    extended: tuple[str | None, str] | None = None
    if isinstance(extends, str):
        extended = (None, extends)
    elif isinstance(extends, dict) and isinstance(extends.get("service"), str):
        file = extends.get("file")
        extended = (join(base, file) if isinstance(file, str) else None, extends["service"])
    waits = body.get("depends_on")
    working = body.get("working_dir")
    return ComposeService(
        name=name,
        line=lines.get(here, 1),
        file=path,
        image=expand(image) if isinstance(image, str) else None,
        context=context,
        dockerfile=dockerfile,
        target=target,
        command=_words(body.get("command")),
        command_line=lines.get((*here, "command"), 0),
        entrypoint=_words(body.get("entrypoint")),
        ports=_ports(body.get("ports"), here, lines),
        environment=_pairs(body.get("environment"), (*here, "environment"), lines),
        args=args,
        dockerfile_line=dockerfile_line,
        profiles=tuple(p for p in _list(body.get("profiles")) if isinstance(p, str)),
        mounts=_mounts(body.get("volumes"), base),
        working_dir=working if isinstance(working, str) else None,
        build_removed="build" in body and build is None,
        extends=extended,
        env_files=_env_files(body.get("env_file"), base),
        completes=tuple(
            name
            for name, how in (waits.items() if isinstance(waits, dict) else ())
            if isinstance(how, dict) and how.get("condition") == "service_completed_successfully"
        ),
        image_line=lines.get((*here, "image"), 0),
        defined=bool(build or image or extended),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mounts(value: Any, base: str) -> tuple[tuple[str, str], ...]:
    out: list[tuple[str, str]] = []
    for item in _list(value):
        if isinstance(item, dict):
            source, target = item.get("source"), item.get("target")
        elif isinstance(item, str) and ":" in item:
            source, target = item.split(":")[:2]
        else:
            continue
        if isinstance(source, str) and isinstance(target, str) and source.startswith((".", "$PWD", "${PWD")):
            inside = join(base, re.sub(r"^\$\{?PWD\}?/?", "./", source))
            if inside is not None:
                out.append((inside, target))
    return tuple(out)


def _env_files(value: Any, base: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else _list(value)
    names = [i.get("path") if isinstance(i, dict) else i for i in items]
    return tuple(p for n in names if isinstance(n, str) and (p := join(base, n)) is not None)


def _words(value: Any) -> str | tuple[str, ...] | None:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return tuple(str(v) for v in value if v is not None)
    return None


def _pairs(
    value: Any, key: tuple[str, ...], lines: Mapping[tuple[str, ...], int]
) -> dict[str, tuple[str | None, int]]:
    out: dict[str, tuple[str | None, int]] = {}
    if isinstance(value, dict):
        for name, text in value.items():
            out[name] = (text if isinstance(text, str) else None, lines.get((*key, name), 1))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                name, sign, text = item.partition("=")
                out[name] = (text if sign else None, lines.get((*key, str(index)), 1))
    return out


def _ports(
    value: Any, here: tuple[str, ...], lines: Mapping[tuple[str, ...], int]
) -> tuple[tuple[int, int], ...]:
    out: list[tuple[int, int]] = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        text = item.get("target") if isinstance(item, dict) else item
        inside = (expand(str(text)) or "").split("/")[0].rsplit(":", 1)[-1]
        if inside.isdigit():
            out.append((int(inside), lines.get((*here, "ports", str(index)), 1)))
    return tuple(out)
