"""Owns asking public addresses, as a visitor would; in a rehearsal another address answers for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx

from flywizard.ports import AnotherFly

Edge: TypeAlias = Callable[[str], tuple[str, Mapping[str, str]]]
"""Maps a public URL to the URL that is really asked, and headers to send with it."""
MOST = 2 * 1024 * 1024
"""Bytes of a body that are read."""


class PublicWeb:
    """The ``Web`` port. Redirects are not followed: for a health check one is an answer of its own."""

    def __init__(
        self,
        *,
        edge: Edge | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        api: str = "",
    ) -> None:
        """Take another way to the addresses, and where Fly's API is when that is not Fly's own."""
        self._edge = edge
        self._transport = transport
        self._api = api if edge is None else ""

    async def get(self, url: str, timeout: float = 10.0) -> tuple[int, str, Mapping[str, str]]:
        """Return (status, text of the body up to 2 MB, headers with lower-case names).

        Raises:
            AnotherFly: there was none at an address of Fly's, and the API is somebody else's.
            OSError: there was no answer within ``timeout`` seconds, or the address can't be asked.
        """
        try:
            return await self._get(url, timeout)
        except OSError:
            if self._api and urlsplit(url).hostname and str(urlsplit(url).hostname).endswith(".fly.dev"):
                raise AnotherFly(self._api) from None
            raise

    async def _get(self, url: str, timeout: float) -> tuple[int, str, Mapping[str, str]]:
        target, extra = self._edge(url) if self._edge is not None else (url, {})
        headers = {"User-Agent": "flywizard", "Accept": "*/*", **extra}
        try:
            async with (
                httpx.AsyncClient(
                    transport=self._transport, timeout=timeout, follow_redirects=False
                ) as client,
                client.stream("GET", target, headers=headers) as answer,
            ):
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) >= MOST:
                        break
                text = bytes(body[:MOST]).decode(answer.charset_encoding or "utf-8", "replace")
                return answer.status_code, text, {k.lower(): v for k, v in answer.headers.items()}
        except httpx.TimeoutException:
            raise TimeoutError(f"no answer within {timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, LookupError) as error:
            raise OSError(str(error) or type(error).__name__) from None
