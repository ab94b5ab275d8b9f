"""Owns the one door for foreign text: control characters out, secrets masked, paths and times in one form.

Clean first, mask second: an escape sequence in the middle of a value would hide it from the mask.
``Redactor.line`` and ``Redactor.stream(clean=True)`` do both in this order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from flywizard.redaction import (
    PEM_END,
    PEM_OPEN,
    Finder,
    Span,
    compiled,
    forms,
    no_forms,
    pair_forms,
    pattern_beginning,
    pattern_spans,
)
from flywizard.vault import MASK

_SEQUENCE = (
    r"(?P<sgr>\x1b\[[0-9;:]*m)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|[\x90\x98\x9d\x9e\x9f][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # bidi controls, zero width
    "\U000e0000-\U000e007f"  # tags
)
_LONE = "\ud800-\udfff"
_SEPARATORS = "\u2028\u2029"
_BAD = f"[{_UNSEEN}{_LONE}{_SEPARATORS}]"
_FOREIGN = f"{_SEQUENCE}|(?P<lone>[{_LONE}])|(?P<separator>[{_SEPARATORS}])|[{_UNSEEN}]"


def clean(text: str, *, keep_sgr: bool = False) -> str:
    """Return ``text`` without anything that acts on a terminal or hides in it.

    Out go control characters except tab and newline, whole ESC, CSI and OSC sequences, bidi controls and
    zero-width spaces; lone surrogates become U+FFFD, line and paragraph separators a blank.
    ``keep_sgr`` leaves whole colour sequences.
    """
    if text.isprintable() or compiled(_BAD).search(text) is None:
        return text

    def replace(match: re.Match[str]) -> str:
        match match.lastgroup:
            case "sgr":
                return match[0] if keep_sgr else ""
            case "lone":
                return "\ufffd"
            case "separator":
                return " "
            case _:
                return ""

    return compiled(_FOREIGN).sub(replace, text)


def collapse_cr(text: str) -> str:
    """Return each line as it stands after its carriage returns: the last non-empty part wins."""
    if "\r" not in text:
        return text
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        parts = [part for part in line.split("\r") if part]
        lines.append(parts[-1] if parts else "")
    return "\n".join(lines)


def shorten_home(text: str, home: str | None = None) -> str:
    """Return ``text`` with the user's home folder written as ``~``.

    ``home`` defaults to the folder of this process's user; ``/`` and an unknown one are left alone.
    """
    home = (os.path.expanduser("~") if home is None else home).rstrip("/\\")
    if len(home) < 2 or home == "~":
        return text
    for spelling in dict.fromkeys((home, home.replace("\\", "\\\\"), home.replace("\\", "/"))):
        if spelling in text:
            text = re.sub(rf"(?<![\w.~-]){re.escape(spelling)}(?![\w.-])", "~", text)
    return text


def duration(seconds: float) -> str:
    """Return a duration in words: ``0.4 s``, ``12 s``, ``2 min 10 s``, ``1 h 5 min``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def rfc3339(epoch: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC with milliseconds, e.g. ``2026-01-02T03:04:05.678Z``."""
    from datetime import UTC, datetime

    stamp = datetime.fromtimestamp(round(epoch, 3), UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{stamp.microsecond // 1000:03d}Z"


class Redactor:
    """Masks known values in all their encodings, and whatever looks like a secret.

    Keep one for a run and ``add`` each value as it becomes known; streams made before see it too.
    """

    __slots__ = ("_finder", "_stale", "forms")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.forms: set[str] = set()
        self._finder: Finder = no_forms()
        self._stale = False
        for value in secrets:
            self.add(value)

    def __repr__(self) -> str:
        return f"Redactor({MASK})"

    def add(self, value: str) -> None:
        """Mask this value from now on; shorter than 6 characters or a common word: ignored."""
        new = forms(value)
        cleaned = clean(value)
        if cleaned != value:
            new |= forms(cleaned)
        self._extend(new)

    def add_pair(self, user: str, password: str) -> None:
        """Mask the password, and ``user:password`` as Basic authentication encodes it."""
        self.add(password)
        self._extend(pair_forms(user, password))

    def _extend(self, new: frozenset[str]) -> None:
        if not new <= self.forms:
            self.forms |= new
            self._stale = True

    @property
    def finder(self) -> Finder:
        """Return the finder over all values known now."""
        if self._stale:
            self._finder = Finder(self.forms)
            self._stale = False
        return self._finder

    def spans(self, text: str) -> list[Span]:
        """Return the places to mask, merged where they overlap, in order."""
        return _merged(self.finder.spans(text) + pattern_spans(text))

    def mask(self, text: str) -> str:
        """Return a whole text with every secret replaced by ``••••``."""
        out, at = [], 0
        for start, end in self.spans(text):
            out += [text[at:start], MASK]
            at = end
        return "".join(out) + text[at:] if out else text

    def line(self, text: str, *, keep_sgr: bool = False) -> str:
        """Return a whole line cleaned, then masked: what an event may carry."""
        return self.mask(clean(text, keep_sgr=keep_sgr))

    def stream(self, *, clean: bool = False) -> Stream:
        """Return a masker for text that arrives in pieces; ``clean`` also takes control characters out."""
        return Stream(self, clean=clean)


def _merged(spans: list[Span]) -> list[Span]:
    spans.sort()
    out: list[Span] = []
    for start, end in spans:
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


_UNFINISHED = (
    r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\n]{0,4096}\x1b?|[ -/]*)?|\x9b[0-?]*[ -/]*|\r)\Z"
)
_LONGEST_OPEN = 65536
_MARKER = 128
"""Longer than any line that ends a PEM block."""


class Stream:
    """Masks a text that arrives in pieces of any size.

    ``feed`` returns what is safe to show; it holds back only a tail that may be the beginning of a secret.
    ``flush`` gives the rest at the end.
    """

    __slots__ = ("_cleans", "_held", "_masked", "_pem", "_raw", "_redactor")

    def __init__(self, redactor: Redactor, *, clean: bool = False) -> None:
        self._redactor = redactor
        self._cleans = clean
        self._raw = ""
        self._held = ""
        self._masked = 0
        """How many characters of ``_held`` the mask that was given last stands for."""
        self._pem = False

    def feed(self, text: str) -> str:
        """Take a piece, return what can be shown now; with ``clean``, a carriage return becomes a newline."""
        if self._cleans:
            text = self._raw + text
            unfinished = compiled(_UNFINISHED).search(text, max(0, len(text) - 8192))
            cut = unfinished.start() if unfinished else len(text)
            self._raw, text = text[cut:], _newlines(text[:cut])
        return self._take(text, final=False)

    def flush(self) -> str:
        """Return the rest at the end of the stream; the stream may be fed anew afterwards."""
        text = _newlines(self._raw) if self._cleans else self._raw
        self._raw = ""
        out = self._take(text, final=True)
        self._held, self._masked, self._pem = "", 0, False
        return out

    def _take(self, text: str, *, final: bool) -> str:
        buffer = self._held + text
        if self._pem:
            closed = compiled(PEM_END).search(buffer)
            if closed is None:
                self._held = buffer[-_MARKER:]
                return ""
            buffer, self._masked, self._pem = buffer[closed.end() :], 0, False
        spans = self._redactor.spans(buffer)
        if self._masked:
            spans = _merged([(0, self._masked), *spans])
        hold = len(buffer) if final else self._hold(buffer)
        opened = compiled(PEM_OPEN).search(buffer) if "-----BEGIN" in buffer else None
        if opened is not None and opened.start() <= hold:
            self._pem, hold = True, opened.start()
        out, at, masked = [], 0, 0
        for start, end in spans:
            shown = start == 0 and self._masked > 0
            if start >= hold and not shown:
                break
            if not shown:
                out += [buffer[at:start], MASK]
            at, masked = end, max(0, end - hold)
        if at < hold:
            out.append(buffer[at:hold])
        self._held, self._masked = buffer[hold:], masked
        if self._pem:
            if not masked:
                out.append(MASK)
            self._held, self._masked = self._held[-_MARKER:], 0
        return "".join(out)

    def _hold(self, buffer: str) -> int:
        """Return where the tail begins that must wait for more text."""
        finder = self._redactor.finder
        hold = min(finder.beginning(buffer), pattern_beginning(buffer))
        return len(buffer) if len(buffer) - hold > max(_LONGEST_OPEN, finder.longest) else hold


def _newlines(text: str) -> str:
    return clean(text.replace("\r\n", "\n").replace("\r", "\n"))
