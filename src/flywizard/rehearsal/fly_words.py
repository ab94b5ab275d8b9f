"""The words of the stand-in's command line: which commands exist, which flags they take, how they are read.

A flag is written `-a/--app=` (takes a value) or `-y/--yes` (a switch); commands are looked up by their
words, and each names the module and function that answers it, so that a run imports only what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

GLOBAL = "-t/--access-token= --verbose --debug -h/--help"
APP = "-a/--app= -c/--config="
JSON = "-j/--json"
DEPLOY = (
    f"{APP} -i/--image= --build-only --push --image-label= --dockerfile= --ignorefile= --build-target= --build-arg=*"
    " --build-secret=* --label=* --no-cache --remote-only --local-only --depot= --buildkit-addr= --nixpacks"
    " --ha? --strategy= --wait-timeout= --release-command-timeout= --lease-timeout= --skip-release-command"
    " --update-only --process-groups= --only-machines= --exclude-machines= --regions= --exclude-regions="
    " --detach --https-failover? --smoke-checks? --dns-checks? --public-ips? --no-public-ips --flycast"
    " --max-unavailable= --max-concurrent= --vm-size= --vm-memory= --vm-cpus= --vm-cpu-kind="
    " --volume-initial-size= --deploy-retries= -y/--yes --auto-confirm --now -e/--env=* --export-manifest= --from-manifest="
    " -r/--region= --primary-region= --wg? --build-depot= --recreate-builder --compression= --builder-pool="
)
RESTARTING = f"{APP} --stage --detach --dns-checks? -y/--yes"
MACHINE = f"{APP} --select"

COMMANDS: dict[str, tuple[str, str]] = {
    "version": ("fly_account:version", JSON),
    "auth whoami": ("fly_account:whoami", JSON),
    "auth token": ("fly_account:token", f"{JSON} -q/--quiet"),
    "auth login": ("fly_login:login", "--email= --password= --otp= -i/--interactive"),
    "auth logout": ("fly_login:logout", ""),
    "doctor": ("fly_account:doctor", f"{JSON} {APP} -o/--org="),
    "orgs list": ("fly_account:orgs_list", JSON),
    "platform regions": ("fly_account:regions", JSON),
    "platform vm-sizes": ("fly_account:vm_sizes", JSON),
    "apps create": (
        "fly_apps:create",
        f"{JSON} -o/--org= --network= --name= --machines --generate-name -y/--yes",
    ),
    "apps list": ("fly_apps:listing", f"{JSON} -o/--org= -q/--quiet"),
    "apps destroy": ("fly_apps:destroy", "-y/--yes"),
    "status": ("fly_apps:status", f"{JSON} {APP} --all"),
    "releases": ("fly_apps:releases", f"{JSON} {APP} --image"),
    "ips list": ("fly_apps:ips_list", f"{JSON} {APP}"),
    "ips allocate-v4": ("fly_apps:allocate_v4", f"{APP} -r/--region= --shared -y/--yes"),
    "ips allocate-v6": ("fly_apps:allocate_v6", f"{APP} -r/--region= --private -o/--org= --network="),
    "tokens create deploy": ("fly_apps:token_deploy", f"{JSON} {APP} -x/--expiry= -n/--name="),
    "tokens create org": ("fly_apps:token_org", f"{JSON} -o/--org= -x/--expiry= -n/--name="),
    "secrets import": ("fly_secrets:importing", RESTARTING),
    "secrets set": ("fly_secrets:setting", RESTARTING),
    "secrets unset": ("fly_secrets:unsetting", RESTARTING),
    "secrets list": ("fly_secrets:listing", f"{JSON} {APP}"),
    "secrets deploy": ("fly_secrets:deploying", f"{APP} --detach --dns-checks? -y/--yes"),
    "mpg create": (
        "fly_mpg:create",
        "-n/--name= -o/--org= -r/--region= --plan= --volume-size= --pg-major-version= --enable-postgis-support --v2",
    ),
    "mpg list": ("fly_mpg:listing", f"{JSON} -o/--org= --deleted"),
    "mpg status": ("fly_mpg:status", JSON),
    "mpg attach": (
        "fly_mpg:attach",
        f"{APP} --variable-name= -d/--database= -u/--username= -y/--yes",
    ),
    "mpg detach": ("fly_mpg:detach", APP),
    "mpg destroy": ("fly_mpg:destroy", "-y/--yes"),
    "mpg proxy": ("fly_proxy:mpg_proxy", "-p/--local-port= -b/--bind-addr= -o/--org="),
    "mpg databases list": ("fly_mpg_more:databases_list", JSON),
    "mpg databases create": ("fly_mpg_more:databases_create", "-n/--name="),
    "mpg databases extensions list": ("fly_mpg_more:extensions_list", f"{JSON} -d/--database="),
    "mpg databases extensions enable": (
        "fly_mpg_more:extensions_enable",
        "-c/--cluster= -d/--database= --schema= --create-schema",
    ),
    "mpg databases extensions disable": (
        "fly_mpg_more:extensions_disable",
        "-c/--cluster= -d/--database= --force",
    ),
    "mpg users list": ("fly_mpg_more:users_list", JSON),
    "mpg users create": ("fly_mpg_more:users_create", "-u/--username= -r/--role="),
    "postgres create": (
        "fly_postgres:create",
        "-n/--name= -o/--org= -r/--region= --initial-cluster-size= --vm-size= --vm-memory= --volume-size="
        " -p/--password= --image-ref= --autostart --detach --flex --stolon",
    ),
    "proxy": ("fly_proxy:proxy", f"{APP} -b/--bind-addr= -o/--org= -q/--quiet -s/--select --watch-stdin"),
    "ssh console": (
        "fly_proxy:console",
        f"{APP} -C/--command= --machine= -q/--quiet -s/--select --pty -r/--region=",
    ),
    "config validate": ("fly_config_command:validate", f"{APP} -s/--strict"),
    "config show": ("fly_config_command:show", f"{APP} --local --toml --yaml"),
    "config save": ("fly_config_command:save", f"{APP} -y/--yes"),
    "deploy": ("fly_deploy:deploy", DEPLOY),
    "machine list": ("fly_machine:listing", f"{JSON} {APP} -q/--quiet"),
    "machine exec": ("fly_machine:execute", f"{JSON} {MACHINE} --timeout= --container="),
    "machine restart": (
        "fly_machine:restart",
        f"{MACHINE} -s/--signal= --time= --force --skip-health-checks --force-stop",
    ),
    "machine start": ("fly_machine:start", MACHINE),
    "machine stop": ("fly_machine:stop", f"{MACHINE} -s/--signal= --timeout= --wait-timeout="),
    "machine destroy": ("fly_machine:destroy", f"{MACHINE} -f/--force --image="),
    "machine leases view": ("fly_machine:leases_view", f"{JSON} {MACHINE}"),
    "machine leases clear": ("fly_machine:leases_clear", MACHINE),
    "scale show": ("fly_scale:show", f"{JSON} {APP}"),
    "scale count": (
        "fly_scale:count",
        f"{APP} -y/--yes -r/--region= --max-per-region= --with-new-volumes --process-group=",
    ),
    "volumes create": (
        "fly_volumes:create",
        f"{JSON} {APP} -r/--region= -s/--size= -n/--count= -y/--yes --snapshot-retention= --no-encryption"
        " --require-unique-zone? --vm-size=",
    ),
    "volumes list": ("fly_volumes:listing", f"{JSON} {APP} --all"),
    "volumes destroy": ("fly_volumes:destroy", f"{APP} -y/--yes"),
    "certs add": ("fly_certs:add", f"{JSON} {APP}"),
    "certs check": ("fly_certs:check", f"{JSON} {APP}"),
    "certs list": ("fly_certs:listing", f"{JSON} {APP}"),
    "logs": ("fly_logs:logs", f"{JSON} {APP} -n/--no-tail -i/--instance= --machine= -r/--region="),
}
ALIASES = {
    ("pg",): ("postgres",),
    ("machines",): ("machine",),
    ("m",): ("machine",),
    ("vol",): ("volumes",),
    ("volume",): ("volumes",),
    ("secret",): ("secrets",),
    ("app",): ("apps",),
    ("ip",): ("ips",),
    ("managed-postgres",): ("mpg",),
}
NO_LOGIN = {"version", "auth login", "auth logout", "platform vm-sizes", "config show", "doctor"}


class Misuse(Exception):  # noqa: N818
    """The command line is wrong; `help_hint` names what to ask for help about, if anything."""

    def __init__(self, text: str, help_hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.help_hint = help_hint


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command line, taken apart."""

    command: str
    target: str
    args: list[str] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)


