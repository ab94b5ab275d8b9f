"""Hostile and broken repositories: nothing raises, nothing outside is read, what was left out is said."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.project import compose, dockerfile, flytoml, git_index, nextjs, python_source, sql, tree
from flywizard.project.commands import needs_shell, parse
from flywizard.project.detect import detect, inspect
from flywizard.project.toml_lines import lines_of
from flywizard.project.tree import Tree, scan
from tests.support.projects import found

APP = "from fastapi import FastAPI\napp = FastAPI()\n"


def write(root: Path, path: str, data: str | bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data.encode() if isinstance(data, str) else data)


def test_links_out_of_the_repository_are_not_followed(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    write(outside, "main.py", APP)
    write(outside, "secret.txt", "marked-value")
    write(root, "README.md", "x")
    (root / "linked").symlink_to(outside)
    (root / "main.py").symlink_to(outside / "main.py")
    (root / "loop").symlink_to(root)
    findings = inspect(root)
    assert findings.kind == "unsupported"
    assert "`linked`: a link that leads out of the repository" in findings.skipped
    assert "`main.py`: a link that leads out of the repository" in findings.skipped
    assert "`loop`: a link to `.`" in findings.skipped


def test_a_file_that_becomes_a_link_after_the_walk_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "main.py", APP)
    write(tmp_path, "outside.py", "marked")
    snapshot = scan(root)
    (root / "main.py").unlink()
    (root / "main.py").symlink_to(tmp_path / "outside.py")
    assert snapshot.text("main.py") is None
    assert "main.py" in snapshot.unreadable


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    write(tmp_path, "binary.py", b"\0\1\2")
    write(tmp_path, "latin.py", "é = 1\n".encode("latin-1"))
    write(tmp_path, "huge.py", b"#" * (tree.MAX_TEXT + 1))
    write(tmp_path, "docker-compose.yml", b"#" * (tree.MAX_TEXT + 1))
    write(tmp_path, "main.py", APP)
    os.mkfifo(tmp_path / "pipe.py")
    findings = inspect(tmp_path)
    assert [s.role for s in findings.services] == ["api"]
    said = "\n".join(findings.skipped)
    assert "`binary.py`: not text" in said
    assert "`latin.py`: not UTF-8" in said
    assert "`huge.py`: larger than 1 MB" in said
    assert [(p.id, p.file) for p in findings.problems if p.id == "C-87"] == [("C-87", "docker-compose.yml")]


def test_a_byte_order_mark_and_carriage_returns_are_fine(tmp_path: Path) -> None:
    write(tmp_path, "main.py", b"\xef\xbb\xbf" + APP.replace("\n", "\r\n").encode())
    (service,) = inspect(tmp_path).services
    assert service.evidence[0].line == 2


def test_names_with_control_characters_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "main.py", APP)
    write(tmp_path, "evil\x1b[31m.py", APP)
    findings = inspect(tmp_path)
    assert [s.entry_file for s in findings.services] == ["main.py"]
    assert all(line.isprintable() for line in findings.skipped)
    assert any("control characters" in line for line in findings.skipped)


def test_escape_sequences_in_values_never_come_out() -> None:
    compose_text = (
        'services:\n  "work\\e]0;owned\\ahorse":\n    image: acme/x\n    command: "python -m \\e[31mevil"\n'
    )
    docker = 'FROM python:3.12\nCOPY . .\nCMD ["uvicorn", "main:app", "--root-path", "/\\u001b[2J\u202e"]\n'
    out = str(found({"docker-compose.yml": compose_text, "Dockerfile": docker, "main.py": APP}).to_json())
    assert "\x1b" not in out
    assert "\\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("question", ["service.api", "service.web", "schema.method"])
def test_none_is_an_answer(question: str) -> None:
    package = '{"dependencies": {"next": "16.0.0"}}'
    texts = {
        "one/main.py": APP,
        "two/main.py": APP,
        "w/package.json": package,
        "v/package.json": package,
        "a.sql": "create table t (x int);",
        "alembic.ini": "[alembic]",
    }
    asked = {q.id for q in found(texts).questions}
    assert question in asked
    assert {q.id for q in found(texts, {question: "none"}).questions} == asked - {question}


def test_the_walk_is_bounded_and_says_so(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"f{number}.txt", "")
    write(tmp_path, "a/b/c/d/main.py", APP)
    write(tmp_path, "node_modules/x/main.py", APP)
    assert "more than 10 files" in "\n".join(scan(tmp_path, max_files=10).skipped)
    shallow = scan(tmp_path, max_depth=2)
    assert "`a/b/c`: deeper than 2 folders" in shallow.skipped
    assert not any("node_modules" in path for path in shallow)
    assert "by name: `node_modules`" in shallow.skipped


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    findings = inspect(tmp_path / "nowhere")
    assert findings.kind == "unsupported"
    assert findings.problems[0].blocking


def test_aliases_that_explode_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    read = compose.read("docker-compose.yml", "\n".join(lines))
    assert read.error == "too many or too deep values"


def test_an_alias_of_itself_is_stopped() -> None:
    assert compose.read("compose.yml", "services: &a\n  b: *a\n").error == "too many or too deep values"


@pytest.mark.parametrize(
    "text", ["services:\n  api: [\n", "\t\tx: y", "- a\n- b\n", "services: 7\n", "", "services:\n  api: null\n", "!!python/object/apply:os.system [ls]\n", "services:\n  ? [a]\n  : b\n"]
)  # fmt: skip
def test_odd_compose_files_never_raise(text: str) -> None:
    assert compose.read("docker-compose.yml", text).services == ()


def test_templates_are_named() -> None:
    text = "services:\n  {{ cookiecutter.name }}:\n    build: .\n"
    findings = found({"docker-compose.yml": text, "main.py": APP})
    assert [(p.id, p.line) for p in findings.problems if p.id == "C-86"] == [("C-86", 2)]


def test_braces_of_other_tools_are_no_template() -> None:
    text = "services:\n  api:\n    build: .\n    logging:\n      options:\n        tag: '{{.Name}}'\n"
    assert "C-86" not in {p.id for p in found({"docker-compose.yml": text, "main.py": APP}).problems}


def test_compose_merges_and_defaults() -> None:
    text = "x-base: &base\n  build: ./backend\nservices:\n  api:\n    <<: *base\n    ports: ['${APP_PORT:-8000}:${INNER:-8080}']\n"
    (service,) = compose.read("docker-compose.yml", text).services
    assert (service.context, service.dockerfile, service.ports) == (
        "backend",
        "backend/Dockerfile",
        ((8080, 6),),
    )


def test_paths_out_of_the_repository_are_none() -> None:
    (service,) = compose.read("docker-compose.yml", "services:\n  api:\n    build: ../elsewhere\n").services
    assert service.context is None
    assert compose.join("a/b", "../../c") == "c"
    assert compose.join("a", "../../c") is None


def test_a_python_file_with_a_syntax_error_is_named_where_it_matters() -> None:
    texts = {
        "main.py": "def broken(:\n",
        "Dockerfile": 'FROM python:3.12\nCOPY . .\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0"]\n',
    }
    problems = found(texts).problems
    assert [(p.id, p.line, p.blocking) for p in problems if p.id == "C-87"] == [("C-87", 1, True)]


def test_deep_nesting_does_not_end_the_program() -> None:
    assert python_source.read("a.py", "(" * 5000 + ")" * 5000).error
    assert nextjs.read_package("package.json", "[" * 100_000).error
    assert flytoml.read("fly.toml", "a = " + "[" * 5000).error
    assert compose.read("compose.yml", "[" * 5000).error


def test_decoys_and_tests_are_not_services() -> None:
    findings = found(
        {"docs/app/main.py": APP, "archive/main.py": APP, "tests/test_app.py": APP, "main.py": APP}
    )
    assert [s.entry_file for s in findings.services] == ["main.py"]


def index_of(*paths: str, version: int = 2) -> bytes:
    out = b"DIRC" + struct.pack(">II", version, len(paths))
    for path in paths:
        entry = bytes(60) + struct.pack(">H", len(path)) + path.encode()
        out += entry + bytes(8 - len(entry) % 8)
    return out + bytes(20)


def test_tracked_secret_files_are_told_by_name_only(tmp_path: Path) -> None:
    write(tmp_path, "main.py", APP)
    write(tmp_path, ".env", "OPENAI_API_KEY=sk-live-marked\nPORT=1\n")
    write(tmp_path, "deploy.pem", "x")
    write(tmp_path, ".git/index", index_of(".env", "deploy.pem", "main.py"))
    said = [p for p in inspect(tmp_path).problems if p.id == "C-66"]
    assert [p.file for p in said] == [".env", "deploy.pem"]
    assert "1 secret-looking" in said[0].message
    assert "sk-live" not in str(said)
    write(tmp_path, ".git/index", index_of("main.py"))
    assert not [p for p in inspect(tmp_path).problems if p.id == "C-66"]


@given(st.binary(max_size=200))
def test_no_index_raises(data: bytes) -> None:
    git_index.tracked(data)
    git_index.tracked(b"DIRC" + struct.pack(">II", 2, 3) + data)


def test_the_line_of_each_key() -> None:
    text = 'a = 1\n[x]\nb = """\n[not.a.table]\n"""\nc = [\n  1, # ]\n]\n"d e" = 2\n[[vm]]\nm = 1\n[[vm]]\nm = 2\n[vm.deep]\nz = 1\n[y.z]\nq.r = 1\n'
    lines = lines_of(text)
    assert lines[("a",)] == 1
    assert lines[("x", "b")] == 3
    assert lines[("x", "c")] == 6
    assert lines[("x", "d e")] == 9
    assert lines[("vm", 0, "m")] == 11
    assert lines[("vm", 1, "m")] == 13
    assert lines[("vm", 1, "deep", "z")] == 15
    assert lines[("y", "z", "q", "r")] == 17
    assert ("not", "a", "table") not in lines


ODD = st.text(alphabet="ab:={}[]()'\"\\\n\t #-&*!|>%@`$.,/\x00\x1b", max_size=80)


@settings(max_examples=150, deadline=None)
@given(ODD)
def test_no_reader_ever_raises(text: str) -> None:
    compose.read("compose.yml", text)
    dockerfile.read("Dockerfile", "FROM a AS b\n" + text).start()
    python_source.read("a.py", text)
    nextjs.read_package("package.json", text)
    nextjs.read_config("next.config.ts", text)
    nextjs.reads(text)
    sql.read("a.sql", text)
    flytoml.read("fly.toml", text)
    lines_of(text)
    parse(text)
    needs_shell(text)


@settings(max_examples=40, deadline=None)
@given(ODD)
def test_no_project_ever_raises(text: str) -> None:
    names = (
        "docker-compose.yml",
        "Dockerfile",
        "main.py",
        "package.json",
        "schema.sql",
        "fly.toml",
        "next.config.js",
        ".env",
        "requirements.txt",
        "pyproject.toml",
    )
    detect(Tree.of(dict.fromkeys(names, text)))
    detect(
        Tree.of(
            dict.fromkeys(names, text) | {"main.py": APP, "package.json": '{"dependencies": {"next": "16"}}'}
        )
    )


@pytest.mark.parametrize(
    ("command", "application", "module", "port"),
    [
        ("uvicorn src.main:app --host 0.0.0.0 --port 8000", "src.main:app", "src.main", 8000),
        ("uv run uvicorn app:create_app --factory --port=9000", "app:create_app", "app", 9000),
        ("sh -c 'alembic upgrade head && exec uvicorn a.b:app --port 80'", "a.b:app", "a.b", 80),
        ("python -m uvicorn a:app", "a:app", "a", None),
        ("gunicorn -k uvicorn.workers.UvicornWorker -b 0.0.0.0:8080 a:app", "a:app", "a", 8080),
        ("fastapi run app/main.py", None, "app/main.py", 8000),
        ("python -m src.workers.x", None, "src.workers.x", None),
        ("python -u worker.py", None, "worker.py", None),
        ("uvicorn a:app --port ${PORT}", "a:app", "a", None),
    ],
)
def test_start_commands(command: str, application: str | None, module: str, port: int | None) -> None:
    start = parse(command)
    assert (start.application, start.module, start.port) == (application, module, port)
