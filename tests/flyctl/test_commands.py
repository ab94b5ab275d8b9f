"""The exact command lines."""

from __future__ import annotations

import inspect
import shlex

import pytest

from flywizard.flyctl import commands as c
from flywizard.plan import Command

PATHS = c.relative_paths("backend", "backend/fly.toml", "docker/api.Dockerfile")
DEPLOY = "--ha=false --dns-checks=false --deploy-retries 0 --https-failover=false --yes"

TABLE: list[tuple[Command, str]] = [
    (c.version(), "version --json"),
    (c.whoami(), "auth whoami --json"),
    (c.auth_token(), "auth token --json"),
    (c.auth_login(), "auth login"),
    (c.auth_logout(), "auth logout"),
    (c.orgs(), "orgs list --json"),
    (c.regions(), "platform regions --json"),
    (c.vm_sizes(), "platform vm-sizes --json"),
    (c.apps_create("a", "acme"), "apps create a -o acme"),
    (c.apps_list("acme"), "apps list --json -o acme"),
    (c.apps_destroy("a"), "apps destroy a -y"),
    (c.secrets_import("a", ["X", "Y"]), "secrets import -a a --stage"),
    (c.secrets_set("a", "X"), "secrets set X=- -a a --stage"),
    (c.secrets_list("a"), "secrets list -a a --json"),
    (c.secrets_unset("a", ["X"]), "secrets unset X -a a --stage"),
    (c.secrets_deploy("a"), "secrets deploy -a a --dns-checks=false"),
    (
        c.mpg_create("db", "acme", "iad", "basic", 10, 17),
        "mpg create -n db -o acme -r iad --plan basic --volume-size 10 --pg-major-version 17",
    ),
    (c.mpg_status("id1"), "mpg status id1 --json"),
    (c.mpg_list("acme"), "mpg list -o acme --json"),
    (c.mpg_attach("id1", "a"), "mpg attach id1 -a a -d fly-db -u fly-user"),
    (
        c.mpg_attach("id1", "a", database="d", user="u", variable="DB_URL"),
        "mpg attach id1 -a a -d d -u u --variable-name DB_URL",
    ),
    (c.mpg_databases_list("id1"), "mpg databases list id1 --json"),
    (c.mpg_extensions_list("id1", "fly-db"), "mpg databases extensions list id1 -d fly-db --json"),
    (
        c.mpg_extension_enable("id1", "fly-db", "vector"),
        "mpg databases extensions enable vector -c id1 -d fly-db",
    ),
    (c.mpg_users_list("id1"), "mpg users list id1 --json"),
    (c.mpg_users_create("id1", "w", "writer"), "mpg users create id1 -u w -r writer"),
    (c.mpg_proxy("id1", 16380), "mpg proxy id1 -p 16380"),
    (c.mpg_destroy("id1"), "mpg destroy id1 -y"),
    (
        c.postgres_create("pg", "acme", "iad", vm_size="shared-cpu-1x", storage_gb=10, image="r/i:1"),
        "postgres create -n pg -o acme -r iad --vm-size shared-cpu-1x --initial-cluster-size 1 "
        "--volume-size 10 --image-ref r/i:1",
    ),
    (c.config_validate("a", "backend/fly.toml"), "config validate --strict -c backend/fly.toml -a a"),
    (
        c.build("a", PATHS, "src-1", build_args={"B": "2", "A": "x y"}, target="prod"),
        "deploy backend -a a -c fly.toml --build-only --push --image-label src-1 --remote-only "
        "--https-failover=false --dockerfile ../docker/api.Dockerfile --build-target prod "
        "--build-arg 'A=x y' --build-arg B=2",
    ),
    (
        c.build("a", c.relative_paths(".", "fly.toml"), "v1", local=True, depot=False),
        "deploy . -a a -c fly.toml --build-only --push --image-label v1 --local-only "
        "--https-failover=false --depot=false",
    ),
    (
        c.deploy("a", "backend/fly.toml", "registry.fly.io/a:v1", env={"FLYWIZARD_RELEASE": "c.d"}),
        f"deploy -a a -c backend/fly.toml --image registry.fly.io/a:v1 {DEPLOY} --env FLYWIZARD_RELEASE=c.d",
    ),
    (
        c.deploy(
            "a", "f.toml", "i", ha=True, strategy="bluegreen", skip_release_command=True,
            release_command_timeout="10m", wait_timeout="3m", process_groups=["app", "worker"],
        ),
        f"deploy -a a -c f.toml --image i {DEPLOY.replace('false', 'true', 1)} --strategy bluegreen "
        "--skip-release-command --release-command-timeout 10m --wait-timeout 3m --process-groups app,worker",
    ),
    (c.releases("a"), "releases --json --image -a a"),
    (
        c.machine_exec("a", "m1", c.in_shell("echo it's $X")),
        "machine exec m1 " + shlex.quote(c.in_shell("echo it's $X")) + " -a a --timeout 60 --json",
    ),
    (c.machine_exec("a", "m1", "true", changes=False), "machine exec m1 true -a a --timeout 60 --json"),
    (c.machine_restart("a", "m1"), "machine restart m1 -a a"),
    (c.machine_start("a", "m1"), "machine start m1 -a a"),
    (c.machine_destroy("a", "m1"), "machine destroy m1 -a a --force"),
    (c.machine_leases_view("a", "m1"), "machine leases view m1 -a a --json"),
    (c.machine_leases_clear("a", "m1"), "machine leases clear m1 -a a"),
    (c.scale_count("a", {"worker": 1, "app": 2}), "scale count app=2 worker=1 -a a -y"),
    (c.logs("a"), "logs --json --no-tail -a a"),
    (c.ips_list("a"), "ips list --json -a a"),
    (c.ips_allocate_v6("a"), "ips allocate-v6 -a a"),
    (c.ips_allocate_v6("a", private=True), "ips allocate-v6 --private -a a"),
    (c.ips_allocate_shared_v4("a"), "ips allocate-v4 --shared -a a"),
    (c.certs_add("a", "x.example.com"), "certs add x.example.com -a a --json"),
    (c.certs_check("a", "x.example.com"), "certs check x.example.com -a a --json"),
    (c.volumes_create("a", "data", "iad", 3), "volumes create data -a a -r iad -s 3 -n 1 -y --json"),
    (c.volumes_list("a"), "volumes list -a a --json"),
    (c.volumes_destroy("vol_1"), "volumes destroy vol_1 -y"),
    (c.tokens_create_deploy("a", "ci"), "tokens create deploy -a a -x 720h -n ci --json"),
    (c.proxy("a", 9092, 9093), "proxy 9092:9093 -a a"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "line"), TABLE, ids=[line for _, line in TABLE])
