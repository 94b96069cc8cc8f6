"""What may be configured about rules.

Apart from the module that compiles them: CEL loads slower than most commands run.
"""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from inference.options import Options
from schemas.event import DOMAINS, Domain


class Rule(Options, frozen=True):
    """One rule.

    `when` is a condition in CEL over `event`, `stated`, `labels`, `confidence` and `now`. `labels`
    sets axes. `queue` sends the event there; any name will do. `suppress` ends the event as known
    to be benign. `review` gives it to a person. `until` is the last day on which the rule is in
    force, in UTC; a rule that suppresses needs one.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    when: str
    domains: Annotated[list[Domain], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: list(DOMAINS)
    )
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    queue: Annotated[str, Meta(min_length=1)] | None = None
    suppress: bool = False
    until: date | None = None
    review: bool = False


class ImpactOptions(Options, frozen=True):
    """For each domain, the condition in CEL under which an event must end with a person.

    An empty condition switches this off for its domain. The other two are about events that no rule
    ended. With `stated`, an event also ends with a person if its sender calls it critical or
    urgent, whatever a model thinks. With `below_stated`, it does if its severity (of a ticket: its
    priority) is two levels or more below a high one that its sender states.
    """

    alerts: str = 'labels.severity == "critical"'
    tickets: str = 'labels.priority == "urgent"'
    stated: bool = True
    below_stated: bool = True
