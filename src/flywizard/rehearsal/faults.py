"""Owns the fault switches: their names, their text form ``NAME[@WHERE][*TIMES]``, and which one strikes when."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

OPERATIONS: tuple[str, ...] = (
    "any",
    "viewer",
    "orgs",
    "org-get",
    "regions",
    "placements",
    "app-create",
    "app-get",
    "app-list",
    "app-delete",
    "app-query",
    "image-get",
    "machine-create",
    "machine-update",
    "machine-get",
    "machine-list",
    "machine-start",
    "machine-stop",
    "machine-restart",
    "machine-delete",
    "machine-wait",
    "machine-exec",
    "machine-ps",
    "machine-cordon",
    "machine-metadata",
    "lease-get",
    "lease-take",
    "lease-release",
    "volume-create",
    "volume-list",
    "volume-get",
    "volume-delete",
    "secrets-set",
    "secrets-list",
    "ip-assign",
    "ip-list",
    "ip-release",
    "certs-add",
    "certs-list",
    "certs-check",
    "certs-delete",
    "builds",
    "build",
    "release-create",
    "release-patch",
    "release-list",
    "mpg-create",
    "mpg-get",
    "mpg-list",
    "mpg-regions",
    "mpg-delete",
    "mpg-databases",
    "mpg-extensions",
    "mpg-users",
    "mpg-attach",
    "mpg-detach",
    "token-create",
    "token-list",
    "logs",
    "login",
    "graphql",
)
"""Operation names, for WHERE of an answer's fault."""

BEFORE: dict[str, int] = {
    "502-before": 502,
    "503": 503,
    "401": 401,
    "403": 403,
    "404": 404,
    "408": 408,
    "409": 409,
    "422": 422,
    "429": 429,
    "500": 500,
    "hang": 0,
    "reset-before": 0,
}
"""Faults instead of the work, with the status of the answer (0: none)."""
AFTER: dict[str, int] = {
    "lost-response": 0,
    "502-after-commit": 502,
    "503-after-commit": 503,
    "500-after-commit": 500,
}
"""Faults after the work is done and kept."""
BODY: frozenset[str] = frozenset({"slow-body", "truncated"})
"""Faults in how a right answer is sent."""

LATE: dict[str, float] = {"late-commit": 20.0}
"""Faults that hold a request back before the work is done, with real seconds."""

BEHAVIOURS: dict[str, str] = {
    "crash-loop": "GROUP",
    "never-healthy": "GROUP",
    "never-starts": "GROUP",
    "build-fails": "APP",
    "name-taken": "NAME",
    "wrong-page": "APP",
    "secret-dropped": "NAME",
    "app-hidden": "APP",
    "no-capacity": "REGION?",
    "release-command-fails": "",
    "no-card": "",
    "sso": "",
    "mpg-error": "",
    "mpg-slow": "",
    "rate-limits": "",
    "token-expired": "",
    "logs-refused": "",
}
"""What the platform itself does wrong, with what WHERE means (``?``: may be left out)."""
_ALWAYS = frozenset(
    {"name-taken", "wrong-page", "no-card", "sso", "rate-limits", "token-expired", "logs-refused"}
)
_TEXT = re.compile(r"(?P<name>[a-z0-9-]+)(?:@(?P<where>[^*@\s]+))?(?:\*(?P<times>\d+|always))?\Z")


def names() -> list[str]:
    """Return all valid fault names, sorted."""
    return sorted({*BEFORE, *AFTER, *BODY, *LATE, *BEHAVIOURS})


@dataclass(slots=True)
class Fault:
    """One switch: what, where, and how many times it is still to strike (``inf``: always)."""

    name: str
    where: str
    times: float = 1

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``NAME[@WHERE][*TIMES]``; TIMES is a number or ``always``.

        Without WHERE an answer's fault strikes any operation. Without TIMES it strikes once, a lasting
        condition (``no-card``, ``sso``, ``name-taken`` …) always.

        Raises:
            ValueError: unknown name or WHERE, with the valid ones.
        """
        match = _TEXT.match(text.strip())
        name = match["name"] if match else ""
        if match is None or name not in names():
            raise ValueError(f"unknown fault `{text.strip()}`; valid: {', '.join(names())}")
        where = match["where"] or ""
        if name in BEHAVIOURS:
            wanted = BEHAVIOURS[name]
            if wanted and not where and not wanted.endswith("?"):
                raise ValueError(f"fault `{name}` needs a place: `{name}@{wanted}`")
            if where and not wanted:
                raise ValueError(f"fault `{name}` takes no place, `@{where}` was given")
        else:
            where = where or "any"
            if where not in OPERATIONS:
                raise ValueError(f"unknown place `{where}` of fault `{name}`; valid: {', '.join(OPERATIONS)}")
        times = match["times"]
        if times is None:
            count = (
                math.inf
                if name in _ALWAYS or name in ("crash-loop", "never-healthy", "never-starts")
                else 1.0
            )
        else:
            count = math.inf if times == "always" else float(times)
        return cls(name, where, count)

    def __str__(self) -> str:
        where = f"@{self.where}" if self.where else ""
        times = "always" if math.isinf(self.times) else str(int(self.times))
        return f"{self.name}{where}*{times}"


class Faults:
    """The switches that are set, in order; the first one that matches strikes."""

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        """Set switches, given as values or texts.

        Raises:
            ValueError: a text is wrong.
        """
        self._set = [f if isinstance(f, Fault) else Fault.parse(f) for f in faults]

    def add(self, fault: Fault | str) -> None:
        """Set one more switch.

        Raises:
            ValueError: the text is wrong.
        """
        self._set.append(fault if isinstance(fault, Fault) else Fault.parse(fault))

    def clear(self) -> None:
        """Take all switches back."""
        self._set.clear()

    def texts(self) -> list[str]:
        """Return the switches that can still strike, as texts that ``parse`` reads."""
        return [str(f) for f in self._set if f.times > 0]

    def take(self, operation: str, *, mutating: bool) -> str:
        """Return the name of the answer's fault that strikes this request, and count it; "" for none.

        A fault "after commit" at ``any`` waits for a request that changes something.
        """
        for fault in self._set:
            if fault.name in BEHAVIOURS or fault.times <= 0:
                continue
            if fault.where != operation and (
                fault.where != "any" or (fault.name in (*AFTER, *LATE) and not mutating)
            ):
                continue
            fault.times -= 1
            return fault.name
        return ""

    def strikes(self, name: str, *places: str) -> bool:
        """Tell whether a behaviour applies to one of the places, and count it."""
        fault = self._find(name, places)
        if fault is None:
            return False
        fault.times -= 1
        return True

    def on(self, name: str, *places: str) -> bool:
        """Tell whether a behaviour applies, without counting."""
        return self._find(name, places) is not None

    def places(self, name: str) -> list[str]:
        """Return the places of a behaviour that is set."""
        return [f.where for f in self._set if f.name == name and f.times > 0]

    def _find(self, name: str, places: tuple[str, ...]) -> Fault | None:
        for fault in self._set:
            if fault.name == name and fault.times > 0 and fault.where in ("", "any", *places):
                return fault
        return None
