"""Owns the tests of the prerequisites: every failure has its own sentence and fix, and hides no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from flywizard.adapters.prerequisites import (
    TITLES,
    Prerequisites,
    Surroundings,
    find_flyctl,
    install_flyctl,
)
from flywizard.adapters.reachability import get_head, unreachable
from flywizard.fronts import Check
from flywizard.vault import EnvironmentVault, LayeredVault, VaultError
from tests.support.keyrings import FakeBackend

NOW = 1767323045.0
GOOD = """#!/bin/sh
echo '{"Name":"flyctl","Version":"0.4.87","Environment":"production"}'
"""


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


async def answering(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
    return 200, {"date": formatdate(NOW, usegmt=True)}


async def with_keyring(project: str, folder: Path, environ: Mapping[str, str]) -> LayeredVault:
    return LayeredVault(EnvironmentVault(environ), Keyring())


class Keyring:
    place = "Secret Service"

    def get(self, name: str) -> None:
        return None

    def set(self, name: str, value: object) -> None: ...

    def delete(self, name: str) -> None: ...

    def names(self) -> tuple[str, ...]:
        return ()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def around(home: Path, tmp_path: Path) -> Surroundings:
    program(tmp_path / "bin", "git", "#!/bin/sh\necho git version 2.47.1\n")
    program(home / ".fly" / "bin", "flyctl", GOOD)
    path = f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    environ = {"HOME": str(home), "PATH": path, "FLYWIZARD_STATE_DIR": str(tmp_path / "state")}
    return Surroundings(
        environ,
        platform="linux",
        now=lambda: NOW + 2,
        get=answering,
        route=lambda host, port: None,
        vault=with_keyring,
        free=lambda path: 10**10,
    )


async def run(around: Surroundings, **options: bool) -> dict[str, Check]:
    seen: list[Check] = []
    checks = await Prerequisites(around, **options).run(seen.append)
    assert [c.id for c in checks] == list(TITLES)
    for check in checks:
        states = [c.state for c in seen if c.id == check.id]
        assert states == ["running", check.state]
        assert check.text
        assert bool(check.fix) == (check.state in ("failed", "warn"))
    return {check.id: check for check in checks}


async def test_all_is_well(around: Surroundings) -> None:
    prerequisites = Prerequisites(around)
    checks = {c.id: c for c in await prerequisites.run(lambda check: None)}
    assert {c.id: c.state for c in checks.values() if c.state != "ok"} == {"wireguard": "skipped"}
    assert checks["flyctl"].text == "0.4.87 at `~/.fly/bin/flyctl`"
    assert checks["clock"].text == "within 2 s of Fly's"
    assert checks["git"].text == "2.47.1"
    assert prerequisites.flyctl == Path(around.environ["HOME"]) / ".fly/bin/flyctl"
    assert prerequisites.vault is not None
    assert prerequisites.vault.lasting


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "Not found"),
        ("#!/bin/sh\necho flyctl v0.4.79 linux/amd64\n", "version 0.4.79; flywizard needs 0.4.80"),
        ('#!/bin/sh\necho \'{"Version":"0.4.7"}\'\n', "needs 0.4.80"),
        (
            "#!/bin/sh\necho panic: runtime error >&2; exit 2\n",
            "ended with exit status 2: panic: runtime error",
        ),
        ("#!/bin/sh\nkill -SEGV $$\n", "was ended by signal 11"),
        ("#!/bin/sh\nprintf '\\033]0;owned\\007%%PDF-garbage \\377'\n", "no version"),
        ("#!/bin/sh\n", "no version"),
        ("#!/bin/sh\nexec sleep 60\n", "did not answer within"),
        ("\x7fELFbroken", "cannot be started"),
        ("#!/nowhere/at/all\n", "cannot be started"),
    ],
)
async def test_each_flyctl_has_its_sentence(
    around: Surroundings, home: Path, script: str | None, words: str
) -> None:
    flyctl = home / ".fly" / "bin" / "flyctl"
    flyctl.unlink()
    if script is not None:
        program(flyctl.parent, "flyctl", script)
    limits = {"flyctl": 0.3 if script and "sleep" in script else 10.0}
    check = (await run(replace(around, limits=limits)))["flyctl"]
    assert check.state == "failed"
    assert words in check.text
    assert "\x1b" not in check.text
    assert "https://fly.io/install.sh" in check.fix
    assert check.action == "install-flyctl"


async def test_on_windows_the_install_is_named_not_offered(around: Surroundings, home: Path) -> None:
    (home / ".fly" / "bin" / "flyctl").unlink()
    check = (await run(replace(around, platform="win32")))["flyctl"]
    assert "install.ps1" in check.fix
    assert check.action == ""


@pytest.mark.parametrize("version", ["0.4.80", "0.5.0", "1.0.0", "2026.8.21-pr5113.1"])
async def test_later_versions_pass(around: Surroundings, home: Path, version: str) -> None:
    program(home / ".fly" / "bin", "flyctl", f'#!/bin/sh\necho \'{{"version":"{version}"}}\'\n')
    assert (await run(around))["flyctl"].state == "ok"


def test_flyctl_is_found_in_its_places(tmp_path: Path) -> None:
    install, home, path = tmp_path / "install", tmp_path / "home", tmp_path / "path"
    environ = {"FLYCTL_INSTALL": str(install), "HOME": str(home), "PATH": f"relative{os.pathsep}{path}"}
    assert find_flyctl(environ) is None
    fly = program(path, "fly", GOOD)
    assert find_flyctl(environ) == fly
    flyctl = program(path, "flyctl", GOOD)
    assert find_flyctl(environ) == flyctl
    mine = program(home / ".fly" / "bin", "fly", GOOD)
    assert find_flyctl(environ) == mine
    there = program(install / "bin", "fly", GOOD)
    assert find_flyctl(environ) == there
    there.chmod(0o644)
    assert find_flyctl(environ) == mine
    assert find_flyctl({}) is None or find_flyctl({}) != mine


async def test_git_is_not_needed_to_go_on(around: Surroundings, tmp_path: Path) -> None:
    git = tmp_path / "bin" / "git"
    git.write_text("#!/bin/sh\nexit 1\n")
    assert (await run(around))["git"].state == "warn"
    git.unlink()
    environ = {**around.environ, "PATH": str(tmp_path / "bin")}
    check = (await run(replace(around, environ=environ, platform="darwin")))["git"]
    assert (check.state, check.fix) == ("warn", "Run `xcode-select --install`")


async def test_a_refused_keyring_is_a_choice(around: Surroundings) -> None:
    async def refused(project: str, folder: Path, environ: Mapping[str, str]) -> LayeredVault:
        return LayeredVault(
            EnvironmentVault(environ), None, VaultError("locked", "The keyring is locked", "Unlock it")
        )

    check = (await run(replace(around, vault=refused)))["keyring"]
    assert (check.state, check.fix) == ("warn", "Unlock it")
    assert "memory for this run only" in check.text


async def test_a_hanging_keyring_hides_no_other_check(around: Surroundings) -> None:
    from flywizard.adapters.keyring_store import open_vault

    backend = FakeBackend("slow")

    async def slow(project: str, folder: Path, environ: Mapping[str, str]) -> LayeredVault:
        return await open_vault(project, folder, environ, load=lambda: backend, limit=0.1)

    checks = await run(replace(around, vault=slow))
    backend.release.set()
    assert checks["keyring"].state == "warn"
    assert "does not answer" in checks["keyring"].text
    assert checks["flyctl"].state == "ok"


async def test_a_check_that_crashes_or_hangs_is_only_its_own(around: Surroundings) -> None:
    async def broken(project: str, folder: Path, environ: Mapping[str, str]) -> LayeredVault:
        raise ZeroDivisionError("secret text")

    def hang(host: str, port: int) -> None:
        raise RuntimeError

    async def never(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
        await asyncio.Event().wait()
        raise AssertionError

    limits = {"api": -0.9, "clock": -0.9}
    checks = await run(replace(around, vault=broken, route=hang, get=never, limits=limits))
    assert checks["keyring"].text == "The check itself failed (ZeroDivisionError)"
    assert checks["wireguard"].state == "failed"
    assert "did not end" in checks["api"].text
    assert "did not end" in checks["clock"].text
    assert checks["flyctl"].state == "ok"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[Errno -2] Name or service not known", "was not found"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "not trusted"),
        ("no answer within 10 s", "gave no answer within 10 s"),
        ("[Errno 111] Connection refused", "cannot be reached ([Errno 111] Connection refused)"),
    ],
)
async def test_an_api_out_of_reach(around: Surroundings, said: str, words: str) -> None:
    async def failing(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
        raise OSError(said)

    checks = await run(replace(around, get=failing))
    assert checks["api"].state == "failed"
    assert words in checks["api"].text
    assert "`api.fly.io`" in checks["api"].text
    assert checks["clock"].state == "skipped"
    assert unreachable("h", said)[0] in checks["api"].text.replace("api.fly.io", "h")


async def test_one_of_two_hosts_out_of_reach_is_named(around: Surroundings) -> None:
    async def half(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
        if "machines" in url:
            raise OSError("refused")
        return await answering(url, limit)

    checks = await run(replace(around, get=half))
    assert "`api.machines.dev`" in checks["api"].text
    assert checks["clock"].state == "ok"


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (401, "ok"), (404, "ok"), (503, "warn"), (407, "failed")]
)
async def test_any_answer_will_do(around: Surroundings, status: int, state: str) -> None:
    async def get(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
        return status, {}

    checks = await run(replace(around, get=get))
    assert checks["api"].state == state
    assert checks["clock"].state == "skipped"


async def test_the_api_is_where_the_environment_says(around: Surroundings) -> None:
    asked = []

    async def get(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
        asked.append(url)
        return 200, {}

    base = {"FLY_API_BASE_URL": "http://u:pw123456@127.0.0.1:1", "FLY_FLAPS_BASE_URL": "http://127.0.0.1:2"}
    checks = await run(replace(around, get=get, environ={**around.environ, **base}))
    assert sorted(asked) == sorted(base.values())
    assert "pw123456" not in checks["api"].text


@pytest.mark.parametrize(
    ("off", "state", "words"),
    [
        (299, "ok", "within 4 min 59 s"),
        (-299, "ok", "within"),
        (301, "failed", "5 min 1 s ahead of"),
        (-86400, "failed", "24 h behind"),
    ],
)
async def test_clock(around: Surroundings, off: float, state: str, words: str) -> None:
    check = (await run(replace(around, now=lambda: NOW + off)))["clock"]
    assert check.state == state
    assert words in check.text


async def test_wireguard_is_only_said_where_it_is_known(around: Surroundings, home: Path) -> None:
    def nowhere(host: str, port: int) -> None:
        raise OSError(101, "Network is unreachable")

    assert "known only when a tunnel is tried" in (await run(around))["wireguard"].text
    check = (await run(replace(around, route=nowhere), wireguard_needed=True))["wireguard"]
    assert check.state == "warn"
    assert "Network is unreachable" in check.text
    assert "the database's tunnel needs it" in check.text
    for word, state in (("blocked", "warn"), ("ok", "ok")):
        environ = {**around.environ, "FLYWIZARD_WIREGUARD": word}
        assert (await run(replace(around, environ=environ)))["wireguard"].state == state
    (home / ".fly" / "config.yml").write_text("access_token: x\nwire_guard_websockets: true\n")
    assert (await run(replace(around, route=nowhere)))["wireguard"].state == "ok"


async def test_python_and_state(around: Surroundings, tmp_path: Path) -> None:
    assert (await run(replace(around, python=(3, 10, 2))))["python"].state == "failed"
    sizes: list[tuple[Callable[[Path], int], str]] = [
        (lambda path: 10**6, "failed"),
        (lambda path: 10**8, "warn"),
        (lambda path: 10**10, "ok"),
    ]
    for free, state in sizes:
        assert (await run(replace(around, free=free)))["state"].state == state
    (tmp_path / "file").write_text("")
    environ = {**around.environ, "FLYWIZARD_STATE_DIR": str(tmp_path / "file" / "x")}
    check = (await run(replace(around, environ=environ)))["state"]
    assert check.state == "failed"
    assert "cannot be used" in check.text


# --- installing ---------------------------------------------------------------------------------

SCRIPT = """echo "set up \\033[31m$FLYCTL_INSTALL"
mkdir -p "$FLYCTL_INSTALL/bin"
printf '#!/bin/sh\\necho hi\\n' > "$FLYCTL_INSTALL/bin/flyctl"
chmod +x "$FLYCTL_INSTALL/bin/flyctl"
echo "0%\r50%\r100%"
echo token FlyV1 fm2_abcdef >&2
env
"""


@pytest.fixture
def environ(tmp_path: Path, home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "FLYCTL_INSTALL": str(tmp_path / "install"),
        "MY_SECRET": "Zebra-77-Stripe",
    }


async def test_a_local_script_installs(environ: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "install.sh"
    script.write_text(SCRIPT)
    lines: list[str] = []
    done = await install_flyctl(
        lines.append, {**environ, "FLYWIZARD_INSTALL_SCRIPT": str(script)}, platform="linux"
    )
    assert done.ok
    assert done.path == tmp_path / "install/bin/flyctl"
    assert "100%" in lines
    assert "token ••••" in lines
    shown = "\n".join(lines)
    assert "\x1b" not in shown
    assert "Zebra" not in shown


async def test_the_official_script_is_fetched_whole_before_it_runs(
    environ: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "served.sh"
    script.write_text(SCRIPT)
    curl = '#!/bin/sh\necho "$@" > {0}/argv\ncat {1}\nexit {2}\n'
    environ["PATH"] = f"{tmp_path / 'bin'}:{environ['PATH']}"
    program(tmp_path / "bin", "curl", curl.format(tmp_path, script, 18))
    lines: list[str] = []
    done = await install_flyctl(lines.append, environ, platform="linux")
    assert (done.ok, done.path) == (False, None)
    assert "could not be fetched" in done.text
    assert not os.path.exists(tmp_path / "install")  # noqa: ASYNC240
    program(tmp_path / "bin", "curl", curl.format(tmp_path, script, 0))
    done = await install_flyctl(lines.append, environ, platform="darwin")
    assert done.ok
    assert "https://fly.io/install.sh" in (tmp_path / "argv").read_text()


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 3", "exit status 3"), ("true", "no flyctl was found"), ("sleep 60", "did not end within")],
)
async def test_a_script_that_fails(environ: dict[str, str], tmp_path: Path, script: str, words: str) -> None:
    (tmp_path / "s.sh").write_text(script)
    environ["FLYWIZARD_INSTALL_SCRIPT"] = str(tmp_path / "s.sh")
    done = await install_flyctl(
        lambda line: None, environ, platform="linux", limit=0.3 if "sleep" in script else 20
    )
    assert not done.ok
    assert words in done.text
    assert "by hand" in done.fix.lower()


async def test_what_is_missing_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    environ["PATH"] = str(tmp_path)
    done = await install_flyctl(lambda line: None, environ, platform="linux")
    assert done.text == "`curl` was not found."
    environ["FLYWIZARD_INSTALL_SCRIPT"] = str(tmp_path / "none.sh")
    done = await install_flyctl(lambda line: None, environ, platform="linux")
    assert done.text == "`none.sh` was not found."


async def test_on_windows_nothing_runs(environ: dict[str, str]) -> None:
    done = await install_flyctl(lambda line: None, environ, platform="win32")
    assert not done.ok
    assert "install.ps1" in done.fix


# --- over real HTTP -----------------------------------------------------------------------------


async def test_get_head_against_a_server() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 404 Not Found\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Length: 999\r\n\r\n"
        )
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        status, headers = await get_head(f"http://127.0.0.1:{port}/", 10)
        assert (status, headers["date"]) == (404, "Fri, 02 Jan 2026 03:04:05 GMT")
    with pytest.raises(OSError):
        await get_head(f"http://127.0.0.1:{port}/", 10)


def test_importing_it_loads_nothing_heavy() -> None:
    import sys

    code = (
        "import sys, flywizard.adapters.prerequisites as p; "
        "sys.exit(bool({'httpx', 'keyring', 'textual', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0
    )
