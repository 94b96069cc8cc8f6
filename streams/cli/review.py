"""`triage review`: what waits for a person, one case, a verdict, and what was decided."""

import asyncio
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, cast

import click
import msgspec
import orjson

from agents.cases import Known
from agents.label_rows import changed_by_people
from schemas.codec import prepared
from schemas.errors import InvalidEvent
from schemas.event import Domain
from schemas.plural import plural
from schemas.triaged import Verdict
from streams.cases.decide import Refused, check_verdict_labels, served_labels
from streams.cases.decide import decide as send_and_wait
from streams.cases.query import DIMENSIONS, DISAGREEMENT, MAX_LIMIT, CaseQuery, Order, State
from streams.cases.rows import labelled_rows
from streams.cases.view import open_view
from streams.cli.options import as_json, configured, domain, login
from streams.cli.output import echo, echo_json
from streams.cli.review_text import print_case, print_cases
from streams.config import Settings
from streams.errors import StreamError
from streams.kafka.producer import Producer

DEFAULT_TIMEOUT_S = 30.0
Command = Callable[..., Any]

tenant_option = click.option("--tenant", help="Only this tenant's.")


class Setting(click.ParamType):
    """`AXIS=VALUE`, as a person sets a label."""

    name = "AXIS=VALUE"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The axis and the value."""
        axis, separator, label = value.partition("=")
        if not (axis and separator and label):
            self.fail(f"{value!r} is no label; write it as queue=billing", param, ctx)
        return axis, label


def filters(command: Command) -> Command:
    """Add the options that choose cases, and give the command a `query` with them."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen = {name: kwargs.pop(name) for name in FILTERS}
        return command(*args, query=CaseQuery(**chosen), **kwargs)

    for option in reversed(FILTER_OPTIONS):
        run = option(run)
    return run


FILTERS = (*DIMENSIONS, "text")
FILTER_OPTIONS = (
    domain,
    click.option("--queue", help="Only those that the present decision sends to this queue."),
    click.option("--severity", help="Only those that we give this severity or priority."),
    tenant_option,
    click.option("--source", help="Only those of this product or team."),
    click.option("--escalation", help="Only those with this reason, for instance risk or rule."),
    click.option(
        "--disagreement",
        flag_value=DISAGREEMENT,
        help="Only those that one person has decided otherwise than another one.",
    ),
    click.option("--text", help="Only those with these words: in title, text, document or id."),
)


@click.group(epilog="Example: triage review list --order risk --limit 20")
def review() -> None:
    """Look at what waits for a person, and decide.

    What is open is read from the topics and kept in a file ([review] state), so that the next
    command reads only what is new.
    """


@review.command("list", epilog="Example: triage review list --queue cloud --order urgency --json")
@click.option(
    "--state",
    type=click.Choice(["open", "decided", "all"]),
    help="Those that wait for a person (the default), or those that were decided. With "
    "--disagreement the default is all: what people disagree about is decided.",
)
@filters
@click.option(
    "--order",
    type=click.Choice(["urgency", "risk", "age", "stated", "queue"]),
    default="urgency",
    show_default=True,
    help="urgency: what is stated as critical or urgent first, then the riskiest, then the oldest.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=50,
    show_default=True,
    help="Show at most this many.",
)
@click.option("--after", help="Go on behind the page that gave this as next (in --json).")
@as_json
@configured
def list_(
    settings: Settings,
    query: CaseQuery,
    state: str | None,
    order: str,
    limit: int,
    after: str | None,
    json_: bool,
) -> None:
    """Print the cases that wait for a person, the most urgent first."""
    state = state or ("all" if query.disagreement else "open")
    query = _changed(
        query, state=cast("State", state), order=cast("Order", order), limit=limit, after=after
    )

    async def read() -> tuple[Any, Any]:
        async with open_view(settings) as view:
            return view.store.list(query), view.store.counts(query)

    page, counts = asyncio.run(read())
    if json_:
        echo_json(
            {
                "cases": msgspec.to_builtins(page.cases),
                "next": page.next,
                "total": page.total,
                "counts": counts,
            }
        )
    else:
        print_cases(page, query)


@review.command(epilog="Example: triage review show t-4711 --tenant acme")
@click.argument("id_", metavar="ID")
@domain
@tenant_option
@as_json
@configured
def show(settings: Settings, id_: str, domain: str | None, tenant: str | None, json_: bool) -> None:
    """Print the event with this ID: its text, its document, what is proposed and why, its history.

    Give --domain or --tenant if several events have the ID.
    """

    async def read() -> Known:
        async with open_view(settings) as view:
            known = await view.find_read(id_, domain=_domain(domain), tenant=tenant)
        return _present(known, id_)

    known = asyncio.run(read())
    if json_:
        echo_json(
            {
                "event": msgspec.to_builtins(known.case.event) if known.case else None,
                "triaged": msgspec.to_builtins(known.current),
                "risk": known.case.risk if known.case else None,
                "escalation": known.case.escalation if known.case else None,
                "revisions": msgspec.to_builtins(list(known.revisions)),
                "disagreements": [each._asdict() for each in changed_by_people(known.revisions)],
            }
        )
    else:
        print_case(known)


