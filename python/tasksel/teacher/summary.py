"""What a teacher's run came to: answers, what was set aside, agreement, tokens and cost."""

from __future__ import annotations

import collections
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tasksel.teacher.answers import count_reasons
from tasksel_core import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasksel.spending_caps import Spent
    from tasksel.teacher.answers import AnsweredPrompt

__all__ = [
    "TEACHER_STAGE",
    "SampleAgreement",
    "TeacherSummary",
    "manifest_content",
    "measure_agreement",
    "summarise",
]

TEACHER_STAGE: Final = "teacher"
_OF_ONE_CALL: Final = (
    "folder",
    "labels",
    "sent",
    "ended",
    "was_given_up",
    "is_finished",
    "notes",
    "added",
    "labelled",
    "conflicts",
    "problems",
)
"""What another call of the same command says otherwise, or where things are."""


@dataclass(frozen=True)
class SampleAgreement:
    """How far the samples of a prompt agree, over the prompts with two or more answers.

    Parameters
    ----------
    prompts : int
        Such prompts.
    mean : float or None
        Mean share of the answers that are the same as the chosen one.
    unanimous, without_majority : int
        Prompts whose answers are all the same, and those of which no two are.
    """

    prompts: int
    mean: float | None
    unanimous: int
    without_majority: int


@dataclass(frozen=True)
class TeacherSummary:
    """How far a teacher's run is, and what it gave.

    Parameters
    ----------
    folder : str
        Where replies and answers are.
    annotator : str
        As the labels have it.
    is_local : bool
        The model ran in this process, and costs nothing that is known here.
    selected, settled, blank, asked : int
        Rows of the selection; those that had a label of somebody else or were rejected; those with a blank
        prompt; the others.
    shared : int
        Rows that share the answer of an equal prompt.
    answered, unanswered : int
        Rows of `asked` with an answer, and those without any reply.
    problems : dict of str to int
        Requests without a reply that were sent, by what happened on the last attempt.
    set_aside : dict of str to int
        Rows of `asked` whose replies cannot be labels, by reason.
    samples : int
        Answers to each prompt.
    agreement : SampleAgreement or None
        Of several samples.
    cut_answers, reasoning_removed : int
        Labels that were cut at the longest answer, and labels whose reasoning was left out.
    sent : int
        Requests sent this time, every attempt counted.
    replies : int
        Requests answered, in all runs of the folder.
    input_tokens, output_tokens : int
        Of all replies.
    is_estimate : bool
        Not all of these tokens were reported by the provider.
    cost : float or None
        None where the price is not known.
    currency : str or None
        Of the cost.
    added : int
        Answers that are new in the labels of the run, those without a text included.
    labels : str
        File with the labels of the run; empty where there is nothing to add.
    labelled : int
        Prompts in it, over all annotators and rounds.
    conflicts : int
        Answers of this teacher that contradict earlier ones of the same name.
    ended : str, optional
        Why it ended before everything was asked, as a clause.
    was_given_up : bool
        The provider failed for good.
    notes : tuple of str
        Sentences that a user should read.
    """

    folder: str
    annotator: str
    is_local: bool
    selected: int
    settled: int
    blank: int
    asked: int
    shared: int
    answered: int
    unanswered: int
    problems: dict[str, int]
    set_aside: dict[str, int]
    samples: int
    agreement: SampleAgreement | None
    cut_answers: int
    reasoning_removed: int
    sent: int
    replies: int
    input_tokens: int
    output_tokens: int
    is_estimate: bool
    cost: float | None
    currency: str | None
    added: int = 0
    labels: str = ""
    labelled: int = 0
    conflicts: int = 0
    ended: str | None = None
    was_given_up: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def is_finished(self) -> bool:
        """Whether every prompt has a reply."""
        return not self.unanswered

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return asdict(self) | {"notes": list(self.notes), "is_finished": self.is_finished}


def measure_agreement(answered: Sequence[AnsweredPrompt]) -> SampleAgreement:
    """Measure how far the samples agree, each prompt counted once."""
    votes = [each.vote for each in answered if each.vote is not None and each.vote.answers > 1]
    shares = [each.agreement for each in votes]
    return SampleAgreement(
        prompts=len(votes),
        mean=math.fsum(shares) / len(shares) if shares else None,
        unanimous=sum(each.votes == each.answers for each in votes),
        without_majority=sum(each.votes == 1 for each in votes),
    )


def summarise(
    answered: Sequence[AnsweredPrompt], spent: Spent, *, selected: int, blank: int, samples: int, **run: Any
) -> TeacherSummary:
    """Put together what a run came to.

    Parameters
    ----------
    answered : sequence of AnsweredPrompt
        Every prompt that is the teacher's.
    spent : Spent
        In all runs of the folder.
    selected, blank, samples : int
        Rows of the selection, those of them with a blank prompt, and answers to each prompt.
    **run
        The other fields of `TeacherSummary`.
    """
    rows = [(each, len(each.prompt.ids)) for each in answered]
    asked = sum(n for _, n in rows)
    chosen = [(each.chosen.reading, n) for each, n in rows if each.chosen is not None]
    return TeacherSummary(
        selected=selected,
        settled=selected - blank - asked,
        blank=blank,
        asked=asked,
        shared=asked - len(rows),
        answered=sum(n for _, n in chosen),
        unanswered=sum(n for each, n in rows if each.is_open),
        problems=dict(
            collections.Counter(
                sample.problem for each in answered for sample in each.samples if sample.problem
            )
        ),
        set_aside=count_reasons(answered),
        samples=samples,
        agreement=measure_agreement(answered) if samples > 1 else None,
        cut_answers=sum(n for reading, n in chosen if reading is not None and reading.is_cut),
        reasoning_removed=sum(n for reading, n in chosen if reading is not None and reading.has_reasoning),
        replies=spent.requests,
        input_tokens=spent.usage.input_tokens,
        output_tokens=spent.usage.output_tokens,
        is_estimate=spent.usage.is_estimate,
        cost=spent.cost,
        currency=spent.currency,
        **run,
    )


def manifest_content(
    summary: TeacherSummary, identity: dict[str, Any], selection: dict[str, Any]
) -> dict[str, Any]:
    """Return what the manifest says: the selection, settings and counts; no times and no places."""
    found = summary.to_dict()
    for name in _OF_ONE_CALL:
        del found[name]
    return {**identity, "tasksel": __version__, "selection": selection, "counts": found}
