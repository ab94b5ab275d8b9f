"""Writing fly.toml: several generations of existing files, what stays, what is mended, and that a strict reader takes all of it."""

from __future__ import annotations

import tomllib

import pytest

from flywizard.project.fly_files import fly_toml
from flywizard.project.generate import files
from flywizard.project.propose import propose
from flywizard.project.tree import Tree
from flywizard.rehearsal import fly_config
from flywizard.spec import ServiceSpec, Spec, resolve
from tests.support.projects import edited, example, found

HEAD = 'app = "helpdesk-api"\nprimary_region = "ams"\n'
ENV = '[env]\nCORS_ORIGINS = "[\\"https://helpdesk-web.fly.dev\\"]"\n'
RUN = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
WORK = "python -m src.workers.message_processor"
GROUPS = f'[processes]\napp = "{RUN}"\nworker = "{WORK}"\n'
HTTP = '[http_service]\ninternal_port = 8000\nforce_https = true\nprocesses = ["app"]\n[[http_service.checks]]\npath = "/health"\ninterval = "15s"\n'
VM = '[[vm]]\nmemory = "1gb"\n'
OLD = """[[services]]
  protocol = "tcp"
  internal_port = 8000
  processes = ["app"]
  [services.concurrency]
    type = "connections"
    hard_limit = 25
    soft_limit = 20
  [[services.ports]]
    force_https = true
    handlers = ["http"]
    port = 80
  [[services.ports]]
    handlers = ["tls", "http"]
    port = 443
  [[services.tcp_checks]]
    grace_period = "1s"
    interval = "15s"
    timeout = "2s"
"""
CHECKED = (
    OLD.split("  [[services.tcp_checks]]")[0]
    + '  [[services.http_checks]]\n    method = "get"\n    path = "/health"\n    interval = 10000\n'
)
METRICS = '[[services]]\n  internal_port = 9090\n  protocol = "tcp"\n  processes = ["app"]\n  [[services.ports]]\n    port = 9090\n'

