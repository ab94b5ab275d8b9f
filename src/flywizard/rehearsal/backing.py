"""Owns the tie between the World's clusters and a real Postgres: roles, databases and extensions that really exist."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from flywizard.rehearsal.world_records import JSON

if TYPE_CHECKING:
    from flywizard.rehearsal.database import Running


class BackingError(Exception):
    """The real database did not do it; the text is the reason."""


class Backing(Protocol):
    """Real databases behind the World's clusters."""

    async def create(self, cluster: str, password: str) -> JSON:
        """Make a cluster's role and database, or find them again.

        Return {"host", "port", "user", "password", "database"}. Raises BackingError.
        """
        ...

    async def drop(self, cluster: str) -> None:
        """Remove what ``create`` made. Raises BackingError."""
        ...

    async def extensions(self, database: str) -> dict[str, JSON]:
        """Return what is offered: name to {"default_version", "installed"}. Raises BackingError."""
        ...

    async def enable(self, database: str, name: str, schema: str) -> None:
        """Enable an offered extension; nothing where it is enabled. Raises BackingError."""
        ...


class PostgresBacking:
    """The rehearsal's own Postgres, found by its folder whenever it is needed."""

    def __init__(self, data_dir: Path) -> None:
        """Use the server that ``database.start(data_dir)`` started; it need not run yet."""
        self.data_dir = data_dir

    async def create(self, cluster: str, password: str) -> JSON:
        """See ``Backing``."""
        from flywizard.rehearsal import database

        async with self._running() as running:
            made = await database.create_cluster(running, cluster, password)
        return {
            "host": made.host,
            "port": made.port,
            "user": made.user,
            "password": made.password.reveal(),
            "database": made.database,
        }

    async def drop(self, cluster: str) -> None:
        """See ``Backing``."""
        from flywizard.rehearsal import database

        async with self._running() as running:
            await database.drop_cluster(running, cluster)

    async def extensions(self, database: str) -> dict[str, JSON]:
        """See ``Backing``."""
        from flywizard.rehearsal import database as postgres

        async with self._running() as running:
            listed = await postgres.list_extensions(running, database)
        return {str(row["name"]): row for row in listed}

    async def enable(self, database: str, name: str, schema: str) -> None:
        """See ``Backing``."""
        from flywizard.rehearsal import database as postgres

        async with self._running() as running:
            await postgres.enable_extension(running, database, name, schema)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Running]:
        import psycopg

        from flywizard.rehearsal import database

        try:
            running = await database.attach(self.data_dir)
            if running is None:
                raise BackingError("the rehearsal's Postgres does not run")
            yield running
        except (psycopg.Error, OSError, database.UnknownExtension) as error:
            raise BackingError(f"{type(error).__name__}: {error}") from error
