"""Imports in their order become what stands: one answer a prompt and annotator, and the list of conflicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tasksel.annotation.answers import ANSWER_SCHEMA, EMPTY, SKIPPED
from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CONFLICT_RULES",
    "STANDING_SCHEMA",
    "ImportedAnswers",
    "StandingAnswers",
    "check_conflict_rule",
    "fold_imports",
]

CONFLICT_RULES: Final = ("keep", "replace", "ask-list")
"""What happens where an annotator says otherwise than before: the earlier answer stays, the later one takes
its place, or neither counts and the prompt goes to the adjudication list. It is listed in any case."""
STANDING_SCHEMA: Final = pl.Schema(
    {**ANSWER_SCHEMA, "import": pl.Int64(), "decides": pl.Boolean(), "disputed": pl.Boolean()}
)
"""An answer, its import, whether it settles its prompt, and whether its annotator said two things."""
_NO_ANSWER: Final = (EMPTY, SKIPPED)
"""What an answer may follow without a contradiction."""


class ImportedAnswers(NamedTuple):
    """One import.

    Attributes
    ----------
    number : int
        From 1.
    frame : DataFrame
        `ANSWER_SCHEMA`.
    on_conflict : str
        One of `CONFLICT_RULES`.
    decides : bool
        Whether its answers settle their prompts, whatever others said.
    """

    number: int
    frame: pl.DataFrame
    on_conflict: str
    decides: bool


@dataclass(frozen=True, eq=False)
class StandingAnswers:
    """What all imports come to.

    Parameters
    ----------
    frame : DataFrame
        `STANDING_SCHEMA`; one row a prompt and annotator, two where these are disputed.
    conflicts : list of dict
        One a contradiction: id, annotator, both answers, their imports, and what was done.
    """

    frame: pl.DataFrame = field(repr=False)
    conflicts: list[dict[str, Any]]


def check_conflict_rule(rule: str) -> str:
    """Refuse a rule that there is not.

    Raises
    ------
    ConfigError
        It is none of `CONFLICT_RULES`.
    """
    if rule not in CONFLICT_RULES:
        hint = did_you_mean(rule, CONFLICT_RULES)
        raise ConfigError(f"on_conflict is {rule!r}; allowed: {', '.join(CONFLICT_RULES)}.{hint}")
    return rule


def fold_imports(imports: Iterable[ImportedAnswers]) -> StandingAnswers:
    """Take the imports one after the other, as they were made.

    Examples
    --------
    >>> def of(number, response, rule="keep"):
    ...     row = dict.fromkeys(ANSWER_SCHEMA.names()) | {"id": "a", "annotator": "ann"}
    ...     row |= {"response": response, "status": "answered"}
    ...     return ImportedAnswers(number, pl.DataFrame([row], schema=ANSWER_SCHEMA), rule, False)
    >>> fold_imports([of(1, "yes"), of(2, "no")]).frame["response"].to_list()
    ['yes']
    >>> fold_imports([of(1, "yes"), of(2, "no", "replace")]).frame["response"].to_list()
    ['no']
    """
    standing: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    conflicts: list[dict[str, Any]] = []
    for each in imports:
        for row in each.frame.iter_rows(named=True):
            row |= {"import": each.number, "decides": each.decides, "disputed": False}
            held = standing.setdefault((row["id"], row["annotator"], each.decides), [])
            conflict = _place(held, row, each.on_conflict)
            if conflict is not None:
                conflicts.append(conflict)
    rows = [row for held in standing.values() for row in held]
    return StandingAnswers(pl.DataFrame(rows, schema=STANDING_SCHEMA, orient="row"), conflicts)


def _place(held: list[dict[str, Any]], row: dict[str, Any], rule: str) -> dict[str, Any] | None:
    """Put an answer beside or in place of those of its annotator; return the conflict, if it is one."""
    if any(says_the_same(before, row) for before in held):
        return None
    if all(before["status"] in _NO_ANSWER for before in held):
        held[:] = [row]
        return None
    conflict = _conflict(held[-1], row, rule)
    if rule == "replace":
        held[:] = [row]
    elif rule == "ask-list":
        held.append(row)
        for each in held:
            each["disputed"] = True
    return conflict


def says_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are one answer; where from and with which note does not matter."""
    return bool(one["status"] == other["status"] and one["response"] == other["response"])


_DONE: Final = {
    "keep": "the earlier answer stays",
    "replace": "the later answer took its place",
    "ask-list": "neither counts until it is adjudicated",
}


def _conflict(before: dict[str, Any], row: dict[str, Any], rule: str) -> dict[str, Any]:
    told = ("status", "response", "source", "import")
    return {
        "id": row["id"],
        "annotator": row["annotator"],
        "earlier": {name: before[name] for name in told},
        "later": {name: row[name] for name in told},
        "done": _DONE[rule],
    }
