"""Preflight: for each rule a project where it speaks, one where it is silent, and its fix where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from flywizard.project import preflight
from flywizard.project.model import Objection
from flywizard.project.tree import Tree
from tests.support.preflight_late import LATE
from tests.support.projects import edited, example, found, objections

WEB = "frontend/Dockerfile"
API = "backend/Dockerfile"
CMD = 'CMD ["uvicorn", "src.main:app", "--host", "0.0.0.0", "--port", "8000"]'
FLY = """app = "helpdesk-api"
[env]
  LOG_LEVEL = "info"
[processes]
  app = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
  worker = "python -m src.workers.message_processor"
[http_service]
  internal_port = 8000
  processes = ["app"]
[[vm]]
  memory = "1gb"
"""


@dataclass(frozen=True)
class Case:
    """One rule: the edits that make it speak, where, and how bad."""

    rule: str
    texts: Mapping[str, str]
    file: str | None
    marker: str | None = None
    """A piece of the line that the objection names."""
    blocking: bool = True
    handled: bool = False
    fixable: bool = False
    when: str | None = None
    silent: Mapping[str, str] | None = None
    """Where it says nothing; default: the example."""


def fly(text: str = FLY, path: str = "backend/fly.toml") -> dict[str, str]:
    return edited(add={path: text})


CASES = (
    Case("C-01", edited(remove=("frontend/public",)), WEB, "/app/public", fixable=True),
    Case("C-02", edited(("frontend/next.config.ts", 'output: "standalone",', "")), WEB, "/app/.next/standalone", fixable=True),
    Case("C-03", edited((WEB, "node:22-", "node:18-")), WEB, "AS deps", fixable=True),
    Case("C-04", edited((WEB, "RUN npm ci", "RUN npm ci --only=production")), WEB, "npm ci", fixable=True),
    Case("C-05", edited((API, CMD, "")), API, "FROM", blocking=False, handled=True, fixable=True),
    Case("C-06", edited((API, "CMD [", "ENTRYPOINT [")), API, "ENTRYPOINT", fixable=True),
    Case("C-07", edited((WEB, "ARG NEXT_PUBLIC_API_URL\nENV NEXT_PUBLIC_API_URL=$NEXT_PUBLIC_API_URL\n", "")), WEB, "RUN npm run build", fixable=True),
    Case("C-08", fly('app = "helpdesk-web"\n[env]\nNEXT_PUBLIC_API_URL = "https://x.example"\n', "frontend/fly.toml"), "frontend/fly.toml", "NEXT_PUBLIC", blocking=False, fixable=True, silent=fly()),
    Case("C-09", edited((API, "COPY src ./src", "COPY src ./src\nCOPY ../database ./database")), API, "../database"),
    Case("C-09", edited((API, "COPY src ./src", "COPY source ./src")), API, "COPY source"),
    Case("C-09", edited(("backend/.dockerignore", "tests", "tests\nsrc")), API, "COPY src"),
    Case("C-10", edited(remove=("frontend/package-lock.json",)), WEB, "AS deps"),
    Case("C-10", edited(remove=("frontend/package-lock.json",), add={"frontend/yarn.lock": "# yarn\n"}), WEB, "AS deps"),
    Case("C-11", edited(remove=("backend/.dockerignore",)), None, blocking=False, handled=True, fixable=True),
    Case("C-11", edited(("frontend/.dockerignore", ".next\n", "")), "frontend/.dockerignore", ".git", blocking=False, fixable=True),
    Case("C-12", edited((API, "python:3.12-slim-bookworm", "python:3.12-alpine")), API, "FROM", blocking=False, fixable=True),
    Case("C-13", edited(("docker-compose.yml", "context: ./frontend", "context: ./frontend\n      dockerfile: Dockerfile.prod")), "docker-compose.yml", "Dockerfile.prod"),
    Case("C-13", fly(FLY + '[build]\ndockerfile = "docker/Dockerfile"\n'), "backend/fly.toml", "docker/Dockerfile", silent=fly()),
    Case("C-14", edited(("backend/requirements.txt", "fastapi==", "torch==2.5.0\nfastapi==")), "backend/requirements.txt", "torch", blocking=False),
    Case("C-15", edited((WEB, "ENV HOSTNAME=0.0.0.0\n", "")), WEB, "CMD", blocking=False, fixable=True),
    Case("C-16", edited((API, CMD, "CMD uvicorn src.main:app --host 0.0.0.0 --port 8000")), API, "CMD", blocking=False, fixable=True),
    Case("C-20", edited((API, '"0.0.0.0"', '"127.0.0.1"')), API, "CMD", fixable=True),
    Case("C-20", edited((API, '"--host", "0.0.0.0", ', "")), API, "CMD", fixable=True),
    Case("C-21", edited((API, "EXPOSE 8000", "EXPOSE 7860")), API, "EXPOSE", blocking=False, handled=True, fixable=True),
    Case("C-21", fly(FLY.replace("internal_port = 8000", "internal_port = 8080")), "backend/fly.toml", "internal_port", blocking=False, handled=True, fixable=True, silent=fly()),
    Case("C-22", edited(("docker-compose.yml", "src.workers.message_processor", "src.workers.processor")), "docker-compose.yml", "src.workers.processor"),
    Case("C-23", edited(("backend/src/workers/message_processor.py", 'if __name__ == "__main__":\n    asyncio.run(run())\n', "")), "backend/src/workers/message_processor.py", "async def run", fixable=True),
    Case("C-24", fly(FLY.replace('  processes = ["app"]\n', "")), "backend/fly.toml", "[http_service]", blocking=False, handled=True, fixable=True, silent=fly()),
    Case("C-24", fly(FLY.replace('processes = ["app"]', 'processes = ["web"]')), "backend/fly.toml", 'processes = ["web"]', fixable=True, silent=fly()),
    Case("C-26", edited(("docker-compose.yml", "command: python -m src.workers.message_processor", "command: python -m src.workers.message_processor --group $KAFKA_GROUP")), "docker-compose.yml", "KAFKA_GROUP", blocking=False, handled=True),
    Case("C-30", edited(("backend/src/main.py", '@app.get("/health")', '@app.get("/about")')), "backend/src/main.py", "app = FastAPI", blocking=False),
    Case("C-40", edited(("database/schema.sql", "EXISTS vector", 'EXISTS "pgvector"')), "database/schema.sql", "pgvector", fixable=True),
    Case("C-40", edited(("database/schema.sql", "EXISTS vector", "EXISTS vectorize_all")), "database/schema.sql", "vectorize_all"),
    Case("C-42", edited(("database/schema.sql", "status text NOT NULL", "number int AUTO_INCREMENT, status text NOT NULL")), "database/schema.sql", "AUTO_INCREMENT", when="database.kind=managed"),
    Case("C-44", example(), "database/schema.sql", "Helpdesk", blocking=False, handled=True, silent=edited(remove=("database",))),
    Case("C-45", edited(("backend/src/db.py", "max_size=settings.database_pool_size", "max_size=25")), "backend/src/db.py", "max_size=25", blocking=False),
    Case("C-60", edited(("backend/src/kafka_client.py", "AIOKafkaProducer(**connection(settings))", "AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)")), "backend/src/kafka_client.py", "AIOKafkaProducer(", when="broker.kind=sasl"),
    Case("C-61", edited((".env.example", "KAFKA_BOOTSTRAP_SERVERS=localhost:9092", "KAFKA_BOOTSTRAP_SERVERS=blue-kafka.upstash.io:9092")), ".env.example", "upstash", when="broker.provider=upstash"),
    Case("C-64", edited(("backend/src/config.py", "openai_api_key: str", "openai_api_key: str\n    tenant: str")), "backend/src/config.py", "tenant", blocking=False, handled=True),
    Case("C-64", edited(("frontend/app/page.tsx", "const API_URL", "const MAP = process.env.NEXT_PUBLIC_MAP_STYLE;\nconst API_URL")), "frontend/app/page.tsx", "MAP_STYLE"),
    Case("C-65", edited(("backend/src/config.py", "webhook_secret_key: str", 'webhook_secret_key: str = "your-webhook-secret-key"')), "backend/src/config.py", "webhook_secret_key", blocking=False, handled=True),
    Case("C-67", edited(("backend/src/config.py", "openai_api_key: str", "openai_api_key: str\n    mail_service_account_path: str")), "backend/src/config.py", "account_path"),
    Case("C-68", edited(("backend/src/main.py", "allow_origins=get_settings().cors_origins", 'allow_origins=["*"], allow_credentials=True')), "backend/src/main.py", "app.add_middleware", blocking=False),
    Case("C-68", edited(("backend/src/main.py", "allow_origins=get_settings().cors_origins", 'allow_origins=["http://localhost:3000"]')), "backend/src/main.py", "app.add_middleware", blocking=False),
    Case("C-69", edited(("frontend/app/page.tsx", "`${API_URL}/api/tickets`", '"http://localhost:8000/api/tickets"')), "frontend/app/page.tsx", "localhost", silent=edited(("frontend/app/page.tsx", '?? ""', '?? "http://localhost:8000"'))),
    Case("C-69", edited(("frontend/next.config.ts", 'output: "standalone",', 'output: "standalone",\n  async rewrites() { return [{ source: "/api/:p*", destination: "http://localhost:8000/:p*" }]; },')), "frontend/next.config.ts", "localhost"),
    Case("C-80", fly(FLY.replace("helpdesk-api", "helpdesk-REPLACE_ME")), "backend/fly.toml", "app =", blocking=False, handled=True, fixable=True, silent=fly()),
    Case("C-81", fly(FLY.replace("helpdesk-api", "Helpdesk_API")), "backend/fly.toml", "app =", blocking=False, handled=True, fixable=True, silent=fly()),
    Case("C-84", fly(FLY.replace("1gb", "256mb")), "backend/fly.toml", "memory", blocking=False, fixable=True, silent=fly()),
    Case("C-85", edited(add={"backend/fly.toml": FLY, "fly.toml": 'app = "helpdesk-api"\n'}), "backend/fly.toml", "app =", blocking=False, silent=fly()),
    Case("C-86", edited(add={"{{cookiecutter.slug}}/x.py": ""}), "{{cookiecutter.slug}}/x.py"),
    Case("C-87", fly("app = [\n"), "backend/fly.toml", silent=fly()),
    Case("C-87", edited(add={"docker-compose.yml": "services:\n  api: [\n"}), "docker-compose.yml", blocking=False),
    Case("C-91", edited((API, "RUN pip install --no-cache-dir -r requirements.txt", "RUN pip install uv && uv sync --locked"), add={"backend/uv.lock": "", "backend/pyproject.toml": "[project]\nname='x'\n"}), API, "CMD", fixable=True, silent=edited((API, "RUN pip install --no-cache-dir -r requirements.txt", 'RUN pip install uv && uv sync --locked\nENV PATH="/app/.venv/bin:$PATH"'), add={"backend/uv.lock": ""})),
    Case("C-93", fly(FLY.replace('LOG_LEVEL = "info"', 'CORS_ORIGINS = "https://helpdesk.example.com"')), "backend/fly.toml", "CORS_ORIGINS", blocking=False, handled=True, fixable=True, silent=fly(FLY.replace('LOG_LEVEL = "info"', "CORS_ORIGINS = '[\"https://helpdesk.example.com\"]'"))),
    Case("C-101", edited((API, '"--port", "8000"]', '"--port", "8000", "--reload"]')), API, "CMD", blocking=False, fixable=True),
)  # fmt: skip


def name(case: Case) -> str:
    return case.rule


@pytest.mark.parametrize("case", CASES, ids=name)
def test_it_speaks(case: Case) -> None:
    said = objections(case.texts, case.rule)
    assert said, f"{case.rule} is silent"
    first = said[0]
    assert (first.file, first.blocking, first.handled, first.when) == (
        case.file,
        case.blocking,
        case.handled,
        case.when,
    )
    assert first.fixable is case.fixable
    if case.marker is not None:
        assert first.line is not None
        assert case.file is not None
        assert case.marker in case.texts[case.file].split("\n")[first.line - 1]
    assert first.message.endswith((".", "`"))
    assert first.remedy
    assert not any(o.blocking and o.handled for o in said)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_it_is_silent_where_all_is_well(case: Case) -> None:
    assert objections(case.silent if case.silent is not None else example(), case.rule) == []


@pytest.mark.parametrize("case", [c for c in CASES if c.fixable], ids=name)
def test_its_fix_mends_it(case: Case) -> None:
    tree = Tree.of(case.texts)
    texts = dict(case.texts)
    for _ in range(4):
        said = objections(texts, case.rule)
        if not said:
            break
        changes = preflight.fix(said[0], Tree.of(texts))
        assert changes
        assert all(change.before == texts.get(change.path) for change in changes)
        texts |= {change.path: change.after for change in changes}
    assert objections(texts, case.rule) == []
    before = {o.id for o in found(case.texts).problems if o.blocking}
    assert {o.id for o in found(texts).problems if o.blocking} <= before - {case.rule}
    assert Tree.of(case.texts).sizes == tree.sizes


def test_every_rule_has_a_case() -> None:
    elsewhere = {"C-00", "C-66"}
    late = {c.rule for c in LATE}
    assert {r.id for r in preflight.RULES} - elsewhere == {c.rule for c in CASES} | late
    ids = [r.id for r in preflight.RULES]
    assert len(ids) == len(set(ids))


def test_a_fixable_objection_has_a_rule_with_a_fix() -> None:
    for case in CASES:
        for objection in found(case.texts).problems:
            if objection.fixable:
                assert preflight.fix(objection, Tree.of(case.texts)), objection


def test_no_fix_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        preflight.fix(Objection("C-44", False, "", ""), Tree.of({}))


def test_blocking_depends_on_the_choice() -> None:
    texts = edited(
        (
            "backend/src/kafka_client.py",
            "AIOKafkaProducer(**connection(settings))",
            "AIOKafkaProducer(bootstrap_servers='x')",
        )
    )
    (objection,) = objections(texts, "C-60")
    assert preflight.blocks(objection, database="managed", broker="sasl")
    assert not preflight.blocks(objection, database="managed", broker="plaintext")
    assert "ssl_context" in objection.remedy


def test_no_objection_ever_shows_a_value_of_an_env_file() -> None:
    marked = "sk-live-5f1f3a"
    texts = edited(add={".env": f"OPENAI_API_KEY={marked}\n", "backend/fly.toml": FLY})
    assert marked not in str(found(texts).to_json())