RIGHT = {
    "today's": f"{HEAD}\n{ENV}\n{GROUPS}\n{HTTP}\n{VM}",
    "services with tcp checks": f"{HEAD}{ENV}{GROUPS}{OLD}{VM}",
    "services with http checks": f"{HEAD}{ENV}{GROUPS}{CHECKED}{VM}",
    "a second service of one's own": f"{HEAD}{ENV}{GROUPS}{CHECKED}{METRICS}{VM}",
    "kill signal and timeout": f'{HEAD}kill_signal = "SIGTERM"\nkill_timeout = 120\n{ENV}{GROUPS}{HTTP}{VM}',
    "builder left over": f'{HEAD}{ENV}[build]\n  dockerfile = "./Dockerfile"\n{GROUPS}{HTTP}{VM}',
    "deploy with a strategy": f'{HEAD}{ENV}[deploy]\n  strategy = "bluegreen"\n  wait_timeout = "10m"\n{GROUPS}{HTTP}{VM}',
    "machines in memory_mb": f"{HEAD}{ENV}{GROUPS}{HTTP}[[vm]]\n  memory_mb = 1024\n  cpu_kind = 'shared'\n  cpus = 1\n",
    "one vm table": f'{HEAD}{ENV}{GROUPS}{HTTP}[vm]\nmemory = "1gb"\n',
    "inline machines": f'{HEAD}vm = [{{ memory = "1gb" }}]\n{ENV}{GROUPS}{HTTP}',
    "dotted env": f'{HEAD}env.CORS_ORIGINS = "[\\"https://helpdesk-web.fly.dev\\"]"\n{GROUPS}{HTTP}{VM}',
    "checks of the app": f'{HEAD}{ENV}{GROUPS}{HTTP}[checks.alive]\ntype = "tcp"\nport = 8000\ninterval = "15s"\ntimeout = "2s"\nprocesses = ["app"]\n{VM}',
    "metrics": f'{HEAD}{ENV}{GROUPS}{HTTP}{VM}[metrics]\nport = 9091\npath = "/metrics"\n',
    "restart by group": f'{HEAD}{ENV}{GROUPS}{HTTP}{VM}[[restart]]\npolicy = "always"\nretries = 10\nprocesses = ["worker"]\n',
    "files": f'{HEAD}{ENV}{GROUPS}{HTTP}{VM}[[files]]\nguest_path = "/app/ca.pem"\nsecret_name = "KAFKA_CA"\n',
    "multi-line command": f"{HEAD}{ENV}[processes]\napp = '''{RUN}'''\nworker = \"{WORK}\"\n{HTTP}{VM}",
    "comments in lists": f"{HEAD}{ENV}{GROUPS}{HTTP}".replace('["app"]', '[\n  "app", # not the worker!\n]') + VM,
    "suspend": f"{HEAD}{ENV}{GROUPS}{HTTP}".replace("force_https = true", 'force_https = true\nauto_stop_machines = "suspend"\nauto_start_machines = true\nmin_machines_running = 2') + VM,
    "old booleans": f"{HEAD}{ENV}{GROUPS}{HTTP}".replace("force_https = true", "auto_stop_machines = true\nauto_start_machines = true") + VM,
    "tls options": f"{HEAD}{ENV}{GROUPS}{HTTP}".replace("[[http_service.checks]]", '[http_service.tls_options]\nalpn = ["h2", "http/1.1"]\n[[http_service.checks]]') + VM,
    "experimental": f'{HEAD}{ENV}{GROUPS}{HTTP}{VM}[experimental]\nauto_rollback = true\n',
    "swap and console": f'{HEAD}swap_size_mb = 256\nconsole_command = "/bin/sh"\n{ENV}{GROUPS}{HTTP}{VM}',
    "a region in a comment": f"# fly.toml for iad and ams\n{HEAD}{ENV}# ---\n{GROUPS}# ---\n{HTTP}# ---\n{VM}",
}  # fmt: skip
WRONG = {
    "old port": (RIGHT["services with http checks"].replace("internal_port = 8000", "internal_port = 8080 # guess"), ("services", 0, "internal_port"), 8000),
    "old port beside another": (RIGHT["a second service of one's own"].replace("internal_port = 8000", "internal_port = 5000"), ("services", 1, "internal_port"), 9090),
    "old service without groups": (RIGHT["services with tcp checks"].replace('  processes = ["app"]\n', ""), ("services", 0, "processes"), ["app"]),
    "old service for the worker too": (RIGHT["services with tcp checks"].replace('["app"]', '["app", "worker"]'), ("services", 0, "processes"), ["app"]),
    "old service without checks": (RIGHT["services with tcp checks"].split("  [[services.tcp_checks]]")[0] + VM, ("services", 0, "http_checks", 0, "path"), "/health"),
    "no app at all": (RIGHT["today's"].replace('app = "helpdesk-api"\n', "# a template\n", 1), ("app",), "helpdesk-api"),
    "no region": (RIGHT["today's"].replace('primary_region = "ams"\n', ""), ("primary_region",), "ams"),
    "inline machines of one group": (RIGHT["inline machines"].replace('"1gb"', '"1gb", processes = ["app"]'), ("vm", 1, "processes"), ["worker"]),
    "port as text": (RIGHT["today's"].replace("internal_port = 8000", 'internal_port = "8000"'), ("http_service", "internal_port"), 8000),
    "another worker command": (RIGHT["today's"].replace(WORK, "python worker.py # no"), ("processes", "worker"), WORK),
    "a group more": (RIGHT["today's"].replace("[processes]\n", '[processes]\ncron = "sleep infinity"\n'), ("processes", "cron"), "sleep infinity"),
}  # fmt: skip


def wanted() -> Spec:
    return resolve(propose(found(example()), project="helpdesk", organization="acme", region="ams"))


def faults(text: str) -> list[str]:
    """Return what flyctl's strict reading objects to."""
    raw = tomllib.loads(text)
    config = fly_config.AppConfig("fly.toml", raw, fly_config.canonical(raw), fly_config._type_error(raw))
    return [
        *fly_config.problems(config),
        *fly_config.unknown_keys(raw),
        *([config.type_error] if config.type_error else []),
    ]


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_stays_byte_for_byte(name: str) -> None:
    text = RIGHT[name]
    assert fly_toml(wanted(), "helpdesk-api", text) == text
    assert faults(text) == []


@pytest.mark.parametrize("name", RIGHT)
def test_only_the_name_changes_where_only_the_name_is_wrong(name: str) -> None:
    text = RIGHT[name].replace('"helpdesk-api"', '"helpdesk-api-REPLACE_ME"', 1)
    assert fly_toml(wanted(), "helpdesk-api", text) == RIGHT[name]


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_mended_once_and_is_valid(name: str) -> None:
    text, key, value = WRONG[name]
    after = fly_toml(wanted(), "helpdesk-api", text)
    data = tomllib.loads(after)
    for part in key:
        data = data[part]  # type: ignore[index]
    assert data == value
    assert faults(after) == []
    assert fly_toml(wanted(), "helpdesk-api", after) == after
    comments = [line.split("#", 1)[1] for line in text.split("\n") if "#" in line and '# no"' not in line]
    assert all(comment in after for comment in comments)


