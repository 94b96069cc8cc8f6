"""The topics of the contract: their names, how they are created, and whether they are as they must be."""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.event import DOMAINS, Domain

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Our own topics take more than Kafka's default megabyte: a dead letter is its input plus headers, a case is an
event plus its decision, and neither may fail to fit because the input just did."""


@dataclass(frozen=True)
class Topics:
    """Topic names under one prefix."""

    prefix: str

    def input(self, domain: Domain) -> str:
        """Where events of a domain arrive."""
        return f"{self.prefix}.{domain}.v1"

    def triaged(self, domain: Domain) -> str:
        """Where decisions of a domain go."""
        return f"{self.prefix}.{domain}.triaged.v1"

    @property
    def enrichment(self) -> str:
        """Low-confidence events on their way to the LLM."""
        return f"{self.prefix}.enrichment.v1"

    @property
    def review(self) -> str:
        """Events waiting for a person."""
        return f"{self.prefix}.review.v1"

    @property
    def feedback(self) -> str:
        """Verdicts by people."""
        return f"{self.prefix}.feedback.v1"

    @property
    def audit(self) -> str:
        """The decision log."""
        return f"{self.prefix}.audit.v1"

    @property
    def deadletter(self) -> str:
        """What could not be processed."""
        return f"{self.prefix}.deadletter.v1"

    def __iter__(self) -> Iterator[str]:
        for domain in DOMAINS:
            yield self.input(domain)
            yield self.triaged(domain)
        yield from (self.enrichment, self.review, self.feedback, self.audit, self.deadletter)
