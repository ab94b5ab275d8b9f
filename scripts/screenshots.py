"""Makes screenshots/*.svg and *.png: the running wizard, led through rehearsals of the example at two sizes.

Names, times of day and the clock of the commit stand still; ids and loopback ports are the rehearsal's own.
``--size 80x24`` and ``--only NAME`` make fewer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "screenshots"
SIZES = ((120, 40), (80, 24))
LIMIT = 90.0
ADVANCE = 12.2
"""Width of a cell in the picture; the font's own is 0.602 of its size, so lines only meet at the right size."""


def missing() -> list[str]:
    """Return what this machine lacks, with the Debian package that brings it."""
    lacks = []
    if ctypes.util.find_library("cairo") is None:
        lacks.append("libcairo (Debian: libcairo2)")
    fonts = (
        subprocess.run(["fc-list", ":family=DejaVu Sans Mono"], capture_output=True, text=True)
        if shutil.which("fc-list")
        else None
    )
    usual = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")
    if not (usual.exists() or (fonts is not None and fonts.stdout.strip())):
        lacks.append("the font DejaVu Sans Mono (Debian: fonts-dejavu-core)")
    if shutil.which("git") is None:
        lacks.append("git")
    return lacks


def repository(home: Path) -> Path:
    """Put the example into ``~/helpdesk`` as a repository with one commit, the same on every machine."""
    place = home / "helpdesk"
    shutil.copytree(
        ROOT / "examples" / "helpdesk",
        place,
        ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".pytest_cache"),
    )
    when = "2026-01-05T09:00:00+00:00"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "You", "GIT_AUTHOR_EMAIL": "you@example.com", "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": "You", "GIT_COMMITTER_EMAIL": "you@example.com", "GIT_COMMITTER_DATE": when,
    }  # fmt: skip
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=place, env=env, check=True)
    return place


def own_font(svg: str) -> str:
    """Return the picture with fonts that are there: nothing is fetched when somebody looks at it."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    svg = re.sub(r"font-family:\s*Fira Code,?\s*monospace", "font-family: DejaVu Sans Mono, monospace", svg)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    return svg.replace("font-size: 20px", f"font-size: {ADVANCE / 0.60205:.3f}px")


class Lead:
    """Leads one app with keys, waits for what must be on the screen, and takes pictures."""

    def __init__(
        self, app, pilot, size: tuple[int, int], only: frozenset[str], hide: Sequence[tuple[str, str]]
    ) -> None:  # type: ignore[no-untyped-def]
        self.app, self.pilot, self.size, self.only, self.hide = app, pilot, size, only, hide
        self.taken: list[str] = []

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    @property
    def text(self) -> str:
        """Return what is on the screen."""
        rows = self.app.screen._compositor.render_strips()[: self.size[1]]
        return "\n".join(strip.text.rstrip() for strip in rows)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds.

        Raises:
            RuntimeError: it never did; with the screen as text.
        """
        end = asyncio.get_running_loop().time() + LIMIT
        while not condition():
            if asyncio.get_running_loop().time() > end:
                raise RuntimeError(f"never came: {what}\n{self.text}")
            await self.pilot.pause(0.02)

    async def at(self, page: str) -> None:
        """Wait until a page stands and its checks are over."""

        def there() -> bool:
            screen = self.app.screen
            match type(screen).__name__:
                case "FormScreen":
                    return screen.page == page and not screen._waiting
                case "ReviewScreen":
                    return page == "review" and screen._review is not None
                case name:
                    return name.removesuffix("Screen").lower() == page

        await self.until(there, f"page {page}")
        await self.settle()

    async def settle(self) -> None:
        """Wait until two looks in a row are the same."""
        last = ""
        for _ in range(50):
            await self.pilot.pause(0.05)
            if self.text == last:
                return
            last = self.text

    async def take(self, name: str, *, settle: bool = True) -> None:
        """Take a picture."""
        if settle:
            await self.settle()
        if self.only and name not in self.only:
            return
        from flywizard.tui.picture import normalised, write_png

        svg = self.app.export_screenshot(title="flywizard")
        for pattern, text in self.hide:
            svg = re.sub(pattern, text, svg)
        path = PICTURES / f"{name}-{self.size[0]}x{self.size[1]}.svg"
        svg = own_font(normalised(svg))
        path.write_text(svg, "utf-8", newline="\n")
        write_png(svg, path.with_suffix(".png"))
        if name == "review" and self.size == SIZES[0]:
            for suffix in (".svg", ".png"):
                shutil.copyfile(path.with_suffix(suffix), PICTURES / f"review{suffix}")
        self.taken.append(path.name)
        print(path.relative_to(ROOT), flush=True)


