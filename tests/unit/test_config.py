"""The file, the environment over it, and one sentence for everything that is wrong."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from inference.egress.options import EgressRule
from inference.llm.options import PriceOptions
from inference.rules.ruling import Rule
from schemas.formats import Mapping
from streams.cli.config import config
from streams.config import Settings, as_environment, load
from streams.errors import ConfigError

SECRET = "sk-" + "very-secret"


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    """Writes a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "triage.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def load_environment(**environ: str) -> Settings:
    """What is in force with an empty file and this environment."""
    return load(Path("/dev/null"), environ)


def test_the_contracts_examples() -> None:
    """The environment of every deployment would be read as something else."""
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


def test_the_contracts_defaults() -> None:
    """A worker without a file would keep another promise than the documented one."""
    settings = load_environment()
    assert (settings.topics.prefix, settings.kafka.group_id, settings.llm.tiers) == (
        "triage",
        "triage",
        [],
    )
    for domain in (settings.domains.alerts, settings.domains.tickets):
        assert (domain.deciding, domain.alpha, domain.delta) == (["queue"], 0.02, 0.10)


def test_the_environment_goes_over_the_file(toml: Any) -> None:
    """A container could not be told anything without a new file."""
    path = toml('[kafka]\ngroup_id = "file"\nlinger_ms = 7\n[topics]\nprefix = "p"\n')
    settings = load(
        path, {"TRIAGE_KAFKA__GROUP_ID": "env", "TRIAGE_CONFIG": "/nowhere", "TRIAGE_KNOB": "x"}
    )
    assert (settings.kafka.group_id, settings.kafka.linger_ms, settings.topics.prefix) == (
        "env",
        7,
        "p",
    )


def test_an_endpoint_keeps_the_files_spelling(toml: Any) -> None:
    """`Small` of the file and `SMALL` of the environment would be two endpoints, each of them half."""
    path = toml('[llm.endpoints.Small]\nbase_url = "http://a"\nmodel = "m"\n')
    settings = load(path, {"TRIAGE_LLM__ENDPOINTS__SMALL__MODEL": "n"})
    assert list(settings.llm.endpoints) == ["Small"]
    assert settings.llm.endpoints["Small"].model == "n"


def test_tables_and_lists_are_json() -> None:
    """A whole endpoint or mapping could not be given by environment."""
    settings = load_environment(
        TRIAGE_LLM__ENDPOINTS='{"a":{"base_url":"http://a","model":"m"}}',
        TRIAGE_MAPPINGS='[{"name":"v","when":{"x.y":true},"fields":{"id":"x.y"}}]',
    )
    assert settings.llm.endpoints["a"].model == "m"
    assert settings.mappings == [Mapping(name="v", when={"x.y": True}, fields={"id": "x.y"})]


def test_the_llm_tier_by_environment() -> None:
    """A container could not be given a budget, a free model's price, a rule or a policy without a file."""
    settings = load_environment(
        TRIAGE_LLM__TIERS='["small"]',
        TRIAGE_LLM__ENDPOINTS__SMALL__BASE_URL="http://127.0.0.1:8080/v1",
        TRIAGE_LLM__ENDPOINTS__SMALL__MODEL="gemma",
        TRIAGE_LLM__ENDPOINTS__SMALL__PRICES='{"input_usd_per_million":0,"output_usd_per_million":0}',
        TRIAGE_LLM__ENDPOINTS__SMALL__TIMEOUT_S="90",
        TRIAGE_LLM__BUDGET__USD_PER_DAY="2.5",
        TRIAGE_LLM__BUDGET__TENANTS='{"acme":0.5}',
        TRIAGE_LLM__RETRIES__ATTEMPTS="1",
        TRIAGE_EGRESS__RULES='[{"policy":"never","tenants":["acme"],"labels":{"queue":["identity"]}}]',
        TRIAGE_EGRESS__KEEP='["ip"]',
        TRIAGE_RETRIEVAL__SETTLED_BY='["human","llm"]',
        TRIAGE_IMPACT__TICKETS="",
        TRIAGE_RULES='[{"name":"r","when":"true","suppress":true,"until":"2026-12-31"}]',
    )
    small = settings.llm.endpoints["small"]
    assert small.prices == PriceOptions(input_usd_per_million=0.0, output_usd_per_million=0.0)
    assert settings.llm.patience_s == 90.0, "a tier is not cut off before its own time"
    assert (settings.llm.budget.usd_per_day, settings.llm.budget.tenants) == (2.5, {"acme": 0.5})
    assert settings.llm.retries.attempts == 1
    assert settings.egress.rules == [
        EgressRule(policy="never", tenants=["acme"], labels={"queue": ["identity"]})
    ]
    assert settings.egress.keep == ["ip"]
    assert settings.retrieval.settled_by == ["human", "llm"]
    assert (settings.impact.tickets, bool(settings.impact.alerts)) == ("", True)
    assert settings.rules == [Rule(name="r", when="true", suppress=True, until=date(2026, 12, 31))]


