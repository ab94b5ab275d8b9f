"""Owns what a secret can look like in text: the encoded forms of known values, and patterns of unknown ones."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]

SHORTEST = 6
"""Values shorter than this are not searched in free text."""
SHORTEST_LINE = 8
"""Lines of a multi-line value shorter than this are not searched on their own."""
COMMON = frozenset(
    {
        *("localhost", "postgres", "password", "secret", "changeme", "default", "administrator", "public"),
        *("production", "development", "staging", "testing", "docker", "database", "example", "enabled"),
        *("disabled", "helpdesk", "fly-user", "fly-db", "username", "sasl_ssl", "plaintext", "undefined"),
        *("kafka-api", "frontend", "backend", "worker", "service", "require", "prefer", "verify-full"),
    }
)
"""Words that stand in texts for other reasons; compared without case."""


def forms(value: str) -> frozenset[str]:
    """Return every spelling under which ``value`` may appear, each at least ``SHORTEST`` characters long.

    Raw, trimmed, percent-encoded (upper and lower case, ``+`` for a blank), JSON, Go and Python escapes,
    shell quoting, HTML, base64 in its three alignments and its URL-safe alphabet; for a value of several
    lines also each longer line in all of these, for a URL or connection string also the password in it.
    """
    from urllib.parse import unquote

    found: set[str] = set()
    if searched(value):
        found |= _one_line_forms(value)
        trimmed = value.strip()
        if trimmed != value:
            found |= _one_line_forms(trimmed)
    for start, end in pattern_spans(value):  # the password in a URL, the key in a connection string
        inner = value[start:end].strip("\"'")
        for part in {inner, unquote(inner)} - {value}:
            if searched(part):
                found |= _one_line_forms(part)
    lines = value.splitlines()
    if len(lines) > 1:
        for line in lines:
            if len(line.strip()) >= SHORTEST_LINE and searched(line.strip()):
                found |= _one_line_forms(line.strip())
    return frozenset(form for form in found if len(form) >= SHORTEST)


def searched(value: str) -> bool:
    """Tell whether a value is long and uncommon enough to be searched in free text."""
    return len(value) >= SHORTEST and len(value.strip()) >= SHORTEST and value.lower() not in COMMON


def pair_forms(user: str, password: str) -> frozenset[str]:
    """Return the base64 spellings of ``user:password`` as Basic authentication sends them."""
    return frozenset(_base64_forms(f"{user}:{password}"))


def _one_line_forms(value: str) -> set[str]:
    from urllib.parse import quote, quote_plus

    found = {value, value.replace("\r\n", "\n"), value.replace("\r\n", "\n").replace("\r", "\n")}
    data = value.encode("utf-8", "replace")
    for safe in ("", "/", "!'()*~", "!'()*~/"):
        percent = quote(data, safe=safe)
        found |= {percent, _lower_hex(percent)}
    plus = quote_plus(data)
    found |= {plus, _lower_hex(plus)}
    for ascii_only in (True, False):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        go = escaped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        found |= {escaped, escaped.replace("/", "\\/"), go, _json_inside_json(escaped)}
    found.add(repr(value)[1:-1])
    found.add(shlex.quote(value).strip("'"))
    found |= {
        value.replace("'", "'\\''"),
        value.replace("'", "'\"'\"'"),
        re.sub(r'(["\\$`])', r"\\\1", value),
    }
    found.add(re.sub(r"([^A-Za-z0-9_@%+=:,./-])", r"\\\1", value))
    html = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    found |= {
        html,
        html.replace('"', "&quot;").replace("'", "&#x27;"),
        html.replace('"', "&#34;").replace("'", "&#39;"),
    }
    return found | _base64_forms(value)


def _json_inside_json(escaped: str) -> str:
    return escaped.replace("\\", "\\\\").replace('"', '\\"')


def _lower_hex(percent: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), percent)


def _base64_forms(value: str) -> set[str]:
    data = value.encode("utf-8", "replace")
    found: set[str] = set()
    whole = base64.b64encode(data).decode()
    for text in (whole, whole.rstrip("=")):
        found |= {text, text.translate(_URL_SAFE)}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode()
        first = (0, 2, 3)[before]
        # the last character depends on the byte that follows, unless the value ends on a boundary
        last = len(encoded) - (0, 3, 2)[(before + len(data)) % 3]
        text = encoded[first:last]
        found |= {text, text.translate(_URL_SAFE)}
    return found


_URL_SAFE = str.maketrans("+/", "-_")


# --- finding known forms -------------------------------------------------------------------------

_ANCHOR = 3
_OFTEN = {
    character: weight
    for weight, characters in (
        (400, list(" etaoinsr")),
        (150, list("hldcumfpgwy\n-=./:")),
        (60, list('bvk0123456789_"')),
        (25, list("xjqz,()[]'")),
    )
    for character in characters
}
"""About how often a character stands in logs; others: 10."""


class Finder:
    """Finds all given forms in one pass: looks for a rare character of each, then compares in place."""

    __slots__ = ("_by_anchor", "_by_start", "_regex", "longest")

    def __init__(self, known: Iterable[str]) -> None:
        all_forms = sorted(set(known), key=lambda form: (len(form), form))
        self.longest = len(all_forms[-1]) if all_forms else 0
        self._by_anchor: dict[str, list[tuple[str, int]]] = {}
        self._by_start: dict[str, list[str]] = {}
        for form in all_forms:
            for length in (1, 2):
                self._by_start.setdefault(form[:length], []).append(form)
        for form, offset in _anchors(all_forms):
            self._by_anchor.setdefault(form[offset : offset + _ANCHOR], []).append((form, offset))
        self._regex = _anchor_regex(self._by_anchor)

    def spans(self, text: str) -> list[Span]:
        """Return where forms stand in ``text``; spans may overlap and are in no order."""
        if self._regex is None:
            return []
        found = []
        for match in self._regex.finditer(text):
            at = match.start()
            for form, offset in self._by_anchor[text[at : at + _ANCHOR]]:
                if at >= offset and text.startswith(form, at - offset):
                    found.append((at - offset, at - offset + len(form)))
        return found

    def beginning(self, text: str) -> int:
        """Return where the tail starts that may be the beginning of a form; ``len(text)`` when there is none."""
        end = len(text)
        for at in range(max(0, end - self.longest + 1), end):
            candidates = self._by_start.get(text[at : at + 2])
            if candidates:
                tail = text[at:]
                if any(len(form) > len(tail) and form.startswith(tail) for form in candidates):
                    return at
        return end


def _anchors(all_forms: Sequence[str]) -> Iterable[tuple[str, int]]:
    """Choose for each form the place of its anchor so that few and rare first characters suffice for all."""
    waiting = {form: set(form[: len(form) - _ANCHOR + 1]) for form in all_forms}
    while waiting:
        count: dict[str, int] = {}
        for characters in waiting.values():
            for character in characters:
                count[character] = count.get(character, 0) + 1
        best = max(sorted(count), key=lambda c: count[c] / _OFTEN.get(c, 10))
        for form in [form for form, characters in waiting.items() if best in characters]:
            del waiting[form]
            yield form, form.index(best)


def _anchor_regex(anchors: Iterable[str]) -> re.Pattern[str] | None:
    tree: dict[str, dict[str, set[str]]] = {}
    for anchor in anchors:
        tree.setdefault(anchor[0], {}).setdefault(anchor[1], set()).add(anchor[2])
    if not tree:
        return None
    branches = []
    for first, rest in sorted(tree.items()):
        ends = [
            re.escape(s) + "[" + "".join(map(re.escape, sorted(ts))) + "]" for s, ts in sorted(rest.items())
        ]
        branches.append(f"{re.escape(first)}(?={'|'.join(ends)})")
    return re.compile("|".join(branches))


# --- finding unknown values by their shape -------------------------------------------------------

_NAME = (
    r"[A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY|ACCESS_KEY|SIGNING_KEY|CREDENTIAL|JAAS"
    r"|DSN|DATABASE_URL|REDIS_URL|CONNECTION_STRING)[A-Z0-9_]*"
)
_QUOTED = r'"(?:[^"\\\n]|\\.)*"?' + r"|'[^'\n]*'?"
_PEM_BEGIN = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"
_PEM_END = r"-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----"

_PATTERNS: tuple[tuple[str, str], ...] = (
    # the password of scheme://user:password@host; `/` in it only when it is not a port
    ("://", r"://[^\s:@/\"'<>]*:(?P<s>(?!\d{1,5}[/?#])[^\s\"'<>]+)@"),
    ("://", r"://(?P<s>[^\s:@/\"'<>]{20,})@"),
    ("flyv1", r"(?P<s>FlyV1\s+\S+)"),
    ("fm1", r"(?P<s>fm1[ra]_[^\s\"']+)"),
    ("fm2_", r"(?P<s>fm2_[^\s\"']+)"),
    ("fo1_", r"(?P<s>fo1_[^\s\"']+)"),
    ("bearer", r"(?i:bearer)\s+(?P<s>[A-Za-z0-9._~+/=,|:-]{8,})"),
    ("basic ", r"(?i:basic) (?P<s>[A-Za-z0-9+/]{8,}={0,2})(?![A-Za-z0-9+/=])"),
    ("password", r"(?i:password)\s*=\s*(?P<s>" + _QUOTED + r"|[^\s;,&\"']+)"),
    ("password", r"(?i:password)[\"']?:[ \t]+(?P<s>" + _QUOTED + r"|[^\s\"',]+)"),
    ("password", r"(?i:password\\?\"):\s*(?P<s>\\?\"(?:[^\"\\\n]|\\.)*\"?)"),
    ("sharedaccesskey=", r"(?i:SharedAccessKey)=(?P<s>[^\s;\"']+)"),
    ("sk-", r"(?<![A-Za-z0-9_-])(?P<s>sk-[A-Za-z0-9_-]{8,})"),
    ("sk_", r"(?<![A-Za-z0-9_-])(?P<s>sk_(?:live|test)_[A-Za-z0-9]{8,})"),
    ("gh", r"(?<![A-Za-z0-9_-])(?P<s>gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    ("akia", r"(?<![A-Za-z0-9_-])(?P<s>AKIA[A-Z0-9]{16})"),
    ("xox", r"(?<![A-Za-z0-9_-])(?P<s>xox[a-z]-[A-Za-z0-9-]{8,})"),
    ("-----begin", r"(?P<s>" + _PEM_BEGIN + r"[\s\S]*?(?:" + _PEM_END + r"|\Z))"),
    (
        "=",
        r"(?<![A-Za-z0-9_])(?!NEXT_PUBLIC_|VITE_|PUBLIC_)"
        + _NAME
        + r"=(?!-(?:\s|\Z))(?P<s>"
        + _QUOTED
        + r"|[^\s\"']\S*)",
    ),
)
"""(word that must stand in the lowered text, pattern); compiled when first met: start-up time counts."""
_NAME_HINTS = ("PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "JAAS", "DSN", "_URL", "CONNECTION")


@cache
def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Compile once, and only what is used."""
    return re.compile(pattern, flags)


