"""Owns what the end of a flyctl command means: done, failed, cancelled, crashed or in doubt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywizard.flyctl.plaintext import plain
from flywizard.ports import Doubt, Ended

Kind: TypeAlias = Literal["done", "failed", "cancelled", "crashed", "doubt"]

_CROSS = re.compile(
    r"^✖ (?:\[\s*\d+/\d+\] )?(?:Machine \S+(?: \[[^\]]*\])? update failed|Failed): (.*)$", re.M
)
_IDS = re.compile(r" \((?:Request|Trace) ID: [^)]*\)")
_QUERY = re.compile(r"failed to run (?:query|mutation)\b")
_DOUBTFUL = re.compile(
    r"\bEOF\b|connection reset|broken pipe|with Body length 0|deadline exceeded|request timed out|timeout awaiting"
    r"|status(?: code)?:? \(?(?:408|429|5\d\d)\b|\(status (?:408|429|5\d\d)\)|server error:|flywizard-guard: in doubt",
    re.IGNORECASE,
)
_BEFORE_THE_REQUEST = re.compile(
    r"connection refused|no such host|Please login with|reading body", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a command ended, in words that need no knowledge of exit codes."""

    kind: Kind
    text: str = ""
    """The reason, without request ids and query texts; for done: empty. May hold secrets, so mask it."""
    code: int | None = None
    doubts: tuple[Doubt, ...] = ()
    """Creating requests that the guard could not settle; possible even with ``done``."""

    @property
    def ok(self) -> bool:
        """Tell whether it ended well and nothing is in doubt."""
        return self.kind == "done" and not self.doubts


def reading(ended: Ended, *, changes: bool = True) -> Verdict:
    """Read how a command ended.

    ``changes``: the command creates or changes something, so that a lost answer leaves its fate in doubt.
    Exit 127 without a signal of ours is a failure (a redeploy of several process groups), and exit 1 after
    our signal may be a cancellation (a BuildKit build).
    """

    def verdict(kind: Kind, text: str = "") -> Verdict:
        return Verdict(kind, text, ended.code, ended.doubts)

    stderr = plain(ended.stderr)
    stdout = plain(ended.stdout)
    if ended.timed_out:
        return verdict("doubt", "it did not end in time and was stopped")
    match ended.code:
        case None:
            return verdict("doubt", "nobody knows how it ended: the process that watched it is gone")
        case 0:
            return verdict("done")
        case 3 if "Oops, something went wrong" in stdout + stderr:
            return verdict("crashed", _crash_text(stdout + "\n" + stderr))
        case 127:
            if ended.signalled:
                return verdict("cancelled", "it was stopped")
            if reason := cross_reason(stdout):
                return verdict("failed", reason)
            return verdict("doubt", error_text(stderr) or "flyctl stopped without saying why")
        case 126:
            return verdict("doubt", error_text(stderr) or "flyctl ran out of time")
        case code if code < 0:
            return verdict("doubt", f"flyctl was killed by signal {-code}")
        case _:
            text = error_text(stderr) or error_text(stdout) or _last_line(stderr) or _last_line(stdout)
            if ended.signalled and text.rstrip().endswith("context canceled"):
                return verdict("cancelled", "it was stopped")
            if ended.doubts or (changes and doubtful(text)):
                return verdict("doubt", text)
            return verdict("failed", text)


def doubtful(text: str) -> bool:
    """Tell whether an error leaves open if the request was carried out."""
    return bool(_DOUBTFUL.search(text)) and not _BEFORE_THE_REQUEST.search(text)


def cross_reason(stdout: str) -> str:
    """Return the reason of the ``✖ …`` line that is not a mere cancellation, or an empty text."""
    for reason in _CROSS.findall(plain(stdout)):
        if "canceled" not in reason and reason.strip():
            return str(_IDS.sub("", reason).strip())
    return ""


def error_text(stderr: str) -> str:
    """Return what follows the final ``Error: ``, without request ids and GraphQL query texts; else empty."""
    clean = plain(stderr)
    starts = [m.end() for m in re.finditer(r"^Error: ", clean, re.MULTILINE)]
    if not starts:
        return ""
    # logs of the app follow this error of flyctl's own, and may have lines of the same form
    own = [m.end() for m in re.finditer(r"^Error: (?=smoke checks for )", clean, re.MULTILINE)]
    text = clean[(own or starts)[-1] :]
    return without_query(_IDS.sub("", text)).strip()


def without_query(text: str) -> str:
    """Cut the text of a GraphQL query out of ``failed to run query … { … }: message``."""
    found = _QUERY.search(text)
    if found is None:
        return text
    open_at = text.find("{", found.end())
    depth = 0
    for at in range(open_at, len(text)) if open_at >= 0 else ():
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                rest = text[at + 1 :]
                return text[: found.start()] + (rest[2:] if rest.startswith(": ") else rest.lstrip())
    return text


def _crash_text(text: str) -> str:
    for line in text.splitlines():
        if line.startswith(("runtime error:", "panic:")):
            return f"flyctl crashed: {line}"
    return "flyctl crashed"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
