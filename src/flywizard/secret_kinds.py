"""Owns the question what a name or a value is: secret, plain, published or a file; and which may be generated."""

from __future__ import annotations

import math
import re
import secrets
from collections import Counter
from collections.abc import Collection
from typing import Literal, TypeAlias

from flywizard.vault import Secret

Kind: TypeAlias = Literal["secret", "plain", "public", "file"]

PUBLISHED = ("NEXT_PUBLIC_", "VITE_", "PUBLIC_", "REACT_APP_")
"""Prefixes of names whose values are built into pages that everybody can read."""

_PARTS = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|API_?KEY|PRIVATE_KEY|ACCESS_KEY|SIGNING_KEY|CREDENTIAL|JAAS"
    r"|ENCRYPTION_KEY|MASTER_KEY|SERVICE_ROLE_KEY|ACCOUNT_KEY|LICENSE_KEY|CONNECTION_STRING|DATABASE_URL"
    r"|SASL_USERNAME|SASL_USER$|ACCOUNT_SID"
    r"|(?:POSTGRES|PG|MYSQL|MONGO|MONGODB|REDIS|AMQP|RABBITMQ)(?:QL)?(?:_[A-Z]+)*_UR[LI]"
)
_WORDS = frozenset({"TOKEN", "DSN", "PASS", "PWD", "PAT", "SALT", "PEPPER"})
_HARMLESS_END = frozenset(
    {
        *("EXPIRE", "EXPIRES", "EXPIRY", "EXPIRATION", "MINUTES", "SECONDS", "HOURS", "DAYS", "TTL", "AGE"),
        *("LENGTH", "LIMIT", "MAX", "MIN", "SIZE", "COUNT", "ENABLED", "DISABLED", "REQUIRED", "ALGORITHM"),
        *("ALG", "HEADER", "TYPE", "ISSUER", "AUDIENCE", "ENDPOINT", "NAME", "PREFIX", "ROUNDS", "POLICY"),
    }
)
_FILE_WORDS = frozenset(
    {"CA", "CAFILE", "CERT", "CERTIFICATE", "CERTS", "SSL", "TLS", "KEYSTORE", "TRUSTSTORE", "KEY"}
)

_SHAPES = re.compile(
    r"://[^\s:@/]*:[^\s@]+@|\AFlyV1 |\Afm1[ra]_|\Afm2_|\Afo1_|\Ask-[A-Za-z0-9_-]{8}|\Ask_(?:live|test)_"
    r"|\Agh[pousr]_|\Agithub_pat_|\AAKIA[A-Z0-9]{12}|\Axox[a-z]-|\Awhsec_|\Are_[A-Za-z0-9]{16}|\AAIza[A-Za-z0-9_-]{20}"
    r"|-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----|\"private_key\"|Endpoint=sb://[^\s]*SharedAccessKey="
)
_PATH = re.compile(r"\A(?:\.{0,2}/|~/|[A-Za-z]:\\)|\.(?:json|pem|key|crt|cer|p12|jks|pfx|env)\Z")


def is_published(name: str) -> bool:
    """Tell whether a name's value is built into public pages."""
    return name.startswith(PUBLISHED)


def secret_kind(name: str, value: Secret | None = None) -> Kind:
    """Tell how to treat a name, by its spelling and, when known, its value.

    ``public``: it is published whatever it is, see :func:`published_secret`; ``file``: a file is the secret.
    """
    if is_published(name):
        return "public"
    text = value.reveal().strip() if value is not None else ""
    upper = name.upper()
    words = upper.split("_")
    named = bool(_PARTS.search(upper)) or not _WORDS.isdisjoint(words)
    if words[-1] in ("PATH", "FILE", "CAFILE") and not looks_secret(text):
        return "file" if named or not _FILE_WORDS.isdisjoint(words) else "plain"
    if looks_secret(text):
        return "secret"
    if named and words[-1] not in _HARMLESS_END and not ("TOKEN" in words and words[-1] in ("URL", "URI")):
        return "file" if "CREDENTIAL" in upper and _PATH.search(text) else "secret"
    return "plain"


def published_secret(name: str, value: Secret) -> bool:
    """Tell whether a published name holds what looks like a secret: a warning of its own."""
    return is_published(name) and looks_secret(value.reveal().strip())


def looks_secret(text: str) -> bool:
    """Tell whether a value is a secret by its shape: a known prefix, a URL with a password, long and random."""
    return bool(_SHAPES.search(text)) or _random(text)


def _random(text: str) -> bool:
    if not 20 <= len(text) <= 4096 or re.search(r"\s|://", text) or _PATH.search(text):
        return False
    pieces = [piece for piece in re.split(r"[-_.:/,@+=]", text) if piece]
    mixed = [p for p in pieces if len(p) >= 8 and re.search(r"\d", p) and re.search(r"[A-Za-z]", p)]
    if not mixed:
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy >= 3.2


