"""The configuration: one TOML file, and the environment over it.

Every key can be overridden by a variable `TRIAGE_SECTION__KEY`; lists and tables are given as JSON.
Secrets are never in the configuration, only the name of the variable or file that holds one.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from datetime import time as dt_time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import orjson
from msgspec import Meta, field

from agents.admission import Admission
from agents.label_rows import RowsKept
from agents.reviewers import Reviewer
from inference.acceptance.options import Terms
from inference.addresses import is_loopback
from inference.egress.options import EgressOptions
from inference.errors import ConfigError
from inference.llm.options import CostOptions, LlmOptions, check_options, check_url
from inference.options import Options, Positive, Seconds
from inference.retrieval.options import RetrievalOptions
from inference.rules.options import ImpactOptions, Rule
from inference.secret import read_secret
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Kind
from schemas.folding import fold
from schemas.formats import MAX_EVENTS_PER_RECORD
from schemas.formats import Mapping as FormatMapping
from schemas.limits import Limits
from schemas.signing import WorkerKeys

DEFAULT_PATH = Path("triage.toml")
ENV_PREFIX = "TRIAGE_"
# This variable names the file; it is not a key of it.
ENV_RESERVED = frozenset({"TRIAGE_CONFIG"})

SERVER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:\[\]/]+)(:\d{1,5})?")

GroupInstanceId = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,100}$")]
MIN_KEY_BYTES = 16
SECONDS_PER_DAY = 86_400

AgentName = Literal["classify", "enrich", "feedback", "learn"]
ALL_AGENTS: tuple[AgentName, ...] = ("classify", "enrich", "feedback", "learn")
DEFAULT_AGENTS: tuple[AgentName, ...] = ("classify", "enrich", "feedback")
"""Those that a worker runs if nothing else is said: learning needs a place for its models."""
TEMPORARY = ":temporary:"
"""As `review.state`: the view is kept in a temporary file, and made again at every start."""


class KafkaSection(Options, frozen=True):
    """How to reach the cluster, and how long to wait for it."""

    bootstrap_servers: str = "127.0.0.1:9092"
    group_id: str = "triage"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password_env: str | None = None
    sasl_password_file: str | None = None
    oauth_token_file: str | None = None
    oauth_token_url: str | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_env: str | None = None
    oauth_client_secret_file: str | None = None
    oauth_scope: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_key_password_env: str | None = None
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    group_instance_id: GroupInstanceId | None = None
    idempotence: Literal["auto", "on", "off"] = "auto"
    linger_ms: Annotated[int, Meta(ge=0)] = 0
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "none"
    delivery_timeout_s: Seconds = 120.0
    session_timeout_s: Seconds = 10.0
    heartbeat_interval_s: Seconds = 3.0
    commit_interval_s: Seconds = 1.0

    def read_password(self) -> str | None:
        """The password for SASL; None if none is configured.

        Raises:
            ConfigError: the variable or file that should hold it is missing or empty, or holds no
                UTF-8.
        """
        return self._text("sasl_password", self.sasl_password_env, self.sasl_password_file)

    def read_client_secret(self) -> str | None:
        """The secret of the OAuth client; None if none is configured.

        Raises:
            ConfigError: as `read_password` does.
        """
        return self._text(
            "oauth_client_secret", self.oauth_client_secret_env, self.oauth_client_secret_file
        )

    def read_key_password(self) -> str | None:
        """The password of the key in `ssl_keyfile`; None if none is configured.

        Raises:
            ConfigError: as `read_password` does.
        """
        return self._text("ssl_key_password", self.ssl_key_password_env, None)

    def _text(self, key: str, env: str | None, file: str | None) -> str | None:
        key = f"kafka.{key}"
        secret = read_secret(env, file, key=key)
        try:
            return None if secret is None else secret.decode()
        except UnicodeDecodeError:
            raise ConfigError("the secret is no UTF-8; write it as UTF-8", key=key) from None


class InputSection(Options, frozen=True):
    """What the input topic of one domain may carry; an empty list takes everything.

    With a `tenant`, every event of the topic belongs to it, whatever the event says.
    """

    tenant: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    kinds: list[Kind] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)


class TopicsSection(Options, frozen=True):
    """The prefix of the topics; `triage topics create` also uses partitions and replication.

    `inputs` says for an input topic, by its domain, what it may carry.
    """

    prefix: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] = "triage"
    partitions: Positive = 4
    replication: Positive = 1
    inputs: dict[Domain, InputSection] = field(default_factory=dict)

    def admission(self, domain: Domain) -> Admission:
        """What the input topic of a domain may carry."""
        section = self.inputs.get(domain, InputSection())
        return Admission(section.tenant, section.kinds, section.sources)

    @property
    def claimed(self) -> list[Domain]:
        """The domains in which the tenant of an event may be only what its sender says.

        An event of a domain may come from every input topic that takes its kind.
        """
        inputs = [self.admission(domain) for domain in DOMAINS]
        return [
            domain
            for domain in DOMAINS
            if any(
                each.tenant is None and (not each.kinds or KIND_OF_DOMAIN[domain] in each.kinds)
                for each in inputs
            )
        ]


class HttpSection(Options, frozen=True):
    """Where `/metrics`, `/live` and `/ready` are served; port 0 picks a free one and logs it.

    `/ready` fails if an event has been in hand for longer than `progress_timeout_s`.

    On another address than one of loopback, `/metrics` needs a token, or a certificate from an
    authority in `ssl_client_cafile`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9464
    token_env: str | None = None
    token_file: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_client_cafile: str | None = None
    max_connections: Positive = 64
    progress_timeout_s: Seconds = 60.0

    def read_token(self) -> bytes | None:
        """The token that a reader of `/metrics` has to show; None if none is configured.

        Raises:
            ConfigError: the variable or the file is missing or empty.
        """
        return read_secret(self.token_env, self.token_file, key="http.token")


