"""The configuration: one TOML file, and the environment over it.

Secrets are never in the configuration, only the name of the variable or file that holds one.
"""

from streams.config.kafka import KafkaSection
from streams.config.sections import (
    ALL_AGENTS,
    DEFAULT_AGENTS,
    TEMPORARY,
    AgentName,
    AuditSection,
    ConsoleSection,
    DomainsSection,
    FormatsSection,
    HttpSection,
    InputSection,
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
from streams.config.security import SECONDS_PER_DAY, ReviewerSection, SecuritySection
from streams.config.settings import Settings, as_environment, load

__all__ = [
    "ALL_AGENTS",
    "DEFAULT_AGENTS",
    "SECONDS_PER_DAY",
    "TEMPORARY",
    "AgentName",
    "AuditSection",
    "ConsoleSection",
    "DomainsSection",
    "FormatsSection",
    "HttpSection",
    "InputSection",
    "KafkaSection",
    "LabelsSection",
    "LearningSection",
    "LogSection",
    "ModelSection",
    "PipelineSection",
    "ReviewSection",
    "ReviewerSection",
    "SecuritySection",
    "Settings",
    "SpotChecksSection",
    "StormsSection",
    "TopicsSection",
    "TracesSection",
    "as_environment",
    "load",
]
