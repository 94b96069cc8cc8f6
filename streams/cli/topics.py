"""`triage topics create`, `triage topics check` and `triage topics acl`."""

import asyncio
from dataclasses import asdict

import click

from streams.cli.options import as_json, configured
from streams.cli.output import echo, echo_json
from streams.config import Settings
from streams.errors import TopicsMissing
from streams.kafka.acl import ROLES, Role, as_commands, as_kafka_users, grants
from streams.kafka.admin import check_topics, create_topics
from streams.kafka.partition_counts import partition_warnings
from streams.topics import Topics

for_workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="How many workers are to share the input topics (default: those in the group now).",
)


@click.group(epilog="Example: triage topics create")
def topics() -> None:
    """Create or check the topics, or print the rights that they need."""


@topics.command(epilog="Example: TRIAGE_TOPICS__PARTITIONS=8 triage topics create --workers 4")
@for_workers
@as_json
@configured
def create(settings: Settings, workers: int | None, json_: bool) -> None:
    """Create the topics that are missing, and warn of too few partitions."""
    created = asyncio.run(create_topics(settings))
    warnings = asyncio.run(partition_warnings(settings, workers))
    if json_:
        echo_json({"created": created, "warnings": warnings})
        return
    for name in created:
        echo(f"created {name} ({settings.topics.partitions} partitions)")
    if not created:
        echo("every topic is there already")
    _warn(warnings)


@topics.command(epilog="Example: triage topics check --workers 8")
@for_workers
@as_json
@configured
def check(settings: Settings, workers: int | None, json_: bool) -> None:
    """Say what is wrong with the topics; exit code 1 if anything is.

    A number of partitions that is unwise is a warning, and no problem.
    """
    problems = asyncio.run(check_topics(settings))
    warnings = asyncio.run(partition_warnings(settings, workers))
    if json_:
        echo_json({"problems": problems, "warnings": warnings})
    elif not problems:
        echo("every topic is there and as it must be")
    if not json_:
        _warn(warnings)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise TopicsMissing(problems[0] + more)


@topics.command(epilog="Example: triage topics acl --role worker --principal worker=User:triage")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    help="A role to print; repeat it for several (default: all).",
)
@click.option(
    "--principal",
    "principals",
    metavar="ROLE=PRINCIPAL",
    multiple=True,
    help="Who has a role; repeat it for several (default: User:triage-ROLE).",
)
@click.option(
    "--consumer-group",
    help="The group that reads the triaged topics (default: [kafka] group_id and -consumer).",
)
@click.option("--table", is_flag=True, help="Print KafkaUser resources of Strimzi, as YAML.")
@as_json
@configured
def acl(
    settings: Settings,
    roles: tuple[Role, ...],
    principals: tuple[str, ...],
    consumer_group: str | None,
    table: bool,
    json_: bool,
) -> None:
    """Print the rights that each role needs, and no more.

    By default as commands of Kafka's own tool, for the configured prefix and group. Nothing is
    changed, and no broker is asked.
    """
    group_id = settings.kafka.group_id
    names = _principals(principals)
    rights = [
        grant
        for grant in grants(
            Topics(settings.topics.prefix),
            group_id=group_id,
            consumer_group=consumer_group or f"{group_id}-consumer",
        )
        if grant.role in (roles or ROLES)
    ]
    if json_:
        documents = [{"principal": names[grant.role], **asdict(grant)} for grant in rights]
        echo_json({"acls": documents}, indent=True)
    elif table:
        for line in "\n---\n".join(as_kafka_users(rights, names)).splitlines():
            echo(line)
    else:
        for command in as_commands(rights, names, settings.kafka.bootstrap_servers):
            echo(command)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        echo(f"warning: {warning}", err=True)


def _principals(options: tuple[str, ...]) -> dict[Role, str]:
    """The principal of each role."""
    principals: dict[Role, str] = {role: f"User:triage-{role}" for role in ROLES}
    for option in options:
        name, _, principal = option.partition("=")
        role = next((role for role in ROLES if role == name), None)
        kind, _, who = principal.partition(":")
        if role is None or not (kind and who):
            raise click.BadParameter(
                f"{option!r} is not ROLE=PRINCIPAL, for instance worker=User:triage; the roles are "
                f"{', '.join(ROLES)}",
                param_hint="--principal",
            )
        principals[role] = principal
    return principals
