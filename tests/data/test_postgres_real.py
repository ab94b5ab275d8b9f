"""Owns what a real Postgres says to our proof, our SQL and our URLs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import asyncpg
import psycopg
import pytest

from flywizard import dsn
from flywizard.adapters.postgres import Postgres
from flywizard.plan import StepError
from flywizard.ports import Stage
from flywizard.proofs import stage_problem
from flywizard.rehearsal import database, postgres_files
from flywizard.vault import Secret
from tests.support.real_kafka import free_ports
from tests.support.real_postgres import TlsPostgres

SCHEMA = Path(__file__).resolve().parents[2] / "examples" / "helpdesk" / "database" / "schema.sql"


async def prove(url: Secret, extensions: Sequence[str] = (), timeout: float = 10.0) -> list[Stage]:
    return [s async for s in Postgres().prove(url, extensions, timeout) if s.state != "running"]


async def fails(url: Secret) -> tuple[str, str]:
    last = (await prove(url))[-1]
    assert last.state == "failed", last
    problem = stage_problem("postgres", last)
    assert problem.id.startswith("PG-")
    assert problem.remedies
    password = dsn.parse(url).password.reveal()
    assert not password or password not in f"{last} {problem}"
    return last.id, last.code


@pytest.fixture
async def cluster(rehearsed: database.Running, request: pytest.FixtureRequest) -> database.ClusterCredentials:
    return await database.create_cluster(rehearsed, request.node.name)


async def test_the_first_cluster_is_named_as_on_fly(rehearsed: database.Running, tmp_path: Path) -> None:
    async with await psycopg.AsyncConnection.connect(rehearsed.superuser.reveal()) as connection:
        await connection.execute("DROP TABLE IF EXISTS rehearsal_clusters")
    first = await database.create_cluster(rehearsed, "acme-db", "first-secret")
    second = await database.create_cluster(rehearsed, "other-db")
    assert (first.user, first.database) == ("fly-user", "fly-db")
    assert second.user != first.user
    again = await database.create_cluster(rehearsed, "acme-db", "second-secret")
    assert (again.user, again.database) == (first.user, first.database)
    assert await fails(first.url()) == ("signin", "password")
    await database.drop_cluster(rehearsed, "acme-db")
    await database.drop_cluster(rehearsed, "acme-db")
    assert await fails(again.url()) in {("signin", "password"), ("signin", "role")}


async def test_the_whole_proof_and_the_schema(
    rehearsed: database.Running, cluster: database.ClusterCredentials
) -> None:
    url, postgres = cluster.url(), Postgres()
    wanted = ["vector", "uuid-ossp"]
    before = await prove(url, wanted)
    assert [s.id for s in before] == [
        "parse", "dns", "tcp", "tls", "signin", "version", "extensions", "rights", "pooling",
    ]  # fmt: skip
    assert before[6].code == "extension_denied"
    assert before[6].data["denied"] == ["vector"]
    with pytest.raises(StepError) as refused:
        await postgres.enable(url, "vector")
    assert refused.value.problem.id == "PG-7"
    with pytest.raises(StepError) as early:
        await postgres.apply(url, SCHEMA.read_text())
    assert early.value.problem.id == "PG-7"
    assert "statement 1 (line 3)" in early.value.problem.raw
    for name in wanted:
        assert await database.enable_extension(rehearsed, cluster.database, name)
        assert not await database.enable_extension(rehearsed, cluster.database, name)
    assert (await prove(url, wanted))[6].state == "ok"
    notices: list[str] = []
    assert await postgres.apply(url, SCHEMA.read_text(), notices.append) == 9
    assert any("already exists" in notice for notice in notices)
    assert await postgres.existing_tables(url, ["customers", "public.messages", "nothing", "no.where"]) == (
        "customers",
        "public.messages",
    )
    assert set(wanted) <= set(await postgres.installed(url))


async def test_nothing_of_a_failed_script_is_kept(cluster: database.ClusterCredentials) -> None:
    postgres, url = Postgres(), cluster.url()
    with pytest.raises(StepError) as failed:
        await postgres.apply(url, "CREATE TABLE half (id int);\n\nCREATE TABLE broken (id nosuchtype);")
    assert failed.value.problem.id == "PG-24"
    assert "statement 2 (line 3)" in failed.value.problem.raw
    assert await postgres.existing_tables(url, ["half"]) == ()
    with pytest.raises(StepError):
        await postgres.apply(url, "BEGIN; CREATE TABLE kept (id int); COMMIT; SELECT nosuchcolumn;")
    assert await postgres.existing_tables(url, ["kept"]) == ("kept",)
    assert await postgres.apply(url, "CREATE INDEX CONCURRENTLY kept_id ON kept (id)") == 1


async def test_unknown_extensions_are_refused(
    rehearsed: database.Running, cluster: database.ClusterCredentials
) -> None:
    with pytest.raises(database.UnknownExtension):
        await database.enable_extension(rehearsed, cluster.database, "nosuch")
    offered = await database.list_extensions(rehearsed, cluster.database)
    assert {"vector", "uuid-ossp", "pgcrypto", "pg_trgm"} <= {row["name"] for row in offered}
    last = (await prove(cluster.url(), ["pgvector"]))[-1]
    assert (last.id, last.code) == ("extensions", "extension_missing")
    assert "`vector`" in last.text
    assert stage_problem("postgres", last).id == "PG-5"


async def test_the_stand_in_extensions_compute_what_the_real_ones_do(
    rehearsed: database.Running, cluster: database.ClusterCredentials
) -> None:
    import hashlib
    import hmac
    import uuid

    for name in database.STAND_INS:
        await database.enable_extension(rehearsed, cluster.database, name)
    async with await psycopg.AsyncConnection.connect(cluster.url().reveal()) as connection:

        async def value(query: str) -> object:
            row = await (await connection.execute(query.encode())).fetchone()
            assert row is not None
            return row[0]

        assert await value("SELECT uuid_generate_v5(uuid_ns_dns(), 'example.com')") == uuid.uuid5(
            uuid.NAMESPACE_DNS, "example.com"
        )
        assert await value("SELECT uuid_generate_v3(uuid_ns_url(), 'x')") == uuid.uuid3(
            uuid.NAMESPACE_URL, "x"
        )
        for version, query in (
            (4, "uuid_generate_v4()"),
            (1, "uuid_generate_v1()"),
            (1, "uuid_generate_v1mc()"),
        ):
            made = await value(f"SELECT {query}")
            assert isinstance(made, uuid.UUID)
            assert made.version == version
        for kind in ("md5", "sha1", "sha256", "sha512"):
            assert (
                await value(f"SELECT digest('{'a' * 70}', '{kind}')") == hashlib.new(kind, b"a" * 70).digest()
            )
            assert await value(f"SELECT hmac('data', 'key', '{kind}')") == hmac.digest(b"key", b"data", kind)
        stored = await value("SELECT crypt('secret', gen_salt('bf', 8))")
        assert await value(f"SELECT crypt('secret', '{stored}')") == stored
        assert await value(f"SELECT crypt('wrong', '{stored}')") != stored
        assert await value("SELECT length(gen_random_bytes(40))") == 40


async def test_another_wizard_finds_the_running_server(rehearsed: database.Running) -> None:
    found = await database.attach(rehearsed.data_dir)
    assert found is not None
    assert found.port == rehearsed.port
    assert (await database.start(rehearsed.data_dir)).port == rehearsed.port


async def test_it_starts_again_with_its_data(tmp_path: Path) -> None:
    try:
        await database.start(tmp_path)
    except database.Unavailable as reason:
        pytest.skip(str(reason))
    try:
        made = await database.create_cluster(await database.start(tmp_path), "acme-db")
        await Postgres().apply(made.url(), "CREATE TABLE kept (id int)")
        await database.stop(tmp_path)
        assert await database.attach(tmp_path) is None
        again = await database.create_cluster(await database.start(tmp_path), "acme-db")
        assert await Postgres().existing_tables(again.url(), ["kept"]) == ("kept",)
    finally:
        await database.remove(tmp_path)


@pytest.mark.parametrize("password", ["p@ss:w/rd?#%", "ünï çødé", "a b+c&d=e", "'\"\\"])
async def test_drivers_accept_the_built_urls(rehearsed: database.Running, password: str) -> None:
    made = await database.create_cluster(rehearsed, "drivers-db", password)
    place = dsn.parse(made.url())
    async with await psycopg.AsyncConnection.connect(dsn.dsn(place, "psycopg", True).reveal()) as connection:
        assert connection.info.user == made.user
    for driver in ("asyncpg", None):
        link = await asyncpg.connect(dsn.dsn(place, driver, True).reveal())
        try:
            assert await link.fetchval("SELECT current_user") == made.user
        finally:
            await link.close()


async def test_names_and_ports(cluster: database.ClusterCredentials) -> None:
    (closed,) = free_ports(1)
    place = dsn.parse(cluster.url())
    assert await fails(dsn.through(cluster.url(), "127.0.0.1", closed)) == ("tcp", "refused")
    assert await fails(dsn.through(cluster.url(), "nosuch.invalid", 5432)) == ("dns", "dns")
    private = dsn.through(cluster.url(), "direct.abc.flympg.net", 5432)
    assert await fails(private) == ("dns", "private_name")
    assert await fails(dsn.build(place.plus(sslmode="require"))) == ("tls", "tls_missing")
    assert await fails(dsn.build(replace(place, database="nosuch"))) == ("signin", "database_missing")
    assert await fails(dsn.build(replace(place, password=Secret("wrong-secret")))) == ("signin", "password")
    assert await fails(dsn.build(place.plus(nosuch="1"))) == ("signin", "signin")


async def test_bad_urls_stop_at_the_first_stage() -> None:
    for url, code in (
        ("", "empty"),
        ("mysql://u:p@h/d", "scheme"),
        ("postgresql://u:p@/d", "no_host"),
        ("postgresql://u:p@h:99999/d", "bad_port"),
        ("postgresql://h/d", "no_user"),
        ("postgresql://u:p@h", "no_database"),
        ("postgresql://u:p@h/d?sslmode=maybe", "sslmode"),
    ):
        last = (await prove(Secret(url)))[-1]
        assert (last.id, last.code) == ("parse", code)
        assert stage_problem("postgres", last).id == "PG-15"


async def test_tls_and_certificates(tls_postgres: TlsPostgres) -> None:
    make = tls_postgres.credentials
    ca = str(tls_postgres.ca)
    good = await prove(dsn.build(make(sslmode="verify-full", sslrootcert=ca)))
    assert good[-1].id == "pooling", good[-1]
    assert good[3].text.startswith("TLSv1.")
    assert "issued by flywizard test authority" in good[3].text
    assert (await prove(dsn.build(make())))[-1].id == "pooling"
    assert (await prove(dsn.build(make(sslmode="require"))))[3].state == "ok"
    assert await fails(dsn.build(make(sslmode="verify-full"))) == ("tls", "unknown_ca")
    by_address = make(host="::1", sslmode="verify-full", sslrootcert=ca)
    if socket.has_ipv6:
        assert await fails(dsn.build(by_address)) in {
            ("tls", "hostname"),
            ("tcp", "refused"),
            ("tcp", "unreachable"),
        }
    assert await fails(dsn.build(make(sslmode="verify-full", sslrootcert="/nosuch"))) == ("tls", "ca_file")
    assert await fails(dsn.build(make(sslmode="disable"))) == ("signin", "tls_required")


async def test_roles_and_rights(tls_postgres: TlsPostgres) -> None:
    make = tls_postgres.credentials
    assert await fails(dsn.build(make(password="wrong-secret"))) == ("signin", "password")
    assert await fails(dsn.build(make(user="nologin", password="nologin-secret"))) == ("signin", "role")
    assert await fails(dsn.build(make(database="closed"))) == ("signin", "connect_denied")
    assert await fails(dsn.build(make(database="nosuch"))) == ("signin", "database_missing")
    reader = make(user="reader", password="reader-secret")
    assert await fails(dsn.build(reader)) == ("rights", "rights")


async def test_other_services_and_silence() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(8)
        writer.close()

    for handler, code in ((silent, "silent"), (web, "not_postgres"), (closing, "closed")):
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            url = Secret(f"postgresql://u:pw-of-mine@127.0.0.1:{port}/d")
            last = (await prove(url, timeout=0.3))[-1]
            assert (last.id, last.code) == ("tls", code)


async def test_a_machine_without_the_wheel_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_files, "find_spec", lambda name: None)
    with pytest.raises(database.Unavailable, match="no build for this machine"):
        await database.start(tmp_path)
    assert await database.attach(tmp_path) is None
    await database.stop(tmp_path)
    await database.remove(tmp_path)


def test_what_a_deleted_rehearsal_left_is_swept(tmp_path: Path) -> None:
    for name, state in (("gone", "no-such-folder"), ("kept", "state"), ("running", "no-such-folder")):
        base = tmp_path / f"flywizard-pg-{name}"
        (base / "postgres").mkdir(parents=True)
        (base / "state-folder").write_text(str(tmp_path / state))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "postgres.json").touch()
    (tmp_path / "flywizard-pg-running" / "postgres" / "postmaster.pid").touch()
    (tmp_path / "flywizard-pg-foreign").mkdir()
    postgres_files.sweep(tmp_path, tmp_path / "flywizard-pg-new")
    left = {path.name.removeprefix("flywizard-pg-") for path in tmp_path.glob("flywizard-pg-*")}
    assert left == {"kept", "running", "foreign"}
