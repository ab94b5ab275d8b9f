"""Every patch on every fixture: the objection is gone, nothing new is said, and files without a patch stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.project import preflight
from flywizard.project.detect import detect
from flywizard.project.model import Objection
from flywizard.project.tree import Tree
from tests.fixtures.shapes import SHAPES
from tests.support.imageless import PROJECTS
from tests.support.preflight_late import LATE
from tests.support.projects import example, found, stopping


def fixtures() -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "example", example()
    for shape in SHAPES:
        yield shape.name, shape.files
    yield from PROJECTS.items()
    for number, case in enumerate(LATE):
        yield f"{case.rule}-{number}", case.texts


ALL = dict(fixtures())


def told(texts: Mapping[str, str]) -> set[tuple[str, str | None, str]]:
    return {(o.id, o.file, o.subject) for o in found(texts).problems}


def fixable(texts: Mapping[str, str]) -> list[Objection]:
    return [o for o in found(texts).problems if o.fixable]


@pytest.mark.parametrize("name", ALL)
def test_a_patch_mends_what_it_is_for_and_brings_nothing_new(name: str) -> None:
    texts = ALL[name]
    before = told(texts)
    for objection in fixable(texts):
        changes = preflight.fix(objection, Tree.of(texts))
        assert changes, objection
        after = dict(texts) | {c.path: c.after for c in changes}
        now = told(after)
        assert (objection.id, objection.file, objection.subject) not in now, objection
        assert {(i, f) for i, f, _ in now - before} <= {(objection.id, objection.file)}, objection
        assert all(c.before == texts.get(c.path) for c in changes)
        assert {p for p in after if after[p] != texts.get(p)} == {c.path for c in changes}


@pytest.mark.parametrize("name", ALL)
def test_what_can_be_patched_is_told_apart(name: str) -> None:
    objections = [(o.id, o.subject) for o in fixable(ALL[name]) if not o.handled]
    assert len(objections) == len(set(objections))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.randoms(use_true_random=False))
def test_patches_in_any_order_come_to_an_end(name: str, random: object) -> None:
    texts = dict(ALL[name])
    done: set[tuple[str, str | None, str]] = set()
    for _ in range(30):
        open_ = [o for o in fixable(texts) if (o.id, o.file, o.subject) not in done and o.when is None]
        if not open_:
            break
        objection = random.choice(open_)  # type: ignore[attr-defined]  # a random.Random
        done.add((objection.id, objection.file, objection.subject))
        texts |= {c.path: c.after for c in preflight.fix(objection, Tree.of(texts))}
    assert [o for o in fixable(texts) if (o.id, o.file, o.subject) not in done and o.when is None] == []


@pytest.mark.parametrize("name", PROJECTS)
def test_a_healthy_repository_is_not_stopped(name: str) -> None:
    assert stopping(found(PROJECTS[name])) == []
    assert not [o for o in found(PROJECTS[name]).problems if o.blocking and o.when is None]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        sorted(p for p in example() if p.endswith((".py", "Dockerfile", ".toml", ".ini", ".sql", "ignore")))
    ),
    st.integers(0, 4000),
    st.integers(0, 40),
    st.text(max_size=12),
)
def test_a_damaged_file_never_ends_a_rule(path: str, start: int, length: int, new: str) -> None:
    text = example()[path]
    at = start % (len(text) + 1)
    broken = example() | {path: text[:at] + new + text[at + length :]}
    for objection in detect(Tree.of(broken)).problems:
        if objection.fixable:
            preflight.fix(objection, Tree.of(broken))
