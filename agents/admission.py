"""What an input topic may carry, as the configuration says and not as the events say.

Whoever may write to a topic chooses every word of an event. Which topic somebody may write to is
decided by the ACLs of the broker, so the topic is the identity of its producers.
"""

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from schemas.errors import InvalidEvent
from schemas.event import Event, Kind
from schemas.folding import fold
from schemas.formats.values import keep


@dataclass(frozen=True, slots=True)
class Admission:
    """What one input topic may carry; what is not given is not limited.

    `tenant` is whom every event of the topic belongs to. `kinds` and `sources` are the ones that it
    takes; sources are compared folded.
    """

    tenant: str | None = None
    kinds: Collection[Kind] = ()
    sources: Collection[str] = ()

    def admit(self, event: Event) -> Event:
        """The event with the tenant of the topic. Another tenant that it names is an attribute.

        Raises:
            InvalidEvent: the topic does not take events of this kind or source.
        """
        if self.kinds and event.kind not in self.kinds:
            raise InvalidEvent(
                f"this topic takes no {event.kind}; send it to another topic, or add it to the "
                "kinds of this one",
                stage="validate",
            )
        if self.sources and fold(event.source or "") not in set(map(fold, self.sources)):
            raise InvalidEvent(
                "this topic takes no event of this source; send it to another topic, or add it to "
                "the sources of this one",
                stage="validate",
            )
        if self.tenant is None or event.tenant == self.tenant:
            return event
        attributes = dict(event.attributes)
        keep(attributes, "tenant", event.tenant)
        return replace(event, tenant=self.tenant, attributes=attributes)


ANYTHING = Admission()
