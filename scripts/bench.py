"""Prints what flywizard costs, as ratios measured in this run (`make bench`). Information, never an assertion.

Variants run in turn, the first round is dropped, the median counts. ``--quick`` takes fewer rounds and lines.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench_measure import ROOT, Row, in_turn, on_terminal, ratio, run_in_terminal, to_exit, to_first_byte

PYTHON = sys.executable
WIZARD = (PYTHON, "-m", "flywizard")
MINIMAL = (PYTHON, str(ROOT / "scripts" / "bench_minimal.py"))
HOME_TEXT = "First deployment"
MINIMAL_TEXT = "a minimal app"


class Place:
    """A copy of the example and a state directory of its own; Fly is a port where nobody listens."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "helpdesk"
        shutil.copytree(
            ROOT / "examples" / "helpdesk", self.repository, ignore=shutil.ignore_patterns("node_modules")
        )
        nowhere = "http://127.0.0.1:9"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT / "src"),
            "FLYWIZARD_STATE_DIR": str(folder / "state"),
            **dict.fromkeys(("FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_UIEX_BASE_URL"), nowhere),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }


def starts(place: Place, rounds: int) -> Iterator[Row]:
    run = functools.partial(to_exit, env=place.env)
    found = in_turn(
        rounds,
        {
            "pass": lambda: run([PYTHON, "-c", "pass"]),
            "--version": lambda: run([*WIZARD, "--version"]),
            "--help": lambda: run([*WIZARD, "--help"]),
            "plain": lambda: to_first_byte(
                [*WIZARD, "plan", "--plain", "--no-input"], place.env, place.repository
            ),
        },
    )
    base = found["pass"]
    note = f"against `python -c pass`, {base * 1000:.0f} ms"
    yield ratio("`--version`", found["--version"] / base, 5, note)
    yield ratio("`--help`", found["--help"] / base, 5, note)
    yield ratio("plain front, first line", found["plain"] / base, 10, note)


def frames(place: Place, rounds: int) -> Iterator[Row]:
    known = place.repository / "flywizard.toml"

    def wizard() -> float:
        return on_terminal(WIZARD, place.env, place.repository, HOME_TEXT).seconds

    def wizard_again() -> float:
        known.write_text('version = 1\nname = "helpdesk"\norganization = "acme"\nregion = "iad"\n')
        try:
            return wizard()
        finally:
            known.unlink()

    found = in_turn(
        rounds,
        {
            "minimal": lambda: on_terminal(MINIMAL, place.env, ROOT, MINIMAL_TEXT).seconds,
            "wizard": wizard,
            "again": wizard_again,
        },
    )
    note = f"against a minimal Textual app, {found['minimal'] * 1000:.0f} ms, at 80×24"
    yield ratio("first frame of the wizard", found["wizard"] / found["minimal"], 1.3, note)
    yield ratio("first frame with a flywizard.toml", found["again"] / found["minimal"], 1.3, note)


def memory(place: Place) -> Iterator[Row]:
    small = on_terminal(MINIMAL, place.env, ROOT, MINIMAL_TEXT, linger=1.0)
    home = on_terminal(WIZARD, place.env, place.repository, HOME_TEXT, linger=2.5)
    yield Row("memory, a minimal Textual app", f"{small.later_mb:.1f} MB", note="resident, after 1 s")
    yield Row("memory, Home's first frame", f"{home.first_mb:.1f} MB", "≤ 45 MB", home.first_mb <= 45)
    yield Row("memory, Home with its live lines", f"{home.later_mb:.1f} MB", "≤ 60 MB", home.later_mb <= 60)


def logs(place: Place, lines: int, rounds: int, folder: Path) -> Iterator[Row]:
    result = folder / "log.json"
    worst: dict[str, float] = {}
    busy: dict[str, list[float]] = {"log": [], "view": []}

    def flood(kind: str, count: int = lines, pace: int = 0) -> dict[str, float]:
        argv = [PYTHON, str(ROOT / "scripts" / "bench_log.py"), kind, str(count), str(pace), str(result)]
        run_in_terminal(argv, place.env, (120, 40))
        found: dict[str, float] = json.loads(result.read_text())
        return found

    def whole(kind: str) -> float:
        found = flood(kind)
        worst[kind] = max(worst.get(kind, 0.0), found["worst"])
        busy[kind].append(found["busy"])
        return found["seconds"]

    found = in_turn(rounds, {"log": lambda: whole("log"), "view": lambda: whole("view")})
    own = {kind: statistics.median(values[1:]) for kind, values in busy.items()}
    times = own["log"] / own["view"]
    yield Row(
        "log intake, the widget's own work", f"{times:.1f} ×", "≥ 4 ×", times >= 4,
        f"{lines:,} lines: {own['view'] * 1000:.0f} ms; Textual's Log {own['log'] * 1000:.0f} ms",
    )  # fmt: skip
    yield Row(
        "log intake, event to screen", f"{lines / found['view']:,.0f} lines/s", "> 100,000", lines / found["view"] > 100_000,
        f"Textual's Log {lines / found['log']:,.0f} lines/s",
    )  # fmt: skip
    yield Row(
        "log flood, worst stall", f"{worst['view'] * 1000:.0f} ms", "≤ 100 ms", worst["view"] <= 0.1,
        f"Textual's Log {worst['log'] * 1000:.0f} ms",
    )  # fmt: skip
    steady = flood("view", 30_000, 10_000)
    yield Row(
        "10,000 lines/s, worst stall", f"{steady['worst'] * 1000:.0f} ms", "≤ 100 ms", steady["worst"] <= 0.1,
        f"{steady['busy'] / steady['seconds'] * 100:.0f} % of the loop's time is the log's own work",
    )  # fmt: skip


