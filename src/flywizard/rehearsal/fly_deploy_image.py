"""The image step of a deploy: look an image up, or build one; once more when it fails, unless told not to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from flywizard.rehearsal.fly_config import AppConfig
from flywizard.rehearsal.fly_core import Canceled, Failure, Fly, Json

FIND_IMAGE = (
    "query ($appName: String!, $imageRef: String!) { app(name: $appName) { id image(ref: $imageRef) { id digest ref"
    " compressedSize: compressedSizeFull manifest } } }"
)
NO_STRATEGY = "no strategies resulted in an image"
NO_TIMES = {"build_and_push_ms": -1, "build_ms": -1, "builder_init_ms": -1, "context_build_ms": -1,
            "image_build_ms": -1, "push_ms": -1}  # fmt: skip


@dataclass(slots=True)
class Image:
    """What the image step gives: the reference, its size and the build's number."""

    ref: str
    build_id: int = 0
    id: str = ""
    size: int = 0


@dataclass(slots=True)
class Build:
    """One entry in Fly's book of builds; number 0 when it could not be made."""

    fly: Fly
    app: str
    id: int = 0
    kind: str = ""
    strategies: list[Json] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=lambda: dict(NO_TIMES))
    closed: bool = False

    async def begin(self, strategies: list[str]) -> None:
        """Opens the entry; a failure is only a warning."""
        body = {"app_name": self.app, "builder_type": "depot.dev", "strategies_available": strategies}
        try:
            answer = await self.fly.uiex("POST", "/builds", body, what="create build")
        except Failure as failure:
            text = failure.text.replace(
                "failed to create build (", "ensure depot builder failed, please try again ("
            )
            self.fly.warn(f"failed to create build in graphql: {text}")
        else:
            self.id = int(answer.get("id") or 0)

    async def finish(self, image: Image | None, error: str = "") -> None:
        """Closes the entry."""
        if not self.id or self.closed:
            return
        final = {"id": image.id, "size_bytes": image.size, "tag": image.ref} if image else {}
        body = {
            "build_id": self.id,
            "app_name": self.app,
            "machine_id": "",
            "status": "completed" if image else "failed",
            "strategies_attempted": self.strategies,
            "builder_meta": {
                "builder_type": self.kind,
                "buildkit_enabled": False,
                "docker_version": "",
                "platform": "",
                "remote_app_name": "",
                "remote_machine_id": "vm" if image and self.kind else "",
            },
            "final_image": final or {"id": "", "size_bytes": 0, "tag": ""},
            "timings": self.times,
            "logs": error,
        }
        try:
            await self.fly.uiex("POST", "/builds/finish", body, what="finish build")
        except Failure as failure:
            self.fly.warn(f"failed to finish build in graphql: {failure.text}")
        self.closed = True

    def interrupted(self) -> None:
        """Says that a signal kept the entry from being closed."""
        if self.id and not self.closed:
            url = self.fly.transport.url("uiex", "/api/v1/builds/finish")
            self.fly.warn(
                f'failed to finish build in graphql: Post "{url}": {self.fly.transport.interrupted}'
            )


async def image_step(fly: Fly, config: AppConfig, name: str, app: Json, directory: Path) -> Image:
    """The image to deploy.

    Raises:
        Failure: there is none, or it could not be built.
        Canceled: a signal came.
    """
    again = bool(fly.flags.get("https-failover", True))
    while True:
        fly.eprint("==> Building image")
        build = Build(fly, name)
        try:
            return await _attempt(fly, config, name, app, directory, build)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not fly.transport.interrupted or task is None:
                raise
            task.uncancel()
            fly.err("\n")
            build.interrupted()
            if again:
                fly.eprint("==> Building image")
            raise Canceled from None
        except Failure as failure:
            if fly.transport.interrupted:
                build.interrupted()
                if again:
                    fly.eprint("==> Building image")
                    raise Canceled from None
            if again:
                again = False
                continue
            raise failure.wrapped("failed to fetch an image or build from source: ") from None


async def _attempt(fly: Fly, config: AppConfig, name: str, app: Json, directory: Path, build: Build) -> Image:
    slug = (app.get("organization") or {}).get("slug", "")
    await fly.uiex("GET", f"/organizations/{slug}", what=f"get organization {slug}")
    section = config.definition.get("build") or {}
    ref = fly.flag("image") or str(section.get("image") or "")
    if ref:
        return await _find(fly, name, ref, build)
    from flywizard.rehearsal.fly_build import build_image

    return await build_image(fly, config, name, directory, build)


async def _find(fly: Fly, name: str, ref: str, build: Build) -> Image:
    await build.begin(["Local Image Reference", "Remote Image Reference"])
    build.strategies = [
        {
            "error": "",
            "note": "local docker daemon not available, skipping",
            "result": "failed",
            "strategy": "Local Image Reference",
        }
    ]
    fly.eprint(f"Searching for image '{ref}' remotely...")
    begun = fly.transport.now()
    found = ((await fly.gql(FIND_IMAGE, {"appName": name, "imageRef": ref})).get("app") or {}).get("image")
    spent = int((fly.transport.now() - begun) * 1000)
    build.times.update(build_and_push_ms=spent, build_ms=spent)
    if not found and not fly.env.get("DEPLOY_TRIGGER"):
        text = f'could not find image "{ref}"'
        note = "no image found and no error occurred"
        build.strategies.append(
            {"error": "", "note": note, "result": "failed", "strategy": "Remote Image Reference"}
        )
        await build.finish(None, NO_STRATEGY)
        raise Failure(text)
    found = found or {"id": "", "ref": ref, "compressedSize": "0"}
    fly.eprint(f"image found: {found['id']}")
    image = Image(str(found["ref"]), build.id, str(found["id"]), int(found.get("compressedSize") or 0))
    build.strategies.append(
        {"error": "", "note": "", "result": "success", "strategy": "Remote Image Reference"}
    )
    await build.finish(image)
    return image
