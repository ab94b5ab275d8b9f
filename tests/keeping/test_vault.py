"""Owns the tests of the places for values: their order, their honesty, their limits."""

from __future__ import annotations

import asyncio
import os
import pickle
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.adapters.deadline import off_loop, within
from flywizard.adapters.keyring_store import KeyringStore, load_backend, open_vault, refuse_unfit
from flywizard.adapters.secret_index import SecretIndex
from flywizard.vault import (
    MASK,
    MEMORY,
    EnvironmentVault,
    LayeredVault,
    MemoryVault,
    Secret,
    VaultError,
    fingerprint,
)
from tests.support.keyrings import FakeBackend, Mood

VALUE = "Zebra-77-Stripe"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend()
    yield backend
    backend.release.set()


def store(backend: FakeBackend, folder: Path, part: int | None = None, limit: float = 3.0) -> KeyringStore:
    return KeyringStore.open("helpdesk", folder, load=lambda: backend, part=part, limit=limit)


def test_values_are_kept_under_the_contracts_names(backend: FakeBackend, folder: Path) -> None:
    keyring = store(backend, folder)
    keyring.set("API_KEY", Secret(VALUE))
    assert backend.values == {("flywizard/helpdesk", "API_KEY"): VALUE}
    again = store(backend, folder)
    assert again.get("API_KEY") == Secret(VALUE)
    assert again.get("OTHER") is None
    assert again.names() == ("API_KEY",)
    assert again.place == "Secret Service"
    again.delete("API_KEY")
    again.delete("API_KEY")
    assert (backend.values, again.names(), again.get("API_KEY")) == ({}, (), None)


