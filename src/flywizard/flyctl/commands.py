"""Owns the command lines of flyctl: pure builders, one for each call the wizard makes.

Flags and their reasons were read from flyctl 0.4.87. All paths are relative to the repository root, which
is the working directory of every command.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flywizard.plan import Command

LOOK = 60.0
CREATE = 420.0
"""The guard waits up to 120 s for a creating answer and looks for two minutes after a lost one."""
_RELEASE_JSON = (("FLY_EMIT_RELEASE_JSON", "1"),)


@dataclass(frozen=True, slots=True)
class BuildPaths:
    """Paths as ``fly deploy DIR`` wants them: flyctl changes into DIR before it opens the others."""

    directory: str
    config: str
    dockerfile: str | None = None


def relative_paths(directory: str, config: str, dockerfile: str | None = None) -> BuildPaths:
    """Turn paths relative to the repository root into paths relative to the build directory.

    Raises:
        ValueError: a path is absolute or leads out of the repository.
    """
    base = _inside(directory or ".")
    return BuildPaths(
        directory=base,
        config=posixpath.relpath(_inside(config), base),
        dockerfile=None if dockerfile is None else posixpath.relpath(_inside(dockerfile), base),
    )


def _inside(path: str) -> str:
    plain = posixpath.normpath(path.replace("\\", "/"))
    if posixpath.isabs(plain) or plain[1:2] == ":" or plain == ".." or plain.startswith("../"):
        raise ValueError(f"`{path}` is not a path inside the repository")
    return plain


def _look(*words: str, private: bool = False, timeout: float = LOOK) -> Command:
    return Command(("fly", *words), private=private, timeout=timeout)


def _change(
    *words: str,
    guarded: bool = False,
    private: bool = False,
    timeout: float = CREATE,
    stdin: Sequence[str] = (),
    env: tuple[tuple[str, str], ...] = (),
) -> Command:
    return Command(
        ("fly", *words),
        stdin=tuple(stdin),
        guarded=guarded,
        changes=True,
        env=env,
        timeout=timeout,
        private=private,
    )


# Who, where


def version() -> Command:
    """Ask for the version; needs no login and makes no request."""
    return _look("version", "--json", timeout=10.0)


def whoami() -> Command:
    """Ask who is signed in."""
    return _look("auth", "whoami", "--json")


def auth_token() -> Command:
    """Read flyctl's own token; the output is a secret."""
    return _look("auth", "token", "--json", private=True)


def auth_login() -> Command:
    """Sign in; needs the real terminal, and flyctl itself gives up after 15 minutes."""
    return _look("auth", "login", timeout=960.0)


def auth_logout() -> Command:
    """Sign out. Never run it with a token in the environment: the request would carry that one."""
    return _change("auth", "logout", timeout=LOOK)


def orgs() -> Command:
    """List organisations as a map of slug to name."""
    return _look("orgs", "list", "--json")


def regions() -> Command:
    """List regions, with whether Managed Postgres is there."""
    return _look("platform", "regions", "--json")


def vm_sizes() -> Command:
    """List machine sizes; makes no request."""
    return _look("platform", "vm-sizes", "--json")


# Apps


def apps_create(app: str, org: str) -> Command:
    """Create an app; it costs nothing until it has machines."""
    return _change("apps", "create", app, "-o", org, guarded=True)


def apps_list(org: str) -> Command:
    """List an organisation's apps."""
    return _look("apps", "list", "--json", "-o", org)


def apps_destroy(app: str) -> Command:
    """Destroy an app with all its machines."""
    return _change("apps", "destroy", app, "-y")


# Secrets: values go in over stdin, never on the command line


def secrets_import(app: str, names: Sequence[str]) -> Command:
    """Stage many values, sent as encoded lines over stdin (see ``secret_lines``)."""
    return _change("secrets", "import", "-a", app, "--stage", guarded=True, stdin=names)


def secrets_set(app: str, name: str) -> Command:
    """Stage one value, sent as it is over stdin; flyctl trims white space at both ends."""
    return _change("secrets", "set", f"{name}=-", "-a", app, "--stage", guarded=True, stdin=(name,))


def secrets_list(app: str) -> Command:
    """List names, digests and states."""
    return _look("secrets", "list", "-a", app, "--json")


def secrets_unset(app: str, names: Sequence[str]) -> Command:
    """Stage the removal of names; an unknown one is no error."""
    return _change("secrets", "unset", *names, "-a", app, "--stage")


def secrets_deploy(app: str, *, timeout: float = 1800.0) -> Command:
    """Bring staged secrets to the running machines; replaces every machine."""
    return _change(
        "secrets", "deploy", "-a", app, "--dns-checks=false", guarded=True, timeout=timeout, env=_RELEASE_JSON
    )


# Managed Postgres


