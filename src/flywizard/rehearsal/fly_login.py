"""The stand-in's `fly auth login` and `fly auth logout`: a browser login needs a terminal, as in the real one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
from datetime import UTC, datetime

from flywizard.rehearsal.fly_account import viewer_email
from flywizard.rehearsal.fly_core import Cut, Failure, Fly, Json
from flywizard.rehearsal.fly_settings import Tokens

NO_TERMINAL = (
    "fly auth login requires an interactive terminal. In headless environments, set FLY_API_TOKEN to a token"
    " created with `fly tokens create`"
)
FRAMES = "⣾⣽⣻⢿⡿⣟⣯⣷"
FRAME = 0.1
POLL = 1.0
LIMIT = 15 * 60.0
LOG_OUT = "mutation LogOut { logOut(input: {}) { ok } }"


async def login(fly: Fly) -> None:
    """`fly auth login`."""
    if fly.flag("email") or fly.flag("password"):
        token = await _by_password(fly)
    elif not fly.stdin_is_terminal:
        raise Failure(NO_TERMINAL)
    else:
        token = await _by_browser(fly)
    fly.settings.access_token = token
    now = datetime.fromtimestamp(fly.transport.time(), UTC)
    fly.settings.last_login = now.isoformat().replace("+00:00", "Z")
    fly.settings.save()
    fly.tokens = Tokens.parse(token)
    fly.print(f"successfully logged in as {await viewer_email(fly)}")


async def _by_password(fly: Fly) -> str:
    attributes = {"email": fly.flag("email"), "password": fly.flag("password"), "otp": fly.flag("otp")}
    status, body = await _post(fly, "/api/v1/sessions", {"data": {"attributes": attributes}})
    if status not in (200, 201):
        raise Failure("failed retrieving access token: incorrect email and password combination")
    return str(body["data"]["attributes"]["access_token"])


async def _post(fly: Fly, path: str, body: Json) -> tuple[int, Json]:
    try:
        answer = await fly.send("api", "POST", path, body)
    except Cut as cut:
        raise Failure(fly.cut_text("api", "POST", path, cut)) from None
    return answer.status, answer.json() or {}


async def _by_browser(fly: Fly) -> str:
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    came: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def callback(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer_browser(reader, writer, state, came)

    server = await asyncio.start_server(callback, "127.0.0.1", 0)
    try:
        body = {
            "name": socket.gethostname(),
            "signup": False,
            "target": "auth",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": state,
            "redirect_port": server.sockets[0].getsockname()[1],
        }
        status, session = await _post(fly, "/api/v1/cli_sessions", body)
        if status != 201:
            raise Failure(f"failed to create a login session (status {status})")
        fly.eprint(
            f"failed opening browser. Copy the url ({session['auth_url']}) into a browser and continue\n"
        )
        if session.get("pkce"):
            return await _redeem(fly, str(session["id"]), verifier, came)
        return await _poll(fly, str(session["id"]))
    finally:
        server.close()


async def _answer_browser(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: str, came: asyncio.Future[str]
) -> None:
    from urllib.parse import parse_qs, urlsplit

    words = (await reader.readline()).decode("latin-1").split()
    query = parse_qs(urlsplit(words[1]).query) if len(words) > 1 else {}
    good = query.get("state") == [state] and bool(query.get("code"))
    text = b"Signed in! You can close this tab and return to your terminal." if good else b"Bad request"
    head = f"HTTP/1.1 {'200 OK' if good else '400 Bad Request'}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + text)
    await writer.drain()
    writer.close()
    if good and not came.done():
        came.set_result(query["code"][0])


async def _redeem(fly: Fly, session: str, verifier: str, came: asyncio.Future[str]) -> str:
    while True:
        fly.err("paste code here if prompted > ")
        typed = asyncio.ensure_future(_typed(fly))
        try:
            await asyncio.wait({typed, came}, return_when=asyncio.FIRST_COMPLETED)
            code = came.result() if came.done() else typed.result().strip()
        finally:
            typed.cancel()
        if came.done():
            fly.err("\r\x1b[K")
        status, body = await _post(
            fly, f"/api/v1/cli_sessions/{session}/redeem", {"code": code, "code_verifier": verifier}
        )
        if status == 200:
            return str(body["access_token"])
        if status == 404:
            raise Failure("login session expired")
        fly.eprint(f"That code didn't work (failed to redeem login code: {body.get('error', '')}).")


async def _typed(fly: Fly) -> str:
    if fly.read_line is None:
        raise Failure(NO_TERMINAL)
    return await fly.read_line()


async def _poll(fly: Fly, session: str) -> str:
    """Polls every second; a signal here ends with the text of the last poll."""
    spinner = asyncio.ensure_future(_spin(fly)) if fly.stdout_is_terminal else None
    last = ""
    begun = fly.transport.now()
    token = ""
    try:
        while not token:
            if fly.transport.now() - begun > LIMIT:
                raise Failure("Login expired, please try again")
            try:
                answer = await fly.send("api", "GET", f"/api/v1/cli_sessions/{session}")
                body = answer.json() if answer.status == 200 else None
                token = str(body.get("access_token") or "") if isinstance(body, dict) else ""
                last = "not found" if answer.status == 404 else json.dumps(body)
            except Cut as cut:
                last = cut.reason
            if not token:
                await fly.transport.sleep(POLL)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not fly.transport.interrupted or task is None:
            raise
        task.uncancel()
        fly.transport.interrupted = ""
        raise Failure(last) from None
    finally:
        if spinner is not None:
            spinner.cancel()
    if fly.stdout_is_terminal:
        fly.err("\x1b[?25h\r\x1b[KWaiting for session... Done\n")
    return token


async def _spin(fly: Fly) -> None:
    fly.err("\x1b[?25l")
    index = 0
    while True:
        fly.err(f"\r\x1b[K\rWaiting for session...{FRAMES[index % len(FRAMES)]}")
        index += 1
        await asyncio.sleep(FRAME)


async def logout(fly: Fly) -> None:
    """`fly auth logout`: the request carries the environment's token too."""
    if fly.tokens.present:
        await fly.gql_named("LogOut", LOG_OUT, {})
    fly.settings.access_token = ""
    fly.settings.last_login = ""
    fly.settings.save()
    for name in ("FLY_ACCESS_TOKEN", "FLY_API_TOKEN"):
        if fly.env.get(name):
            fly.err(f"${name} is set in your environment; don't forget to remove it.")
            break
