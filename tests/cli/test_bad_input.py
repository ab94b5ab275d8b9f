"""Bad input: each is a clear error with the way on, and nothing is changed or lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flywizard.adapters import backstage, prerequisites
from flywizard.cli import main
from tests.support.cli import Done, Fly, base, flywizard, inside, repository


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return repository(tmp_path)


@pytest.fixture
def untouched(fly: Fly, place: Path) -> Iterator[None]:
    """Check that a test changed nothing at Fly and nothing in the repository."""
    before, files = fly.changes(), _state(place)
    yield
    assert fly.changes() == before
    assert _state(place) == files


def _state(place: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


def clear(done: Done, code: int, *words: str) -> None:
    """Assert an exit code, the words, and that no error of our own shows."""
    assert done.code == code, done.both
    for word in words:
        assert word in done.both, f"{word!r} is not in\n{done.both}"
    assert "Traceback" not in done.both


def test_no_repository(fly: Fly, home: Path, tmp_path: Path) -> None:
    clear(
        inside("plan", "-C", str(tmp_path / "nowhere"), env=fly.answers(home)),
        2,
        "there is no folder",
        "hint:",
    )
    file = tmp_path / "a-file"
    file.write_text("x")
    clear(inside("plan", "-C", str(file), env=fly.answers(home)), 2, "there is no folder", "hint:")


def test_an_empty_repository(fly: Fly, home: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    before = fly.changes()
    for command in ("plan", "apply"):
        done = inside(
            command,
            "--no-input",
            *(["--yes"] if command == "apply" else []),
            env=fly.answers(home),
            cwd=empty,
        )
        clear(done, 6, "This folder is empty", "why: Start flywizard in the root")
    inspected = inside("inspect", env=base(home), cwd=empty)
    clear(inspected, 0, "unsupported", "hint:")
    assert fly.changes() == before
    assert list(empty.iterdir()) == []


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"services: [\n  not: closed", ("docker-compose.yml",)),
        (b"\xff\xfe\x00binary", ("docker-compose.yml",)),
    ],
    ids=["broken", "binary"],
)
def test_a_compose_file_that_cannot_be_read(
    content: bytes, words: tuple[str, ...], fly: Fly, home: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other")
    (other / "docker-compose.yml").write_bytes(content)
    done = inside("inspect", env=base(home), cwd=other)
    clear(done, 0, *words)
    if content.startswith(b"services"):
        planned = inside("plan", "--no-input", env=fly.answers(home), cwd=other)
        assert planned.code in (0, 3, 6), planned.both
        clear(planned, planned.code, *words)


TOML = """\
version = 1
name = "helpdesk"
organization = "acme"
region = "iad"

[database]
kind = "managed"
storage_gb = "ten"
colour = "blue"

