"""Owns naming what is there and flywizard does not deploy: other frameworks, languages, engines, infrastructure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from flywizard.project.detect_node import LANGUAGES
from flywizard.project.model import Database, Evidence, Service
from flywizard.project.survey import Survey

_PARTS = (
    (r"redis|valkey|keydb|dragonfly", "Redis"),
    (r"rabbitmq", "RabbitMQ"),
    (r"mysql|mariadb", "MySQL"),
    (r"mongo", "MongoDB"),
    (r"qdrant", "Qdrant"),
    (r"weaviate", "Weaviate"),
    (r"chroma", "Chroma"),
    (r"minio", "MinIO"),
    (r"elasticsearch|opensearch", "Elasticsearch"),
    (r"neo4j", "Neo4j"),
    (r"ollama", "Ollama"),
    (r"keycloak", "Keycloak"),
    (r"clickhouse", "ClickHouse"),
    (r"(?:^|/)nats(?::|$)", "NATS"),
)
_FRAMEWORKS = {"django": "Django", "flask": "Flask", "streamlit": "Streamlit", "gradio": "Gradio"}
_NAMES = {
    "go": "Go",
    "rust": "Rust",
    "java": "Java",
    "kotlin": "Kotlin",
    "php": "PHP",
    "ruby": "Ruby",
    "elixir": "Elixir",
}
_QUEUES = {"celery": "Celery", "arq": "arq", "dramatiq": "Dramatiq", "rq": "RQ", "taskiq": "Taskiq"}


def notes(survey: Survey, services: Sequence[Service], database: Database) -> Iterator[Evidence]:
    """Yield one sentence for each thing that is there and that flywizard does not make or deploy."""
    yield from _infrastructure(survey)
    yield from _python(survey, services)
    yield from _languages(survey)
    yield from _folders(survey, services)
    if database.engine == "mysql" and not any("mysql" in (s.image or "") for s in survey.compose_services()):
        place = next((Evidence(f.path, f.mysql or 1, "") for f in survey.sql.values() if f.mysql), None)
        if place:
            yield Evidence(
                place.file,
                place.line,
                "MySQL: flywizard creates Postgres only; bring a database that exists.",
            )


def _infrastructure(survey: Survey) -> Iterator[Evidence]:
    seen: set[str] = set()
    for service in survey.compose_services():
        image = service.image or ""
        if service.context is not None:
            continue
        for pattern, name in _PARTS:
            if (
                re.search(pattern, image)
                and name not in seen
                and not re.search(r"-(?:ui|commander|express|insight)", image)
            ):
                seen.add(name)
                yield Evidence(
                    service.file,
                    service.image_line or service.line,
                    f"{name} (`{service.name}`): flywizard does not create it; bring its address as a variable.",
                )


def _python(survey: Survey, services: Sequence[Service]) -> Iterator[Evidence]:
    seen: set[str] = set()
    fastapi = any(s.framework == "fastapi" for s in services)
    for path, file in survey.python.items():
        for module, line in file.imports:
            top = module.split(".")[0]
            name = _FRAMEWORKS.get(top)
            if name and name not in seen and not (top == "django" and not _django(survey)):
                seen.add(name)
                rest = (
                    "it is left out."
                    if fastapi
                    else "flywizard deploys FastAPI applications and Kafka workers."
                )
                yield Evidence(path, line, f"{name} application: {rest}")
    for service in services:
        queue = _QUEUES.get(service.framework or "")
        if queue and queue not in seen:
            seen.add(queue)
            place = service.evidence[0] if service.evidence else Evidence(".", 1, "")
            yield Evidence(
                place.file,
                place.line,
                f"{queue} (`{service.name}`): it runs as a worker, but its queue is yours to bring: flywizard makes no Redis or RabbitMQ.",
            )


def _django(survey: Survey) -> bool:
    return any(p.rsplit("/", 1)[-1] == "manage.py" for p in survey.python)


def _languages(survey: Survey) -> Iterator[Evidence]:
    seen: set[str] = set()
    for file in LANGUAGES:
        for path in survey.tree.named(file)[:1]:
            name = _NAMES.get(LANGUAGES[file], LANGUAGES[file])
            if name not in seen:
                seen.add(name)
                yield Evidence(path, 1, f"{name} code: flywizard names it and leaves it out.")


def _folders(survey: Survey, services: Sequence[Service]) -> Iterator[Evidence]:
    tree = survey.tree
    web = [s for s in services if s.role == "web"]
    for folder in sorted(tree.folders):
        last = folder.rsplit("/", 1)[-1].lower()
        if last in {"web-form", "webform", "frontend", "web", "client", "ui"} and not any(
            s.source == folder or s.source.startswith(folder + "/") or s.source == "." for s in web
        ):
            inside = list(tree.under(folder))
            parts = [p for p in inside if p.endswith((".tsx", ".jsx", ".vue", ".svelte"))]
            if parts and f"{folder}/package.json" not in tree:
                yield Evidence(
                    parts[0],
                    1,
                    f"`{folder}` holds components without a package.json: it cannot be built on its own.",
                )
            elif f"{folder}/index.html" in tree and f"{folder}/package.json" not in tree:
                yield Evidence(
                    f"{folder}/index.html",
                    1,
                    f"`{folder}` is a static site: flywizard has no plan for it; any static host serves it.",
                )
    if "index.html" in tree and "package.json" not in tree and not services:
        yield Evidence(
            "index.html", 1, "A static site: flywizard has no plan for it; any static host serves it."
        )
    terraform = next((p for p in tree if p.endswith(".tf")), None)
    if terraform:
        yield Evidence(terraform, 1, "Terraform files: flywizard does not run them.")