def mpg_create(
    name: str, org: str, region: str, plan: str, storage_gb: int, version: int, *, timeout: float = 1500.0
) -> Command:
    """Create a cluster and wait for it. An unknown plan silently becomes ``basic``: check it before."""
    return _change(
        "mpg", "create", "-n", name, "-o", org, "-r", region, "--plan", plan,
        "--volume-size", str(storage_gb), "--pg-major-version", str(version),
        guarded=True, timeout=timeout,
    )  # fmt: skip


def mpg_status(cluster: str) -> Command:
    """Read a cluster's state and credentials; the output holds the password."""
    return _look("mpg", "status", cluster, "--json", private=True)


def mpg_list(org: str) -> Command:
    """List an organisation's clusters; none are told as a sentence, not as JSON."""
    return _look("mpg", "list", "-o", org, "--json")


def mpg_attach(
    cluster: str,
    app: str,
    *,
    database: str = "fly-db",
    user: str = "fly-user",
    variable: str = "DATABASE_URL",
) -> Command:
    """Stage the cluster's pooled URL as a secret. Only once the cluster is ready: flyctl does not look."""
    extra = () if variable == "DATABASE_URL" else ("--variable-name", variable)
    return _change("mpg", "attach", cluster, "-a", app, "-d", database, "-u", user, *extra, guarded=True)


def mpg_databases_list(cluster: str) -> Command:
    """List a cluster's databases."""
    return _look("mpg", "databases", "list", cluster, "--json")


def mpg_extensions_list(cluster: str, database: str) -> Command:
    """List available extensions and which are installed."""
    return _look("mpg", "databases", "extensions", "list", cluster, "-d", database, "--json")


def mpg_extension_enable(cluster: str, database: str, extension: str) -> Command:
    """Enable an extension; an enabled one is an error, so list first."""
    return _change("mpg", "databases", "extensions", "enable", extension, "-c", cluster, "-d", database)


def mpg_users_list(cluster: str) -> Command:
    """List a cluster's users and roles."""
    return _look("mpg", "users", "list", cluster, "--json")


def mpg_users_create(cluster: str, user: str, role: str) -> Command:
    """Create a user with role ``schema_admin``, ``writer`` or ``reader``."""
    return _change("mpg", "users", "create", cluster, "-u", user, "-r", role)


def mpg_proxy(cluster: str, port: int) -> Command:
    """Open a tunnel to a cluster; it runs until it is ended."""
    return _look("mpg", "proxy", cluster, "-p", str(port), timeout=86400.0)


def mpg_destroy(cluster: str) -> Command:
    """Destroy a cluster with its data."""
    return _change("mpg", "destroy", cluster, "-y")


def postgres_create(
    name: str, org: str, region: str, *, vm_size: str, storage_gb: int, image: str | None = None
) -> Command:
    """Create an unmanaged Postgres; its credentials are shown once, in the output."""
    extra = () if image is None else ("--image-ref", image)
    return _change(
        "postgres", "create", "-n", name, "-o", org, "-r", region, "--vm-size", vm_size,
        "--initial-cluster-size", "1", "--volume-size", str(storage_gb), *extra,
        guarded=True, private=True, timeout=900.0,
    )  # fmt: skip


# Configuration, builds, releases


def config_validate(app: str, config: str) -> Command:
    """Check a fly.toml. Only the exit code counts: it may print "valid" and fail."""
    return _look("config", "validate", "--strict", "-c", config, "-a", app)


def build(
    app: str,
    paths: BuildPaths,
    label: str,
    *,
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    local: bool = False,
    depot: bool = True,
    timeout: float = 3600.0,
) -> Command:
    """Build and push ``registry.fly.io/APP:LABEL`` without releasing. Build arguments are not secret."""
    argv = ["deploy", paths.directory, "-a", app, "-c", paths.config, "--build-only", "--push"]
    argv += ["--image-label", label, "--local-only" if local else "--remote-only", "--https-failover=false"]
    if not depot:
        argv.append("--depot=false")
    if paths.dockerfile is not None:
        argv += ["--dockerfile", paths.dockerfile]
    if target:
        argv += ["--build-target", target]
    for name, value in sorted((build_args or {}).items()):
        argv += ["--build-arg", f"{name}={value}"]
    return _change(*argv, timeout=timeout, env=(("BUILDKIT_PROGRESS", "rawjson"),))


