"""Owns the tests of cleaning, and of the small text forms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.text import clean, collapse_cr, duration, rfc3339, shorten_home


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain\ttext\nnext", "plain\ttext\nnext"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]52;c;aGVsbG8=\x1b\\clip", "clip"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never ends\nnext line", "\nnext line"),
        ("\x1bPq#0;2;0;0;0\x1b\\after", "after"),
        ("\x9b31mred \x9d0;t\x9cx", "red x"),
        ("mojibake \x9d stays readable", "mojibake  stays readable"),
        ("\x1b[?1049halt\x1b[2J", "alt"),
        ("\x1b(Bset\x1bc", "set"),
        ("a\x00b\x08c\x7fd\x85e\rf", "abcdef"),
        ("user\u202egnp.exe\u2066x\u2069", "usergnp.exex"),
        ("fly\u200b.io \ufeffbom", "fly.io bom"),
        ("lone \ud800 half", "lone \ufffd half"),
        ("sep\u2028arator", "sep arator"),
        ("family 👩\u200d👩\u200d👧", "family 👩\u200d👩\u200d👧"),
        ("\x1b\x1b[31m]0;x", "]0;x"),
        ("\x1b[31", ""),
    ],
)
def test_clean_takes_out_what_acts_on_a_terminal(raw: str, expected: str) -> None:
    assert clean(raw) == expected


def test_clean_keeps_colours_on_request_and_nothing_else() -> None:
    assert clean("\x1b[1;31mred\x1b[0m\x1b[2J\x1b]0;t\x07", keep_sgr=True) == "\x1b[1;31mred\x1b[0m"


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from([*"\x1b\x9b\x9d\x07\x00[]();m0x8\n\r\t \\ab\u202e\u200b"])))
def test_cleaned_text_holds_no_control_and_stays_as_it_is(raw: str) -> None:
    cleaned = clean(raw)
    assert not any((ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) < 0xA0 for c in cleaned)
    assert "\u202e" not in cleaned
    assert clean(cleaned) == cleaned


@settings(deadline=None)
@given(st.text())
def test_cleaned_text_can_be_encoded(raw: str) -> None:
    clean(raw).encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("10%\r50%\r100%", "100%"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("10%\r\n50%\r60%\r\n", "10%\n60%\n"),
        ("a\r\r", "a"),
        ("\r", ""),
    ],
)
def test_collapse_cr(raw: str, expected: str) -> None:
    assert collapse_cr(raw) == expected


@pytest.mark.parametrize(
    ("raw", "home", "expected"),
    [
        ("at /home/ann/project", "/home/ann", "at ~/project"),
        ("/home/anna/x", "/home/ann", "/home/anna/x"),
        ("/srv/home/ann/x", "/home/ann", "/srv/home/ann/x"),
        ('File "/home/ann"', "/home/ann/", 'File "~"'),
        ("C:\\\\Users\\\\ann\\\\x and C:\\Users\\ann", "C:\\Users\\ann", "~\\\\x and ~"),
        ("/etc/x", "/", "/etc/x"),
    ],
)
def test_shorten_home(raw: str, home: str, expected: str) -> None:
    assert shorten_home(raw, home) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (3905, "1 h 5 min"),
        (-1, "0 s"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_rfc3339() -> None:
    assert rfc3339(1767323045.6784) == "2026-01-02T03:04:05.678Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
