"""The configuration file, the environment over it, and one sentence for every error."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from click.testing import CliRunner

from inference.acceptance.options import Terms
from inference.egress.options import EgressRule
from inference.errors import ConfigError
from inference.llm.options import PriceOptions
from inference.rules.options import Rule
from schemas.event import Domain
from schemas.formats import Mapping
from streams.cli.config import config
from streams.config import Settings, as_environment, load
from streams.wiring.model import open_classifier
from tests.unit.conftest import Triage

SECRET = "sk-" + "very-secret"

OAUTH = "[kafka]\nsecurity_protocol = 'SASL_SSL'\nsasl_mechanism = 'OAUTHBEARER'\n"
OAUTH_CLIENT = OAUTH + "oauth_client_id = 'c'\noauth_client_secret_file = '/etc/hostname'\n"


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    """Write a configuration file; gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "triage.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def load_environment(**environ: str) -> Settings:
    """The settings of an empty file and this environment."""
    return load(Path("/dev/null"), environ)


def test_documented_variables_set_their_keys() -> None:
    """A documented variable of the environment would set another key, or none."""
    settings = load_environment(
        TRIAGE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9092",
        TRIAGE_LLM__TIERS='["small"]',
        TRIAGE_LLM__ENDPOINTS__SMALL__BASE_URL="http://127.0.0.1:8000/v1",
        TRIAGE_LLM__ENDPOINTS__SMALL__MODEL="gemma",
        TRIAGE_DOMAINS__ALERTS__DECIDING='["queue","tactic"]',
        TRIAGE_DOMAINS__ALERTS__ALPHA="0.05",
        TRIAGE_EGRESS__DEFAULT="never",
        TRIAGE_HTTP__PORT="0",
    )
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.llm.tiers == ["small"]
    assert settings.llm.endpoints["small"].base_url == "http://127.0.0.1:8000/v1"
    assert settings.domain("alerts").deciding == ["queue", "tactic"]
    assert settings.domain("alerts").alpha == 0.05
    assert settings.egress.default == "never"
    assert settings.http.port == 0


def test_documented_defaults_are_in_force() -> None:
    """A worker without a file would use other topics or terms than the documented ones."""
    settings = load_environment()
    assert (settings.topics.prefix, settings.kafka.group_id, settings.llm.tiers) == (
        "triage",
        "triage",
        [],
    )
    for domain in (settings.domains.alerts, settings.domains.tickets):
        assert (domain.deciding, domain.alpha, domain.delta) == (["queue"], 0.02, 0.10)


TERMS = """
[domains.alerts]
deciding = ["tactic", "queue"]
alpha = 0.21
unseen_alpha = 0.22
delta = 0.23
[domains.tickets]
deciding = ["priority"]
alpha = 0.31
unseen_alpha = 0.32
delta = 0.33
"""
EXPECTED_TERMS: dict[Domain, Terms] = {
    "alerts": Terms(deciding=["tactic", "queue"], alpha=0.21, unseen_alpha=0.22, delta=0.23),
    "tickets": Terms(deciding=["priority"], alpha=0.31, unseen_alpha=0.32, delta=0.33),
}


def test_each_term_of_the_promise_is_read(toml: Any) -> None:
    """Two terms, or the terms of two domains, would be swapped when they are read."""
    settings = load(toml(TERMS), {})
    assert settings.terms == EXPECTED_TERMS
    assert load_environment(**as_environment(settings)).terms == settings.terms
    with_beta = load(toml(TERMS.replace("delta = 0.23", "beta = 0.24")), {}).terms
    assert [with_beta[domain].beta for domain in ("alerts", "tickets")] == [0.24, None]


async def test_each_term_of_the_promise_reaches_the_model(toml: Any, tiny_model: Path) -> None:
    """Two terms would be swapped on the way to the threshold, and another promise be kept."""
    environ = {"TRIAGE_MODEL__PATH": str(tiny_model), "TRIAGE_MODEL__REPLICAS": "1"}
    classifier = open_classifier(load(toml(TERMS), environ))
    try:
        for domain, terms in EXPECTED_TERMS.items():
            assert classifier.deciding(domain) == tuple(terms.deciding)
            promise = classifier.promise(domain)
            assert (promise.alpha, promise.unseen_alpha, promise.delta) == (
                terms.alpha,
                terms.unseen_alpha,
                terms.delta,
            )
            calibration = classifier.calibration(domain)
            assert (calibration.alpha, calibration.delta) == (terms.alpha, terms.delta)
    finally:
        await classifier.close()


