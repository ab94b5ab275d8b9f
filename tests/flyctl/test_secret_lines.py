"""Values arrive as they are, or are refused: never changed, never lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flywizard.flyctl.secret_lines import (
    BadLineError,
    CrashError,
    import_line,
    not_by_stdin,
    parse_import,
    plan_secret_writes,
)
from tests.support.flyctl_recordings import recording

NASTY = st.text(alphabet=st.sampled_from("\"'#\\=\n\r\t ax$`\u2028\x85é🔑"), max_size=12)
VALUES = st.one_of(NASTY, st.text(max_size=30))
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True)


def sent(name: str) -> dict[str, str]:
    bodies: list[Any] = [
        e["request_body"]
        for e in recording(name)["exchange"]
        if e["method"] == "POST" and e["path"].endswith("/secrets")
    ]
    return dict(bodies[-1]["values"]) if bodies else {}


@pytest.mark.parametrize(
    "name", ["secrets_import_ok", "secrets_import_raw_lines", "secrets_import_unterminated"]
)
def test_the_port_reads_what_the_real_reader_read(name: str) -> None:
    assert parse_import(recording(name)["stdin"].encode()) == sent(name)


def test_the_port_loses_what_the_real_reader_lost() -> None:
    text = recording("secrets_import_long_line")["stdin"].replace("<66000 x>", "x" * 66_000)
    assert parse_import(text.encode()) == sent("secrets_import_long_line") == {"BEFORE": "1"}
    assert parse_import(b"A=" + b"x" * 65_533 + b"\nB=1\n").keys() == {"A", "B"}


def test_the_port_fails_where_the_real_reader_failed() -> None:
    with pytest.raises(CrashError):
        parse_import(recording("secrets_import_single_quote_char")["stdin"].encode())
    with pytest.raises(BadLineError) as caught:
        parse_import(recording("secrets_import_bad_line")["stdin"].encode())
    assert "secret value" not in str(caught.value)


def test_what_the_recorded_values_become() -> None:
    values = {**sent("secrets_import_ok"), "CRLF": "a\r\nb"}
    writes = plan_secret_writes(values)
    assert [name for name, _ in writes.singles] == ["CRLF"]
    assert writes.refused == ()
    del values["CRLF"]
    assert parse_import(writes.import_text) == values


@given(st.dictionaries(NAMES, VALUES, max_size=8))
@example({"A": '"'})
@example({"A": '"""\n"""', "B": "1"})
@example({"A": '"""', "B": '""""""', "C": "x"})
@example({"A": "\n", "B": "\r", "C": "a\n\r"})
@example({"A": 'x"#\n', "B": "k"})
def test_every_value_arrives_or_is_refused(values: dict[str, str]) -> None:
    writes = plan_secret_writes(values)
    arrived = parse_import(writes.import_text)
    for name, data in writes.singles:
        assert not_by_stdin(data.decode()) == ""
        arrived[name] = data.decode()
    refused = {name for name, _ in writes.refused}
    assert arrived == {name: value for name, value in values.items() if name not in refused}
    assert arrived.keys().isdisjoint(refused)


@given(VALUES)
def test_a_value_that_stands_on_one_line_is_seldom_refused(value: str) -> None:
    plain = not ("\n" in value or "\r" in value or "\0" in value)
    if plain and not any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        assert plan_secret_writes({"X": value}).imported == ("X",)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("export X", "1", "the name may only have"),
        ("1X", "1", "the name may only have"),
        ("X", "a\0b", "NUL"),
        ("X", "\ud800", "not valid Unicode"),
        ("X", "a\r\n", "trim the white space"),
        ("X", "a\r\nb" + "x" * 66_000, "longer than 64 KiB"),
    ],
)
def test_what_is_refused_says_why(name: str, value: str, reason: str) -> None:
    ((refused, why),) = plan_secret_writes({name: value}).refused
    assert refused == name
    assert reason in why


def test_limits() -> None:
    assert import_line("X", "x" * 65_400) is not None
    assert import_line("X", "x" * 65_500) is None
    assert plan_secret_writes({"X": "x" * 65_536}).singles[0][0] == "X"
    assert plan_secret_writes({"X": "x" * 65_537}).refused


def test_a_key_of_several_lines_keeps_its_last_newline() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nab#c\n-----END PRIVATE KEY-----\n"
    assert parse_import(plan_secret_writes({"PEM": pem}).import_text) == {"PEM": pem}


def test_values_are_not_shown() -> None:
    writes = plan_secret_writes({"A": "hunter2", "B": "hunter3\r\nx"})
    assert "hunter" not in repr(writes)
