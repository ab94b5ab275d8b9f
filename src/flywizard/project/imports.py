"""Owns which distribution an imported module comes from, and what a build context declares to be installed. Pure."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from flywizard.project.compose import join
from flywizard.project.dockerfile import Dockerfile
from flywizard.project.tree import Tree

DISTRIBUTIONS = {
    "aioboto3": "aioboto3", "aiofiles": "aiofiles", "aiohttp": "aiohttp", "aiokafka": "aiokafka",
    "aiosmtplib": "aiosmtplib", "alembic": "alembic", "anthropic": "anthropic", "apscheduler": "apscheduler",
    "argon2": "argon2-cffi", "arq": "arq", "asyncpg": "asyncpg", "bcrypt": "bcrypt", "boto3": "boto3",
    "bs4": "beautifulsoup4", "cachetools": "cachetools", "celery": "celery", "chromadb": "chromadb",
    "cohere": "cohere", "confluent_kafka": "confluent-kafka", "croniter": "croniter", "cryptography": "cryptography",
    "dateutil": "python-dateutil", "decouple": "python-decouple", "dotenv": "python-dotenv",
    "email_validator": "email-validator", "fastapi": "fastapi", "faststream": "faststream", "faust": "faust-streaming",
    "fitz": "pymupdf", "google_auth_oauthlib": "google-auth-oauthlib", "googleapiclient": "google-api-python-client",
    "gunicorn": "gunicorn", "httpx": "httpx", "jinja2": "jinja2", "jose": "python-jose", "jwt": "pyjwt",
    "kafka": "kafka-python", "langchain": "langchain", "langchain_openai": "langchain-openai",
    "langgraph": "langgraph", "limits": "limits", "loguru": "loguru", "mangum": "mangum", "motor": "motor",
    "msgpack": "msgpack", "nltk": "nltk", "numpy": "numpy", "openai": "openai", "opentelemetry": "opentelemetry-api",
    "orjson": "orjson", "pandas": "pandas", "passlib": "passlib", "pgvector": "pgvector", "PIL": "pillow",
    "prometheus_client": "prometheus-client", "prometheus_fastapi_instrumentator": "prometheus-fastapi-instrumentator",
    "psutil": "psutil", "psycopg": "psycopg", "psycopg2": "psycopg2", "pydantic": "pydantic",
    "pydantic_settings": "pydantic-settings", "pymongo": "pymongo", "pypdf": "pypdf", "pytz": "pytz",
    "qdrant_client": "qdrant-client", "redis": "redis", "requests": "requests", "resend": "resend",
    "sendgrid": "sendgrid", "sentence_transformers": "sentence-transformers", "sentry_sdk": "sentry-sdk",
    "sklearn": "scikit-learn", "slack_sdk": "slack-sdk", "slowapi": "slowapi", "sqlalchemy": "sqlalchemy",
    "sqlmodel": "sqlmodel", "sse_starlette": "sse-starlette", "starlette": "starlette", "stripe": "stripe",
    "structlog": "structlog", "supabase": "supabase", "tenacity": "tenacity", "tiktoken": "tiktoken",
    "torch": "torch", "tortoise": "tortoise-orm", "transformers": "transformers", "twilio": "twilio",
    "ulid": "python-ulid", "uvicorn": "uvicorn", "websockets": "websockets", "yaml": "pyyaml",
}  # fmt: skip
"""Import name to distribution, for what such projects use; other names are never judged."""

ALSO: dict[str, tuple[str, ...]] = {
    "psycopg2": ("psycopg2-binary", "psycopg2cffi"),
    "psycopg": ("psycopg-binary",),
    "kafka-python": ("kafka-python-ng",),
    "python-jose": ("python-jose-cryptodome",),
    "faust-streaming": ("faust",),
    "redis": ("redis-py", "hiredis"),
    "pyjwt": ("jwt",),
    "torch": ("torch-cpu",),
    "pymupdf": ("pymupdf4llm",),
}
"""Other distributions that hold the same module."""

SELDOM_BROUGHT = frozenset(
    {"aiokafka", "confluent-kafka", "kafka-python", "asyncpg", "psycopg2", "twilio", "sendgrid", "resend", "pgvector", "stripe",
     "alembic", "sqlmodel", "celery", "arq", "apscheduler", "passlib", "python-jose", "python-decouple", "fastapi", "slowapi",
     "prometheus-fastapi-instrumentator", "anthropic", "motor", "aiosmtplib", "mangum", "faust-streaming", "faststream",
     "sentence-transformers", "google-api-python-client", "structlog", "loguru", "sentry-sdk"}
)  # fmt: skip
"""Distributions that hardly anything installs by the way."""

BROUGHT_BY: dict[str, tuple[str, ...]] = {
    "aiokafka": ("faststream[kafka]", "faust-streaming", "faust"),
    "confluent-kafka": ("faststream[confluent]",),
    "asyncpg": ("tortoise-orm[asyncpg]", "databases[asyncpg]", "databases[postgresql]", "sqlalchemy[postgresql-asyncpg]",
                "piccolo[postgres]", "gino", "procrastinate"),
    "psycopg2": ("sqlalchemy[postgresql]", "sqlalchemy[postgresql-psycopg2binary]", "databases[postgresql]"),
    "fastapi": ("fastapi-users", "sqladmin", "chromadb", "fastapi-cli", "prefect", "litellm[proxy]"),
    "email-validator": ("fastapi[standard]", "fastapi[all]", "fastapi[standard-no-fastapi-cloud-cli]", "pydantic[email]",
                        "fastapi-users", "fastapi-mail", "wtforms[email]", "fastapi-cli[standard]", "fastapi-cloud-cli"),
    "pydantic-settings": ("fastapi[all]", "fastapi[standard]", "fastapi-mail", "mcp", "langchain-community", "pydantic[settings]"),
    "passlib": ("passlib", "fastapi-users"),
    "sqlmodel": ("fastapi-crudrouter",),
    "alembic": ("sqladmin", "mlflow", "flask-migrate"),
    "celery": ("flower", "celery"),
    "loguru": ("fastapi-crons",),
    "sentence-transformers": ("langchain-huggingface", "haystack-ai", "txtai"),
    "anthropic": ("langchain-anthropic", "instructor[anthropic]"),
    "apscheduler": ("fastapi-utils", "python-telegram-bot"),
    "google-api-python-client": ("google-generativeai", "gspread", "langchain-google-community"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Declared:
    """What a context says is installed."""

    names: frozenset[str]
    """Normalised; with extras also ``name[extra]``."""
    complete: bool
    """Everything that is installed could be read."""
    locked: bool
    """A lock file names the whole closure."""
    file: str | None
    """The file to add a line to."""
    line: int = 1

    def has(self, distribution: str) -> bool:
        """Tell whether a distribution is installed, directly or by one that is known to bring it."""
        wanted = (distribution, *ALSO.get(distribution, ()), *BROUGHT_BY.get(distribution, ()))
        return any(name in self.names for name in wanted)

    def lacks(self, distribution: str) -> bool:
        """Tell whether a distribution is certainly not installed."""
        if not self.complete or self.has(distribution):
            return False
        return self.locked or distribution in SELDOM_BROUGHT or distribution == "email-validator"


def normal(name: str) -> str:
    """Return a distribution's normalised name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_standard(module: str) -> bool:
    """Tell whether a top-level module is Python's own."""
    return module in sys.stdlib_module_names or module == "__future__"


