"""From the replies of a journal to answers: all samples of a prompt, and the one that is chosen."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tasksel.providers import answer_of
from tasksel.teacher.replies import REASONS, Reading, read_answer
from tasksel.teacher.requests import MOST_TRIES
from tasksel.teacher.votes import Vote, vote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tasksel.providers import Ask
    from tasksel.reply_journal import JournalEntry
    from tasksel.teacher.requests import TeacherPrompt, TeacherRequests

__all__ = ["AnsweredPrompt", "Sample", "by_row", "count_reasons", "open_asks", "read_prompts"]

_UNREADABLE = "unreadable"


class Sample(NamedTuple):
    """One of a prompt's answers.

    Attributes
    ----------
    number : int
        From 0.
    tries : int
        How often it was asked for before the request that counts.
    request : str
        Key of that request.
    reading : Reading or None
        None while there is no reply.
    problem : str
        Why there is none although it was asked for.
    """

    number: int
    tries: int
    request: str
    reading: Reading | None
    problem: str = ""


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt with all that came back for it.

    Parameters
    ----------
    prompt : TeacherPrompt
        What was asked.
    samples : tuple of Sample
        In their order.
    chosen : Sample or None
        Whose text is the label; None where the prompt is open, or no sample is an answer.
    vote : Vote or None
        How it was chosen.
    """

    prompt: TeacherPrompt
    samples: tuple[Sample, ...]
    chosen: Sample | None = None
    vote: Vote | None = None

    @property
    def is_open(self) -> bool:
        """Whether a reply is still to come."""
        return any(each.reading is None for each in self.samples)

    @property
    def reason(self) -> str:
        """Why there is no label: that of the first sample; empty where there is one, or may still be."""
        first = self.samples[0].reading
        return "" if self.is_open or self.chosen is not None or first is None else first.reason


def read_prompts(
    requests: TeacherRequests, entries: Mapping[str, JournalEntry], prompts: Iterable[TeacherPrompt]
) -> list[AnsweredPrompt]:
    """Read what a journal has for prompts, in their order.

    Parameters
    ----------
    requests : TeacherRequests
        Leads to the keys.
    entries : mapping of str to JournalEntry
        The journal.
    prompts : iterable of TeacherPrompt
        What was asked.
    """
    n_samples = requests.settings.samples
    return [
        _chosen(prompt, tuple(_sample(requests, entries, prompt, number) for number in range(n_samples)))
        for prompt in prompts
    ]


def open_asks(requests: TeacherRequests, answered: Iterable[AnsweredPrompt]) -> list[Ask]:
    """Return the requests that are still to be answered, all samples of a prompt side by side."""
    return [
        requests.ask(each.prompt, sample.number, sample.tries)
        for each in answered
        for sample in each.samples
        if sample.reading is None
    ]


def by_row(answered: Iterable[AnsweredPrompt], ids: Iterable[str]) -> list[tuple[str, AnsweredPrompt]]:
    """Return each row with its prompt, in the order of `ids`; rows of somebody else are left out."""
    found = {identifier: each for each in answered for identifier in each.prompt.ids}
    return [(identifier, found[identifier]) for identifier in ids if identifier in found]


def count_reasons(answered: Sequence[AnsweredPrompt]) -> dict[str, int]:
    """Count the prompts without a label by reason, in the order of `REASONS`; of equal prompts each row."""
    counts: collections.Counter[str] = collections.Counter()
    for each in answered:
        counts[each.reason] += len(each.prompt.ids)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _sample(
    requests: TeacherRequests, entries: Mapping[str, JournalEntry], prompt: TeacherPrompt, number: int
) -> Sample:
    """Follow the tries of a sample to the one that counts; a reply that cannot be read leads to the next."""
    sample = Sample(number, 0, "", None)
    for tries in range(MOST_TRIES):
        key = requests.key(prompt, number, tries)
        if key not in entries:
            return Sample(number, tries, key, None)
        answer = answer_of(entries[key])
        reading = read_answer(answer, requests.provider, prompt.text, requests.settings)
        sample = Sample(number, tries, key, reading, "" if reading is not None else answer.detail)
        if reading is None or reading.reason != _UNREADABLE:
            break
    return sample


def _chosen(prompt: TeacherPrompt, samples: tuple[Sample, ...]) -> AnsweredPrompt:
    if any(each.reading is None for each in samples):
        return AnsweredPrompt(prompt, samples)
    usable = [each for each in samples if each.reading is not None and each.reading.is_answer]
    if not usable:
        return AnsweredPrompt(prompt, samples)
    found = vote([each.reading.text for each in usable if each.reading is not None])
    return AnsweredPrompt(prompt, samples, usable[found.place], found)
