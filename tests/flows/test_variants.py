"""The example and its variants, by the plain and the JSON front: all end done, and a second run changes nothing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flywizard.vault import Secret
from tests.support.inprocess import Platform, counts, normalised, play, through_front

New = Callable[..., Platform]
URL = "postgresql://support:hUnter2-of-the-north@db.acme.example:5432/helpdesk"
API_TOML = """\
# Kept by hand: ask Sam before changing the grace period.
app = 'helpdesk-api'   # the name everybody knows
primary_region = "iad"
kill_signal = "SIGTERM"
kill_timeout = "60s"
console_command = "/bin/bash"

[build]
  dockerfile = "Dockerfile"

[deploy]
  strategy = "rolling"

[env]
  FORWARDED_ALLOW_IPS = "*"
  CORS_ORIGINS = "[\\"https://helpdesk-web.fly.dev\\"]"
  LOG_LEVEL = "info"   # debug is too much

[processes]
  app = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
  worker = "python -m src.workers.message_processor"

[http_service]
  internal_port = 8000
  force_https = true
  auto_stop_machines = "stop"
  auto_start_machines = true
  min_machines_running = 1
  processes = ["app"]

  [[http_service.checks]]
    method = "GET"
    path = "/health"
    interval = "15s"
    timeout = "5s"
    grace_period = "45s"  # the models load slowly
    [http_service.checks.headers]
      X-Forwarded-Proto = "https"

[metrics]
  port = 9091
  path = "/metrics"

[[vm]]
  size = "shared-cpu-1x"
  memory = "1024mb"
  processes = ["app"]

[[vm]]
  size = "shared-cpu-1x"
  memory = "1024mb"
  processes = ["worker"]
"""
WEB_TOML = """\
# The frontend.
app = "helpdesk-web"
primary_region = "iad"

[http_service]
  internal_port = 3000
  auto_stop_machines = "suspend" # wakes faster
  auto_start_machines = true
  min_machines_running = 0
