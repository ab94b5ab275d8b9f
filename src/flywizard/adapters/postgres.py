"""Owns the ``Database`` port: proves a Postgres stage by stage, and runs SQL on it, with psycopg."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flywizard import dsn
from flywizard.adapters.postgres_signin import secured, sign_in, sql_failure
from flywizard.adapters.sockets import StageError, connect, resolve, spelled
from flywizard.plan import StepError
from flywizard.ports import Stage
from flywizard.proofs import stage_problem
from flywizard.sql_script import ScriptError, fits_one_transaction, split_statements
from flywizard.text import Redactor
from flywizard.vault import Secret

if TYPE_CHECKING:
    from psycopg import AsyncConnection

TITLES: Final[Mapping[str, str]] = {
    "parse": "URL",
    "dns": "Name",
    "tcp": "Port",
    "tls": "TLS",
    "signin": "Sign-in",
    "version": "Server and role",
    "extensions": "Extensions",
    "rights": "Rights",
    "pooling": "Pool",
}
_POOL_WORDS: Final[Mapping[str, str]] = {
    "pooled": "through a pool (session mode)",
    "transaction": "through a pool in transaction mode: prepared statements are switched off, migrations go direct",
    "direct": "direct, no pool between",
    "unknown": "the host's name does not tell whether a pool stands between",
}


@dataclass(slots=True)
class _Proof:
    """What one proof has learned so far."""

    url: Secret
    wanted: Sequence[str]
    step: float
    """Seconds for one stage."""
    place: dsn.Credentials = field(default_factory=lambda: dsn.Credentials("", "", Secret(""), ""))
    addresses: Sequence[Any] = ()
    sock: Any = None
    connection: Any = None
    superuser: bool = False
    may_create: bool = False
    """In the database: what a trusted extension needs."""

    async def close(self) -> None:
        """Close what is open."""
        if self.sock is not None:
            self.sock.close()
        if self.connection is not None:
            await self.connection.close()


@dataclass(frozen=True, slots=True)
class _Said:
    """What a stage that did not fail has to say."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    warn: str = ""
    skipped: bool = False


