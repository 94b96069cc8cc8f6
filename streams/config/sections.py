"""The sections of the configuration; `settings` puts them together."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, field

from agents.admission import Admission
from agents.label_rows import RowsKept
from inference.acceptance.options import Terms
from inference.options import Options, Positive, Seconds
from inference.secret import read_secret
from schemas.event import DOMAINS, KIND_OF_DOMAIN, Domain, Kind
from schemas.folding import fold
from schemas.formats import MAX_EVENTS_PER_RECORD

HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,100}$")]
AgentName = Literal["classify", "enrich", "feedback", "learn"]
ALL_AGENTS: tuple[AgentName, ...] = ("classify", "enrich", "feedback", "learn")
DEFAULT_AGENTS: tuple[AgentName, ...] = ("classify", "enrich", "feedback")
"""Those that a worker runs if nothing else is said: learning needs a place for its models."""
TEMPORARY = ":temporary:"
"""As `review.state`: the view is kept in a temporary file, and made again at every start."""

Share = Annotated[float, Meta(gt=0, le=1)]


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
    `score_parts`, the parts of an alert whose severity is below high are scored alone, too. The
    vectors of the latest `cached_texts` texts of each domain are kept; 0 keeps none. With
    `instruction_set` ``auto`` a short self-test chooses which instructions of the processor the
    encoder uses, with ``default`` CTranslate2 does.
    """

    path: str | None = None
    public_key: Annotated[str, Meta(pattern=r"^RW[QRST][A-Za-z0-9+/]{53}$")] | None = None
    replicas: Annotated[int, Meta(ge=0)] = 0
    threads_per_replica: Annotated[int, Meta(ge=0)] = 0
    max_batch_tokens: Positive = 512
    max_waiting: Positive = 1024
    score_parts: bool = True
    instruction_set: Literal["auto", "default"] = "auto"
    cached_texts: Annotated[int, Meta(ge=0, le=1_000_000)] = 8_192


class LabelsSection(Options, frozen=True):
    """Where the labels file is, and how long its descriptions may be in a prompt for an LLM."""

    path: str | None = None
    max_prompt_chars: Positive = 12_000


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
    and `max_batch_bytes` bytes; a larger event is a batch of its own. The last batch that may be
    processed beside the others waits `max_batch_wait_ms` for more events. At most
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


class ReviewSection(Options, frozen=True):
    """Where the view of cases is kept, and for how long.

    `state` is a file of SQLite that the view makes, or `TEMPORARY`. By default it is in the user's
    cache directory and named by the bootstrap servers and the prefix of the topics. What was
    decided longer than `keep_days` ago is forgotten. A view that is made again reads as far back.
    """

    state: Annotated[str, Meta(min_length=1)] | None = None
    keep_days: Positive = 30


class TracesSection(Options, frozen=True):
    """Whether a worker follows events with spans of OpenTelemetry.

    Where the spans go is said by the standard variables ``OTEL_…``.
    """

    enabled: bool = False


class LogSection(Options, frozen=True):
    """Structured JSON on stderr, or plain lines for a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "plain"] = "json"
