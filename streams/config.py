"""One TOML file, every key overridable by environment: `TRIAGE_SECTION__KEY`, lists and tables as JSON."""

import os
import re
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import orjson
from msgspec import Meta, field

from inference.egress.options import EgressOptions
from inference.llm.options import CostOptions, LlmOptions
from inference.options import Options, Positive, Seconds
from inference.retrieval.options import RetrievalOptions
from inference.rules.options import ImpactOptions, Rule
from schemas.event import DOMAINS, Domain
from schemas.formats import Mapping as FormatMapping
from streams.errors import ConfigError

DEFAULT_PATH = Path("triage.toml")
ENV_PREFIX = "TRIAGE_"
# Not settings: where the file is, and knobs of the test suite.
ENV_RESERVED = frozenset({"TRIAGE_CONFIG"})

SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:\[\]/]+)(:\d{1,5})?")

Probability = Annotated[float, Meta(gt=0, lt=1)]
AgentName = Literal["classify", "enrich", "feedback"]
ALL_AGENTS: tuple[AgentName, ...] = ("classify", "enrich", "feedback")


class KafkaSection(Options, frozen=True):
    """How to reach the cluster, and how patient to be with it."""

    bootstrap_servers: str = "127.0.0.1:9092"
    group_id: str = "triage"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password_env: str | None = None
    ssl_cafile: str | None = None
    idempotence: Literal["auto", "on", "off"] = "auto"
    linger_ms: Annotated[int, Meta(ge=0)] = 5
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "none"
    delivery_timeout_s: Seconds = 120.0
    session_timeout_s: Seconds = 10.0
    heartbeat_interval_s: Seconds = 3.0
    commit_interval_s: Seconds = 1.0


class TopicsSection(Options, frozen=True):
    """Names start with `prefix`; partitions and replication are used by `triage topics create`."""

    prefix: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] = "triage"
    partitions: Positive = 4
    replication: Positive = 1


class HttpSection(Options, frozen=True):
    """Where `/metrics`, `/live` and `/ready` are served; port 0 picks a free one, which the log names."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9464
    progress_timeout_s: Seconds = 60.0


class ModelSection(Options, frozen=True):
    """The model directory (default: the shipped one) and how the processor is used; 0 lets a self-test choose."""

    path: str | None = None
    replicas: Annotated[int, Meta(ge=0)] = 0
    threads_per_replica: Annotated[int, Meta(ge=0)] = 0
    max_batch_tokens: Positive = 512
    max_waiting: Positive = 1024


class PipelineSection(Options, frozen=True):
    """How much one agent has in hand: batches of up to `max_batch_events`, at most `batches_in_flight` of them."""

    max_batch_events: Positive = 64
    max_batch_wait_ms: Annotated[int, Meta(ge=0)] = 5
    batches_in_flight: Positive = 3
    drain_timeout_s: Seconds = 4.5


class DomainSection(Options, frozen=True):
    """Which axes must be right for the small model to decide alone, and the promise about them."""

    deciding: Annotated[list[str], Meta(min_length=1)] = field(default_factory=lambda: ["queue"])
    alpha: Probability = 0.02
    unseen_alpha: Probability = 0.05
    delta: Probability = 0.10


class DomainsSection(Options, frozen=True):
    """One table a domain."""

    alerts: DomainSection = field(default_factory=DomainSection)
    tickets: DomainSection = field(default_factory=DomainSection)


class AuditSection(Options, frozen=True):
    """Where the key of the seal is: a variable or a file that holds it. With neither, records are sealed without."""

    key_env: str | None = None
    key_file: str | None = None


class LogSection(Options, frozen=True):
    """Structured JSON on stderr, or plain lines for a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "plain"] = "json"


