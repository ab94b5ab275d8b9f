r"""The stand-in's `fly secrets`: the real command's line parser, with all its losses, and its requests.

What is lost in silence (long lines, an unclosed triple quote, `\r` before a newline) is lost here too.
"""

from __future__ import annotations

from flywizard.rehearsal.fly_apps import app_compact
from flywizard.rehearsal.fly_core import Crash, Failure, Fly, Json

STAGED = (
    "Secrets have been staged, but not set on VMs. Deploy or update machines in this app for the secrets to"
    " take effect."
)
LONGEST_LINE = 65536
GO_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
"""White space in Go's sense, which is less than Python's."""
NO_PAIRS = "requires at least one SECRET=VALUE pair"


def _scan_lines(text: bytes) -> list[str]:
    r"""Lines as Go's scanner gives them: it stops for good at a line of 64 KiB, and drops one `\r` at the end."""
    lines: list[str] = []
    pieces = text.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    for piece in pieces:
        if len(piece) >= LONGEST_LINE:
            break
        lines.append(piece.removesuffix(b"\r").decode("utf-8", "replace"))
    return lines


def parse_lines(text: bytes) -> dict[str, str]:
    """What `secrets import` reads from its standard input.

    Raises:
        Failure: a line is no `NAME=VALUE` pair (its text is in the message, as in the real one).
        Crash: a value is one double quote.
    """
    found: dict[str, str] = {}
    name, parts, multi = "", [], False  # type: str, list[str], bool
    for line in _scan_lines(text):
        if multi:
            if line.endswith('"""'):
                parts.append(line[:-3])
                found[name] = "\n".join(parts)
                multi = False
            else:
                parts.append(line)
            continue
        if line.startswith("#") or not line.strip(GO_SPACE):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise Failure(
                "Failed to parse secrets from stdin: Secrets must be provided as NAME=VALUE pairs"
                f" ({line} is invalid)"
            )
        name = key.strip(GO_SPACE)
        before, hash_sign, _ = value.partition("#")
        if hash_sign and before.count('"') % 2 == 0:
            value = before.rstrip(" ")
        value = value.lstrip(" ")
        if value.startswith('"""'):
            if len(value) >= 6 and value.endswith('"""'):
                found[name] = value[3:-3]
            else:
                parts, multi = [value[3:]], True
            continue
        if value in ('"', "'"):
            raise Crash("runtime error: slice bounds out of range [1:0]")
        for quote in ('"', "'"):
            if value.startswith(quote) and value.endswith(quote) and len(value) > 1:
                value = value[1:-1]
                break
        found[name] = value
    return found


def parse_arguments(args: list[str], stdin: bytes) -> dict[str, str]:
    """`NAME=VALUE` words of `secrets set`; the value `-` is read from standard input and trimmed.

    Raises:
        Failure: a word is no pair, or standard input is too long.
    """
    found: dict[str, str] = {}
    for word in args:
        name, equals, value = word.partition("=")
        if not equals:
            raise Failure(
                f"could not parse secrets: Secrets must be provided as NAME=VALUE pairs ({word} is invalid)"
            )
        if value == "-":
            if len(stdin) > LONGEST_LINE:
                raise Failure(
                    f"error reading stdin for '{name}': Input exceeded max length of {LONGEST_LINE} bytes"
                )
            value = stdin.decode("utf-8", "replace").strip(GO_SPACE)
        found[name] = value
    return found


async def write(fly: Fly, app: str, values: dict[str, str | None]) -> None:
    """Sends new values (None removes) and remembers the version that the platform answers."""
    ordered = dict(sorted(values.items()))
    answer = await fly.flaps(
        "POST", f"/v1/apps/{app}/secrets", {"values": ordered}, what="failed to update app secrets"
    )
    fly.settings = type(fly.settings).load(fly.env)
    fly.settings.minvers[app] = int((answer or {}).get("version") or 0)
    fly.settings.save()


