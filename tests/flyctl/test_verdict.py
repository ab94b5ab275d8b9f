"""Reading the ends of recorded commands."""

from __future__ import annotations

import pytest

from flywizard.flyctl.verdict import cross_reason, error_text, reading
from flywizard.ports import Doubt, Ended
from tests.support.flyctl_recordings import ended, stderr

NAME = "Name has already been taken"


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("apps_create_ok", "done", ""),
        ("apps_create_taken_foreign", "failed", NAME),
        ("apps_create_bad_org", "failed", "organization nope not found"),
        ("apps_create_401", "failed", "unauthorized"),
        ("apps_create_408", "doubt", "request timed out"),
        ("apps_create_500", "doubt", "request returned non-2xx status: 500"),
        ("apps_create_502", "doubt", "request returned non-2xx status: 502"),
        ("apps_create_response_lost", "doubt", 'Post "http://fly.test/v1/apps?wait=true": EOF'),
        ("apps_create_truncated_graphql", "failed", "reading body: unexpected EOF"),
        ("mpg_create_403", "failed", "failed creating managed postgres cluster: simulated fault"),
        ("mpg_create_422", "failed", "failed creating managed postgres cluster: failed to create"),
        ("mpg_create_429", "doubt", "failed creating managed postgres cluster: failed to create"),
        ("mpg_create_500", "doubt", "failed creating managed postgres cluster: server error"),
        ("mpg_create_sigint", "cancelled", "it was stopped"),
        ("secrets_import_single_quote_char", "crashed", "flyctl crashed: runtime error: slice bounds"),
        ("whoami_401", "failed", "failed retrieving current user: server returned a non-200 status code: 401"),
        ("whoami_200_unauthorized", "failed", "failed retrieving current user: You must be authenticated to view this."),
        ("secrets_import_missing_app", "failed", "Could not find App"),
        ("offline_whoami", "failed", 'failed retrieving current user: Post "http://127.0.0.1:9/graphql"'),
        ("deploy_again_crash_loop", "failed", "smoke checks for 90801234560333 failed: the app appears to be"),
        ("deploy_again_crash_app_only", "failed", "smoke checks for"),
        ("deploy_again_machine_update_500", "failed", ""),
        ("deploy_first_crash_loop", "failed", "smoke checks for 90801234560222 failed: the app appears to be"),
        ("deploy_first_sigint", "cancelled", "it was stopped"),
        ("deploy_again_sigterm", "cancelled", "it was stopped"),
        ("deploy_again_sigkill", "doubt", "flyctl was killed by signal 9"),
        ("deploy_machine_create_response_lost", "doubt", "error creating a new machine"),
        ("deploy_machine_create_502_retry_body_lost", "doubt", "error creating a new machine"),
        ("deploy_machine_create_422", "failed", "error creating a new machine: failed to launch VM: could not"),
        ("build_depot_sigint", "cancelled", "it was stopped"),
        ("build_buildkit_sigint", "cancelled", "it was stopped"),
        ("build_classic_sigint", "cancelled", "it was stopped"),
        ("build_classic_run_fails", "failed", "failed to fetch an image or build from source: error building"),
    ],
)  # fmt: skip
def test_recorded_ends(name: str, kind: str, text: str) -> None:
    verdict = reading(ended(name))
    assert (verdict.kind, verdict.text[: len(text)]) == (kind, text)
    assert "Request ID" not in verdict.text
    assert "Trace ID" not in verdict.text
    assert "{ viewer" not in verdict.text


def test_a_command_that_only_looks_is_never_in_doubt_for_an_error() -> None:
    assert reading(ended("apps_create_502"), changes=False).kind == "failed"


def test_exit_1_after_our_signal_is_a_failure_when_it_is_not_about_cancelling() -> None:
    assert reading(Ended(1, "", "Error: Name has already been taken\n", signalled=True)).kind == "failed"


def test_doubts_of_the_guard_decide() -> None:
    doubt = (Doubt("POST", "/v1/apps", "502"),)
    assert reading(Ended(1, "", "Error: anything\n", doubts=doubt)).kind == "doubt"
    well = reading(Ended(0, "", "", doubts=doubt))
    assert well.kind == "done"
    assert not well.ok


def test_what_nobody_saw_is_in_doubt() -> None:
    assert reading(Ended(None, "", "")).kind == "doubt"
    assert reading(Ended(-9, "", "", timed_out=True)).kind == "doubt"
    assert reading(Ended(127, "", "\n")).kind == "doubt"


def test_the_reason_of_127_is_the_line_that_was_not_merely_cancelled() -> None:
    out = (
        "✖ [1/2] Machine 1 [app] update canceled\n✖ [2/2] Machine 2 [w] update failed: boom (Request ID: 1)\n"
    )
    assert cross_reason(out) == "boom"
    assert cross_reason("✖ [1/2] Machine 1 [app] update canceled while it was in progress\n") == ""


def test_an_error_of_the_app_in_its_log_is_not_taken_for_flyctls() -> None:
    text = "Error: smoke checks for 9 failed: the app appears to be crashing\nCheck its logs:\nError: Cannot find module\n"
    assert error_text(text).startswith("smoke checks for 9")


def test_the_last_error_counts_after_a_log() -> None:
    text = "Checking logs:\nError: from alembic\nError: release command failed - aborting deployment. x\n"
    assert error_text(text) == "release command failed - aborting deployment. x"


def test_suggestions_stay_with_the_error() -> None:
    assert "App names are unique" in error_text(stderr("apps_create_taken_mine"))