def distribution_of(module: str) -> str | None:
    """Return the distribution of a dotted module, or None where it is not known."""
    return DISTRIBUTIONS.get(module.split(".")[0])


_SPEC = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^\]]*)\])?\s*(.*)$")


def _names(spec: str) -> Iterator[str]:
    found = _SPEC.match(spec)
    if found:
        name = normal(found[1])
        yield name
        for extra in (found[2] or "").split(","):
            if extra.strip():
                yield f"{name}[{normal(extra.strip())}]"


def declared(tree: Tree, context: str, image: Dockerfile | None = None) -> Declared | None:
    """Return what a build context declares, or None where no dependency file was found.

    Requirements, PEP 621, Poetry and dependency groups, lock files, and what the image's ``RUN pip install``
    names. ``complete`` is False wherever something could not be followed.
    """
    names: set[str] = set()
    complete, locked = True, False
    file: str | None = None
    folders = [context, *(str(p) for p in PurePosixPath(context).parents)] if context != "." else ["."]
    found = False
    for folder in folders:
        for other in (
            "setup.py",
            "setup.cfg",
            "Pipfile",
            "environment.yml",
            "environment.yaml",
            "conda.yml",
            "pdm.lock",
        ):
            complete = complete and (join(folder, other) or "") not in tree
        for name in ("pyproject.toml", "requirements.txt"):
            path = join(folder, name) or name
            text = tree.text(path) if path in tree else None
            if text is None:
                complete = complete and path not in tree
                continue
            here, whole = _project(text) if name == "pyproject.toml" else _requirements(tree, path, text)
            if here is None:
                continue
            found = True
            names |= here
            complete = complete and whole
            if file is None or name == "requirements.txt":
                file = path if file is None or folder == context else file
        for name in ("uv.lock", "poetry.lock"):
            lock = tree.text(join(folder, name) or name)
            entries = re.findall(r'(?m)^name = "([^"]+)"', lock or "")
            if entries:
                names |= {normal(entry) for entry in entries}
                locked = True
            elif lock is not None:
                complete = False
    folder_files = (p for p in tree.under(context) if re.search(r"(^|/)requirements[\w./-]*\.(txt|in)$", p))
    for path in folder_files:
        if path != file:
            names |= _requirements(tree, path, tree.text(path) or "")[0] or set()
    if not found:
        return None
    if image is not None:
        more, whole = _image(image)
        names |= more
        complete = complete and whole
    return Declared(frozenset(names), complete, locked, file)


