"""Detection: the example, its variants, other layouts; every value with its place."""

from __future__ import annotations

import json

import pytest

from flywizard.project.detect import inspect
from flywizard.project.model import Findings
from tests.support.projects import EXAMPLE, edited, example, found, stopping

FLY_API = """# Ours since spring.
app = "helpdesk-api"
primary_region = "ams"   # close to the team

[processes]
  web = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
  worker = "python -m src.workers.message_processor"

[http_service]
  internal_port = 8000
  processes = ["web"]
"""


def line_of(path: str, text: str) -> int:
    lines = example()[path].split("\n")
    return next(n for n, line in enumerate(lines, 1) if text in line)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return inspect(EXAMPLE)


def test_the_example_is_a_full_stack_project_without_blocking_objections(findings: Findings) -> None:
    assert findings.kind == "full-stack"
    assert findings.questions == ()
    assert stopping(findings) == []
    assert [(p.id, p.handled) for p in findings.problems if p.when is None] == [("C-44", True)]


def test_the_api_of_the_example(findings: Findings) -> None:
    api = findings.service("api")
    assert api is not None
    assert (api.path, api.dockerfile, api.port) == ("backend", "backend/Dockerfile", 8000)
    assert api.command == "uvicorn src.main:app --host 0.0.0.0 --port 8000"
    assert (api.health, api.deep_health) == ("/health", "/ready")
    assert (api.package_manager, api.runtime, api.framework) == ("pip", "3.12", "fastapi")
    places = {(e.file, e.line) for e in api.evidence}
    assert places == {
        ("backend/src/main.py", line_of("backend/src/main.py", "app = FastAPI(")),
        ("backend/Dockerfile", line_of("backend/Dockerfile", "CMD")),
        ("backend/src/main.py", line_of("backend/src/main.py", "async def health")),
        ("backend/src/main.py", line_of("backend/src/main.py", "async def ready")),
    }


def test_the_worker_and_the_web_of_the_example(findings: Findings) -> None:
    worker, web = findings.service("worker"), findings.service("web")
    assert worker is not None
    assert web is not None
    assert worker.command == "python -m src.workers.message_processor"
    assert [(e.file, e.line) for e in worker.evidence] == [
        ("docker-compose.yml", line_of("docker-compose.yml", "command: python -m"))
    ]
    assert (web.path, web.port, web.command, web.package_manager) == (
        "frontend",
        3000,
        "node server.js",
        "npm",
    )
    assert web.public_names == ("NEXT_PUBLIC_API_URL",)
    assert web.standalone is True
    assert web.evidence[0].what.startswith("Next.js 16.")


def test_the_database_and_the_broker_of_the_example(findings: Findings) -> None:
    database, broker = findings.database, findings.broker
    assert (database.driver, database.dsn_env, database.dsn_scheme) == (
        "asyncpg",
        "DATABASE_URL",
        "postgresql",
    )
    assert [(e.name, e.evidence.line) for e in database.extensions] == [("vector", 3), ("uuid-ossp", 4)]
    assert database.vector_dimensions == (1536,)
    assert (database.schema.method, database.schema.files) == ("sql", ("database/schema.sql",))
    assert database.schema.tables == ("customers", "tickets", "articles", "messages")
    assert [p.size for p in database.pools] == [5]
    assert (broker.client, broker.sasl_capable) == ("aiokafka", True)
    assert (broker.bootstrap_env, broker.security_env) == (
        "KAFKA_BOOTSTRAP_SERVERS",
        "KAFKA_SECURITY_PROTOCOL",
    )
    assert (broker.username_env, broker.password_env) == ("KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")
    assert (broker.topics, broker.groups) == (("inbound-messages",), ("helpdesk-workers",))


def test_the_variables_of_the_example(findings: Findings) -> None:
    by_name = {e.name: e for e in findings.env}
    assert {n for n, e in by_name.items() if e.required} == {
        "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "NEXT_PUBLIC_API_URL", "OPENAI_API_KEY", "WEBHOOK_SECRET_KEY",
    }  # fmt: skip
    assert {n for n, e in by_name.items() if e.secret} == {
        "DATABASE_URL", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_USERNAME", "OPENAI_API_KEY", "WEBHOOK_SECRET_KEY",
    }  # fmt: skip
    assert by_name["NEXT_PUBLIC_API_URL"].build_time
    assert by_name["NEXT_PUBLIC_API_URL"].services == ("web",)
    assert by_name["CORS_ORIGINS"].json_list
    assert by_name["CORS_ORIGINS"].purpose == "cors"
    assert by_name["LOG_LEVEL"].default == "info"
    assert by_name["WEBHOOK_SECRET_KEY"].purpose == "signing-key"
    assert by_name["OPENAI_API_KEY"].evidence[0].line == line_of("backend/src/config.py", "openai_api_key")