def test_the_environment_overrides_the_file(toml: Any) -> None:
    """A container could not be configured without a new file."""
    path = toml('[kafka]\ngroup_id = "file"\nlinger_ms = 7\n[topics]\nprefix = "p"\n')
    settings = load(
        path, {"TRIAGE_KAFKA__GROUP_ID": "env", "TRIAGE_CONFIG": "/nowhere", "TRIAGE_KNOB": "x"}
    )
    assert (settings.kafka.group_id, settings.kafka.linger_ms, settings.topics.prefix) == (
        "env",
        7,
        "p",
    )


def test_an_endpoint_keeps_the_spelling_of_the_file(toml: Any) -> None:
    """`Small` in the file and `SMALL` in the environment would be two incomplete endpoints."""
    path = toml('[llm.endpoints.Small]\nbase_url = "http://a"\nmodel = "m"\n')
    settings = load(path, {"TRIAGE_LLM__ENDPOINTS__SMALL__MODEL": "n"})
    assert list(settings.llm.endpoints) == ["Small"]
    assert settings.llm.endpoints["Small"].model == "n"


def test_tables_and_lists_are_json() -> None:
    """A whole endpoint or mapping could not be set by a variable of the environment."""
    settings = load_environment(
        TRIAGE_LLM__ENDPOINTS='{"a":{"base_url":"http://a","model":"m"}}',
        TRIAGE_MAPPINGS='[{"name":"v","when":{"x.y":true},"fields":{"id":"x.y"}}]',
    )
    assert settings.llm.endpoints["a"].model == "m"
    assert settings.mappings == [Mapping(name="v", when={"x.y": True}, fields={"id": "x.y"})]


def test_the_environment_can_set_the_llm_tier() -> None:
    """A budget, the price of a free model, a rule or a policy would need a file."""
    settings = load_environment(
        TRIAGE_LLM__TIERS='["small"]',
        TRIAGE_LLM__ENDPOINTS__SMALL__BASE_URL="http://127.0.0.1:8080/v1",
        TRIAGE_LLM__ENDPOINTS__SMALL__MODEL="gemma",
        TRIAGE_LLM__ENDPOINTS__SMALL__PRICES=(
            '{"input_usd_per_million":0,"output_usd_per_million":0}'
        ),
        TRIAGE_LLM__ENDPOINTS__SMALL__TIMEOUT_S="90",
        TRIAGE_LLM__BUDGET__USD_PER_DAY="2.5",
        TRIAGE_LLM__BUDGET__TENANTS='{"acme":0.5}',
        TRIAGE_LLM__RETRIES__ATTEMPTS="1",
        TRIAGE_EGRESS__RULES=(
            '[{"policy":"never","tenants":["acme"],"labels":{"queue":["identity"]}}]'
        ),
        TRIAGE_EGRESS__KEEP='["ip"]',
        TRIAGE_RETRIEVAL__SETTLED_BY='["human","llm"]',
        TRIAGE_IMPACT__TICKETS="",
        TRIAGE_RULES='[{"name":"r","when":"true","suppress":true,"until":"2026-12-31"}]',
    )
    small = settings.llm.endpoints["small"]
    assert small.prices == PriceOptions(input_usd_per_million=0.0, output_usd_per_million=0.0)
    assert settings.llm.patience_s == 90.0, "the timeout of a tier is longer than the default"
    assert (settings.llm.budget.usd_per_day, settings.llm.budget.tenants) == (2.5, {"acme": 0.5})
    assert settings.llm.retries.attempts == 1
    assert settings.egress.rules == [
        EgressRule(policy="never", tenants=["acme"], labels={"queue": ["identity"]})
    ]
    assert settings.egress.keep == ["ip"]
    assert settings.retrieval.settled_by == ["human", "llm"]
    assert (settings.impact.tickets, bool(settings.impact.alerts)) == ("", True)
    assert settings.rules == [Rule(name="r", when="true", suppress=True, until=date(2026, 12, 31))]


