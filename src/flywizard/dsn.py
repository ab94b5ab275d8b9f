"""Owns Postgres URLs: read them, build them for a driver, and go from pooled to direct. Pure; values stay Secrets.

The forms that drivers accept, and the host names of Managed Postgres, were read in 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode

from flywizard.vault import Secret

Driver: TypeAlias = Literal[
    "asyncpg",
    "sqlalchemy+asyncpg",
    "sqlalchemy+psycopg",
    "sqlalchemy+psycopg2",
    "psycopg",
    "psycopg2",
    "tortoise",
    "prisma",
    "pg",
]
Part: TypeAlias = Literal["host", "port", "user", "password", "database"]
Pooling: TypeAlias = Literal["pooled", "transaction", "direct", "unknown"]
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SCHEMES: Final[Mapping[str, str]] = {
    "sqlalchemy+asyncpg": "postgresql+asyncpg",
    "sqlalchemy+psycopg": "postgresql+psycopg",
    "tortoise": "asyncpg",
}
"""Scheme by driver; every other driver takes ``postgresql``."""
_KEYWORD_DRIVERS: Final = frozenset({"sqlalchemy+asyncpg", "tortoise"})
"""They hand every parameter to ``asyncpg.connect`` as a keyword: ``sslmode`` is a TypeError there."""
_LIBPQ_ONLY: Final = frozenset(
    {
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "options",
        "require_auth",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "tcp_user_timeout",
        "application_name",
    }
)
_PRISMA_ONLY: Final = frozenset({"pgbouncer", "connection_limit", "pool_timeout", "schema", "sslaccept"})
_ASYNCPG_READS: Final = frozenset(
    {"application_name", "options", "sslcert", "sslcrl", "sslkey", "sslpassword", "sslrootcert"}
)
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_REST: Final = re.compile(r"(?P<place>[^/?#]*)(?:/(?P<name>[^?#]*))?(?:\?(?P<query>[^#]*))?")
_KNOWN: Final = re.compile(r"^(postgres(ql)?(\+\w+)?|asyncpg|psycopg)$", re.IGNORECASE)


class DsnError(ValueError):
    """A database URL cannot be used; the text never repeats the URL."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        """empty · scheme · no_host · bad_port · no_user · no_database · encoding · sslmode."""
        self.text = text


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where a database is and who signs in."""

    host: str
    user: str
    password: Secret
    database: str
    port: int = 5432
    query: tuple[tuple[str, str], ...] = ()
    """Further parameters in libpq's words (``sslmode``, not ``ssl``)."""

    @property
    def sslmode(self) -> str:
        """Return the TLS mode, libpq's default where none is given."""
        return dict(self.query).get("sslmode", "prefer")

    def without(self, *names: str) -> Credentials:
        """Return a copy without these parameters."""
        return replace(self, query=tuple((k, v) for k, v in self.query if k not in names))

    def plus(self, **values: str) -> Credentials:
        """Return a copy with these parameters set."""
        return replace(self, query=(*self.without(*values).query, *values.items()))


def parse(url: Secret | str) -> Credentials:
    """Read a Postgres URL of any driver; characters of the password that should be encoded may stand as they are.

    Raises:
        DsnError: it is not one, or a part is missing.
    """
    text = (url.reveal() if isinstance(url, Secret) else url).strip().strip("\"'")
    if not text:
        raise DsnError("empty", "no URL given")
    scheme = _SCHEME.match(text)
    if scheme is None or not _KNOWN.match(scheme[1]):
        said = f"`{scheme[1]}://` is not a Postgres URL" if scheme else "this is not a URL"
        raise DsnError("scheme", f"{said}; it begins with `postgresql://`")
    body = text[scheme.end() :]
    userinfo, rest = _login_and_rest(body)
    shape = _REST.match(rest)
    place, name, raw_query = (
        (shape["place"], shape["name"] or "", shape["query"] or "") if shape else ("", "", "")
    )
    host, port = _place(place)
    user, _, password = userinfo.partition(":")
    try:
        query = tuple(parse_qsl(raw_query, keep_blank_values=True, errors="strict"))
        found = Credentials(
            host,
            unquote(user, errors="strict"),
            Secret(unquote(password, errors="strict")),
            unquote(name, errors="strict"),
            port,
            _in_libpq_words(query),
        )
    except UnicodeDecodeError:
        raise DsnError("encoding", "a percent-encoded character is not UTF-8") from None
    if not found.user:
        raise DsnError("no_user", "there is no user in the URL")
    if not found.database:
        raise DsnError("no_database", "there is no database name at the end of the URL")
    if "\0" in found.user + found.database + found.password.reveal():
        raise DsnError("encoding", "a character with the code 0 is in the URL")
    if found.sslmode not in SSL_MODES:
        raise DsnError("sslmode", f"`sslmode` is one of {', '.join(SSL_MODES)}")
    return found


def _login_and_rest(body: str) -> tuple[str, str]:
    """Cut at the last ``@`` after which a host and a database follow: a pasted password may hold ``@``, ``/`` and ``#``."""
    for at in reversed([match.start() for match in re.finditer("@", body)]):
        shape = _REST.match(body[at + 1 :])
        if shape and shape["place"] and shape["name"]:
            return body[:at], body[at + 1 :]
    login, at_sign, _ = re.split(r"[/?#]", body, maxsplit=1)[0].rpartition("@")
    return (login, body[len(login) + 1 :]) if at_sign else ("", body)


