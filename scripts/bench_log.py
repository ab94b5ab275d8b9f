"""One flood of log lines into one widget: ``python scripts/bench_log.py log|view LINES PACE RESULT``; run in a pty.

PACE is lines a second, 0: as many as go. The widget takes them at 30 frames a second until the last one is drawn.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import Log

from flywizard.events import StepOutput
from flywizard.tui.logbook import LogBook
from flywizard.tui.widgets.log_view import LogView

RATE = 30
PIECE = 200
TEXT = "2026-01-01T00:00:00Z app[33b47c7350ad0a] iad [info] GET /tickets/{:07d} 200 in 12 ms".ljust(100)


class Flood(App[None]):
    """Feeds a million lines, and looks how long the loop is held up."""

    CSS_PATH = str(Path(__file__).resolve().parents[1] / "src/flywizard/tui/flywizard.tcss")

    def __init__(self, kind: str, count: int, pace: int) -> None:
        super().__init__()
        from flywizard.tui.look import themes

        for own in themes():
            self.register_theme(own)
        self.theme = "flywizard"
        self.kind, self.count, self.pace = kind, count, pace
        self.book = LogBook()
        self.pending: list[str] = []
        self.worst = 0.0
        self.seconds = 0.0
        self.busy = 0.0
        self.offered = False
        self.drawn = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Log() if self.kind == "log" else LogView(self.book)

    def on_mount(self) -> None:
        self.set_interval(1 / RATE, self.frame)
        self.run_worker(self.flood())
        self.run_worker(self.watch())

    async def watch(self) -> None:
        """Note the longest time in which the loop came to nothing else."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.worst, last = max(self.worst, now - last), now

    async def flood(self) -> None:
        """Offer all lines in pieces, as they come from a child's pipe."""
        await asyncio.sleep(0.3)
        texts = [TEXT.format(n) for n in range(PIECE)]
        events = [StepOutput("release.api", "log", text, "api") for text in texts]
        self.worst = 0.0
        start = time.perf_counter()
        for _ in range(self.count // PIECE):
            if self.kind == "log":
                for event in events:
                    self.pending.append(event.text)
            else:
                for event in events:
                    self.book.add(event, "12:00:00")
            await asyncio.sleep(PIECE / self.pace if self.pace else 0)
        self.offered = True
        await self.drawn.wait()
        self.seconds = time.perf_counter() - start
        self.exit()

    def frame(self) -> None:
        """Do one frame's work."""
        start = time.perf_counter()
        if self.kind == "log":
            batch, self.pending = self.pending, []
            if batch:
                self.query_one(Log).write_lines(batch)
        else:
            self.query_one(LogView).feed()
        self.busy += time.perf_counter() - start
        if self.offered and not self.pending and not self.book.waiting:
            self.call_after_refresh(self.drawn.set)


def main(kind: str, count: str, pace: str, result: str) -> None:
    app = Flood(kind, int(count), int(pace))
    app.run()
    Path(result).write_text(json.dumps({"seconds": app.seconds, "worst": app.worst, "busy": app.busy}))


if __name__ == "__main__":
    main(*sys.argv[1:])
