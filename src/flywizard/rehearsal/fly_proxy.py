"""The stand-in's tunnels: `mpg proxy` leads to the rehearsal's Postgres; `proxy` and `ssh console` say that they cannot.

The real ones go through WireGuard, which a rehearsal does not have.
"""

from __future__ import annotations

import asyncio

from flywizard.rehearsal.fly_core import Answer, Canceled, Cut, Failure, Fly
from flywizard.rehearsal.fly_mpg import get_cluster, need_macaroon

CHUNK = 65536


async def private(fly: Fly, method: str, path: str, body: object | None = None) -> Answer:
    """One request of the rehearsal's own paths (`/_db`, `/_builder`), which Fly does not have.

    Raises:
        Failure: there is no answer.
    """
    headers = {"Authorization": fly.tokens.header("api")}
    try:
        status, answer_headers, raw = await fly.transport.request("api", method, path, body, headers)
    except Cut as cut:
        raise Failure(fly.cut_text("api", method, path, cut)) from None
    return Answer(status, answer_headers, raw)


async def mpg_proxy(fly: Fly) -> None:
    """`fly mpg proxy`: a local port that leads to the cluster's database, until a signal comes."""
    need_macaroon(fly)
    if not fly.args:
        raise Failure("cluster ID must be specified when not running interactively")
    cluster = fly.args[0]
    await get_cluster(fly, cluster)
    answer = await private(fly, "GET", f"/_db/{cluster}")
    place = answer.json() or {}
    if answer.status != 200 or not place.get("port"):
        raise Failure(f"no database answers for cluster {cluster} in this rehearsal")
    await relay(
        fly, str(place.get("host") or "127.0.0.1"), int(place["port"]), int(fly.flag("local-port", "16380"))
    )


async def relay(fly: Fly, host: str, port: int, local: int) -> None:
    """Relays TCP connections from a local port.

    Raises:
        Failure: the local port is taken.
        Canceled: a signal came.
    """
    bind = fly.flag("bind-addr", "127.0.0.1")
    open_pipes: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            open_pipes.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()
            if task is not None:
                open_pipes.discard(task)

    try:
        server = await asyncio.start_server(serve, bind, local)
    except OSError:
        raise Failure(f"listen tcp {bind}:{local}: bind: address already in use") from None
    shown = server.sockets[0].getsockname()[1]
    fly.print(f"Proxying localhost:{shown} to remote [{host}]:{port}")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not fly.transport.interrupted:
            raise
        raise Canceled from None
    finally:
        server.close()
        for pipe in open_pipes:
            pipe.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies one direction until its end."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def proxy(fly: Fly) -> None:
    """`fly proxy`: not in a rehearsal."""
    raise Failure("a rehearsal has no private network: `fly proxy` leads nowhere here")


async def console(fly: Fly) -> None:
    """`fly ssh console`: not in a rehearsal."""
    raise Failure("a rehearsal has no private network: use `fly machine exec` instead of `fly ssh console`")