def test_the_index_holds_no_value(backend: FakeBackend, folder: Path) -> None:
    keyring = store(backend, folder)
    keyring.set("API_KEY", Secret(VALUE))
    keyring.index.sent(
        "API_KEY", "helpdesk-api", digest="d1", fingerprint=fingerprint(keyring, "API_KEY", Secret(VALUE))
    )
    text = keyring.index.path.read_text()
    assert VALUE not in text
    assert stat.S_IMODE(keyring.index.path.stat().st_mode) == 0o600
    entry = SecretIndex(folder).entries()["API_KEY"]
    assert entry.fly == {"helpdesk-api": "d1"}
    assert entry.fingerprint == fingerprint(store(backend, folder), "API_KEY", Secret(VALUE))
    assert entry.fingerprint != fingerprint(keyring, "API_KEY", Secret("another"))
    assert not keyring.index.changed_elsewhere("API_KEY", "helpdesk-api", "d1")
    assert keyring.index.changed_elsewhere("API_KEY", "helpdesk-api", "d2")
    assert not keyring.index.changed_elsewhere("API_KEY", "helpdesk-web", "d2")
    assert keyring.names() == ("API_KEY",)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_long_values_go_in_pieces_and_leave_none_behind(first: str, second: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        backend = FakeBackend()
        keyring = store(backend, Path(folder), part=10)
        for value in (first, second):
            keyring.set("N", Secret(value))
            assert store(backend, Path(folder), part=10).get("N") == Secret(value)
            assert all(len(text) <= 10 for (_, user), text in backend.values.items() if "#" in user)
        pieces = sum("#" in user for _, user in backend.values)
        assert pieces == (-(-len(second) // 10) if len(second) > 10 else 0)
        keyring.delete("N")
        assert backend.values == {}


def test_pieces_that_do_not_fit_are_no_value(backend: FakeBackend, folder: Path) -> None:
    store(backend, folder, part=10).set("N", Secret("x" * 35))
    backend.values["flywizard/helpdesk", "N#1"] = "torn"
    assert store(backend, folder, part=10).get("N") is None


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("absent", "absent"),
        ("locked", "locked"),
        ("lies", "lies"),
        ("forgets", "lies"),
        ("raises", "broken"),
        ("ssh", "locked"),
        ("slow", "slow"),
    ],
)
async def test_an_unfit_keyring_is_named_and_memory_is_only_offered(
    backend: FakeBackend, folder: Path, mood: Mood, reason: str
) -> None:
    backend.mood = mood
    vault = await open_vault(
        "helpdesk", folder, {}, load=lambda: backend, limit=0.05 if mood == "slow" else 3
    )
    assert vault.refused is not None
    assert vault.refused.reason == reason
    assert vault.refused.fix
    assert "keyrings.alt" not in vault.refused.text + vault.refused.fix
    assert (vault.lasting, vault.place) == (False, MEMORY)
    vault.set("A", Secret(VALUE))
    assert vault.get("A") == Secret(VALUE)
    assert backend.values == {} or mood == "lies"
    assert not os.path.lexists(folder)  # noqa: ASYNC240


async def test_a_keyring_that_breaks_later_is_never_replaced_in_silence(
    backend: FakeBackend, folder: Path
) -> None:
    vault = await open_vault("helpdesk", folder, {}, load=lambda: backend)
    assert vault.lasting
    backend.mood = "raises"
    with pytest.raises(VaultError) as caught:
        vault.set("A", Secret(VALUE))
    error = caught.value
    assert VALUE not in f"{error}{error.args}{error.__context__}{error.__cause__}"
    with pytest.raises(VaultError):
        vault.source("B")
    vault.use_memory(error)
    vault.set("A", Secret(VALUE))
    assert (vault.place, vault.refused, vault.source("A")) == (MEMORY, error, "memory")


def test_after_one_silence_nothing_more_is_asked(backend: FakeBackend, folder: Path) -> None:
    keyring = store(backend, folder, limit=0.05)
    backend.mood = "slow"
    for _ in range(3):
        with pytest.raises(VaultError, match="does not answer"):
            keyring.get("A")
    assert backend.calls.count(("get", "A")) == 1


def test_too_long_for_the_backend_is_named(backend: FakeBackend, folder: Path) -> None:
    keyring = store(backend, folder, part=5000)
    backend.mood = "too-long"
    with pytest.raises(VaultError) as caught:
        keyring.set("A", Secret("y" * 2000))
    assert caught.value.reason == "too-long"
    store(backend, folder, part=1000).set("A", Secret("y" * 2000))


@pytest.mark.parametrize(
    ("module", "priority", "reason"),
    [
        ("keyring.backends.fail", 0, "absent"),
        ("keyring.backends.null", 5, "refused"),
        ("keyrings.alt.file", 9, "refused"),
        ("keyrings.cryptfile.cryptfile", 9, "refused"),
        ("acme.keyring", 0.5, "refused"),
    ],
)
def test_unfit_backends_are_refused(module: str, priority: float, reason: str) -> None:
    kind = type("Keyring", (FakeBackend,), {"priority": priority, "__module__": module})
    chain = type("ChainerBackend", (FakeBackend,), {"__module__": "keyring.backends.chainer"})()
    chain.backends = [FakeBackend(), kind()]
    for backend in (kind(), chain):
        with pytest.raises(VaultError) as caught:
            refuse_unfit(backend)
        assert caught.value.reason == reason


def test_the_real_null_and_fail_backends_are_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import keyring
    import keyring.backends.fail
    import keyring.backends.null

    null: Callable[[], Any] = keyring.backends.null.Keyring
    fail: Callable[[], Any] = keyring.backends.fail.Keyring
    for real, reason in (
        (null(), "refused"),
        (fail(), "absent"),
    ):
        monkeypatch.setattr(keyring, "get_keyring", lambda real=real: real)
        with pytest.raises(VaultError) as caught:
            KeyringStore.open("p", folder, load=load_backend)
        assert caught.value.reason == reason


def test_the_environment_wins_and_is_said(backend: FakeBackend, folder: Path) -> None:
    keyring = store(backend, folder)
    keyring.set("A", Secret("from-keyring"))
    keyring.set("B", Secret("from-keyring"))
    vault = LayeredVault(
        EnvironmentVault({"FLYWIZARD_SECRET_A": "from-env", "FLYWIZARD_SECRET_": "x"}), keyring
    )
    assert [vault.source(n) for n in "ABC"] == ["environment", "keyring", None]
    assert vault.get("A") == Secret("from-env")
    assert vault.names() == ("A", "B")
    vault.delete("A")
    assert vault.get("A") == Secret("from-env")
    assert keyring.get("A") is None
    with pytest.raises(VaultError, match="FLYWIZARD_SECRET_A"):
        EnvironmentVault({}).set("A", Secret("x"))


def test_memory_vault() -> None:
    vault = MemoryVault({"A": Secret("1")})
    vault.set("B", Secret("2"))
    vault.delete("A")
    vault.delete("A")
    assert (vault.names(), vault.get("A"), vault.get("B")) == (("B",), None, Secret("2"))


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret(VALUE)
    for text in (str(secret), repr(secret), f"{secret:>20}", f"{[secret]}", f"{ {'a': secret} }"):
        assert VALUE not in text
        assert MASK in text
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert secret != Secret("other")
    assert secret != VALUE
    assert Secret("\ud800") == Secret("\ud800")


async def test_a_call_that_hangs_holds_neither_loop_nor_exit() -> None:
    stop = threading.Event()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    with pytest.raises(TimeoutError):
        await off_loop(0.05, lambda: stop.wait(60))
    ticking.cancel()
    assert ticks > 10
    assert any(t.name == "flywizard-deadline" and t.daemon for t in threading.enumerate())
    stop.set()


def test_an_abandoned_call_outlives_its_loop_quietly() -> None:
    stop, ended = threading.Event(), threading.Event()

    def hang() -> None:
        stop.wait(60)
        ended.set()

    async def ask() -> None:
        await off_loop(0.01, hang)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    stop.set()
    assert ended.wait(10)


async def test_results_and_errors_come_through() -> None:
    def fail() -> None:
        raise KeyError("x")

    calls: list[Callable[[], int]] = [lambda: within(5, lambda: 7)]
    assert [call() for call in calls] == [7]
    assert await off_loop(5, lambda: 8) == 8
    with pytest.raises(KeyError):
        within(5, fail)
    with pytest.raises(KeyError):
        await off_loop(5, fail)


def test_importing_the_adapter_does_not_import_keyring(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, flywizard.adapters.keyring_store; sys.exit('keyring' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )


def test_clock_is_noted(backend: FakeBackend, folder: Path) -> None:
    keyring = KeyringStore(backend, "p", SecretIndex(folder), now=lambda: 0.0)
    keyring.set("A", Secret("v"))
    assert SecretIndex(folder).entries()["A"].time == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(0))