def pattern_spans(text: str) -> list[Span]:
    """Return where values stand that look like secrets whoever they belong to; may overlap, in no order."""
    lowered = text.lower()
    named = "=" in text and any(hint in text for hint in _NAME_HINTS)
    found = []
    for trigger, pattern in _PATTERNS:
        if named if trigger == "=" else trigger in lowered:
            found += [match.span("s") for match in compiled(pattern).finditer(text)]
    return [span for span in found if span[0] < span[1]]


def _partial(word: str, after: str = "") -> str:
    """Return a regex for ``word`` followed by ``after``, or any beginning of ``word``, at the end."""
    regex = f"{re.escape(word[-1])}(?:{after})?"
    for character in reversed(word[:-1]):
        regex = f"{re.escape(character)}(?:{regex})?"
    return regex


_OPEN = (
    "(?:"
    + "|".join(
        (
            _partial("://", r"[^\s\"'<>]*"),
            _partial("flyv1", r"\s+\S*|\s"),
            *(_partial(word, r"[^\s\"']*") for word in ("fm1r_", "fm1a_", "fm2_", "fo1_")),
            _partial("bearer", r"\s+\S*"),
            _partial("basic ", r"\S*"),
            _partial(
                "password", r"\\?[\"']?(?:\s*[:=]\s*(?:\\?\"(?:[^\"\\\n]|\\.)*\\?\"?|'[^'\n]*'?|[^\s\"']*)?)?"
            ),
            _partial("sharedaccesskey=", r"[^\s;\"']*"),
            *(
                r"(?<![a-z0-9_-])" + _partial(w, r"[a-z0-9_-]*")
                for w in ("sk-", "sk_", "ghp_", "github_pat_", "xox", "akia")
            ),
            _partial("-----begin ", r"[a-z0-9 ]*-{0,5}"),
            r"(?-i:(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]*)(?:=(?:\"(?:[^\"\\\n]|\\.)*\\?|'[^'\n]*|[^\s\"']*))?",
        )
    )
    + r")\Z"
)
_WINDOW = 4096
PEM_END = _PEM_END
PEM_OPEN = _PEM_BEGIN + r"(?:(?!" + _PEM_END + r")[\s\S])*\Z"


def pattern_beginning(text: str) -> int:
    """Return where the tail starts that may be the beginning of a secret by its shape; else ``len(text)``."""
    start = max(0, len(text) - _WINDOW)
    match = compiled(_OPEN, re.IGNORECASE).search(text, start)
    return match.start() if match else len(text)


@cache
def no_forms() -> Finder:
    """Return the finder that knows no value."""
    return Finder(())
