"""Owns how things look in words and colours: glyphs, style names, themes, durations, and the last door for foreign text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from textual.content import Content
    from textual.theme import Theme

DIM: Final = "$dim"
GOOD: Final = "$good"
BAD: Final = "$bad"
WARN: Final = "$attention"
SKY: Final = "$sky"
ACCENT: Final = "$accent"
STRONG: Final = "bold"

SPINNER: Final = "◐◓◑◒"
CHECK_GLYPHS: Final[dict[str, tuple[str, str]]] = {
    "waiting": ("○", DIM),
    "running": ("◐", ACCENT),
    "ok": ("✓", GOOD),
    "warn": ("!", WARN),
    "failed": ("✗", BAD),
    "skipped": ("–", DIM),
}
NOTE_GLYPHS: Final[dict[str, tuple[str, str]]] = {
    "info": ("·", DIM),
    "ok": ("✓", GOOD),
    "warn": ("!", WARN),
    "bad": ("✗", BAD),
    "hint": ("hint:", SKY),
}
RAIL_GLYPHS: Final[dict[str, tuple[str, str]]] = {
    "todo": ("○", DIM),
    "current": ("▸", ACCENT),
    "done": ("✓", GOOD),
    "failed": ("✗", BAD),
    "skipped": ("–", DIM),
}
VERB_GLYPHS: Final[dict[str, tuple[str, str]]] = {
    "create": ("+", "good"),
    "reuse": ("=", "sky"),
    "change": ("~", "attention"),
    "set": ("~", "attention"),
    "write": ("~", "attention"),
    "run": ("▸", "accent"),
    "skip": ("–", "dim"),
}

# C0 except tab, DEL, C1, and the bidi controls of style rules for foreign text
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")
_BLOCK_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def line(text: str) -> str:
    """Return ``text`` as one line that cannot speak to the terminal; tabs become spaces.

    What reaches the screen was cleaned at the adapters' border already; this is the second door.
    """
    return _CONTROLS.sub("", text.expandtabs(4))


def block(text: str) -> str:
    """Return ``text`` with its line breaks and without any other control character."""
    return _BLOCK_CONTROLS.sub("", text.expandtabs(4))


def span(text: str, style: str = "") -> tuple[str, str]:
    """Return a cleaned part for ``Content.assemble``."""
    return (line(text), style)


def ticked(text: str, style: str = "", code: str = STRONG) -> list[tuple[str, str]]:
    """Return parts of ``text`` in which what stands in backticks has the style ``code``; backticks stay."""
    parts: list[tuple[str, str]] = []
    for index, piece in enumerate(line(text).split("`")):
        if not piece:
            continue
        parts.append((f"`{piece}`", f"{style} {code}".strip()) if index % 2 else (piece, style))
    return parts


def joined(lines: list[Content]) -> Content:
    """Return the lines as one content with line breaks between them."""
    from textual.content import Content

    return Content("\n").join(lines)


def clock(seconds: float) -> str:
    """Return a running time as ``3:12`` or ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def short(seconds: float) -> str:
    """Return the time of a check as ``12 ms`` or ``1.4 s``."""
    return f"{round(seconds * 1000)} ms" if seconds < 1 else f"{seconds:.1f} s"


def usual(expected: tuple[float, float] | None) -> str:
    """Return ``usually 2–4 min`` for an expected duration in seconds, or nothing."""
    if expected is None:
        return ""
    low, high = expected
    if high < 90:
        return f"usually {low:.0f}–{high:.0f} s"
    return f"usually {max(1, round(low / 60))}–{max(1, round(high / 60))} min"


def spinner(now: float) -> str:
    """Return the frame of the spinner at ``now`` (seconds), so that a frozen clock freezes it."""
    return SPINNER[int(now * 6) % len(SPINNER)]


def fit(text: str, width: int) -> str:
    """Return ``text`` padded or cut (with …) to ``width`` cells."""
    from rich.cells import cell_len, set_cell_size

    text = line(text)
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, max(0, width - 1)) + "…" if width > 0 else ""


def themes() -> list[Theme]:
    """Return the two themes of our own; terminal colours come from Textual's ansi themes."""
    from textual.theme import Theme

    quiet = {
        "button-focus-text-style": "bold",
        "block-cursor-text-style": "none",
        "footer-background": "#161822",
    }
    dark = Theme(
        name="flywizard",
        primary="#a78bfa",
        accent="#a78bfa",
        secondary="#7dd3fc",
        success="#86efac",
        warning="#fcd34d",
        error="#fca5a5",
        foreground="#f1f1f5",
        background="#101014",
        surface="#161822",
        panel="#1e2131",
        dark=True,
        variables=quiet
        | {
            "dim": "#9a9ba6",
            "good": "#86efac",
            "bad": "#fca5a5",
            "attention": "#fcd34d",
            "sky": "#7dd3fc",
            "pink": "#f0abfc",
            "chosen": "#3d3560",
            "on-accent": "#16121f",
            "field": "#1e2131",
            "field-focus": "#2b2f47",
            "scrollbar": "#3a3d52",
            "scrollbar-background": "#16181f",
        },
    )
    light = Theme(
        name="flywizard-light",
        primary="#6d3fe0",
        accent="#6d3fe0",
        secondary="#0369a1",
        success="#15803d",
        warning="#a16207",
        error="#b91c1c",
        foreground="#1c1b22",
        background="#fbfaff",
        surface="#f1eff8",
        panel="#e6e3f2",
        dark=False,
        variables=quiet
        | {
            "footer-background": "#f1eff8",
            "dim": "#5d5b6b",
            "good": "#15803d",
            "bad": "#b91c1c",
            "attention": "#8a5200",
            "sky": "#0369a1",
            "pink": "#a21caf",
            "chosen": "#d9cffa",
            "on-accent": "#ffffff",
            "field": "#e6e3f2",
            "field-focus": "#d9d3ef",
            "scrollbar": "#c3bedb",
            "scrollbar-background": "#ece9f6",
        },
    )
    return [dark, light]


ANSI_VARIABLES: Final[dict[str, str]] = {
    "dim": "ansi_bright_black",
    "good": "ansi_green",
    "bad": "ansi_red",
    "attention": "ansi_yellow",
    "sky": "ansi_cyan",
    "pink": "ansi_magenta",
    "chosen": "ansi_blue",
    "on-accent": "ansi_default",
    "field": "ansi_default",
    "field-focus": "ansi_default",
}
"""Our colours where a theme names none of them: the terminal's own."""