def parse(argv: Sequence[str]) -> Parsed:
    """Takes a command line (without the program's name) apart.

    Raises:
        Misuse: there is no such command or flag, or a flag lacks its value.
    """
    words = list(argv)
    if words and (alias := ALIASES.get((words[0],))):
        words[0:1] = alias
    for length in range(min(4, len(words)), 0, -1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            target, spec = COMMANDS[name]
            args, flags = _flags(words[length:], f"{spec} {GLOBAL}")
            return Parsed(name, target, args, flags)
    known = 0
    while known < len(words) and any(c.startswith(" ".join(words[: known + 1]) + " ") for c in COMMANDS):
        known += 1
    parent = " ".join(["flyctl", *words[:known]])
    if known < len(words) and not words[known].startswith("-"):
        raise Misuse(f'unknown command "{words[known]}" for "{parent}"', parent)
    if known < len(words) and words[known] not in ("-h", "--help"):
        raise Misuse(f"unknown flag: {words[known]}", "")
    return Parsed(" ".join(words[:known]), "")


def _spec(text: str) -> dict[str, tuple[str, str]]:
    """Flag words by the name they set and their kind: value, list, switch or `x=y` switch."""
    found: dict[str, tuple[str, str]] = {}
    for item in text.split():
        kind = "switch"
        for ending, meaning in (("=*", "list"), ("=", "value"), ("?", "yes")):
            if item.endswith(ending):
                item, kind = item[: -len(ending)], meaning
                break
        names = item.split("/")
        for name in names:
            found[name] = (names[-1].lstrip("-"), kind)
    return found


def _flags(words: Sequence[str], text: str) -> tuple[list[str], dict[str, Any]]:
    """Positional words and flags, which may stand anywhere, as pflag reads them."""
    spec = _spec(text)
    args: list[str] = []
    flags: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            args += rest
            break
        if not word.startswith("-") or word == "-":
            args.append(word)
            continue
        if word.startswith("--"):
            name, equals, value = word.partition("=")
        elif len(word) > 2:
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        else:
            name, equals, value = word, "", ""
        if name not in spec:
            raise Misuse(
                f"unknown flag: {name}"
                if name.startswith("--")
                else f"unknown shorthand flag: '{name[1]}' in {word}"
            )
        target, kind = spec[name]
        if kind in ("switch", "yes"):
            flags[target] = value.lower() in ("true", "1", "t") if equals else True
            continue
        if not equals:
            if not rest:
                raise Misuse(
                    f"flag needs an argument: {name}"
                    if name.startswith("--")
                    else f"flag needs an argument: '{name[1]}' in {name}"
                )
            value = rest.pop(0)
        if kind == "list":
            flags.setdefault(target, []).append(value)
        else:
            flags[target] = value
    return args, flags
