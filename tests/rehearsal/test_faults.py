"""Switches are read, refused and counted; each kind breaks an answer in its own way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.rehearsal.faults import AFTER, BEFORE, BEHAVIOURS, BODY, OPERATIONS, Fault, Faults, names
from tests.support.simulated import Simulated

APP = {"name": "acme-web", "org_slug": "acme"}


@given(
    st.sampled_from(sorted({*BEFORE, *AFTER, *BODY})),
    st.sampled_from(OPERATIONS),
    st.none() | st.integers(1, 50) | st.just("always"),
)
def test_texts_round_trip(name: str, where: str, times: int | str | None) -> None:
    text = f"{name}@{where}" + ("" if times is None else f"*{times}")
    fault = Fault.parse(text)
    assert Fault.parse(str(fault)) == fault
    assert (fault.name, fault.where) == (name, where)


@pytest.mark.parametrize(
    "text", ["", "nope", "500@nowhere", "crash-loop", "no-card@x", "500@app-get*x", "500@@"]
)
def test_wrong_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"valid:|needs a place|takes no place"):
        Fault.parse(text)


def test_the_refusal_names_what_is_valid() -> None:
    with pytest.raises(ValueError, match="lost-response") as error:
        Faults(["tpyo"])
    assert all(name in str(error.value) for name in names())


def test_without_a_place_it_strikes_any_operation_once() -> None:
    faults = Faults(["503"])
    assert faults.take("app-get", mutating=False) == "503"
    assert faults.take("app-get", mutating=False) == ""
    assert faults.texts() == []


def test_after_commit_at_any_waits_for_a_change() -> None:
    faults = Faults(["lost-response@any"])
    assert faults.take("app-get", mutating=False) == ""
    assert faults.take("app-create", mutating=True) == "lost-response"


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
async def test_behaviours_are_no_answers(name: str) -> None:
    wanted = BEHAVIOURS[name]
    faults = Faults([f"{name}@acme" if wanted else name])
    assert faults.take("app-get", mutating=True) == ""
    assert faults.on(name, "acme")
    assert faults.on(name, "other") == (not wanted)


@pytest.mark.parametrize("name", sorted(BEFORE))
async def test_before_faults_change_nothing(fly: Simulated, name: str) -> None:
    fly.faults.add(f"{name}@app-create")
    response = await fly.send("POST", "/v1/apps", APP)
    assert response.status == BEFORE[name]
    assert fly.world.count("app") == 0
    assert fly.world.changes() == []
    match name:
        case "hang" | "reset-before":
            assert response.transport == ("hang" if name == "hang" else "cut")
        case "500" | "502-before":
            assert response.body.startswith(b"<html>")
        case "429":
            assert response.headers["retry-after"] == "2"
        case _:
            assert response.json()["error"]
    assert (await fly.send("POST", "/v1/apps", APP)).status == 201


@pytest.mark.parametrize("name", sorted(AFTER))
async def test_after_faults_keep_the_change(fly: Simulated, name: str) -> None:
    fly.faults.add(f"{name}@app-create")
    saves = fly.saves
    response = await fly.send("POST", "/v1/apps", APP)
    assert response.status == AFTER[name]
    assert response.transport == ("cut" if name == "lost-response" else "")
    assert fly.world.count("app", "acme-web") == 1
    assert [r.fault for r in fly.world.changes()] == [name]
    assert fly.saves == saves + 1


@pytest.mark.parametrize(("name", "transport"), [("slow-body", "slow"), ("truncated", "truncate")])
async def test_body_faults_keep_the_answer(fly: Simulated, name: str, transport: str) -> None:
    fly.faults.add(f"{name}@regions")
    response = await fly.send("GET", "/v1/platform/regions")
    assert (response.status, response.transport) == (200, transport)
    assert response.json()["Nearest"] == "ams"


async def test_a_late_commit_is_there_after_its_time(fly: Simulated) -> None:
    fly.faults.add("late-commit@app-create")
    before = fly.clock.now()
    await fly.ask("POST", "/v1/apps", APP, 201)
    assert fly.clock.now() == before + 20


async def test_times(fly: Simulated) -> None:
    fly.faults.add("503@app-get*2")
    await fly.app()
    statuses = [(await fly.send("GET", "/v1/apps/acme-api")).status for _ in range(3)]
    assert statuses == [503, 503, 200]


@pytest.mark.parametrize(
    ("fault", "method", "path", "body", "status", "words"),
    [
        ("name-taken@acme-web", "POST", "/v1/apps", APP, 422, "Name has already been taken"),
        ("no-card", "POST", "/v1/apps", APP, 422, "payment method required"),
        ("sso", "GET", "/v1/apps/acme-api", None, 401, "discharge"),
        ("token-expired", "GET", "/v1/apps/acme-api", None, 401, "unauthorized"),
        ("logs-refused", "GET", "/api/v1/apps/acme-api/logs", None, 401, "unauthorized"),
        (
            "build-fails@acme-api",
            "POST",
            "/_builder/builds",
            {"app": "acme-api", "tag": "t"},
            422,
            "exit code: 1",
        ),
    ],
)
async def test_behaviours_of_the_platform(
    fly: Simulated, fault: str, method: str, path: str, body: object, status: int, words: str
) -> None:
    await fly.app()
    fly.faults.add(fault)
    refused = await fly.ask(method, path, body, status)
    assert words in refused["error"]


async def test_a_taken_name_is_someone_elses(fly: Simulated) -> None:
    fly.faults.add("name-taken@acme-web")
    await fly.ask("GET", "/v1/apps/acme-web", status=403)


async def test_a_dropped_secret_is_not_listed(fly: Simulated) -> None:
    await fly.app()
    fly.faults.add("secret-dropped@B")
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"A": "1", "B": "2"}})
    assert sorted(fly.world.apps["acme-api"].secrets) == ["A"]
    await fly.ask("POST", "/v1/apps/acme-api/secrets", {"values": {"B": "2"}})
    assert sorted(fly.world.apps["acme-api"].secrets) == ["A", "B"]


async def test_no_capacity_in_a_region(fly: Simulated) -> None:
    await fly.app()
    fly.faults.add("no-capacity@ams")
    config = {"image": "registry.fly.io/acme-api:v1"}
    refused = await fly.ask("POST", "/v1/apps/acme-api/machines", {"config": config, "region": "ams"}, 422)
    assert refused["status"] == "insufficient_capacity"
    assert fly.world.count("machine") == 0


async def test_rate_limits_are_a_switch(fly: Simulated) -> None:
    await fly.app()
    made = await fly.machine()
    path = f"/v1/apps/acme-api/machines/{made['id']}"
    assert {(await fly.send("GET", path)).status for _ in range(30)} == {200}
    fly.faults.add("rate-limits")
    statuses = [(await fly.send("GET", path)).status for _ in range(12)]
    assert statuses == [200] * 10 + [429] * 2
    lists = [(await fly.send("GET", "/v1/apps/acme-api/machines")).status for _ in range(4)]
    assert lists == [200, 200, 200, 429]
    fly.clock.advance(1)
    assert (await fly.send("GET", path)).status == 200
    limited = await fly.send("GET", path)
    assert limited.status == 200 or limited.headers["retry-after"] == "1"
