"""`triage topics acl`: the rights as commands, as KafkaUser resources, and as JSON."""

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from streams.cli.topics import topics
from streams.kafka.acl import ROLES, Grant, grants
from streams.topics import Topics

NAMES = Topics("triage")
RIGHTS = grants(NAMES, group_id="triage", consumer_group="triage-consumer")


def acl(*options: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(topics, ["acl", *options])


def test_every_topic_and_every_role_has_rights() -> None:
    """A new topic or role would have no rights, and whoever needs it could not work."""
    assert {grant.name for grant in RIGHTS if grant.resource == "topic"} == set(NAMES)
    assert [role for role in ROLES if any(grant.role == role for grant in RIGHTS)] == list(ROLES)
    keys = [(grant.role, grant.operation, grant.name) for grant in RIGHTS]
    assert len(set(keys)) == len(keys)


def test_only_workers_write_what_workers_decide() -> None:
    """Somebody else could publish decisions, or write the record of them.

    The operator appends what was erased to the audit topic; what is there, nobody can change.
    """
    decisions = {NAMES.triaged(domain) for domain in ("alerts", "tickets")}
    decisions |= {NAMES.enrichment, NAMES.review, NAMES.deadletter}
    writing = [grant for grant in RIGHTS if grant.operation == "Write"]
    assert {grant.role for grant in writing if grant.name in decisions} == {"worker"}
    on_audit = {grant.role for grant in writing if grant.name == NAMES.audit}
    assert on_audit == {"worker", "operator"}


def test_the_commands_give_every_right_once() -> None:
    """An operator who runs the commands would give too much, or too little."""
    printed = set()
    for line in acl().output.splitlines():
        words = shlex.split(line)
        assert words[0] == "kafka-acls.sh"
        options = list(pairwise(words))
        [operation] = [value for option, value in options if option == "--operation"]
        [principal] = [value for option, value in options if option == "--allow-principal"]
        for option, value in options:
            if option in ("--topic", "--group"):
                pattern = dict(options).get("--resource-pattern-type", "literal")
                printed.add((principal, operation, option[2:], pattern, value))
    assert printed == {key(grant) for grant in RIGHTS}


def key(grant: Grant) -> tuple[str, ...]:
    """What a broker stores about a right."""
    principal = f"User:triage-{grant.role}"
    return principal, grant.operation, grant.resource, grant.pattern, grant.name


def test_the_table_is_valid_yaml_with_the_same_rights() -> None:
    """An operator of Strimzi would give other rights than the commands give."""
    output = acl("--table").output
    users = list(yaml.safe_load_all(output))
    assert [user["metadata"]["name"] for user in users] == [f"triage-{role}" for role in ROLES]
    assert {user["kind"] for user in users} == {"KafkaUser"}
    printed = {
        (f"User:{user['metadata']['name']}", operation, *resource_of(entry))
        for user in users
        for entry in user["spec"]["authorization"]["acls"]
        for operation in entry["operations"]
    }
    assert printed == {key(grant) for grant in RIGHTS}


def resource_of(entry: dict[str, dict[str, str]]) -> tuple[str, str, str]:
    """The type, the pattern and the name of a resource of a KafkaUser."""
    resource = entry["resource"]
    return resource["type"], resource["patternType"], resource["name"]


def test_prefix_group_roles_and_principals_can_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rights would be for other topics, another group or another user."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIAGE_TOPICS__PREFIX", "soc")
    monkeypatch.setenv("TRIAGE_KAFKA__GROUP_ID", "soc-workers")
    options = ["--role", "worker", "--role", "consumer", "--consumer-group", "siem"]
    output = acl("--json", *options, "--principal", "worker=User:CN=w,O=x").output
    printed = json.loads(output)["acls"]
    assert {entry["role"]: entry["principal"] for entry in printed} == {
        "worker": "User:CN=w,O=x",
        "consumer": "User:triage-consumer",
    }
    assert {e["name"] for e in printed if e["resource"] == "group"} == {"soc-workers", "siem"}
    assert all(e["name"].startswith("soc.") for e in printed if e["resource"] == "topic")
    assert all(entry["without"] for entry in printed)


@pytest.mark.parametrize("option", ["worker", "worker=", "boss=User:x", "worker=alice", "=User:x"])
def test_a_wrong_principal_is_one_sentence(option: str) -> None:
    """A mistyped principal would get no rights, without a word."""
    result = acl("--principal", option)
    assert result.exit_code == 2
    assert "is not ROLE=PRINCIPAL" in result.output
