"""From answers to a spec: what a flywizard.toml written by hand leaves open, and apps kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywizard.project.detect import detect
from flywizard.project.tree import Tree, scan
from flywizard.resolve import make_spec, resolved
from flywizard.session_state import State, environment_answers
from flywizard.spec import Spec, load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "helpdesk"
BY_HAND = """
version = 1
name = "desk"
organization = "acme"
region = "ams"
[services.api]
role = "api"
app = "desk-api"
image = "registry.fly.io/desk-api:v7"
[services.worker]
role = "worker"
app = "desk-api"
[services.web]
role = "web"
app = "desk-web"
image = "registry.fly.io/desk-web:v3"
"""
EXISTING = """# ours, by hand
app = "desk-api"
primary_region = "ams"   # near the customers

[http_service]
  internal_port = 8000
"""


@pytest.fixture(scope="module")
def tree() -> Tree:
    return scan(EXAMPLE)


def spec_of(tree: Tree, text: str) -> tuple[Spec, State]:
    state = State("desk")
    state.findings, state.tree = detect(tree), tree
    previous = load(text)
    state.spec = previous
    state.draft.put("flywizard.toml", environment_answers(previous))
    state.refresh()
    return make_spec(state.findings, state.values(), state.items(), previous), state


def test_two_apps_never_share_a_fly_toml(tree: Tree) -> None:
    spec, _ = spec_of(tree, BY_HAND)
    configs = {app: {s.config for s in members.values()} for app, members in spec.apps().items()}
    assert configs == {"desk-api": {"backend/fly.toml"}, "desk-web": {"frontend/fly.toml"}}
    assert spec.services["api"].health == "/health"
    assert spec.services["api"].image == "registry.fly.io/desk-api:v7"


def test_one_file_named_for_two_apps_is_taken_apart(tree: Tree) -> None:
    text = BY_HAND.replace('app = "desk-api"\nimage', 'app = "desk-api"\nconfig = "fly.toml"\nimage')
    text = text.replace('app = "desk-web"', 'app = "desk-web"\nconfig = "fly.toml"')
    spec, _ = spec_of(tree, text)
    assert spec.services["api"].config == "fly.toml"
    assert spec.services["web"].config == "fly.web.toml"


def test_the_existing_fly_toml_of_that_app_is_adopted_with_its_comments(tree: Tree) -> None:
    changed = tree.with_changes({"backend/fly.toml": EXISTING})
    spec, state = spec_of(changed, BY_HAND)
    assert state.findings is not None
    made = resolved(spec, changed, EXAMPLE, state.findings, state.items())
    change = next(c for c in made.changes if c.path == "backend/fly.toml")
    assert change.before == EXISTING
    assert "# ours, by hand" in change.after
    assert 'primary_region = "ams"   # near the customers' in change.after
    assert 'app = "desk-api"' in change.after


def test_a_generated_value_stays_called_generated(tree: Tree) -> None:
    spec, state = spec_of(tree, BY_HAND)
    assert spec.secrets["WEBHOOK_SECRET_KEY"].source == "generated"
    state.vault_names = frozenset({"WEBHOOK_SECRET_KEY"})
    assert state.findings is not None
    again = make_spec(state.findings, state.values(), state.items(), spec)
    assert again.secrets["WEBHOOK_SECRET_KEY"].source == "generated"