def engine() -> Iterator[Row]:
    import bench_engine

    found = bench_engine.measure()
    yield Row(
        "engine over its critical path", f"{found.over * 100:+.1f} %", "≤ 5 %", found.over <= 0.05,
        f"{found.steps} steps, {found.took:.0f} s of simulated time, path {found.path:.0f} s",
    )  # fmt: skip
    yield Row(
        "engine, steps at a time", f"{found.parallel:.2f} of 3", note=f"own work {found.cpu * 1000:.0f} ms"
    )


def redaction(rounds: int, megabytes: int) -> Iterator[Row]:
    from flywizard.text import Redactor

    line = (
        '#12 4.512 Collecting pydantic==2.11.7 (from -r requirements.txt (line 14)) "GET /simple/x 200" ok\n'
    )
    text = line * (megabytes * 1_000_000 // len(line))
    lines = text.splitlines()

    def masker(count: int) -> Callable[[], float]:
        redactor = Redactor(f"Sup3r-{n:02d}-secret/{n * 7919:08x}+value" for n in range(count))

        def measure() -> float:
            start = time.perf_counter()
            for one in lines:
                redactor.mask(one)
            return time.perf_counter() - start

        return measure

    found = in_turn(rounds, {"1": masker(1), "50": masker(50)})
    size = len(text) / 1e6
    yield ratio(
        "redaction, 50 secrets against 1", found["50"] / found["1"], 2,
        f"{size / found['50']:.1f} MB/s with 50, {size / found['1']:.1f} MB/s with 1, line by line",
    )  # fmt: skip


def journal(folder: Path, rounds: int) -> Iterator[Row]:
    from flywizard.journal import Journal

    private = folder / "journal"
    private.mkdir(mode=0o700)
    record = b'{"v":1,"time":"2026-01-01T00:00:00Z","kind":"intent","step":"app.helpdesk-api","name":"helpdesk-api"}\n'
    bare = os.open(private / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    times = 40

    def write() -> float:
        start = time.perf_counter()
        for _ in range(times):
            os.write(bare, record)
            os.fsync(bare)
        return time.perf_counter() - start

    with Journal.open(private / "journal.jsonl") as kept:

        def append() -> float:
            start = time.perf_counter()
            for _ in range(times):
                kept.append("intent", step="app.helpdesk-api", name="helpdesk-api")
            return time.perf_counter() - start

        found = in_turn(rounds, {"bare": write, "journal": append})
    os.close(bare)
    yield ratio(
        "journal, one record", found["journal"] / found["bare"], 2,
        f"against write and fsync, {found['bare'] / times * 1000:.2f} ms",
    )  # fmt: skip


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| what | measured | goal | | |", "| --- | ---: | ---: | --- | --- |"]
    for row in rows:
        word = {True: "ok", False: "over", None: ""}[row.ok]
        lines.append(f"| {row.what} | {row.measured} | {row.goal} | {word} | {row.note} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and lines")
    options = parser.parse_args(words)
    rounds = 3 if options.quick else 7
    lines = 100_000 if options.quick else 1_000_000
    began = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="flywizard-bench-") as name:
        folder = Path(name)
        place = Place(folder)
        parts: list[tuple[str, Callable[[], Iterator[Row]]]] = [
            ("starts", lambda: starts(place, rounds)),
            ("first frames", lambda: frames(place, rounds)),
            ("memory", lambda: memory(place)),
            ("log floods", lambda: logs(place, lines, 1 if options.quick else 3, folder)),
            ("engine", engine),
            ("redaction", lambda: redaction(rounds, 1 if options.quick else 2)),
            ("journal", lambda: journal(folder, rounds)),
        ]
        for what, make in parts:
            print(f"measuring: {what}", file=sys.stderr, flush=True)
            try:
                rows += make()
            except (RuntimeError, OSError) as error:
                rows.append(Row(what, "not measured", note=str(error).splitlines()[0]))
                print(error, file=sys.stderr)
    print(table(rows))
    rate = f"{rounds} rounds in turn after one that is dropped, medians; Python {sys.version.split()[0]}"
    print(f"\n{rate}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