class ConsoleSection(Options, frozen=True):
    """Where the console is served, who may see it, and what they may do; port 0 picks a free one.

    Without people and a proxy, whoever reaches the address is an admin, so it must be one of
    loopback. `public_url` is what browsers call the console if that is not `host` and `port`: the
    address of a proxy in front of it, for instance.

    With `[[reviewers]]`, a verdict is signed with the key of the reviewer who has the name of the
    person, or else with that of `reviewer`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9470
    public_url: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    tokens_env: str | None = None
    tokens_file: str | None = None
    trusted_proxy: str | None = None
    proxy_user_header: HeaderName = "X-Forwarded-User"
    proxy_role_header: HeaderName | None = None
    proxy_tenants_header: HeaderName | None = None
    reviewer: str | None = None
    hold_s: Annotated[float, Meta(ge=0, le=60)] = 10.0
    claim_s: Seconds = 300.0
    session_s: Seconds = 43_200.0
    max_connections: Positive = 256
    requests_per_second: Positive = 50
    logins_per_minute: Positive = 10

    def read_people(self) -> bytes | None:
        """The file of people, as TOML; None if none is configured.

        Raises:
            ConfigError: the variable or the file is missing or empty.
        """
        return read_secret(self.tokens_env, self.tokens_file, key="console.tokens")


class ModelSection(Options, frozen=True):
    """The model directory (default: the shipped one), and how it uses the processor.

    With a `public_key` of minisign, only a directory that is signed with it is loaded. With
    `replicas` 0 a short self-test chooses replicas and threads when the model is loaded. With
    `score_parts`, the parts of an alert whose severity is below high are scored alone, too.
    """

    path: str | None = None
    public_key: Annotated[str, Meta(pattern=r"^RW[QRST][A-Za-z0-9+/]{53}$")] | None = None
    replicas: Annotated[int, Meta(ge=0)] = 0
    threads_per_replica: Annotated[int, Meta(ge=0)] = 0
    max_batch_tokens: Positive = 512
    max_waiting: Positive = 1024
    score_parts: bool = True


class LabelsSection(Options, frozen=True):
    """Where the labels file is, and how long its descriptions may be in a prompt for an LLM."""

    path: str | None = None
    max_prompt_chars: Positive = 12_000


Share = Annotated[float, Meta(gt=0, le=1)]


class LearningSection(Options, frozen=True):
    """What is kept of decisions to learn from, and how a learned model comes to be served.

    `keep` says what a labelled row holds: ``text`` everything, ``labels`` no text of the event,
    ``off`` keeps no rows. Nothing is kept of the tenants in `exclude_tenants`. With
    `retention_days` 0, rows are kept until they are erased.

    At most `max_share_of_reviewer` of the rows of people that are learned from may be of one
    person, and at most `max_share_of_llm` of all of them of the LLM. Nothing is learned from the
    people in `exclude_reviewers`.

    `models` is the registry: a directory with a folder for each model. The learner trains when
    `min_new_rows` rows that people decided are new in a domain, and looks every `interval_s`. It
    learns from the newest `max_rows` rows. A row that the LLM decided teaches with the weight
    `llm_weight`; one that a person decided has the weight 1. `encoder` is a converted encoder or a
    model directory; without it, the learner takes the general one.

    A candidate is tried on live events beside the model that is served, for at most `shadow_share`
    of the time of one processor in each worker. With `promote` ``auto``, it is served as soon as it
    has passed its test. With `keep_axes`, axes that a learned model lacks are labelled by the model
    of `[model] path`.
    """

    keep: Literal["text", "labels", "off"] = "text"
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    exclude_tenants: list[str] = field(default_factory=list)
    max_share_of_reviewer: Share = 1.0
    max_share_of_llm: Share = 1.0
    exclude_reviewers: list[str] = field(default_factory=list)
    models: str | None = None
    promote: Literal["ask", "auto"] = "ask"
    min_new_rows: Positive = 50
    interval_s: Seconds = 60.0
    max_rows: Positive = 50_000
    llm_weight: Share = 0.5
    encoder: str | None = None
    shadow_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    keep_axes: bool = True

    def rows_kept(self) -> RowsKept:
        """What is kept of a labelled row."""
        return RowsKept(self.keep, frozenset(map(fold, self.exclude_tenants)))


class SpotChecksSection(Options, frozen=True):
    """How many of the accepted events a person checks: a `share` of them, drawn at random.

    Of each domain at least so many a day are drawn, where so many events are accepted. With `share`
    0, none are drawn.
    """

    share: Annotated[float, Meta(ge=0, le=1)] = 0.02
    at_least_per_day: Annotated[int, Meta(ge=0, le=100_000)] = 20


class FormatsSection(Options, frozen=True):
    """Whether a record may hold several events, and how many.

    A record that holds more, or several although it must not, becomes one dead letter.
    """

    split: bool = True
    max_events_per_record: Positive = MAX_EVENTS_PER_RECORD


class PipelineSection(Options, frozen=True):
    """How much one agent has in hand. A record counts as many times as it holds events.

    It processes at most `batches_in_flight` batches at once, of at most `max_batch_events` events
    and `max_batch_bytes` bytes; a larger event is a batch of its own. While a batch is being
    processed, the next one waits `max_batch_wait_ms` for more events. At most
    `max_unsettled_events` events of one partition wait for the broker at once.
    """

    max_batch_events: Positive = 64
    max_batch_bytes: Positive = 4 * 1024 * 1024
    max_unsettled_events: Positive = 1000
    max_batch_wait_ms: Annotated[int, Meta(ge=0)] = 5
    batches_in_flight: Positive = 3
    drain_timeout_s: Seconds = 4.5


class StormsSection(Options, frozen=True):
    """When a partition is paused because too many of its records are invalid.

    It is paused for `pause_s` after `max_run` invalid records in a row, or when more than
    `max_share` of its last `window_events` were invalid. A record counts once, and is invalid if
    more than half of its events are. `max_run` 0 and `max_share` 1 turn it off.
    """

    max_run: Annotated[int, Meta(ge=0)] = 100
    max_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    window_events: Positive = 500
    pause_s: Seconds = 60.0


class DomainsSection(Options, frozen=True):
    """The terms of the promise for each domain."""

    alerts: Terms = field(default_factory=Terms)
    tickets: Terms = field(default_factory=Terms)


class AuditSection(Options, frozen=True):
    """Where the key of the audit seal is: a variable or a file that holds it.

    Without either, records are sealed without a key.
    """

    key_env: str | None = None
    key_file: str | None = None

    def read_key(self, environ: Mapping[str, str] = os.environ) -> bytes | None:
        """The key that records are sealed with; None if none is configured.

        Raises:
            ConfigError: the variable or the file is missing or empty.
        """
        return read_secret(self.key_env, self.key_file, key="audit.key", environ=environ)


class SecuritySection(Options, frozen=True):
    """Where the key is with which workers sign what they write to internal topics.

    With it, a worker believes only what a worker has signed. The signatures of the previous key are
    still accepted, and no longer made. Without a key, nothing is signed and everything is believed.

    `unsigned_until` is the last day, in UTC, on which records without a signature are believed: for
    those that were written before there was a key.

    `people` are those who may give verdicts, as `by` names them. An empty list allows everybody.
    """

    worker_key_env: str | None = None
    worker_key_file: str | None = None
    previous_worker_key_env: str | None = None
    previous_worker_key_file: str | None = None
    unsigned_until: date | None = None
    people: list[str] = field(default_factory=list)

    def read_keys(self, environ: Mapping[str, str] = os.environ) -> WorkerKeys:
        """The keys of the workers, which may be none.

        Raises:
            ConfigError: a variable or a file is missing, empty or too short, or there is a previous
                key and no present one.
        """
        key = _read_signing_key(
            self.worker_key_env, self.worker_key_file, "security.worker_key", environ
        )
        previous = _read_signing_key(
            self.previous_worker_key_env,
            self.previous_worker_key_file,
            "security.previous_worker_key",
            environ,
        )
        if key is None and previous is not None:
            raise ConfigError(
                "is missing, but there is a previous key; configure both or neither",
                key="security.worker_key_env",
            )
        return WorkerKeys(key, previous, unsigned_until_s=_end_of_day_s(self.unsigned_until))


class ReviewerSection(Options, frozen=True):
    """Somebody who may give verdicts, with the key that they sign them with.

    With `tenants` or `axes`, they may decide only about these, and with `people` only in the name
    of these.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    key_env: str | None = None
    key_file: str | None = None
    tenants: list[str] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)

    def reviewer(self, environ: Mapping[str, str] = os.environ) -> Reviewer:
        """The reviewer with the key.

        Raises:
            ConfigError: the key is missing, empty or too short.
        """
        key = _read_signing_key(self.key_env, self.key_file, "reviewers.key", environ)
        if key is None:
            raise ConfigError(
                f"the reviewer {self.name!r} has no key; name the variable or the file that holds "
                "it in key_env or key_file",
                key="reviewers",
            )
        return Reviewer(self.name, key, self.tenants, self.axes, self.people)


