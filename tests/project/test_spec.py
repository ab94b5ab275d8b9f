"""flywizard.toml: every fault with its line, saving that keeps what people wrote, environments."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywizard.project.propose import app_slug, propose, runnable
from flywizard.spec import DatabaseSpec, SecretSpec, ServiceSpec, Spec, SpecError, dump, load, resolve
from tests.support.projects import edited, example, found

GOOD = """# The team's own words.
version = 1
name = "helpdesk"
organization = "acme"
region = "iad"   # near the team

[services.api]
# eight thousand since ever
port = 8000
role = "api"
app = "helpdesk-api"
env = { CORS = "{services.web.url}", HOST = "{services.web.host}" }

[services.web]
role = "web"
app = "helpdesk-web"
build_args = { NEXT_PUBLIC_API_URL = "{services.api.url}/v1" }

[secrets.OPENAI_API_KEY]
source = "asked"

[environments.staging]
region = "ams"
services.api.machines = 2
"""


def faults(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(SpecError) as caught:
        load(text, "flywizard.toml")
    assert all(f.file == "flywizard.toml" for f in caught.value.faults)
    return [(f.line, f.message) for f in caught.value.faults]


def test_the_contracts_example_loads() -> None:
    spec = load(GOOD)
    assert spec.services["api"].port == 8000
    assert spec.services["api"].memory_mb == 1024
    assert spec.database == DatabaseSpec(kind="none")
    assert list(spec.apps()) == ["helpdesk-api", "helpdesk-web"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("port = 8000", 'port = "8000"', 9, "`services.api.port` must be a whole number"),
        ("port = 8000", "prot = 8000", 9, "did you mean `port`?"),
        ("port = 8000", "port = 80000", 9, "at most 65535"),
        ('role = "api"', 'role = "server"', 10, "must be 'api', 'worker', 'web' or 'other'"),
        ('app = "helpdesk-api"', 'app = "Helpdesk API"', 11, "lower-case letters"),
        ('app = "helpdesk-api"\n', "", 7, "`services.api.app` is missing"),
        ('region = "iad"', 'region = "Virginia"', 5, "three letters"),
        ("[services.web]", "[servces.web]", 14, "did you mean `services`?"),
        ("services.web.url", "services.site.url", 12, "`services.site`, which is not there"),
        ('source = "asked"', 'source = "guessed"', 20, "`secrets.OPENAI_API_KEY.source` must be"),
        ('source = "asked"', 'value = "sk-123"', 20, "is not known"),
        ("CORS =", "FLY_X =", 12, "belong to the platform"),
        ("services.api.machines = 2", "services.api.machines = 0", 24, "at least 1"),
        ("services.api.machines = 2", 'services.api.machine = "2"', 24, "did you mean `machines`?"),
        ('organization = "acme"', 'organization = ["acme"]', 4, "must be text"),
        ("port = 8000", 'path = "../elsewhere"', 9, "inside the repository"),
        ("port = 8000", 'health = "health"', 9, "must begin with `/`"),
        ("port = 8000", 'secrets = ["NOT-A-NAME"]', 9, "variable's name"),
        ('app = "helpdesk-web"', 'app = "helpdesk-api"', 16, "same process group `app`"),
    ],
)  # fmt: skip
def test_faults_have_their_line(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    found_faults = faults(GOOD.replace(old, new, 1))
    assert any(n == line and words in message for n, message in found_faults), found_faults


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("version = 1\nname = [\n", 3, "not TOML"),
        ("version = 1\nversion = 1\n", 2, "not TOML"),
        ("version = 2\n", 1, "version 2 is not known"),
        ("", None, "`version` is missing"),
    ],
)
def test_what_is_no_flywizard_toml(text: str, line: int | None, words: str) -> None:
    assert any(n == line and words in message for n, message in faults(text))


def test_all_faults_are_named_at_once() -> None:
    text = GOOD.replace("port = 8000", "prot = 8000").replace('"iad"', '"Virginia"').replace('"asked"', "7")
    assert len(faults(text)) >= 3


def test_a_fault_never_repeats_a_value() -> None:
    with pytest.raises(SpecError) as caught:
        load(GOOD.replace('source = "asked"', 'value = "sk-live-0123456789"'))
    assert "sk-live" not in str(caught.value)


def test_an_environment_overrides_and_renames() -> None:
    spec = load(GOOD, environment="staging")
    assert (spec.name, spec.region) == ("helpdesk-staging", "ams")
    assert (spec.services["api"].app, spec.services["api"].machines) == ("helpdesk-api-staging", 2)
    assert spec.services["web"].machines == 1
    assert resolve(spec).services["web"].build_args == {
        "NEXT_PUBLIC_API_URL": "https://helpdesk-api-staging.fly.dev/v1"
    }
    with pytest.raises(SpecError, match="no environment `production`; known: `staging`"):
        load(GOOD, environment="production")


def test_references_become_addresses() -> None:
    api = resolve(load(GOOD)).services["api"]
    assert api.env == {"CORS": "https://helpdesk-web.fly.dev", "HOST": "helpdesk-web.fly.dev"}


def test_nothing_changed_is_byte_identical() -> None:
    for text in (GOOD, GOOD.replace("\n", "\r\n"), dump(load(GOOD))):
        assert dump(load(text), text) == text


def test_a_change_touches_only_its_line() -> None:
    spec = load(GOOD)
    services = dict(spec.services) | {"api": spec.services["api"].model_copy(update={"port": 9000})}
    after = dump(spec.model_copy(update={"services": services, "region": "fra"}), GOOD)
    expected = GOOD.replace("port = 8000", "port = 9000").replace('"iad"', '"fra"')
    assert after == expected


def test_new_and_removed_entries() -> None:
    spec = load(GOOD)
    secrets = {"WEBHOOK_SECRET_KEY": SecretSpec(source="generated")}
    after = dump(spec.model_copy(update={"secrets": secrets}), GOOD)
    assert load(after).secrets == secrets
    assert "# The team's own words." in after
    assert "# eight thousand since ever" in after


def test_unknown_keys_of_a_newer_version_stay() -> None:
    text = GOOD.replace("[services.web]", 'colour = "blue"\n\n[services.web]').replace(
        "[secrets", "[future]\nx = 1\n\n[secrets"
    )
    after = dump(load(GOOD).model_copy(update={"region": "fra"}), text)
    assert 'colour = "blue"' in after
    assert "[future]\nx = 1" in after


names = st.from_regex(r"[a-z][a-z0-9]{1,8}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(
    name=names,
    services=st.dictionaries(
        names,
        st.tuples(
            st.sampled_from(["api", "worker", "web"]),
            st.integers(1, 65535),
            st.text(max_size=20),
            st.integers(1, 5),
        ),
        max_size=4,
    ),
    plan=st.sampled_from(["basic", "launch-3"]),
)
def test_what_is_saved_loads_as_the_same(
    name: str, services: dict[str, tuple[str, int, str, int]], plan: str
) -> None:
    clean = {
        key: ServiceSpec.model_validate(
            {
                "role": role,
                "app": f"{name}-{key}",
                "port": port,
                "env": {"A": text.replace("{", "")},
                "machines": machines,
            }
        )
        for key, (role, port, text, machines) in services.items()
    }
    spec = Spec(
        version=1, name=name, organization="acme", region="iad", services=clean,
        database=DatabaseSpec(kind="managed", name=f"{name}-db", plan=plan, extensions=["vector"]),
    )  # fmt: skip
    text = dump(spec)
    assert load(text) == spec
    assert dump(spec, text) == text


def test_the_proposal_for_the_example() -> None:
    spec = propose(found(example()), project="Help desk!", organization="acme", region="iad")
    assert spec.name == "help-desk"
    assert spec.apps().keys() == {"help-desk-api", "help-desk-web"}
    assert [spec.group_of(n) for n in spec.services] == ["app", "worker", "app"]
    assert (spec.database.name, spec.database.plan, spec.database.storage_gb, spec.database.version) == (
        "help-desk-db",
        "basic",
        10,
        17,
    )
    assert spec.database.extensions == ["vector", "uuid-ossp"]
    assert spec.database.schema_.files == ["database/schema.sql"]
    assert {n: s.source for n, s in spec.secrets.items()} == {
        "DATABASE_URL": "derived", "KAFKA_BOOTSTRAP_SERVERS": "derived", "KAFKA_SASL_MECHANISM": "derived",
        "KAFKA_SASL_PASSWORD": "derived", "KAFKA_SASL_USERNAME": "derived", "KAFKA_SECURITY_PROTOCOL": "derived",
        "OPENAI_API_KEY": "asked", "WEBHOOK_SECRET_KEY": "generated",
    }  # fmt: skip
    assert resolve(spec).services["api"].env == {"CORS_ORIGINS": '["https://help-desk-web.fly.dev"]'}
    assert load(dump(spec)) == spec


def test_the_proposal_without_a_broker_and_with_a_database_that_exists() -> None:
    spec = propose(
        found(example()),
        project="helpdesk",
        organization="acme",
        region="iad",
        database="existing",
        broker="none",
    )
    assert spec.database.url_secret == "DATABASE_URL"
    assert spec.secrets["DATABASE_URL"].source == "asked"
    assert spec.secrets["KAFKA_BOOTSTRAP_SERVERS"].source == "asked"
    assert "KAFKA_SASL_PASSWORD" not in spec.secrets
    assert spec.broker.topics == []


def test_existing_names_are_taken_and_placeholders_are_not() -> None:
    own = 'app = "desk-of-help"\n[processes]\n  web = "uvicorn src.main:app --host 0.0.0.0 --port 8000"\n  worker = "python -m src.workers.message_processor"\n'
    spec = propose(
        found(edited(add={"backend/fly.toml": own})), project="helpdesk", organization="acme", region="iad"
    )
    assert spec.services["api"].app == spec.services["worker"].app == "desk-of-help"
    assert spec.group_of("api") == "web"
    vague = own.replace("desk-of-help", "helpdesk-REPLACE_ME")
    spec = propose(
        found(edited(add={"backend/fly.toml": vague})), project="helpdesk", organization="acme", region="iad"
    )
    assert spec.services["api"].app == "helpdesk-api"


def test_a_worker_of_its_own_app() -> None:
    own = 'app = "helpdesk-consumer"\n[build]\n  dockerfile = "Dockerfile"\n[processes]\n  app = "python -m src.workers.message_processor"\n'
    spec = propose(
        found(edited(add={"backend/fly.worker.toml": own})),
        project="helpdesk",
        organization="acme",
        region="iad",
    )
    assert [s.app for s in spec.services.values()] == ["helpdesk-api", "helpdesk-consumer", "helpdesk-web"]
    assert [s.config for s in spec.services.values()] == [
        "backend/fly.toml",
        "backend/fly.worker.toml",
        "frontend/fly.toml",
    ]


def test_shell_syntax_is_wrapped() -> None:
    assert runnable("python -m x --group $G") == "sh -c 'python -m x --group $G'"
    assert runnable("sh -c 'a && b'") == "sh -c 'a && b'"
    assert runnable("python -m x") == "python -m x"
    assert runnable(None) is None


@pytest.mark.parametrize(
    ("text", "slug"), [("My App_2", "my-app-2"), ("---", "app"), ("x", "app"), ("é" * 5, "app")]
)
def test_slugs(text: str, slug: str) -> None:
    assert app_slug(text) == slug