class Settings(Options, frozen=True):
    """The whole configuration."""

    kafka: KafkaSection = field(default_factory=KafkaSection)
    topics: TopicsSection = field(default_factory=TopicsSection)
    http: HttpSection = field(default_factory=HttpSection)
    model: ModelSection = field(default_factory=ModelSection)
    pipeline: PipelineSection = field(default_factory=PipelineSection)
    domains: DomainsSection = field(default_factory=DomainsSection)
    llm: LlmOptions = field(default_factory=LlmOptions)
    cost: CostOptions = field(default_factory=CostOptions)
    egress: EgressOptions = field(default_factory=EgressOptions)
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    impact: ImpactOptions = field(default_factory=ImpactOptions)
    audit: AuditSection = field(default_factory=AuditSection)
    log: LogSection = field(default_factory=LogSection)
    mappings: list[FormatMapping] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    def domain(self, domain: Domain) -> DomainSection:
        """The table of one domain."""
        return {"alerts": self.domains.alerts, "tickets": self.domains.tickets}[domain]


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file, lay the environment over it, check everything.

    Without `path`, `TRIAGE_CONFIG` names the file, else `triage.toml` is read where it exists.

    Raises:
        ConfigError: says which key is wrong and what it takes.
    """
    named = path or (Path(environ["TRIAGE_CONFIG"]) if environ.get("TRIAGE_CONFIG") else None)
    document = _read(named or DEFAULT_PATH, required=named is not None)
    _overlay(document, environ)
    try:
        settings = msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"configuration: {error}; correct it or leave it out") from None
    _check(settings)
    return settings


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make another process load the same settings, whatever file it finds."""
    tables = msgspec.to_builtins(settings)
    flat = {
        f"{ENV_PREFIX}{s}__{k}": v
        for s, t in tables.items()
        if isinstance(t, dict)
        for k, v in t.items()
    }
    flat |= {f"{ENV_PREFIX}{s}": t for s, t in tables.items() if isinstance(t, list)}
    return {
        name.upper(): value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in flat.items()
        if value is not None
    }


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path} does not exist; create it or leave out --config") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if not _is_setting(name):
            continue
        *tables, key = _path(name, document)
        place = document
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise ConfigError(
                    f"{name} overrides a key inside {table!r}, which is not a table; rename one of them"
                )
        place[key] = _value(environ[name])


def _is_setting(name: str) -> bool:
    if not name.startswith(ENV_PREFIX) or name in ENV_RESERVED:
        return False
    return "__" in name or name.removeprefix(ENV_PREFIX).lower() in Settings.__struct_fields__


def _path(name: str, document: dict[str, Any]) -> list[str]:
    parts = [part.lower() for part in name.removeprefix(ENV_PREFIX).split("__")]
    # The names of endpoints are the user's own: keep the spelling the file uses.
    llm = document.get("llm") if parts[:2] == ["llm", "endpoints"] else None
    known = llm.get("endpoints") if isinstance(llm, dict) else None
    spelling = {key.lower(): key for key in known} if isinstance(known, dict) else {}
    return [spelling.get(part, part) if index == 2 else part for index, part in enumerate(parts)]  # noqa: PLR2004


def _value(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def _check(settings: Settings) -> None:
    _check_llm(settings.llm)
    _check_kafka(settings.kafka)
    for domain in DOMAINS:
        if len(set(settings.domain(domain).deciding)) != len(settings.domain(domain).deciding):
            raise ConfigError(f"domains.{domain}.deciding names an axis twice; list each once")


def _check_llm(llm: LlmOptions) -> None:
    for tier in llm.tiers:
        if tier not in llm.endpoints:
            raise ConfigError(
                f"llm.tiers names {tier!r}; describe it under [llm.endpoints.{tier}] or leave it out"
            )
    if len(set(llm.tiers)) < len(llm.tiers):
        raise ConfigError("llm.tiers names an endpoint twice; list each once")
    for name, endpoint in llm.endpoints.items():
        where = f"llm.endpoints.{name}.base_url"
        try:
            url = urlsplit(endpoint.base_url)
        except ValueError:
            raise ConfigError(f"{where} is no URL; write it as https://HOST/v1") from None
        if not url.hostname:
            raise ConfigError(f"{where} names no host; write it as https://HOST/v1")
        # Shown by `config show`, in logs and by the doctor: no place for a key.
        if "@" in url.netloc or url.query or url.fragment:
            raise ConfigError(
                f"{where} holds more than an address; a key's variable goes into api_key_env"
            )


def _check_kafka(kafka: KafkaSection) -> None:
    if not all(SERVER.fullmatch(server.strip()) for server in kafka.bootstrap_servers.split(",")):
        raise ConfigError("kafka.bootstrap_servers takes HOST:PORT, and commas between several")
    if kafka.heartbeat_interval_s * 3 > kafka.session_timeout_s:
        raise ConfigError(
            "kafka.heartbeat_interval_s must be at most a third of kafka.session_timeout_s"
        )
    if kafka.sasl_password_env and kafka.sasl_password_env not in os.environ:
        raise ConfigError(
            f"kafka.sasl_password_env names {kafka.sasl_password_env}, which is not set; export it"
        )
    if "SASL" in kafka.security_protocol and not (kafka.sasl_username and kafka.sasl_password_env):
        raise ConfigError(
            "kafka.security_protocol with SASL needs kafka.sasl_username and kafka.sasl_password_env"
        )
    if kafka.compression not in ("none", "gzip") and find_spec("cramjam") is None:
        raise ConfigError(
            f"kafka.compression {kafka.compression!r} needs the package cramjam; install it or use gzip"
        )