@contextlib.asynccontextmanager
async def wizard(
    home: Path, source: Path, size: tuple[int, int], only: frozenset[str], fault: str = ""
) -> AsyncIterator[Lead]:
    """Begin a rehearsal and show its wizard without a terminal."""
    from flywizard import cli_run
    from flywizard.cli_options import parser
    from flywizard.tui.app import FlywizardApp

    environ = {k: v for k, v in os.environ.items() if not k.startswith(("FLY_", "FLYWIZARD_"))}
    words = [str(source), "--reset", *(["--fault", fault] if fault else [])]
    options = parser("rehearse").parse_args(words)
    rehearsal, back = await asyncio.to_thread(cli_run._rehearse, options, environ, source)
    try:
        session = cli_run._session("rehearse", options, environ, back)
        edge = str(rehearsal.server["edge_url"]).rpartition(":")[2]
        ports = {str(rehearsal.broker_port): "9092", str(rehearsal.server["port"]): "4280", edge: "4281"}
        hide = [(rf"127\.0\.0\.1:{port}\b", f"127.0.0.1:{shown}") for port, shown in ports.items()]
        hide += [(re.escape(str(home)), "~"), (r"[\d.]+(&#160;| )(GB|MB)(&#160;| )free", "84.5\\1\\2\\3free")]
        app = FlywizardApp(session, None, wall=lambda: "14:02:11")
        async with app.run_test(size=size) as pilot:
            yield Lead(app, pilot, size, only, hide)
            if app.state.running:
                await session.stop("now")
            await session.close()
    finally:
        await asyncio.to_thread(rehearsal.stop)


async def through(lead: Lead) -> None:
    """Go from Home to Done."""
    await lead.at("home")
    await lead.until(lambda: "main" in lead.text, "the commit")
    await lead.take("home")
    await lead.press("enter")
    for page in ("prerequisites", "signin", "project", "database"):
        await lead.at(page)
        await lead.take(page)
        await lead.press("enter")
    await lead.at("broker")
    await lead.take("broker-proven")
    await lead.press("enter")
    await lead.at("secrets")
    await lead.take("secrets")
    await lead.press("enter")
    await lead.at("review")
    await lead.take("review")
    await lead.press("enter")
    await lead.at("deploy")
    await lead.until(lambda: "worker" in lead.app.book.sources, "the worker's lines")
    await lead.pilot.pause(0.2)
    await lead.take("deploy", settle=False)
    await lead.at("done")
    await lead.take("done")


async def refused(lead: Lead) -> None:
    """Go to the broker's page: the sign-in is refused."""
    await lead.at("home")
    await lead.press("enter")
    for page in ("prerequisites", "signin", "project", "database"):
        await lead.at(page)
        await lead.press("enter")
    await lead.at("broker")
    await lead.press("pagedown", "pagedown")
    await lead.take("broker-refused")


async def stopped(lead: Lead) -> None:
    """Go to a problem: the frontend's build fails."""
    await lead.at("home")
    await lead.press("enter")
    for page in ("prerequisites", "signin", "project", "database", "broker", "secrets", "review"):
        await lead.at(page)
        await lead.press("enter")
    await lead.until(lambda: lead.app.state.ended is not None, "the end of the run")
    await lead.pilot.pause(0.3)
    await lead.take("problem")


async def make(sizes: Sequence[tuple[int, int]], only: frozenset[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="flywizard-pictures-") as name:
        home = Path(name)
        os.environ.update(HOME=name, TERM="xterm-256color", LANG="C.UTF-8")
        for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "NO_COLOR"):
            os.environ.pop(variable, None)
        source = repository(home)
        for size in sizes:
            for fault, lead_through, names in RUNS:
                if only and not only & names:
                    continue
                async with wizard(home, source, size, only, fault) as lead:
                    await lead_through(lead)


RUNS: tuple[tuple[str, Callable[[Lead], Awaitable[None]], frozenset[str]], ...] = (
    ("", through, frozenset({"home", "prerequisites", "signin", "project", "database", "broker-proven", "secrets", "review", "deploy", "done"})),
    ("broker-refuses", refused, frozenset({"broker-refused"})),
    ("build-fails@helpdesk-web", stopped, frozenset({"problem"})),
)  # fmt: skip


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", action="append", choices=[f"{w}x{h}" for w, h in SIZES], help="only this size"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this picture")
    options = parser.parse_args(words)
    lacks = missing()
    if lacks:
        print(f"✗ pictures need {', '.join(lacks)}", file=sys.stderr)
        return 2
    PICTURES.mkdir(exist_ok=True)
    sizes = [s for s in SIZES if not options.size or f"{s[0]}x{s[1]}" in options.size]
    asyncio.run(make(sizes, frozenset(options.only)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
