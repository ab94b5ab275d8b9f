"""Owns the lines of a run that the log pane may show: bounded, apart from the run's state."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, NamedTuple

from flywizard.events import StepOutput

LIMIT: Final = 50_000


class LogLine(NamedTuple):
    """One line with where and when it came from."""

    time: str
    source: str
    text: str
    service: bool
    """It comes from a running service, not from a command of a step."""


class LogBook:
    """Keeps the newest lines and hands out what nobody has drawn yet."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.lines: deque[LogLine] = deque(maxlen=limit)
        self.sources: dict[str, bool] = {}
        """Every source seen, in order; True for a service."""
        self.total = 0
        self._drawn = 0

    @property
    def waiting(self) -> int:
        """Return how many lines nobody has drawn yet, also those that fell out meanwhile."""
        return self.total - self._drawn

    def add(self, event: StepOutput, time: str) -> None:
        """Take one line of output."""
        service = event.service
        source = service or event.step
        if source not in self.sources:
            self.sources[source] = bool(service)
        self.total += 1
        self.lines.append(LogLine(time, source, event.text, bool(service)))

    def drain(self) -> list[LogLine]:
        """Return the lines that nobody has drawn yet, oldest first; of a flood only those still kept."""
        count = min(self.waiting, len(self.lines))
        self._drawn = self.total
        if count == len(self.lines):
            return list(self.lines)
        batch = list(islice(reversed(self.lines), count))
        batch.reverse()
        return batch

    def clear(self) -> None:
        """Forget everything."""
        self.lines.clear()
        self.sources.clear()
        self.total = self._drawn = 0
