"""Owns asking whether something outside can be reached, and what it means when it cannot."""

from __future__ import annotations

from collections.abc import Mapping

from flywizard.adapters.deadline import off_loop


async def get_head(url: str, limit: float) -> tuple[int, Mapping[str, str]]:
    """Ask a URL over HTTP, through the user's proxies, and return status and headers.

    Raises:
        OSError: no answer; its text is what the network said.
    """
    await off_loop(limit, lambda: __import__("httpx"))  # 0.15 s that would stop the screen
    import httpx

    try:
        async with (
            httpx.AsyncClient(timeout=limit, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            return answer.status_code, {key.lower(): value for key, value in answer.headers.items()}
    except httpx.TimeoutException:
        raise TimeoutError(f"no answer within {limit:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(str(error) or type(error).__name__) from None


def udp_route(host: str, port: int) -> None:
    """Find a route for UDP without sending a packet.

    Raises:
        OSError: there is none, or the system forbids it.
    """
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))


def host_of(url: str) -> str:
    """Return host and port of a URL, without any sign-in in it."""
    return url.split("://", 1)[-1].split("/", 1)[0].rpartition("@")[2]


def unreachable(host: str, said: str) -> tuple[str, str]:
    """Return (what is wrong, what to do) for what the network said of a host."""
    low = said.lower()
    if "name or service" in low or "nodename" in low or "getaddrinfo" in low or "name resolution" in low:
        return (
            f"The name `{host}` was not found",
            "Check the network, VPN and DNS; behind a proxy set `HTTPS_PROXY`",
        )
    if "certificate" in low:
        fix = "Behind an inspecting proxy set `SSL_CERT_FILE` to its certificate; else check the clock"
        return (f"`{host}` shows a certificate that is not trusted", fix)
    if "no answer within" in low:
        return (
            f"`{host}` gave {said}",
            "Check the network and its firewall; behind a proxy set `HTTPS_PROXY`",
        )
    return (
        f"`{host}` cannot be reached ({said[:200]})",
        "Check the network; behind a proxy set `HTTPS_PROXY`",
    )