def _end_of_day_s(day: date | None) -> float:
    """When a day ends in UTC, in seconds since the epoch; 0 without a day."""
    if day is None:
        return 0.0
    return datetime.combine(day, dt_time(), UTC).timestamp() + SECONDS_PER_DAY


def _read_signing_key(
    env: str | None, file: str | None, key: str, environ: Mapping[str, str]
) -> bytes | None:
    secret = read_secret(env, file, key=key, environ=environ)
    if secret is not None and len(secret) < MIN_KEY_BYTES:
        name = f"{key}_env" if env is not None else f"{key}_file"
        raise ConfigError(
            f"the key has fewer than {MIN_KEY_BYTES} bytes; make one with `openssl rand -hex 32`",
            key=name,
        )
    return secret


class ReviewSection(Options, frozen=True):
    """Where the view of cases is kept, and for how long.

    `state` is a file of SQLite that the view makes, or `TEMPORARY`. By default it is in the user's
    cache directory and named by the bootstrap servers and the prefix of the topics. What was
    decided longer than `keep_days` ago is forgotten. A view that is made again reads as far back.
    """

    state: Annotated[str, Meta(min_length=1)] | None = None
    keep_days: Positive = 30


class LogSection(Options, frozen=True):
    """Structured JSON on stderr, or plain lines for a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "plain"] = "json"


class Settings(Options, frozen=True):
    """The whole configuration."""

    kafka: KafkaSection = field(default_factory=KafkaSection)
    topics: TopicsSection = field(default_factory=TopicsSection)
    http: HttpSection = field(default_factory=HttpSection)
    console: ConsoleSection = field(default_factory=ConsoleSection)
    model: ModelSection = field(default_factory=ModelSection)
    labels: LabelsSection = field(default_factory=LabelsSection)
    learning: LearningSection = field(default_factory=LearningSection)
    spot_checks: SpotChecksSection = field(default_factory=SpotChecksSection)
    pipeline: PipelineSection = field(default_factory=PipelineSection)
    storms: StormsSection = field(default_factory=StormsSection)
    limits: Limits = field(default_factory=Limits)
    formats: FormatsSection = field(default_factory=FormatsSection)
    domains: DomainsSection = field(default_factory=DomainsSection)
    llm: LlmOptions = field(default_factory=LlmOptions)
    cost: CostOptions = field(default_factory=CostOptions)
    egress: EgressOptions = field(default_factory=EgressOptions)
    retrieval: RetrievalOptions = field(default_factory=RetrievalOptions)
    impact: ImpactOptions = field(default_factory=ImpactOptions)
    audit: AuditSection = field(default_factory=AuditSection)
    security: SecuritySection = field(default_factory=SecuritySection)
    log: LogSection = field(default_factory=LogSection)
    mappings: list[FormatMapping] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    review: ReviewSection = field(default_factory=ReviewSection)
    reviewers: list[ReviewerSection] = field(default_factory=list)

    @property
    def terms(self) -> dict[Domain, Terms]:
        """The terms of the promise, by domain."""
        return {"alerts": self.domains.alerts, "tickets": self.domains.tickets}

    def domain(self, domain: Domain) -> Terms:
        """The terms of one domain."""
        return self.terms[domain]


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file, lay the environment over it, and check everything.

    Without `path`, the variable `TRIAGE_CONFIG` names the file; without that, `triage.toml` is read
    if it exists.

    Raises:
        ConfigError: names the key that is wrong and says what it takes.
    """
    if path is None and environ.get("TRIAGE_CONFIG"):
        path = Path(environ["TRIAGE_CONFIG"])
    document = _read(path or DEFAULT_PATH, required=path is not None)
    _overlay(document, environ)
    try:
        settings = msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"configuration: {error}; correct it or leave it out") from None
    _check(settings, environ)
    return settings


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that make another process load the same settings, whatever file it finds."""
    variables: dict[str, Any] = {}
    for section, table in msgspec.to_builtins(settings).items():
        if isinstance(table, list):
            variables[f"{ENV_PREFIX}{section}"] = table
        else:
            variables |= {f"{ENV_PREFIX}{section}__{key}": value for key, value in table.items()}
    return {name.upper(): _as_text(value) for name, value in variables.items() if value is not None}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


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
        *tables, key = _key_path(name, document)
        table = document
        for table_name in tables:
            table = table.setdefault(table_name, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{name} overrides a key inside {table_name!r}, which is not a table; "
                    "rename one of them"
                )
        table[key] = _parse(environ[name])


def _is_setting(name: str) -> bool:
    if not name.startswith(ENV_PREFIX) or name in ENV_RESERVED:
        return False
    return "__" in name or name.removeprefix(ENV_PREFIX).lower() in Settings.__struct_fields__


def _key_path(name: str, document: dict[str, Any]) -> list[str]:
    parts = [part.lower() for part in name.removeprefix(ENV_PREFIX).split("__")]
    if parts[:2] == ["llm", "endpoints"] and len(parts) > 2:  # noqa: PLR2004 - llm, endpoints, NAME
        parts[2] = _spelling_in_file(parts[2], document)
    return parts


def _spelling_in_file(endpoint: str, document: dict[str, Any]) -> str:
    """The name of an endpoint as the file spells it: users choose these names."""
    llm = document.get("llm")
    endpoints = llm.get("endpoints") if isinstance(llm, dict) else None
    if not isinstance(endpoints, dict):
        return endpoint
    return next((name for name in endpoints if name.lower() == endpoint), endpoint)


def _parse(text: str) -> Any:
    if text[:1] in ("[", "{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    return text


def _check(settings: Settings, environ: Mapping[str, str]) -> None:
    _check_variables(msgspec.to_builtins(settings), "", environ)
    check_options(settings.llm)
    _check_kafka(settings.kafka)
    _check_http(settings.http)
    names = [reviewer.name for reviewer in settings.reviewers]
    if len(set(names)) < len(names):
        raise ConfigError("reviewers names somebody twice; give each a name of their own")
    for domain in DOMAINS:
        deciding = settings.domain(domain).deciding
        if len(set(deciding)) != len(deciding):
            raise ConfigError(f"domains.{domain}.deciding names an axis twice; list each once")


def _check_kafka(kafka: KafkaSection) -> None:
    servers = kafka.bootstrap_servers.split(",")
    if not all(SERVER.fullmatch(server.strip()) for server in servers):
        raise ConfigError("kafka.bootstrap_servers takes HOST:PORT, and commas between several")
    if kafka.heartbeat_interval_s * 3 > kafka.session_timeout_s:
        raise ConfigError(
            "kafka.heartbeat_interval_s must be at most a third of kafka.session_timeout_s"
        )
    _check_certificate(kafka)
    if "SASL" in kafka.security_protocol:
        _check_login(kafka)
    else:
        kafka.read_password()
    if kafka.compression not in ("none", "gzip") and find_spec("cramjam") is None:
        raise ConfigError(
            f"kafka.compression {kafka.compression!r} needs the package cramjam; "
            "install it or use gzip"
        )


def _check_variables(table: dict[str, Any], path: str, environ: Mapping[str, str]) -> None:
    """Refuse a secret in the place of a variable's name: errors and `config show` print names."""
    for key, value in table.items():
        name = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict):
            _check_variables(value, name, environ)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, dict):
                    _check_variables(part, name, environ)
        elif key.endswith("_env") and isinstance(value, str):
            usual = re.fullmatch(r"[A-Z_][A-Z0-9_]*", value)
            if not usual and value not in environ:
                raise ConfigError(
                    "takes the name of a variable; put the secret into a variable, and the name "
                    "of the variable here",
                    key=name,
                )


