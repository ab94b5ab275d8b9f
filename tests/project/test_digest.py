"""Digests: what changes an image changes its digest, and nothing else does. With the rules of .dockerignore."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywizard.project import dockerignore
from flywizard.project.digest import config_digest, source_digest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "backend/Dockerfile": "FROM x\nCOPY . .\n",
        "backend/.dockerignore": "*.log\nnode_modules\n",
        "backend/src/main.py": "a = 1\n",
        "backend/notes.log": "x",
        "backend/node_modules/deep/index.js": "x",
        "backend/fly.toml": "app = 'x'\n",
        "frontend/page.tsx": "x",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def digest(root: Path, **changes: object) -> str:
    arguments: dict[str, object] = {
        "context": "backend",
        "dockerfile": "backend/Dockerfile",
        "build_args": {"A": "1"},
    }
    return source_digest(root, **(arguments | changes))  # type: ignore[arg-type]


def test_it_is_sixteen_hexadecimal_digits_and_stable(root: Path) -> None:
    first = digest(root)
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert digest(root) == first


@pytest.mark.parametrize("path", ["backend/src/main.py", "backend/Dockerfile", "backend/new.py"])
def test_what_goes_into_the_image_changes_it(root: Path, path: str) -> None:
    before = digest(root)
    (root / path).write_text("FROM y\n")
    assert digest(root) != before


@pytest.mark.parametrize(
    "path",
    [
        "backend/notes.log",
        "backend/node_modules/deep/index.js",
        "backend/fly.toml",
        "frontend/page.tsx",
        "backend/.git/HEAD",
    ],
)
def test_what_does_not_leaves_it(root: Path, path: str) -> None:
    before = digest(root)
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text("other")
    assert digest(root) == before


def test_arguments_and_target_count(root: Path) -> None:
    assert (
        len(
            {
                digest(root),
                digest(root, build_args={"A": "2"}),
                digest(root, build_args={}),
                digest(root, target="dev"),
            }
        )
        == 4
    )


def test_moving_text_between_files_changes_it(root: Path) -> None:
    before = digest(root)
    (root / "backend/src/main.py").rename(root / "backend/src/main2.py")
    assert digest(root) != before


def test_touching_does_not(root: Path) -> None:
    before = digest(root)
    os.utime(root / "backend/src/main.py", (1, 1))
    (root / "backend/src/main.py").chmod(0o600)
    assert digest(root) == before


def test_files_to_be_written_count_as_written(root: Path) -> None:
    overlay = {"backend/src/main.py": "b = 2\n", "backend/Dockerfile": "FROM z\n"}
    planned = digest(root, overlay=overlay)
    for path, text in overlay.items():
        (root / path).write_text(text)
    assert digest(root) == planned
    assert digest(root, overlay={"backend/fly.toml": "app = 'y'"}) == planned


def test_a_link_counts_by_its_target(root: Path) -> None:
    (root / "backend/link").symlink_to("/etc/hostname")
    one = digest(root)
    (root / "backend/link").unlink()
    (root / "backend/link").symlink_to("/etc/passwd")
    assert digest(root) != one


def test_the_dockerfiles_own_ignore_file_wins(root: Path) -> None:
    before = digest(root)
    (root / "backend/Dockerfile.dockerignore").write_text(
        "src\nDockerfile.dockerignore\nnode_modules\n*.log\n.dockerignore\n"
    )
    assert digest(root) != before
    ignored = digest(root)
    (root / "backend/src/main.py").write_text("changed\n")
    assert digest(root) == ignored


def test_a_configuration_digest_ignores_line_ends() -> None:
    assert config_digest("a\nb\n") == config_digest("a\r\nb\r\n") != config_digest("a\nc\n")


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("node_modules", "node_modules/a/b.js", True),
        ("node_modules", "web/node_modules/a.js", False),
        ("**/node_modules", "web/node_modules/a.js", True),
        ("**/node_modules", "node_modules/a.js", True),
        ("*.log", "a.log", True),
        ("*.log", "logs/a.log", False),
        ("**/*.log", "logs/deep/a.log", True),
        ("logs/**", "logs/a/b.txt", True),
        ("/dist/", "dist/x", True),
        (".env*\n!.env.example", ".env.example", False),
        (".env*\n!.env.example", ".env.local", True),
        ("!.env.example\n.env*", ".env.example", True),
        ("docs\n!docs/keep.md", "docs/keep.md", False),
        ("docs\n!docs/keep.md", "docs/other.md", True),
        ("*\n!src", "src/a/b.py", False),
        ("*\n!src\nsrc/*.tmp", "src/x.tmp", True),
        ("te?t", "test", True),
        ("te?t", "te/t", False),
        ("file[0-9].txt", "file7.txt", True),
        ("file[^0-9].txt", "file7.txt", False),
        ("# comment\n\n  spaced  ", "spaced", True),
        ("#no", "#no", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("./src/../lib", "lib/x", True),
        ("[", "[", False),
    ],
)
def test_dockerignore_rules(rules: str, path: str, ignored: bool) -> None:
    assert dockerignore.parse(rules)(path) is ignored


@given(
    st.text(alphabet="ab*?/.![]\\#\n ", max_size=30),
    st.lists(st.sampled_from(["a", "b", "ab", "a.b"]), min_size=1, max_size=4),
)
def test_no_rule_text_raises_and_a_child_of_an_ignored_folder_is_ignored(text: str, parts: list[str]) -> None:
    rules = dockerignore.parse(text)
    path = "/".join(parts)
    if rules(path) and not rules.has_exceptions:
        assert rules(path + "/child")


def test_the_generated_file_hides_what_must_not_leave() -> None:
    rules = dockerignore.of(dockerignore.WANTED)
    assert all(
        rules(p) for p in (".env", ".env.local", ".git/HEAD", "node_modules/x", ".venv/bin/python", "a.log")
    )
    assert not any(
        rules(p)
        for p in (".env.example", "package-lock.json", "public/x.png", "alembic/env.py", "src/main.py")
    )
