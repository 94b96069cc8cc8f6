"""What `triage review` prints for a person."""

from datetime import UTC, datetime

import orjson
from rich.box import SIMPLE_HEAD

from agents.cases import Known
from agents.label_rows import changed_by_people
from schemas.triaged import Label, TriagedEvent
from schemas.visible_text import printable, printable_json, printable_lines
from streams.cases.query import CaseQuery, CaseSummary, Page
from streams.cli.output import echo
from streams.cli.reviewers_text import disagreement_text
from streams.cli.tables import Console, Table

MAX_ID_CHARS = 40
MAX_CELL_CHARS = 24
MAX_TITLE_CHARS = 100
MAX_ALTERNATIVES = 3
MAX_TEXT_LINES = 60
MAX_DOCUMENT_LINES = 120
LINE_CHARS = 500
UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def print_cases(page: Page, query: CaseQuery) -> None:
    """The cases of a page as a table."""
    if not page.cases:
        echo("no cases" if query.state == "all" else f"no {query.state} cases")
        return
    rows = [_cells(summary) for summary in page.cases]
    # A column in which no case has anything would take the room of the titles.
    names = [name for name in rows[0] if name == "title" or any(row[name] for row in rows)]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name != "title")
    for row in rows:
        table.add_row(*(row[name] for name in names))
    Console(soft_wrap=True, markup=False, emoji=False).print(table)
    if len(page.cases) < page.total:
        echo(f"{len(page.cases)} of {page.total:,}; --limit and the filters show others")


def print_case(known: Known) -> None:
    """One event with its text, its document, what is proposed, and its history."""
    current, case = known.current, known.case
    for name, text in _facts(known).items():
        _print_field(name, text)
    if case is not None:
        texts = [text for text in (case.event.text, case.event.body) if text]
        _print_field("text", "\n".join(dict.fromkeys(texts)) or None, MAX_TEXT_LINES)
        if case.event.event:
            document = printable_json(case.event.event, indent=True)
            _print_field("document", document, MAX_DOCUMENT_LINES)
    else:
        _print_field("text", "(not kept: no person was asked about this event)")
    _print_field("labels", "\n".join(_label(*each) for each in current.labels.items()))
    _print_field("why", "\n".join(current.reasons))
    _print_field("history", "\n".join(map(_revision, known.revisions)))
    if found := changed_by_people(known.revisions):
        _print_field("disagreement", "\n".join(map(disagreement_text, found)))


def _cells(summary: CaseSummary) -> dict[str, str]:
    """What a list shows of a case, by the name of the column."""
    level = summary.severity if summary.domain == "alerts" else summary.priority
    risk = "" if summary.risk is None else f"{summary.risk:.2f}"
    people = ""
    if summary.disagreement:
        people = "disagree"
    return {
        "id": printable(summary.id, MAX_ID_CHARS),
        "domain": summary.domain,
        "tenant": printable(summary.tenant, MAX_CELL_CHARS),
        "queue": printable(summary.queue, MAX_CELL_CHARS),
        "level": printable(level or "", MAX_CELL_CHARS),
        "stated": printable(summary.stated or "", MAX_CELL_CHARS),
        "risk": risk,
        "why": printable(summary.escalation or "", MAX_CELL_CHARS),
        "people": people,
        "age": _age(summary.received_at),
        "title": printable(summary.title or "", MAX_TITLE_CHARS),
    }


def _facts(known: Known) -> dict[str, str | None]:
    current, case = known.current, known.case
    facts = {
        "event": f"{current.id} ({current.domain}, tenant {current.tenant})",
        "title": current.title,
        "source": current.source,
        "link": current.link,
        "received": f"{current.timing.received_at} ({_age(current.timing.received_at)} ago)",
        "stated": _stated(current),
        "state": f"revision {current.revision}, {current.status}, by {current.decided_by}",
        "queue": current.queue,
    }
    if case is not None:
        facts["escalated"] = f"{case.escalation}, estimated risk {case.risk:.4f}"
    enrichment = current.enrichment
    if enrichment is not None and enrichment.summary:
        facts["summary of the LLM"] = enrichment.summary
    return {name: text for name, text in facts.items() if text}


def _stated(triaged: TriagedEvent) -> str | None:
    if triaged.stated is None:
        return None
    original = orjson.dumps(triaged.stated.original).decode() if triaged.stated.original else ""
    words = (triaged.stated.severity, triaged.stated.priority, triaged.stated.status)
    return " ".join(word for word in (*words, original) if word)


def _label(axis: str, label: Label) -> str:
    others = ", ".join(
        f"{other.value} {other.confidence:.2f}" for other in label.alternatives[:MAX_ALTERNATIVES]
    )
    alternatives = f"   (or {others})" if others else ""
    abstained = ", a hint only" if label.abstained else ""
    return f"{axis} = {label.value} {label.confidence:.2f}{abstained}{alternatives}"


def _revision(triaged: TriagedEvent) -> str:
    values = ", ".join(f"{axis}={label.value}" for axis, label in triaged.labels.items())
    reason = triaged.reasons[-1] if triaged.reasons else ""
    return (
        f"revision {triaged.revision}, {triaged.timing.triaged_at}: {triaged.status} by "
        f"{triaged.decided_by}, {values}; {reason}"
    )


def _age(received_at: str) -> str:
    try:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(received_at)).total_seconds()
    except (ValueError, TypeError):
        return "?"
    for unit_s, unit in UNITS:
        if age_s >= unit_s:
            return f"{age_s / unit_s:.0f}{unit}"
    return f"{max(0.0, age_s):.0f}s"


def _print_field(name: str, text: str | None, max_lines: int = MAX_TEXT_LINES) -> None:
    """Print a field; its text is indented, so that it cannot look like another field."""
    echo(f"{name}:")
    lines = list(printable_lines(text or "(none)", LINE_CHARS))
    for line in lines[:max_lines]:
        echo(f"    {line}")
    if len(lines) > max_lines:
        echo(f"    ... and {len(lines) - max_lines} lines more; --json has all")
