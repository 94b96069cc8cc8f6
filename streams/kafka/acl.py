"""The rights that each role needs on Kafka, and no more.

`grants` is the whole list. `tests/integration/test_acl.py` holds it to a real broker: each role can
do its work with its rights, and each right that is taken away breaks what its `without` says.

- Read and Write on a topic or group include Describe on it; Create and DescribeConfigs do not.
- An idempotent producer needs nothing but Write since Kafka 3.0.
- `triage topics check` and the check at the start of a worker see only topics that they may
  describe.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from schemas.event import DOMAINS
from streams.topics import Topics

Role = Literal["worker", "producer", "consumer", "reviewer", "console", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
Resource = Literal["topic", "group"]
Pattern = Literal["literal", "prefixed"]


@dataclass(frozen=True, slots=True)
class Grant:
    """One right of a role on one resource; `without` says what stops working if it is missing."""

    role: Role
    operation: Operation
    resource: Resource
    pattern: Pattern
    name: str
    without: str


def grants(topics: Topics, *, group_id: str, consumer_group: str) -> list[Grant]:
    """The rights of all roles.

    Args:
        topics: The names of the topics.
        group_id: The group of the workers.
        consumer_group: The group of whoever reads the triaged topics.
    """
    inputs = [topics.input(domain) for domain in DOMAINS]
    triaged = [topics.triaged(domain) for domain in DOMAINS]
    sized = [topics.enrichment, topics.review, topics.labels, topics.deadletter]
    rows: list[tuple[Role, Operation, Sequence[str], str]] = [
        ("worker", "Read", inputs, "events are not triaged"),
        ("worker", "Read", [topics.enrichment], "provisional events do not end"),
        ("worker", "Read", [topics.feedback], "verdicts of people are not applied"),
        ("worker", "Read", triaged, "answers given before are not found, so no case ends"),
        ("worker", "Read", [topics.review], "the events that verdicts are about are not found"),
        ("worker", "Read", [topics.labels], "the promise is not watched"),
        ("worker", "Read", [topics.audit], "the chains cannot be continued, so no worker starts"),
        ("worker", "Write", triaged, "decisions are not published"),
        ("worker", "Write", [topics.enrichment], "events that the model is unsure of do not end"),
        ("worker", "Write", [topics.review], "cases do not reach a person"),
        ("worker", "Write", [topics.labels], "decisions of people and of the LLM do not end"),
        ("worker", "Write", [topics.audit], "decisions are not recorded, so none is published"),
        ("worker", "Write", [topics.deadletter], "a broken record stops its partition"),
        ("worker", "DescribeConfigs", [*sized, topics.audit], "wrong limits are not reported"),
        ("producer", "Write", inputs, "events cannot be sent"),
        ("consumer", "Read", triaged, "decisions cannot be read"),
        ("reviewer", "Read", [topics.review], "cases cannot be seen"),
        ("reviewer", "Read", triaged, "nobody sees which cases were decided"),
        ("reviewer", "Read", [topics.deadletter], "nobody is told why a verdict was refused"),
        ("reviewer", "Write", [topics.feedback], "verdicts cannot be given"),
        ("console", "Read", triaged, "decisions cannot be shown"),
        ("console", "Read", [topics.review], "cases cannot be shown"),
        ("console", "Read", [topics.labels], "figures of what was decided cannot be shown"),
        ("console", "Read", [topics.deadletter], "nobody is told why a verdict was refused"),
        ("console", "Describe", [*inputs, topics.enrichment], "the lag cannot be shown"),
        ("console", "Write", [topics.feedback], "verdicts cannot be given"),
        ("operator", "Create", list(topics), "topics create cannot make the topic"),
        ("operator", "Describe", [*sized[:2], topics.feedback], "topics check does not see it"),
        ("operator", "DescribeConfigs", [*sized, topics.audit], "wrong limits are not reported"),
        ("operator", "Read", [topics.deadletter], "dead letters cannot be listed or replayed"),
        ("operator", "Write", inputs, "dead letters cannot be sent back"),
        ("operator", "Read", triaged, "watch and cost have nothing to read"),
        ("operator", "Read", [topics.audit], "audit verify has nothing to read"),
        ("operator", "Read", [topics.labels], "learn, promise and labels forget have no rows"),
        ("operator", "Write", [topics.labels], "labels forget cannot erase rows"),
        ("operator", "Write", [topics.audit], "labels forget cannot record what it erases"),
    ]
    replay = f"{group_id}-replay-"
    on_topics = [
        Grant(role, operation, "topic", "literal", name, without)
        for role, operation, names, without in rows
        for name in names
    ]
    on_groups = [
        Grant("worker", "Read", "group", "literal", group_id, "workers cannot join their group"),
        Grant("consumer", "Read", "group", "literal", consumer_group, "offsets are not kept"),
        Grant("console", "Describe", "group", "literal", group_id, "the lag cannot be shown"),
        Grant("operator", "Read", "group", "prefixed", replay, "deadletters replay cannot start"),
    ]
    return sorted([*on_topics, *on_groups], key=lambda grant: ROLES.index(grant.role))


def as_commands(
    rights: Iterable[Grant], principals: Mapping[Role, str], bootstrap_servers: str
) -> Iterator[str]:
    """The same as command lines of Kafka's own tool, one for the topics of a role and operation."""

    def key(grant: Grant) -> tuple[int, str, str, str]:
        return ROLES.index(grant.role), grant.resource, grant.operation, grant.pattern

    tool = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers]
    for _, group in groupby(sorted(rights, key=key), key=key):
        alike = list(group)
        first = alike[0]
        words = [*tool, "--command-config", "admin.properties", "--add"]
        words += ["--allow-principal", principals[first.role], "--operation", first.operation]
        for grant in alike:
            words += [f"--{grant.resource}", grant.name]
        if first.pattern != "literal":
            words += ["--resource-pattern-type", first.pattern]
        yield shlex.join(words)


def as_kafka_users(rights: Iterable[Grant], principals: Mapping[Role, str]) -> Iterator[str]:
    """The same as YAML, one `KafkaUser` of the Strimzi operator for each role."""
    for role, group in groupby(rights, key=lambda grant: grant.role):
        lines = [
            "apiVersion: kafka.strimzi.io/v1beta2",
            "kind: KafkaUser",
            "metadata:",
            f"  name: {json.dumps(principals[role].removeprefix('User:'))}",
            "spec:",
            "  authorization:",
            "    type: simple",
            "    acls:",
        ]
        # JSON strings are YAML strings. Every name is quoted: a name may look like a number.
        for grant in group:
            lines += [
                f"      # without it: {grant.without}",
                "      - resource:",
                f"          type: {grant.resource}",
                f"          name: {json.dumps(grant.name)}",
                f"          patternType: {grant.pattern}",
                f"        operations: [{grant.operation}]",
            ]
        yield "\n".join(lines)
