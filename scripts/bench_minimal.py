"""The smallest Textual app: the floor that the wizard's first frame is compared with."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class Minimal(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("a minimal app")


if __name__ == "__main__":
    Minimal().run()
