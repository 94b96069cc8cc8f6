"""The whole configuration, and how it is read.

Every key can be overridden by a variable `TRIAGE_SECTION__KEY`; lists and tables are given as JSON.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
from msgspec import field

from inference.acceptance.options import Terms
from inference.egress.options import EgressOptions
from inference.errors import ConfigError
from inference.llm.options import CostOptions, LlmOptions, check_options
from inference.options import Options
from inference.retrieval.options import RetrievalOptions
from inference.rules.options import ImpactOptions, Rule
from inference.toml_file import parse_toml
from schemas.codec import prepared
from schemas.event import DOMAINS, Domain
from schemas.formats import Mapping as FormatMapping
from schemas.limits import Limits
from streams.config.kafka import KafkaSection, check_kafka
from streams.config.sections import (
    AuditSection,
    ConsoleSection,
    DomainsSection,
    FormatsSection,
    HttpSection,
    LabelsSection,
    LearningSection,
    LogSection,
    ModelSection,
    PipelineSection,
    ReviewSection,
    SpotChecksSection,
    StormsSection,
    TopicsSection,
    TracesSection,
)
from streams.config.security import ReviewerSection, SecuritySection

DEFAULT_PATH = Path("triage.toml")
ENV_PREFIX = "TRIAGE_"
# This variable names the file; it is not a key of it.
ENV_RESERVED = frozenset({"TRIAGE_CONFIG"})


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
    traces: TracesSection = field(default_factory=TracesSection)
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
        settings = msgspec.convert(document, prepared(Settings), strict=False)
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
        return parse_toml(path.read_bytes())
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path} does not exist; create it or leave out --config") from None
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used: {error}") from None


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
    check_kafka(settings.kafka)
    _check_http(settings.http)
    names = [reviewer.name for reviewer in settings.reviewers]
    if len(set(names)) < len(names):
        raise ConfigError("reviewers names somebody twice; give each a name of their own")
    for domain in DOMAINS:
        deciding = settings.domain(domain).deciding
        if len(set(deciding)) != len(deciding):
            raise ConfigError(f"domains.{domain}.deciding names an axis twice; list each once")


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


def _check_http(http: HttpSection) -> None:
    if (http.ssl_certfile is None) != (http.ssl_keyfile is None):
        raise ConfigError("http.ssl_certfile and http.ssl_keyfile belong together; set both")
    if http.ssl_client_cafile is not None and http.ssl_certfile is None:
        raise ConfigError("http.ssl_client_cafile needs TLS; set http.ssl_certfile and ssl_keyfile")