def _requirements(tree: Tree, path: str, text: str, depth: int = 0) -> tuple[set[str] | None, bool]:
    names: set[str] = set()
    complete = depth < 6
    folder = str(PurePosixPath(path).parent)
    for raw in text.replace("\\\n", " ").split("\n"):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        include = re.match(r"(?:-r|--requirement|-c|--constraint)[=\s]*(\S+)", line)
        if include:
            target = join(folder, include[1])
            inner = tree.text(target) if target else None
            if inner is None or depth >= 5:
                complete = False
            elif line.startswith(("-r", "--requirement")):
                more, whole = _requirements(tree, target or "", inner, depth + 1)
                names |= more or set()
                complete = complete and whole
        elif line.startswith("-"):
            complete = complete and not re.match(r"-e\b|--editable\b", line)
        elif "://" in line.split(" @ ")[0] or line.startswith((".", "/")):
            complete = False
        else:
            names.update(_names(line))
    return names, complete


def _project(text: str) -> tuple[set[str] | None, bool]:
    """Return (names, whole) of a pyproject.toml; None where it declares no dependencies."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return set(), False
    names: set[str] = set()
    project = data.get("project")
    tool = data.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    if not isinstance(project, dict) and not isinstance(poetry, dict):
        return None, True
    complete = True
    if isinstance(project, dict):
        dynamic = project.get("dynamic")
        complete = not (isinstance(dynamic, list) and "dependencies" in dynamic)
        optional = project.get("optional-dependencies")
        groups = data.get("dependency-groups")
        for specs in (
            project.get("dependencies"),
            *(optional.values() if isinstance(optional, dict) else ()),
            *(groups.values() if isinstance(groups, dict) else ()),
        ):
            names.update(_all(specs))
    if isinstance(poetry, dict):
        tables = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
        groups = poetry.get("group")
        tables += (
            [g.get("dependencies") for g in groups.values() if isinstance(g, dict)]
            if isinstance(groups, dict)
            else []
        )
        for table in tables:
            for name, value in table.items() if isinstance(table, dict) else ():
                names.add(normal(name))
                extras = value.get("extras") if isinstance(value, dict) else None
                names.update(f"{normal(name)}[{normal(str(e))}]" for e in extras or ())
                if isinstance(value, dict) and ("path" in value or "git" in value or "url" in value):
                    complete = False
    sources = (
        tool.get("uv", {}).get("sources")
        if isinstance(tool, dict) and isinstance(tool.get("uv"), dict)
        else None
    )
    return names, complete and not sources


def _all(specs: object) -> Iterator[str]:
    for spec in specs if isinstance(specs, list) else ():
        if isinstance(spec, str):
            yield from _names(spec)


_OFFICIAL = re.compile(
    r"^(?:docker\.io/|public\.ecr\.aws/docker/)?(?:library/)?python:|^ghcr\.io/astral-sh/uv:|^(?:debian|ubuntu):"
)
_INSTALL = re.compile(r"\b(?:pip3?|uv pip|uv|poetry)\s+(?:install|add)\s+([^&|;]*)")


def _image(image: Dockerfile) -> tuple[set[str], bool]:
    """Return the distributions that the image's own commands name, and whether all could be read."""
    names: set[str] = set()
    complete = True
    for stage in image.stages:
        base = image.base_of(stage)
        if not any(s.name and s.name == base.lower() for s in image.stages) and not _OFFICIAL.match(base):
            complete = complete and bool(re.match(r"(?:.*/)?(node|nginx|oven/bun)[:@]", base))
        for run in stage.of("RUN"):
            complete = complete and not re.search(r"python3?-\w|conda|<<|\.whl\b", run.value)
            for match in _INSTALL.finditer(run.value):
                words = match[1].split()
                skip = False
                for word in words:
                    if skip or word.startswith("-"):
                        skip = (
                            word
                            in {
                                "-r",
                                "--requirement",
                                "-c",
                                "--constraint",
                                "-i",
                                "--index-url",
                                "--extra-index-url",
                                "--target",
                                "-t",
                                "--prefix",
                                "--only",
                                "--with",
                                "--without",
                            }
                            and not skip
                        )
                        continue
                    if word in {".", "./"} or "$" in word or "/" in word:
                        complete = False
                    else:
                        names.update(_names(word.strip("\"'")))
    return names, complete


def tops(modules: Iterable[str]) -> frozenset[str]:
    """Return the top-level names of absolute modules."""
    return frozenset(m.split(".")[0] for m in modules if m and not m.startswith("."))