class Postgres:
    """The ``Database`` port."""

    async def prove(
        self, url: Secret, extensions: Sequence[str] = (), timeout: float = 10.0
    ) -> AsyncGenerator[Stage, None]:
        """Yield each stage twice, when it starts and when it has ended; read-only; stops after a failed one.

        ``timeout`` is for one stage, in seconds. ``extensions`` are those that the schema needs.
        """
        proof = _Proof(url, extensions, timeout)
        try:
            async with aclosing(self._stages(proof)) as stages:
                async for stage in stages:
                    yield stage
        finally:
            await proof.close()

    async def _stages(self, proof: _Proof) -> AsyncGenerator[Stage, None]:
        steps: dict[str, Callable[[_Proof], Awaitable[_Said]]] = {
            "parse": self._parse,
            "dns": self._dns,
            "tcp": self._tcp,
            "tls": self._tls,
            "signin": self._signin,
            "version": self._version,
            "extensions": self._extensions,
            "rights": self._rights,
            "pooling": self._pooling,
        }
        redactor = Redactor()
        for name, step in steps.items():
            yield Stage(name, TITLES[name], "running")
            began = time.monotonic()
            try:
                async with asyncio.timeout(proof.step * 1.5):
                    said = await step(proof)
            except TimeoutError:
                failure = StageError("silent", "the server does not answer in time")
            except StageError as error:
                failure = error
            else:
                if name == "parse":
                    redactor.add(proof.place.password.reveal())
                state = "skipped" if said.skipped else "warn" if said.warn else "ok"
                took = time.monotonic() - began
                text = redactor.line(said.text)
                yield Stage(name, TITLES[name], state, text, took, said.warn, said.data)  # type: ignore[arg-type]
                continue
            text = redactor.line(failure.text)
            took = time.monotonic() - began
            yield Stage(name, TITLES[name], "failed", text, took, failure.code, failure.data)
            return

    async def _parse(self, proof: _Proof) -> _Said:
        try:
            place = proof.place = dsn.parse(proof.url)
        except dsn.DsnError as error:
            raise StageError(error.code, error.text) from None
        where = spelled(place.host, place.port)
        return _Said(
            f"{place.database} at {where} as {place.user}, sslmode {place.sslmode}",
            {"host": place.host, "port": place.port, "database": place.database, "user": place.user},
        )

    async def _dns(self, proof: _Proof) -> _Said:
        proof.addresses = await resolve(proof.place.host, proof.place.port, proof.step)
        found = [address.text for address in proof.addresses]
        return _Said(", ".join(found), {"addresses": found})

    async def _tcp(self, proof: _Proof) -> _Said:
        proof.sock, address = await connect(proof.place.host, proof.place.port, proof.addresses, proof.step)
        return _Said(f"{spelled(address, proof.place.port)} answers")

    async def _tls(self, proof: _Proof) -> _Said:
        sock, proof.sock = proof.sock, None
        facts = await secured(proof.place, sock, proof.step)
        if facts is None:
            return _Said(f"not used (sslmode {proof.place.sslmode})", skipped=True)
        text = f"{facts['version']}, certificate not checked (sslmode {proof.place.sslmode})"
        if facts.get("subject"):
            text = f"{facts['version']}, {facts['subject']}, issued by {facts['issuer']}, until {facts['not_after']}"
        return _Said(text, facts)

    async def _signin(self, proof: _Proof) -> _Said:
        proof.connection = await sign_in(proof.place, proof.step)
        return _Said(f"signed in as {proof.place.user}")

    async def _version(self, proof: _Proof) -> _Said:
        row = await _one(
            proof.connection,
            "SELECT current_setting('server_version'), current_user, current_database(),"
            " coalesce((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false)",
        )
        version, user, database, proof.superuser = str(row[0]), str(row[1]), str(row[2]), bool(row[3])
        role = "a superuser" if proof.superuser else "not a superuser"
        data = {"version": version, "user": user, "database": database, "superuser": proof.superuser}
        text = f"PostgreSQL {version}, {user} is {role}"
        if int(version.split(".")[0].split("beta")[0].split("rc")[0] or 0) < 13:
            return _Said(f"{text}; older than 13 is not supported by anybody any more", data, warn="old")
        return _Said(text, data)

    async def _extensions(self, proof: _Proof) -> _Said:
        rows = await _all(
            proof.connection,
            "SELECT e.name, e.installed_version, v.superuser, v.trusted,"
            " has_database_privilege(current_database(), 'CREATE')"
            " FROM pg_available_extensions e LEFT JOIN pg_available_extension_versions v"
            " ON v.name = e.name AND v.version = e.default_version ORDER BY e.name",
        )
        offered = {str(row[0]): row for row in rows}
        installed = {name: str(row[1]) for name, row in offered.items() if row[1]}
        data = {"installed": installed, "offered": sorted(offered)}
        lacking = [name for name in proof.wanted if name not in installed]
        unknown = [name for name in lacking if name not in offered]
        if unknown:
            hint = "; pgvector's name is `vector`" if "pgvector" in unknown and "vector" in offered else ""
            raise StageError(
                "extension_missing", f"the server does not offer {', '.join(unknown)}{hint}", missing=unknown
            )
        denied = [name for name in lacking if not self._may_enable(proof, offered[name])]
        there = ", ".join(f"{name} {version}" for name, version in installed.items()) or "none"
        if denied:
            text = f"{proof.place.user} may not create {', '.join(denied)}; installed: {there}"
            return _Said(text, {**data, "denied": denied}, warn="extension_denied")
        still = f"; to be enabled: {', '.join(lacking)}" if lacking else ""
        return _Said(f"installed: {there}{still}", {**data, "lacking": lacking})

    @staticmethod
    def _may_enable(proof: _Proof, row: Sequence[Any]) -> bool:
        _, _, needs_superuser, trusted, may_create = row
        return proof.superuser or (bool(may_create) and (bool(trusted) or not needs_superuser))

    async def _rights(self, proof: _Proof) -> _Said:
        row = await _one(
            proof.connection,
            "SELECT has_database_privilege(current_database(), 'CREATE'), current_schema(),"
            " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)",
        )
        schema = str(row[1] or "public")
        if not row[2]:
            raise StageError(
                "rights", f"{proof.place.user} may not create tables in the schema {schema}", schema=schema
            )
        also = "tables and schemas" if row[0] else "tables, not schemas"
        return _Said(f"may create {also} (schema {schema})", {"schema": schema, "create": bool(row[0])})

    async def _pooling(self, proof: _Proof) -> _Said:
        kind = dsn.pooling(proof.place.host, proof.place.port)
        return _Said(_POOL_WORDS[kind], {"pooling": kind})

    async def installed(self, url: Secret) -> Mapping[str, str]:
        """Return installed extensions: name to version.

        Raises:
            StepError: the database cannot be reached.
        """
        async with _session(url) as connection:
            return {
                str(name): str(version)
                for name, version in await _all(connection, "SELECT extname, extversion FROM pg_extension")
            }

    async def enable(self, url: Secret, extension: str) -> None:
        """``CREATE EXTENSION IF NOT EXISTS``.

        Raises:
            StepError: it is not offered, or this role may not.
        """
        from psycopg import sql

        async with _session(url) as connection:
            await connection.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension))
            )

    async def existing_tables(self, url: Secret, names: Sequence[str]) -> Sequence[str]:
        """Return which of the (schema-qualified or bare) names exist, spelled as they were given.

        Raises:
            StepError: the database cannot be reached.
        """
        if not names:
            return ()
        async with _session(url) as connection:
            rows = await _all(
                connection,
                "SELECT name FROM unnest(%s::text[]) WITH ORDINALITY AS t(name, place)"
                " WHERE to_regclass(name) IS NOT NULL ORDER BY place",
                [list(names)],
            )
        return tuple(str(row[0]) for row in rows)

    async def apply(self, url: Secret, sql: str, on_notice: Callable[[str], None] | None = None) -> int:
        """Run a script, in one transaction unless it holds what forbids that; return the number of statements.

        Raises:
            StepError: a statement was refused (number and line are named), or the script is for psql only.
        """
        try:
            statements = split_statements(sql)
        except ScriptError as error:
            raise _step_error("sql", str(error), url) from None
        together = fits_one_transaction(statements)
        at: list[Any] = [None]
        async with _session(url, autocommit=not together, where=lambda: at[0]) as connection:
            if on_notice is not None:
                redactor = _redactor(url)
                connection.add_notice_handler(
                    lambda diagnostic: on_notice(redactor.line(diagnostic.message_primary or ""))
                )
            for statement in statements:
                at[0] = statement
                await connection.execute(statement.text.encode())
            at[0] = None
        return len(statements)


