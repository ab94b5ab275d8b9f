"""Layouts seen in real projects, in small: what is found in them, and what preflight says."""

from __future__ import annotations

import json

from flywizard.project.propose import propose
from tests.support.projects import found, stopping

APP = "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/health')\ndef health():\n    return {}\n"


def test_a_root_image_that_copies_a_folder() -> None:
    findings = found(
        {
            "Dockerfile": 'FROM python:3.12-slim\nWORKDIR /app\nCOPY backend/ .\nRUN pip install -r requirements.txt\nEXPOSE 7860\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "7860"]\n',
            "backend/main.py": APP,
            "backend/requirements.txt": "fastapi\n",
            "docker-compose.yml": "services:\n  api:\n    build: .\n    ports: ['8000:8000']\n",
            ".dockerignore": ".env\n.venv\n",
        }
    )
    api = findings.service("api")
    assert api is not None
    assert (api.path, api.dockerfile, api.port, api.entry_file) == (
        ".",
        "Dockerfile",
        7860,
        "backend/main.py",
    )
    said = {p.id: p for p in findings.problems}
    assert said["C-21"].handled
    assert (said["C-21"].file, said["C-21"].line) == ("docker-compose.yml", 4)
    assert not [p for p in findings.problems if p.blocking]


def test_flat_folders_with_two_images() -> None:
    findings = found(
        {
            "api/main.py": APP,
            "workers/consume.py": "from aiokafka import AIOKafkaConsumer\n\nasync def main():\n    AIOKafkaConsumer('in', bootstrap_servers='kafka:9092')\n\nif __name__ == '__main__':\n    import asyncio\n    asyncio.run(main())\n",
            "requirements.txt": "fastapi\naiokafka\n",
            "docker-compose.yml": "services:\n  api:\n    build: {context: ., dockerfile: api/Dockerfile}\n  consumer:\n    build: {context: ., dockerfile: workers/Dockerfile}\n    command: ['python', 'workers/consume.py']\n  kafka:\n    image: apache/kafka:4.1.0\n",
            "api/Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nCMD ["uvicorn", "api.main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
            "workers/Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nCMD ["python", "workers/consume.py"]\n',
        }
    )
    assert [(s.name, s.path, s.dockerfile, s.command) for s in findings.services] == [
        ("api", ".", "api/Dockerfile", "uvicorn api.main:app --host 0.0.0.0 --port 8000"),
        ("worker", ".", "workers/Dockerfile", "python workers/consume.py"),
    ]
    spec = propose(findings, project="desk", organization="acme", region="ams")
    assert [(s.app, s.config) for s in spec.services.values()] == [
        ("desk-api", "fly.toml"),
        ("desk-worker", "fly.worker.toml"),
    ]
    assert findings.broker.sasl_capable is False
    assert {p.when for p in findings.problems if p.blocking} == {"broker.kind=sasl"}


def test_several_workers_keep_their_names_and_one_shots_are_none() -> None:
    worker = "from aiokafka import AIOKafkaConsumer\nif __name__ == '__main__':\n    AIOKafkaConsumer('t', security_protocol='SASL_SSL')\n"
    findings = found(
        {
            "Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
            "main.py": APP,
            "jobs/inbound.py": worker,
            "jobs/retry.py": worker,
            "jobs/seed.py": "print(1)\n",
            "docker-compose.yml": "services:\n  api: {build: .}\n  inbound: {build: ., command: python -m jobs.inbound}\n  retry: {build: ., command: python -m jobs.retry}\n  seed: {build: ., command: python -m jobs.seed}\n  kafka-init: {image: 'apache/kafka:4.1.0', command: x}\n",
        }
    )
    assert [(s.role, s.name) for s in findings.services] == [
        ("api", "api"),
        ("worker", "inbound"),
        ("worker", "retry"),
    ]
    spec = propose(findings, project="desk", organization="acme", region="ams")
    assert {s.app for s in spec.services.values()} == {"desk-api"}
    assert [spec.group_of(n) for n in spec.services] == ["app", "inbound", "retry"]


def test_a_celery_worker() -> None:
    findings = found(
        {
            "Dockerfile": 'FROM python:3.12-slim\nCOPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
            "main.py": APP,
            "tasks.py": "from celery import Celery\nqueue = Celery()\n",
            "docker-compose.yml": "services:\n  api: {build: .}\n  jobs: {build: ., command: celery -A tasks worker}\n",
        }
    )
    worker = findings.service("worker")
    assert worker is not None
    assert (worker.command, worker.framework) == ("celery -A tasks worker", "celery")
    assert not [p for p in findings.problems if p.blocking]


def test_uv_and_a_vite_frontend() -> None:
    findings = found(
        {
            "backend/pyproject.toml": "[project]\nname = 'x'\nrequires-python = '>=3.13'\ndependencies = ['fastapi', 'asyncpg']\n",
            "backend/uv.lock": "version = 1\n",
            "backend/app/main.py": APP,
            "web/package.json": json.dumps({"devDependencies": {"vite": "7.0.0"}}),
            "web/package-lock.json": "{}",
            "web/src/main.ts": "const url = import.meta.env.VITE_API_URL;\n",
        }
    )
    api, web = findings.service("api"), findings.service("web")
    assert api is not None
    assert web is not None
    assert (api.package_manager, api.runtime, api.command) == (
        "uv",
        "3.13",
        "uvicorn app.main:app --host 0.0.0.0 --port 8000",
    )
    assert (web.framework, web.public_names) == ("vite", ("VITE_API_URL",))
    assert stopping(findings) == []


