"""Caps on requests, tokens and money, and what was spent; nothing here guesses a price.

A request is reserved at its most expensive before it is sent, so that requests under way cannot pass a cap
together; when its reply states what it used, that takes the reservation's place.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

from tasksel_core.errors import ConfigError

__all__ = ["Price", "Reservation", "SpendingCaps", "Spent", "Usage"]

_PRICED_TOKENS = 1_000_000
_WAIT_S = 0.1
"""How long a request that waits for others to settle goes without looking whether the run was stopped."""


class Usage(NamedTuple):
    """Tokens of one request or of many.

    Attributes
    ----------
    input_tokens, output_tokens : int
        Read and written.
    is_estimate : bool
        Not all of it is what a provider reported.
    """

    input_tokens: int
    output_tokens: int
    is_estimate: bool = False

    @property
    def total_tokens(self) -> int:
        """Read and written together."""
        return self.input_tokens + self.output_tokens


class Reservation(NamedTuple):
    """The most that one request can use."""

    usage: Usage


@dataclass(frozen=True)
class Price:
    """What tokens cost.

    Parameters
    ----------
    input_per_million, output_per_million : float
        For a million tokens read and written.
    currency : str
        What the numbers are in.

    Examples
    --------
    >>> Price(0.5, 2.0).cost(Usage(1_000_000, 500_000))
    1.5
    """

    input_per_million: float
    output_per_million: float
    currency: str = "USD"

    def cost(self, usage: Usage) -> float:
        """Return what so many tokens cost."""
        return self.cost_of(usage.input_tokens, usage.output_tokens)

    def cost_of(self, input_tokens: int, output_tokens: int) -> float:
        """Return what so many tokens read and written cost."""
        parts = input_tokens * self.input_per_million + output_tokens * self.output_per_million
        return parts / _PRICED_TOKENS


@dataclass(frozen=True)
class Spent:
    """What was used so far.

    Attributes
    ----------
    requests : int
        Those that were answered, and those that may have been worked on without an answer.
    usage : Usage
        Tokens of all of them.
    cost : float or None
        None where the price is not known.
    currency : str or None
        Of the cost.
    """

    requests: int
    usage: Usage
    cost: float | None
    currency: str | None


class SpendingCaps:
    """Counts what is spent and says before each request whether it still fits; safe for threads.

    Parameters
    ----------
    max_requests, max_tokens : int
        0 is no cap.
    max_cost : float
        In the currency of `price`; 0 is no cap.
    price : Price, optional
        Without one no cost is known.
    total_cap_name : str
        What the cap on tokens is called where it is reached.

    Raises
    ------
    ConfigError
        There is a cap on money and no price.

    Examples
    --------
    >>> caps = SpendingCaps(max_tokens=100)
    >>> first = caps.reserve(20, 50)
    >>> caps.settle(first, Usage(18, 12))
    >>> caps.reserve(20, 51) is None, caps.reached
    (True, 'max_tokens (100)')
    """

    def __init__(
        self,
        *,
        max_requests: int = 0,
        max_tokens: int = 0,
        max_cost: float = 0.0,
        price: Price | None = None,
        total_cap_name: str = "max_tokens",
    ) -> None:
        if max_cost and price is None:
            raise ConfigError("A cap on money wants a price: without one no cost is known.")
        self.max_requests, self.max_tokens, self.max_cost = max_requests, max_tokens, max_cost
        self.price = price
        self.total_cap_name = total_cap_name
        self.reached: str | None = None
        self._settled = threading.Condition()
        self._requests, self._usage = 0, Usage(0, 0)
        self._reserved: list[Reservation] = []

    @property
    def spent(self) -> Spent:
        """What was used so far, without what is only reserved."""
        with self._settled:
            price = self.price
            return Spent(
                self._requests,
                self._usage,
                None if price is None else price.cost(self._usage),
                None if price is None else price.currency,
            )

    def count(self, usage: Usage) -> None:
        """Count a request of an earlier run."""
        with self._settled:
            self._add(usage)

    def reserve(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        waits: bool = True,
        stopped: threading.Event | None = None,
    ) -> Reservation | None:
        """Set aside the most that a request can use, once that fits.

        Parameters
        ----------
        input_tokens, output_tokens : int
            No fewer than the request can read and write.
        waits : bool
            Requests under way may use less than they reserved, and are waited for; False where all that is
            reserved is the caller's own, which would wait for itself.
        stopped : threading.Event, optional
            Once set, waiting for requests under way ends.

        Returns
        -------
        Reservation or None
            None when the request does not fit, and would not if all others used nothing; `reached` then
            names the cap.
        """
        wanted = Reservation(Usage(input_tokens, output_tokens, is_estimate=True))
        with self._settled:
            while True:
                if self.reached is not None or (stopped is not None and stopped.is_set()):
                    return None
                cap = self._passed_cap(wanted)
                if cap is None:
                    self._reserved.append(wanted)
                    return wanted
                if not (waits and self._reserved):
                    self.reached = cap
                    self._settled.notify_all()
                    return None
                self._settled.wait(_WAIT_S)

    def settle(self, reservation: Reservation, usage: Usage) -> None:
        """Replace a reservation by what the request used."""
        with self._settled:
            self._reserved.remove(reservation)
            self._add(usage)
            self._settled.notify_all()

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back: the request was refused before anything was done."""
        with self._settled:
            self._reserved.remove(reservation)
            self._settled.notify_all()

    def _add(self, usage: Usage) -> None:
        had = self._usage
        self._requests += 1
        self._usage = Usage(
            had.input_tokens + usage.input_tokens,
            had.output_tokens + usage.output_tokens,
            had.is_estimate or usage.is_estimate,
        )

    def _passed_cap(self, wanted: Reservation) -> str | None:
        """Name the cap that this request would pass, with all that are under way at their most."""
        parts = [self._usage, wanted.usage, *(each.usage for each in self._reserved)]
        usage = Usage(sum(each.input_tokens for each in parts), sum(each.output_tokens for each in parts))
        if self.max_requests and self._requests + len(self._reserved) + 1 > self.max_requests:
            return f"max_requests ({self.max_requests:,})"
        if self.max_tokens and usage.total_tokens > self.max_tokens:
            return f"{self.total_cap_name} ({self.max_tokens:,})"
        if self.max_cost and self.price is not None and self.price.cost(usage) > self.max_cost:
            return f"max_cost ({self.max_cost:g} {self.price.currency})"
        return None