def _redactor(url: Secret) -> Redactor:
    try:
        return Redactor([dsn.parse(url).password.reveal()])
    except dsn.DsnError:
        return Redactor()


def _step_error(code: str, text: str, url: Secret) -> StepError:
    stage = Stage("sql", "SQL", "failed", _redactor(url).line(text), code=code)
    return StepError(stage_problem("postgres", stage))


@asynccontextmanager
async def _session(
    url: Secret, *, autocommit: bool = True, where: Callable[[], Any] = lambda: None
) -> AsyncIterator[AsyncConnection[Any]]:
    """Give a connection; commit at the end; turn every failure into a StepError. ``where``: the statement at work."""
    import psycopg

    try:
        connection = await sign_in(dsn.parse(url), 10.0, autocommit=autocommit)
    except dsn.DsnError as error:
        raise _step_error(error.code, error.text, url) from None
    except StageError as failure:
        raise _step_error(failure.code, failure.text, url) from None
    try:
        async with connection:
            yield connection
    except psycopg.Error as error:
        code, text = sql_failure(error)
        statement = where()
        if statement is not None:
            text = f"statement {statement.number} (line {statement.line}): {text}"
        raise _step_error(code, text, url) from None


async def _all(connection: Any, query: str, parameters: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
    import psycopg

    try:
        cursor = await connection.execute(query, parameters or None)
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    except psycopg.Error as error:
        raise StageError(*sql_failure(error)) from None
    return rows


async def _one(connection: Any, query: str) -> tuple[Any, ...]:
    return (await _all(connection, query))[0]
