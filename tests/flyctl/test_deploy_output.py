"""Following recorded deploys line by line."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.flyctl.deploy_output import PHASES, DeployReader
from flywizard.flyctl.failures import deploy_failure
from flywizard.flyctl.verdict import reading
from tests.support.flyctl_recordings import ended, lines, names, recording

CODES = {
    "deploy_again_crash_app_only": "crash",
    "deploy_again_crash_loop": "crash",
    "deploy_again_crash_single_group": "crash",
    "deploy_again_crash_worker_only": "crash",
    "deploy_again_lease_held": "lease",
    "deploy_again_machine_get_429": "looked_away",
    "deploy_again_machine_get_500": "looked_away",
    "deploy_again_machine_update_500": "machine_update",
    "deploy_again_never_healthy": "unhealthy",
    "deploy_app_not_found_text": "app",
    "deploy_first_crash_logs_401": "crash",
    "deploy_first_crash_loop": "crash",
    "deploy_first_never_healthy": "unhealthy",
    "deploy_first_never_starts": "never_started",
    "deploy_image_not_found": "image",
    "deploy_image_not_found_no_failover": "image",
    "deploy_machine_create_422": "machine_create",
    "deploy_machine_create_429": "machine_create",
    "deploy_machine_create_500": "machine_create",
    "deploy_machine_create_502": "machine_create",
    "deploy_machine_create_502_retry_body_lost": "machine_create",
    "deploy_machine_create_503": "machine_create",
    "deploy_machine_create_response_lost": "machine_create",
    "deploy_machines_list_429": "list",
    "deploy_machines_list_500": "list",
    "deploy_mount_removed": "prompt",
    "deploy_mounts_machine_500": "machine_create",
    "deploy_mounts_volume_create_422": "volume",
    "deploy_organization_500": "organization",
    "deploy_release_command_failed": "release_command",
    "deploy_release_command_failed_first": "release_command",
    "deploy_release_command_timeout": "release_command_timeout",
    "deploy_release_create_403": "release_create",
    "deploy_release_create_429": "release_create",
    "deploy_release_create_500": "release_create",
    "deploy_release_create_503": "release_create",
    "deploy_release_patch_404": "release_status",
    "deploy_release_patch_500": "release_status",
}
SERVER_TEXT_ONLY = {"deploy_app_get_401", "deploy_app_get_429", "deploy_app_get_500"}


def read(name: str) -> tuple[DeployReader, list[Any]]:
    reader = DeployReader()
    return reader, list(reader.feed_all(cast(Any, lines(name))))


@pytest.mark.parametrize("name", [*names("deploy_"), "rollback_deploy_older_image", "offline_deploy"])
def test_every_recorded_deploy(name: str) -> None:
    data = recording(name)
    reader, steps = read(name)
    order = [PHASES.index(step.phase) for step in steps]
    assert order == sorted(order), "a phase went back"
    assert all(s.done is None or s.total is None or 0 <= s.done <= s.total for s in steps)
    match data["exit_code"]:
        case 0:
            assert reading(ended(name)).ok
            assert reader.release is not None
            assert reader.phase == "done"
        case 1:
            assert reading(ended(name)).kind in ("failed", "doubt")
            assert reader.release is None
        case 127 if data.get("signal"):
            assert reading(ended(name)).kind == "cancelled"
        case 127:
            assert reading(ended(name)).kind == "failed"
            assert reader.failed
    found = deploy_failure(data["stdout"] + data["stderr"])
    if name in CODES:
        assert found is not None
        assert found[0].code == CODES[name]
    elif name not in SERVER_TEXT_ONLY and data["exit_code"] == 0:
        assert found is None or found[0].code in ("machine_update",), found


def test_the_table_of_codes_names_every_recorded_failure() -> None:
    failing = {
        n
        for n in names("deploy_")
        if recording(n)["exit_code"] in (1, 127) and not recording(n).get("signal")
    }
    assert failing == set(CODES) | SERVER_TEXT_ONLY


def test_a_first_deploy_with_high_availability_counts_every_machine() -> None:
    reader, steps = read("deploy_first_ha")
    assert [(m.group, m.state) for m in reader.machines.values()] == [
        ("app", "done"), ("app", "done"), ("worker", "done"), ("worker", "standby"),
    ]  # fmt: skip
    assert reader.total == 4
    assert max(s.done for s in steps if s.done is not None) == 4
    assert reader.addresses == ["2a09:8280:1::1:0", "66.241.124.2"]


def test_a_tick_at_creation_is_not_the_end() -> None:
    reader = DeployReader()
    list(reader.feed("stdout", "✔ [1/2] Machine 90801234560333 [app] was created"))
    assert [m.state for m in reader.machines.values()] == ["created"]
    list(reader.feed("stdout", "✔ [1/2] Machine 90801234560333 [app] update finished: success"))
    assert [m.state for m in reader.machines.values()] == ["done"]


@pytest.mark.parametrize("name", ["deploy_again_noha", "deploy_again_retries_2", "deploy_again_bluegreen"])
def test_all_dialects_end_with_machines_done(name: str) -> None:
    reader, _ = read(name)
    assert {m.state for m in reader.machines.values()} == {"done"}
    assert reader.done == reader.total


def test_health_is_followed() -> None:
    reader, steps = read("deploy_again_noha")
    assert reader.machines["90801234560222"].checks == "1/1"
    assert any("0/1" in s.text for s in steps)


def test_a_group_that_fails_beside_another_is_named() -> None:
    reader, _ = read("deploy_again_crash_loop")
    states = {m.group: (m.state, m.reason) for m in reader.machines.values()}
    assert states["worker"][0] == "failed"
    assert "appears to be crashing" in states["worker"][1]
    assert states["app"][0] == "canceled"


def test_a_failed_allocation_glued_to_the_next_text_is_seen() -> None:
    reader, _ = read("deploy_ip_assignments_500")
    assert reader.ip_failure.endswith("failed to add ip to app: simulated fault")
    assert reader.release is not None


def test_release_command() -> None:
    reader, _ = read("deploy_release_command_failed")
    assert reader.release_command_machine == "90801234560555"
    assert reader.machines == {}
    reader, _ = read("deploy_release_command_ok")
    assert "release command" in {s.phase for s in _}
    assert reader.release_command_machine not in reader.machines


def test_logs_of_a_failed_release_command_are_kept() -> None:
    reader = DeployReader()
    for line in (
        "Running a release_command: alembic upgrade head",
        "Checking logs: fetching the last 100 lines below:",
        "2026-01-01T00:00:00Z Traceback",
        "Error: from the app itself",
        "Error: release command failed - aborting deployment. machine 1 exited with non-zero status of 1",
    ):
        list(reader.feed("stderr", line))
    assert reader.release_command_log == ["2026-01-01T00:00:00Z Traceback", "Error: from the app itself"]


def test_crash_logs_are_kept() -> None:
    reader, _ = read("deploy_first_crash_loop")
    assert reader.crash_log[:2] == [
        "Traceback (most recent call last):",
        "ModuleNotFoundError: No module named 'app'",
    ]


def test_the_listening_warning_names_wanted_and_found_addresses() -> None:
    reader = DeployReader()
    for line in (
        "WARNING The app is not listening on the expected address and will not be reachable by fly-proxy.",
        "You can fix this by configuring your app to listen on the following addresses:",
        "  - 0.0.0.0:8080",
        "Found these processes inside the machine with open listening sockets:",
        "  PROCESS        | ADDRESSES",
        "-----------------*--------------------------------------",
        "  /.fly/hallpass | [fdaa:3:3975:a7b:e8:143e:4c7c:2]:22",
        "  uvicorn main   | 127.0.0.1:8000, [::1]:8000",
        "",
        "Finished launching new machines",
    ):
        list(reader.feed("stderr", line))
    warning = reader.listen_warning
    assert warning is not None
    assert warning.wanted == ("0.0.0.0:8080",)
    assert warning.found == (("uvicorn main", "127.0.0.1:8000"), ("uvicorn main", "[::1]:8000"))
    assert reader.phase == "machines"


def test_volumes_are_named() -> None:
    assert read("deploy_mounts_first")[0].volumes == ["kafka_data"]


def test_a_deploy_from_source_counts_build_steps() -> None:
    reader, steps = read("build_depot_ok_deploy")
    assert reader.build.image.startswith("registry.fly.io/")
    assert reader.phase == "done"
    assert any(s.phase == "build" and s.done for s in steps)


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=60)), max_size=20))
def test_no_line_breaks_the_reader(found: list[tuple[str, str]]) -> None:
    reader = DeployReader()
    order = [PHASES.index(s.phase) for s in reader.feed_all(cast(Any, found))]
    assert order == sorted(order)
