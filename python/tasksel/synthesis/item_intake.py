"""What comes back for planned examples: items that are taken, and what is wrong with the others."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.refusals import sounds_like_refusal
from tasksel.synthesis.items import AcceptedItem, ItemCheck, item_json
from tasksel.synthesis.records import normalised, write_record
from tasksel.synthesis.replies import parse_reply
from tasksel.synthesis.requests import may_break_schema
from tasksel.text_language import detect_language, language_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasksel.providers import Answer, Provider
    from tasksel.synthesis.config import SynthesisConfig
    from tasksel.synthesis.planned_examples import PlannedExample

__all__ = ["REASONS", "SET_ASIDE", "ItemIntake", "Reject", "TakenReply", "contradicts_language"]

REASONS: Final = (
    "refusal",
    "filtered",
    "refused by the server",
    "unanswered",
    "truncated",
    "wrong count",
    "unparsable",
    "schema",
    "duplicate",
    "wrong language",
)
SET_ASIDE: Final = ("refusal", "filtered", "refused by the server")
"""Asking once more in the same words would get the same."""
_PROBLEMS: Final = {"refused": "refused by the server", "filtered": "filtered"}
_LANGUAGE: Final = "language"
_LANGUAGE_NAMES: Final = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
}
_SHOWN_CHARS: Final = 200


class Reject(NamedTuple):
    """What came instead of an item.

    Attributes
    ----------
    example : PlannedExample
        What was asked for.
    reason : str
        One of `REASONS`.
    detail : str
        In words.
    request_key : str
        Of the reply.
    item : Any
        What was there; None where there was nothing.
    """

    example: PlannedExample
    reason: str
    detail: str
    request_key: str
    item: Any = None


class TakenReply(NamedTuple):
    """What one reply came to.

    Attributes
    ----------
    rejects : list of Reject
        One for each example without an item, in their order.
    text : str
        What the model wrote, to be sent back; empty where that makes no sense.
    """

    rejects: list[Reject]
    text: str


def contradicts_language(text: str, language: str) -> bool:
    """Whether a text is in another language than it should be; one whose language is not clear passes.

    Parameters
    ----------
    text : str
        What was written.
    language : str
        A code such as ``pt-BR``, or an English name.

    Examples
    --------
    >>> contradicts_language("Der Akku ist nach einem Tag leer und das ist nicht gut.", "English")
    True
    >>> contradicts_language("OK", "de-AT")
    False
    """
    name = language.strip().casefold()
    found = detect_language(text)
    return found is not None and found != language_code(_LANGUAGE_NAMES.get(name, name))


@dataclass
class ItemIntake:
    """Takes items one by one, in an order that decides which of two equal ones stays.

    Parameters
    ----------
    config : SynthesisConfig
        Schema, templates, language.
    provider : Provider
        Reads replies.

    Attributes
    ----------
    accepted : dict of str to AcceptedItem
        By plan_id.
    avoided : dict of str to list of str
        Stratum -> texts that came once more, the latest first.
    counts : collections.Counter
        Repairs by name, ``extra items``, and ``cut prompts``: requests that did not fit the model's context.
    """

    config: SynthesisConfig
    provider: Provider
    accepted: dict[str, AcceptedItem] = field(default_factory=dict)
    avoided: dict[str, list[str]] = field(default_factory=dict)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    _texts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._check = ItemCheck(self.config.schema)
        self._fields = tuple(self.config.schema["properties"])

    def take(self, examples: Sequence[PlannedExample], key: str, answer: Answer) -> TakenReply:
        """Take what is good in an answer.

        Parameters
        ----------
        examples : sequence of PlannedExample
            What was asked for, in the order of the items.
        key : str
            Of the request.
        answer : Answer
            What came.
        """

        def nothing(reason: str, detail: str) -> TakenReply:
            return TakenReply([Reject(each, reason, detail[:_SHOWN_CHARS], key) for each in examples], "")

        if answer.reply is None:
            return nothing(_PROBLEMS.get(answer.problem, "unanswered"), answer.detail)
        completion = self.provider.read(answer.reply)
        if completion.outcome != "text":
            reason = "unparsable" if completion.outcome == "unreadable" else completion.outcome
            return nothing(reason, completion.text or "the provider's reply has no text")
        parsed = parse_reply(completion.text, self._fields)
        if parsed.problem and sounds_like_refusal(completion.text):
            return nothing("refusal", completion.text)
        self.counts.update(parsed.repairs)
        self.counts["cut prompts"] += completion.has_cut_prompt
        self.counts["extra items"] += max(0, len(parsed.items) - len(examples))
        rejects = [
            self.take_item(example, item, key, parsed.repairs)
            for example, item in zip(examples, parsed.items, strict=False)
        ]
        lack = _missing(parsed.problem, len(parsed.items), is_cut=completion.is_cut or parsed.is_cut)
        rejects += [Reject(example, *lack, key) for example in examples[len(parsed.items) :]]
        return TakenReply([each for each in rejects if each is not None], completion.text)

    def adopt(self, examples: Sequence[PlannedExample | None], key: str, answer: Answer) -> None:
        """Take what is good in a reply for those examples that still lack an item; None for the others."""
        if answer.reply is None:
            return
        parsed = parse_reply(self.provider.read(answer.reply).text, self._fields)
        for example, item in zip(examples, parsed.items, strict=False):
            if example is not None and example.plan_id not in self.accepted:
                self.take_item(example, item, key, parsed.repairs)

    def take_item(
        self, example: PlannedExample, item: Any, key: str, repairs: tuple[str, ...]
    ) -> Reject | None:
        """Take an item, or say why not."""
        problem = self._check.find_problem(item, may_break_schema=may_break_schema(example))
        if problem:
            return Reject(example, "schema", problem, key, item)
        prompt, _ = write_record(self.config.record, example, item)
        as_prompt, as_item = f"prompt {normalised(prompt)}", f"item {normalised(item_json(item))}"
        if example.edge is None and not prompt.strip():
            return Reject(example, "schema", "the prompt made of it is empty", key, item)
        # An edge case may share its text with others: an empty one, one word.
        if (as_prompt if example.edge is None else as_item) in self._texts:
            self._avoid(example.stratum, prompt)
            return Reject(example, "duplicate", "the same text is there already", key, item)
        language = example.values.get(_LANGUAGE, self.config.language)
        if language is not None and example.edge is None and contradicts_language(prompt, language):
            return Reject(example, "wrong language", f"the text is not in {language}", key, item)
        self._texts |= {as_prompt, as_item}
        self.accepted[example.plan_id] = AcceptedItem(item, key, repairs)
        return None

    def _avoid(self, stratum: str, prompt: str) -> None:
        avoided = self.avoided.setdefault(stratum, [])
        if prompt not in avoided:
            avoided.insert(0, prompt)


def _missing(problem: str, count: int, *, is_cut: bool) -> tuple[str, str]:
    """Say why there is no item in a place."""
    if is_cut:
        return "truncated", f"the reply was cut short after {count} whole items"
    if problem:
        return "unparsable", problem
    return "wrong count", f"the reply holds {count} items"
