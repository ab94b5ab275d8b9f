"""Owns the projects that the later preflight rules are shown on: where each speaks, and the nearest one where it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.projects import edited, example

API = "backend/Dockerfile"
WEB = "frontend/Dockerfile"
MAIN = "backend/src/main.py"
KAFKA = "backend/src/kafka_client.py"
WORKER = "backend/src/workers/message_processor.py"
COMPOSE = "docker-compose.yml"
NEEDS = "backend/requirements.txt"
CONFIG = "backend/fly.toml"
CMD = 'CMD ["uvicorn", "src.main:app", "--host", "0.0.0.0", "--port", "8000"]'
COPY = "COPY src ./src"
IMPORT = "from src import db\n"
FLY = """app = "helpdesk-api" # ours
primary_region = "ams"
[env]
  LOG_LEVEL = "info"
[processes]
  app = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
  worker = "python -m src.workers.message_processor"
[http_service]
  internal_port = 8000
  auto_stop_machines = "stop" # saves money
  min_machines_running = 0
  processes = ["app"]
[[vm]]
  memory = "1gb"
"""
ALEMBIC = {
    "backend/alembic.ini": "[alembic]\nscript_location = alembic\n",
    "backend/alembic/env.py": "from alembic import context\nfrom src.config import get_settings\n\ncontext.configure(url=get_settings().database_url)\n",
    "backend/alembic/versions/0001_first.py": "def upgrade():\n    pass\n",
}
UV = """FROM python:3.12-slim-bookworm
WORKDIR /app
RUN pip install uv
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-install-project
COPY src ./src
RUN useradd --system app
USER app
CMD ["uv", "run", "uvicorn", "src.main:app", "--host", "0.0.0.0", "--port", "8000"]
"""
PROJECT = '[project]\nname = "helpdesk"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = ["fastapi", "uvicorn", "pydantic-settings", "asyncpg", "aiokafka", "httpx"]\n'
LOCK = "version = 1\n" + "".join(
    f'\n[[package]]\nname = "{n}"\n'
    for n in ("fastapi", "uvicorn", "pydantic", "pydantic-settings", "asyncpg", "aiokafka", "httpx")
)
LOOP = "import asyncio\n\nfrom aiokafka import AIOKafkaConsumer\n\n\nasync def consume_forever():\n    source = AIOKafkaConsumer('inbound-messages', security_protocol='SASL_SSL')\n    await source.start()\n"
IN_API = (
    MAIN,
    '    logger.info("ready")\n',
    '    asyncio.create_task(consume_forever())\n    logger.info("ready")\n',
)
IN_API_IMPORT = (
    MAIN,
    "import hashlib\n",
    "import asyncio\nimport hashlib\n\nfrom src.background import consume_forever\n",
)


@dataclass(frozen=True)
class Case:
    """One rule: the texts that make it speak, where, how bad; and texts near them where it is silent."""

    rule: str
    texts: Mapping[str, str]
    file: str
    marker: str
    silent: Mapping[str, str]
    blocking: bool = True
    handled: bool = False
    fixable: bool = False
    when: str | None = None
    tracked: tuple[str, ...] = ()
    """What git tracks; empty: no repository."""


def fly(text: str = FLY, **more: str) -> dict[str, str]:
    """Return the example with a configuration of the API."""
    return edited(add={CONFIG: text, **more})


def uv(dockerfile: str = UV) -> dict[str, str]:
    """Return the example with uv."""
    return edited(
        add={API: dockerfile, "backend/pyproject.toml": PROJECT, "backend/uv.lock": LOCK},
        remove=(NEEDS,),
    )


def topics(sent: str, taken: str) -> dict[str, str]:
    """Return the example with two fixed topics."""
    return edited(
        (KAFKA, "send_and_wait(self.topic,", f"send_and_wait({sent},"),
        (KAFKA, "        settings.kafka_topic,\n", f"        {taken},\n"),
    )


LATE = (
    Case("C-25", edited((WORKER, IMPORT, "from backend.src import db\n"), add={"backend/__init__.py": ""}), WORKER, "from backend.src", edited((WORKER, IMPORT, "from backend.src import db\n"), (API, COPY, "COPY . ./backend\nCOPY src ./src"), add={"backend/__init__.py": ""})),
    Case("C-25", edited((COMPOSE, "python -m src.workers", "python -m backend.src.workers")), COMPOSE, "backend.src.workers", edited((COMPOSE, "python -m src.workers", "python -m backend.src.workers"), (API, COPY, "COPY src ./src\nCOPY src ./backend/src"))),
    Case("C-27", fly(FLY.replace('processes = ["app"]', 'processes = ["app", "worker"]')), CONFIG, 'processes = ["app", "worker"]', fly(), blocking=False, handled=True, fixable=True),
    Case("C-27", edited(IN_API, IN_API_IMPORT, add={CONFIG: FLY, "backend/src/background.py": LOOP}), CONFIG, "auto_stop_machines", edited(IN_API, IN_API_IMPORT, add={CONFIG: FLY.replace('"stop"', '"off"').replace("= 0", "= 1"), "backend/src/background.py": LOOP}), blocking=False, fixable=True),
    Case("C-27", edited(IN_API, IN_API_IMPORT, add={"backend/src/background.py": LOOP}), MAIN, "create_task", edited((MAIN, "    logger.info(\"ready\")\n", "    asyncio.create_task(warm_up())\n"), add={"backend/src/background.py": LOOP}), blocking=False, handled=True),
    Case("C-28", edited((COMPOSE, "python -m src.workers.message_processor", "celery -A src.jobs beat"), add={"backend/src/jobs.py": "from celery import Celery\nqueue = Celery()\n"}), COMPOSE, "celery", edited((COMPOSE, "python -m src.workers.message_processor", "celery -A src.jobs worker"), add={"backend/src/jobs.py": "from celery import Celery\nqueue = Celery()\n"}), blocking=False, handled=True),
    Case("C-28", edited((MAIN, "logger = logging", "jobs = AsyncIOScheduler()\nlogger = logging")), MAIN, "AsyncIOScheduler()", example(), blocking=False, handled=True),
    Case("C-29", edited((COMPOSE, "  web:\n", "  seed:\n    build: ./backend\n    command: python -m src.seed\n\n  web:\n")), COMPOSE, "seed:", example(), blocking=False),
    Case("C-29", edited((COMPOSE, "  web:\n", "  kafka-init:\n    image: apache/kafka:4.1.0\n    command: kafka-topics.sh --create\n\n  web:\n")), COMPOSE, "kafka-init:", edited((COMPOSE, "  web:\n", "  e2e-tests:\n    build: ./backend\n    command: pytest\n\n  web:\n")), blocking=False, handled=True),
    Case("C-41", example(), "database/schema.sql", "EXISTS vector", edited(remove=("database",)), when="database.kind=unmanaged"),
    Case("C-41", edited(("database/schema.sql", "EXISTS vector", "EXISTS timescaledb"), ("database/schema.sql", "embedding vector(1536)", "embedding text"), ("database/schema.sql", "CREATE INDEX IF NOT EXISTS articles_embedding ON articles USING hnsw (embedding vector_cosine_ops);", "")), "database/schema.sql", "timescaledb", edited(remove=("database",)), blocking=False, when="database.kind=managed"),
    Case("C-43", edited((".env.example", "DATABASE_URL=postgresql://helpdesk", "DATABASE_URL=postgresql+asyncpg://helpdesk")), ".env.example", "DATABASE_URL", edited((".env.example", "DATABASE_URL=postgresql://helpdesk", "DATABASE_URL=postgresql+asyncpg://helpdesk"), ("backend/src/db.py", "settings.database_url,", "settings.database_url.replace('+asyncpg', ''),")), blocking=False, handled=True),
    Case("C-43", edited(("backend/src/db.py", "import asyncpg\n", "from sqlalchemy.ext.asyncio import create_async_engine\nimport asyncpg\nengine = create_async_engine('postgresql+asyncpg://x' + \"?sslmode=require\")  # DATABASE_URL\n")), "backend/src/db.py", "sslmode", edited(("backend/src/db.py", "import asyncpg\n", "from sqlalchemy.ext.asyncio import create_async_engine\nimport asyncpg\nengine = create_async_engine('postgresql+asyncpg://x' + \"?ssl=require\")  # DATABASE_URL\n"))),
    Case("C-46", edited(add=ALEMBIC, remove=("database",)), API, "CMD", edited((API, COPY, "COPY src ./src\nCOPY alembic.ini ./\nCOPY alembic ./alembic"), add=ALEMBIC, remove=("database",)), fixable=True),
    Case("C-46", edited((API, COPY, "COPY . ."), add={**ALEMBIC, "backend/alembic/env.py": "import os\nfrom alembic import context\nURL = os.environ['MIGRATION_DATABASE_URL']\ncontext.configure(url=URL)\n"}, remove=("database",)), "backend/alembic/env.py", "URL = ", edited((API, COPY, "COPY . ."), add={**ALEMBIC, "backend/alembic/env.py": "import os\nfrom alembic import context\ncontext.configure(url=os.environ['DATABASE_URL'])\n"}, remove=("database",))),
    Case("C-46", edited((API, COPY, "COPY . ."), add={**ALEMBIC, "backend/alembic.ini": "[alembic]\nscript_location = alembic\nsqlalchemy.url = postgresql://x@localhost/x\n", "backend/alembic/env.py": "from sqlalchemy import engine_from_config\nfrom alembic import context\n\nconfig = context.config\nengine_from_config(config.get_section('alembic'))\n"}, remove=("database",)), "backend/alembic.ini", "sqlalchemy.url", edited((API, COPY, "COPY . ."), add={**ALEMBIC, "backend/alembic.ini": "[alembic]\nscript_location = alembic\nsqlalchemy.url = postgresql://x@localhost/x\n"}, remove=("database",))),
    Case("C-47", edited((WORKER, "text-embedding-3-small", "text-embedding-3-large")), WORKER, "text-embedding-3-large", edited((WORKER, '"text-embedding-3-small", "input": text', '"text-embedding-3-large", "input": text'), (WORKER, "import httpx\n", "import httpx\n\nshorter = dict(dimensions=1536)\n")), blocking=False),
    Case("C-62", edited((KAFKA, '"security_protocol": protocol,', '"security_protocol": protocol,\n        "sasl_mechanism": "SCRAM-SHA-256",')), KAFKA, "SCRAM-SHA-256", example(), fixable=True, when="broker.provider=confluent"),
    Case("C-62", fly(FLY.replace('LOG_LEVEL = "info"', 'KAFKA_SASL_MECHANISM = "SCRAM-SHA-256"')), CONFIG, "KAFKA_SASL_MECHANISM", fly(), blocking=False, handled=True, fixable=True),
    Case("C-63", edited((".env.example", "KAFKA_BOOTSTRAP_SERVERS=localhost:9092", "KAFKA_BOOTSTRAP_SERVERS=boot-x1.c2.kafka-serverless.us-east-1.amazonaws.com:9098")), ".env.example", "kafka-serverless", edited((".env.example", "KAFKA_BOOTSTRAP_SERVERS=localhost:9092", "KAFKA_BOOTSTRAP_SERVERS=b-1.desk.kafka.us-east-1.amazonaws.com:9096")), when="broker.provider=other"),
    Case("C-70", edited((NEEDS, "aiokafka==0.14.0\n", "")), KAFKA, "from aiokafka", edited((NEEDS, "aiokafka==0.14.0\n", ""), (API, "-r requirements.txt", "-r requirements.txt aiokafka")), fixable=True),
    Case("C-70", edited((WORKER, IMPORT, "import sendgrid\nfrom src import db\n")), WORKER, "sendgrid", edited((WORKER, IMPORT, "try:\n    import sendgrid\nexcept ImportError:\n    sendgrid = None\nfrom src import db\n")), fixable=True),
    Case("C-70", {**uv(), WORKER: example()[WORKER].replace(IMPORT, "import tenacity\nfrom src import db\n")}, WORKER, "tenacity", uv()),
    Case("C-82", fly(FLY + '[[mounts]]\nsource = "data"\ndestination = "/data"\nprocesses = ["app", "worker"]\n'), CONFIG, '"app", "worker"', fly(FLY + '[[mounts]]\nsource = "data"\ndestination = "/data"\nprocesses = ["worker"]\n')),
    Case("C-82", fly(FLY.replace("running = 0", "running = 2") + '[mounts]\nsource = "data"\ndestination = "/data"\n'), CONFIG, "min_machines_running", fly(FLY + '[mounts]\nsource = "data"\ndestination = "/data"\n')),
    Case("C-83", fly(**{"frontend/fly.toml": 'app = "helpdesk-web"\nprimary_region = "iad" # near Mo\n'}), "frontend/fly.toml", "iad", fly(**{"frontend/fly.toml": 'app = "helpdesk-web"\nprimary_region = "ams"\n'}), blocking=False, handled=True, fixable=True),
    Case("C-90", edited((MAIN, "import BaseModel, Field", "import BaseModel, EmailStr, Field"), (MAIN, "    email: str = Field(pattern=r\"^[^@\\s]+@[^@\\s]+$\", max_length=254)", "    email: EmailStr")), MAIN, "email: EmailStr", edited((MAIN, "import BaseModel, Field", "import BaseModel, EmailStr, Field")), fixable=True),
    Case("C-90", {**uv(), MAIN: example()[MAIN].replace("import BaseModel, Field", "import BaseModel, EmailStr, Field").replace("    email: str", "    mail: EmailStr\n    email: str")}, MAIN, "mail: EmailStr", {**uv(), "backend/uv.lock": LOCK + '\n[[package]]\nname = "email-validator"\n', MAIN: example()[MAIN].replace("import BaseModel, Field", "import BaseModel, EmailStr, Field").replace("    email: str", "    mail: EmailStr\n    email: str")}),
    Case("C-92", uv(), API, '"uv", "run"', uv(UV.replace("COPY src", "COPY --chown=app src")), fixable=True),
    Case("C-94", edited((KAFKA, "from aiokafka import AIOKafkaConsumer, AIOKafkaProducer\n", "try:\n    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer\nexcept ImportError:\n    AIOKafkaProducer = None\n")), KAFKA, "except ImportError", edited((KAFKA, "from aiokafka import AIOKafkaConsumer, AIOKafkaProducer\n", "try:\n    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer\nexcept ImportError:\n    raise SystemExit('install aiokafka') from None\n")), blocking=False),
    Case("C-94", edited((KAFKA, "        await self._producer.start()\n", "        try:\n            await self._producer.start()\n        except Exception:\n            self._producer = None\n")), KAFKA, "except Exception", edited((KAFKA, "        await self._producer.start()\n", "        try:\n            await self._producer.start()\n        except Exception:\n            self._producer = None\n            raise\n")), blocking=False),
    Case("C-95", topics('"inbound"', '"inbound-messages"'), KAFKA, 'send_and_wait("inbound"', topics('"inbound-messages"', "settings.kafka_topic"), blocking=False),
    Case("C-96", edited((WORKER, "        await source.start()\n", "        for attempt in range(5):\n            try:\n                await source.start()\n                break\n            except OSError:\n                await asyncio.sleep(2)\n"), (WORKER, "import httpx\n", "import aiokafka\nimport httpx\n")), WORKER, "range(5)", example(), blocking=False, handled=True),
    Case("C-97", edited((KAFKA, '"security_protocol": protocol,', '"security_protocol": "SASL_SSL",')), KAFKA, '"SASL_SSL"', example(), when="broker.kind=plaintext"),
    Case("C-98", edited((WORKER, "    asyncio.run(run())\n", "    run()\n")), WORKER, "    run()", example()),
    Case("C-98", edited((KAFKA, "        await self._producer.stop()\n", "        await self.flush()\n")), KAFKA, "self.flush()", edited((KAFKA, "        await self._producer.stop()\n", "        await self.flush()\n"), (KAFKA, "class Producer:\n", "class Producer:\n    async def flush(self) -> None:\n        return None\n\n"))),
    Case("C-99", edited(("backend/.dockerignore", "tests", "tests\nrequirements*.txt")), "backend/.dockerignore", "requirements", edited(("backend/.dockerignore", "tests", "tests\nrequirements*.txt\n!requirements.txt")), fixable=True),
    Case("C-99", edited((".gitignore", ".venv", "package-lock.json\n.venv"), remove=("frontend/package-lock.json",)), ".gitignore", "package-lock.json", edited(remove=("frontend/package-lock.json",)), blocking=False, fixable=True),
    Case("C-100", edited(("database/schema.sql", "customer_id uuid NOT NULL REFERENCES customers (id)", "customer_id uuid NOT NULL REFERENCES auth.users (id)")), "database/schema.sql", "auth.users", edited(("database/schema.sql", "-- Helpdesk:", "-- auth.users was here. Helpdesk:")), when="database.kind=managed"),
    Case("C-100", edited(("frontend/package.json", '"next":', '"@neondatabase/serverless": "^1.0.0",\n    "next":'), ("frontend/app/page.tsx", 'import { type', 'import { neon } from "@neondatabase/serverless";\nimport { type')), "frontend/app/page.tsx", "neondatabase", edited(("frontend/package.json", '"next":', '"@neondatabase/serverless": "^1.0.0",\n    "next":')), when="database.kind=managed"),
    Case("C-101", edited(("backend/src/config.py", "@lru_cache\n", "import os\nINSIDE = os.path.exists('/.dockerenv')\n\n\n@lru_cache\n")), "backend/src/config.py", "/.dockerenv", example(), blocking=False),
    Case("C-102", edited(IN_API, IN_API_IMPORT, add={"backend/src/background.py": LOOP}), MAIN, "create_task", edited((MAIN, "import hashlib\n", "import asyncio\nimport hashlib\n"), (MAIN, "    logger.info(\"ready\")\n", "    asyncio.create_task(asyncio.sleep(1))\n")), blocking=False),
    Case("C-103", edited(add={"scripts/load.sh": "#!/bin/sh\nexport MAIL_API_KEY=q8Zt31LmVw02RrTbY77x\n"}), "scripts/load.sh", "MAIL_API_KEY", edited(add={"scripts/load.sh": "#!/bin/sh\nexport MAIL_API_KEY=your-mail-api-key-here1\nexport OTHER_API_KEY=$1\n"}), blocking=False, tracked=("scripts/load.sh",)),
    Case("C-104", edited(add={"frontend/public/widget.html": "<script>\n  fetch('http://localhost:8000/api/tickets');\n</script>\n"}), "frontend/public/widget.html", "localhost", edited(add={"frontend/public/widget.html": "<script>\n  fetch('/api/tickets');\n</script>\n"})),
    Case("C-104", edited(("frontend/app/page.tsx", 'process.env.NEXT_PUBLIC_API_URL ?? "";', '"https://desk.onrender.com";')), "frontend/app/page.tsx", "onrender", edited(add={"frontend/lib/map.ts": 'export const TILES = "https://tiles.example.com/{z}";\n'})),
)  # fmt: skip
