"""Owns second-rank evidence: Procfile, render.yaml, railway, Kubernetes, Makefile, scripts, documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flywizard.project.compose import join, plain_documents
from flywizard.project.tree import Tree

Source: TypeAlias = Literal["procfile", "render", "railway", "kubernetes", "script", "document"]
KUBERNETES = re.compile(r"^\s*kind:\s*(Deployment|StatefulSet|DaemonSet|Job|CronJob|Service)\b", re.MULTILINE)
_START = re.compile(
    r"(?<![\w/.-])((?:(?:uv|poetry|pdm|pipenv) run (?:--\S+ )*)?(?:python3? -m )?(?:uvicorn|gunicorn|hypercorn|fastapi run)\s+[^`|;&\n]+"
    r"|(?:(?:uv|poetry|pdm|pipenv) run (?:--\S+ )*)?(?:python3? (?:-u )?(?:-m [\w.]+|[\w./-]+\.py)|celery\s+-A\s+[^`|;&\n]+|arq\s+[\w.]+)[^`|;&\n]*)"
)
_CHANGE = re.compile(r"(?:^|&&|;|\s)cd\s+([\w./-]+)")
_BUILD = re.compile(r"docker\s+(?:buildx\s+)?build\s+([^\n]+)")
DOCUMENT = re.compile(
    r"(?:^|/)(?:README|DEPLOY\w*|INSTALL|CONTRIBUTING|QUICKSTART|RUNNING|SETUP)[\w-]*\.(?:md|rst|txt)$",
    re.IGNORECASE,
)
SCRIPT = re.compile(
    r"(?:^|/)(?:Makefile|justfile|Taskfile\.ya?ml|makefile|GNUmakefile)$|\.(?:sh|bash|ps1|bat|mk)$|(?:^|/)\.github/workflows/[^/]+\.ya?ml$"
)
_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that another platform's file, a script or a document says."""

    source: Source
    file: str
    line: int
    name: str = ""
    """Its process or service there (``web``, ``worker``)."""
    command: str | None = None
    folder: str = "."
    """Where the command runs."""
    dockerfile: str | None = None
    context: str | None = None
    port: int | None = None
    image: str | None = None


def read(tree: Tree, paths: list[str]) -> list[Hint]:
    """Return what these files say; never raises for what they hold."""
    out: list[Hint] = []
    for path in paths:
        text = tree.text(path)
        if text is None or len(text) > _MAX:
            continue
        name = path.rsplit("/", 1)[-1]
        folder = path.rpartition("/")[0] or "."
        if name == "Procfile" or name.startswith("Procfile."):
            out += _procfile(path, folder, text)
        elif name in {"render.yaml", "render.yml"}:
            out += _render(path, text)
        elif name in {"railway.json", "railway.toml", "nixpacks.toml"}:
            out += _railway(path, folder, text)
        elif name.endswith((".yaml", ".yml")) and KUBERNETES.search(text):
            out += _kubernetes(path, text)
        elif SCRIPT.search(path):
            out += _commands("script", path, text)
        elif DOCUMENT.search(path):
            out += _commands("document", path, text)
    return out


def is_hint(path: str) -> bool:
    """Tell whether a file is one that this module reads (Kubernetes manifests are told by their folder)."""
    name = path.rsplit("/", 1)[-1]
    return (
        name in {"render.yaml", "render.yml", "railway.json", "railway.toml", "nixpacks.toml"}
        or name.split(".")[0] == "Procfile"
        or bool(SCRIPT.search(path) or DOCUMENT.search(path))
        or (
            name.endswith((".yaml", ".yml"))
            and bool(
                re.search(
                    r"(?:^|/)(?:k8s|kubernetes|kube|manifests|deploy|deployment|helm|charts|infra)/", path
                )
            )
        )
    )


def _procfile(path: str, folder: str, text: str) -> Iterator[Hint]:
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"^([A-Za-z][\w-]*):\s*(\S.*)$", line)
        if match:
            yield Hint("procfile", path, number, match[1], match[2].strip(), folder)