def test_fresh_files_of_the_example_are_valid() -> None:
    for app in wanted().apps():
        assert faults(fly_toml(wanted(), app)) == []


def one(**values: object) -> Spec:
    service = {
        "role": "api",
        "app": "desk-api",
        "path": ".",
        "dockerfile": "Dockerfile",
        "config": "fly.toml",
        "port": 8000,
    }
    return Spec(
        version=1,
        name="desk",
        organization="acme",
        region="ams",
        services={"api": ServiceSpec.model_validate(service | values)},
    )


@pytest.mark.parametrize(
    "command",
    [
        "alembic upgrade head",
        "sh -c 'DATABASE_URL=$DIRECT_DATABASE_URL alembic upgrade head'",
        'python -c "print(\\"migrated\\")"',
        "psql \"$URL\" -v ON_ERROR_STOP=1 -f 'my schema.sql'",
        "sh -c 'a\\\\b \"c\" # d'",
    ],
)
def test_a_release_command_comes_back_as_it_was_given(command: str) -> None:
    spec = one(command="uvicorn a:app", release_command=command)
    text = fly_toml(spec, "desk-api")
    assert tomllib.loads(text)["deploy"]["release_command"] == command
    old = fly_toml(spec, "desk-api", 'app = "desk-api" # mine\n')
    assert tomllib.loads(old)["deploy"]["release_command"] == command
    assert "# mine" in old
    assert faults(text) == faults(old) == []


def test_a_build_target_has_a_hyphen() -> None:
    spec = one(command="x", build_target="production")
    assert tomllib.loads(fly_toml(spec, "desk-api"))["build"]["build-target"] == "production"
    adopted = fly_toml(spec, "desk-api", 'app = "desk-api"\n[build]\ndockerfile = "Dockerfile" # here\n')
    assert 'build-target = "production"' in adopted
    assert faults(adopted) == []


def test_a_worker_of_its_own_is_restarted_and_not_served() -> None:
    spec = one(role="worker", app="desk-jobs", port=None, command="python -m jobs")
    data = tomllib.loads(fly_toml(spec, "desk-jobs"))
    assert "http_service" not in data
    assert data["restart"] == [{"policy": "always", "processes": ["api"]}]
    assert data["kill_timeout"] == "60s"
    assert faults(fly_toml(spec, "desk-jobs")) == []
    text = 'app = "desk-jobs"\nprimary_region = "ams"\n[processes]\napi = "python -m jobs"\n[[vm]]\nmemory = "1gb"\n'
    assert fly_toml(spec, "desk-jobs", text) == text


def test_a_consumer_in_the_api_is_kept_awake() -> None:
    service = tomllib.loads(fly_toml(one(command="x"), "desk-api", awake=frozenset({"api"})))["http_service"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("off", 1)
    service = tomllib.loads(fly_toml(one(command="x"), "desk-api"))["http_service"]
    assert (service["auto_stop_machines"], service["min_machines_running"]) == ("stop", 1)


def test_pages_need_no_node_and_no_swap() -> None:
    spec = one(role="web", command=None)
    node, pages = (
        tomllib.loads(fly_toml(spec, "desk-api", static=s)) for s in (frozenset(), frozenset({"api"}))
    )
    assert (node["swap_size_mb"], node["env"]["HOSTNAME"]) == (512, "0.0.0.0")
    assert "swap_size_mb" not in pages
    assert "env" not in pages
    assert node["http_service"]["min_machines_running"] == 0


def test_an_image_that_starts_nothing_gets_its_command() -> None:
    text = 'app = "desk-api"\nprimary_region = "ams"\n[http_service]\ninternal_port = 8000\n[[vm]]\nmemory = "1gb"\n'
    assert fly_toml(one(command="uvicorn a:app"), "desk-api", text) == text
    after = tomllib.loads(fly_toml(one(command="uvicorn a:app"), "desk-api", text, bare=frozenset({"api"})))
    assert after["processes"] == {"app": "uvicorn a:app"}
    assert after["http_service"]["processes"] == ["app"]


def test_other_formats_are_named_and_left_alone() -> None:
    texts = edited(
        add={"backend/fly.json": '{"app": "helpdesk-api"}', "backend/fly.yaml": "app: helpdesk-api\n"}
    )
    said = [o.file for o in found(texts).problems if o.id == "C-85"]
    assert said == ["backend/fly.json", "backend/fly.yaml"]
    spec = propose(found(texts), project="helpdesk", organization="acme", region="ams")
    assert {c.path for c in files(Tree.of(texts), spec, found(texts))} == {
        "flywizard.toml",
        "backend/fly.toml",
        "frontend/fly.toml",
    }