def test_trigger_of_triage_config(
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
    ("text", "says"),
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
        ("[kafka]\nsasl_password_env = 'NO_SUCH_VARIABLE'\n", "NO_SUCH_VARIABLE"),
        ("[[mappings]]\nname = 'm'\nwhen = {}\nfields = {}\n", "empty `when`"),
        ("\ufeff[kafka]\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said(toml: Any, text: str, says: str) -> None:
    """A mistyped key would silently be the default, or a person would be shown a traceback."""
    with pytest.raises(ConfigError, match=says) as caught:
        load(toml(text), {})
    assert "\n" not in str(caught.value)


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
def test_a_wrong_environment_is_said(toml: Any, text: str, name: str, value: str) -> None:
    """A variable of the environment would end the program with a traceback."""
    with pytest.raises(ConfigError):
        load(toml(text), {name: value})


@pytest.mark.parametrize("servers", ["a:1", "a.b-c:9092, d:1", "[::1]:9092", "broker"])
def test_addresses_of_every_kind_are_taken(servers: str) -> None:
    """A cluster with an address we did not think of could not be reached."""
    assert (
        load_environment(TRIAGE_KAFKA__BOOTSTRAP_SERVERS=servers).kafka.bootstrap_servers == servers
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A directory, a binary file or a missing one would end in a traceback."""
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


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["defaults", "everything"])
def test_what_is_shown_can_be_loaded_again(
    toml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """`triage config show > triage.toml` would make a file that is not TOML, or says something else."""
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("LLM_KEY", SECRET)
    path = toml(text)
    shown = (
        CliRunner().invoke(config, ["show", "--config", str(path)], catch_exceptions=False).stdout
    )
    again = tmp_path / "again.toml"
    again.write_text(shown, "utf-8")
    assert load(again, {}) == load(path, {})
    assert SECRET not in shown


@pytest.mark.parametrize("text", ["", EVERYTHING], ids=["defaults", "everything"])
def test_what_is_loaded_can_be_handed_on(
    toml: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """The worker of the demo would run with other rules, policies or budgets than the command that started it."""
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    settings = load(toml(text), {})
    handed = as_environment(settings)
    assert load_environment(**handed) == settings
    assert all(isinstance(value, str) for value in handed.values())


def test_every_key_is_shown() -> None:
    """A person could not find out what there is to set."""
    shown = (
        CliRunner().invoke(config, ["show", "--config", "/dev/null"], catch_exceptions=False).stdout
    )
    document = tomllib.loads(shown.replace("# ", "").replace(" is not set", " = 'unset'"))
    assert document == _without_empty_tables(msgspec.to_builtins(Settings()))


def _without_empty_tables(value: Any) -> Any:
    """TOML shows no table without keys, and no None."""
    if not isinstance(value, dict):
        return "unset" if value is None else value
    return {key: _without_empty_tables(inner) for key, inner in value.items() if inner != {}}
