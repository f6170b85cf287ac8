"""One question to a server, from the first attempt to an answer that can be kept."""

from __future__ import annotations

import re
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.engines.engine import Answer
from tasksel.engines.openai_replies import read_completion
from tasksel_core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.endpoint import Attempt, Endpoint, KeptConnection, Reply
    from tasksel.engines.openai_requests import RequestForm
    from tasksel.generation import Generation
    from tasksel.reply_journal import ReplyJournal
    from tasksel.request_pacing import Permit, RequestPacing

__all__ = ["EndCounts", "Question", "Sender", "StopEvent"]

_MOST_FAILURES: Final = 5
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LOOK_S: Final = 0.1
"""How long a pause goes without looking whether the run was stopped."""
_REFUSED_AT_FIRST: Final = 5
"""So many prompts refused and none answered: the settings are wrong, not the prompts."""
_REFUSED_IN_ROW: Final = 20
"""So many refused one after the other later on: the server is another one by now."""
_TOO_LONG: Final = re.compile(
    r"context|too (?:long|large)|max\w*[ _](?:\w+ )?(?:length|tokens)|exceed", re.IGNORECASE
)
_TOO_LARGE_STATUS: Final = 413
_FILTER: Final = "content_filter"
_QUOTED: Final = 200


class StopEvent(threading.Event):
    """An event of one's own that is also set when another one is.

    Parameters
    ----------
    other : threading.Event
        That of the caller.
    """

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Whether either is set."""
        return super().is_set() or self._other.is_set()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until either is set."""
        while seconds > 0.0 and not self.is_set():
            self.wait(min(seconds, _LOOK_S))
            seconds -= _LOOK_S


class EndCounts:
    """How many answers ended with, and how many without, a logprob of the token that ended them."""

    def __init__(self) -> None:
        self.listed = self.unlisted = 0
        self._lock = threading.Lock()

    def count(self, *, has_end_token: bool | None) -> None:
        """Count an answer; one of which it cannot be told is not counted."""
        with self._lock:
            self.listed += has_end_token is True
            self.unlisted += has_end_token is False


class Question(NamedTuple):
    """One request, and where its answer belongs.

    Attributes
    ----------
    number : int
        Of the shard.
    positions : tuple of int
        All prompts of the shard that this is the request of.
    key : str
        Under which its reply is kept.
    body : mapping
        What is posted.
    journal : ReplyJournal or None
        Where the reply is kept.
    """

    number: int
    positions: tuple[int, ...]
    key: str
    body: Mapping[str, Any]
    journal: ReplyJournal | None


