"""The stand-in's reader of secret lines against the wizard's writer and the wizard's own port of the reader."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flywizard.flyctl.secret_lines import BadLineError, CrashError, parse_import, plan_secret_writes
from flywizard.rehearsal.fly_core import Crash, Failure
from flywizard.rehearsal.fly_secrets import parse_arguments, parse_lines

NAME = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)
PIECES = st.sampled_from(
    ["A", "B=", "=", '"', '"""', "'", "#", " ", "\n", "\r\n", "\t", "x", "export C=1", "\u2003"]
)


@given(st.dictionaries(NAME, VALUE, max_size=4))
def test_what_the_wizard_writes_is_read_back(values: dict[str, str]) -> None:
    writes = plan_secret_writes(values)
    assert parse_lines(writes.import_text) == {name: values[name] for name in writes.imported}
    for name, stdin in writes.singles:
        assert parse_arguments([f"{name}=-"], stdin) == {name: values[name]}


@given(st.lists(PIECES, max_size=14).map("".join))
@example('A="""x\ny"""\nB=1')
@example('A="')
@example("A='")
def test_both_ports_of_the_reader_agree(text: str) -> None:
    raw = text.encode()
    try:
        expected: object = parse_import(raw)
    except CrashError:
        expected = Crash
    except BadLineError:
        expected = Failure
    try:
        got: object = parse_lines(raw)
    except (Crash, Failure) as error:
        got = type(error)
    assert got == expected


def test_losses_are_silent() -> None:
    assert parse_lines(b"A=1\nBIG=" + b"x" * 65536 + b"\nC=2\n") == {"A": "1"}
    assert parse_lines(b'A=1\nB="""never closed\nC=2\n') == {"A": "1"}
    with pytest.raises(Failure, match="Input exceeded max length of 65536 bytes"):
        parse_arguments(["A=-"], b"x" * 65537)