def test_a_project_with_many_traps() -> None:
    """A plan exists, two half-filled configurations exist, and a first deployment fails in many places."""
    findings = found(
        {
            "backend/fly.toml": '# change the name!\napp = "desk-api-REPLACE_ME"\nprimary_region = "iad"\n\n[env]\n  KAFKA_SECURITY_PROTOCOL = "SASL_SSL"\n  KAFKA_SASL_MECHANISM = "SCRAM-SHA-256"\n\n[processes]\n  web = "uvicorn src.main:app --host 0.0.0.0 --port 8000"\n  worker = "python -m src.worker"\n\n[http_service]\n  internal_port = 8000\n  processes = ["web"]\n',
            "backend/Dockerfile": 'FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY src ./src\nCMD ["uvicorn", "src.main:app", "--host", "0.0.0.0", "--port", "8000"]\n',
            "backend/requirements.txt": "fastapi\naiokafka\nasyncpg\npydantic-settings\n",
            "backend/pyproject.toml": "[tool.ruff]\nline-length = 100\n",
            "backend/uv.lock": "version = 1\n",
            "backend/src/__init__.py": "",
            "backend/src/settings.py": "import os\nDATABASE_URL = os.getenv('DATABASE_URL', 'postgresql+asyncpg://u:p@localhost/db').replace('+asyncpg', '')\nWEBHOOK_SECRET_KEY = os.getenv('WEBHOOK_SECRET_KEY', 'your-webhook-secret-key')\nGMAIL_SERVICE_ACCOUNT_PATH = os.environ['GMAIL_SERVICE_ACCOUNT_PATH']\nPROTOCOL = os.getenv('KAFKA_SECURITY_PROTOCOL', 'PLAINTEXT')\nMECHANISM = os.getenv('KAFKA_SASL_MECHANISM')\nUSER = os.getenv('KAFKA_SASL_USERNAME')\nPASSWORD = os.getenv('KAFKA_SASL_PASSWORD')\nSERVERS = os.getenv('KAFKA_BOOTSTRAP_SERVERS', 'desk-kafka.upstash.io:9092')\n",
            "backend/src/main.py": "from fastapi import FastAPI\nfrom fastapi.middleware.cors import CORSMiddleware\nimport asyncpg\nfrom src import settings\napp = FastAPI()\napp.add_middleware(CORSMiddleware, allow_origins=['*'], allow_credentials=True)\n\nasync def pool():\n    return await asyncpg.create_pool(settings.DATABASE_URL, min_size=10, max_size=25)\n\n@app.get('/health')\nasync def health():\n    return {'ok': True}\n\n@app.get('/ready')\nasync def ready():\n    await pool()\n",
            "backend/src/worker.py": "import asyncio\nfrom aiokafka import AIOKafkaConsumer\nfrom src import settings, main\n\nasync def run():\n    AIOKafkaConsumer('in', bootstrap_servers=settings.SERVERS, security_protocol=settings.PROTOCOL, sasl_mechanism=settings.MECHANISM, sasl_plain_username=settings.USER, sasl_plain_password=settings.PASSWORD, group_id='desk')\n\nif __name__ == '__main__':\n    asyncio.run(run())\n",
            "schema.sql": 'CREATE EXTENSION IF NOT EXISTS vector;\nCREATE EXTENSION IF NOT EXISTS "uuid-ossp";\nCREATE TABLE m (id uuid, e vector(1536));\nCREATE INDEX ON m USING hnsw (e vector_cosine_ops);\n',
            "run_worker.py": "from backend.src.worker import run\nrun()\n",
            "docker-compose.yml": "services:\n  postgres:\n    image: pgvector/pgvector:pg17\n  kafka:\n    image: apache/kafka:4.1.0\n",
            "frontend/package.json": json.dumps(
                {
                    "dependencies": {"next": "16.1.0"},
                    "devDependencies": {"tailwindcss": "4", "typescript": "5"},
                }
            ),
            "frontend/package-lock.json": "{}",
            "frontend/next.config.js": "module.exports = {\n  output: 'standalone',\n};\n",
            "frontend/app/page.tsx": "const url = process.env.NEXT_PUBLIC_API_URL || 'http://localhost:8000';\n",
            "frontend/Dockerfile": 'FROM node:22-slim AS deps\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci --only=production\nFROM node:22-slim AS builder\nWORKDIR /app\nCOPY --from=deps /app/node_modules ./node_modules\nCOPY . .\nRUN npm run build\nFROM node:22-slim\nWORKDIR /app\nCOPY --from=builder /app/public ./public\nCOPY --from=builder /app/.next/standalone ./\nHEALTHCHECK CMD curl -f http://localhost:3000/api/health\nEXPOSE 3000\nCMD ["node", "server.js"]\n',
        }
    )
    api, worker = findings.service("api"), findings.service("worker")
    assert api is not None
    assert worker is not None
    assert (api.group, api.health, api.deep_health, api.package_manager) == (
        "web",
        "/health",
        "/ready",
        "pip",
    )
    assert worker.entry_file == "backend/src/worker.py"
    assert findings.database.rewrites_scheme
    assert findings.database.dsn_scheme == "postgresql"
    assert findings.database.schema.files == ("schema.sql",)
    assert [e.name for e in findings.database.extensions] == ["vector", "uuid-ossp"]
    assert findings.broker.sasl_capable is True
    blocking = {p.id for p in stopping(findings, provider="upstash")}
    assert blocking == {"C-01", "C-04", "C-07", "C-61", "C-67"}
    assert {"C-11", "C-15", "C-44", "C-45", "C-65", "C-68", "C-80"} <= {
        p.id for p in findings.problems
    } - blocking
    spec = propose(findings, project="desk", organization="acme", region="iad")
    assert (spec.services["api"].app, spec.group_of("api")) == ("desk-api", "web")
    assert spec.secrets["WEBHOOK_SECRET_KEY"].source == "generated"