class Sender:
    """Sends questions at the pace that the server bears; safe for threads.

    Parameters
    ----------
    endpoint : Endpoint
        Where to.
    form : RequestForm
        In which they are made.
    pacing : RequestPacing
        When to send.
    stopped : StopEvent
        Once set, no attempt is begun.
    ends : EndCounts
        Counted into.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        form: RequestForm,
        pacing: RequestPacing,
        stopped: StopEvent,
        ends: EndCounts,
    ) -> None:
        self.endpoint, self.form, self.pacing, self.stopped = endpoint, form, pacing, stopped
        self.ends = ends
        self._lock = threading.Lock()
        self._answered = self._refused_in_row = 0

    def ask(self, question: Question, connection: KeptConnection) -> Answer | None:
        """Ask until there is an answer; None where the run was stopped before.

        Raises
        ------
        ProviderError
            No other question would fare better.
        OSError
            The reply could not be written down.
        """
        failures = 0
        while True:
            attempt = self._attempt(question.body, connection)
            if attempt is None:
                return None
            reply, verdict = attempt.reply, attempt.verdict
            if reply is not None and verdict == "answered":
                return self._keep(question, reply)
            if verdict == "hopeless":
                raise ProviderError(self.endpoint.describe(reply, "which no other request would change"))
            if reply is not None and verdict == "refused":
                return self._refuse(reply)
            if verdict == "failed":
                failures += 1
                if failures >= _MOST_FAILURES and self._answers_others(connection):
                    said = "gave no reply" if reply is None else f"answered with status {reply.status}"
                    return Answer(None, None, None, f"The server {said} on {failures} attempts.")
                self.stopped.pause(min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S))

    def read(self, reply: Reply) -> Answer:
        """Read a reply of status 200.

        Raises
        ------
        ProviderError
            It cannot be read, or its numbers cannot be trusted.
        """
        read = read_completion(reply.body, top_k=self.form.top_logprobs)
        self.ends.count(has_end_token=read.has_end_token)
        cut = self._describe_cut(read.generation)
        if cut is not None:
            return Answer(None, read.prompt_tokens, None, cut)
        return Answer(read.generation, read.prompt_tokens, None, read.refusal)

    def _describe_cut(self, generation: Generation | None) -> str | None:
        """Say that an answer ended because the context was full, which vLLM does without a word.

        Its confidence would be that of another, shorter question: a product over fewer tokens.
        """
        if generation is None or generation.finish_reason != "length":
            return None
        n_tokens = len(generation.token_logprobs)
        if n_tokens >= self.form.max_new_tokens:
            return None
        return (
            f"The server cut the answer after {n_tokens} of {self.form.max_new_tokens} tokens: prompt and "
            "answer do not fit its context."
        )

    def _attempt(self, body: Mapping[str, Any], connection: KeptConnection) -> Attempt | None:
        """Send a body once, as soon as it may be sent."""
        permit = self.pacing.start(0, self.stopped)
        if permit is None:
            if self.pacing.gave_up is None:
                return None
            host = urllib.parse.urlsplit(self.endpoint.base_url).netloc
            raise ProviderError(
                f"{host} was given up, since {self.pacing.gave_up}. What was answered before is kept."
            )
        try:
            attempt = self.endpoint.attempt(self.form.path, body, connection=connection)
        except BaseException:
            self.pacing.withdrawn(permit)
            raise
        self._tell_pacing(permit, attempt)
        return attempt

    def _tell_pacing(self, permit: Permit, attempt: Attempt) -> None:
        verdict = attempt.verdict
        if verdict == "answered":
            self.pacing.succeeded(permit, 0)
        elif verdict == "wait":
            self.pacing.asked_to_wait(permit, attempt.retry_after_s)
        elif verdict == "failed":
            self.pacing.failed(permit, attempt.retry_after_s)
        else:
            self.pacing.refused(permit)

    def _answers_others(self, connection: KeptConnection) -> bool:
        """Whether the server is in order, so that it is this one prompt that it fails on."""
        attempt = self._attempt(self.form.make_probe(), connection)
        return attempt is not None and attempt.verdict == "answered"

    def _keep(self, question: Question, reply: Reply) -> Answer:
        if question.journal is not None:
            question.journal.append(question.key, reply)
        try:
            answer = self.read(reply)
        except ProviderError as error:
            self._count_refusal(str(error))
            return Answer(None, None, None, str(error))
        with self._lock:
            self._answered += 1
            self._refused_in_row = 0
        return answer

    def _refuse(self, reply: Reply) -> Answer:
        refusal = f"The server answered with status {reply.status}: {reply.body[:_QUOTED].strip()!r}."
        is_of_this_prompt = (
            reply.status == _TOO_LARGE_STATUS or _FILTER in reply.body or _TOO_LONG.search(reply.body)
        )
        if not is_of_this_prompt:
            self._count_refusal(refusal)
        return Answer(None, None, None, refusal)

    def _count_refusal(self, sentence: str) -> None:
        """End the run where prompt after prompt is refused for a reason that is not its own."""
        with self._lock:
            self._refused_in_row += 1
            count = self._refused_in_row
            limit = _REFUSED_IN_ROW if self._answered else _REFUSED_AT_FIRST
        if count >= limit:
            raise ProviderError(
                f"{count} prompts in a row were refused, the last like this: {sentence} What was answered "
                "before is kept."
            )