def test_the_json_has_the_contracts_keys(findings: Findings) -> None:
    data = json.loads(json.dumps(findings.to_json()))
    assert {
        "version",
        "root",
        "kind",
        "services",
        "database",
        "broker",
        "env",
        "problems",
        "questions",
    } <= set(data)
    assert {
        "name",
        "role",
        "path",
        "dockerfile",
        "command",
        "port",
        "health",
        "language",
        "framework",
        "evidence",
    } <= set(data["services"][0])
    assert set(data["services"][0]["evidence"][0]) == {"file", "line", "what"}
    assert {"needed", "engine", "driver", "dsn_env", "dsn_scheme", "extensions", "schema"} <= set(
        data["database"]
    )
    assert set(data["database"]["schema"]) == {"method", "files", "command"}
    assert set(data["database"]["extensions"][0]) == {"name", "evidence"}
    assert {"needed", "client", "sasl_capable", "bootstrap_env", "security_env", "topics", "groups"} <= set(
        data["broker"]
    )
    assert set(data["env"][0]) == {
        "name",
        "services",
        "required",
        "secret",
        "build_time",
        "default",
        "evidence",
    }
    assert set(data["problems"][0]) == {
        "id",
        "blocking",
        "when",
        "handled",
        "fixable",
        "message",
        "remedy",
        "file",
        "line",
    }


def test_the_same_tree_gives_the_same_findings(findings: Findings) -> None:
    assert inspect(EXAMPLE) == findings


def test_existing_fly_configurations_give_app_and_group() -> None:
    findings = found(edited(add={"backend/fly.toml": FLY_API}))
    api, worker = findings.service("api"), findings.service("worker")
    assert api is not None
    assert worker is not None
    assert (api.fly_config, api.fly_app, api.group) == ("backend/fly.toml", "helpdesk-api", "web")
    assert (worker.fly_app, worker.group) == ("helpdesk-api", "worker")
    assert ("backend/fly.toml", 6) in {(e.file, e.line) for e in api.evidence}


def test_a_worker_with_a_fly_configuration_of_its_own() -> None:
    own = 'app = "helpdesk-consumer"\n[build]\n  dockerfile = "Dockerfile"\n[processes]\n  app = "python -m src.workers.message_processor"\n'
    findings = found(edited(add={"backend/fly.worker.toml": own}))
    worker = findings.service("worker")
    assert worker is not None
    assert (worker.fly_config, worker.fly_app, worker.path) == (
        "backend/fly.worker.toml",
        "helpdesk-consumer",
        "backend",
    )
    api = findings.service("api")
    assert api is not None
    assert api.fly_config is None


def test_no_broker() -> None:
    findings = found(
        edited(
            (
                "backend/src/main.py",
                "from src.kafka_client import Producer\n",
                "",
            ),
            remove=("backend/src/kafka_client.py", "backend/src/workers"),
            add={
                "backend/src/config.py": "from pydantic_settings import BaseSettings\n\nclass Settings(BaseSettings):\n    database_url: str\n",
                "docker-compose.yml": "services:\n  api:\n    build: ./backend\n",
            },
        )
    )
    assert findings.broker.needed is False
    assert findings.broker.sasl_capable is None
    assert findings.service("worker") is None
    assert findings.kind == "full-stack"


def test_no_frontend_is_partial() -> None:
    findings = found(edited(remove=("frontend",)))
    assert findings.kind == "partial"
    assert [s.role for s in findings.services] == ["api", "worker"]
    assert findings.questions == ()


def test_prebuilt_images_in_compose() -> None:
    compose = """services:
  api:
    image: registry.example.com/acme/helpdesk:7
    command: uvicorn src.main:app --host 0.0.0.0 --port 8000
  worker:
    image: registry.example.com/acme/helpdesk:7
    command: python -m src.workers.message_processor
  postgres:
    image: pgvector/pgvector:pg17
"""
    texts = edited(remove=("backend/Dockerfile",), add={"docker-compose.yml": compose})
    services = {s.role: s for s in found(texts).services}
    assert set(services) == {"api", "worker", "web"}
    assert services["api"].image == services["worker"].image == "registry.example.com/acme/helpdesk:7"
    only_compose = found({"docker-compose.yml": compose})
    assert [(s.role, s.image, s.path) for s in only_compose.services] == [
        ("api", "registry.example.com/acme/helpdesk:7", None),
        ("worker", "registry.example.com/acme/helpdesk:7", None),
    ]


def test_a_flat_project_at_the_root() -> None:
    findings = found(
        {
            "main.py": 'import os\nfrom fastapi import FastAPI\napp = FastAPI()\nKEY = os.environ["API_KEY"]\n\n@app.get("/healthz")\ndef healthz():\n    return {}\n',
            "requirements.txt": "fastapi\nuvicorn\n",
        }
    )
    (api,) = findings.services
    assert (api.path, api.command, api.port, api.health) == (
        ".",
        "uvicorn main:app --host 0.0.0.0 --port 8000",
        8000,
        "/healthz",
    )
    assert (api.dockerfile, api.package_manager) == (None, "pip")
    assert [(e.name, e.required, e.secret) for e in findings.env] == [("API_KEY", True, True)]


