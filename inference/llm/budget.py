"""Dollars that may be spent on LLMs in a day: in all, and by each tenant."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from inference.llm.options import BudgetOptions

MAX_TENANTS = 10_000
"""Tenants with an account of their own. Names come with the events, and whoever invents a million of them may not
have a million accounts."""

OTHERS = None
"""The account of all tenants beyond `MAX_TENANTS`, held to what one of them may spend: too little, never too much."""

SECONDS_A_DAY = 86_400
UNITS_A_DOLLAR = 10**12
"""Sums are of whole numbers: with floats three times 0.1 would not fit a limit of 0.3."""


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """Money set aside for one question, until `Budget.settle` says what it cost."""

    account: str | None
    units: int


@dataclass(slots=True)
class _Account:
    spent: int = 0
    reserved: int = 0


class Budget:
    """Money spent and set aside since midnight UTC.

    Set aside is as good as spent: calls in flight at once cannot pass a limit together, as long as none costs more
    than was reserved for it. For one event loop; nothing here waits. `clock` gives seconds since the epoch.
    """

    def __init__(self, options: BudgetOptions, *, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._clock = clock
        self._day = _day(clock())
        self._start_over()

    def reserve(self, tenant: str, worst_usd: float) -> Reservation | None:
        """Set aside the most a question may cost; None when that could pass the day's limit or the tenant's.

        Under a limit of 0 only what is free may be asked.
        """
        self._roll_over()
        name, units = self._name(tenant), _units(worst_usd)
        account = self._accounts.get(name, _Account())
        if _exceeds(self._all, units, self._options.usd_per_day) or _exceeds(
            account, units, self.limit_usd(tenant)
        ):
            return None
        self._accounts[name] = account
        self._all.reserved += units
        account.reserved += units
        reservation = Reservation(name, units)
        self._open.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, actual_usd: float) -> None:
        """Put what a question did cost in the place of what was set aside for it; settling again changes nothing.

        What was reserved before midnight was yesterday's money, and is forgotten with it.
        """
        self._roll_over()
        if reservation not in self._open:
            return
        self._open.remove(reservation)
        self._all.reserved -= reservation.units
        self._accounts[reservation.account].reserved -= reservation.units
        self._spend(reservation.account, _units(actual_usd))

    def note(self, tenant: str, usd: float, at_s: float) -> None:
        """Count what another worker, or this one before a restart, spent at `at_s` (seconds since the epoch).

        Another day's money is left out.
        """
        self._roll_over()
        if _day(at_s) == self._day:
            self._spend(self._name(tenant), _units(usd))

    def spent_usd(self, tenant: str | None = None) -> float:
        """Dollars spent today, without what is set aside: by everyone, or by one tenant.

        Tenants without an account of their own are told what they spent together.
        """
        self._roll_over()
        account = (
            self._all if tenant is None else self._accounts.get(self._name(tenant), _Account())
        )
        return account.spent / UNITS_A_DOLLAR

    def limit_usd(self, tenant: str) -> float:
        """Dollars this tenant may spend a day; the limit of everyone's day where it has none of its own."""
        default = self._options.usd_per_tenant_per_day
        own = self._options.tenants.get(tenant, inf if default is None else default)
        return min(own, self._options.usd_per_day)

    def _spend(self, name: str | None, units: int) -> None:
        account = self._accounts.setdefault(name, _Account())
        self._all.spent += units
        account.spent += units
        if account == _Account():
            del self._accounts[name]

    def _name(self, tenant: str) -> str | None:
        if tenant in self._accounts or tenant in self._options.tenants:
            return tenant
        # Nobody gets an account after having spent from the others': that would be a second allowance.
        return OTHERS if OTHERS in self._accounts or len(self._accounts) >= MAX_TENANTS else tenant

    def _roll_over(self) -> None:
        # Only forward: a clock put back over midnight would give the day's money out twice.
        if (today := _day(self._clock())) > self._day:
            self._day = today
            self._start_over()

    def _start_over(self) -> None:
        self._all = _Account()
        self._accounts: dict[str | None, _Account] = {}
        self._open: set[Reservation] = set()


def _day(at_s: float) -> int:
    return int(at_s // SECONDS_A_DAY)


def _units(usd: float) -> int:
    # A server that claims to have billed less than nothing gives no money back.
    return max(0, round(usd * UNITS_A_DOLLAR))


def _exceeds(account: _Account, units: int, limit_usd: float) -> bool:
    return account.spent + account.reserved + units > round(limit_usd * UNITS_A_DOLLAR)
