"""Owns a Debian Postgres with TLS for the tests: what the rehearsal's server is built without."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywizard import dsn
from flywizard.vault import Secret
from tests.support.certificates import Authority
from tests.support.real_kafka import free_ports


def programs() -> Path | None:
    """Return the newest Debian installation, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def missing() -> str:
    """Say why there is no such server here; empty: there is one."""
    return "" if programs() else "no Debian postgresql on this machine"


@dataclass(frozen=True)
class TlsPostgres:
    """A running server: TLS is demanded for all but the database ``open``."""

    port: int
    ca: Path

    def credentials(
        self,
        *,
        user: str = "alice",
        password: str = "alice-secret",
        database: str = "shop",
        host: str = "localhost",
        **query: str,
    ) -> dsn.Credentials:
        """Return credentials for it."""
        return dsn.Credentials(host, user, Secret(password), database, self.port, tuple(query.items()))


HBA = """
hostnossl open   all 127.0.0.1/32 scram-sha-256
hostssl   all    all 127.0.0.1/32 scram-sha-256
hostssl   all    all ::1/128      scram-sha-256
"""
SETUP = """
CREATE ROLE alice LOGIN PASSWORD 'alice-secret';
CREATE ROLE reader LOGIN PASSWORD 'reader-secret';
CREATE ROLE nologin NOLOGIN PASSWORD 'nologin-secret';
CREATE DATABASE shop OWNER alice;
CREATE DATABASE open OWNER alice;
CREATE DATABASE closed;
REVOKE CONNECT ON DATABASE closed FROM PUBLIC;
"""


@contextlib.contextmanager
def running(authority: Authority) -> Iterator[TlsPostgres]:
    """Run a server in a folder of its own until the block ends."""
    tools = programs()
    assert tools is not None
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="flywizard-test-postgres-"))
    folder.chmod(0o711)  # pytest's own folders are closed to the user that the server runs as
    data = folder / "data"
    data.mkdir(mode=0o700)
    pem = (authority.folder / "good.pem").read_bytes()
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("nobody")
        who = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(data, entry.pw_uid, entry.pw_gid)

    def run(name: str, *arguments: str | Path, text: str | None = None) -> None:
        log = folder / "tools.log"
        with log.open("ab") as output:
            done = subprocess.run(
                [tools / name, *arguments], stdout=output, stderr=output, timeout=60, cwd="/tmp",
                input=text.encode() if text else None, **who,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(log.read_text()[-2000:])

    try:
        _make(run, data, pem, port, who)
        run("pg_ctl", "start", "-w", "-t", "30", "-D", data, "-l", data / "server.log")
        try:
            yield TlsPostgres(port, authority.folder / "ca.pem")
        finally:
            run("pg_ctl", "stop", "-m", "fast", "-w", "-D", data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(run: Callable[..., None], data: Path, pem: bytes, port: int, who: Mapping[str, Any]) -> None:
    """Set the server up: certificates, roles, databases, settings."""
    key, _, chain = pem.partition(b"-----END PRIVATE KEY-----\n")
    run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
    (data / "server.key").write_bytes(key + b"-----END PRIVATE KEY-----\n")
    (data / "server.crt").write_bytes(chain)
    (data / "server.key").chmod(0o600)
    if who:
        for name in ("server.key", "server.crt"):
            os.chown(data / name, who["user"], who["group"])
    sql: list[str | Path] = ["--single", "-D", data, "postgres"]
    run("postgres", *sql, text=SETUP.strip().replace(";\n", ";\n\n") + "\n")
    (data / "pg_hba.conf").write_text(HBA)
    with (data / "postgresql.conf").open("a") as file:
        file.write(
            f"listen_addresses='localhost'\nport={port}\nunix_socket_directories=''\nfsync=off\nssl=on\n"
            "password_encryption='scram-sha-256'\n"
        )
