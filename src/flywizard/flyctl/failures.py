"""Owns the tables of how deploys and builds fail, by text: what it means and what is left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flywizard.flyctl.plaintext import plain_short


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of a table, or the row that matched."""

    code: str
    """Stable word, e.g. ``crash``; the same code may have several patterns."""
    pattern: str
    """Regular expression, case-insensitive; may name groups."""
    meaning: str
    left_behind: str = "nothing"
    again: bool = False
    """Repeating the same command may help."""


DEPLOY: tuple[Failure, ...] = (
    Failure(
        "config",
        r"strict validation failed|App configuration is not valid|failed loading app config|config file not found",
        "fly.toml is not valid",
    ),
    Failure("image", r'could not find image "(?P<image>[^"]*)"', "the image was never pushed, or is gone"),
    Failure("organization", r"failed to get organization \S+ \(status", "Fly refused to show the organisation", again=True),
    Failure("build", r"failed to fetch an image or build from source", "the build failed"),
    Failure("list", r"failed to list VMs even after retries", "Fly could not list the machines", again=True),
    Failure(
        "volume",
        r"failed to provision seed volumes|requires an unattached '[^']*' volume|needs volumes with name",
        "a volume could not be created",
        "addresses, and volumes made so far, which the next try uses",
    ),
    Failure(
        "release_create", r"failed to create release \(status", "Fly did not accept the release",
        "addresses and volumes", again=True,
    ),
    Failure(
        "release_status", r"failed to set release status to 'running'", "Fly did not start the release",
        "addresses, volumes and a pending release", again=True,
    ),
    Failure(
        "release_command_timeout",
        r"release_command machine (?P<machine>\S+) to finish running: timeout reached",
        "the release command did not end in time",
        "the release command's machine, still running",
    ),
    Failure(
        "release_command",
        r"machine (?P<machine>\S+) exited with non-zero status of (?P<status>\d+)|release command failed",
        "the release command failed; no machine of the app was touched",
        "a failed release, and addresses",
    ),
    Failure(
        "machine_create",
        r"error creating a new machine: failed to launch VM",
        "a machine could not be created",
        "machines of earlier process groups; perhaps a machine with a lease of five minutes",
    ),
    Failure(
        "looked_away",
        r"smoke checks for (?P<machine>\S+) failed: error getting machine",
        "Fly's API failed while flyctl looked at the machine; the app may be well",
        "the new version, running",
        again=True,
    ),
    Failure(
        "crash",
        r"smoke checks for (?P<machine>\S+) failed: the app appears to be crashing",
        "the process ends again and again",
        "the machine, restarting",
    ),
    Failure(
        "unhealthy",
        r"timeout reached waiting for health ?checks to pass for machine (?P<machine>[^\s:]+)",
        "the health check never passed",
        "the new version, unhealthy",
    ),
    Failure(
        "never_started", r"timeout reached waiting for machine's state to change", "the machine never started",
        "the machine",
    ),
    Failure(
        "lease", r"lease currently held by (?P<owner>[^\s,]+)",
        "another deploy holds the machine, or one that was cut off", "a failed release", again=True,
    ),
    Failure("prompt", r"yes flag must be specified when not running interactively", "flyctl asked a question"),
    Failure("machine_update", r"update failed: .*", "a machine could not be updated", "two versions side by side"),
    Failure("app", r'Could not find App|app not found', "the app does not exist, or not for this account"),
)  # fmt: skip
"""First match wins, on stderr and stdout together."""

BUILD: tuple[Failure, ...] = (
    Failure("cancelled", r"context canceled", "it was stopped"),
    Failure("no_engine", r"docker is unavailable to build the deployment image", "no Docker engine answers here"),
    Failure("no_dockerfile", r"app does not have a Dockerfile or buildpacks configured", "there is no Dockerfile in the build context"),
    Failure("dockerfile_path", r"dockerfile '(?P<path>[^']*)' not found", "the Dockerfile is not where it was looked for"),
    Failure(
        "syntax", r"dockerfile parse error on line (?P<line>\d+): (?P<detail>.*)",
        "the Dockerfile has a mistake",
    ),
    Failure("target", r'target stage "(?P<target>[^"]*)" could not be found', "no stage of the Dockerfile has this name"),
    Failure(
        "memory", r"(?:exit code: 137|non-zero code: 137)\b", "a step was killed, most often for want of memory",
    ),
    Failure(
        "step",
        r'process "(?P<command>.*)" did not complete successfully: exit code: (?P<status>\d+)'
        r"|The command '(?P<command2>.*)' returned a non-zero code: (?P<status2>\d+)",
        "a step of the Dockerfile failed; its last lines say why",
    ),
    Failure(
        "copy",
        r'failed to calculate checksum of ref \S+ "(?P<path>[^"]*)": not found'
        r"|COPY failed: file not found in build context or excluded by \.dockerignore: stat (?P<path2>[^:]*)",
        "COPY names a file that is missing or ignored",
    ),
    Failure(
        "base_image",
        r"(?P<image>\S+): failed to resolve source metadata|pull access denied for (?P<image2>[^,\s]+)",
        "the base image does not exist or its registry is out of reach",
    ),
    Failure(
        "push_denied",
        r"failed to push \S+: (?:denied|.*401 Unauthorized)|you are not authorized to push"
        r"|unauthorized: authentication required",
        "the token may not push to this app's repository",
    ),
    Failure(
        "push", r"failed to push |error rendering push status stream|error pushing image to registry",
        "the image could not be pushed", again=True,
    ),
    Failure(
        "builder_gone",
        r"code = Unavailable|Unavailable: error reading from server|error rendering build status stream: unexpected EOF",
        "the builder went away in the middle of the build", again=True,
    ),
    Failure("depot_refused", r"ensure depot builder failed, please try again \(status (?P<status>\d+)\)", "Fly gave no builder", again=True),
    Failure(
        "builder_unreachable",
        r"failed to send first heartbeat|failed to create buildkit client|failed probing|remote builder app unavailable",
        "the builder is out of reach", again=True,
    ),
    Failure("engine", r"error building with docker|error fetching docker server info", "the Docker engine has trouble of its own"),
    Failure("depot", r"error building: (?:unknown|unavailable): (?P<detail>.*)", "the build service failed", again=True),
)  # fmt: skip


def match(table: tuple[Failure, ...], text: str) -> tuple[Failure, dict[str, str]] | None:
    """Return the first row that matches, with its named groups, or None."""
    clean = plain_short(text)
    for row in table:
        if found := re.search(row.pattern, clean, re.IGNORECASE):
            groups = {key.rstrip("2"): value for key, value in found.groupdict().items() if value}
            return row, groups
    return None


def deploy_failure(text: str) -> tuple[Failure, dict[str, str]] | None:
    """Return why a deploy failed: a row of ``BUILD`` when its build failed, else one of ``DEPLOY``."""
    found = match(DEPLOY, text)
    if found is not None and found[0].code == "build":
        return match(BUILD, text) or found
    return found


def build_failure(text: str) -> tuple[Failure, dict[str, str]] | None:
    """Return why a build failed, or None when no row knows the text."""
    return match(BUILD, text) or match(DEPLOY, text)
