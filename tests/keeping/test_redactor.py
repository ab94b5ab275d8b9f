"""Owns the tests of masking: every encoding, every split, every shape."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywizard.redaction import searched
from flywizard.text import Redactor
from flywizard.vault import MASK

RANDOM = "tR8#x q/7+Zk=Lm9&'w\"$v"
"""A value with everything that an encoding changes."""


def encodings(value: str) -> list[str]:
    data = value.encode()
    basic = [base64.b64encode(b"x" * n + data + b"y" * m).decode() for n in range(3) for m in range(3)]
    return [
        value,
        quote(value, safe=""),
        quote(value, safe="").lower() if value.upper() == value else quote(value),
        quote_plus(value),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(json.dumps(value)),
        repr(value),
        shlex.quote(value),
        *basic,
        base64.urlsafe_b64encode(data).decode(),
    ]


def inner(value: str, encoded: str) -> str:
    """Return a middle part that would give the value away."""
    return encoded[len(encoded) // 3 : 2 * len(encoded) // 3 + 1]


@pytest.mark.parametrize("encoded", encodings(RANDOM))
def test_every_encoding_is_masked(encoded: str) -> None:
    masked = Redactor([RANDOM]).mask(f"before <{encoded}> after")
    assert MASK in masked
    assert inner(RANDOM, encoded) not in masked
    assert masked.startswith("before <")
    assert masked.endswith("> after")


def test_percent_encoding_in_lower_case() -> None:
    assert Redactor(["p@ss/w?rd"]).mask("u=p%40ss%2fw%3frd.") == f"u={MASK}."


secret = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=6, max_size=40).filter(
    lambda s: searched(s) and len(set(s)) >= 5
)
noise = st.text(st.sampled_from("abc \n=:/@sk-pF%"), max_size=30)


@settings(deadline=None)
@given(secret, noise, noise, st.integers(0, 99), st.lists(st.integers(1, 9), max_size=60))
@example("sk-sk-abcdef", "", "", 0, [1] * 60)
def test_a_split_stream_never_leaks(value: str, before: str, after: str, which: int, cuts: list[int]) -> None:
    redactor = Redactor([value])
    known = sorted(redactor.forms)
    form = known[which % len(known)]
    text = before + form + after
    stream, shown, at = redactor.stream(), "", 0
    for size in cuts:
        shown += stream.feed(text[at : at + size])
        at += size
        assert form not in shown
    shown += stream.feed(text[at:])
    shown += stream.flush()
    assert form not in shown
    assert MASK in shown


@settings(deadline=None)
@given(st.lists(secret, min_size=1, max_size=4), st.data())
def test_pieces_give_the_same_as_the_whole(values: list[str], data: st.DataObject) -> None:
    redactor = Redactor(values)
    parts = data.draw(st.lists(st.one_of(st.sampled_from(values), st.text("xyz \n", max_size=5)), max_size=6))
    text = "".join(parts)
    stream, shown, rest = redactor.stream(), "", text
    while rest:
        size = data.draw(st.integers(1, 12))
        shown, rest = shown + stream.feed(rest[:size]), rest[size:]
    shown += stream.flush()
    assert shown == redactor.mask(text)


def test_overlapping_values_are_masked_together() -> None:
    redactor = Redactor(["abcdefgh", "efgh1234"])
    assert redactor.mask("<abcdefgh1234>") == f"<{MASK}>"
    stream = redactor.stream()
    assert stream.feed("<abcdefgh") + stream.feed("1234>") + stream.flush() == f"<{MASK}>"


def test_a_tail_that_was_masked_stays_masked_while_it_waits_again() -> None:
    stream = Redactor(["00123A"]).stream()
    pieces = ["0", "0", "1", "2", "3", "A", "00123A"]
    assert "".join(map(stream.feed, pieces)) + stream.flush() == MASK * 2


def test_only_what_can_begin_a_secret_is_held_back() -> None:
    stream = Redactor(["Zebra-77-Stripe"]).stream()
    assert stream.feed("Continue? [y/n] ") == "Continue? [y/n] "
    assert stream.feed("done Zeb") == "done "
    assert stream.feed("u\n") == "Zebu\n"
    assert stream.flush() == ""


def test_lines_of_a_multi_line_value() -> None:
    redactor = Redactor(["first-line-long\nshort\nsecond-line-long"])
    assert redactor.mask("a second-line-long b") == f"a {MASK} b"
    assert redactor.mask("a short b") == "a short b"


def test_short_values_and_common_words_are_not_searched() -> None:
    assert (
        Redactor(["abc", "postgres", "Production"]).mask("abc postgres production")
        == "abc postgres production"
    )


def test_basic_pair() -> None:
    redactor = Redactor()
    redactor.add_pair("me", "Secr3t-Value")
    header = base64.b64encode(b"me:Secr3t-Value").decode()
    assert redactor.mask(f"authorization {header}") == f"authorization {MASK}"


def test_the_password_in_a_url_is_masked_alone_too() -> None:
    redactor = Redactor(
        ["postgres://fly-user:S3cr%40tPass@h:5432/d", "Endpoint=sb://n/;SharedAccessKey=abcdef012345="]
    )
    assert redactor.mask("failed for S3cr@tPass, S3cr%40tPass") == f"failed for {MASK}, {MASK}"
    assert redactor.mask("key abcdef012345= on h:5432/d") == f"key {MASK} on h:5432/d"


def test_a_value_added_later_is_masked_by_an_open_stream() -> None:
    redactor = Redactor()
    stream = redactor.stream()
    assert stream.feed("Zebra-77-Stripe\n") == "Zebra-77-Stripe\n"
    redactor.add("Zebra-77-Stripe")
    assert stream.feed("Zebra-77-Stripe\n") == f"{MASK}\n"


SHAPES = [
    (
        "postgres://fly-user:S3cr3tPass@host.fly.dev:5432/db",
        f"postgres://fly-user:{MASK}@host.fly.dev:5432/db",
    ),
    ("redis://:p@ss/w0rd@h:1", f"redis://:{MASK}@h:1"),
    ("token FlyV1 fm2_lJPE,fm2_abc== rest", f"token {MASK} rest"),
    ("fm1r_abc/+== fm1a_abc fo1_zzz", f"{MASK} {MASK} {MASK}"),
    ("Authorization: Bearer abcdefgh.ijk", f"Authorization: Bearer {MASK}"),
    ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {MASK}"),
    (
        'PlainLoginModule required username="u" password="p\\"w d";',
        f'PlainLoginModule required username="u" password={MASK};',
    ),
    ("key sk-abcdefgh12345", f"key {MASK}"),
    ("  Password:    Hunter2Hunter2", f"  Password:    {MASK}"),
    (
        "Endpoint=sb://n/;SharedAccessKeyName=Root;SharedAccessKey=abc+/=;E=1",
        f"Endpoint=sb://n/;SharedAccessKeyName=Root;SharedAccessKey={MASK};E=1",
    ),
    ("  DATABASE_URL=postgresql://u:p@h/d", f"  DATABASE_URL={MASK}"),
    ("OPENAI_API_KEY=whatever-it-is x", f"OPENAI_API_KEY={MASK} x"),
    ('{"password": "a b", "user": "u"}', f'{{"password": {MASK}, "user": "u"}}'),
    ("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nb", f"a\n{MASK}\nb"),
    ("https://ghp_0123456789012345678901234567890123456@github.com", f"https://{MASK}@github.com"),
]


@pytest.mark.parametrize(("raw", "expected"), SHAPES)
def test_shapes(raw: str, expected: str) -> None:
    redactor = Redactor()
    assert redactor.mask(raw) == expected
    assert redactor.mask(expected) == expected


@pytest.mark.parametrize(("raw", "expected"), SHAPES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_shapes_split_over_reads(raw: str, expected: str, size: int) -> None:
    stream = Redactor().stream()
    shown = "".join(stream.feed(raw[at : at + size]) for at in range(0, len(raw), size)) + stream.flush()
    assert shown == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:3000/users/@me",
        "https://fly.io/docs/flyctl/install",
        "password authentication failed for user",
        "task-force-something",
        "echo NAME=value NEXT_PUBLIC_API_KEY=open",
        "fly secrets set OPENAI_API_KEY=- --stage",
        "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor(["Zebra-77-Stripe"]).mask(text) == text


def test_a_long_stream_of_letters_is_not_held_for_ever() -> None:
    stream = Redactor().stream()
    shown = "".join(stream.feed("x" * 5000) for _ in range(40))
    assert len(shown) > 150_000


def test_an_unfinished_key_block_is_swallowed() -> None:
    stream = Redactor().stream()
    shown = stream.feed("k -----BEGIN PRIVATE KEY-----\nabc") + stream.feed("DEF\nGHI\n-----END PRIV")
    shown += stream.feed("ATE KEY-----\nafter") + stream.flush()
    assert shown == f"k {MASK}\nafter"


def test_a_value_with_an_escape_in_it_is_cleaned_before_it_is_masked() -> None:
    redactor = Redactor(["Zebra-77-Stripe"])
    assert redactor.line("x Zebra\x1b[0m-77\x00-Stripe y") == f"x {MASK} y"
    stream = redactor.stream(clean=True)
    raw = "x Zebra\x1b[0m-77\x00-Str\x1b]0;t\x07ipe y\r\nz\r10%"
    shown = "".join(stream.feed(c) for c in raw) + stream.flush()
    assert shown == f"x {MASK} y\nz\n10%"


def test_the_redactor_never_shows_its_values() -> None:
    redactor = Redactor(["Zebra-77-Stripe"])
    assert "Zebra" not in repr(redactor) + str(redactor) + repr(redactor.stream())
