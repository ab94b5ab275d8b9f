"""Following recorded builds line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.flyctl.build_output import BuildReader
from flywizard.flyctl.failures import build_failure, deploy_failure
from flywizard.flyctl.verdict import reading
from tests.support.flyctl_recordings import ended, lines, names, recording

ORDER = ["waiting", "building", "pushing", "pushed"]
CODES = {
    "build_buildkit_addr_refused": "builder_unreachable",
    "build_buildkit_run_fails": "step",
    "build_buildkit_target_missing": "target",
    "build_classic_base_image_missing": "base_image",
    "build_classic_copy_missing": "copy",
    "build_classic_docker_host_refused": "no_engine",
    "build_classic_dockerfile_flag_missing": "dockerfile_path",
    "build_classic_engine_500": "engine",
    "build_classic_engine_dies": "builder_gone",
    "build_classic_engine_dies_failover": "no_engine",
    "build_classic_info_500": "engine",
    "build_classic_no_dockerfile": "no_dockerfile",
    "build_classic_push_connection_lost": "push",
    "build_classic_push_denied": "push_denied",
    "build_classic_push_http_401": "push_denied",
    "build_classic_push_unauthorized": "push_denied",
    "build_classic_run_fails": "step",
    "build_classic_syntax_error": "syntax",
    "build_classic_target_missing": "target",
    "build_depot_api_500": "depot",
    "build_depot_base_image_missing": "base_image",
    "build_depot_build_only": "depot_refused",
    "build_depot_builder_dies": "builder_gone",
    "build_depot_copy_missing": "copy",
    "build_depot_default": "depot_refused",
    "build_depot_no_failover": "depot_refused",
    "build_depot_push_denied": "push_denied",
    "build_depot_push_unauthorized": "push_denied",
    "build_depot_rawjson_run_fails": "step",
    "build_depot_run_fails": "step",
    "build_depot_run_fails_twice": "step",
    "build_depot_syntax_error": "syntax",
    "build_docker_buildkit_engine_dies": "builder_gone",
    "build_docker_buildkit_run_fails": "step",
    "build_local_only_build_only": "no_engine",
    "build_local_only_no_docker": "no_engine",
    "build_local_only_no_failover": "no_engine",
    "build_no_dockerfile": "no_dockerfile",
    "build_remote_loopback_no_heartbeat": "builder_unreachable",
    "build_remote_only_depot": "depot_refused",
}
REASON = "ModuleNotFoundError: No module named 'sqlalchemy'"


def read(name: str) -> tuple[BuildReader, list[object]]:
    reader = BuildReader()
    return reader, [p for _, line in lines(name) if (p := reader.feed(line)) is not None]


@pytest.mark.parametrize("name", names("build_"))
def test_every_recorded_build(name: str) -> None:
    data = recording(name)
    reader = BuildReader()
    phases, dones = [], []
    for _, line in lines(name):
        progress = reader.feed(line)
        if progress is not None:
            phases.append(ORDER.index(progress.phase))
            if progress.phase == "building" and progress.done is not None:
                dones.append(progress.done)
                assert progress.total is None or progress.done <= progress.total
    assert phases == sorted(phases)
    if "twice" not in name and "failover" not in name:
        assert dones == sorted(dones)
    found = build_failure(data["stdout"] + data["stderr"])
    if data["exit_code"] == 0:
        assert reading(ended(name)).ok
        assert reader.image.startswith("registry.fly.io/")
    elif name in CODES:
        assert reading(ended(name)).kind in ("failed", "doubt")
        assert found is not None
        assert found[0].code == CODES[name]
        assert deploy_failure(data["stdout"] + data["stderr"]) == found
        assert reader.image == ""
    elif data.get("signal"):
        assert reading(ended(name)).kind == "cancelled"


def test_the_table_of_codes_names_every_recorded_failure() -> None:
    assert set(CODES) == {
        n for n in names("build_") if recording(n)["exit_code"] == 1 and not recording(n).get("signal")
    }


def test_raw_json_gives_exact_counts_and_the_step_that_runs() -> None:
    reader, steps = read("build_depot_rawjson_run_fails")
    last = reader.progress
    assert (last.done, last.total) == (9 + 1, 10)
    assert last.text.startswith("[6/6] RUN python -m compileall app")
    assert reader.failed_step.startswith("[6/6] RUN")
    assert REASON in reader.failure_log
    assert reader.cached >= 3
    assert len(steps) > 5


@pytest.mark.parametrize(
    "name",
    [n for n in names("build_") if n.endswith(("run_fails", "run_fails_twice")) and n != "build_depot_rawjson_run_fails"],
)  # fmt: skip
def test_the_reason_of_a_failed_step_is_found_in_every_form(name: str) -> None:
    assert REASON in read(name)[0].failure_log


def test_the_classic_builder_counts_instructions() -> None:
    reader, _ = read("build_classic_run_fails")
    assert (reader.progress.done, reader.progress.total) == (5, 7)
    assert reader.failure_log[0] == "Listing 'app'..."


def test_pushing_counts_layers() -> None:
    reader = BuildReader()
    for line in ("==> Pushing image to fly", "cd061d709b87: Preparing", "413a2952a0d5: Preparing"):
        reader.feed(line)
    assert (reader.progress.done, reader.progress.total) == (0, 2)
    reader.feed("cd061d709b87: Pushed")
    reader.feed("413a2952a0d5: Layer already exists")
    assert (reader.progress.phase, reader.progress.done, reader.progress.total) == ("pushing", 2, 2)


def test_plain_text_has_no_total_and_hides_no_step() -> None:
    reader, _ = read("build_depot_ok_only_push")
    assert reader.progress.total is None
    assert reader.progress.phase == "pushed"
    assert reader.size


def test_the_groups_of_a_row_are_named() -> None:
    found = build_failure("Error: x: dockerfile parse error on line 3: unknown instruction: RUNN")
    assert found is not None
    assert found[1] == {"line": "3", "detail": "unknown instruction: RUNN"}
    found = build_failure(
        "COPY failed: file not found in build context or excluded by .dockerignore: stat migrations: file does not exist"
    )
    assert found is not None
    assert found[1] == {"path": "migrations"}


def test_raw_json_is_turned_into_lines_for_people() -> None:
    reader = BuildReader()
    said: list[str] = []
    for _, line in lines("build_depot_rawjson_run_fails"):
        reader.feed(line)
        said += reader.said
    assert not any(line.startswith("{") for line in said)
    assert "[2/6] WORKDIR /app (cached)" in said
    assert said.index("[internal] load build definition from Dockerfile") < said.index(REASON)
    assert len([line for line in said if line.startswith("ERROR: process")]) == 1
    assert said[-1].startswith("Error: failed to fetch an image")
    reader.feed("#4 [1/5] FROM python")
    assert reader.said == ("#4 [1/5] FROM python",)


def test_torn_json_and_bad_base64_are_survived() -> None:
    reader = BuildReader()
    reader.feed('{"vertexes":[{"digest":"a","name":"x","started":"t"')
    reader.feed('{"vertexes":[{"digest":"a","name":"x","started":"t"}],"logs":[{"vertex":"a","data":"%%%"}]}')
    reader.feed('{"vertexes":"nonsense","logs":[7]}')
    assert reader.progress.text == "x"


@given(st.lists(st.text(max_size=80), max_size=20))
def test_no_line_breaks_the_reader(found: list[str]) -> None:
    reader = BuildReader()
    for line in found:
        reader.feed(line)
    assert reader.progress.phase in ORDER