def test_triage_config_names_the_file(
    toml: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`TRIAGE_CONFIG` would be ignored, or a file in the working directory would not be found."""
    path = toml('[kafka]\ngroup_id = "named"\n')
    assert load(None, {"TRIAGE_CONFIG": str(path)}).kafka.group_id == "named"
    monkeypatch.chdir(tmp_path)
    assert load(None, {}).kafka.group_id == "named"
    path.unlink()
    assert load(None, {}).kafka.group_id == "triage"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kafka\n", "not valid TOML"),
        ("[kafka]\ngrop_id = 'x'\n", "unknown field `grop_id`"),
        ("[kafak]\n", "unknown field `kafak`"),
        ("kafka = 3\n", r"\$\.kafka"),
        ("[http]\nport = 'high'\n", r"\$\.http\.port"),
        ("[http]\nport = 65536\n", r"\$\.http\.port"),
        ("[domains.alerts]\nalpha = 0\n", r"\$\.domains\.alerts\.alpha"),
        ("[domains.alerts]\nalpha = nan\n", r"\$\.domains\.alerts\.alpha"),
        ("[domains.alerts]\ndeciding = []\n", r"\$\.domains\.alerts\.deciding"),
        ("[domains.alerts]\ndeciding = ['queue', 'queue']\n", "axis twice"),
        ("[llm]\ntiers = ['small']\n", "small"),
        ("[llm]\ntiers = 'small'\n", r"\$\.llm\.tiers"),
        ("[llm.endpoints.a]\nbase_url = 'ftp://a'\nmodel = 'm'\n", "base_url"),
        ("[llm.endpoints.a]\nbase_url = 'http://u:pw@a'\nmodel = 'm'\n", "api_key_env"),
        ("[llm.endpoints.a]\nbase_url = 'http://a:pw/v1'\nmodel = 'm'\n", "is no URL"),
        ("[llm.endpoints.a]\nbase_url = 'http:///v1'\nmodel = 'm'\n", "with a host"),
        ("[llm.endpoints.a]\nbase_url = ' http://a/v1'\nmodel = 'm'\n", "holds a space"),
        ('[llm.endpoints.a]\nbase_url = "http://a/v1\\n"\nmodel = "m"\n', "not printable"),
        ('[llm.endpoints.a]\nbase_url = "http://a\\t/v1"\nmodel = "m"\n', "not printable"),
        ("[egress]\ndefault = 'always'\n", r"\$\.egress\.default"),
        ("[egress]\nkeep = ['secret']\n", "never leaves"),
        ("[egress]\nkeep = ['name']\n", r"\$\.egress\.keep"),
        ("[[egress.rules]]\ntenants = ['acme']\n", "policy"),
        ("[[egress.rules]]\npolicy = 'never'\ntenant = ['acme']\n", "unknown field `tenant`"),
        ("[[rules]]\nwhen = 'true'\n", "name"),
        ("[[rules]]\nname = 'r'\nwhen = 'true'\nsupress = true\n", "unknown field `supress`"),
        ("[[rules]]\nname = 'r'\nwhen = 'true'\nuntil = 'soon'\n", r"\$\.rules\[0\]\.until"),
        (
            "[[rules]]\nname = 'r'\nwhen = 'true'\nuntil = 2026-12-31T00:00:00Z\n",
            r"\$\.rules\[0\]\.until",
        ),
        ("[impact]\nseverity = 'x'\n", "unknown field `severity`"),
        ("[llm.budget]\nusd_per_day = -1\n", r"\$\.llm\.budget\.usd_per_day"),
        ("[llm.budget]\nusd_per_day = nan\n", r"\$\.llm\.budget\.usd_per_day"),
        (
            "[llm.endpoints.a]\nbase_url = 'http://a'\nmodel = 'm'\napi_key = 'k'\n",
            "unknown field `api_key`",
        ),
        (
            "[llm.endpoints.a]\nbase_url = 'http://a'\nmodel = 'm'\nresponse_mode = 'x'\n",
            "response_mode",
        ),
        ("[retrieval]\nsettled_by = ['slm']\n", "settled_by"),
        ("[topics]\nprefix = 'a b'\n", r"\$\.topics\.prefix"),
        ("[kafka]\nbootstrap_servers = 'host:port'\n", "HOST:PORT"),
        ("[kafka]\nbootstrap_servers = ''\n", "HOST:PORT"),
        ("[kafka]\nbootstrap_servers = 'kafka://a:1'\n", "HOST:PORT"),
        ("[kafka]\ndelivery_timeout_s = inf\n", "delivery_timeout_s"),
        ("[kafka]\nheartbeat_interval_s = 9\n", "third"),
        ("[kafka]\nsecurity_protocol = 'SASL_SSL'\n", "sasl_username"),
        (
            "[kafka]\nsasl_password_env = 'NO_SUCH_VARIABLE'\n",
            r"kafka\.sasl_password_env: .*not set",
        ),
        ("[kafka]\nssl_certfile = 'c.pem'\n", "needs TLS"),
        ("[kafka]\nssl_keyfile = 'c.key'\n", r"set kafka\.ssl_certfile"),
        ("[kafka]\nssl_key_password_env = 'X'\n", r"set kafka\.ssl_certfile"),
        ("[kafka]\ngroup_instance_id = 'a b'\n", r"\$\.kafka\.group_instance_id"),
        ("[kafka]\nisolation_level = 'none'\n", r"\$\.kafka\.isolation_level"),
        (OAUTH, "set one of the two"),
        (OAUTH + "oauth_token_file = 't'\noauth_token_url = 'https://a/t'\n", "set one of the two"),
        (OAUTH + "oauth_token_url = 'https://a/t'\n", "oauth_client_id"),
        (OAUTH_CLIENT + "oauth_token_url = 'http://a/t'\n", "plain http"),
        (OAUTH_CLIENT + "oauth_token_url = 'https://u:p@a/t'\n", "more than an address"),
        (OAUTH_CLIENT + "oauth_token_url = 'a/t'\n", "no http or https address"),
        ("[http]\nssl_certfile = 'c.pem'\n", "belong together"),
        ("[http]\nssl_client_cafile = 'ca.pem'\n", "needs TLS"),
        ("[[mappings]]\nname = 'm'\nwhen = {}\nfields = {}\n", "empty `when`"),
        ("[kafka", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_key(toml: Any, text: str, message: str) -> None:
    """A mistyped key would silently be the default, or a user would see a traceback."""
    with pytest.raises(ConfigError, match=message) as caught:
        load(toml(text), {})
    assert "\n" not in str(caught.value)


def test_a_file_of_an_editor_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """A file that was saved with Notepad would be called invalid at its first character."""
    path = tmp_path / "triage.toml"
    path.write_bytes(b"\xef\xbb\xbf[topics]\nprefix = 'desk'\n")
    assert load(path, {}).topics.prefix == "desk"
    path.write_bytes("[topics]".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"triage\.toml .*it is not UTF-8; save it as UTF-8$"):
        load(path, {})


@pytest.mark.parametrize("secret", ["sk-live-0123", "hunter2", "a" * 300, "s3cr3t/+=", "\u00e4"])
@pytest.mark.parametrize(
    "text",
    [
        "[kafka]\nsasl_password_env = {}\n",
        "[kafka]\nsasl_password_file = {}\n",
        "[audit]\nkey_env = {}\n",
        "[http]\ntoken_env = {}\n",
        "[llm.endpoints.a]\nbase_url = 'http://a'\nmodel = 'm'\napi_key_env = {}\n",
    ],
)
def test_a_secret_in_the_place_of_its_variable_is_not_printed(
    toml: Any, text: str, secret: str
) -> None:
    """A password that was typed into the wrong key would be in the log of every start.

    `triage config show` would print it too.
    """
    with pytest.raises(ConfigError) as caught:
        load(toml(text.format(f"'{secret}'")), {})
    assert secret not in str(caught.value)


def test_a_variable_in_small_letters_may_hold_a_secret(toml: Any) -> None:
    """A user whose variables have such names could not start."""
    settings = load(toml("[audit]\nkey_env = 'audit_key'\n"), {"audit_key": "k"})
    assert settings.audit.key_env == "audit_key"


def test_a_password_that_is_no_utf_8_is_an_error(
    toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python gives such bytes as lone surrogates, which nothing can send."""
    monkeypatch.setenv("KAFKA_PASSWORD", "k\udcff")
    with pytest.raises(ConfigError, match=r"kafka\.sasl_password: .*no UTF-8"):
        load(toml("[kafka]\nsasl_password_env = 'KAFKA_PASSWORD'\n"), {})


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("llm = 3\n", "TRIAGE_LLM__ENDPOINTS__A__MODEL", "m"),
        ("[llm]\nendpoints = []\n", "TRIAGE_LLM__ENDPOINTS__A__MODEL", "m"),
        ("", "TRIAGE_LLM__TIERS", "[broken"),
        ("", "TRIAGE_LLM__TIERS__X", "1"),
        ("", "TRIAGE_LLM", "3"),
        ("", "TRIAGE_HTTP__PORT", ""),
        ("", "TRIAGE_HTTP__", "1"),
        ("", "TRIAGE___", "1"),
    ],
)
def test_a_wrong_variable_is_an_error(toml: Any, text: str, name: str, value: str) -> None:
    """A wrong variable of the environment would end the program with a traceback."""
    with pytest.raises(ConfigError):
        load(toml(text), {name: value})


