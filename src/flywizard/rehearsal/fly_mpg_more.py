"""The stand-in's `fly mpg databases` and `fly mpg users`: databases, their extensions, users."""

from __future__ import annotations

from flywizard.rehearsal.fly_core import Failure, Fly, Json, table
from flywizard.rehearsal.fly_mpg import get_cluster, need_macaroon, web

EXTENSION_KEYS = ("name", "description", "docs_url", "default_version", "is_system", "installed")


async def _cluster_id(fly: Fly, *, flag: bool = False) -> str:
    need_macaroon(fly)
    cluster_id = fly.flag("cluster") if flag else (fly.args[0] if fly.args else "")
    if not cluster_id:
        raise Failure("cluster ID must be specified when not running interactively")
    await get_cluster(fly, cluster_id)
    return cluster_id


async def _databases(fly: Fly, cluster_id: str) -> list[Json]:
    answer = await fly.uiex("GET", f"/postgresv2/{cluster_id}/databases", what="list databases")
    return list(answer.get("data") or [])


async def _database(fly: Fly, cluster_id: str) -> str:
    """`-d`, or the only database there is."""
    if name := fly.flag("database"):
        return name
    found = await _databases(fly, cluster_id)
    if len(found) != 1:
        raise Failure("database must be specified when not running interactively")
    return str(found[0]["name"])


async def databases_list(fly: Fly) -> None:
    """`fly mpg databases list`."""
    cluster_id = await _cluster_id(fly)
    found = [{"name": d["name"]} for d in await _databases(fly, cluster_id)]
    if fly.json_wanted:
        fly.print_json(found)
    else:
        fly.out(table([["NAME"], *([d["name"]] for d in found)]))


async def databases_create(fly: Fly) -> None:
    """`fly mpg databases create`."""
    cluster_id = await _cluster_id(fly)
    name = fly.flag("name")
    if not name:
        raise Failure("database name must be specified with --name flag when not running interactively")
    await fly.uiex(
        "POST", f"/postgresv2/{cluster_id}/databases", {"name": name}, what="create database", ok=(200, 201)
    )
    fly.print("Database created successfully!")
    fly.print(f"  Name: {name}")


async def extensions_list(fly: Fly) -> None:
    """`fly mpg databases extensions list`."""
    cluster_id = await _cluster_id(fly)
    database = await _database(fly, cluster_id)
    answer = await web(fly, "GET", f"/postgresv2/{cluster_id}/databases/{database}/extensions")
    if answer.status == 404:
        raise Failure(f"cluster {cluster_id} or database {database} not found")
    if answer.status != 200:
        raise Failure(f"failed to list extensions (status {answer.status}): {answer.text()}")
    found = [{k: e.get(k) for k in EXTENSION_KEYS} for e in (answer.json() or {}).get("data") or []]
    if fly.json_wanted:
        fly.print_json(found)
        return
    rows = [[str(e["name"]), str(e["default_version"]), "yes" if e["installed"] else "no"] for e in found]
    fly.out(table([["NAME", "VERSION", "ENABLED"], *rows]))


async def _change_extension(fly: Fly, method: str, done: str) -> None:
    name = fly.args[0] if fly.args else ""
    if not name:
        raise Failure("accepts 1 arg(s), received 0")
    cluster_id = await _cluster_id(fly, flag=True)
    database = await _database(fly, cluster_id)
    path = f"/postgresv2/{cluster_id}/databases/{database}/extensions"
    body: Json = None
    if method == "POST":
        body = {"name": name, "create_schema_if_needed": fly.on("create-schema")}
        if fly.flag("schema"):
            body["schema"] = fly.flag("schema")
    else:
        path += f"/{name}" + ("?force=true" if fly.on("force") else "")
    answer = await web(fly, method, path, body)
    if answer.status == 404:
        raise Failure(f"cluster {cluster_id} or database {database} not found")
    if answer.status not in (200, 201, 202, 204):
        text = answer.json()
        raise Failure(str(text.get("error")) if isinstance(text, dict) and "error" in text else answer.text())
    fly.print(f"Extension {name} {done} on database {database}.")


async def extensions_enable(fly: Fly) -> None:
    """`fly mpg databases extensions enable`: one that is enabled already is an error."""
    await _change_extension(fly, "POST", "enabled")


async def extensions_disable(fly: Fly) -> None:
    """`fly mpg databases extensions disable`."""
    await _change_extension(fly, "DELETE", "disabled")


async def users_list(fly: Fly) -> None:
    """`fly mpg users list`."""
    cluster_id = await _cluster_id(fly)
    answer = await fly.uiex("GET", f"/postgresv2/{cluster_id}/users", what="list users")
    found = [{"name": u["name"], "role": u["role"]} for u in answer.get("data") or []]
    if fly.json_wanted:
        fly.print_json(found)
    else:
        fly.out(table([["NAME", "ROLE"], *([u["name"], u["role"]] for u in found)]))


async def users_create(fly: Fly) -> None:
    """`fly mpg users create`."""
    cluster_id = await _cluster_id(fly)
    name, role = fly.flag("username"), fly.flag("role")
    if not name or not role:
        raise Failure("user name must be specified with --username flag when not running interactively")
    if role not in ("schema_admin", "writer", "reader"):
        raise Failure(f'invalid role "{role}". Must be one of: schema_admin, writer, reader')
    await fly.uiex(
        "POST",
        f"/postgresv2/{cluster_id}/users",
        {"user_name": name, "role": role},
        what="create user",
        ok=(200, 201),
    )
    fly.print("User created successfully!")
    fly.print(f"  Name: {name}")
    fly.print(f"  Role: {role}")
