"""From planned examples to accepted items, wave by wave; whoever drives it sends the requests.

All requests of a wave are written before the first reply of it is read, and replies are read in the order of
the requests. What follows therefore depends on the replies alone and not on the order in which they arrive:
reading a journal again takes the same way as the run that wrote it. So a run is resumed and parsed anew.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.providers import Answer, Ask, answer_of
from tasksel.reply_journal import request_key
from tasksel.synthesis.item_intake import SET_ASIDE, ItemIntake, Reject
from tasksel.synthesis.items import AcceptedItem, item_json
from tasksel.synthesis.requests import (
    ItemRequest,
    correction_request,
    group_examples,
    is_near_duplicate,
    settings_key,
    write_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from tasksel.providers import Provider
    from tasksel.reply_journal import JournalEntry
    from tasksel.synthesis.planned_examples import PlannedExample, PlannedRun

__all__ = ["GenerationWaves", "StratumCount"]

_FRESH_TRIES: Final = 2
_MOST_ASKED: Final = 2
"""Of a stratum no more items are asked for than so many times the plan; tries of one asking count once."""


class StratumCount(NamedTuple):
    """A stratum, up to a tier.

    Attributes
    ----------
    stratum : str
        Its name.
    planned, accepted, asked : int
        Examples planned, items accepted, items asked for (tries of one asking count once).
    """

    stratum: str
    planned: int
    accepted: int
    asked: int


class _Failure(NamedTuple):
    """A reject that may still be mended, and where it came from."""

    reject: Reject
    request: ItemRequest
    reply: str

    @property
    def is_mendable(self) -> bool:
        """Whether there is a reply that can be sent back."""
        return bool(self.reply) and self.reject.reason not in SET_ASIDE


@dataclass
class GenerationWaves:
    """The state of a generation.

    Parameters
    ----------
    run : PlannedRun
        What is wanted.
    provider : Provider
        Writes bodies and reads replies; nothing is sent here.
    entries : mapping of str to JournalEntry
        The journal, which grows while this runs.
    exemplars : mapping of str to sequence of str
        Stratum -> real texts to show.

    Attributes
    ----------
    intake : ItemIntake
        What was taken.
    rejects : list of Reject
        In the order in which they were given up.
    counts : collections.Counter
        ``corrections``, ``fresh tries``, ``topped up items``, ``adopted replies``.
    stage : int
        The tier that is being written.
    """

    run: PlannedRun
    provider: Provider
    entries: Mapping[str, JournalEntry]
    exemplars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    stage: int = 0

    def __post_init__(self) -> None:
        self.intake = ItemIntake(self.run.config, self.provider)
        self._settings_key = settings_key(self.run.config)
        self._asked: collections.Counter[str] = collections.Counter()
        self._used: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._places = {each.plan_id: place for place, each in enumerate(self.run.examples)}

    @property
    def accepted(self) -> dict[str, AcceptedItem]:
        """Items by plan_id."""
        return self.intake.accepted

    def waves(self, tier: int) -> Generator[list[Ask], Mapping[str, Answer], bool]:
        """Give wave after wave of requests and take their answers; True when there is nothing left to ask.

        A tier is finished before the next one begins, so that running tiers one by one and running the last
        one at once ask the same.
        """
        for stage in (each for each in self.run.tiers if each <= tier):
            self.stage = stage
            new = [each for each in self.run.examples if each.tier == stage]
            while new:
                if not (yield from self._ladder(new)):
                    return False
                new = self._top_up(stage)
                self.counts["topped up items"] += len(new)
        return True

    def count_strata(self, tier: int) -> list[StratumCount]:
        """Count planned, accepted and asked items of each stratum, in the plan's order."""
        planned: collections.Counter[str] = collections.Counter()
        accepted: collections.Counter[str] = collections.Counter()
        for each in self._planned(tier):
            planned[each.stratum] += 1
            accepted[each.stratum] += each.plan_id in self.accepted
        return [StratumCount(name, n, accepted[name], self._asked[name]) for name, n in planned.items()]

    def pending(self, tier: int) -> list[PlannedExample]:
        """Return the examples of a tier that have no item, in the plan's order."""
        return [each for each in self._planned(tier) if each.plan_id not in self.accepted]

    def first_requests(self, tier: int) -> list[ItemRequest]:
        """Write the requests that what is pending would begin with."""
        return self._requests(self.pending(tier))

    def _planned(self, tier: int) -> Iterable[PlannedExample]:
        return (each for each in self.run.examples if each.tier <= tier)

    def _top_up(self, stage: int) -> list[PlannedExample]:
        """Choose what is asked for once more: the deficit, as far as the stratum may still be asked."""
        room = {each.stratum: _MOST_ASKED * each.planned - each.asked for each in self.count_strata(stage)}
        chosen = []
        for each in self.pending(stage):
            if room[each.stratum] > 0:
                room[each.stratum] -= 1
                chosen.append(each)
        return chosen

    # One asking: a first try, a correction, two fresh tries

    def _ladder(self, examples: Sequence[PlannedExample]) -> Generator[list[Ask], Mapping[str, Answer], bool]:
        self._asked.update(each.stratum for each in examples)
        ordinary = [each for each in examples if not is_near_duplicate(each)]
        later = [each for each in examples if is_near_duplicate(each)]
        for part in (ordinary, later):
            if part and not (yield from self._climb(part)):
                return False
        return True

    def _climb(self, examples: list[PlannedExample]) -> Generator[list[Ask], Mapping[str, Answer], bool]:
        pending, failures = examples, list[_Failure]()
        for number in range(1 + _FRESH_TRIES):
            if number:
                self.counts["fresh tries"] += len(pending)
            failures, is_whole = yield from self._exchange(
                pending, self._requests, "first" if number == 0 else "fresh"
            )
            if is_whole and number == 0:
                failures, is_whole = yield from self._correct(failures)
            if not is_whole:
                return False
            self.rejects += [each.reject for each in failures if each.reject.reason in SET_ASIDE]
            failures = [each for each in failures if each.reject.reason not in SET_ASIDE]
            pending = [each.reject.example for each in failures]
            if not pending:
                return True
        self.rejects += [each.reject for each in failures]
        return True

    def _correct(
        self, failures: list[_Failure]
    ) -> Generator[list[Ask], Mapping[str, Answer], tuple[list[_Failure], bool]]:
        """Send replies back with what was wrong in them."""
        mendable = {each.reject.example.plan_id: each for each in failures if each.is_mendable}
        kept = [each for each in failures if not each.is_mendable]

        def write(examples: Sequence[PlannedExample]) -> list[ItemRequest]:
            by_reply: dict[str, list[_Failure]] = {}
            for example in examples:
                failure = mendable[example.plan_id]
                by_reply.setdefault(failure.reject.request_key, []).append(failure)
            return [self._correction(each) for each in by_reply.values()]

        examples = [each.reject.example for each in mendable.values()]
        self.counts["corrections"] += len(examples)
        failed, is_whole = yield from self._exchange(examples, write, "correction")
        return self._in_order([*kept, *failed]), is_whole

    def _correction(self, failures: Sequence[_Failure]) -> ItemRequest:
        failed = [(each.reject.example, f"{each.reject.reason}: {each.reject.detail}") for each in failures]
        return correction_request(self.run.config, failures[0].request, failures[0].reply, failed)

    def _in_order(self, failures: list[_Failure]) -> list[_Failure]:
        return sorted(failures, key=lambda each: self._places[each.reject.example.plan_id])

    # One wave

    def _exchange(
        self,
        examples: Sequence[PlannedExample],
        write: Callable[[Sequence[PlannedExample]], list[ItemRequest]],
        purpose: str,
    ) -> Generator[list[Ask], Mapping[str, Answer], tuple[list[_Failure], bool]]:
        """Ask one wave and read its answers; the flag says whether all came."""
        if not examples:
            return [], True
        requests = write(examples)
        asks = self._asks(requests, purpose)
        if any(each.key not in self.entries for each in asks) and self._adopt({each.key for each in asks}):
            examples = [each for each in examples if each.plan_id not in self.accepted]
            if not examples:
                return [], True
            requests = write(examples)
            asks = self._asks(requests, purpose)
        self._used.update(each.key for each in asks)
        answers = yield asks
        failures: list[_Failure] = []
        for request, ask in zip(requests, asks, strict=True):
            if ask.key in answers:
                taken = self.intake.take(request.examples, ask.key, answers[ask.key])
                failures += [_Failure(reject, request, taken.text) for reject in taken.rejects]
        return self._in_order(failures), all(each.key in answers for each in asks)

    def _requests(self, examples: Sequence[PlannedExample]) -> list[ItemRequest]:
        config = self.run.config
        requests = []
        for number, group in enumerate(group_examples(examples, config.request.items)):
            stratum = group[0].stratum
            base = self._base(stratum, number) if any(map(is_near_duplicate, group)) else None
            avoided = self.intake.avoided.get(stratum, ())
            exemplars = self._exemplars(group[0])
            requests.append(write_request(config, group, exemplars=exemplars, avoided=avoided, base=base))
        return requests

    def _exemplars(self, first: PlannedExample) -> list[str]:
        """Choose the real texts that a request shows, others for each request as far as there are any."""
        texts, count = self.exemplars.get(first.stratum, ()), self.run.config.request.examples
        if not texts or not count:
            return []
        start = self._places[first.plan_id] % len(texts)
        return [texts[(start + step) % len(texts)] for step in range(min(count, len(texts)))]

    def _base(self, stratum: str, number: int) -> str | None:
        found = [
            self.accepted[each.plan_id].content
            for each in self.run.examples
            if each.stratum == stratum and each.edge is None and each.plan_id in self.accepted
        ]
        return item_json(found[number % len(found)]) if found else None

    def _asks(self, requests: Sequence[ItemRequest], purpose: str) -> list[Ask]:
        taken = set(self._used)
        asks = []
        for request in requests:
            body = self.provider.make_body(request.chat)
            key = self._free_key(body, taken)
            taken.add(key)
            facts = {
                "purpose": purpose,
                "stratum": request.examples[0].stratum,
                "plan_ids": [each.plan_id for each in request.examples],
                "wanted": [each.key(self._settings_key) for each in request.examples],
            }
            asks.append(Ask(key, body, request.chat.messages, request.chat.max_tokens, facts))
        return asks

    def _free_key(self, body: Mapping[str, Any], taken: set[str]) -> str:
        """Return the key of a body, or of its next try that was not used."""
        first = request_key(body)
        if first not in taken:
            return first
        attempt = self._attempts.get(first, 1)
        while (key := request_key(body, attempt=attempt)) in taken:
            attempt += 1
        # Earlier ones are all taken, and what was taken stays so.
        self._attempts[first] = attempt
        return key

    # Replies that no request leads to any more

    def _adopt(self, asked: set[str]) -> bool:
        """Use replies that are paid for and that this way of asking would not come to.

        That happens when replies are read in another way than before: what was asked next differs then.
        Only replies to the same examples under the same settings are of use.
        """
        wanted = {
            each.key(self._settings_key): each
            for each in self.run.examples
            if each.plan_id not in self.accepted
        }
        before = len(self.accepted)
        for key in sorted(self.entries.keys() - self._used - asked):
            entry = self.entries[key]
            examples = [wanted.get(each) for each in entry.facts.get("wanted", ())]
            self._used.add(key)
            if any(examples):
                self.counts["adopted replies"] += 1
                self.intake.adopt(examples, key, answer_of(entry))
        return len(self.accepted) > before
