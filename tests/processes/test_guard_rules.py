"""Tests of the guard's rules as functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.guard_rules import (
    Create,
    Limits,
    Once,
    Refuse,
    Repeat,
    classify,
    found,
    graphql_operation,
    items,
    refusal,
    retry_after,
    same_token,
    time_limit,
    token_parts,
    upstream_of,
)

names = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
spaces = st.sampled_from(["", " ", "\n", " # a { mutation } comment\n", ",", "\t"])


def operation(query: str) -> tuple[str, tuple[str, ...]]:
    return graphql_operation(json.dumps({"query": query}).encode())


@pytest.mark.parametrize(
    ("query", "kind", "fields"),
    [
        ("{ viewer { email } }", "query", ("viewer",)),
        ("query { viewer { email } }", "query", ("viewer",)),
        (
            'query Q($a: [String!]! = ["{"]) @d(x: {y: 1}) { a: app(name: "}") { id } b }',
            "query",
            ("app", "b"),
        ),
        ("query Q { ...F } fragment F on X { mutation { x } }", "query", ("F",)),
        ("fragment F on X { y } mutation M { doIt { x } }", "mutation", ("doIt",)),
        ("query A { x } mutation B { y }", "mutation", ("x", "y")),
        (
            'mutation($i: I!) { allocateIpAddress(input: {a: "b"}) { app } }',
            "mutation",
            ("allocateIpAddress",),
        ),
        ("subscription { x }", "mutation", ("x",)),
        ('{ a(s: """ mutation { "quoted" } """) }', "query", ("a",)),
        ("{ a ", "mutation", ("a",)),
        ("", "mutation", ()),
        ("query", "mutation", ()),
    ],
)
def test_graphql_is_read(query: str, kind: str, fields: tuple[str, ...]) -> None:
    assert operation(query) == (kind, fields)


@given(st.sampled_from(["query", "mutation"]), st.lists(spaces, min_size=5, max_size=5))
def test_blanks_and_comments_do_not_hide_a_mutation(word: str, blanks: list[str]) -> None:
    a, b, c, d, e = blanks
    assert operation(f"{a}{word} {b}M{c}{{{d}doIt{e}\n}}") == (word, ("doIt",))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_what_is_no_json_object_is_a_mutation(body: bytes) -> None:
    if not body.lstrip().startswith(b"{"):
        assert graphql_operation(body) == ("mutation", ())
        assert classify("POST", "/graphql", body) == Once()


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(query: str) -> None:
    kind, _ = operation(query)
    assert kind in {"query", "mutation"}


@given(names, names)
def test_creating_requests_are_known(app: str, name: str) -> None:
    body = json.dumps({"name": name}).encode()
    looks = {
        "/v1/apps": f"/v1/apps/{name}",
        f"/v1/apps/{app}/machines": f"/v1/apps/{app}/machines",
        f"/v1/apps/{app}/volumes": f"/v1/apps/{app}/volumes",
        f"/v1/apps/{app}/ip_assignments": f"/v1/apps/{app}/ip_assignments",
        f"/api/v1/organizations/{app}/postgresv2": f"/api/v1/organizations/{app}/postgres",
    }
    for path, look in looks.items():
        rule = classify("POST", path, body)
        assert isinstance(rule, Create)
        assert rule.look == look
        assert classify("POST", path, b"no json") == Once()
        assert classify("GET", path, b"") == Repeat(server_error=True)


@given(st.from_regex(r"/[a-z0-9/_-]{0,40}", fullmatch=True))
def test_a_post_that_nobody_knows_is_sent_once(path: str) -> None:
    rule = classify("POST", "/v1/unheard" + path, b"{}")
    assert rule == Once()


def test_the_agent_is_refused_and_other_methods_are_sent_once() -> None:
    body = json.dumps({"query": "mutation { addWireGuardPeer { x } }"}).encode()
    assert isinstance(classify("POST", "/graphql", body), Refuse)
    assert classify("PROPFIND", "/v1/apps", b"") == Once()


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        ("/v1/apps", "flaps"),
        ("/v1/platform/placements", "flaps"),
        ("/graphql", "api"),
        ("/api/v1/apps/a/logs", "api"),
        ("/api/v1/cli_sessions/x", "api"),
        ("/api/v1/sessions", "api"),
        ("/api/v1/apps/a/releases", "uiex"),
        ("/api/v1/organizations/o/postgres", "uiex"),
    ],
)
def test_paths_lead_to_the_server_that_flyctl_means(path: str, upstream: str) -> None:
    assert upstream_of(path) == upstream


def test_time_limits() -> None:
    limits = Limits()
    create = classify("POST", "/v1/apps", b'{"name": "a"}')
    assert time_limit(create, "POST", "/v1/apps", limits) == 120
    get = Repeat(server_error=True)
    assert time_limit(get, "GET", "/v1/apps/a/machines/1/wait", limits) == 75
    assert time_limit(get, "GET", "/v1/apps/a/machines/1", limits) == 30


def test_a_pace_changes_waits_and_not_the_time_for_an_answer() -> None:
    quick = Limits().paced(0.5)
    assert (quick.looks[0], quick.repeats[0], quick.late, quick.patience) == (0.15, 0.25, 60, 4)
    assert (quick.create, quick.other) == (120, 30)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 0.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=60.0) == seconds


@given(
    st.sampled_from(["app", "machine", "volume", "address", "cluster"]),
    st.integers(100, 599),
    st.binary(max_size=40),
)
def test_no_answer_breaks_a_look(kind: Any, status: int, body: bytes) -> None:
    listed = items(kind, status, body)
    assert listed is None or all(isinstance(item, dict) for item in listed)
    if status == 404:
        assert listed == ()
    elif status != 200:
        assert listed is None


@given(st.lists(names, max_size=4, unique=True), names)
def test_only_what_is_new_is_found(before: list[str], new: str) -> None:
    create = Create("volume", "/v1/apps/a/volumes", {"name": "data", "region": "iad"})
    old = [{"id": name, "name": "data", "region": "iad"} for name in before]
    after = [*old, {"id": f"new-{new}!", "name": "data", "region": "iad"}]
    assert found(create, old, after) == (after[-1],)
    assert found(create, after, after) == ()


def test_a_personal_organisation_has_another_slug() -> None:
    create = Create("app", "/v1/apps/a", {"name": "a", "org_slug": "personal"})
    assert found(create, (), [{"name": "a", "organization": {"slug": "ada-1", "type": "PERSONAL"}}])
    assert not found(create, (), [{"name": "a", "organization": {"slug": "ada-1", "type": "SHARED"}}])
    raw = Create("app", "/v1/apps/a", {"name": "a", "org_slug": "ada-1"})
    assert found(raw, (), [{"name": "a", "organization": {"slug": "personal", "raw_slug": "ada-1"}}])


def test_refusals_have_the_form_that_shows_their_text() -> None:
    assert refusal("/graphql", "T", 504) == (200, b'{"data": null, "errors": [{"message": "T"}]}')
    assert refusal("/v1/x", "T", 504) == (504, b'{"error": "T", "message": "T", "errors": {"detail": "T"}}')


@given(st.lists(st.from_regex(r"fm2_[A-Za-z0-9+/=]{1,20}", fullmatch=True), min_size=1, max_size=4))
def test_tokens_are_compared_by_their_parts(parts: list[str]) -> None:
    joined = ",".join(parts)
    assert (
        token_parts(f"FlyV1 {joined}") == token_parts(f"Bearer {joined}") == token_parts(joined) == {*parts}
    )
    assert same_token(token_parts(f"FlyV1 {joined}"), f"Bearer {parts[-1]},fm2_discharge")
    assert not same_token(token_parts(joined), "Bearer ")
    assert not same_token(token_parts(joined), "Bearer something-else")