def deploy(
    app: str,
    config: str,
    image: str,
    *,
    env: Mapping[str, str] | None = None,
    strategy: str | None = None,
    ha: bool = False,
    skip_release_command: bool = False,
    release_command_timeout: str | None = None,
    wait_timeout: str | None = None,
    process_groups: Sequence[str] = (),
    timeout: float = 2400.0,
) -> Command:
    """Release an image. Flags pin what flyctl would else take from a remote switch or repeat by itself."""
    argv = ["deploy", "-a", app, "-c", config, "--image", image, f"--ha={'true' if ha else 'false'}"]
    argv += ["--dns-checks=false", "--deploy-retries", "0", "--https-failover=false", "--yes"]
    if strategy:
        argv += ["--strategy", strategy]
    if skip_release_command:
        argv.append("--skip-release-command")
    if release_command_timeout:
        argv += ["--release-command-timeout", release_command_timeout]
    if wait_timeout:
        argv += ["--wait-timeout", wait_timeout]
    if process_groups:
        argv += ["--process-groups", ",".join(process_groups)]
    for name, value in sorted((env or {}).items()):
        argv += ["--env", f"{name}={value}"]
    return _change(*argv, guarded=True, timeout=timeout, env=_RELEASE_JSON)


def releases(app: str) -> Command:
    """List releases with their images, newest first, also failed ones."""
    return _look("releases", "--json", "--image", "-a", app)


# Machines


def in_shell(script: str) -> str:
    """Wrap a script for ``machine exec``, which uses no shell of its own."""
    return shlex.join(("sh", "-c", script))


def machine_exec(app: str, machine: str, command: str, *, seconds: int = 60, changes: bool = True) -> Command:
    """Run a command inside a machine. The exit code of flyctl is 0 whatever the command's is."""
    argv = ("machine", "exec", machine, command, "-a", app, "--timeout", str(seconds), "--json")
    if changes:
        return _change(*argv, guarded=True, timeout=seconds + 60.0)
    return _look(*argv, timeout=seconds + 60.0)


def machine_restart(app: str, machine: str) -> Command:
    """Restart one machine (``apps restart`` would need WireGuard)."""
    return _change("machine", "restart", machine, "-a", app)


def machine_start(app: str, machine: str) -> Command:
    """Start one stopped machine; it is not waited for."""
    return _change("machine", "start", machine, "-a", app)


def machine_destroy(app: str, machine: str) -> Command:
    """Destroy one machine, running or not."""
    return _change("machine", "destroy", machine, "-a", app, "--force")


def machine_leases_view(app: str, machine: str) -> Command:
    """Show who holds a machine's lease and until when; the output holds the lease's nonce."""
    return _look("machine", "leases", "view", machine, "-a", app, "--json", private=True)


def machine_leases_clear(app: str, machine: str) -> Command:
    """Drop the lease that an interrupted deploy left on a machine."""
    return _change("machine", "leases", "clear", machine, "-a", app, timeout=LOOK)


def scale_count(app: str, groups: Mapping[str, int]) -> Command:
    """Set the number of machines of process groups; new ones are not waited for."""
    counts = [f"{group}={count}" for group, count in sorted(groups.items())]
    return _change("scale", "count", *counts, "-a", app, "-y", guarded=True)


def logs(app: str) -> Command:
    """Print recent log lines; it does not end while there are none."""
    return _look("logs", "--json", "--no-tail", "-a", app, timeout=20.0)


# Addresses, certificates, volumes, tokens


def ips_list(app: str) -> Command:
    """List an app's addresses."""
    return _look("ips", "list", "--json", "-a", app)


def ips_allocate_v6(app: str, *, private: bool = False) -> Command:
    """Allocate an IPv6 address, free of charge."""
    extra = ("--private",) if private else ()
    return _change("ips", "allocate-v6", *extra, "-a", app, guarded=True)


def ips_allocate_shared_v4(app: str) -> Command:
    """Allocate the shared IPv4 address, free of charge."""
    return _change("ips", "allocate-v4", "--shared", "-a", app, guarded=True)


def certs_add(app: str, host: str) -> Command:
    """Ask for a certificate."""
    return _change("certs", "add", host, "-a", app, "--json", guarded=True)


def certs_check(app: str, host: str) -> Command:
    """Look at a certificate."""
    return _look("certs", "check", host, "-a", app, "--json")


def volumes_create(app: str, name: str, region: str, size_gb: int) -> Command:
    """Create one volume."""
    return _change(
        "volumes", "create", name, "-a", app, "-r", region, "-s", str(size_gb), "-n", "1", "-y", "--json",
        guarded=True,
    )  # fmt: skip


def volumes_list(app: str) -> Command:
    """List an app's volumes."""
    return _look("volumes", "list", "-a", app, "--json")


def volumes_destroy(volume: str) -> Command:
    """Destroy a volume with its data."""
    return _change("volumes", "destroy", volume, "-y")


def tokens_create_deploy(app: str, name: str, expiry: str = "720h") -> Command:
    """Create a deploy token; the output is the token. Without an expiry it would live for 20 years."""
    return _change(
        "tokens", "create", "deploy", "-a", app, "-x", expiry, "-n", name, "--json",
        guarded=True, private=True,
    )  # fmt: skip


def proxy(app: str, local: int, remote: int) -> Command:
    """Open a tunnel to an app; it runs until it is ended."""
    return _look("proxy", f"{local}:{remote}", "-a", app, timeout=86400.0)