_PLACEHOLDER = re.compile(
    r"\A(?:<.*>|\[.*\]|\{\{.*\}\}|x{3,}|\.{3,}|\*{3,}|-+|todo|tbd|fixme|none|null|undefined"
    r"|change[-_ ]?(?:me|this|it)(?![a-z]).*|replace[-_ ]?(?:me|this|with)(?![a-z]).*|(?:your|my)[-_ ].*|insert[-_ ].*|put[-_ ].*[-_ ]here"
    r"|.*[-_ ]here|example|placeholder|secret|password|dummy|fake|(?:.*[-_])?x{4,}|sk-(?:\.+|x+|your.*|proj-x+|…)|.*\.\.\.|.*…)\Z",
    re.IGNORECASE | re.DOTALL,
)


def is_placeholder(value: Secret) -> bool:
    """Tell whether a value only holds the place of one: empty, ``changeme``, ``your-…``, ``xxx``, ``<…>``."""
    text = value.reveal().strip()
    return not text or bool(_PLACEHOLDER.match(text))


_LOCAL = frozenset(
    {
        *("localhost", "127.0.0.1", "::1", "host.docker.internal", "kubernetes.docker.internal"),
        "0.0.0.0",  # noqa: S104
    }
)
_HOST_NAME = re.compile(r"(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|SERVERS|BROKER|BROKERS|URL|URI|ENDPOINT)\Z")


def is_local(name: str, value: Secret, services: Collection[str] = ()) -> bool:
    """Tell whether a value points at this machine or at a service of the compose file: not for Fly.

    ``services`` are the compose file's service names, e.g. ``db``, ``kafka``, ``redis``.
    """
    hosts = _LOCAL | set(services)
    text = value.reveal().strip()
    if "://" in text:
        authority = re.split(r"[/?#]", text.split("://", 1)[1], maxsplit=1)[0]
        return any(_host(part) in hosts for part in authority.rpartition("@")[2].split(","))
    if _HOST_NAME.search(name.upper()) or re.search(r":\d{2,5}\Z", text):
        return bool(text) and any(_host(part.strip()) in hosts for part in text.split(","))
    return text in _LOCAL


def _host(part: str) -> str:
    if part.startswith("["):
        return part[1:].partition("]")[0]
    return part if part.count(":") > 1 else part.partition(":")[0]


_DANGEROUS = frozenset(
    {
        *(
            "PATH",
            "IFS",
            "ENV",
            "BASH_ENV",
            "SHELL",
            "HOME",
            "TMPDIR",
            "TEMP",
            "TMP",
            "PROMPT_COMMAND",
            "CDPATH",
        ),
        *("NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "PERL5LIB", "PERL5OPT", "RUBYOPT", "RUBYLIB"),
        *(
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "CLASSPATH",
            "GCONV_PATH",
            "LOCPATH",
            "NLSPATH",
        ),
        *(
            "EDITOR",
            "VISUAL",
            "PAGER",
            "BROWSER",
            "COMSPEC",
            "PATHEXT",
            "SYSTEMROOT",
            "HOSTALIASES",
            "RES_OPTIONS",
        ),
        *(
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "OPENSSL_CONF",
        ),
    }
)


def is_dangerous(name: str) -> bool:
    """Tell whether a name of a ``.env`` file would steer programs: never passed to children."""
    upper = name.upper()
    prefixes = (
        "LD_",
        "DYLD_",
        "PYTHON",
        "GIT_",
        "FLY_",
        "DOCKER_",
        "BUILDKIT_",
        "SSH_",
        "XDG_",
        "NPM_CONFIG_",
    )
    return upper in _DANGEROUS or upper.startswith(prefixes) or upper.startswith("FLYWIZARD_")


_OWN_SECRET = re.compile(
    r"\A(?:[A-Z0-9]+_)*?(?:SECRET_KEY|SECRET_KEY_BASE|SIGNING_KEY|SIGNING_SECRET|WEBHOOK_SECRET|COOKIE_SECRET"
    r"|(?:JWT|AUTH|NEXTAUTH|SESSION|CSRF|COOKIE|APP|REFRESH|TOKEN)_SECRET(?:_KEY)?|SESSION_KEY|JWT_KEY)\Z"
)
_GIVEN_BY_OTHERS = re.compile(
    r"STRIPE|GITHUB|GITLAB|GOOGLE|OPENAI|ANTHROPIC|AWS|AZURE|GCP|SLACK|TWILIO|META_|WHATSAPP|FACEBOOK|INSTAGRAM"
    r"|CLERK|AUTH0|OKTA|SVIX|SHOPIFY|PADDLE|RESEND|SENDGRID|MAILGUN|POSTMARK|QSTASH|UPSTASH|SENTRY|DISCORD|TELEGRAM"
    r"|TWITTER|LINKEDIN|ZENDESK|INTERCOM|HUBSPOT|LINEAR|NOTION|VERCEL|SUPABASE|CLOUDFLARE|S3_|MINIO|PUSHER|PLAID"
    r"|CLIENT_|OAUTH|KAFKA|CONFLUENT|ACCESS_KEY"
)


def may_be_generated(name: str) -> bool:
    """Tell whether a value of our own making is as good as any: a signing key, a session or JWT secret."""
    upper = name.upper()
    return bool(_OWN_SECRET.match(upper)) and not _GIVEN_BY_OTHERS.search(upper) and not is_published(name)


def generate_secret() -> Secret:
    """Return 32 random bytes as 43 letters, digits, ``-`` and ``_``; starts with a letter or digit."""
    while True:
        text = secrets.token_urlsafe(32)
        if text[0].isalnum():
            return Secret(text)