@pytest.mark.parametrize("servers", ["a:1", "a.b-c:9092, d:1", "[::1]:9092", "broker"])
def test_every_kind_of_broker_address_is_accepted(servers: str) -> None:
    """A cluster with an unusual but valid address could not be reached."""
    settings = load_environment(TRIAGE_KAFKA__BOOTSTRAP_SERVERS=servers)
    assert settings.kafka.bootstrap_servers == servers


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A directory, a binary file or a missing file would end in a traceback."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path, binary, tmp_path / "none"):
        with pytest.raises(ConfigError, match=str(path)):
            load(path, {})


EVERYTHING = f"""
[kafka]
group_id = 'quotes " and \\ and é \u2028'
sasl_password_env = "KAFKA_PASSWORD"
[llm]
tiers = ["a.b", "c d"]
[llm.endpoints."a.b"]
base_url = "https://a.example/v1"
model = "m"
api_key_env = "LLM_KEY"
[llm.endpoints."c d"]
base_url = "https://c.example/v1"
model = "del\\u007f"
temperature = 0.5
[llm.endpoints."c d".prices]
input_usd_per_million = 0
output_usd_per_million = 1e-3
[llm.budget]
usd_per_day = 0.5
usd_per_tenant_per_day = 0.25
[llm.budget.tenants]
"a.b c" = 0.125
[egress]
default = "full"
keep = ["ip", "host"]
[[egress.rules]]
policy = "redacted"
tenants = ["[acme]"]
labels = {{queue = ["cloud"]}}
[[rules]]
name = "the {{scanner}}"
when = 'event.source == "nessus" && labels.severity != "critical"'
suppress = true
until = 2026-12-31
[[rules]]
name = "vips"
when = 'event.title.matches("\\bCEO\\b")'
domains = ["tickets"]
labels = {{priority = "urgent"}}
review = true
[impact]
alerts = 'labels.severity in ["high", "critical"]'
tickets = ""
[retrieval]
runbooks = "run/books"
[[mappings]]
name = "v"
when = {{"x.y" = true, z = "é", n = 1.5}}
fields = {{id = "x.y"}}
[model]
path = "{Path("some") / "where"}"
"""


