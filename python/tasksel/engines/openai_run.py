"""Questions of many shards under way at once, answers as they come, raw replies on the disk before both."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from tasksel.endpoint import KeptConnection
from tasksel.engines.engine import Answer, AnsweredBatch
from tasksel.engines.openai_sending import Question
from tasksel.reply_journal import ReplyJournal, request_key
from tasksel.shard_files import replies_name
from tasksel_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tasksel.engines.engine import ShardPrompts
    from tasksel.engines.openai_sending import Sender

__all__ = ["AnswerRun", "replies_path"]

_ANSWERED: Final = 200
_LISTEN_S: Final = 0.1
"""Waits are short: polars restarts system calls after Ctrl-C, so that one without end never hears of it."""
_GRACE_S: Final = 0.5
"""How long replies under way may still arrive and be written down when the run is left."""


def replies_path(folder: Path, number: int) -> Path:
    """Return where the raw replies of a shard are kept until the shard itself is written.

    Examples
    --------
    >>> from pathlib import Path
    >>> replies_path(Path("scores"), 3).name
    '.part-00003.replies.jsonl'
    """
    return folder / replies_name(number)


class _OpenShard:
    """A shard of which answers are still to come, with its journal."""

    def __init__(self, shard: ShardPrompts, journal: ReplyJournal | None) -> None:
        self.number = shard.number
        self.journal = journal
        self.missing = len(shard.prompts) - len(shard.answered)

    def close(self) -> None:
        if self.journal is not None:
            self.journal.__exit__(None, None, None)


class AnswerRun:
    """One walk over shards; threads ask while the caller works on what was answered.

    Parameters
    ----------
    sender : Sender
        Asks one question.
    shards : iterable of ShardPrompts
        Taken when fewer questions wait than may be under way.
    max_concurrency : int
        Most questions under way.
    journal_folder : Path or None
        Where raw replies are kept; must exist.
    """

    def __init__(
        self,
        sender: Sender,
        shards: Iterable[ShardPrompts],
        *,
        max_concurrency: int,
        journal_folder: Path | None,
    ) -> None:
        self.sender = sender
        self.stopped = sender.stopped
        self.max_concurrency = max_concurrency
        self.journal_folder = journal_folder
        self._steps = self._walk(shards)
        self._open: dict[int, _OpenShard] = {}
        self._waiting: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[tuple[Question, Answer | BaseException | None]] = queue.SimpleQueue()
        self._under_way = 0
        self._threads: list[threading.Thread] = []
        self._error: BaseException | None = None

    def batches(self) -> Iterator[AnsweredBatch]:
        """Yield answers until all are there, the run is stopped, or an error ends it.

        Raises
        ------
        ProviderError
            Of `Sender.ask`; what was answered before is yielded first.
        OSError
            A journal could not be read or written.
        """
        try:
            while True:
                known = self._feed()
                if known:
                    yield self._settle(known)
                elif self._under_way:
                    yield from self._listen()
                else:
                    break
            if self._error is not None:
                raise self._error
        finally:
            self._leave()

    # Questions

    def _walk(self, shards: Iterable[ShardPrompts]) -> Iterator[Question | AnsweredBatch]:
        """Yield what is to be asked, and what the journals of an earlier run hold already."""
        for shard in shards:
            opened = _OpenShard(shard, self._open_journal(shard.number))
            self._open[shard.number] = opened
            if not opened.missing:
                self._close(opened)
            for question in self._make_questions(shard, opened.journal):
                answer = self._find_reply(question)
                if answer is None:
                    yield question
                else:
                    yield AnsweredBatch(shard.number, question.positions, [answer] * len(question.positions))

    def _open_journal(self, number: int) -> ReplyJournal | None:
        if self.journal_folder is None:
            return None
        return ReplyJournal(replies_path(self.journal_folder, number)).__enter__()

    def _make_questions(self, shard: ShardPrompts, journal: ReplyJournal | None) -> list[Question]:
        """Return one question for all prompts of a shard that are equal, in the order of their first."""
        positions_of: dict[str, list[int]] = {}
        for position, prompt in enumerate(shard.prompts):
            if position not in shard.answered:
                positions_of.setdefault(prompt, []).append(position)
        questions = []
        for prompt, positions in positions_of.items():
            body = self.sender.form.make_body(prompt)
            questions.append(Question(shard.number, tuple(positions), request_key(body), body, journal))
        return questions

    def _find_reply(self, question: Question) -> Answer | None:
        """Return the answer of a reply in the journal; one that cannot be read is asked for again."""
        entry = None if question.journal is None else question.journal.entries.get(question.key)
        if entry is None or entry.reply.status != _ANSWERED:
            return None
        try:
            return self.sender.read(entry.reply)
        except ProviderError:
            return None

    def _feed(self) -> AnsweredBatch | None:
        """Ask more while there is room; return at once what needs no asking."""
        while self._under_way < 2 * self.max_concurrency and not self.stopped.is_set():
            step = next(self._steps, None)
            if step is None or isinstance(step, AnsweredBatch):
                return step
            self._under_way += 1
            self._waiting.put(step)
            if len(self._threads) < self.max_concurrency:
                # Daemons: a request that hangs must not keep the process alive after Ctrl-C.
                self._threads.append(threading.Thread(target=self._work, daemon=True))
                self._threads[-1].start()
        return None

    def _work(self) -> None:
        """Answer questions until there are none; every question becomes one piece of news."""
        with KeptConnection() as connection:
            while (question := self._waiting.get()) is not None:
                self._news.put((question, self._find_news(question, connection)))

    def _find_news(self, question: Question, connection: KeptConnection) -> Answer | BaseException | None:
        try:
            return None if self.stopped.is_set() else self.sender.ask(question, connection)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
            self.stopped.set()
            return error

    # Answers

    def _listen(self) -> Iterator[AnsweredBatch]:
        """Yield, shard by shard, what came since it was last looked."""
        batches: dict[int, tuple[list[int], list[Answer]]] = {}
        timeout_s = _LISTEN_S
        while True:
            try:
                question, news = self._news.get(timeout=timeout_s)
            except queue.Empty:
                break
            timeout_s = 0.0
            self._under_way -= 1
            if isinstance(news, BaseException):
                self._error = self._error or news
            elif news is not None:
                positions, answers = batches.setdefault(question.number, ([], []))
                positions += question.positions
                answers += [news] * len(question.positions)
        for number, (positions, answers) in batches.items():
            yield self._settle(AnsweredBatch(number, positions, answers))

    def _settle(self, batch: AnsweredBatch) -> AnsweredBatch:
        """Close the journal of a shard before its last answers are given, since it is then deleted."""
        opened = self._open[batch.number]
        opened.missing -= len(batch.positions)
        if not opened.missing:
            self._close(opened)
        return batch

    def _close(self, opened: _OpenShard) -> None:
        opened.close()
        del self._open[opened.number]

    def _leave(self) -> None:
        """End the threads; replies that are just arriving are still written, others are not waited for."""
        self.stopped.set()
        for _ in self._threads:
            self._waiting.put(None)
        deadline_s = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        for opened in list(self._open.values()):
            self._close(opened)