def _place(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    host = unquote(host)
    if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host):
        raise DsnError("no_host", "there is no usable host name in the URL")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise DsnError("bad_port", "the port is not a number between 1 and 65535")
    return host, int(port or 5432)


def _in_libpq_words(query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Say ``sslmode`` where a driver's URL said ``ssl``; drop what only switches prepared statements off."""
    out: list[tuple[str, str]] = []
    for key, value in query:
        match key:
            case "ssl":
                word = {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(
                    value.lower(), value
                )
                out.append(("sslmode", word))
            case "statement_cache_size" | "prepared_statement_cache_size" | "pgbouncer" | "prepare_threshold":
                continue
            case _:
                out.append((key, value))
    return tuple(out)


def build(credentials: Credentials, scheme: str = "postgresql") -> Secret:
    """Return the URL; every part percent-encoded, the port only where it is not 5432."""
    host = f"[{credentials.host}]" if ":" in credentials.host else credentials.host
    port = "" if credentials.port == 5432 else f":{credentials.port}"
    user = quote(credentials.user, safe="")
    password = quote(credentials.password.reveal(), safe="")
    login = f"{user}:{password}" if password else user
    query = f"?{urlencode(credentials.query, quote_via=quote)}" if credentials.query else ""
    return Secret(f"{scheme}://{login}@{host}{port}/{quote(credentials.database, safe='')}{query}")


def dsn(
    credentials: Credentials, driver: str | None, pooled: bool, *, transaction_pool: bool = False
) -> Secret:
    """Return the URL in the form that a driver takes, over the pooled or the direct host.

    ``driver`` is a ``Driver``; None or another word gives the plain ``postgresql://`` form.
    ``transaction_pool`` switches prepared statements off where a URL can (Managed Postgres pools by session).
    """
    place = credentials if pooled else direct(credentials)
    private = place.host.lower().rstrip(".").endswith((".flycast", ".internal"))
    if private and "sslmode" not in dict(place.query):
        place = place.plus(sslmode="disable")
    kind = driver or ""
    if kind in _KEYWORD_DRIVERS:
        mode = dict(place.query).get("sslmode")
        place = place.without("sslmode", *_LIBPQ_ONLY, *_PRISMA_ONLY)
        if mode:
            place = place.plus(ssl=mode)
        if pooled and transaction_pool:
            place = place.plus(prepared_statement_cache_size="0", statement_cache_size="0")
    elif kind == "asyncpg":
        place = place.without(*(_LIBPQ_ONLY - _ASYNCPG_READS), *_PRISMA_ONLY)
    elif kind == "prisma":
        mode = place.sslmode
        place = place.without("channel_binding")
        if mode in ("verify-ca", "verify-full"):
            place = place.plus(sslmode="require", sslaccept="strict")
        if pooled and transaction_pool:
            place = place.plus(pgbouncer="true")
    else:
        place = place.without(*_PRISMA_ONLY)
    return build(place, SCHEMES.get(kind, "postgresql"))


def for_driver(url: Secret, driver: str | None) -> Secret:
    """Return a URL in the form that a driver takes, over the same host.

    Raises:
        DsnError: the URL cannot be read.
    """
    credentials = parse(url)
    return dsn(
        credentials,
        driver,
        True,
        transaction_pool=pooling(credentials.host, credentials.port) == "transaction",
    )


def direct(credentials: Credentials) -> Credentials:
    """Return the same database without its pool, where the host's name tells the way; else unchanged."""
    host = credentials.host
    if host.lower().endswith(".flympg.net") and host.lower().startswith("pgbouncer."):
        return replace(credentials, host="direct." + host.partition(".")[2])
    if host.lower().endswith(".neon.tech"):
        first, dot, rest = host.partition(".")
        return replace(credentials, host=first.removesuffix("-pooler") + dot + rest)
    return credentials


def direct_url(url: Secret) -> Secret:
    """Return the URL of the same database without its pool; unchanged where there is no known way.

    Raises:
        DsnError: the URL cannot be read.
    """
    return build(direct(parse(url)))


def through(url: Secret, host: str, port: int) -> Secret:
    """Return the URL as it is reached through a local proxy: other host and port, no check of the certificate's name.

    Raises:
        DsnError: the URL cannot be read.
    """
    credentials = replace(parse(url), host=host, port=port)
    return build(credentials.without("sslrootcert", "channel_binding").plus(sslmode="prefer"))


def part(url: Secret, key: str) -> Secret:
    """Return one part of a URL: host, port, user, password or database.

    Raises:
        DsnError: the URL cannot be read.
        KeyError: no such part.
    """
    return parts(parse(url))[key]


def parts(credentials: Credentials) -> dict[str, Secret]:
    """Return host, port, user, password and database, each as a value of its own."""
    return {
        "host": Secret(credentials.host),
        "port": Secret(str(credentials.port)),
        "user": Secret(credentials.user),
        "password": credentials.password,
        "database": Secret(credentials.database),
    }


def pooling(host: str, port: int = 5432) -> Pooling:
    """Say what a host's name tells about a pool in front of the database."""
    name = host.lower().rstrip(".")
    if name.endswith(".flympg.net"):
        return "direct" if name.startswith("direct.") else "pooled"
    if name.endswith(".neon.tech"):
        return "transaction" if name.partition(".")[0].endswith("-pooler") else "direct"
    if name.endswith(".pooler.supabase.com"):
        return "transaction" if port == 6543 else "pooled"
    if name.endswith((".supabase.co", ".rds.amazonaws.com", ".flycast", ".internal")):
        return "direct"
    return "unknown"