def config_show(path: Path) -> str:
    """The output of `triage config show` for a file."""
    arguments = ["show", "--config", str(path)]
    return CliRunner().invoke(config, arguments, catch_exceptions=False).stdout


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["defaults", "everything"])
def test_the_output_of_config_show_can_be_loaded(
    toml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """`triage config show > triage.toml` would write other settings, or a file that is not TOML."""
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("LLM_KEY", SECRET)
    path = toml(text)
    output = config_show(path)
    copy = tmp_path / "copy.toml"
    copy.write_text(output, "utf-8")
    assert load(copy, {}) == load(path, {})
    assert SECRET not in output


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["defaults", "everything"])
def test_settings_survive_the_way_through_the_environment(
    toml: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The worker of the demo would have other settings than the command that starts it."""
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    settings = load(toml(text), {})
    environ = as_environment(settings)
    assert load_environment(**environ) == settings
    assert all(isinstance(value, str) for value in environ.values())


def test_config_show_prints_every_key() -> None:
    """A user could not find out which keys exist."""
    output = config_show(Path("/dev/null"))
    document = tomllib.loads(output.replace("# ", "").replace(" is not set", " = 'unset'"))
    assert document == _without_empty_tables(msgspec.to_builtins(Settings()))


def test_programs_get_every_key_as_json(
    triage: Triage, toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program would have to parse TOML, or would see the key of the LLM."""
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("LLM_KEY", SECRET)
    code, out, err = triage("config", "show", "--config", toml(EVERYTHING), "--json")
    document = orjson.loads(out)
    assert (code, err) == (0, "")
    assert document["llm"]["endpoints"]["a.b"]["api_key_env"] == "LLM_KEY"
    assert set(document) == set(Settings.__struct_fields__)
    assert SECRET not in out


def test_a_valid_configuration_is_confirmed(
    triage: Triage, toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user could not see which broker the file and the environment name together."""
    monkeypatch.setenv("TRIAGE_TOPICS__PREFIX", "mine")
    path = toml('[kafka]\nbootstrap_servers = "127.0.0.1:9999"\n')
    assert triage("config", "validate", "--config", path) == (
        0,
        "the configuration is valid (broker 127.0.0.1:9999, prefix mine)\n",
        "",
    )


def _without_empty_tables(value: Any) -> Any:
    """The same without empty tables and with "unset" for None, because TOML has neither."""
    if value is None:
        return "unset"
    if not isinstance(value, dict):
        return value
    return {key: _without_empty_tables(inner) for key, inner in value.items() if inner != {}}
