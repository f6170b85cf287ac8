"""Several answers to a prompt become one, or a person must settle it: votes, trust, adjudication."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.agreement import Agreement, measure_agreement, pairwise_agreement
from tasksel.annotation.answers import ANSWERED, EMPTY, REJECTED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["LABEL_SCHEMA", "Resolution", "resolve_answers"]

LABEL_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "response": pl.String(),
        "n_answers": pl.Int64(),
        "agreement": pl.Float64(),
        "annotators": pl.List(pl.String()),
    }
)
"""One row an accepted answer. `n_answers` counts answers and rejections, `agreement` is the share of their
pairs that are equal (null for one alone), `annotators` are those who said what was accepted."""
_DISAGREEMENT_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "said_by": pl.String(),
        "said_status": pl.String(),
        "said": pl.String(),
        "said_note": pl.String(),
    }
)
"""One row an answer to be settled, under names that the answer of the one who settles it cannot have."""


@dataclass(frozen=True, eq=False)
class Resolution:
    """What became of every prompt that somebody touched.

    Parameters
    ----------
    labels : DataFrame
        `LABEL_SCHEMA`.
    disagreements : DataFrame
        One row an answer to a prompt that must be settled: `id`, `said_by`, `said_status`, `said` and
        `said_note`.
    rejected_ids, skipped_ids, empty_ids : tuple of str
        Prompts that cannot be used; that were only passed on; that were handed in without a word.
    agreement : Agreement
        Over all prompts with several answers, rejections included.
    """

    labels: pl.DataFrame = field(repr=False)
    disagreements: pl.DataFrame = field(repr=False)
    rejected_ids: tuple[str, ...] = field(repr=False)
    skipped_ids: tuple[str, ...] = field(repr=False)
    empty_ids: tuple[str, ...] = field(repr=False)
    agreement: Agreement

    @property
    def disagreeing_ids(self) -> tuple[str, ...]:
        """Prompts that must be adjudicated, in order."""
        return tuple(self.disagreements["id"].unique(maintain_order=True))


def resolve_answers(standing: pl.DataFrame, *, annotators: Sequence[str] = ()) -> Resolution:
    """Settle every prompt.

    An answer of an adjudication settles its prompt. Else the first of `annotators` who answered does. Else
    more than half of those who answered must have said the same, white space around it aside; a rejection
    counts as an answer. Where none of this helps, the prompt must be adjudicated.

    Parameters
    ----------
    standing : DataFrame
        `tasksel.annotation.standing_answers.STANDING_SCHEMA`.
    annotators : sequence of str
        Whose answer goes before the majority, most trusted first.

    Examples
    --------
    >>> from tasksel.annotation.standing_answers import STANDING_SCHEMA
    >>> def said(annotator, response):
    ...     row = dict.fromkeys(STANDING_SCHEMA.names()) | {"id": "a", "annotator": annotator}
    ...     return row | {"response": response, "status": "answered", "decides": False, "disputed": False}
    >>> both = pl.DataFrame([said("ann", "yes"), said("bob", "no")], schema=STANDING_SCHEMA)
    >>> resolve_answers(both).disagreeing_ids
    ('a',)
    >>> resolve_answers(both, annotators=["bob"]).labels["response"].to_list()
    ['no']
    """
    labels: list[dict[str, Any]] = []
    disagreements: list[dict[str, Any]] = []
    without: dict[str, list[str]] = {REJECTED: [], SKIPPED: [], EMPTY: []}
    said: list[list[tuple[str, str]]] = []
    rows = sorted(standing.iter_rows(named=True), key=lambda row: row["id"])
    for identifier, group in itertools.groupby(rows, key=lambda row: row["id"]):
        answers = list(group)
        votes = [row for row in answers if row["status"] in (ANSWERED, REJECTED)]
        said.append([_vote(row) for row in votes if not row["decides"]])
        chosen = _choose(votes, annotators)
        if not votes:
            without[_untold(answers)].append(identifier)
        elif chosen is None:
            disagreements += [_disagreement(row) for row in votes]
        elif chosen["status"] == REJECTED:
            without[REJECTED].append(identifier)
        else:
            labels.append(_label(identifier, chosen, votes))
    return Resolution(
        labels=pl.DataFrame(labels, schema=LABEL_SCHEMA, orient="row"),
        disagreements=pl.DataFrame(disagreements, schema=_DISAGREEMENT_SCHEMA, orient="row"),
        rejected_ids=tuple(without[REJECTED]),
        skipped_ids=tuple(without[SKIPPED]),
        empty_ids=tuple(without[EMPTY]),
        agreement=measure_agreement(said),
    )


def _vote(row: dict[str, Any]) -> tuple[str, str]:
    return row["status"], (row["response"] or "").strip()


def _choose(votes: list[dict[str, Any]], annotators: Iterable[str]) -> dict[str, Any] | None:
    """Return the answer that stands for the prompt, or None where somebody must look."""
    deciding = [row for row in votes if row["decides"]]
    for candidates in (
        deciding,
        *([row for row in votes if row["annotator"] == name] for name in annotators),
    ):
        if candidates:
            return _majority(candidates)
    return None if any(row["disputed"] for row in votes) else _majority(votes)


def _majority(votes: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first answer of those that more than half gave."""
    said = [_vote(row) for row in votes]
    return next(
        (row for row, vote in zip(votes, said, strict=True) if 2 * said.count(vote) > len(votes)), None
    )


def _untold(answers: list[dict[str, Any]]) -> str:
    return SKIPPED if any(row["status"] == SKIPPED for row in answers) else EMPTY


def _label(identifier: str, chosen: dict[str, Any], votes: list[dict[str, Any]]) -> dict[str, Any]:
    said = [_vote(row) for row in votes]
    return {
        "id": identifier,
        "response": chosen["response"],
        "n_answers": len(votes),
        "agreement": pairwise_agreement(said) if len(votes) > 1 else None,
        "annotators": [row["annotator"] for row in votes if _vote(row) == _vote(chosen)],
    }


def _disagreement(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "said_by": row["annotator"],
        "said_status": row["status"],
        "said": row["response"],
        "said_note": row["note"],
    }