def _render(path: str, text: str) -> Iterator[Hint]:
    for data, lines in plain_documents(text):
        services = data.get("services")
        for index, service in enumerate(services if isinstance(services, list) else []):
            if not isinstance(service, dict) or service.get("type") not in {"web", "worker", "pserv", "cron"}:
                continue
            root = service.get("rootDir")
            folder = join(".", root) if isinstance(root, str) else "."
            command = service.get("startCommand") or service.get("dockerCommand")
            dockerfile = service.get("dockerfilePath")
            context = service.get("dockerContext")
            here = ("services", str(index))
            yield Hint(
                "render",
                path,
                lines.get((*here, "startCommand"), lines.get(here, 1)),
                str(service.get("name") or service["type"]),
                command if isinstance(command, str) else None,
                folder or ".",
                join(".", dockerfile) if isinstance(dockerfile, str) else None,
                join(".", context) if isinstance(context, str) else None,
            )


def _railway(path: str, folder: str, text: str) -> Iterator[Hint]:
    import tomllib

    try:
        data = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    tables = [data.get("deploy"), data.get("start")] if isinstance(data, dict) else []
    build = data.get("build") if isinstance(data, dict) else None
    dockerfile = build.get("dockerfilePath") if isinstance(build, dict) else None
    for table in tables:
        command = (table.get("startCommand") or table.get("cmd")) if isinstance(table, dict) else None
        if isinstance(command, str):
            line = (
                next((n for n, t in enumerate(text.split("\n"), 1) if command.split()[0] in t), 1)
                if command.split()
                else 1
            )
            yield Hint(
                "railway",
                path,
                line,
                "",
                command,
                folder,
                join(folder, dockerfile) if isinstance(dockerfile, str) else None,
            )


def _kubernetes(path: str, text: str) -> Iterator[Hint]:
    for data, lines in plain_documents(text):
        kind = data.get("kind")
        if kind not in {"Deployment", "StatefulSet"}:
            continue
        spec = _at(data, "spec", "template", "spec", "containers")
        name = str(_at(data, "metadata", "name") or "")
        for index, container in enumerate(spec if isinstance(spec, list) else []):
            if not isinstance(container, dict):
                continue
            words = [*_texts(container.get("command")), *_texts(container.get("args"))]
            ports = container.get("ports")
            port = _at(ports[0], "containerPort") if isinstance(ports, list) and ports else None
            here = ("spec", "template", "spec", "containers", str(index))
            import shlex

            image = container.get("image")
            yield Hint(
                "kubernetes",
                path,
                lines.get((*here, "command"), lines.get(here, 1)),
                name or str(container.get("name") or ""),
                shlex.join(words) if words else None,
                port=int(port) if isinstance(port, str) and port.isdigit() else None,
                image=image if isinstance(image, str) else None,
            )


def _commands(source: Source, path: str, text: str) -> Iterator[Hint]:
    folder = "."
    base = path.rpartition("/")[0] if source == "script" and not path.startswith(".github") else ""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip().lstrip("$> ").strip()
        if not bare or (source == "script" and bare.startswith("#")):
            continue
        if source == "document" and bare.startswith("```"):
            folder = "."
        for change in _CHANGE.findall(bare):
            folder = join(".", change) or "."
        for match in _BUILD.finditer(bare):
            words = match[1].split()
            named = next((words[i + 1] for i, w in enumerate(words[:-1]) if w in {"-f", "--file"}), None)
            context = words[-1] if words and not words[-1].startswith("-") else None
            if named and context and not context.startswith(("$", "http")):
                where = folder if "cd " in bare else (base or ".")
                yield Hint(
                    source,
                    path,
                    number,
                    dockerfile=join(where, named) or join(".", named),
                    context=join(where, context) or join(".", context),
                )
        if source == "document" and not re.search(
            r"^(?:[$>`]|```|uvicorn|python|cd |poetry|uv |gunicorn|celery|fastapi|arq)", line.strip()
        ):
            continue
        for match in _START.finditer(bare):
            yield Hint(source, path, number, command=match[1].strip(" \"'`\\"), folder=folder)
        if "cd " in bare and source == "script" and "&&" in bare:
            folder = "."


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
