"""The enrichment agent with no LLM: every escalated case ends, as a person's work."""

from collections.abc import Sequence

import msgspec
import pytest

from agents.enrich import enrich
from agents.outcomes import DeadLettered, Incoming, Outcome, Reviewed
from schemas.codec import encode
from schemas.triaged import Timing
from tests.llm_tier import Forgetful
from tests.records import record, unsure


async def ended(batch: Sequence[Incoming]) -> list[Outcome]:
    """What becomes of cases with no LLM and none answered before."""
    return await enrich(batch, consultant=None, memory=Forgetful())


async def test_a_case_ends_in_review() -> None:
    """An escalated event without a later revision would stay provisional for ever: nobody would look at it."""
    given = unsure()
    (outcome,) = await ended([record(given, topic="triage.enrichment.v1")])
    assert isinstance(outcome, Reviewed)
    triaged = outcome.case.triaged
    assert outcome.case.event == given.event
    assert (triaged.revision, triaged.status, triaged.decided_by) == (1, "needs_review", "slm")
    assert triaged.labels == given.triaged.labels, "the small model's labels are kept"
    assert triaged.enrichment is not None
    assert (triaged.enrichment.status, triaged.enrichment.cost_usd) == ("llm_off", 0.0)
    assert triaged.reasons == [*given.triaged.reasons, "no LLM is configured", "a person decides"]
    assert triaged.origin == given.triaged.origin, "where the event came from, not where the case did"


async def test_time_counts_from_the_event() -> None:
    """Latency measured from the enrichment topic would hide the time the event has waited already."""
    given = unsure()
    (outcome,) = await ended([record(given)])
    assert isinstance(outcome, Reviewed)
    timing = outcome.case.triaged.timing
    assert timing.received_at == given.triaged.timing.received_at
    assert timing.inference_s == given.triaged.timing.inference_s
    assert timing.total_s > given.triaged.timing.total_s


async def test_a_redelivered_case_ends_the_same() -> None:
    """A revision that counted up with every redelivery would never settle."""
    first, again = await ended([record(unsure(), offset=1), record(unsure(), offset=1)])
    assert isinstance(first, Reviewed)
    assert isinstance(again, Reviewed)
    timeless = [msgspec.structs.replace(one.case.triaged, timing=unsure().triaged.timing) for one in (first, again)]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("value", "stage"),
    [
        (None, "decode"),
        (b"\x00\xff", "decode"),
        (b"{}", "validate"),
        (b"[]", "validate"),
        (encode(unsure()).replace(b'"provisional"', b'"perhaps"'), "validate"),
        (encode(unsure()).replace(b'"queue":"top_up"', b'"queue":7'), "validate"),
        (unsure(revision=-1), "validate"),
        (unsure(revision=2**64 - 1), "validate"),
        (
            unsure(timing=Timing(received_at="yesterday", triaged_at="", inference_s=0.0, total_s=0.0)),
            "validate",
        ),
        (
            unsure(timing=Timing(received_at="0001-01-01T00:00:00+23:59", triaged_at="", inference_s=0.0, total_s=0.0)),
            "validate",
        ),
    ],
)
async def test_what_is_no_case_is_a_dead_letter(value: object, stage: str) -> None:
    """Anyone may write to the topic: an exception here would stop the worker at the same record again and again."""
    bad, good = await ended([record(value), record(unsure(), offset=1)])
    assert isinstance(bad, DeadLettered)
    assert (bad.stage, bad.error, bad.disposition) == (stage, "InvalidEvent", "poison")
    assert "\n" not in bad.message
    assert isinstance(good, Reviewed)
