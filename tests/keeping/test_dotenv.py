"""Owns the tests of reading `.env` files and of telling secrets from settings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.dotenv import (
    EnvFile,
    file_role,
    generate_secret,
    is_dangerous,
    is_local,
    is_placeholder,
    may_be_generated,
    parse,
    published_secret,
    secret_kind,
)
from flywizard.vault import Secret


def values(file: EnvFile) -> dict[str, str | None]:
    return {e.name: None if e.value is None else e.value.reveal() for e in file.entries}


def codes(file: EnvFile) -> list[tuple[int, str]]:
    return [(n.line, n.code) for n in file.notices]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  ", "b"),
        ("A=b==", "b=="),
        ("A=b # note", "b"),
        ("A=", ""),
        ("A= # note", ""),
        ("A=b c", "b c"),
        ("A='it\\n $X # #'", "it\\n $X # #"),
        ("A='two\nlines' # note", "two\nlines"),
        ('A="x\\ny\\t\\"q\\"\\\\ \\$HOME"', 'x\ny\t"q"\\ $HOME'),
        ('A="two\r\nlines"', "two\nlines"),
        ("A=\\$x", "\\"),
        ("A=pa$$word", "pa$word"),
        ("A=C:\\path\\n", "C:\\path\\n"),
        ("\ufeffA=b\r\n", "b"),
        ("A=ünï", "ünï"),
    ],
)
def test_values(text: str, expected: str) -> None:
    file = parse(text.encode())
    assert values(file) == {"A": expected}


def test_a_name_alone_is_taken_from_the_environment() -> None:
    file = parse(b"A\nB # note\nexport C\n")
    assert values(file) == {"A": None, "B": None, "C": None}
    assert file.notices == ()


def test_names_in_values_are_resolved_and_shown_as_found() -> None:
    file = parse(
        b"U=me\nURL=\"postgres://${U}:$P@db/${D:-app}\"\nRAW='$U'\nN=${Z:-${U}-x}\nE=${U:+set}\nM=${U-}$Q\n",
        {"P": "pw", "D": ""},
    )
    assert values(file) == {
        "U": "me",
        "URL": "postgres://me:pw@db/app",
        "RAW": "$U",
        "N": "me-x",
        "E": "set",
        "M": "me",
    }
    url = file["URL"]
    assert url.found == Secret("postgres://${U}:$P@db/${D:-app}")
    assert url.uses == ("U", "P", "D")
    assert [(r.tools, r.value.reveal()) for r in url.others] == [
        ("dotenv for Node", "postgres://${U}:$P@db/${D:-app}")
    ]
    assert file["RAW"].found is None
    assert (6, "unset") in codes(file)


def test_a_hash_without_a_blank_is_read_differently() -> None:
    file = parse(b"A=pa#ss\n")
    assert values(file) == {"A": "pa#ss"}
    assert file["A"].others[0].value == Secret("pa")
    assert codes(file) == [(1, "differs")]


def test_bad_lines_are_named_by_number_and_never_shown() -> None:
    data = (
        b"OK=1\nno equals sign Zebra\nBAD=\xff\xfeZebra\nNUL=\x00\nA-B=Zebra\nQ='Zebra\nLAST=2\nT='a' Zebra\n"
    )
    file = parse(data)
    assert values(file) == {"OK": "1", "LAST": "2", "T": "a"} or values(file)["OK"] == "1"
    assert codes(file)[:4] == [(2, "bad-line"), (3, "bytes"), (4, "bytes"), (5, "bad-name")]
    assert not any("Zebra" in n.text for n in file.notices)


def test_an_unclosed_quote_costs_one_line() -> None:
    file = parse(b'A="never\nB=2\n')
    assert values(file) == {"B": "2"}
    assert codes(file) == [(1, "unclosed")]


def test_a_quote_over_a_bad_line_is_left_out() -> None:
    file = parse(b"A='x\n\xff\ny'\nB=2\n")
    assert values(file) == {"B": "2"}


def test_repeated_and_dangerous_names() -> None:
    file = parse(b"A=1\nLD_PRELOAD=/x.so\nA=2\n")
    assert file["A"].value == Secret("2")
    assert codes(file) == [(2, "dangerous"), (3, "repeated")]
    assert "line 1 and on line 3" in file.notices[1].text


def test_values_that_grow_without_end_stop() -> None:
    lines = [
        "A=" + "x" * 1000,
        *(f"{chr(66 + n)}=" + f"${chr(65 + n)}" * 100 for n in range(5)),
        "Z=" + "${" * 50_000,
    ]
    file = parse("\n".join(lines).encode())
    assert (3, "too-large") in codes(file)
    assert sum(len(e.value.reveal()) for e in file.entries if e.value) < 5_000_000


def test_large_files_are_not_read() -> None:
    assert codes(parse(b"A=1\n" * 300_000)) == [(1, "too-large")]


def test_no_value_shows_in_the_repr() -> None:
    assert "Zebra" not in repr(parse(b"A=Zebra#x$Y\nA='Zebra"))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    file = parse(data)
    assert len({e.name for e in file.entries}) == len(file.entries)
    lines = data.count(b"\n") + 1
    assert all(1 <= n <= lines for n in [n.line for n in file.notices] + [e.line for e in file.entries])


@settings(deadline=None)
@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r")))
def test_what_double_quotes_escape_comes_back(value: str) -> None:
    escaped = re.sub(r'(["\\$])', r"\\\1", value)
    file = parse(f'A="{escaped}"\nB=1\n'.encode())
    assert values(file) == {"A": value, "B": "1"}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        (".env", "values"), ("backend/.env.local", "values"), (".env.production", "values"), ("api.env", "values"),
        (".env.example", "names"), (".env.sample", "names"), (".env.production.template", "names"), (".env.dist", "names"),
        (".env.bak", None), (".env.backup", None), (".env~", None), ("README.md", None),
    ],
)  # fmt: skip
def test_file_roles(name: str, role: str | None) -> None:
    assert file_role(name) == role


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("OPENAI_API_KEY", None, "secret"), ("POSTGRES_PASSWORD", None, "secret"), ("DATABASE_URL", None, "secret"),
        ("SENTRY_DSN", None, "secret"), ("KAFKA_SASL_USERNAME", None, "secret"), ("TWILIO_ACCOUNT_SID", None, "secret"),
        ("WHATSAPP_TOKEN", None, "secret"), ("AWS_ACCESS_KEY_ID", None, "secret"), ("KAFKA_SASL_JAAS_CONFIG", None, "secret"),
        ("UPSTASH_REDIS_REST_TOKEN", None, "secret"), ("MONGODB_URI", None, "secret"), ("SOMETHING", "sk-abcdefghijkl", "secret"),
        ("WEBSITE", "https://u:p@h/", "secret"), ("BLOB", "a8Fq2Lm9Xc7Zr4Tb6Wd1Ye3Uo5", "secret"),
        ("NEXT_PUBLIC_API_KEY", None, "public"), ("VITE_URL", "x", "public"),
        ("PORT", "8000", "plain"), ("LOG_LEVEL", None, "plain"), ("MODEL", "claude-3-5-sonnet-20241022", "plain"),
        ("MAX_TOKENS", "4096", "plain"), ("ACCESS_TOKEN_EXPIRE_MINUTES", "30", "plain"), ("TOKENIZERS_PARALLELISM", None, "plain"),
        ("KAFKA_BOOTSTRAP_SERVERS", "pkc-4nym6.us-east-1.aws.confluent.cloud:9092", "plain"), ("TOKEN_URL", None, "plain"),
        ("PASSWORD_MIN_LENGTH", "8", "plain"), ("UPLOAD_PATH", "/data", "plain"), ("AUTHOR", "me", "plain"),
        ("JWT_SECRET_FILE", None, "file"), ("KAFKA_SSL_CAFILE", "ca.pem", "file"), ("SSL_CERT_PATH", None, "file"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "./key.json", "file"),
    ],
)  # fmt: skip
def test_secret_kind(name: str, value: str | None, kind: str) -> None:
    assert secret_kind(name, None if value is None else Secret(value)) == kind


def test_a_secret_in_a_published_name_is_a_warning() -> None:
    assert published_secret("NEXT_PUBLIC_KEY", Secret("sk-abcdefghijkl"))
    assert not published_secret("NEXT_PUBLIC_API_URL", Secret("http://localhost:8000"))


@pytest.mark.parametrize("value", ["", " ", "changeme", "change_me_please", "your-api-key", "xxx", "<key>", "sk-...", "sk-xxxx", "YOUR_KEY_HERE", "todo", "sk-proj-xxxx"])  # fmt: skip
def test_placeholders(value: str) -> None:
    assert is_placeholder(Secret(value))


@pytest.mark.parametrize("value", ["sk-abcdefghijkl", "info", "8000", "https://api.example.com", "true"])
def test_no_placeholders(value: str) -> None:
    assert not is_placeholder(Secret(value))


@pytest.mark.parametrize(
    ("name", "value", "local"),
    [
        ("DATABASE_URL", "postgresql://u:p@db:5432/x", True), ("DATABASE_URL", "postgresql://u:p@db.example.com/x", False),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:29092,other:1", True), ("API", "http://localhost:8000", True),
        ("REDIS_HOST", "redis", True), ("CACHE_BACKEND", "redis", False), ("BIND", "127.0.0.1", True), ("X", "http://[::1]:3", True),
        ("URL", "https://fly.dev/db", False),
    ],
)  # fmt: skip
def test_local_values(name: str, value: str, local: bool) -> None:
    assert is_local(name, Secret(value), ("db", "kafka", "redis")) is local


def test_dangerous_names() -> None:
    assert all(
        map(
            is_dangerous,
            (
                "LD_PRELOAD",
                "DYLD_INSERT_LIBRARIES",
                "PATH",
                "PYTHONPATH",
                "NODE_OPTIONS",
                "FLY_API_TOKEN",
                "http_proxy",
            ),
        )
    )
    assert not any(map(is_dangerous, ("DATABASE_URL", "PORT", "LOG_LEVEL", "OPENAI_API_KEY")))


def test_what_may_be_generated() -> None:
    assert all(
        map(
            may_be_generated,
            (
                "SECRET_KEY",
                "JWT_SECRET",
                "JWT_SECRET_KEY",
                "SESSION_SECRET",
                "NEXTAUTH_SECRET",
                "APP_SIGNING_KEY",
                "WEBHOOK_SECRET",
            ),
        )
    )
    assert not any(
        map(
            may_be_generated,
            (
                "OPENAI_API_KEY",
                "STRIPE_WEBHOOK_SECRET",
                "OAUTH_CLIENT_SECRET",
                "DATABASE_URL",
                "QSTASH_CURRENT_SIGNING_KEY",
                "AWS_SECRET_ACCESS_KEY",
                "NEXT_PUBLIC_SECRET_KEY",
            ),
        )
    )


def test_generated_values_pass_everywhere() -> None:
    made = {generate_secret().reveal() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{42}", value) for value in made)
