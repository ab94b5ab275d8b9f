"""Every recording of the real flyctl is replayed against the stand-in, or stands in the table of those left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_fly import RECORDINGS, Played, play, recording

MACHINE = re.compile(r"\b(9080123456\d{4})\b")
LEFT_OUT: dict[str, str] = {
    "build_buildkit_*": "a BuildKit daemon named by a hidden flag; the wizard never uses one",
    "build_classic_*": "a local Docker engine's classic builder (`--local-only`); the wizard builds remotely",
    "build_docker_*": "a local Docker engine with BuildKit (`--local-only`); the wizard builds remotely",
    "build_remote_loopback_*": "Fly's remote builder machine (`--depot=false`); the wizard keeps the default builder",
    "build_remote_only": "Fly's remote builder machine (`--depot=false`), which needs WireGuard",
    "build_depot_api_500": "a failure of Depot's own API, which a rehearsal does not have",
    "build_depot_builder_dies": "the builder's connection breaks in mid-build; a rehearsal's builder has no connection",
    "build_depot_push_unauthorized": "retries inside BuildKit, with their own times; `build_depot_push_denied` is replayed",
    "build_depot_rawjson_run_fails": "its lines carry the daemon's own digests; the form is tested in `test_fly_builds.py`",
    "build_depot_sigint_waiting": "a signal while Depot's builder is waited for; a rehearsal's builder is there at once",
    "build_depot_sigint*": "a signal between two given lines of a real daemon; tested in `test_fly_builds.py`",
    "deploy_again_bluegreen": "the wizard never asks for blue-green; its machines' states are Fly's own",
    "deploy_again_retries_2": "the second dialect of `--deploy-retries`; the wizard always passes 0",
    "deploy_machine_create_502_retry_body_lost": "a race inside flyctl's HTTP client that loses a request's body",
}
"""Patterns of recordings that are not replayed, each with the reason."""

NAMES = sorted(p.stem for p in RECORDINGS.glob("*.json"))
DEPLOY = ("deploy_", "secrets_deploy", "secrets_set_deployed", "secrets_import_deployed", "rollback_")
CONFIGS = {
    "whoami_from_config_file": 'access_token: FlyV1 TOKEN\nlast_login: "2025-12-31T00:00:00Z"\n',
    "whoami_no_last_login": "access_token: FlyV1 TOKEN\n",
    "whoami_stale_login": 'access_token: FlyV1 TOKEN\nlast_login: "2025-11-01T00:00:00Z"\n',
    "auth_logout": 'access_token: FlyV1 TOKEN\nlast_login: "2025-12-31T00:00:00Z"\n',
}
CUTS = {
    "offline_deploy": "dial tcp 127.0.0.1:9: connect: connection refused",
    "offline_regions": "dial tcp 127.0.0.1:9: connect: connection refused",
    "offline_whoami": "dial tcp 127.0.0.1:9: connect: connection refused",
    "dns_failure_whoami": "dial tcp: lookup no-such-host.invalid on 192.0.2.53:53: no such host",
}
REPEATED = re.compile(r"/lease\?ttl=13$|/logs\?|/wait\?")
"""Requests whose number depends on timing alone."""


def left_out(name: str) -> str:
    """The pattern under which a recording is left out; empty: it is replayed."""
    for pattern in LEFT_OUT:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return pattern
    return ""


REPLAYED = [n for n in NAMES if not left_out(n)]


def shape(name: str, text: str) -> Any:
    """Output in the form in which it is compared: what differs from run to run is taken out."""
    text = (
        re.sub(r"(\x1b\[2m)?2025-12-31T23:59:59\.\d+Z(\x1b\[0m)?", "TIME", text)
        if "logs" in name or "release_command" in name
        else text
    )
    text = re.sub(r"(?<=postgres:)\w+(?=@)|(?<=Password:    )\w+", "PGPASSWORD", text)
    text = re.sub(r"deployment-01[0-9A-Z]{24}", "deployment-01ULID", text)
    if name.startswith("auth_login_pty"):
        text = text.replace("\r\n", "\n").replace("^C", "").replace("\x03", "")
        return re.sub(r"(\r\x1b\[K\rWaiting for session\.\.\.[⣾⣽⣻⢿⡿⣟⣯⣷])+", "SPINNER", text)
    if name.startswith("build_depot"):
        blocks, rest = build_shape(text)
        return (
            blocks,
            [line for line in rest if not line.startswith(" * ")],
            {li for li in rest if li.startswith(" * ")},
        )
    if not name.startswith(DEPLOY):
        return text
    # Machines of several groups are updated at the same time: each machine's lines keep their order, and so do
    # the lines that belong to none. The numbers `[1/2]` go to machines by chance, and so does the plan's order.
    lines: dict[str, list[str]] = {}
    for line in re.sub(r"\[\d+/(\d+)\]", r"[n/\1]", text).split("\n"):
        owner = MACHINE.search(line)
        lines.setdefault(owner[1] if owner else "", []).append(line)
    plan = sorted(line for line in lines.get("", []) if line.startswith(" * "))
    # an empty line after a health count stands wherever the other group's line let it
    lines[""] = [plan.pop(0) if line.startswith(" * ") else line for line in lines.get("", []) if line]
    return lines


def build_shape(text: str) -> Any:
    """A build's output without what is a real daemon's own: numbers, order of independent steps, times, sizes."""
    text = re.sub(r"sha256:[0-9a-f]{64}", "DIGEST", text)
    text = re.sub(r"ref \w+::\w+", "ref REF", text)
    text = re.sub(r"image size: .*", "image size: SIZE", text)
    text = re.sub(r"( \d+\.\d+s)? done", " done", text)
    blocks: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    rest: list[str] = []
    for line in text.split("\n"):
        if line == "==> Building image":
            names = {}
        found = re.match(r"#(\d+) (.*)", line)
        if not found:
            rest.append(re.sub(r"^\d+\.\d+ ", "T ", line))
            continue
        number, said = found[1], found[2]
        if number not in names or said == names[number]:
            names[number] = said
            blocks.setdefault(said, [])
            continue
        said = re.sub(r"^\d+\.\d+ ", "T ", re.sub(r"DONE \d+\.\d+s", "DONE", said))
        said = re.sub(r"transferring (\w+): .*", r"transferring \1", said)
        block = blocks[names[number]]
        said = said.removesuffix(" done")
        if names[number].startswith("[internal]") and said == "CACHED":
            said = "DONE"
        if said == "DONE" and "DONE" in block:
            continue
        if said not in block:
            block.append(said)
    for name, block in blocks.items():
        if " FROM " in name or "WORKDIR" in name:
            block[:] = ["DONE" if line == "CACHED" else line for line in block]
        if "DONE" in block:
            block.remove("DONE")
            block.append("DONE")
    return blocks, [line for line in rest if line]


def changes(name: str, sent: list[Any]) -> list[str]:
    """The requests that change something, in a form that can be compared."""
    found = []
    for method, path, body in sent:
        if method == "GET" or REPEATED.search(path) or path.startswith("/_"):
            continue
        body = json.loads(json.dumps(body))
        if isinstance(body, dict):
            if "timings" in body:
                body["timings"] = sorted(body["timings"])
            if isinstance(body.get("final_image"), dict):
                body["final_image"] = sorted(body["final_image"])
            for key in ("redirect_port", "state", "code_challenge", "name"):
                if path.endswith("/cli_sessions"):
                    body.pop(key, None)
            body.pop("code_verifier", None)
            if path.endswith("/secrets") and name.startswith("postgres"):
                body["values"] = sorted(body["values"])
            if path == "/graphql":
                body["variables"] = (
                    None
                    if body["root"] in (["issueCertificate"], ["enablePostgresConsul"], ["apps"])
                    else body.get("variables") or None
                )
        text = json.dumps(body, sort_keys=True)
        found.append(re.sub(r"deployment-01[0-9A-Z]{24}", "deployment-01ULID", f"{method} {path} {text}"))
    return sorted(found)


def recorded_requests(found: dict[str, Any]) -> list[Any]:
    return [
        (e["method"], e["path"], e["request_body"])
        for e in found.get("exchange", [])
        for _ in range(int(e.get("repeat") or 1))
    ]


def run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], Played]:
    from tests.support.recorded_builds import build_spare, prepare_project
    from tests.support.recorded_fly import TOKEN

    found = recording(name)
    place = tmp_path / "empty"
    place.mkdir()
    monkeypatch.chdir(place)
    if name.startswith("build_"):
        prepare_project(tmp_path / "PROJECT")
    played = play(
        found,
        tmp_path,
        config=CONFIGS.get(name, "").replace("TOKEN", TOKEN),
        spare=build_spare(found) if name.startswith("build_") else lambda *_: None,
        change=lambda t: setattr(t, "cut", CUTS.get(name, "")),
    )
    return found, played


@pytest.mark.parametrize("name", REPLAYED)
def test_the_stand_in_does_what_flyctl_did(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, played = run(name, tmp_path, monkeypatch)
    if name.startswith("offline") or name.startswith("dns"):
        base = found["env"]["FLY_API_BASE_URL"]
        played.stderr = played.stderr.replace("http://fly.test", base)
    expected_code = -9 if found["exit_code"] is None else found["exit_code"]
    if found.get("pty"):
        assert shape(name, played.both) == shape(name, found["terminal"] + (found["stdout"] or ""))
    else:
        assert shape(name, played.stdout) == shape(name, found["stdout"])
        assert shape(name, played.stderr) == shape(name, found["stderr"])
    assert played.code == expected_code
    if name.startswith("build_") and len(found["exchange"]) < 7:
        return  # only the last request of these was kept
    if found.get("signal") or found["exit_code"] is None or name in CUTS:
        return  # what was in flight when it ended was not kept
    assert changes(name, played.sent) == changes(name, recorded_requests(found))
    gets = {p for m, p, _ in played.sent if m == "GET" and "/logs?" not in p and "/_" not in p}
    wanted = {p for m, p, _ in recorded_requests(found) if m == "GET" and "/logs?" not in p}
    if "lease_held" in name:
        wanted = {p for p in wanted if "state=destroyed" not in p}
    if found["exit_code"] == 127:
        gets, wanted = ({p for p in some if "/wait?" not in p} for some in (gets, wanted))
    assert gets == wanted


def test_no_recording_is_skipped_in_silence() -> None:
    for pattern in LEFT_OUT:
        stem = pattern.removesuffix("*")
        assert any(n.startswith(stem) if pattern.endswith("*") else n == stem for n in NAMES), pattern
    assert len(REPLAYED) >= 230
    assert readme() == (RECORDINGS / "README.md").read_text(encoding="utf-8")


def readme() -> str:
    """The text of `tests/recordings/README.md`, made from what is here."""
    table = "\n".join(
        f"| `{pattern}` | {sum(left_out(n) == pattern for n in NAMES)} | {reason} |"
        for pattern, reason in sorted(LEFT_OUT.items())
    )
    return (
        "# Recordings of flyctl 0.4.87\n\n"
        "One JSON file a scenario: a run of the real `flyctl` (production build, linux/amd64) against a simulated Fly API on\n"
        "loopback, with its command line, environment, input, output, exit code, and every request with its answer (`exchange`).\n"
        "`project/` holds the configuration files and Dockerfiles that the command lines name. The files are never edited.\n\n"
        "They show what flyctl prints, requests and exits with, not what Fly's servers answer.\n"
        "Substitutions: `http://fly.test` the APIs, `fm2_TOKEN` a token, `/PROJECT` the project, `PGPASSWORD` a password,\n"
        "`TRACE` a trace id; times begin at 2026-01-01T00:00:00Z.\n\n"
        f"`tests/rehearsal/test_recordings_fly.py` replays {len(REPLAYED)} of the {len(NAMES)} against the stand-in: same answers in, and output, exit code and\n"
        "requests are compared. This file is checked by the same test.\n\n"
        "## Left out\n\n| recordings | files | why |\n|---|---|---|\n" + table + "\n"
    )
