"""Decisions and cases as the events of the stream."""

from typing import Any

import msgspec

from streams.cases.query import CaseSummary
from streams.console.decisions import Decision
from streams.console.live import Hub


def decision_event(hub: Hub, decision: Decision) -> None:
    """Tell that an event was decided."""
    hub.publish(
        "decision",
        decision,
        tenant=decision.tenant,
        domain=decision.domain,
        queue=decision.queue,
        decided_by=decision.decided_by,
    )


def case_event(hub: Hub, summary: CaseSummary, **more: Any) -> None:
    """Tell that a case was opened or decided."""
    document = {
        "change": "opened" if is_open(summary) else "decided",
        "case": {**msgspec.structs.asdict(summary), "claimed_by": None, "held_by": None, **more},
    }
    hub.publish("case", document, tenant=summary.tenant, domain=summary.domain, queue=summary.queue)


def is_open(summary: CaseSummary) -> bool:
    """Whether a case waits for a person; a spot check does although it is final."""
    if summary.decided_by == "human":
        return False
    return summary.status != "final" or summary.escalation == "spot_check"
