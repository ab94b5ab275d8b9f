"""Owns the tests of Postgres URLs: what is built is read back, by us and by what the drivers use."""

from __future__ import annotations

import contextlib
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from flywizard import dsn
from flywizard.vault import Secret

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
HOSTS = st.sampled_from(
    ["db.example.com", "127.0.0.1", "fdaa:0:1::5", "pgbouncer.abc.flympg.net", "x.flycast"]
)
PLACES = st.builds(
    dsn.Credentials,
    host=HOSTS,
    user=WORDS,
    password=WORDS.map(Secret),
    database=WORDS,
    port=st.integers(1, 65535),
    query=st.sampled_from(
        [(), (("sslmode", "require"),), (("sslmode", "disable"), ("application_name", "a b&c"))]
    ),
)
DRIVERS = st.sampled_from(
    [None, "asyncpg", "sqlalchemy+asyncpg", "sqlalchemy+psycopg", "sqlalchemy+psycopg2", "psycopg", "psycopg2",
     "tortoise", "prisma", "pg"]
)  # fmt: skip


@given(PLACES)
def test_what_is_built_is_read_back(place: dsn.Credentials) -> None:
    assert dsn.parse(dsn.build(place)) == place


@given(PLACES)
def test_libpq_reads_it_too(place: dsn.Credentials) -> None:
    read = conninfo_to_dict(dsn.build(place).reveal())
    assert (read["user"], read["password"], read["dbname"], read["host"]) == (
        place.user, place.password.reveal(), place.database, place.host,
    )  # fmt: skip
    assert int(str(read.get("port", "5432"))) == place.port


@given(PLACES, DRIVERS, st.booleans(), st.booleans())
def test_every_driver_gets_the_same_login(
    place: dsn.Credentials, driver: str | None, pooled: bool, transaction: bool
) -> None:
    url = dsn.dsn(place, driver, pooled, transaction_pool=transaction)
    split = urlsplit(url.reveal())
    assert split.scheme == dsn.SCHEMES.get(driver or "", "postgresql")
    assert unquote(split.username or "") == place.user
    assert unquote(split.password or "") == place.password.reveal()
    assert unquote(split.path[1:]) == place.database
    again = dsn.parse(url)
    assert (again.user, again.password, again.database) == (place.user, place.password, place.database)
    assert again.host == (place if pooled else dsn.direct(place)).host
    query = parse_qs(split.query)
    if driver in ("sqlalchemy+asyncpg", "tortoise"):
        assert "sslmode" not in query
        assert set(query) <= {"ssl", "statement_cache_size", "prepared_statement_cache_size"}
    else:
        assert "ssl" not in query


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for candidate in (text, f"postgresql://{text}"):
        with contextlib.suppress(dsn.DsnError):
            assert dsn.parse(candidate).user


def test_a_refusal_never_repeats_the_url() -> None:
    for url in (
        "mysql://me:my-secret@h/d",
        "postgresql://me:my-secret@h:x/d",
        "my-secret",
        "postgresql://me:my-secret@/",
    ):
        with pytest.raises(dsn.DsnError) as refused:
            dsn.parse(url)
        assert "my-secret" not in str(refused.value)


@pytest.mark.parametrize("password", ["p@ss", "a/b", "a#b", "a?b", "x:y", "p@s/s?#:x", "100%"])
def test_a_password_pasted_as_it_is(password: str) -> None:
    place = dsn.parse(f"postgresql://me:{password}@db.example.com:5433/shop?sslmode=require")
    assert place.password.reveal() == password
    assert (place.user, place.host, place.port, place.database) == ("me", "db.example.com", 5433, "shop")
    assert place.sslmode == "require"


@pytest.mark.parametrize(
    ("pooled", "direct"),
    [
        ("postgresql://fly-user:pw@pgbouncer.abc.flympg.net/fly-db", "postgresql://fly-user:pw@direct.abc.flympg.net/fly-db"),
        ("postgresql://u:p@ep-cool-1-pooler.eu.aws.neon.tech/d", "postgresql://u:p@ep-cool-1.eu.aws.neon.tech/d"),
        ("postgresql://u:p@db.example.com:6432/d", "postgresql://u:p@db.example.com:6432/d"),
    ],
)  # fmt: skip
def test_pooled_and_direct(pooled: str, direct: str) -> None:
    assert dsn.direct_url(Secret(pooled)) == Secret(direct)
    assert dsn.for_driver(Secret(pooled), None) == Secret(pooled)


@pytest.mark.parametrize(
    ("url", "driver", "expected"),
    [
        ("postgres://u:p@h/d?sslmode=require", "sqlalchemy+asyncpg", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgres://u:p@h/d?sslmode=require&channel_binding=require", "asyncpg", "postgresql://u:p@h/d?sslmode=require"),
        ("postgresql+asyncpg://u:p@h/d?ssl=require", "sqlalchemy+psycopg", "postgresql+psycopg://u:p@h/d?sslmode=require"),
        ("postgres://u:p@acme-db.flycast:5432/d", "sqlalchemy+asyncpg", "postgresql+asyncpg://u:p@acme-db.flycast/d?ssl=disable"),
        ("postgres://u:p@acme-db.flycast/d", "pg", "postgresql://u:p@acme-db.flycast/d?sslmode=disable"),
        ("postgres://u:p@h/d?sslmode=verify-full", "prisma", "postgresql://u:p@h/d?sslmode=require&sslaccept=strict"),
        ("postgres://u:p@x.pooler.supabase.com:6543/d", "prisma", "postgresql://u:p@x.pooler.supabase.com:6543/d?pgbouncer=true"),
        ("postgres://u:p@h/d", "tortoise", "asyncpg://u:p@h/d"),
        ("postgres://u:p@h/d", "sqlalchemy+psycopg2", "postgresql://u:p@h/d"),
    ],
)  # fmt: skip
def test_each_driver_has_its_form(url: str, driver: str, expected: str) -> None:
    assert dsn.for_driver(Secret(url), driver).reveal() == expected


def test_through_a_proxy_and_in_parts() -> None:
    url = Secret("postgresql://fly-user:p%40w@direct.abc.flympg.net/fly-db?sslmode=verify-full&sslrootcert=x")
    assert dsn.through(url, "127.0.0.1", 16380).reveal() == (
        "postgresql://fly-user:p%40w@127.0.0.1:16380/fly-db?sslmode=prefer"
    )
    assert {k: dsn.part(url, k).reveal() for k in ("host", "port", "user", "password", "database")} == {
        "host": "direct.abc.flympg.net", "port": "5432", "user": "fly-user", "password": "p@w", "database": "fly-db",
    }  # fmt: skip
    with pytest.raises(KeyError):
        dsn.part(url, "nothing")
    assert "p@w" not in repr(dsn.parse(url))


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        ("pgbouncer.abc.flympg.net", 5432, "pooled"),
        ("direct.abc.flympg.net", 5432, "direct"),
        ("ep-a-1-pooler.eu.aws.neon.tech", 5432, "transaction"),
        ("x.pooler.supabase.com", 6543, "transaction"),
        ("x.pooler.supabase.com", 5432, "pooled"),
        ("db.example.com", 5432, "unknown"),
    ],
)
def test_the_host_tells_of_a_pool(host: str, port: int, kind: str) -> None:
    assert dsn.pooling(host, port) == kind
