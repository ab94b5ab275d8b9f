"""Owns the lines of a run that the log pane may show: bounded, apart from the run's state."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from flywizard.events import StepOutput

LIMIT: Final = 50_000
BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line with where and when it came from."""

    time: str
    source: str
    text: str
    service: bool
    """It comes from a running service, not from a command of a step."""


class LogBook:
    """Keeps the newest lines and hands new ones out in batches."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.lines: deque[LogLine] = deque(maxlen=limit)
        self.sources: dict[str, bool] = {}
        """Every source seen, in order; True for a service."""
        self.total = 0
        self._pending: deque[LogLine] = deque(maxlen=limit)

    def add(self, event: StepOutput, time: str) -> None:
        """Take one line of output."""
        entry = LogLine(time, event.service or event.step, event.text, bool(event.service))
        self.sources.setdefault(entry.source, entry.service)
        self.total += 1
        self.lines.append(entry)
        self._pending.append(entry)

    def drain(self, limit: int = BATCH) -> list[LogLine]:
        """Return at most ``limit`` lines that nobody has drawn yet, oldest first."""
        pending = self._pending
        if len(pending) <= limit:
            batch = list(pending)
            pending.clear()
            return batch
        return [pending.popleft() for _ in range(limit)]

    def clear(self) -> None:
        """Forget everything."""
        self.lines.clear()
        self._pending.clear()
        self.sources.clear()
        self.total = 0
