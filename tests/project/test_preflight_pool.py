"""C-45: pools times processes times machines against the plan that is chosen."""

from __future__ import annotations

import pytest

from flywizard.project.propose import propose
from flywizard.project.rules_pool import processes
from flywizard.spec import Spec, dump
from tests.support.projects import edited, example, found, objections

POOL = ("backend/src/db.py", "max_size=settings.database_pool_size", "max_size=16")
CMD = '"--port", "8000"]'


def chosen(plan: str = "basic", api: int = 1, worker: int = 1) -> str:
    spec = propose(found(example()), project="helpdesk", organization="acme", region="ams")
    services = {
        n: s.model_copy(update={"machines": {"api": api, "worker": worker}.get(n, 1)})
        for n, s in spec.services.items()
    }
    made = Spec.model_validate(
        spec.model_copy(
            update={"services": services, "database": spec.database.model_copy(update={"plan": plan})}
        )
    )
    return dump(made)


def test_one_machine_each_fits() -> None:
    assert objections(edited(POOL), "C-45") == []
    assert objections(edited(POOL, add={"flywizard.toml": chosen()}), "C-45") == []


def test_two_machines_of_the_api_do_not() -> None:
    (said,) = objections(edited(POOL, add={"flywizard.toml": chosen(api=2)}), "C-45")
    assert "Up to 48 connections (32 `api` + 16 `worker`" in said.message
    assert "against 50" in said.message
    assert not said.blocking


def test_a_larger_plan_holds_them() -> None:
    said = objections(edited(POOL, add={"flywizard.toml": chosen("launch", api=2)}), "C-45")
    assert said == [] or "against 50" in said[0].message


def test_processes_of_one_machine_count() -> None:
    texts = edited(POOL, ("backend/Dockerfile", CMD, '"--port", "8000", "--workers", "4"]'))
    (said,) = objections(texts, "C-45")
    assert "64 `api` + 16 `worker`" in said.message


def test_machines_of_an_existing_configuration_count() -> None:
    fly = 'app = "helpdesk-api"\n[processes]\napp = "uvicorn src.main:app --host 0.0.0.0 --port 8000"\nworker = "python -m src.workers.message_processor"\n[http_service]\ninternal_port = 8000\nmin_machines_running = 2\nprocesses = ["app"]\n'
    (said,) = objections(edited(POOL, add={"backend/fly.toml": fly}), "C-45")
    assert "32 `api` + 16 `worker`" in said.message


def test_a_wrong_flywizard_toml_says_nothing_here() -> None:
    assert objections(edited(POOL, add={"flywizard.toml": "version = 9\n"}), "C-45") == []


@pytest.mark.parametrize(
    ("command", "count"),
    [("uvicorn a:app", 1), ("uvicorn a:app --workers 4", 4), ("gunicorn -w 3 a:app", 3), ("celery worker --concurrency=2", 2), ("gunicorn -k x --workers=0 a", 1)],
)  # fmt: skip
def test_processes_of_a_command(command: str, count: int) -> None:
    assert processes(command) == count
