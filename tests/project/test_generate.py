"""Generated and adopted files: fly.toml round trips, Dockerfiles, .dockerignore."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from flywizard.project.detect import detect
from flywizard.project.fly_files import fly_toml
from flywizard.project.generate import files
from flywizard.project.images import next_image, python_image
from flywizard.project.propose import propose
from flywizard.project.tree import Tree, scan
from flywizard.spec import ServiceSpec, Spec, dump, load, resolve
from tests.support.projects import EXAMPLE, edited, example, found, stopping


def spec_of(texts: dict[str, str]) -> Spec:
    return propose(found(texts), project="helpdesk", organization="acme", region="ams")


CORS = 'CORS_ORIGINS = "[\\"https://helpdesk-web.fly.dev\\"]"'
PROCESSES = """[processes]
app = "uvicorn src.main:app --host 0.0.0.0 --port 8000"
worker = "python -m src.workers.message_processor"
"""
SERVICE = """[http_service]
internal_port = 8000
processes = ["app"]
[[http_service.checks]]
path = "/health"
interval = "15s"
timeout = "5s"
"""
HEAD = 'app = "helpdesk-api"\nprimary_region = "ams"\n'
VM = '[[vm]]\nmemory = "1gb"\n'
WHOLE = {
    "plain": f"{HEAD}[env]\n{CORS}\n{PROCESSES}{SERVICE}{VM}",
    "long comments": f"# Written in spring.\n#\n# Ask Mo before changing the port!\n\n{HEAD}\n[env] # all public\n  {CORS}   # set by hand\n\n{PROCESSES}\n\n\n{SERVICE}{VM}# the end\n",
    "order turned round": f"{HEAD}{VM}{SERVICE}{PROCESSES}[env]\n{CORS}\n",
    "unknown keys": f"{HEAD}colour = 'blue'\n[env]\n{CORS}\n[surprise]\nx = [1, 2,\n  3]\n{PROCESSES}{SERVICE}auto_rollback = true\n{VM}",
    "group web": (HEAD + f"[env]\n{CORS}\n" + PROCESSES + SERVICE + VM).replace("app = \"uvicorn", "web = \"uvicorn").replace('["app"]', '["web"]'),
    "carriage returns": f"{HEAD}[env]\n{CORS}\n{PROCESSES}{SERVICE}{VM}".replace("\n", "\r\n"),
    "tabs and blanks": f"{HEAD}[env]\n\t{CORS}\t\n{PROCESSES}{SERVICE}{VM}\n\n\n",
    "inline tables": HEAD + f'env = {{ {CORS} }}\nprocesses = {{ app = "uvicorn src.main:app --host 0.0.0.0 --port 8000", worker = "python -m src.workers.message_processor" }}\n{SERVICE}{VM}',
    "services of the older kind": f'{HEAD}[env]\n{CORS}\n{PROCESSES}{VM}[[services]]\ninternal_port = 8000\nprotocol = "tcp"\nprocesses = ["app"]\n[[services.ports]]\nport = 443\nhandlers = ["tls", "http"]\n[[services.http_checks]]\npath = "/health"\ninterval = "15s"\n',
    "commands as lists": HEAD + f'[env]\n{CORS}\n[processes]\napp = ["uvicorn", "src.main:app", "--host", "0.0.0.0", "--port", "8000"]\nworker = "python -m src.workers.message_processor"\n{SERVICE}{VM}',
    "machines by group": f'{HEAD}[env]\n{CORS}\n{PROCESSES}{SERVICE}[[vm]]\nsize = "shared-cpu-2x"\nprocesses = ["app"]\n[[vm]]\nmemory = 2048\nprocesses = ["worker"]\n',
    "mounts and statics": f'{HEAD}[env]\n{CORS}\n{PROCESSES}{SERVICE}{VM}[[statics]]\nguest_path = "/app/static"\nurl_prefix = "/static"\n[[mounts]]\nsource = "data"\ndestination = "/data"\nprocesses = ["app"]\n',
    "quoted keys": f'"app" = "helpdesk-api"\n\'primary_region\' = "ams"\n[env]\n"CORS_ORIGINS" = \'["https://helpdesk-web.fly.dev"]\'\n{PROCESSES}{SERVICE}{VM}',
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_a_configuration_that_is_right_stays_byte_for_byte(name: str) -> None:
    text = WHOLE[name]
    spec = spec_of(edited(add={"backend/fly.toml": text.replace("\r\n", "\n")}))
    assert fly_toml(resolve(spec), "helpdesk-api", text) == text


WRONG = {
    "placeholder": (WHOLE["long comments"].replace("helpdesk-api", "helpdesk-REPLACE_ME"), ("app",), "helpdesk-api"),
    "port": (WHOLE["plain"].replace("internal_port = 8000", "internal_port = 8080 # why?"), ("http_service", "internal_port"), 8000),
    "no group named": (WHOLE["plain"].replace('processes = ["app"]\n', ""), ("http_service", "processes"), ["app"]),
    "worker served": (WHOLE["plain"].replace('["app"]', '["app", "worker"]'), ("http_service", "processes"), ["app"]),
    "region": (WHOLE["unknown keys"].replace('"ams"', '"iad"'), ("primary_region",), "ams"),
    "no cors": (WHOLE["plain"].replace(CORS, "LOG_LEVEL = 'info'"), ("env", "CORS_ORIGINS"), '["https://helpdesk-web.fly.dev"]'),
    "no env": (WHOLE["plain"].replace(f"[env]\n{CORS}\n", ""), ("env", "CORS_ORIGINS"), '["https://helpdesk-web.fly.dev"]'),
    "no processes": (f"{HEAD}[env]\n{CORS}\n{SERVICE}{VM}", ("processes", "worker"), "python -m src.workers.message_processor"),
    "no service": (f"{HEAD}[env]\n{CORS}\n{PROCESSES}{VM}", ("http_service", "internal_port"), 8000),
    "no check": (WHOLE["plain"].split("[[http_service.checks]]")[0] + VM, ("http_service", "checks", 0, "path"), "/health"),
    "no machine": (WHOLE["plain"].replace(VM, ""), ("vm", 1, "processes"), ["worker"]),
    "one group without machine": (WHOLE["plain"].replace(VM, VM + 'processes = ["app"]\n'), ("vm", 1, "processes"), ["worker"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_configuration_is_mended_and_then_stays(name: str) -> None:
    text, key, value = WRONG[name]
    spec = resolve(spec_of(edited(add={"backend/fly.toml": WHOLE["plain"]})))
    after = fly_toml(spec, "helpdesk-api", text)
    data = tomllib.loads(after)
    for part in key:
        data = data[part]  # type: ignore[index]
    assert data == value
    assert fly_toml(spec, "helpdesk-api", after) == after
    comments = [line.split("#", 1)[1] for line in text.split("\n") if "#" in line]
    assert all(comment in after for comment in comments)


def test_a_group_name_is_kept() -> None:
    spec = resolve(spec_of(edited(add={"backend/fly.toml": WHOLE["group web"]})))
    assert spec.group_of("api") == "web"
    after = fly_toml(spec, "helpdesk-api", WHOLE["group web"].replace("8000\n", "8001\n"))
    data = tomllib.loads(after)
    assert set(data["processes"]) == {"web", "worker"}
    assert data["http_service"]["processes"] == ["web"]


def test_a_fresh_configuration_of_two_groups() -> None:
    spec = resolve(spec_of(example()))
    text = fly_toml(spec, "helpdesk-api")
    data = tomllib.loads(text)
    assert data["processes"] == {
        "app": "uvicorn src.main:app --host 0.0.0.0 --port 8000",
        "worker": "python -m src.workers.message_processor",
    }
    assert data["kill_signal"] == "SIGTERM"
    assert data["build"] == {"dockerfile": "Dockerfile"}
    service = data["http_service"]
    assert (service["internal_port"], service["processes"], service["min_machines_running"]) == (
        8000,
        ["app"],
        1,
    )
    assert service["checks"][0]["path"] == "/health"
    assert [v["processes"] for v in data["vm"]] == [["app"], ["worker"]]
    assert data["restart"] == [{"policy": "always", "processes": ["worker"]}]
    assert fly_toml(spec, "helpdesk-api", text) == text


def test_a_worker_of_its_own_has_no_service() -> None:
    spec = spec_of(example())
    services = dict(spec.services) | {
        "worker": spec.services["worker"].model_copy(
            update={"app": "helpdesk-worker", "config": "backend/fly.worker.toml"}
        )
    }
    spec = resolve(spec.model_copy(update={"services": services}))
    data = tomllib.loads(fly_toml(spec, "helpdesk-worker"))
    assert "http_service" not in data
    assert data["processes"] == {"worker": "python -m src.workers.message_processor"}
    assert "worker" not in tomllib.loads(fly_toml(spec, "helpdesk-api"))["processes"]


def test_the_web_gets_its_build_argument_and_address() -> None:
    spec = resolve(spec_of(example()))
    data = tomllib.loads(fly_toml(spec, "helpdesk-web"))
    assert data["build"]["args"] == {"NEXT_PUBLIC_API_URL": "https://helpdesk-api.fly.dev"}
    assert data["env"]["HOSTNAME"] == "0.0.0.0"
    old = 'app = "helpdesk-web"\nprimary_region = "ams"\n[build.args] # frozen\nOTHER = "1"\n'
    adopted = tomllib.loads(fly_toml(spec, "helpdesk-web", old))
    assert adopted["build"]["args"] == {"OTHER": "1", "NEXT_PUBLIC_API_URL": "https://helpdesk-api.fly.dev"}


def test_a_dockerfile_elsewhere_is_named_relative_to_the_configuration() -> None:
    service = ServiceSpec(
        role="api",
        app="desk-api",
        path=".",
        dockerfile="docker/api.Dockerfile",
        config="deploy/fly.toml",
        command="x",
        port=80,
    )
    spec = Spec(version=1, name="desk", organization="acme", region="ams", services={"api": service})
    assert tomllib.loads(fly_toml(spec, "desk-api"))["build"]["dockerfile"] == "../docker/api.Dockerfile"


def test_a_prebuilt_image_names_no_dockerfile() -> None:
    service = ServiceSpec(
        role="api",
        app="desk-api",
        config="fly.toml",
        dockerfile="Dockerfile",
        command="x",
        port=80,
        image="registry.fly.io/desk-api:v7",
    )
    spec = Spec(version=1, name="desk", organization="acme", region="ams", services={"api": service})
    assert "build" not in tomllib.loads(fly_toml(spec, "desk-api"))


def test_the_files_of_a_plan_and_none_the_second_time() -> None:
    texts = edited(remove=("backend/Dockerfile", "backend/.dockerignore", "frontend/Dockerfile"))
    spec, findings = spec_of(texts), found(texts)
    changes = files(Tree.of(texts), spec, findings)
    assert [c.path for c in changes] == [
        "flywizard.toml", "backend/fly.toml", "backend/.dockerignore", "backend/Dockerfile", "frontend/fly.toml", "frontend/.dockerignore", "frontend/Dockerfile",
    ]  # fmt: skip
    assert {c.path for c in changes if c.verb == "change"} == {"frontend/.dockerignore"}
    after = texts | {c.path: c.after for c in changes}
    again = found(after)
    assert stopping(again) == []
    assert files(Tree.of(after), load(after["flywizard.toml"]), again) == []
    assert dump(spec_of(after)) == after["flywizard.toml"]


def test_a_frontend_without_standalone_gets_it_with_its_image() -> None:
    texts = edited(
        ("frontend/next.config.ts", '  output: "standalone",\n', ""), remove=("frontend/Dockerfile",)
    )
    changes = {c.path: c for c in files(Tree.of(texts), spec_of(texts), found(texts))}
    assert 'output: "standalone"' in changes["frontend/next.config.ts"].after


def test_an_unreadable_configuration_is_left_alone(tmp_path: Path) -> None:
    for data in (b"app = '\xe9'\n", b"app = [\n"):
        shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
        (tmp_path / "backend/fly.toml").write_bytes(data)
        tree = scan(tmp_path)
        findings = detect(tree)
        assert "backend/fly.toml" not in {c.path for c in files(tree, spec_of(example()), findings)}
        assert (tmp_path / "backend/fly.toml").read_bytes() == data


def test_line_ends_and_byte_order_marks_stay(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    text = WHOLE["long comments"].replace("8000\nprocesses", "8080\nprocesses")
    exact = "\ufeff" + text.replace("\n", "\r\n")
    (tmp_path / "backend/fly.toml").write_bytes(exact.encode())
    tree = scan(tmp_path)
    (change,) = [c for c in files(tree, spec_of(example()), detect(tree)) if c.path == "backend/fly.toml"]
    assert change.before == exact
    assert change.after == exact.replace("8080", "8000")
    (tmp_path / "backend/fly.toml").write_bytes(exact.replace("8080", "8000").encode())
    tree = scan(tmp_path)
    assert "backend/fly.toml" not in {c.path for c in files(tree, spec_of(example()), detect(tree))}


@pytest.mark.parametrize(
    ("manager", "words"),
    [
        ("pip", "pip install --no-cache-dir -r"),
        ("uv", "uv sync --locked"),
        ("poetry", "poetry install --only main"),
    ],
)
def test_python_images(manager: str, words: str) -> None:
    text = python_image(package_manager=manager, command="uvicorn a:app --host 0.0.0.0", port=8000)
    assert words in text
    assert 'CMD ["uvicorn", "a:app", "--host", "0.0.0.0"]' in text
    assert 'PATH="/app/.venv/bin:$PATH"' in text
    assert "USER app" in text
    assert "libpq" not in text
    assert "libpq5" in python_image(
        package_manager="pip", command="x", port=1, requirements="psycopg2==2.9\n"
    )


def test_an_image_of_an_unknown_manager_is_refused() -> None:
    with pytest.raises(ValueError, match="no image for conda"):
        python_image(package_manager="conda", command="x", port=1)


def test_a_next_image_has_its_arguments_before_the_build() -> None:
    text = next_image(package_manager="pnpm", public_names=("NEXT_PUBLIC_API_URL",), port=3000)
    assert text.index("ARG NEXT_PUBLIC_API_URL") < text.index("pnpm run build")
    assert "pnpm-lock.yaml" in text
