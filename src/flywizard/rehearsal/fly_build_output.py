"""BuildKit's progress on stderr: plain text, one step after another, or one JSON object a line (`rawjson`)."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from flywizard.rehearsal.fly_core import Fly, go_json


def human_size(count: int) -> str:
    """Bytes as flyctl shows an image's size: `1.6 MB`, `186 MB`."""
    if count < 10:
        return f"{count} B"
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


class Printer:
    """Tells one build's steps; `begin` … `done`, `cached` or `failed`."""

    def __init__(self, fly: Fly, *, raw: bool) -> None:
        self._fly = fly
        self._raw = raw
        self._numbers: dict[str, int] = {}
        self._started: dict[str, tuple[float, float]] = {}
        self._name = ""
        self._log: list[str] = []
        self._told = False

    # -- raw ----------------------------------------------------------------------------------

    def _time(self, at: float | None = None) -> str:
        moment = datetime.fromtimestamp(self._fly.transport.time() if at is None else at, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @staticmethod
    def _vertex(name: str) -> str:
        return "sha256:" + hashlib.sha256(name.encode()).hexdigest()

    def _send(self, **parts: list[dict[str, Any]]) -> None:
        self._fly.eprint(go_json({k: v for k, v in parts.items() if v}, None))

    def _state(self, name: str, **more: Any) -> dict[str, Any]:
        started = self._started.get(name)
        state: dict[str, Any] = {"digest": self._vertex(name), "name": name}
        if started is not None:
            state["started"] = self._time(started[1])
        return state | more

    def announce(self, names: list[str]) -> None:
        """Makes all coming steps known (in `rawjson` only)."""
        if self._raw:
            self._send(vertexes=[{"digest": self._vertex(n), "name": n} for n in reversed(names)])

    # -- both ----------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """A step starts."""
        self._name, self._log = name, []
        self._started[name] = (self._fly.transport.now(), self._fly.transport.time())
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        if self._raw:
            self._send(vertexes=[self._state(name)])
            return
        if self._told:
            self._fly.eprint()
        self._told = True
        self._fly.eprint(f"#{number} {name}")

    def _plain(self, text: str) -> None:
        self._fly.eprint(f"#{self._numbers[self._name]} {text}")

    def _spent(self) -> float:
        return self._fly.transport.now() - self._started[self._name][0]

    def item(self, text: str) -> None:
        """Something within a step is done: `transferring context: 71B done`."""
        if not self._raw:
            self._plain(text)
            return
        what = text.removesuffix(" done")
        now = self._time()
        status = {
            "id": what,
            "vertex": self._vertex(self._name),
            "name": what.partition(":")[0],
            "current": 0,
        }
        self._send(statuses=[status | {"timestamp": now, "started": now, "completed": now}])

    def line(self, text: str) -> None:
        """One line that the step's command wrote."""
        self._log.append(f"{self._spent():.3f} {text}")
        if not self._raw:
            self._plain(self._log[-1])
            return
        data = base64.b64encode((text + "\n").encode()).decode()
        log = {"vertex": self._vertex(self._name), "stream": 1, "data": data, "timestamp": self._time()}
        self._send(logs=[log])

    def done(self) -> None:
        """The step is over."""
        if self._raw:
            self._send(vertexes=[self._state(self._name, completed=self._time())])
        else:
            self._plain(f"DONE {self._spent():.1f}s")

    def cached(self) -> None:
        """The step was not needed."""
        if self._raw:
            self._send(vertexes=[self._state(self._name, completed=self._time(), cached=True)])
        else:
            self._plain("CACHED")

    def failed(self, error: str, lines: list[str]) -> None:
        """The step failed; its last lines are shown once more between dashes."""
        if self._raw:
            self._send(vertexes=[self._state(self._name, completed=self._time(), error=error)])
            return
        self._plain(f"ERROR: {error}")
        self._fly.err(
            f"------\n > {self._name}:\n{''.join(f'{line}{chr(10)}' for line in self._log[-10:])}------\n"
        )

    def canceled(self) -> None:
        """A signal stopped the build."""
        if self._raw:
            if self._name:
                self._send(
                    vertexes=[self._state(self._name, completed=self._time(), error="context canceled")]
                )
        elif self._name:
            self._fly.eprint()
            self._plain("CANCELED")
        stamp = datetime.fromtimestamp(self._fly.transport.time(), UTC).strftime("%Y/%m/%d %H:%M:%S")
        self._fly.eprint(f"{stamp} error releasing builder: canceled: context canceled")
