"""Reading the recorded answers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.flyctl import decode
from tests.support.flyctl_recordings import names, stdout


def test_version() -> None:
    assert decode.version(stdout("version_json")).numbers == (0, 4, 87)
    assert decode.version(stdout("version_text")).text == "0.4.87"
    assert decode.version('{"Version":"2026.8.21-pr5113.1"}').numbers == (2026, 8, 21)
    assert decode.version('{"version":{"Major":0,"Minor":3,"Patch":9}}').numbers == (0, 3, 9)
    for garbage in ("", "hello", "[]", '{"Version":""}'):
        with pytest.raises(decode.DecodeError):
            decode.version(garbage)


def test_who_and_where() -> None:
    assert decode.whoami(stdout("whoami_ok")) == "dev@example.com"
    assert decode.orgs(stdout("orgs_list")) == {"acme": "Acme Inc", "personal": "Dev"}
    found = {r.code: r for r in decode.regions(stdout("platform_regions"))}
    assert found["ams"].mpg_available
    assert not found["arn"].mpg_available
    assert decode.token(stdout("auth_token_json")).reveal() == "fm2_TOKEN"


def test_apps_and_secrets() -> None:
    app = decode.apps(stdout("apps_list"))[0]
    assert (app.name, app.organization, app.deployed) == ("myapp-api", "acme", False)
    assert {s.name: s.status for s in decode.secrets(stdout("secrets_list_mixed"))} == {
        "NEWKEY": "Deployed",
        "NEWKEY2": "Staged",
    }


def test_clusters() -> None:
    (cluster,) = decode.clusters(stdout("mpg_list_some"))
    assert (cluster.id, cluster.name, cluster.status, cluster.disk_gb) == (
        "000000003e500002", "myapp-db", "ready", 10,
    )  # fmt: skip
    assert decode.clusters(stdout("mpg_list_none")) == ()
    with pytest.raises(decode.DecodeError):
        decode.clusters("something else")


def test_cluster_credentials_are_secrets_and_know_if_they_are_ready() -> None:
    status = decode.cluster_status(stdout("mpg_status"))
    assert status.credentials.ready
    assert status.credentials.pooled_url.reveal().startswith("postgresql://fly-user:")
    assert "s3cretPW" not in repr(status)
    assert not decode.cluster_status(stdout("mpg_status_creating")).credentials.ready


@pytest.mark.parametrize("name", names("mpg_create_"))
def test_the_id_of_a_new_cluster_is_known_at_once(name: str) -> None:
    found = decode.created_cluster(stdout(name))
    assert (found is not None) == ("Waiting for cluster" in stdout(name))
    assert found is None or found.startswith("000000003e5")


def test_extensions() -> None:
    found = {e.name: e for e in decode.extensions(stdout("mpg_extensions_list"))}
    assert found["vector"].installed is None
    assert (found["plpgsql"].installed, found["plpgsql"].schema) == ("1.0", "pg_catalog")


def test_releases_and_addresses() -> None:
    newest = decode.releases(stdout("releases_json"))[0]
    assert (newest.version, newest.status, newest.image) == (
        2,
        "complete",
        "registry.fly.io/myapp-api:deployment-2",
    )
    assert newest.user == "dev@example.com"
    assert decode.releases(stdout("releases_none")) == ()
    assert [a.type for a in decode.addresses(stdout("ips_list"))] == ["v6", "shared_v4"]


def test_names_of_databases_and_users() -> None:
    assert decode.names(stdout("mpg_databases_list")) == ("fly-db",)
    assert decode.names(stdout("mpg_users_list")) == ("fly-user",)


def test_a_command_in_a_machine_without_exit_code_succeeded() -> None:
    assert decode.executed(stdout("machine_exec_ok")) == decode.Executed(0, "ok\n", "")
    assert decode.executed(stdout("machine_exec_nonzero_json")).exit_code == 3


def test_volumes() -> None:
    assert [v.name for v in decode.volumes(stdout("volumes_list"))][:1] == ["kafka_data"]
    assert decode.volumes(stdout("volumes_create"))[0].size_gb == 10
    assert decode.volumes(stdout("volumes_list_none")) == ()


def test_logs_are_objects_one_after_the_other() -> None:
    text = stdout("logs_json_no_tail")
    assert [o["message"] for o in decode.objects_in(text)] == ["hello \x1b[32mgreen\x1b[0m", "second line"]
    assert len(list(decode.objects_in(text[:-20]))) == 1


def test_the_release_line_of_a_deploy() -> None:
    release = decode.deployed_release(stdout("deploy_first_ha"))
    assert release is not None
    assert (release.version, release.image) == (1, "registry.fly.io/myapp-api:deployment-1")
    assert decode.deployed_release(stdout("deploy_first_crash_loop")) is None


def test_warnings_before_json_are_skipped() -> None:
    text = "\x1b[33mWARN\x1b[0m failed to do [something] {odd}\n\n\x1b[34mINFO\x1b[0m Using wait\n" + stdout(
        "orgs_list"
    )
    assert decode.orgs(text)["acme"] == "Acme Inc"


def test_key_case_and_underscores_do_not_matter() -> None:
    assert decode.apps('[{"name":"a","DEPLOYED":true}]')[0].deployed
    assert decode.releases('[{"image_ref":"i","version":"7"}]')[0].version == 7


def test_an_error_never_repeats_what_was_printed() -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.cluster_status('{"data":{},"credentials":{"password":"hunter2"}}')
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_garbage_is_a_decode_error_and_nothing_else(text: str) -> None:
    for read in (
        decode.version,
        decode.orgs,
        decode.clusters,
        decode.cluster_status,
        decode.executed,
        decode.volumes,
    ):
        with contextlib.suppress(decode.DecodeError):
            read(text)
