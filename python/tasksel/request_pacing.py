"""How fast requests may follow each other: rates, a limit that adapts, pauses, and a circuit breaker.

Additive increase, multiplicative decrease (AIMD): each success adds a little to the number of requests that
may be under way, trouble halves it, as TCP does with its window. Trouble of one moment counts once: all
requests that were sent before the halving meet the same overload.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PacingSettings", "Permit", "RequestPacing"]

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LONGEST_SLEEP_S: Final = 0.1
"""How long a waiting request goes without looking whether the run was stopped."""
_MINUTE_S: Final = 60.0


@dataclass(frozen=True)
class PacingSettings:
    """How fast, and how patient.

    Parameters
    ----------
    concurrency : int
        Most requests under way at a time.
    requests_per_minute, tokens_per_minute : int
        Rates; 0 is none.
    failures_to_open : int
        Failures without a success between them after which the breaker opens.
    breaker_pause_s : float
        How long it stays open before a single request is let through; doubles with each that fails.
    max_probes : int
        Requests that are let through one after the other before the provider is given up.
    longest_wait_s : float
        Longest time that a provider may ask to wait, in one reply or in replies without a success between.
    """

    concurrency: int = 8
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    failures_to_open: int = 8
    breaker_pause_s: float = 15.0
    max_probes: int = 4
    longest_wait_s: float = 900.0


@dataclass(frozen=True)
class Permit:
    """Leave to send one request.

    Attributes
    ----------
    tokens : int
        What the token rate was charged.
    epoch : int
        How often requests had been held back when it was given.
    is_probe : bool
        It is the one that tries whether the provider is back.
    """

    tokens: int
    epoch: int
    is_probe: bool = False


class RequestPacing:
    """Lets requests start at a pace that the provider bears; safe for threads.

    Parameters
    ----------
    settings : PacingSettings
        How fast, and how patient.
    clock : callable
        Seconds that only rise.

    Attributes
    ----------
    gave_up : str or None
        Why no request is let through any more.
    waits, failures : int
        Replies that asked to wait, and requests that failed.

    References
    ----------
    Chiu, D.-M. and Jain, R. (1989). Analysis of the increase and decrease algorithms for congestion avoidance
    in computer networks. Computer Networks and ISDN Systems 17.
    """

    def __init__(self, settings: PacingSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.gave_up: str | None = None
        self.waits = self.failures = 0
        self._clock = clock
        self._changed = threading.Condition()
        self._limit = float(max(1, settings.concurrency))
        self._under_way = 0
        self._epoch = 0
        self._paused_until_s = 0.0
        self._next_request_s = self._next_token_s = 0.0
        self._waits_in_row = 0
        self._waiting_since_s: float | None = None
        self._failures_in_row = 0
        self._probes: int | None = None  # None while the breaker is closed

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return 1 if self._probes is not None else int(self._limit)

    def start(self, tokens: int, stopped: threading.Event) -> Permit | None:
        """Wait until a request may be sent.

        Parameters
        ----------
        tokens : int
            What it is expected to use.
        stopped : threading.Event
            Once set, waiting ends.

        Returns
        -------
        Permit or None
            None when the run was stopped or the provider was given up.
        """
        with self._changed:
            while not stopped.is_set() and self.gave_up is None:
                delay_s = self.delay_s()
                if delay_s == 0.0:
                    return self._let_through(tokens)
                self._changed.wait(_LONGEST_SLEEP_S if delay_s is None else min(delay_s, _LONGEST_SLEEP_S))
            return None

    def delay_s(self) -> float | None:
        """Return how long the next request must wait; None until one under way has ended."""
        if self._under_way >= self.limit:
            return None
        start_s = max(self._paused_until_s, self._next_request_s, self._next_token_s)
        return max(0.0, start_s - self._clock())

    def succeeded(self, permit: Permit, tokens: int) -> None:
        """End a request that was answered, and charge the token rate for what it really used."""
        with self._changed:
            self._end()
            self._charge_tokens(tokens - permit.tokens)
            self._failures_in_row, self._waits_in_row = 0, 0
            self._probes = self._waiting_since_s = None
            if permit.epoch == self._epoch:
                self._limit = min(self._limit + 1.0 / self._limit, float(max(1, self.settings.concurrency)))

    def withdrawn(self, permit: Permit) -> None:
        """End a request that was not sent."""
        with self._changed:
            self._end()
            self._charge_tokens(-permit.tokens)

    def refused(self, permit: Permit) -> None:
        """End a request that was refused for a reason of its own: the provider is there."""
        with self._changed:
            self._end()
            self._charge_tokens(-permit.tokens)
            self._failures_in_row, self._probes = 0, None

    def asked_to_wait(self, permit: Permit, retry_after_s: float | None) -> None:
        """End a request whose reply asked to wait; all others wait with it."""
        with self._changed:
            self._end()
            self._charge_tokens(-permit.tokens)
            self.waits += 1
            now_s = self._clock()
            if self._waiting_since_s is None:
                self._waiting_since_s = now_s
            if retry_after_s is None:
                retry_after_s = min(_FIRST_PAUSE_S * 2**self._waits_in_row, _LONGEST_PAUSE_S)
            self._pause_until(now_s + retry_after_s)
            self._waits_in_row += self._halve(permit)
            waited_s = self._paused_until_s - self._waiting_since_s
            if waited_s > self.settings.longest_wait_s:
                self.gave_up = f"it asks to wait, by now for {waited_s:,.0f} s"

    def failed(self, permit: Permit, retry_after_s: float | None = None) -> None:
        """End a request that met a server's failure or no answer."""
        with self._changed:
            self._end()
            self.failures += 1
            self._halve(permit)
            if retry_after_s is not None:
                self._pause_until(self._clock() + min(retry_after_s, self.settings.longest_wait_s))
            if self._probes is not None:
                if permit.is_probe:
                    self._open(self._probes + 1)
                return
            self._failures_in_row += 1
            if self._failures_in_row >= self.settings.failures_to_open:
                self._open(0)

    def _let_through(self, tokens: int) -> Permit:
        self._under_way += 1
        now_s = self._clock()
        if self.settings.requests_per_minute:
            self._next_request_s = max(self._next_request_s, now_s)
            self._next_request_s += _MINUTE_S / self.settings.requests_per_minute
        self._next_token_s = max(self._next_token_s, now_s)
        self._charge_tokens(tokens)
        return Permit(tokens, self._epoch, is_probe=self._probes is not None)

    def _charge_tokens(self, tokens: int) -> None:
        if self.settings.tokens_per_minute:
            self._next_token_s += tokens * _MINUTE_S / self.settings.tokens_per_minute

    def _end(self) -> None:
        self._under_way -= 1
        self._changed.notify_all()

    def _pause_until(self, moment_s: float) -> None:
        self._paused_until_s = max(self._paused_until_s, moment_s)

    def _halve(self, permit: Permit) -> bool:
        """Halve the limit, unless it was halved after this request was sent."""
        if permit.epoch != self._epoch:
            return False
        self._epoch += 1
        self._limit = max(1.0, self._limit / 2)
        return True

    def _open(self, probes: int) -> None:
        self._probes = probes
        if probes >= self.settings.max_probes:
            self.gave_up = f"it failed {self.settings.failures_to_open + probes:,} times in a row"
            return
        self._pause_until(self._clock() + self.settings.breaker_pause_s * 2**probes)