def _check_certificate(kafka: KafkaSection) -> None:
    if kafka.ssl_certfile is None:
        if kafka.ssl_keyfile is not None or kafka.ssl_key_password_env is not None:
            raise ConfigError("kafka.ssl_keyfile belongs to a certificate; set kafka.ssl_certfile")
    elif "SSL" not in kafka.security_protocol:
        raise ConfigError(
            "kafka.ssl_certfile needs TLS; set kafka.security_protocol to SSL or SASL_SSL"
        )
    kafka.read_key_password()


def _check_login(kafka: KafkaSection) -> None:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        _check_oauth(kafka)
    elif not (kafka.sasl_username and kafka.read_password()):
        raise ConfigError(
            "kafka.security_protocol with SASL needs kafka.sasl_username and "
            "kafka.sasl_password_env or kafka.sasl_password_file"
        )


def _check_oauth(kafka: KafkaSection) -> None:
    if (kafka.oauth_token_file is None) == (kafka.oauth_token_url is None):
        raise ConfigError(
            "kafka.sasl_mechanism OAUTHBEARER takes kafka.oauth_token_file or "
            "kafka.oauth_token_url; set one of the two"
        )
    if kafka.oauth_token_url is None:
        return
    if not (kafka.oauth_client_id and kafka.read_client_secret()):
        raise ConfigError(
            "kafka.oauth_token_url needs kafka.oauth_client_id and kafka.oauth_client_secret_env "
            "or kafka.oauth_client_secret_file"
        )
    check_url(kafka.oauth_token_url, "kafka.oauth_token_url", example="https://HOST/token")
    url = urlsplit(kafka.oauth_token_url)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise ConfigError(
            "would send the secret of the client over plain http; use https",
            key="kafka.oauth_token_url",
        )


def _check_http(http: HttpSection) -> None:
    if (http.ssl_certfile is None) != (http.ssl_keyfile is None):
        raise ConfigError("http.ssl_certfile and http.ssl_keyfile belong together; set both")
    if http.ssl_client_cafile is not None and http.ssl_certfile is None:
        raise ConfigError("http.ssl_client_cafile needs TLS; set http.ssl_certfile and ssl_keyfile")