[services.api]
role = "api"
app = "helpdesk-api"
port = "8000"
"""


@pytest.mark.parametrize("command", ["plan", "apply", "resume"])
def test_a_flywizard_toml_with_wrong_types_and_unknown_keys(
    command: str, fly: Fly, home: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other")
    (other / "flywizard.toml").write_text(TOML)
    done = inside(command, "--no-input", env=fly.answers(home), cwd=other)
    clear(done, 2, "flywizard.toml:8:", "flywizard.toml:9:", "colour", "flywizard.toml:14:")


@pytest.mark.parametrize(
    "content", [b"version = \n", b"\xff\xfe", b"version = 99\nname='x'\n"], ids=["syntax", "binary", "newer"]
)
def test_a_flywizard_toml_that_is_none(content: bytes, fly: Fly, home: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    (other / "flywizard.toml").write_bytes(content)
    clear(inside("plan", "--no-input", env=fly.answers(home), cwd=other), 2, "flywizard.toml")


@pytest.mark.usefixtures("untouched")
def test_no_token(fly: Fly, home: Path, place: Path) -> None:
    env = fly.answers(home)
    del env["FLY_API_TOKEN"]
    clear(inside("plan", "--no-input", env=env, cwd=place), 1, "✗ signed in", "hint:", "fly auth login")


@pytest.mark.usefixtures("untouched")
def test_an_expired_token(fly: Fly, home: Path, place: Path) -> None:
    fly.world(faults=["token-expired"])
    try:
        done = inside("plan", "--no-input", env=fly.answers(home), cwd=place)
    finally:
        fly.world(reset=True)
    clear(done, 1, "✗ signed in", "fly auth login")
    assert fly.env(home)["FLY_API_TOKEN"] not in done.both


@pytest.mark.usefixtures("untouched")
def test_an_organisation_of_somebody_else(fly: Fly, home: Path, place: Path) -> None:
    done = inside("plan", "--no-input", "--organization", "globex", env=fly.answers(home), cwd=place)
    clear(done, done.code, "this account has no `globex`", "`acme`")
    assert done.code in (1, 3)


@pytest.mark.usefixtures("untouched")
def test_a_name_that_is_taken(fly: Fly, home: Path, place: Path) -> None:
    fly.world(faults=["name-taken@helpdesk-api"])
    try:
        done = inside("apply", "--yes", "--no-input", env=fly.answers(home), cwd=place)
        other = inside(
            "plan", "--no-input", "--api-app", "helpdesk-api-acme", env=fly.answers(home), cwd=place
        )
    finally:
        fly.world(reset=True)
    clear(done, done.code, "✗ app helpdesk-api: the name is taken", "helpdesk-api-acme", "--api-app")
    assert done.code in (1, 3)
    clear(other, 0, "✓ app helpdesk-api-acme: the name is free")


@pytest.mark.usefixtures("untouched")
def test_a_region_without_managed_postgres(fly: Fly, home: Path, place: Path) -> None:
    done = inside("apply", "--yes", "--no-input", "--region", "jnb", env=fly.answers(home), cwd=place)
    clear(done, 1, "Managed Postgres in jnb: not offered there", "regions that have it: ")


@pytest.mark.usefixtures("untouched")
def test_a_region_that_is_none(fly: Fly, home: Path, place: Path) -> None:
    done = inside("plan", "--no-input", "--region", "xyz", env=fly.answers(home), cwd=place)
    clear(done, done.code, "xyz")
    assert done.code in (1, 3)


@pytest.mark.usefixtures("untouched")
def test_an_unknown_plan(fly: Fly, home: Path, place: Path) -> None:
    done = inside("apply", "--yes", "--no-input", "--database-plan", "huge", env=fly.answers(home), cwd=place)
    clear(done, 1, "there is no plan `huge`", "`basic`")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://app:wrong-Pa55word@127.0.0.1:9/app", ("127.0.0.1", "✗ ")),
        ("mysql://app:wrong-Pa55word@127.0.0.1/app", ("✗ ",)),
        ("not a url at all wrong-Pa55word", ("✗ ",)),
    ],
    ids=["refused", "scheme", "text"],
)
def test_a_database_url_that_does_not_work(
    url: str, words: tuple[str, ...], fly: Fly, home: Path, place: Path
) -> None:
    env = fly.answers(home, FLYWIZARD_SECRET_DATABASE_URL=url)
    done = inside("apply", "--yes", "--no-input", "--database", "existing", env=env, cwd=place)
    clear(done, 1, *words)
    assert "wrong-Pa55word" not in done.both


@pytest.mark.usefixtures("untouched")
def test_tls_on_a_plain_port(fly: Fly, home: Path, place: Path) -> None:
    done = inside(
        "apply", "--yes", "--no-input", "--broker-protocol", "SASL_SSL", env=fly.answers(home), cwd=place
    )
    clear(done, 1, "✗ TLS", "this port speaks Kafka without TLS")


def test_a_wrong_sasl_password(home: Path) -> None:
    done = flywizard("rehearse", "--plain", "--no-input", "--fault", "broker-refuses", env=base(home))
    clear(done, 1, "✗ Sign-in", "why:")
    assert not list(home.rglob("flywizard.toml"))


# the keyring


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("tests.support.os_keyrings.Locked", "The keyring is locked"),
        ("tests.support.os_keyrings.Slow", "The keyring does not answer"),
        ("keyring.backends.fail.Keyring", "This system offers no keyring"),
        ("keyring.backends.null.Keyring", "does not keep values safely"),
    ],
    ids=["locked", "slow", "absent", "keeps-nothing"],
)
@pytest.mark.usefixtures("untouched")
def test_without_a_keyring_the_user_says_where_values_are_kept(
    backend: str, words: str, fly: Fly, home: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "other")
    (other / ".env").write_text(
        "OPENAI_API_KEY=sk-proj-Zx81kQmW7uLp4Tn9\nWEBHOOK_SECRET_KEY=q8Zk2mWx7pLr4NvKc9Yh\n"
    )
    env = fly.answers(home, PYTHON_KEYRING_BACKEND=backend, FLYWIZARD_TEST_KEYRING=str(tmp_path / "keys"))
    del env["FLYWIZARD_SECRET_OPENAI_API_KEY"], env["FLYWIZARD_SECRET_WEBHOOK_SECRET_KEY"]
    done = flywizard("plan", "--no-input", env=env, cwd=other)
    clear(
        done, 3, "! Keyring: ", words, "`--keep-secrets` or `FLYWIZARD_KEEP_SECRETS`", "never in plain text"
    )
    if "fail" not in backend:
        return  # the rest is the same for all
    stop = flywizard("plan", "--no-input", "--keep-secrets", "keyring", env=env, cwd=other)
    clear(stop, 3, words)
    agreed = flywizard("plan", "--no-input", "--keep-secrets", "memory", env=env, cwd=other)
    clear(agreed, 0, "memory, for this run only")
    kept = b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    assert b"Zx81kQmW7uLp4Tn9" not in kept
    assert b'"secrets.keep"' not in kept, "a consent for one run was kept for the next"


def test_a_keyring_keeps_what_was_given_once(fly: Fly, home: Path, tmp_path: Path) -> None:
    other = repository(tmp_path / "other")
    env = fly.answers(
        home,
        PYTHON_KEYRING_BACKEND="tests.support.os_keyrings.InFile",
        FLYWIZARD_TEST_KEYRING=str(tmp_path / "keys"),
    )
    given = {k: env.pop(k) for k in list(env) if k.startswith("FLYWIZARD_SECRET_")}
    words = [w for k in given for w in ("--secret", f"{k.removeprefix('FLYWIZARD_SECRET_')}=env:{k[10:]}")]
    first = flywizard(
        "plan", "--no-input", *words, env=env | {k[10:]: v for k, v in given.items()}, cwd=other
    )
    clear(first, 0, "✓ Sign-in")
    second = flywizard("plan", "--no-input", env=env, cwd=other)
    clear(second, 0, "✓ Sign-in", "✓ kept in")


# flyctl

FLYCTLS = {
    "too old": ('echo \'{"Version":"0.2.3"}\'', "0.2.3", "needs 0.4.80"),
    "crashing": ("echo 'panic: runtime error' >&2; exit 2", "panic: runtime error", "exit status 2"),
    "garbage": ("head -c 3000 /dev/zero | tr '\\0' '\\377'", "no version", "another program"),
    "killed": ("kill -9 $$", "signal 9", "replace it"),
    "empty": ("exit 0", "no version", "hint:"),
}


def _flyctl(folder: Path, script: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("fly", "flyctl"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("kind", [*FLYCTLS, "missing"])
def test_a_flyctl_that_cannot_be_used(kind: str, fly: Fly, home: Path, place: Path, tmp_path: Path) -> None:
    env = fly.answers(home)
    del env["FLYCTL_INSTALL"]
    script, *words = FLYCTLS.get(
        kind, ("", "Not found in its install places or on PATH", "fly.io/install.sh")
    )
    env["PATH"] = os.pathsep.join(
        [*([str(_flyctl(tmp_path / "bin", script))] if script else []), "/usr/bin", "/bin"]
    )
    done = inside("apply", "--yes", "--no-input", env=env, cwd=place)
    clear(done, done.code, "✗ flyctl: ", *words)
    assert done.code in (1, 3)
    assert "✓ Sign-in" in done.err, "one failure hid another check"


@pytest.mark.usefixtures("untouched")
def test_a_flyctl_that_hangs(
    fly: Fly,
    home: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process, with shorter limits."""
    env = fly.answers(home)
    del env["FLYCTL_INSTALL"]
    env["PATH"] = os.pathsep.join([str(_flyctl(tmp_path / "bin", "exec sleep 600")), "/usr/bin", "/bin"])
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(prerequisites, "LIMITS", dict(prerequisites.LIMITS) | {"flyctl": 0.3})
    monkeypatch.setattr(backstage, "ACCOUNT_LIMIT", 0.3)
    monkeypatch.chdir(place)
    code = main(["plan", "--no-input"])
    said = capfd.readouterr()
    done = Done(code, said.out, said.err)
    clear(done, 1, "✗ flyctl: ", "did not answer within", "✗ signed in", "hint:")


