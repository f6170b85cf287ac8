"""Asks a provider many things at once; each reply is in the journal before anybody looks at it.

Rates, pauses and caps decide when a request is sent; what the reply says is none of this module's business.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tasksel.endpoint import Reply
from tasksel.providers.asks import ANSWERED, PROBLEM, Answer, Ask, entry_usage, loss_entry
from tasksel.providers.chat import LocalProvider, RemoteProvider, most_tokens
from tasksel_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasksel.endpoint import Attempt
    from tasksel.reply_journal import ReplyJournal
    from tasksel.request_pacing import Permit, RequestPacing
    from tasksel.spending_caps import Reservation, SpendingCaps

__all__ = ["Asker"]

_FILTER: Final = "content_filter"
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_REFUSED_AT_FIRST: Final = 5
"""So many requests refused and none answered: the settings are wrong, not the requests."""
_LISTEN_S: Final = 0.1
"""Waits are short: polars restarts system calls after Ctrl-C, so that one without end never hears of it."""
_GRACE_S: Final = 0.5
"""After Ctrl-C or a failure, how long replies under way may still arrive and be kept."""


@dataclass
class Asker:
    """Sends requests and keeps replies.

    Parameters
    ----------
    provider : RemoteProvider or LocalProvider
        Whom to ask.
    journal : ReplyJournal
        Open; what is in it already is not asked.
    pacing : RequestPacing
        When to send.
    caps : SpendingCaps
        What may be spent.
    max_attempts : int
        Attempts for a request that meets a server's failure; being asked to wait costs none.
    stopped : threading.Event
        Once set, nothing more is sent.

    Attributes
    ----------
    sent : int
        Requests that were really sent, every attempt counted.
    """

    provider: RemoteProvider | LocalProvider
    journal: ReplyJournal
    pacing: RequestPacing
    caps: SpendingCaps
    max_attempts: int = 5
    stopped: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    _answered: int = 0
    _refused: int = 0
    _under_way: dict[int, tuple[Ask, Reservation]] = field(default_factory=dict)

    @property
    def ended(self) -> str | None:
        """Why no more is asked, as a clause; None while everything is in order."""
        if self.caps.reached is not None:
            return f"the cap {self.caps.reached} is reached"
        return (
            None if self.pacing.gave_up is None else f"the provider was given up, since {self.pacing.gave_up}"
        )

    @property
    def was_given_up(self) -> bool:
        """Whether the provider, and not a cap, ended it."""
        return self.pacing.gave_up is not None

    def ask(
        self, asks: Sequence[Ask], *, answered: Callable[[str, Answer], None] | None = None
    ) -> dict[str, Answer]:
        """Ask everything that the journal does not hold yet.

        Parameters
        ----------
        asks : sequence of Ask
            In the order in which they are sent.
        answered : callable, optional
            Told of each new answer, in this thread.

        Returns
        -------
        dict of str to Answer
            By key. What was not asked, since a cap is reached or the provider was given up, is missing. A
            request that had a problem is asked again by another call.

        Raises
        ------
        ProviderError
            The key, the path or the model is wrong, or every request is refused.
        OSError
            A reply could not be written; none is asked for after it.
        KeyboardInterrupt
            Ctrl-C; replies that arrive within half a second are kept, and requests that are still under way
            then are noted as what may have been paid for.
        """
        known = {each.key: self.journal.entries.get(each.key) for each in asks}
        answers = {
            key: Answer(entry.reply)
            for key, entry in known.items()
            if entry is not None and entry.reply.status == ANSWERED
        }
        if isinstance(self.provider, LocalProvider):
            found = self._ask_local(self.provider, asks, answered)
        else:
            missing = [each for each in asks if each.key not in answers]
            found = self._ask_remote(self.provider, missing, answered)
        return answers | found

    # A local model

    def _ask_local(
        self,
        provider: LocalProvider,
        asks: Sequence[Ask],
        answered: Callable[[str, Answer], None] | None,
    ) -> dict[str, Answer]:
        """Answer batch after batch.

        A batch that lacks a reply is answered whole: the last digits of a model's numbers depend on what is
        in the batch, and a resumed run is to write what an uninterrupted one does.
        """
        found: dict[str, Answer] = {}
        for start in range(0, len(asks), provider.batch_requests):
            batch = asks[start : start + provider.batch_requests]
            missing = {each.key for each in batch if each.key not in self.journal.entries}
            if self.stopped.is_set():
                break
            if not missing:
                continue
            reservations = self._reserve_batch([each for each in batch if each.key in missing])
            if reservations is None:
                break
            replies = provider.answer(
                [each.body for each in batch], [int(each.key[:15], 16) for each in batch]
            )
            new = [
                each.entry(reply) for each, reply in zip(batch, replies, strict=True) if each.key in missing
            ]
            self.journal.append_all(new)
            self.sent += len(new)
            for reservation, entry in zip(reservations, new, strict=True):
                self.caps.settle(reservation, entry_usage(provider, entry))
                found[entry.key] = Answer(entry.reply)
                if answered is not None:
                    answered(entry.key, found[entry.key])
        return found

    def _reserve_batch(self, batch: Sequence[Ask]) -> list[Reservation] | None:
        """Reserve for a whole batch or not at all; nobody else asks meanwhile, so that none is waited for."""
        reservations: list[Reservation] = []
        for each in batch:
            reservation = self.caps.reserve(most_tokens(each.messages), each.max_tokens, waits=False)
            if reservation is None:
                for held in reservations:
                    self.caps.release(held)
                return None
            reservations.append(reservation)
        return reservations

    # An endpoint

    def _ask_remote(
        self,
        provider: RemoteProvider,
        asks: Sequence[Ask],
        answered: Callable[[str, Answer], None] | None,
    ) -> dict[str, Answer]:
        waiting: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        for each in asks:
            waiting.put(each)
        news: queue.SimpleQueue[tuple[str, Answer] | BaseException | None] = queue.SimpleQueue()
        n_workers = min(max(1, self.pacing.settings.concurrency), len(asks))
        for _ in range(n_workers):
            # Daemons: a request that hangs must not keep the process alive after Ctrl-C.
            threading.Thread(target=self._work, args=(provider, waiting, news), daemon=True).start()
        found: dict[str, Answer] = {}

        def take() -> int:
            """Take one piece of news, if there is any; return how many workers ended by it."""
            with contextlib.suppress(queue.Empty):
                return read(news.get(timeout=_LISTEN_S))
            return 0

        def read(new: tuple[str, Answer] | BaseException | None) -> int:
            if isinstance(new, tuple):
                found[new[0]] = new[1]
                if answered is not None:
                    answered(*new)
                return 0
            if new is not None:
                raise new
            return 1

        try:
            while n_workers:
                n_workers -= take()
        except BaseException as error:
            self.stopped.set()
            try:
                _wait_for_the_rest(news, n_workers)
            finally:
                # What refuses all requests refuses those under way, too.
                if self._answered or not isinstance(error, ProviderError):
                    self._note_under_way()
            raise
        return found

    def _note_under_way(self) -> None:
        """Write down what nobody waits for any more: the provider may work on it and bill it all the same."""
        while self._under_way:
            with contextlib.suppress(KeyError, OSError):  # answered just now; the disk is full
                each, reservation = self._under_way.popitem()[1]
                self.journal.append_all([loss_entry(each, reservation.usage, self.journal.entries)])
                self.caps.settle(reservation, reservation.usage)

    def _work(
        self,
        provider: RemoteProvider,
        waiting: queue.SimpleQueue[Ask],
        news: queue.SimpleQueue[tuple[str, Answer] | BaseException | None],
    ) -> None:
        """Take requests until there are none, or no more may be sent."""
        try:
            while not self.stopped.is_set():
                try:
                    each = waiting.get_nowait()
                except queue.Empty:
                    break
                answer = self._answer(provider, each)
                if answer is None:
                    break
                news.put((each.key, answer))
            news.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
            self.stopped.set()
            news.put(error)

    def _answer(self, provider: RemoteProvider, each: Ask) -> Answer | None:
        """Try until there is an answer; None where no more may be sent."""
        failures = 0
        while True:
            permit = self.pacing.start(self._expected_tokens(each), self.stopped)
            if permit is None:
                return None
            reservation = self.caps.reserve(most_tokens(each.messages), each.max_tokens, stopped=self.stopped)
            if reservation is None:
                self.pacing.withdrawn(permit)
                return None
            self.sent += 1
            self._under_way[threading.get_ident()] = each, reservation
            try:
                attempt = provider.attempt(each.body)
            finally:
                is_awaited = self._under_way.pop(threading.get_ident(), None) is not None
            if not is_awaited:
                return None
            answer = self._take(provider, each, attempt, permit, reservation)
            if answer is None:
                failures += attempt.verdict == "failed"
                if failures < self.max_attempts:
                    if failures:
                        self.stopped.wait(min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S))
                    continue
                if self.pacing.gave_up is not None:
                    return None
                said = "no reply" if attempt.reply is None else f"status {attempt.reply.status}"
                answer = Answer(None, "unanswered", f"{said} on {failures} attempts")
            if answer.reply is None:
                self._keep_problem(each, attempt, answer)
            return answer

    def _keep_problem(self, each: Ask, attempt: Attempt, answer: Answer) -> None:
        """Write down what is no answer, so that what follows from it can be followed without asking."""
        status = 0 if attempt.reply is None else attempt.reply.status
        self.journal.append(each.key, Reply(status, answer.detail), **each.facts, **{PROBLEM: answer.problem})

    def _take(
        self,
        provider: RemoteProvider,
        each: Ask,
        attempt: Attempt,
        permit: Permit,
        reservation: Reservation,
    ) -> Answer | None:
        """Keep what came; None where it is worth another attempt."""
        reply, verdict = attempt.reply, attempt.verdict
        if reply is not None and verdict == "answered":
            entry = each.entry(reply)
            self.journal.append_all([entry])
            usage = entry_usage(provider, entry)
            self.caps.settle(reservation, usage)
            self.pacing.succeeded(permit, usage.total_tokens)
            self._answered += 1
            return Answer(reply)
        if reply is None and attempt.maybe_paid:
            self.journal.append_all([loss_entry(each, reservation.usage, self.journal.entries)])
            self.caps.settle(reservation, reservation.usage)
        else:
            self.caps.release(reservation)
        if reply is None or verdict == "failed":
            self.pacing.failed(permit, attempt.retry_after_s)
            return None
        if verdict == "wait":
            self.pacing.asked_to_wait(permit, attempt.retry_after_s)
            return None
        self.pacing.refused(permit)
        if verdict == "hopeless":
            raise ProviderError(provider.describe(reply, "which no other request would change"))
        return self._refused_answer(provider, reply)

    def _refused_answer(self, provider: RemoteProvider, reply: Reply) -> Answer:
        if _FILTER in reply.body:
            return Answer(None, "filtered", f"status {reply.status}")
        self._refused += 1
        if not self._answered and self._refused >= _REFUSED_AT_FIRST:
            raise ProviderError(provider.describe(reply, "as to every request so far"))
        return Answer(None, "refused", f"status {reply.status}: {reply.body[:200].strip()}")

    def _expected_tokens(self, each: Ask) -> int:
        """Return what the token rate is charged before a reply says what it really was."""
        return -(-each.request_bytes // 4) + each.max_tokens


def _wait_for_the_rest(
    news: queue.SimpleQueue[tuple[str, Answer] | BaseException | None], n_workers: int
) -> None:
    """Let replies that are just arriving be written, without waiting for those that are not."""
    deadline_s = time.monotonic() + _GRACE_S
    with contextlib.suppress(queue.Empty):
        while n_workers > 0 and (left_s := deadline_s - time.monotonic()) > 0:
            n_workers -= not isinstance(news.get(timeout=left_s), tuple)
