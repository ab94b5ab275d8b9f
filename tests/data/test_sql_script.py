"""Owns the tests of the SQL reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.sql_script import ScriptError, fits_one_transaction, split_statements, tables_created

SCRIPT = r"""
-- a comment; with a semicolon
CREATE EXTENSION IF NOT EXISTS vector; /* a /* nested; */ one; */
CREATE TABLE IF NOT EXISTS "Odd ""Name" (id int, note text DEFAULT 'it''s; fine');
CREATE TABLE Shop.Items (id int, mark text DEFAULT E'\'; no');
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.at := now(); -- not the end
    RETURN NEW;
END;
$body$;
CREATE FUNCTION one() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 ELSE 2 END; END;
CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2);
CREATE TEMP TABLE scratch (id int);
CREATE UNLOGGED TABLE plain AS SELECT $1x$ FROM t;
select 'create table nope (id int);'
"""


def test_statements_are_told_apart() -> None:
    statements = split_statements(SCRIPT.replace("$1x$", "1"))
    assert [s.line for s in statements] == [3, 4, 5, 6, 12, 13, 14, 15, 16]
    assert [s.number for s in statements] == list(range(1, 10))
    assert statements[3].text.endswith("$body$")
    assert "not the end" not in statements[3].bare
    assert statements[4].text.endswith("END")
    assert tables_created(SCRIPT.replace("$1x$", "1")) == ('"Odd ""Name"', "shop.items", "plain")


@pytest.mark.parametrize(
    ("script", "line"),
    [("SELECT 1;\n\\connect other\n", 2), ("\nSELECT 'open", 2), ("/* open", 1), ("SELECT $x$ open", 1),
     ("COPY t FROM stdin;\n1\n\\.\n", 1), ('SELECT "open', 1), ("SELECT E'open", 1)],
)  # fmt: skip
def test_what_only_psql_can_run_is_named(script: str, line: int) -> None:
    with pytest.raises(ScriptError) as refused:
        split_statements(script)
    assert refused.value.line == line
    assert tables_created(script) == ()


@pytest.mark.parametrize(
    ("script", "fits"),
    [
        ("CREATE TABLE a (id int); CREATE INDEX i ON a (id);", True),
        ("CREATE INDEX CONCURRENTLY i ON a (id);", False),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON a (id);", False),
        ("BEGIN; SELECT 1; COMMIT;", False),
        ("COMMENT ON TABLE a IS 'COMMIT; CONCURRENTLY';", True),
        ("-- COMMIT\nSELECT 1", True),
        ("VACUUM a", False),
    ],
)
def test_one_transaction_where_it_can_be(script: str, fits: bool) -> None:
    assert fits_one_transaction(split_statements(script)) is fits


@given(st.lists(st.text("abc; '\"$-/*\n(),E", max_size=12), max_size=6))
def test_any_text_is_split_or_refused(pieces: list[str]) -> None:
    script = ";".join(pieces)
    try:
        statements = split_statements(script)
    except ScriptError:
        return
    at = 0
    for statement in statements:
        assert statement.text
        at = script.index(statement.text.split("\n")[0], at)
        assert 1 <= statement.line <= script.count("\n") + 1


@given(st.text(max_size=40).filter(lambda t: "\0" not in t))
def test_a_quoted_text_never_ends_a_statement(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert len(split_statements(f"SELECT {quoted}; SELECT 2")) == 2
    tag = "$tag$" if "$tag$" not in text else "$other$"
    if tag not in text:
        assert len(split_statements(f"SELECT {tag}{text}{tag}; SELECT 2")) == 2
