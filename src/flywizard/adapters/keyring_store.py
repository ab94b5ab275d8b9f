"""Owns the OS keyring as a place for values: accepted only after a canary, every call with a limit."""

from __future__ import annotations

import hashlib
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from flywizard.adapters.deadline import off_loop, within
from flywizard.adapters.secret_index import SecretIndex
from flywizard.text import rfc3339
from flywizard.vault import EnvironmentVault, LayeredVault, Reason, Secret, VaultError

LIMIT = 3.0
"""Seconds for one call."""
PROMPT_LIMIT = 60.0
"""Seconds for a call while the desktop may show its unlock window; the screen must say so."""
PART = 1000
"""Characters of one piece on Windows, whose limit is 1,280 (2,560 bytes of UTF-16)."""
CANARY = "flywizard/canary"
_HEAD = "flywizard-parts:1:"

T = TypeVar("T")


class Backend(Protocol):
    """The part of a keyring backend that is used."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return the value, or None."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep the value."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget the value."""
        ...


def load_backend() -> Backend:
    """Import keyring and return the backend it chose."""
    import keyring

    return keyring.get_keyring()


class KeyringStore:
    """Values of one project in the OS keyring. Make it by :meth:`open`, which proves the backend."""

    def __init__(
        self,
        backend: Backend,
        project: str,
        index: SecretIndex,
        *,
        limit: float = LIMIT,
        part: int | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._service = f"flywizard/{project}"
        self._index = index
        self._limit = limit
        self._part = part if part is not None else (PART if sys.platform == "win32" else 1 << 20)
        self._now = now
        self._cache: dict[str, Secret] = {}
        self._dead: VaultError | None = None
        self.place = place_of(backend)

    @classmethod
    def open(
        cls,
        project: str,
        folder: Path,
        *,
        load: Callable[[], Backend] = load_backend,
        limit: float = LIMIT,
        part: int | None = None,
    ) -> KeyringStore:
        """Load the backend, refuse the unfit, write and read and delete a canary.

        Args:
            project: PROJECT of the contract; entries go under ``flywizard/PROJECT``.
            folder: the project's state folder, for the index.
            load: gives the backend; for tests.
            limit: seconds for each call; ``PROMPT_LIMIT`` while an unlock window may be open.
            part: characters of one piece; None: what the system needs.

        Raises:
            VaultError: absent, locked, slow, lies, refused or broken, with words and a fix.
        """
        backend = _call(limit, load)
        refuse_unfit(backend)
        prove(backend, limit)
        return cls(backend, project, SecretIndex(folder), limit=limit, part=part)

    def get(self, name: str) -> Secret | None:
        """Return the value, or None (also when its pieces do not fit together). Raises VaultError."""
        if name in self._cache:
            return self._cache[name]
        text = self._fetch(name)
        if text is not None and text.startswith(_HEAD):
            text = self._joined(name, text)
        if text is None:
            return None
        self._cache[name] = Secret(text)
        return self._cache[name]

    def _joined(self, name: str, head: str) -> str | None:
        try:
            count, digest = head.removeprefix(_HEAD).split(":")
            numbers = range(int(count))
        except ValueError:
            return None
        parts = [self._fetch(f"{name}#{number}") for number in numbers]
        whole = "".join(part or "" for part in parts)
        return whole if _digest(whole) == digest else None

    def set(self, name: str, value: Secret) -> None:
        """Keep the value, read it back, note it in the index.

        Raises:
            VaultError: the backend failed, or gave back something else.
            StateError: the index cannot be written; the value is kept.
        """
        text = value.reveal()
        before = _count(self._fetch(name))
        self._cache.pop(name, None)
        parts = 0
        if text and len(text) <= self._part and not text.startswith(_HEAD):
            self._put(name, text)
        else:
            pieces = [text[at : at + self._part] for at in range(0, len(text), self._part)]
            for number, piece in enumerate(pieces):
                self._put(f"{name}#{number}", piece)
            self._put(name, f"{_HEAD}{len(pieces)}:{_digest(text)}")
            parts = len(pieces)
        if self.get(name) != value:
            raise VaultError(
                "lies", f"{self.place} gave back another value than it was given", _FIXES["lies"]
            )
        for number in range(parts, before):
            self._drop(f"{name}#{number}")
        self._index.kept(name, time=rfc3339(self._now()), parts=max(1, parts))

    def delete(self, name: str) -> None:
        """Forget the value and its pieces. Raises VaultError."""
        self._cache.pop(name, None)
        head = self._fetch(name)
        for number in range(_count(head)):
            self._drop(f"{name}#{number}")
        if head is not None:
            self._drop(name)
        self._index.forget(name)

    def names(self) -> tuple[str, ...]:
        """Return the names that the index holds, without our own."""
        return tuple(
            name for name, entry in self._index.entries().items() if entry.parts and not name.startswith(".")
        )

    @property
    def index(self) -> SecretIndex:
        """Return the index, for Fly's digests."""
        return self._index

    def _fetch(self, name: str) -> str | None:
        return self._ask(lambda: self._backend.get_password(self._service, name))

    def _put(self, name: str, text: str) -> None:
        self._ask(lambda: self._backend.set_password(self._service, name, text))

    def _drop(self, name: str) -> None:
        if self._fetch(name) is not None:
            self._ask(lambda: self._backend.delete_password(self._service, name))

    def _ask(self, function: Callable[[], T]) -> T:
        if self._dead is not None:
            raise self._dead
        try:
            return _call(self._limit, function)
        except VaultError as error:
            if error.reason == "slow":
                self._dead = error  # one hanging thread is enough
            raise


async def open_vault(
    project: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    load: Callable[[], Backend] = load_backend,
    limit: float = LIMIT,
) -> LayeredVault:
    """Return the places in their order, without stopping the event loop.

    Without a keyring the vault's ``refused`` says why, and values live in memory: show the choice.
    """
    environment = EnvironmentVault(environ)
    try:
        store = await off_loop(limit * 6, lambda: KeyringStore.open(project, folder, load=load, limit=limit))
    except VaultError as error:
        return LayeredVault(environment, None, error)
    except TimeoutError:
        return LayeredVault(environment, None, _error("slow"))
    return LayeredVault(environment, store)


def refuse_unfit(backend: Backend) -> None:
    """Refuse what keeps nothing or keeps it in plain text.

    Raises:
        VaultError: absent (``fail``), or refused.
    """
    members = getattr(backend, "backends", None)
    if _module(backend).startswith("keyring.backends.chainer") and members is not None:
        for member in members:
            refuse_unfit(member)
        if not members:
            raise _error("absent")
        return
    module = _module(backend)
    if module.startswith("keyring.backends.fail"):
        raise _error("absent")
    if module.startswith(("keyring.backends.null", "keyrings.alt", "keyrings.cryptfile")):
        raise VaultError(
            "refused",
            f"The keyring `{type(backend).__name__}` does not keep values safely",
            _FIXES["refused"],
        )
    try:
        priority = float(getattr(backend, "priority", 0))
    except (RuntimeError, TypeError, ValueError, AttributeError):
        priority = 0.0
    if priority < 1:
        raise VaultError(
            "refused", f"The keyring `{type(backend).__name__}` is not meant for use", _FIXES["refused"]
        )


def prove(backend: Backend, limit: float = LIMIT) -> None:
    """Write a random value, read it back, delete it, find nothing; each call with its own limit.

    Raises:
        VaultError: the backend is locked, slow, broken, or lies.
    """
    name, value = f"canary-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    _call(limit, lambda: backend.set_password(CANARY, name, value))
    if _call(limit, lambda: backend.get_password(CANARY, name)) != value:
        raise _error("lies")
    _call(limit, lambda: backend.delete_password(CANARY, name))
    if _call(limit, lambda: backend.get_password(CANARY, name)) is not None:
        raise _error("lies")


def place_of(backend: Backend) -> str:
    """Return the user's word for a backend."""
    module = _module(backend)
    for part, words in (
        ("macOS", "macOS Keychain"),
        ("Windows", "Windows Credential Manager"),
        ("SecretService", "Secret Service"),
        ("libsecret", "Secret Service"),
        ("kwallet", "KWallet"),
        ("chainer", "several keyrings"),
    ):
        if f"backends.{part}" in module:
            return words
    return f"keyring {type(backend).__name__}"


def _module(backend: Backend) -> str:
    return type(backend).__module__


def _count(text: str | None) -> int:
    """Return how many pieces an entry stands for; 0: it is the value itself, or there is none."""
    count = text.removeprefix(_HEAD).partition(":")[0] if text and text.startswith(_HEAD) else ""
    return int(count) if count.isdigit() else 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_TEXTS: Mapping[Reason, str] = {
    "absent": "This system offers no keyring",
    "locked": "The keyring is locked",
    "slow": "The keyring does not answer",
    "lies": "The keyring does not give back what it was given",
    "refused": "The keyring does not keep values safely",
    "too-long": "The keyring does not take a value of this length",
    "broken": "The keyring failed",
}
_FIXES: Mapping[Reason, str] = {
    "absent": "Start a Secret Service such as `gnome-keyring-daemon`, or give values as `FLYWIZARD_SECRET_<NAME>`",
    "locked": "Unlock the keyring on the desktop, then check again",
    "slow": "Look for an unlock window on the desktop, then check again",
    "lies": "Choose another keyring in `keyringrc.cfg`, or keep values for this run only",
    "refused": "Unset `PYTHON_KEYRING_BACKEND`, or choose the system's keyring in `keyringrc.cfg`",
    "too-long": "Give this value as `FLYWIZARD_SECRET_<NAME>`",
    "broken": "Check the system's keyring, or keep values for this run only",
}


def _error(reason: Reason, detail: str = "") -> VaultError:
    return VaultError(reason, f"{_TEXTS[reason]}{f' ({detail})' if detail else ''}", _FIXES[reason])


def _call(limit: float, function: Callable[[], T]) -> T:
    """Run one call; whatever it raises becomes a VaultError without its text, which may hold a value."""
    try:
        return within(limit, function)
    except TimeoutError:
        failure = _error("slow", f"no answer within {limit:g} s")
    except VaultError:
        raise
    except Exception as error:
        failure = _translated(error)
    raise failure  # here, so that the first error and its frames are not carried along


def _translated(error: Exception) -> VaultError:
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if "NoKeyringError" in names:
        return _error("absent")
    if names & {"KeyringLocked", "InitError"} or "-25308" in text or "-128" in text or "-25293" in text:
        return _error("locked")
    if "1783" in text and "CredWrite" in text:
        return _error("too-long")
    return _error("broken", type(error).__name__)