"""


@dataclass(frozen=True)
class Variant:
    """One way to deploy the example."""

    flags: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda root: None
    machines: Mapping[str, int] = field(
        default_factory=lambda: {"helpdesk-api/app": 1, "helpdesk-api/worker": 1, "helpdesk-web/app": 1}
    )
    made: Mapping[str, int] = field(default_factory=lambda: {"app": 2, "cluster": 1, "image": 2})


def prebuilt(root: Path) -> None:
    images = {"api": "ghcr.io/acme/helpdesk-api:2.1", "web": "ghcr.io/acme/helpdesk-web:2.1"}
    text = 'version = 1\nname = "helpdesk"\norganization = "acme"\nregion = "iad"\n\n'
    text += '[database]\nkind = "managed"\nname = "helpdesk-db"\nextensions = ["vector", "uuid-ossp"]\n'
    text += 'schema = { method = "sql", files = ["database/schema.sql"] }\n\n'
    text += '[broker]\nkind = "none"\n\n'
    for service, role, folder, extra in (
        ("api", "api", "backend", 'port = 8000\nhealth = "/health"\n'),
        ("worker", "worker", "backend", 'command = "python -m src.workers.message_processor"\n'),
        ("web", "web", "frontend", 'port = 3000\nhealth = "/"\n'),
    ):
        image = images["web" if role == "web" else "api"]
        app = "helpdesk-web" if role == "web" else "helpdesk-api"
        text += f'[services.{service}]\nrole = "{role}"\napp = "{app}"\npath = "{folder}"\n{extra}'
        text += f'image = "{image}" # made by our CI\n\n'
    (root / "flywizard.toml").write_text(text)


def commented(root: Path) -> None:
    (root / "backend" / "fly.toml").write_text(API_TOML)
    (root / "frontend" / "fly.toml").write_text(WEB_TOML)


APART = {"helpdesk-api/app": 1, "helpdesk-worker/worker": 1, "helpdesk-web/app": 1}
VARIANTS = {
    "example": Variant(),
    "worker-own-app": Variant(
        {"worker.placement": "app"}, machines=APART, made={"app": 3, "cluster": 1, "image": 2}
    ),
    "existing-database": Variant(
        {"database.kind": "existing"}, {"database.url": URL}, made={"app": 2, "cluster": 0, "image": 2}
    ),
    "no-broker": Variant({"broker.kind": "none"}),
    "prebuilt-images": Variant(prepare=prebuilt, made={"app": 2, "cluster": 1, "image": 0}),
    "existing-fly-toml": Variant(prepare=commented),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["plain", "json"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_ends_done_and_is_not_done_twice(new_platform: New, name: str, as_json: bool) -> None:
    variant = VARIANTS[name]
    platform = new_platform()
    variant.prepare(platform.root)
    secrets = {k: Secret(v) for k, v in variant.secrets.items()}

    async def scene() -> tuple[Any, Any, dict[str, Any]]:
        first = await through_front(platform, variant.flags, as_json=as_json, secrets=secrets)
        assert first.code == 0, "\n".join(first.err)
        platform.world.requests.clear()
        # the answers of the first run are in flywizard.toml and in the keyring by now
        second = await through_front(platform, as_json=as_json)
        return first, second, normalised(platform.world)

    first, second, world = play(platform, scene)
    assert not platform.bugs
    assert second.code == 0, "\n".join(second.err)
    assert [r.path for r in platform.world.requests if r.mutating] == []
    made = counts(platform)
    assert {k: made[k] for k in variant.made} == dict(variant.made)
    assert made["schema applied"] == 1
    assert {place: platform.world.count("machine", place) for place in variant.machines} == dict(
        variant.machines
    )
    assert made["machine made"] == sum(variant.machines.values())
    assert all(m[3] == "started" or m[0] == "helpdesk-web" for m in world["machines"])
    assert all(status == "complete" for status, _ in world["newest"].values())
    for run, outcome in ((first, "done"), (second, "nothing-to-do")):
        if as_json:
            events = [json.loads(line) for line in run.out]
            assert events[0]["event"] == "run_started"
            assert events[-1]["event"] == "run_ended"
            assert events[-1]["outcome"] == outcome
            assert events[-1]["urls"]["helpdesk-web"] == "https://helpdesk-web.fly.dev"
            assert all(e["rehearsal"] for e in events)
        else:
            said = "\n".join(run.out)
            assert "https://helpdesk-web.fly.dev" in said
            assert ("nothing to do" in said) == (outcome == "nothing-to-do")
    for value in variant.secrets.values():
        assert value not in "\n".join([*first.out, *first.err, *second.out, *second.err])


def test_comments_and_unknown_keys_of_fly_toml_files_are_kept(new_platform: New) -> None:
    platform = new_platform()
    commented(platform.root)

    async def scene() -> Any:
        return await through_front(platform)

    done = play(platform, scene)
    assert done.code == 0
    api, web = ((platform.root / f / "fly.toml").read_text() for f in ("backend", "frontend"))
    for kept in ("# Kept by hand: ask Sam", "'helpdesk-api'   # the name everybody knows", 'LOG_LEVEL = "info"   # debug',
                 'grace_period = "45s"  # the models load slowly', "[metrics]\n  port = 9091", "console_command"):  # fmt: skip
        assert kept in api
    assert "# The frontend." in web
    assert '"suspend" # wakes faster' in web
    read = tomllib.loads(web)
    assert read["build"]["args"] == {"NEXT_PUBLIC_API_URL": "https://helpdesk-api.fly.dev"}
    assert tomllib.loads(api)["processes"]["worker"] == "python -m src.workers.message_processor"


def test_a_file_where_nothing_changes_is_the_same_byte_for_byte(new_platform: New) -> None:
    platform = new_platform()
    commented(platform.root)
    files = ("flywizard.toml", "backend/fly.toml", "frontend/fly.toml")

    async def scene() -> tuple[list[bytes], list[bytes]]:
        assert (await through_front(platform)).code == 0
        before = []
        for name in files:
            path = platform.root / name
            path.write_text("# first line, by hand\n" + path.read_text() + "# last line\n")
            before.append(path.read_bytes())
        assert (await through_front(platform)).code == 0
        return before, [(platform.root / name).read_bytes() for name in files]

    before, after = play(platform, scene)
    assert before == after


def test_an_own_worker_app_shares_the_image_of_the_api(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> Any:
        return await through_front(platform, VARIANTS["worker-own-app"].flags)

    assert play(platform, scene).code == 0
    images = {m.app: str(m.config["image"]) for m in platform.world.machines.values()}
    assert images["helpdesk-worker"] == images["helpdesk-api"]
    assert {i.app for i in platform.world.images.values()} == {"helpdesk-api", "helpdesk-web"}
    assert not platform.world.apps["helpdesk-worker"].addresses


def test_an_existing_database_is_used_as_it_is(new_platform: New) -> None:
    platform = new_platform()

    async def scene() -> Any:
        return await through_front(
            platform, {"database.kind": "existing"}, secrets={"database.url": Secret(URL)}
        )

    assert play(platform, scene).code == 0
    assert set(platform.databases) == {URL}
    assert set(platform.databases[URL].extensions) >= {"vector", "uuid-ossp"}
    assert platform.databases[URL].tables == {"customers", "tickets", "articles", "messages"}
    assert "DATABASE_URL" in platform.world.apps["helpdesk-api"].secrets
