"""Owns the list of steps on the Deploy screen: glyph, title, what it says, elapsed time."""

from __future__ import annotations

from flywizard.tui.look import clock, fit, spinner, usual
from flywizard.tui.state import ACTIVE, RunState, StepState
from flywizard.tui.widgets.line_view import LineView, Parts

GLYPHS: dict[str, tuple[str, str]] = {
    "todo": ("○", "dim"),
    "waiting": ("◌", "attention"),
    "done": ("✓", "good"),
    "skipped": ("–", "dim"),
    "failed": ("✗", "bad"),
}


class StepTree(LineView):
    """Draws a RunState; keeps the running step in the window until the user scrolls."""

    def __init__(self) -> None:
        super().__init__(id="steps")
        self.state = RunState()
        self.now = 0.0
        self._followed = -1

    def draw(self, state: RunState, now: float) -> None:
        """Show this state at this time (seconds)."""
        self.state, self.now = state, now
        self.measure()
        active = [i for i, s in enumerate(state.steps) if s.status in ACTIVE or s.status == "failed"]
        target = active[-1] if active else -1
        if target >= 0 and target != self._followed:
            self._followed = target
            self.show_line(min(target + 1, len(state.steps) - 1))

    def count(self) -> int:
        """Return the number of steps."""
        return len(self.state.steps)

    def parts(self, index: int) -> Parts:
        """Draw one step."""
        step = self.state.steps[index]
        width = self.size.width
        live = step.status in ACTIVE
        glyph, colour = (spinner(self.now), "accent") if step.status == "running" else GLYPHS[step.status]
        elapsed = step.elapsed(self.now)
        time = "" if elapsed is None or step.status == "skipped" else clock(elapsed)
        title_width = min(40, max(16, width * 2 // 5))
        text_width = max(0, width - 2 - title_width - 1 - 8)
        role = (
            "strong"
            if live or step.status == "failed"
            else "dim"
            if step.status in ("todo", "skipped")
            else ""
        )
        return [
            (glyph, colour),
            (" ", ""),
            (fit(step.info.title, title_width) + " ", role),
            (fit(self._words(step), text_width), "" if live else "dim"),
            (f"{time:>7} ", "" if live else "dim"),
        ]

    @staticmethod
    def _words(step: StepState) -> str:
        match step.status:
            case "todo":
                return ""
            case "waiting":
                return f"waiting: {step.text}" if step.text else "waiting"
            case "running":
                count = (
                    f"{step.done}/{step.total} " if step.total is not None and step.done is not None else ""
                )
                return count + step.text if step.text or count else usual(step.info.expected)
            case _:
                return step.text
