"""Claims: who is looking at which case, so that two people do not read the same one.

A claim is a mark, and keeps nobody from deciding. It is in the memory of this process only.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agents.revision import rfc3339
from schemas.event import Domain
from streams.console.live import Hub
from streams.errors import RequestRefused

MAX_CLAIMS = 10_000

CaseKey = tuple[Domain, str, str]
"""Domain, tenant and id of a case."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a case until when, in seconds since the epoch."""

    by: str
    until_s: float

    @property
    def until(self) -> str:
        """Until when, as RFC 3339."""
        return rfc3339(self.until_s)


class Claims:
    """The claims of all people; each ends by itself after `lasts_s`, unless it is renewed.

    `clock` gives seconds since the epoch. Beyond `MAX_CLAIMS` the oldest claim ends.
    """

    def __init__(self, hub: Hub, lasts_s: float, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._lasts_s = lasts_s
        self._clock = clock
        # Renewing moves a claim to the end, so the first one is the first to expire.
        self._claims: OrderedDict[CaseKey, Claim] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def of(self, key: CaseKey) -> Claim | None:
        """The claim on a case."""
        claim = self._claims.get(key)
        return claim if claim is not None and claim.until_s > self._clock() else None

    def claim(self, key: CaseKey, by: str) -> Claim:
        """Claim a case, or renew a claim of the same person.

        Raises:
            RequestRefused: somebody else has it.
        """
        present = self.of(key)
        if present is not None and present.by != by:
            raise RequestRefused(
                409,
                f"{present.by} is looking at this case; take another one, or decide it all the "
                "same if you have agreed on that",
                more={"by": present.by, "until": present.until},
            )
        claim = self._claims[key] = Claim(by, self._clock() + self._lasts_s)
        self._claims.move_to_end(key)
        self._tell(key, claim)
        while len(self._claims) > MAX_CLAIMS:
            self._end(next(iter(self._claims)))
        return claim

    def release(self, key: CaseKey, by: str | None = None) -> None:
        """End the claim on a case; with `by`, only if it is that person's."""
        claim = self._claims.get(key)
        if claim is not None and by in (None, claim.by):
            self._end(key)

    def expire(self) -> None:
        """End the claims whose time is over."""
        now_s = self._clock()
        while self._claims:
            key, claim = next(iter(self._claims.items()))
            if claim.until_s > now_s:
                return
            self._end(key)

    def _end(self, key: CaseKey) -> None:
        del self._claims[key]
        self._tell(key, None)

    def _tell(self, key: CaseKey, claim: Claim | None) -> None:
        domain, tenant, id_ = key
        document = {
            "domain": domain,
            "tenant": tenant,
            "id": id_,
            "by": claim.by if claim else None,
            "until": claim.until if claim else None,
        }
        self._hub.publish("claim", document, tenant=tenant, domain=domain)