def secrets_path(fly: Fly, app: str) -> str:
    """The path that lists an app's secrets, with the version that was last written from here."""
    seen = fly.settings.minvers.get(app)
    return f"/v1/apps/{app}/secrets" + (f"?version={seen}" if seen else "")


async def _apply(fly: Fly, name: str, values: dict[str, str | None]) -> None:
    """Writes values and, unless they are only staged, restarts the machines with them."""
    try:
        await write(fly, name, values)
    except Failure as failure:
        raise failure.wrapped("update secrets: ") from None
    if fly.on("stage"):
        fly.print(STAGED)
        return
    machines = await fly.flaps("GET", f"/v1/apps/{name}/machines")
    if not machines:
        fly.print("Secrets are staged for the first deployment")
        return
    from flywizard.rehearsal.fly_deploy import restart_with_secrets

    await restart_with_secrets(fly, name)


async def importing(fly: Fly) -> None:
    """`fly secrets import`."""
    name = fly.app()
    await app_compact(fly, name)
    values: dict[str, str | None] = dict(parse_lines(fly.stdin))
    if not values:
        raise Failure(NO_PAIRS)
    await _apply(fly, name, values)


async def setting(fly: Fly) -> None:
    """`fly secrets set`."""
    name = fly.app()
    await app_compact(fly, name)
    values: dict[str, str | None] = dict(parse_arguments(fly.args, fly.stdin))
    if not values:
        raise Failure(NO_PAIRS)
    await _apply(fly, name, values)


async def unsetting(fly: Fly) -> None:
    """`fly secrets unset`: a name that is not there is no error."""
    name = fly.app()
    await app_compact(fly, name)
    if not fly.args:
        raise Failure("requires at least one SECRET name")
    await _apply(fly, name, dict.fromkeys(fly.args))


async def deploying(fly: Fly) -> None:
    """`fly secrets deploy`: restarts the machines with what is staged."""
    name = fly.app()
    await app_compact(fly, name)
    machines = await fly.flaps("GET", f"/v1/apps/{name}/machines")
    if not machines:
        raise Failure(
            "no machines available to deploy",
            more="'fly secrets deploy' will only work if the app has been deployed and there are machines available"
            "\n\nTry 'fly deploy' first",
        )
    await fly.flaps("GET", f"/v1/apps/{name}/machines")
    from flywizard.rehearsal.fly_deploy import restart_with_secrets

    await restart_with_secrets(fly, name)


def _status(secret: Json, machines: list[Json], releases: list[Json]) -> str:
    """`Deployed`, `Staged` or `Partial`: the secret's age against the releases that the machines run."""
    created = {str(r.get("version")): str(r.get("created_at") or "") for r in releases}
    running = [
        created.get(str((m.get("config") or {}).get("metadata", {}).get("fly_release_version")), "")
        for m in machines
    ]
    if not running:
        return "Staged"
    newer = [bool(at) and at >= str(secret.get("updated_at") or "") for at in running]
    return "Deployed" if all(newer) else "Partial" if any(newer) else "Staged"


async def listing(fly: Fly) -> None:
    """`fly secrets list`: names, digests and whether the machines have them."""
    name = fly.app()
    secrets = (await fly.flaps("GET", secrets_path(fly, name), what="failed to list secrets")).get(
        "secrets"
    ) or []
    machines = await fly.flaps("GET", f"/v1/apps/{name}/machines") or []
    releases: list[Json] = []
    if machines:
        answer = await fly.uiex("GET", f"/apps/{name}/releases?limit=20", what="list releases")
        releases = answer.get("releases") or []
    rows = [
        {"name": s["name"], "digest": s["digest"], "status": _status(s, machines, releases)} for s in secrets
    ]
    if fly.json_wanted:
        fly.print_json(rows)
        return
    from flywizard.rehearsal.fly_core import table

    fly.out(table([["NAME", "DIGEST", "STATUS"], *([r["name"], r["digest"], r["status"]] for r in rows)]))
