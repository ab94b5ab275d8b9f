"""Owns secret values: the type that never shows itself, and the places where values are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, Protocol, TypeAlias

MASK = "••••"


class Secret:
    """A value that every ordinary way of looking shows as ``••••``; only :meth:`reveal` gives it."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Give the value itself. Call it only where it leaves for its destination."""
        return self.__value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self.__value.encode("utf-8", "surrogatepass"), other.__value.encode("utf-8", "surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # hashing by value would let a set tell values apart

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self


VARIABLE = "FLYWIZARD_SECRET_"
"""Prefix of the environment variables that give values: ``FLYWIZARD_SECRET_OPENAI_API_KEY``."""
MEMORY = "memory, for this run only"

Reason: TypeAlias = Literal["absent", "locked", "slow", "lies", "refused", "too-long", "broken"]
Source: TypeAlias = Literal["environment", "keyring", "memory"]


class VaultError(Exception):
    """A place cannot keep or give a value; says why in words, never the value."""

    def __init__(self, reason: Reason, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.reason: Reason = reason
        self.text = text
        self.fix = fix


class Store(Protocol):
    """A place for values, as :class:`LayeredVault` needs it (the OS keyring's adapter)."""

    def get(self, name: str) -> Secret | None:
        """Return the value, or None. Raises VaultError."""
        ...

    def set(self, name: str, value: Secret) -> None:
        """Keep the value. Raises VaultError."""
        ...

    def delete(self, name: str) -> None:
        """Forget the value. Raises VaultError."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return which names are kept."""
        ...

    @property
    def place(self) -> str:
        """Words for the user."""
        ...


class Keeps(Protocol):
    """What gives and keeps a value."""

    def get(self, name: str) -> Secret | None:
        """Return the value, or None."""
        ...

    def set(self, name: str, value: Secret) -> None:
        """Keep the value."""
        ...


class MemoryVault:
    """Keeps values until the process ends."""

    place = MEMORY

    def __init__(self, values: Mapping[str, Secret] | None = None) -> None:
        self._values = dict(values or {})

    def get(self, name: str) -> Secret | None:
        """Return the value, or None."""
        return self._values.get(name)

    def set(self, name: str, value: Secret) -> None:
        """Keep the value."""
        self._values[name] = value

    def delete(self, name: str) -> None:
        """Forget the value."""
        self._values.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Return which names are kept."""
        return tuple(sorted(self._values))


class EnvironmentVault:
    """Gives values from ``FLYWIZARD_SECRET_<NAME>``; only reads."""

    place = "the environment"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {
            name.removeprefix(VARIABLE): Secret(value)
            for name, value in environ.items()
            if name.startswith(VARIABLE) and len(name) > len(VARIABLE)
        }

    def get(self, name: str) -> Secret | None:
        """Return the value, or None."""
        return self._values.get(name)

    def set(self, name: str, value: Secret) -> None:
        """Refuse.

        Raises:
            VaultError: always.
        """
        raise VaultError("refused", f"`{VARIABLE}{name}` is set outside flywizard and cannot be changed here")

    def delete(self, name: str) -> None:
        """Do nothing: the variable is the user's."""

    def names(self) -> tuple[str, ...]:
        """Return which names have a variable."""
        return tuple(sorted(self._values))


class LayeredVault:
    """The places in their order: environment, OS keyring, memory for this run.

    A keyring that fails is never replaced by memory on its own: ``set`` raises, the front offers
    :meth:`use_memory` or to stop.
    """

    def __init__(
        self, environment: EnvironmentVault, keyring: Store | None, refused: VaultError | None = None
    ) -> None:
        """Take the places; ``refused`` says why there is no keyring."""
        self._environment = environment
        self._keyring = keyring
        self._memory = MemoryVault()
        self.refused = refused
        """Why values are not kept beyond this run; None: they are."""

    @property
    def lasting(self) -> bool:
        """Tell whether values outlive this run."""
        return self._keyring is not None

    @property
    def place(self) -> str:
        """Where new values are kept."""
        return MEMORY if self._keyring is None else self._keyring.place

    def use_memory(self, why: VaultError | None = None) -> None:
        """Keep values in memory from now on, as the user chose."""
        self._keyring = None
        self.refused = why or self.refused

    def source(self, name: str) -> Source | None:
        """Tell where the value of ``name`` would come from. Raises VaultError."""
        if self._environment.get(name) is not None:
            return "environment"
        if self._memory.get(name) is not None:
            return "memory"
        if self._keyring is not None and self._keyring.get(name) is not None:
            return "keyring"
        return None

    def get(self, name: str) -> Secret | None:
        """Return the value, or None; the environment wins.

        Raises:
            VaultError: the keyring cannot be asked.
        """
        for store in (self._environment, self._memory, self._keyring):
            if store is not None and (value := store.get(name)) is not None:
                return value
        return None

    def set(self, name: str, value: Secret) -> None:
        """Keep the value.

        Raises:
            VaultError: the keyring failed; nothing is kept.
        """
        if self._keyring is None:
            self._memory.set(name, value)
        else:
            self._keyring.set(name, value)
            self._memory.delete(name)

    def delete(self, name: str) -> None:
        """Forget the value everywhere but in the environment. Raises VaultError."""
        self._memory.delete(name)
        if self._keyring is not None:
            self._keyring.delete(name)

    def names(self) -> tuple[str, ...]:
        """Return all names with a value."""
        kept = self._keyring.names() if self._keyring is not None else ()
        return tuple(sorted({*self._environment.names(), *self._memory.names(), *kept}))


FINGERPRINT_KEY = ".fingerprint-key"
"""The entry that holds the key; no environment name can be called so."""


def fingerprint(vault: Keeps, name: str, value: Secret) -> str:
    """Return digits by which a later run can tell whether ``value`` is the one of before; they may go to disk.

    An HMAC under a random key that only the vault holds; without a keyring that would keep the key, a slow
    salted hash (scrypt, 16 MB), so that guessing costs a guesser more than it costs us.

    Raises:
        VaultError: the key cannot be read or kept.
    """
    if not getattr(vault, "lasting", True):
        return _slow(name, value, secrets.token_hex(16))
    key = vault.get(FINGERPRINT_KEY)
    if key is None:
        key = Secret(secrets.token_hex(32))
        vault.set(FINGERPRINT_KEY, key)
    return hmac.new(bytes.fromhex(key.reveal()), _message(name, value), hashlib.sha256).hexdigest()[:32]


def matches(vault: Keeps, name: str, value: Secret, mark: str) -> bool:
    """Tell whether ``mark``, a fingerprint of an earlier run, is one of ``value``. Raises VaultError."""
    kind, _, rest = mark.partition(":")
    if kind == "scrypt":
        return hmac.compare_digest(_slow(name, value, rest.partition(":")[0]), mark)
    if not getattr(vault, "lasting", True):
        return False  # made under a key that is out of reach now
    return hmac.compare_digest(fingerprint(vault, name, value), mark)


def _slow(name: str, value: Secret, salt: str) -> str:
    made = hashlib.scrypt(_message(name, value), salt=salt.encode(), n=1 << 14, r=8, p=1, dklen=16)
    return f"scrypt:{salt}:{made.hex()}"


def _message(name: str, value: Secret) -> bytes:
    return f"{name}\0{value.reveal()}".encode("utf-8", "surrogatepass")
