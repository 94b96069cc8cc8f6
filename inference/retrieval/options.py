"""The configuration of retrieval; sizes are in events or bytes, as their names say."""

from typing import Annotated, Literal

from msgspec import Meta, field

from inference.options import Options, Positive, Share

Shown = Annotated[int, Meta(ge=0, le=10)]


class RetrievalOptions(Options, frozen=True):
    """What the LLM is shown beside an event, and how much is kept in memory for that.

    The LLM is shown at most `similar` settled events and `passages` passages of the folder
    `runbooks`. `settled_by` lists whose verdict settles an event. With ``llm`` in it, the LLM is
    shown its own answers again.

    A settled event is not shown if its cosine with the new event is below `min_similarity`. The
    default 0.6 was measured with validation rows as new events and 1,500 training rows as settled
    ones. Of the nearest three, as far as they were shown, 92 % (tickets, 77 intents) and 99 %
    (alerts, 8 queues) had the label of the new event. At least one was shown for 95 % (tickets) and
    89 % (alerts) of the new events.

    Four limits bound the memory. Beyond `max_events_per_tenant` in one domain, the oldest event is
    forgotten. Beyond `max_events`, the tenant and domain that was not used for the longest time
    loses its oldest event. `max_waiting` limits the events that are kept for a verdict, and the
    verdicts that are kept for their event. A record of more than `max_record_bytes` is not kept.
    """

    similar: Shown = 3
    min_similarity: Share = 0.6
    settled_by: list[Literal["human", "llm"]] = field(default_factory=lambda: ["human"])
    max_events_per_tenant: Positive = 2_000
    max_events: Positive = 20_000
    max_waiting: Positive = 10_000
    max_record_bytes: Positive = 16_384
    runbooks: str | None = None
    passages: Shown = 2
