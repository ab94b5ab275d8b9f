"""Every rule knows its own message first, and no near miss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flywizard
from flywizard import problems
from flywizard.flyctl.failures import build_failure
from flywizard.flyctl.verdict import error_text
from flywizard.problems import ACTION, PLAIN_ACTIONS, STAGES, Rule, all_rules, collapsed, diagnose, problem
from tests.support.flyctl_recordings import names, recording

WITH_TEXT = [r for r in all_rules() if r.patterns]


def stage_of(rule: Rule) -> str:
    return sorted(rule.stages)[0] if rule.stages else "deploy"


def test_there_are_enough_rules() -> None:
    assert len(WITH_TEXT) >= 60
    ids = [r.id for r in all_rules()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", WITH_TEXT, ids=lambda r: r.id)
def test_a_rule_knows_its_recorded_message_first(rule: Rule) -> None:
    assert rule.recorded
    found = diagnose(stage_of(rule), rule.recorded, exit_code=rule.exit_code, host=rule.recorded_host)
    assert found.id == rule.id


@pytest.mark.parametrize("rule", WITH_TEXT, ids=lambda r: r.id)
def test_a_rule_does_not_know_a_near_miss(rule: Rule) -> None:
    assert rule.silent
    assert rule.match(stage_of(rule), collapsed(rule.silent), rule.exit_code, rule.recorded_host) is None


@pytest.mark.parametrize("rule", all_rules(), ids=lambda r: r.id)
def test_every_rule_is_whole(rule: Rule) -> None:
    assert rule.stages <= STAGES
    assert rule.what
    assert rule.why
    assert rule.remedies
    for remedy in rule.remedies:
        assert remedy.action in PLAIN_ACTIONS or ACTION.fullmatch(remedy.action), remedy.action
        assert remedy.label[0].isupper()
        assert not remedy.label.endswith(".")
        assert remedy.action != "docs" or rule.docs
    assert not rule.what.endswith(".")
    assert rule.why.endswith((".", "}"))
    assert rule.docs is None or rule.docs.startswith("https://")
    for word in ("oops", "simply", "just", "sorry", "**"):
        assert not re.search(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", rule.what + rule.why)


@pytest.mark.parametrize("rule", all_rules(), ids=lambda r: r.id)
def test_every_rule_can_be_raised_without_facts(rule: Rule) -> None:
    found = problem(rule.id)
    texts = [found.what, found.why, *(r.label for r in found.remedies)]
    assert all("{" not in text and text.strip() for text in texts), texts


def test_most_rules_lead_to_a_page() -> None:
    assert sum(r.docs is not None for r in WITH_TEXT) >= 0.9 * len(WITH_TEXT)


def test_every_id_that_the_code_raises_exists() -> None:
    known = {r.id for r in all_rules()}
    raised = {}
    for path in Path(flywizard.__file__).parent.rglob("*.py"):
        for rule_id in re.findall(r"problems\.problem\(\s*\"([^\"]+)\"", path.read_text(encoding="utf-8")):
            raised[rule_id] = path.name
    assert {i: p for i, p in raised.items() if i not in known} == {}


def test_what_is_to_be_edited_exists() -> None:
    from flywizard.answers import BY_ID
    from flywizard.fronts import PAGES

    edits = {
        r.action.removeprefix("edit:")
        for rule in all_rules()
        for r in rule.remedies
        if r.action.startswith("edit:")
    }
    assert edits <= BY_ID.keys() | set(PAGES)


def test_facts_and_named_groups_fill_the_sentences() -> None:
    found = diagnose(
        "database",
        "Error: region arn is not available for Managed Postgres. Available regions: [ams fra]",
        facts={"name": "helpdesk-db"},
    )
    assert (found.id, found.what) == ("PG-REGION", "Managed Postgres is not available in `arn`")
    assert "ams fra" in found.why
    taken = problem("APP-1", name="helpdesk-api")
    assert taken.what == "The name `helpdesk-api` is taken"
    lost = problem("SECRET-MISSING", name="OPENAI_API_KEY")
    assert lost.remedies[0].action == "set:OPENAI_API_KEY"


def test_a_command_without_its_facts_shows_where_they_go() -> None:
    remedy = problem("DEPLOY-9").remedies[1]
    assert remedy.command == "fly machine leases clear MACHINE -a APP"
    assert problem("DEPLOY-9", app="a", machine="m").remedies[1].command == "fly machine leases clear m -a a"


def test_what_nobody_knows_is_shown_as_it_came() -> None:
    found = diagnose("deploy", "Error: the moon is full\n", exit_code=7, facts={"command": "fly deploy -a x"})
    assert found.id == "UNKNOWN"
    assert found.raw == "Error: the moon is full"
    assert found.what == "`fly deploy -a x` failed with exit code 7"
    assert "copy" in [r.action for r in found.remedies]


def test_further_rules_are_listed() -> None:
    found = diagnose(
        "deploy",
        "release command failed - aborting deployment. machine 1 exited with non-zero status of 1\n"
        "TypeError: connect() got an unexpected keyword argument 'sslmode'",
    )
    assert found.id == "PG-2"
    assert "DEPLOY-5" in found.also


def test_a_line_of_secrets_is_never_shown() -> None:
    text = "Error: Secrets must be provided as NAME=VALUE pairs (hunter2 is my password is invalid)"
    found = diagnose("secrets", text)
    assert found.id == "SECRET-6"
    assert "hunter2" not in repr(found)


def test_escapes_and_overwritten_progress_do_not_hide_a_message() -> None:
    text = "\x1b[31m 10 %\r 20 %\r\x1b[0mError: Name has already \x1b[1mbeen\x1b[0m taken"
    assert diagnose("app", text).id == "APP-1"


def test_only_the_end_of_a_long_text_is_kept() -> None:
    found = diagnose("deploy", "x\n" * 5000 + "Error: cluster creation failed")
    assert found.raw.count("\n") < problems.RAW_LINES
    assert found.id == "PG-FAILED"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        'process "' * 20_000,
        ("process " + '"') * 200 + "\n" + " " * 300_000 + "|",
        "start_tls " * 30_000,
        "start_tls\n" * 30_000,
        "(" * 200_000,
        "failed to run query { " * 5_000,
        "a" * 300_000,
        "a.flycast " * 30_000,
        "was " + "A records for " * 20_000,
        "connection " * 50_000,
    ],
)
def test_no_hostile_text_is_slow(text: str) -> None:
    assert diagnose("build", text).id == "UNKNOWN"
    assert build_failure(text) is None
    assert error_text("Error: " + text)


def test_an_unknown_id_is_an_error() -> None:
    with pytest.raises(KeyError):
        problem("NO-SUCH-RULE")


def test_braces_in_facts_are_only_text() -> None:
    assert problem("APP-1", name="{x} {0.__class__}").what == "The name `{x} {0.__class__}` is taken"


KNOWN_STAGE = {"apps": "app", "mpg": "database", "build": "build", "secrets": "secrets", "whoami": "signin"}
UNNAMED = {
    "deploy_app_get_401",  # a test server's words that only Fly could choose
    "deploy_app_get_429",
    "deploy_app_get_500",
}


@pytest.mark.parametrize(
    "name",
    [n for prefix in ("apps_create_", "mpg_", "deploy_", "build_", "secrets_", "whoami_", "config_validate_", "offline_")
     for n in names(prefix)],
)  # fmt: skip
def test_recorded_failures_have_a_name(name: str) -> None:
    data = recording(name)
    if data["exit_code"] in (0, None) or data.get("signal") or name in UNNAMED:
        return
    stage = KNOWN_STAGE.get(name.split("_")[0], "deploy")
    found = diagnose(stage, data["stdout"] + data["stderr"], exit_code=data["exit_code"])
    if found.id == "UNKNOWN":
        assert name in {"apps_create_get_500", "mpg_extensions_enable_vector_again"}, data["stderr"]


@given(st.text())
def test_no_text_breaks_the_diagnosis(text: str) -> None:
    assert diagnose("deploy", text).id
