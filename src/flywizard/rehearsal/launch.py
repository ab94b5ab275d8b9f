"""Owns starting a rehearsal: a copy of the repository, the platform's process, and an environment that leads to it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from flywizard.backstage import StandIns
from flywizard.rehearsal.faults import Faults
from flywizard.rehearsal.fly import install
from flywizard.rehearsal.platform import BROKER_REFUSES, PLATFORM
from flywizard.rehearsal.state import SERVER, StateFolder
from flywizard.rehearsal.world_tokens import new_token
from flywizard.state_folder import private_folder, state_root
from flywizard.vault import FINGERPRINT_KEY, EnvironmentVault, LayeredVault, MemoryVault, Secret

SPEED = 10.0
"""Simulated waits are divided by this: a first deployment takes about a minute."""
FASTEST = 10_000
START_LIMIT = 60.0
STAND_IN_PLACE = "a stand-in keyring, for this rehearsal only"
LEFT_OUT = frozenset({
    ".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".next", ".cache", ".pytest_cache",
    ".mypy_cache", ".ruff_cache", "dist", "coverage", ".turbo",
})  # fmt: skip
LARGEST = 20_000_000
MOST = 20_000


class RehearsalError(Exception):
    """A rehearsal cannot begin; says why in words."""


class StandInKeyring(MemoryVault):
    """Keeps a rehearsal's values; never the OS keyring."""

    place = STAND_IN_PLACE


@dataclass(slots=True)
class Rehearsal:
    """A platform that runs, and everything a wizard needs to use it."""

    root: Path
    """The copy of the repository."""
    project_root: Path
    folder: Path
    environ: dict[str, str]
    server: Mapping[str, Any]
    broker_port: int
    no_database: str
    """Why there is no real Postgres, or empty."""
    speed: float
    vault: LayeredVault
    stand_ins: StandIns

    def edge(self, url: str) -> tuple[str, Mapping[str, str]]:
        """Return where ``https://APP.fly.dev/…`` is answered: on the World's loopback edge."""
        rest = url.removeprefix("https://")
        host, _, path = rest.partition("/")
        return f"{self.server['edge_url']}/{path}", {"Host": host}

    def public(self, url: str, health: str) -> str:
        """Return the loopback address of a service, at a path that answers."""
        app = url.removeprefix("https://").partition(".")[0]
        return f"{self.server['edge_url']}/{app}{health}"

    def stop(self) -> None:
        """End the platform's process."""
        pid = int(self.server["pid"])
        try:
            os.kill(pid, 15)
        except OSError:
            return
        _wait_until(lambda: not _alive(pid), 15.0)

    def control(self, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask (or tell) the World; returns its summary."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", int(self.server["port"]), timeout=10)
        try:
            headers = {"x-rehearsal-token": str(self.server["control"]), "Content-Type": "application/json"}
            if body is None:
                connection.request("GET", "/_world", headers=headers)
            else:
                connection.request("POST", "/_world", json.dumps(body), headers)
            return dict(json.loads(connection.getresponse().read()))
        finally:
            connection.close()


def example(target: Path) -> Path:
    """Put the bundled example project into ``target``; return its folder."""
    found = files("flywizard").joinpath("examples", "helpdesk")
    if not found.is_dir():
        beside = Path(__file__).resolve().parents[3] / "examples" / "helpdesk"
        if not beside.is_dir():
            raise RehearsalError("the example project is missing from this installation")
        return beside
    with as_file(found) as path:
        place = target / "helpdesk"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(path, place)
        return place


def check_faults(texts: Sequence[str]) -> None:
    """Refuse an unknown fault before anything is started.

    Raises:
        ValueError: unknown name or place, with the valid ones.
    """
    Faults([text for text in texts if text != BROKER_REFUSES])


