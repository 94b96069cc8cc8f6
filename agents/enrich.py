"""The enrichment agent: ends every escalated event with a later revision on its triaged topic."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from agents.escalation import never_asked, revised
from agents.label_rows import NOTHING_KEPT, RowsKept, row_of_llm
from agents.outcomes import Incoming, Outcome, Reviewed, Triaged, refused
from agents.revision import successor
from inference.labels.renames import NO_RENAMES, Renames
from inference.llm.consultant import Consultant
from inference.llm.opinion import LlmOpinion, unasked
from schemas.agreement import check_case
from schemas.codec import decode
from schemas.errors import InvalidEvent
from schemas.limits import LIMITS, Limits
from schemas.triaged import Case, TriagedEvent


class Memory(Protocol):
    """The answers that cases were given, so that no answer is paid for twice.

    A case is known by the id and the origin of its triaged event. The agent relies on this
    (`tests/contract/test_answer_memory_contract.py` checks it):

    - `turn` gives the same lock for the same case, and another lock for any other case. The agent
      holds it from `find` to `note`.
    - After `note`, every `find` for the case returns that answer, equal in every field. A later
      `note` replaces it.
    - `find` also returns an answer that an earlier reader of the partition has published.
    - `find` never returns the answer of another case, a provisional decision or a person's verdict.
    - `find` may be called for several cases at the same time.
    """

    def turn(self, case: Case) -> asyncio.Lock:
        """The lock to hold while this case is being answered; a copy of the case waits for it."""

    async def find(self, incoming: Incoming, case: Case) -> TriagedEvent | None:
        """The answer that this case was given before, or None."""

    def note(self, triaged: TriagedEvent) -> None:
        """Remember the answer of a case."""


async def enrich(
    batch: Sequence[Incoming],
    *,
    consultant: Consultant | None,
    memory: Memory,
    limits: Limits = LIMITS,
    renames: Renames = NO_RENAMES,
    kept: RowsKept = NOTHING_KEPT,
) -> list[Outcome]:
    """End each escalated case: with the LLM's answer if it may stand alone, else in review.

    A case whose event is beyond the `limits` is not read. A case from before a label was renamed
    ends with its new name. An answer that stands alone is a labelled row too, as far as rows are
    `kept`.

    Returns:
        One outcome per record, in order.
    """
    ends = (_end(incoming, consultant, memory, limits, renames, kept) for incoming in batch)
    return list(await asyncio.gather(*ends))


async def _end(
    incoming: Incoming,
    consultant: Consultant | None,
    memory: Memory,
    limits: Limits,
    renames: Renames,
    kept: RowsKept,
) -> Outcome:
    try:
        case = decode(incoming.value or b"", Case, limits)
        _check(case)
        case = renames.case(case)
        successor(case.triaged, incoming)  # refuses an impossible revision before anything is paid
        async with memory.turn(case):
            triaged = await memory.find(incoming, case)
            if triaged is None:
                triaged = revised(case, await _opinion(case, consultant), incoming)
                if consultant is not None:
                    # Without an LLM the answer costs nothing and is the same the second time.
                    memory.note(triaged)
            triaged = renames.triaged(triaged)
    except InvalidEvent as error:
        return refused(error)
    if triaged.status == "final":
        return Triaged(triaged, kept.of(row_of_llm(case, triaged)))
    return Reviewed(replace(case, triaged=triaged))


def _check(case: Case) -> None:
    check_case(case)
    triaged = case.triaged
    if triaged.status != "provisional" or triaged.revision:
        raise InvalidEvent(
            f"the decision is {triaged.status} in revision {triaged.revision}, and only those that "
            "are provisional in revision 0 are enriched; send cases as they were",
            stage="validate",
        )


async def _opinion(case: Case, consultant: Consultant | None) -> LlmOpinion:
    if opinion := never_asked(case):
        return opinion
    if consultant is None:
        return unasked(case, "llm_off", "no LLM is configured")
    return await consultant.consult(case)