# the state directory


def test_a_state_directory_that_others_can_read(fly: Fly, home: Path, place: Path) -> None:
    state = home / "state"
    state.mkdir(mode=0o700)
    folder = state / "helpdesk"
    folder.mkdir()
    folder.chmod(0o755)
    done = inside("plan", "--no-input", env=fly.answers(home), cwd=place)
    clear(done, 1, "can be read by others", "chmod 0700")


def test_a_state_directory_that_is_a_link(fly: Fly, home: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (home / "state").mkdir(mode=0o700)
    (home / "state" / "helpdesk").symlink_to(tmp_path / "elsewhere")
    done = inside("plan", "--no-input", env=fly.answers(home), cwd=place)
    clear(done, 1, "symbolic link")


def test_a_file_in_place_of_the_state_directory(fly: Fly, home: Path, place: Path) -> None:
    (home / "state").write_text("")
    done = inside("plan", "--no-input", env=fly.answers(home), cwd=place)
    clear(done, 1, "state")


def test_a_disk_that_is_full_while_the_journal_is_written(fly: Fly, home: Path, place: Path) -> None:
    """A file-size limit stands in for a full disk: the journal's first records fit, later ones do not."""
    before = fly.changes()
    env = fly.answers(home)
    assert flywizard("plan", "--no-input", env=env, cwd=place).code == 0
    folder = home / "state" / "helpdesk"
    (folder / "journal.jsonl").write_text(
        '{"v":1,"time":"2026-01-02T03:04:05Z","kind":"note","text":"' + "x" * 8050 + '"}\n'
    )
    (folder / "journal.jsonl").chmod(0o600)
    limited = ("-c", "import resource,runpy,signal,sys\n"
               "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
               "sys.argv = ['flywizard', *sys.argv[3:]]\n"
               "runpy.run_module('flywizard', run_name='__main__', alter_sys=True)")  # fmt: skip
    done = flywizard("apply", "--yes", "--no-input", env=env, cwd=place, python=limited)
    clear(done, 1, "journal", "too large")
    assert fly.changes() == before
    text = (folder / "journal.jsonl").read_text()
    assert text.endswith("\n"), "half a record was left behind"


def test_a_journal_that_is_read_only(fly: Fly, home: Path, place: Path) -> None:
    before = fly.changes()
    env = fly.answers(home)
    assert inside("plan", "--no-input", env=env, cwd=place).code == 0
    journal = home / "state" / "helpdesk" / "journal.jsonl"
    journal.mkdir(mode=0o700)
    done = inside("apply", "--yes", "--no-input", env=env, cwd=place)
    clear(done, 1, "journal")
    assert fly.changes() == before


def test_a_state_directory_that_cannot_be_made(fly: Fly, home: Path, place: Path) -> None:
    (home / "a-file").write_text("in the way")
    env = {**fly.answers(home), "FLYWIZARD_STATE_DIR": str(home / "a-file" / "state")}
    clear(inside("plan", "--no-input", env=env, cwd=place), 1, "cannot make the folder", "Not a directory")


def test_a_journal_with_garbage_in_it(fly: Fly, home: Path, place: Path) -> None:
    env = fly.answers(home)
    assert inside("plan", "--no-input", env=env, cwd=place).code == 0
    journal = home / "state" / "helpdesk" / "journal.jsonl"
    journal.write_text('garbage\n{"v":1,"kind":"run"}\n')
    journal.chmod(0o600)
    done = inside("apply", "--yes", "--no-input", env=env, cwd=place)
    clear(done, 1, "line 1 is damaged", "a copy is in")


# another project's state


def test_a_state_folder_of_another_repository(fly: Fly, home: Path, tmp_path: Path) -> None:
    first, second = repository(tmp_path / "one"), repository(tmp_path / "two")
    env = fly.answers(home)
    assert inside("plan", "--no-input", env=env, cwd=first).code == 0
    done = inside("plan", "--no-input", env=env, cwd=second)
    clear(done, 2, "`helpdesk` is in use", str(first), "--name NAME")
    resumed = inside("resume", "--no-input", env=env, cwd=second)
    clear(resumed, 2, "`helpdesk` is in use")
    named = inside("plan", "--no-input", "--name", "second", env=env, cwd=second)
    clear(named, 0)
    assert inside("plan", "--no-input", env=env, cwd=first).code == 0
    assert "python" in sys.executable