def test_the_line(command: Command, line: str) -> None:
    assert command.argv == ("fly", *shlex.split(line))


def test_every_builder_is_in_the_table() -> None:
    builders = {
        name
        for name, thing in vars(c).items()
        if inspect.isfunction(thing)
        and not name.startswith("_")
        and thing.__annotations__.get("return") == "Command"
    }
    used = {name for name in builders if f"c.{name}(" in inspect.getsource(inspect.getmodule(test_the_line))}  # type: ignore[arg-type]
    assert builders == used


def by_words(attribute: str) -> set[str]:
    return {" ".join(x.argv[1:3]) for x, _ in TABLE if getattr(x, attribute)}


def test_what_changes_runs_in_a_keeper() -> None:
    assert by_words("changes") == {
        "auth logout", "apps create", "apps destroy", "secrets import", "secrets set", "secrets unset",
        "secrets deploy", "mpg create", "mpg attach", "mpg databases", "mpg users", "mpg destroy",
        "postgres create", "deploy backend", "deploy .", "deploy -a", "machine exec", "machine restart",
        "machine start", "machine destroy", "machine leases", "scale count", "ips allocate-v6", "ips allocate-v4", "certs add",
        "volumes create", "volumes destroy", "tokens create",
    }  # fmt: skip


def test_what_creates_runs_behind_the_guard_and_builds_do_not() -> None:
    assert by_words("guarded") == {
        "apps create", "secrets import", "secrets set", "secrets deploy", "mpg create", "mpg attach",
        "postgres create", "deploy -a", "machine exec", "scale count", "ips allocate-v6", "ips allocate-v4",
        "certs add", "volumes create", "tokens create",
    }  # fmt: skip
    assert all(x.changes for x, _ in TABLE if x.guarded)


def test_what_prints_secrets_is_private() -> None:
    assert by_words("private") == {
        "auth token", "mpg status", "postgres create", "machine leases", "tokens create",
    }  # fmt: skip


def test_values_travel_by_stdin_and_are_never_shown() -> None:
    assert c.secrets_import("a", ["X", "Y"]).stdin == ("X", "Y")
    assert c.secrets_set("a", "X").stdin == ("X",)
    assert c.secrets_import("a", ["X"]).shown() == "fly secrets import -a a --stage < X=••••"


def test_environment_additions() -> None:
    assert dict(c.deploy("a", "f", "i").env) == {"FLY_EMIT_RELEASE_JSON": "1"}
    assert dict(c.build("a", PATHS, "v").env) == {"BUILDKIT_PROGRESS": "rawjson"}


def test_the_whole_life_of_the_guards_patience_fits_into_our_limits() -> None:
    assert all(x.timeout >= 300 for x, _ in TABLE if x.guarded and x.argv[1] != "machine")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("backend", "backend/fly.toml", "backend/Dockerfile"), ("backend", "fly.toml", "Dockerfile")),
        ((".", "fly.toml", "backend/Dockerfile"), (".", "fly.toml", "backend/Dockerfile")),
        (("", "deploy/api.toml", None), (".", "deploy/api.toml", None)),
        (("apps/web/", "fly.web.toml", "Dockerfile.web"), ("apps/web", "../../fly.web.toml", "../../Dockerfile.web")),
        (("a", "b\\fly.toml", None), ("a", "../b/fly.toml", None)),
    ],
)  # fmt: skip
def test_paths_are_relative_to_the_build_directory(
    given: tuple[str, str, str | None], wanted: tuple[str, str, str | None]
) -> None:
    paths = c.relative_paths(*given)
    assert (paths.directory, paths.config, paths.dockerfile) == wanted


@pytest.mark.parametrize("path", ["/etc/fly.toml", "../fly.toml", "a/../../x", "C:/x/fly.toml"])
def test_paths_outside_the_repository_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="inside the repository"):
        c.relative_paths("backend", path)