def copy_repository(source: Path, target: Path) -> None:
    """Copy a repository without ignored folders, ``.env`` files, links and very large files.

    Raises:
        RehearsalError: there is no such folder, or it is too large.
    """
    if not source.is_dir():
        raise RehearsalError(f"there is no folder `{source}`")
    previous = target / "flywizard.toml"
    kept = (
        previous.read_text("utf-8")
        if previous.exists() and not (source / "flywizard.toml").exists()
        else None
    )
    generated = _generated(target)
    shutil.rmtree(target, ignore_errors=True)
    count = 0
    for folder, names, filenames in os.walk(source):
        names[:] = sorted(n for n in names if n not in LEFT_OUT and not (Path(folder) / n).is_symlink())
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for filename in sorted(filenames):
            path = Path(folder) / filename
            example_file = filename in (".env.example", ".env.sample", ".env.template")
            if (filename.startswith(".env") and not example_file) or path.is_symlink() or not path.is_file():
                continue
            if path.stat().st_size > LARGEST:
                continue
            count += 1
            if count > MOST:
                raise RehearsalError(f"`{source}` has more than {MOST:,} files to copy")
            shutil.copyfile(path, place / filename)
    for name, text in generated.items():
        if not (source / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(text, "utf-8")
    if kept is not None:
        previous.write_text(kept, "utf-8")


def _generated(target: Path) -> dict[str, str]:
    """Return the files that an earlier rehearsal wrote into the copy, so that a second run finds them."""
    note = target.parent / "written.json"
    try:
        paths = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    found = {}
    for path in paths:
        try:
            found[str(path)] = (target / str(path)).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def remember_written(target: Path, paths: Sequence[str]) -> None:
    """Note which files the rehearsal wrote into the copy."""
    note = target.parent / "written.json"
    try:
        known = json.loads(note.read_text("utf-8"))
    except (OSError, ValueError):
        known = []
    note.write_text(json.dumps(sorted({*known, *paths})), "utf-8")


def begin(
    source: Path | None,
    environ: Mapping[str, str],
    *,
    speed: float | None = None,
    faults: Sequence[str] = (),
    reset: bool = False,
    flyctl: Path | None = None,
    topics: Sequence[str] = ("inbound-messages",),
) -> Rehearsal:
    """Start (or find again) the rehearsal of a repository; None: the example.

    Raises:
        RehearsalError: it cannot begin; nothing was started.
    """
    home = private_folder(state_root(environ) / "rehearsals")
    if source is None:
        source = example(home)
    source = source.resolve()
    folder = private_folder(home / _folder_name(source))
    if reset:
        _end_running(folder)
        for name in ("written.json", "repository"):
            place = folder / name
            shutil.rmtree(place, ignore_errors=True)
            place.unlink(missing_ok=True)
        shutil.rmtree(folder / "state", ignore_errors=True)
    root = folder / "repository" / source.name
    copy_repository(source, root)
    server, platform = _platform(folder / "world", speed or SPEED, list(faults), reset, list(topics))
    broker_port = int(platform["broker_port"])
    bin_dir = folder / "bin"
    python = sys.executable
    if flyctl is None:
        install(bin_dir, python)
    else:
        from flywizard.rehearsal.shim import install_shim

        install_shim(bin_dir, flyctl, python)
    url = str(server["url"])
    token = _token(folder)
    child = {
        **{k: v for k, v in environ.items() if not k.startswith("FLY_") and k not in ("FLYCTL_INSTALL",)},
        "PATH": f"{bin_dir}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "FLYCTL_INSTALL": str(bin_dir.parent),
        "FLY_API_BASE_URL": url,
        "FLY_FLAPS_BASE_URL": url,
        "FLY_UIEX_BASE_URL": url,
        "FLY_METRICS_BASE_URL": url,
        "FLY_CONFIG_DIR": str(private_folder(folder / "fly")),
        "FLY_API_TOKEN": token,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "FLYWIZARD_REHEARSAL_SPEED": f"{server['speed']:g}",
        "FLYWIZARD_STATE_DIR": str(private_folder(folder / "state")),
    }
    keyring = StandInKeyring({FINGERPRINT_KEY: Secret("0" * 64)})
    rehearsal = Rehearsal(
        root, source, folder, child, server, broker_port, str(platform["database"]),
        float(server["speed"]), LayeredVault(EnvironmentVault(environ), keyring),
        stand_ins(str(platform.get("existing", ""))),
    )  # fmt: skip
    if not faults:
        rehearsal.control({"faults": []})  # switches of an earlier rehearsal end with it
    return rehearsal


def stand_ins(existing: str = "") -> StandIns:
    """Return the rehearsal's answers for what only the user can know; the World accepts them.

    ``existing``: URL of a database that is there already, for those who choose to use one.
    """
    return StandIns(
        answers={
            "signin.organization": "acme",
            "broker.provider": "confluent",
            "broker.bootstrap": "pkc-00000.us-east4.gcp.confluent.cloud:9092",
        },
        secrets={
            "broker.username": Secret("rehearsal-key"),
            "broker.password": Secret("rehearsal-stand-in-secret"),
            **({"database.url": Secret(existing)} if existing else {}),
        },
    )


def _folder_name(source: Path) -> str:
    import hashlib

    return f"{source.name}-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}"


def _token(folder: Path) -> str:
    """Return the token of this rehearsal: one that the simulated Fly accepts and nobody else."""
    place = folder / "token"
    if not place.exists():
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("FlyV1 " + new_token())
    return place.read_text()


def _platform(
    folder: Path, speed: float, faults: list[str], reset: bool, topics: list[str]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    private_folder(folder)
    found = _running(folder)
    if found is not None and (reset or faults or found["speed"] != speed):
        _end_running(folder.parent)
        found = None
    if found is None:
        found = _start(folder, speed, faults, reset, topics)
    return found, json.loads((folder / PLATFORM).read_text("utf-8"))


def _running(folder: Path) -> Mapping[str, Any] | None:
    found = StateFolder(folder).read_server()
    if found is None or not _alive(int(found["pid"])) or not _answers(int(found["port"])):
        return None
    return found


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2.0):
            return True
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return True


def _end_running(folder: Path) -> None:
    found = StateFolder(private_folder(folder / "world")).read_server()
    if found is None or not _alive(int(found["pid"])):
        return
    try:
        os.kill(int(found["pid"]), 15)
    except OSError:
        return
    _wait_until(lambda: not _alive(int(found["pid"])), 20.0)


def _wait_until(condition: Any, limit: float) -> bool:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _start(
    folder: Path, speed: float, faults: list[str], reset: bool, topics: list[str]
) -> Mapping[str, Any]:
    for name in (SERVER, PLATFORM):
        (folder / name).unlink(missing_ok=True)
    argv = [
        sys.executable,
        "-m",
        "flywizard.rehearsal.platform",
        "--state",
        str(folder),
        "--speed",
        f"{speed:g}",
    ]
    argv += [word for fault in faults for word in ("--fault", fault)]
    argv += [word for topic in topics for word in ("--topic", topic)]
    argv += ["--reset"] if reset else []
    log = (folder / "platform.log").open("w")
    with log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    # it outlives us; without this an interpreter that goes on living would warn of it, and keep a zombie
    threading.Thread(target=child.wait, name="platform", daemon=True).start()
    if not _wait_until(lambda: (folder / SERVER).exists() or child.poll() is not None, START_LIMIT):
        child.kill()
    found = StateFolder(folder).read_server()
    if found is None:
        lines = (folder / "platform.log").read_text("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else "it said nothing"
        try:
            reason = str(json.loads(reason)["error"])
        except (ValueError, KeyError, TypeError):
            reason = reason[:300]
        raise RehearsalError(f"the simulated Fly.io did not start: {reason}")
    return found
