"""Owns tokens: how they look, and which of them the World accepts."""

from __future__ import annotations

import base64
import hashlib
import secrets

from flywizard.rehearsal.api_messages import Identity
from flywizard.rehearsal.world import World
from flywizard.rehearsal.world_records import Token

LOCATION = b"https://api.fly.io/v1"
MACAROONS = ("fm2_", "fm1r_", "fm1a_")


def new_token(kid: bytes = b"rehearsal") -> str:
    """Return a macaroon without caveats, in the form that the real flyctl keeps and sends (no scheme)."""

    def binary(data: bytes) -> bytes:
        return b"\xc4" + bytes([len(data)]) + data

    nonce = b"\x93" + binary(kid) + binary(secrets.token_bytes(16)) + b"\xc2"
    raw = (
        b"\x94" + nonce + bytes([0xA0 | len(LOCATION)]) + LOCATION + b"\x90" + binary(secrets.token_bytes(32))
    )
    return "fm2_" + base64.b64encode(raw).decode()


def token_digest(token: str) -> str:
    """Return the digest under which the World knows a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def parts(authorization: str) -> list[str]:
    """Return the tokens of an Authorization header, without schemes."""
    text = authorization.strip()
    for scheme in ("FlyV1", "Bearer"):
        if text == scheme or text.startswith(scheme + " "):
            text = text[len(scheme) :].strip()
    return [part.strip() for part in text.split(",") if part.strip()]


def issue(world: World, *, kind: str = "user", app: str = "", email: str = "") -> str:
    """Make a token that the World accepts, and return it with its scheme."""
    token = new_token(kind.encode())
    world.tokens[token_digest(token)] = Token(email or world.email, kind, app)
    return "FlyV1 " + token


def know(world: World, token: str, *, kind: str = "user", app: str = "", expired: bool = False) -> None:
    """Let the World know a token, e.g. an opaque one that it would refuse otherwise."""
    for part in parts(token):
        world.tokens[token_digest(part)] = Token(world.email, kind, app, expired)


def refuse(world: World, token: str) -> None:
    """Let the World answer 401 to a token from now on."""
    world.refused.update(token_digest(part) for part in parts(token))


def identify(world: World, authorization: str) -> Identity | None:
    """Return who an Authorization header stands for, or None: nobody, expired or refused.

    Any macaroon is accepted as the user's; an opaque token only when the World knows it.
    """
    for part in parts(authorization):
        digest = token_digest(part)
        if digest in world.refused:
            continue
        known = world.tokens.get(digest)
        if known is not None:
            if not known.expired:
                return Identity(known.email, known.kind, known.app)
            continue
        if part.startswith(MACAROONS) and len(part) > 5:
            return Identity(world.email)
    return None