def test_a_factory_and_a_router_with_a_prefix() -> None:
    findings = found(
        {
            "app/web.py": 'from fastapi import FastAPI\nfrom app import health\n\ndef create_app() -> FastAPI:\n    app = FastAPI()\n    app.include_router(health.router, prefix="/api")\n    return app\n',
            "app/health.py": 'from fastapi import APIRouter\nrouter = APIRouter()\n\n@router.get("/health")\nasync def health():\n    return {}\n',
            "app/__init__.py": "",
            "requirements.txt": "fastapi\n",
        }
    )
    (api,) = findings.services
    assert api.command == "uvicorn app.web:create_app --factory --host 0.0.0.0 --port 8000"
    assert api.health == "/api/health"


def test_two_applications_are_a_question_and_the_answer_settles_it() -> None:
    text = "from fastapi import FastAPI\napp = FastAPI()\n"
    texts = {"one/main.py": text, "two/main.py": text, "requirements.txt": "fastapi\n"}
    findings = found(texts)
    (question,) = findings.questions
    assert (question.id, question.choices) == ("service.api", ("one/main.py", "two/main.py", "none"))
    assert {(e.file, e.line) for e in question.evidence} == {("one/main.py", 2), ("two/main.py", 2)}
    assert findings.service("api") is None
    answered = found(texts, {"service.api": "two/main.py"})
    assert answered.questions == ()
    assert [s.application for s in answered.services] == ["two.main:app"]


def test_alembic_beside_sql_is_a_question() -> None:
    findings = found(edited(add={"backend/alembic.ini": "[alembic]\n"}))
    assert [q.id for q in findings.questions] == ["schema.method"]
    assert findings.database.schema.method is None
    answered = found(edited(add={"backend/alembic.ini": "[alembic]\n"}), {"schema.method": "alembic"})
    assert answered.database.schema.command == "alembic upgrade head"


@pytest.mark.parametrize(
    ("call", "capable"),
    [
        ('AIOKafkaConsumer("in", bootstrap_servers=x)', False),
        ('AIOKafkaConsumer("in", bootstrap_servers=x, security_protocol="SASL_SSL")', True),
        ("AIOKafkaConsumer(**settings_from_elsewhere)", None),
    ],
)
def test_whether_the_client_can_sign_in(call: str, capable: bool | None) -> None:
    text = f"import aiokafka\nfrom aiokafka import AIOKafkaConsumer\nc = {call}\nif __name__ == '__main__':\n    pass\n"
    broker = found({"worker.py": text, "requirements.txt": "aiokafka\n"}).broker
    assert broker.sasl_capable is capable
    assert broker.client == "aiokafka"


def test_a_confluent_dictionary_is_looked_into() -> None:
    text = "from confluent_kafka import Consumer\nconf = {{'bootstrap.servers': 'kafka:9092', 'group.id': 'g'{}}}\nc = Consumer(conf)\nif __name__ == '__main__':\n    pass\n"
    plain = found({"worker.py": text.format("")}).broker
    assert (plain.sasl_capable, plain.groups, plain.client) == (False, ("g",), "confluent-kafka")
    assert found({"worker.py": text.format(", 'sasl.username': u")}).broker.sasl_capable is True


@pytest.mark.parametrize(
    ("imports", "requirement", "driver", "scheme"),
    [
        (
            "from sqlalchemy.ext.asyncio import create_async_engine",
            "sqlalchemy\nasyncpg",
            "sqlalchemy+asyncpg",
            "postgresql+asyncpg",
        ),
        (
            "from sqlalchemy import create_engine",
            "sqlalchemy\npsycopg2-binary",
            "sqlalchemy+psycopg2",
            "postgresql",
        ),
        (
            "from sqlalchemy import create_engine",
            "sqlalchemy\npsycopg[binary]",
            "sqlalchemy+psycopg",
            "postgresql+psycopg",
        ),
        ("import psycopg", "psycopg", "psycopg", "postgresql"),
        ("from sqlalchemy import create_engine", "sqlalchemy", None, None),
    ],
)
def test_drivers(imports: str, requirement: str, driver: str | None, scheme: str | None) -> None:
    text = f'import os\nfrom fastapi import FastAPI\n{imports}\napp = FastAPI()\nurl = os.environ["DATABASE_URL"]\n'
    database = found({"main.py": text, "requirements.txt": requirement + "\n"}).database
    assert (database.driver, database.dsn_scheme, database.dsn_env) == (driver, scheme, "DATABASE_URL")


def test_code_that_strips_the_driver_gets_the_plain_scheme() -> None:
    text = 'import os\nfrom fastapi import FastAPI\nimport asyncpg\napp = FastAPI()\nurl = os.getenv("DATABASE_URL", "postgresql+asyncpg://localhost/x").replace("+asyncpg", "")\n'
    database = found({"main.py": text, "requirements.txt": "asyncpg\n"}).database
    assert database.rewrites_scheme
    assert database.dsn_scheme == "postgresql"


@pytest.mark.parametrize("texts", [{}, {"README.md": "# notes\n", "docs/plan.md": "later\n"}])
def test_no_project_ends_politely(texts: dict[str, str]) -> None:
    findings = found(texts)
    assert findings.kind == "unsupported"
    assert [(p.id, p.blocking) for p in findings.problems] == [("C-00", True)]
    assert findings.problems[0].message.endswith(".")
