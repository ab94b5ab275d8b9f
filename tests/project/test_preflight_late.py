"""Preflight's later rules: a project where each speaks, one beside it where it is silent, and its fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from flywizard.project import preflight
from flywizard.project.detect import detect
from flywizard.project.model import Objection
from flywizard.project.tree import Tree
from tests.support.preflight_late import LATE, Case
from tests.support.projects import example, stopping


def said(texts: Mapping[str, str], case: Case) -> list[Objection]:
    tree = Tree.of(texts)
    if case.tracked:
        tree = replace(tree, tracked=frozenset(case.tracked))
    return [o for o in detect(tree).problems if o.id == case.rule]


def name(case: Case) -> str:
    return f"{case.rule}-{case.file.rsplit('/', 1)[-1]}"


@pytest.mark.parametrize("case", LATE, ids=name)
def test_it_speaks(case: Case) -> None:
    found = said(case.texts, case)
    assert found, f"{case.rule} is silent"
    first = found[0]
    assert (first.file, first.blocking, first.handled, first.when, first.fixable) == (
        case.file,
        case.blocking,
        case.handled,
        case.when,
        case.fixable,
    )
    assert first.line is not None
    assert case.marker in case.texts[case.file].split("\n")[first.line - 1]
    assert first.message.endswith((".", "`"))
    assert first.remedy.endswith((".", "`"))
    assert len({o.subject for o in found if o.fixable}) == len([o for o in found if o.fixable])


@pytest.mark.parametrize("case", LATE, ids=name)
def test_it_is_silent_beside_it(case: Case) -> None:
    assert said(case.silent, case) == []


@pytest.mark.parametrize("case", [c for c in LATE if c.fixable], ids=name)
def test_its_fix_mends_it_and_nothing_else_changes(case: Case) -> None:
    texts = dict(case.texts)
    for _ in range(4):
        found = [o for o in said(texts, case) if o.fixable and o.when == case.when]
        if not found:
            break
        changes = preflight.fix(found[0], Tree.of(texts))
        assert changes
        assert all(change.before == texts.get(change.path) for change in changes)
        texts |= {change.path: change.after for change in changes}
    assert [o for o in said(texts, case) if o.when == case.when] == []
    others = {(o.id, o.file, o.subject) for o in detect(Tree.of(case.texts)).problems if o.id != case.rule}
    after = {(o.id, o.file, o.subject) for o in detect(Tree.of(texts)).problems if o.id != case.rule}
    assert after <= others


@pytest.mark.parametrize("case", [c for c in LATE if c.fixable], ids=name)
def test_a_fix_keeps_comments_and_other_lines(case: Case) -> None:
    found = said(case.texts, case)
    for change in preflight.fix(found[0], Tree.of(case.texts)):
        before, after = (change.before or "").split("\n"), change.after.split("\n")
        kept = [line for line in before if line in after]
        assert len(before) - len(kept) <= 2
        assert all(c in change.after for line in kept if (c := line.partition("#")[2]))


def test_a_secret_in_a_script_is_not_shown() -> None:
    case = next(c for c in LATE if c.rule == "C-103")
    assert "q8Zt31" not in str([o.to_json() for o in said(case.texts, case)])


def test_the_example_and_what_is_silent_stop_nothing() -> None:
    from tests.support.projects import found

    assert stopping(found(example())) == []
    assert stopping(found(example()), broker="plaintext") == []
    assert stopping(found(example()), broker="fly") == []
    for provider in ("confluent", "redpanda", "aiven", "eventhubs", "other"):
        assert stopping(found(example()), provider=provider) == []
