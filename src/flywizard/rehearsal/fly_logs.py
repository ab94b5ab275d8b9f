"""The stand-in's `fly logs`: polls the logs endpoint, prints concatenated JSON objects or coloured lines.

With `--no-tail` it ends after the first page that is not empty, and so never when there is nothing.
"""

from __future__ import annotations

from flywizard.rehearsal.fly_core import Cut, Failure, Fly, Json

COLOURS = {"info": 34, "debug": 35, "warning": 33, "warn": 33, "error": 31, "fatal": 31}
EMPTY_PAUSE = 0.128
ERROR_PAUSE = 2.5


def _entry(raw: Json) -> Json:
    a = raw.get("attributes") or {}
    meta = a.get("meta") or {}
    http = meta.get("http") or {}
    request, response = http.get("request") or {}, http.get("response") or {}
    error = meta.get("error") or {}
    return {
        "level": a.get("level") or "",
        "instance": a.get("instance") or "",
        "message": a.get("message") or "",
        "region": a.get("region") or "",
        "timestamp": a.get("timestamp") or "",
        "meta": {
            "Instance": meta.get("instance") or "",
            "Region": meta.get("region") or "",
            "Event": {"Provider": (meta.get("event") or {}).get("provider") or ""},
            "HTTP": {
                "Request": {
                    "ID": request.get("id") or "",
                    "Method": request.get("method") or "",
                    "Version": request.get("version") or "",
                },
                "Response": {"status_code": response.get("status_code") or 0},
            },
            "Error": {"Code": error.get("code") or 0, "Message": error.get("message") or ""},
            "URL": {"Full": (meta.get("url") or {}).get("full") or ""},
        },
    }


def line(entry: Json) -> str:
    """One entry as text, in flyctl's colours (which it keeps in pipes too)."""
    level = str(entry["level"])
    colour = COLOURS.get(level, 34)
    provider = entry["meta"]["Event"]["Provider"] or "app"
    return (
        f"\x1b[2m{entry['timestamp']}\x1b[0m {provider}[{entry['instance']}] \x1b[32m{entry['region']}\x1b[0m"
        f" [\x1b[{colour}m{level}\x1b[0m]{entry['message']}"
    )


async def page(
    fly: Fly, app: str, token: str, *, instance: str = "", region: str | None = None
) -> tuple[int, Json]:
    """One page of an app's logs: HTTP status and body.

    Raises:
        Failure: no answer.
    """
    query = "&".join(
        [
            *([f"instance={instance}"] if instance else []),
            f"next_token={token}",
            *([f"region={region}"] if region is not None else []),
        ]
    )
    path = f"/api/v1/apps/{app}/logs?{query}"
    try:
        answer = await fly.send("api", "GET", path)
    except Cut as cut:
        raise Failure(fly.cut_text("api", "GET", path, cut)) from None
    return answer.status, answer.json() or {}


async def logs(fly: Fly) -> None:
    """`fly logs`."""
    app = fly.app()
    token = ""
    machine = fly.flag("machine") or fly.flag("instance")
    while True:
        status, body = await page(fly, app, token, instance=machine, region=fly.region() or None)
        if status == 401:
            raise Failure("401 Unauthorized")
        if status == 404:
            raise Failure("404 Not Found")
        if status != 200:
            await fly.transport.sleep(ERROR_PAUSE)
            continue
        entries = [_entry(raw) for raw in body.get("data") or []]
        for entry in entries:
            if fly.json_wanted:
                fly.print_json(entry)
            else:
                fly.print(line(entry))
        token = (body.get("meta") or {}).get("next_token") or token
        if entries and fly.on("no-tail"):
            return
        await fly.transport.sleep(EMPTY_PAUSE)
