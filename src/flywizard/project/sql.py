"""Owns reading SQL: extensions, tables, vector dimensions, with line numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

_EXTENSION = re.compile(
    r'create\s+extension\s+(?:if\s+not\s+exists\s+)?(?:"([^"]+)"|([a-z_][\w]*))', re.IGNORECASE
)
_TABLE = re.compile(
    r'create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?((?:"[^"]+"|[\w]+)(?:\.(?:"[^"]+"|\w+))?)',
    re.IGNORECASE,
)
_VECTOR = re.compile(r"\bvector\s*\(\s*(\d+)\s*\)", re.IGNORECASE)
_IMPLIED = (
    (re.compile(r"\buuid_generate_v[145]\s*\(", re.IGNORECASE), "uuid-ossp"),
    (re.compile(r"\bgin_trgm_ops\b|\bgist_trgm_ops\b", re.IGNORECASE), "pg_trgm"),
    (re.compile(r"\bvector_(?:cosine|l2|ip)_ops\b|\bvector\s*\(\s*\d+\s*\)", re.IGNORECASE), "vector"),
    (re.compile(r"\bgen_salt\s*\(|\bcrypt\s*\(", re.IGNORECASE), "pgcrypto"),
)
RIGHT_NAMES = {"pgvector": "vector", "uuid_ossp": "uuid-ossp", "pg-trgm": "pg_trgm"}
KNOWN = frozenset(
    [
        "vector",
        "uuid-ossp",
        "pgcrypto",
        "pg_trgm",
        "hstore",
        "citext",
        "ltree",
        "btree_gin",
        "btree_gist",
        "cube",
        "earthdistance",
        "fuzzystrmatch",
        "intarray",
        "isn",
        "lo",
        "pg_stat_statements",
        "pgrowlocks",
        "pgstattuple",
        "postgis",
        "postgis_topology",
        "seg",
        "tablefunc",
        "unaccent",
        "postgres_fdw",
        "dblink",
        "plpgsql",
        "timescaledb",
        "pg_cron",
        "tsm_system_rows",
        "xml2",
        "pg_partman",
        "pg_buffercache",
        "bloom",
    ]
)
MYSQL = re.compile(r"\bAUTO_INCREMENT\b|\bENGINE\s*=\s*InnoDB\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SqlFile:
    """What one SQL text holds."""

    path: str
    extensions: tuple[tuple[str, int], ...] = ()
    """(name as written, line), explicit ones."""
    implied: tuple[tuple[str, int], ...] = ()
    """(right name, line) of extensions whose functions or types are used."""
    tables: tuple[tuple[str, int], ...] = ()
    dimensions: tuple[tuple[int, int], ...] = ()
    hnsw: int | None = None
    mysql: int | None = None


def read(path: str, text: str) -> SqlFile:
    """Read an SQL text; pure, never raises."""
    bare = _without_comments(text)

    def line(match: re.Match[str]) -> int:
        return bare.count("\n", 0, match.start()) + 1

    hnsw = re.search(r"\busing\s+hnsw\b", bare, re.IGNORECASE)
    mysql = MYSQL.search(bare)
    implied = [(name, line(m)) for pattern, name in _IMPLIED if (m := pattern.search(bare))]
    return SqlFile(
        path,
        tuple(((m[1] or m[2]), line(m)) for m in _EXTENSION.finditer(bare)),
        tuple(implied),
        tuple((m[1].replace('"', ""), line(m)) for m in _TABLE.finditer(bare)),
        tuple((int(m[1]), line(m)) for m in _VECTOR.finditer(bare)),
        line(hnsw) if hnsw else None,
        line(mysql) if mysql else None,
    )


def _without_comments(text: str) -> str:
    """Blank out comments, keeping line numbers; quoted texts stay."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return re.sub(r"[^\n]", " ", found) if found.startswith(("--", "/*")) else found

    return re.sub(r"'(?:[^']|'')*'|\"[^\"\n]*\"|--[^\n]*|/\*.*?(?:\*/|\Z)", blank, text, flags=re.DOTALL)
