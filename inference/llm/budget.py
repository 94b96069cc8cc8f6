"""The dollars that may be spent on LLMs in one day: by all tenants together, and by each tenant."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf

from inference.llm.options import BudgetOptions
from schemas.event import Domain
from schemas.folding import fold

MAX_TENANTS = 10_000
"""How many tenants have an account.

The names of tenants come with the events. A sender who invents a million names must not get a
million accounts.
"""

OTHERS = None
"""The account of all tenants beyond `MAX_TENANTS`.

Together they may spend what one of them may spend. This can be too little, but never too much.
"""

UNVERIFIED = "\0unverified"
"""The account of all events whose tenant is only claimed.

No folded name has a control character.
"""

SECONDS_PER_DAY = 86_400
UNITS_PER_DOLLAR = 10**12
"""Sums are of whole units: with floats, three times 0.1 would be more than a limit of 0.3."""


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """Money that is set aside for one prompt, until `Budget.settle` replaces it by the cost."""

    account: str | None
    units: int


@dataclass(slots=True)
class _Account:
    spent: int = 0
    reserved: int = 0


class Budget:
    """The money that was spent and set aside since midnight UTC.

    Money that is set aside counts like money that is spent. So concurrent calls cannot exceed a
    limit together, as long as none of them costs more than was reserved for it.

    Tenants are compared folded. In the domains in `claimed`, an event says itself whose it is.
    Otherwise a flood in the name of a tenant would spend that tenant's money: such events share one
    account, if it has a limit of its own.

    It is for one event loop, and nothing in it waits. `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        options: BudgetOptions,
        *,
        claimed: Collection[Domain] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._claimed = frozenset(claimed)
        if options.usd_unverified_per_day is None:
            self._claimed = frozenset()
        self._limits: dict[str, float] = {}
        for tenant, limit_usd in options.tenants.items():
            name = fold(tenant)
            self._limits[name] = min(limit_usd, self._limits.get(name, inf))
        self._clock = clock
        self._day = _day(clock())
        self._reset()

    def reserve(
        self, tenant: str, max_usd: float, domain: Domain | None = None
    ) -> Reservation | None:
        """Set aside the most that a prompt may cost.

        With a limit of 0, only a prompt that costs nothing may be sent.

        Args:
            tenant: the tenant of the event.
            max_usd: US dollars.
            domain: the domain of the event; without it, the tenant is believed.

        Returns:
            None if that could exceed the limit of the day or of the tenant.
        """
        self._start_new_day()
        payer = self._payer(tenant, domain)
        name, units = self._account_name(payer), _units(max_usd)
        account = self._accounts.get(name, _Account())
        if _exceeds(self._all, units, self._options.usd_per_day) or _exceeds(
            account, units, self._limit_usd(payer)
        ):
            return None
        self._accounts[name] = account
        self._all.reserved += units
        account.reserved += units
        reservation = Reservation(name, units)
        self._open.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, actual_usd: float) -> None:
        """Replace a reservation by the cost of its prompt; a second time changes nothing.

        A reservation from before midnight belongs to the money of yesterday, and is ignored.
        """
        self._start_new_day()
        if reservation not in self._open:
            return
        self._open.remove(reservation)
        self._all.reserved -= reservation.units
        # An account without money is deleted, also while other free prompts are still open.
        account = self._accounts.setdefault(reservation.account, _Account())
        account.reserved -= reservation.units
        self._spend(reservation.account, _units(actual_usd))

    def note(self, tenant: str, usd: float, at_s: float, domain: Domain | None = None) -> None:
        """Count what another worker spent, or this one before a restart.

        Args:
            tenant: the tenant of the event.
            usd: US dollars.
            at_s: when, in seconds since the epoch. Money of another day is ignored.
            domain: the domain of the event; without it, the tenant is believed.
        """
        self._start_new_day()
        if _day(at_s) == self._day:
            self._spend(self._account_name(self._payer(tenant, domain)), _units(usd))

    def spent_usd(self, tenant: str | None = None) -> float:
        """Return the dollars that were spent today, without those that are set aside.

        Args:
            tenant: None for all tenants. For a tenant without an account, the result is what all
                such tenants spent together.
        """
        self._start_new_day()
        if tenant is None:
            account = self._all
        else:
            account = self._accounts.get(self._account_name(fold(tenant)), _Account())
        return account.spent / UNITS_PER_DOLLAR

    def limit_usd(self, tenant: str) -> float:
        """Return the dollars that a tenant may spend per day.

        For a tenant without a limit, this is the limit of all tenants together.
        """
        return self._limit_usd(fold(tenant))

    def _payer(self, tenant: str, domain: Domain | None) -> str:
        """The folded tenant, or the account of all events of its domain that only claim one."""
        return UNVERIFIED if domain in self._claimed else fold(tenant)

    def _limit_usd(self, payer: str) -> float:
        limit_usd = self._options.usd_per_tenant_per_day
        if payer == UNVERIFIED:
            limit_usd = self._options.usd_unverified_per_day
        if limit_usd is None:
            limit_usd = inf
        return min(self._limits.get(payer, limit_usd), self._options.usd_per_day)

    def _spend(self, name: str | None, units: int) -> None:
        account = self._accounts.setdefault(name, _Account())
        self._all.spent += units
        account.spent += units
        if account == _Account():
            del self._accounts[name]

    def _account_name(self, payer: str) -> str | None:
        if payer in self._accounts or payer in self._limits or payer == UNVERIFIED:
            return payer
        # A tenant that may have spent from the shared account gets none of its own on that day,
        # because that would be a second allowance.
        if OTHERS in self._accounts or len(self._accounts) >= MAX_TENANTS:
            return OTHERS
        return payer

    def _start_new_day(self) -> None:
        # Only forward: a clock that is put back over midnight must not renew the money of the day.
        if (today := _day(self._clock())) > self._day:
            self._day = today
            self._reset()

    def _reset(self) -> None:
        self._all = _Account()
        self._accounts: dict[str | None, _Account] = {}
        self._open: set[Reservation] = set()


def _day(at_s: float) -> int:
    return int(at_s // SECONDS_PER_DAY)


def _units(usd: float) -> int:
    # A server that reports a negative cost gives no money back.
    return max(0, round(usd * UNITS_PER_DOLLAR))


def _exceeds(account: _Account, units: int, limit_usd: float) -> bool:
    return account.spent + account.reserved + units > round(limit_usd * UNITS_PER_DOLLAR)
