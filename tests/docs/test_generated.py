"""The documents: generated pages are fresh, links lead somewhere, nothing is left out, nothing is given away."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from flywizard import cli_words
from flywizard.answers import QUESTIONS
from flywizard.cli_options import parser
from flywizard.events import Event
from flywizard.rehearsal import faults, platform

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BY_HAND = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
PAGES = sorted([*BY_HAND, *(f"docs/{p.name}" for p in DOCS.glob("*.md"))])


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["steps.md", "problems.md", "flags.md"])
def test_generated_pages_are_fresh(name: str) -> None:
    made = generator().texts()[name]
    kept = (DOCS / name).read_text("utf-8")
    assert kept == made, f"docs/{name} is stale: run `make docs`"


def test_the_check_tells_a_stale_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = generator()
    monkeypatch.setattr(made, "DOCS", tmp_path)
    assert made.main(["--check"]) == 1
    assert "docs/steps.md is stale" in capsys.readouterr().err
    assert made.main([]) == 0
    assert made.main(["--check"]) == 0
    (tmp_path / "flags.md").write_text("old", "utf-8")
    assert made.main(["--check"]) == 1


def test_the_readme_begins_with_the_two_commands() -> None:
    readme = text("README.md")
    commands = re.findall(r"^    (\S.*?)(?:\s+#.*)?$", readme, re.MULTILINE)
    assert commands[:2] == ["make rehearse", "make test"]
    assert "There is no third." in readme
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {"rehearse", "test", "check", "bench", "docs", "format"} <= set(targets)
    for page in BY_HAND:
        assert set(
            re.findall(
                r"make (\w+)", " ".join(re.findall(r"`make \w+|^    make \w+", text(page), re.MULTILINE))
            )
        ) <= set(targets)


def headings(page: str) -> set[str]:
    found = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in found}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL))
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in headings(str(target.resolve().relative_to(ROOT))), f"{page}: {link}"


@pytest.mark.parametrize("command", sorted(cli_words.COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    assert f"flywizard {command}" in text("docs/contracts.md")
    assert f"### flywizard {command}\n" in text("docs/flags.md")


def test_no_other_command_is_promised() -> None:
    known = set(cli_words.COMMANDS)
    for page in ("README.md", "docs/contracts.md", "docs/rehearsal.md", "docs/security.md", "docs/flags.md"):
        named = set(re.findall(r"`flywizard ([a-z]+)\b", text(page)))
        assert named <= known, f"{page} names {sorted(named - known)}"


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(cli_words).items() if name.startswith("EXIT_")} | {
        0,
        1,
        130,
        143,
        129,
    }
    rows = re.search(r"## Exit codes\n(.*?)\n## ", text("docs/contracts.md"), re.DOTALL)
    assert rows is not None
    listed = {
        int(n) for row in re.findall(r"^\| ([\d, ]+) \|", rows[1], re.MULTILINE) for n in row.split(",")
    }
    assert listed == codes


def test_every_event_and_field_is_documented() -> None:
    page = text("docs/contracts.md")
    for kind in Event.__args__:
        assert f"| `{kind.name}` |" in page


def test_every_flag_is_documented() -> None:
    page = text("docs/flags.md")
    for command in ("", *(c for c in cli_words.COMMANDS if c != "completion")):
        for action in parser(command)._actions:
            for option in action.option_strings:
                assert option in page, option
    for question in QUESTIONS:
        if question.kind != "secret":
            assert question.variable in page


def test_every_fault_is_documented() -> None:
    page = text("docs/rehearsal.md")
    for name in (*faults.names(), platform.BROKER_REFUSES):
        assert re.search(rf"`{re.escape(name)}[`@\[]", page), name


def test_every_problem_is_documented() -> None:
    rules = tomllib.loads((ROOT / "src/flywizard/problems.toml").read_text("utf-8"))["rule"]
    page = text("docs/problems.md")
    assert len(rules) >= 40
    for rule in rules:
        assert f"\n## {rule['id']}\n" in page


def test_the_picture_of_the_readme_is_there() -> None:
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text("README.md")):
        assert (ROOT / path).read_bytes().startswith(b"\x89PNG")


FORBIDDEN = re.compile(
    r"/work\b|/root/|/home/(?!you\b)|/Users/|/tmp/|pypi\.org|pythonhosted|registry\.npmjs|files\.python"
    r"|\b(?:claude|anthropic|openai's|chatgpt|copilot|llm)\b|\bissue #?\d+\b|\bAI\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_given_away(page: str) -> None:
    body = re.sub(r"```.*?```", "", text(page), flags=re.DOTALL) if page == "docs/problems.md" else text(page)
    assert (found := FORBIDDEN.search(body)) is None, found
    addresses = set(re.findall(r"[\w.+-]+@[\w-]+\.[a-z]{2,}", body))
    assert {a for a in addresses if not a.endswith("example.com")} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "screenshots").glob("*.svg")), ids=lambda p: p.name)
def test_pictures_show_nothing_of_the_machine_that_made_them(path: Path) -> None:
    body = path.read_text("utf-8")
    assert not re.search(r"/work\b|/root\b|/home/|/tmp/|flywizard-pictures", body)
    assert not re.search(r"@font-face|@import|<image|href=|url\(['\"]?http", body), (
        "nothing is fetched to look at it"
    )
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_pages_stay_within_the_width() -> None:
    for page in PAGES:
        if page in ("docs/problems.md", "docs/steps.md", "docs/flags.md"):
            continue
        for number, row in enumerate(text(page).splitlines(), 1):
            assert len(row) <= 150 or row.startswith("|"), f"{page}:{number}"


def test_the_scripts_say_what_they_take() -> None:
    for script in ("generate_docs.py", "bench.py", "screenshots.py"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), "--help"], capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert done.stdout.startswith("usage: ")