@review.command(epilog="Example: triage review decide t-4711 queue=billing --comment 'an invoice'")
@click.argument("id_", metavar="ID")
@click.argument("labels", nargs=-1, type=Setting(), metavar="[AXIS=VALUE]...")
@click.option("--by", help="Who decides (default: the only reviewer configured, else your login).")
@click.option("--comment", help="Why; it becomes part of the reasons.")
@click.option(
    "--about",
    type=click.IntRange(min=0),
    help="The revision that you have read. Needed to correct what a person decided, and to confirm "
    "a decision without naming labels.",
)
@domain
@tenant_option
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Wait so many seconds for a worker.",
)
@as_json
@configured
def decide(
    settings: Settings,
    id_: str,
    labels: tuple[tuple[str, str], ...],
    by: str | None,
    comment: str | None,
    about: int | None,
    domain: str | None,
    tenant: str | None,
    timeout_s: float,
    json_: bool,
) -> None:
    """Set labels of the event with this ID, and wait until a worker has published the decision.

    The labels are checked first. The exit code is 1 if a worker refuses the verdict.
    """
    chosen = dict(labels)
    if len(chosen) < len(labels):
        raise click.UsageError("an axis is set twice; give each once")
    if not chosen and about is None:
        raise click.UsageError(
            "set a label such as queue=billing, or confirm with --about REVISION"
        )
    try:
        verdict = Verdict(
            id=id_,
            labels=chosen,
            by=by or _name(settings),
            comment=comment,
            about=about,
            domain=_domain(domain),
            tenant=tenant,
        )
        msgspec.convert(msgspec.to_builtins(verdict), prepared(Verdict))
    except msgspec.ValidationError as error:
        raise click.UsageError(f"this is no verdict: {error}") from None
    outcome = asyncio.run(_decide(settings, verdict, timeout_s))
    if isinstance(outcome, Refused):
        raise StreamError(f"the verdict was refused: {outcome.reason}")
    if json_:
        echo_json(msgspec.to_builtins(outcome))
    else:
        values = ", ".join(f"{axis}={label.value}" for axis, label in outcome.labels.items())
        echo(f"{outcome.id} is decided: revision {outcome.revision}, {values}")


@review.command(epilog="Example: triage review export --domain tickets > labelled.ndjson")
@filters
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write (default: standard output).",
)
@configured
def export(settings: Settings, query: CaseQuery, out: Path | None) -> None:
    """Write the cases that people have decided as labelled rows, which `triage train` reads."""

    async def read() -> list[dict[str, Any]]:
        async with open_view(settings) as view:
            return await asyncio.to_thread(lambda: list(labelled_rows(view.store, query)))

    rows = asyncio.run(read())
    if out is None:
        for row in rows:
            echo_json(row)
        return
    try:
        out.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror})") from None
    echo(f"{plural(len(rows), 'labelled row', 'labelled rows')} in {out}")


async def _decide(settings: Settings, verdict: Verdict, timeout_s: float) -> Any:
    labels, renames = served_labels(settings)
    check_verdict_labels(verdict, labels, renames)
    producer = Producer(settings.kafka)
    async with open_view(settings) as view:
        known = await view.find_read(verdict.id or "", domain=verdict.domain, tenant=verdict.tenant)
        current = _present(known, verdict.id or "").current
        verdict = msgspec.structs.replace(verdict, domain=current.domain, tenant=current.tenant)
        await producer.start()
        try:
            return await send_and_wait(
                settings,
                verdict,
                view=view,
                producer=producer,
                timeout_s=timeout_s,
                labels=labels,
                renames=renames,
            )
        finally:
            await producer.stop()


def _present(known: Known | None, id_: str) -> Known:
    if known is None:
        raise InvalidEvent(
            f"no event with the id {id_[:100]!r} is known; check it, or look for it with "
            "`triage review list --text`",
            stage="validate",
        )
    return known


def _name(settings: Settings) -> str:
    if len(settings.reviewers) == 1:
        return settings.reviewers[0].name
    return login("say who decides with --by")


def _domain(domain: str | None) -> Domain | None:
    return cast("Domain | None", domain)


def _changed(query: CaseQuery, **changes: Any) -> CaseQuery:
    fields = {name: getattr(query, name) for name in FILTERS}
    return CaseQuery(**fields | changes)
