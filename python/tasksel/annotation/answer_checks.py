"""Answers that came back against the prompts that were asked: what can be stored, and what is wrong."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.answers import ANSWER_SCHEMA, ANSWERED, EMPTY, OPEN, REJECTED
from tasksel.run_folder import text_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CheckedAnswers", "Problem", "check_answers"]

UNNAMED: Final = "unnamed"
"""Annotator where neither the file nor the user names one."""
_MOST_EXAMPLES: Final = 3
_SENTENCES: Final = {
    "unknown": ("has an id that was never asked", "have ids that were never asked", True),
    "changed": ("has another prompt than was asked", "have other prompts than were asked", True),
    "unidentified": (
        "has neither an id nor a prompt that was asked",
        "have neither an id nor a prompt that was asked",
        True,
    ),
    "contradicting": (
        "is answered in two ways by one annotator; both answers are kept",
        "are answered in several ways by one annotator; all answers are kept",
        True,
    ),
    "respaced": (
        "came back with other white space in its prompt; its answer is taken",
        "came back with other white space in their prompts; their answers are taken",
        False,
    ),
    "recovered": (
        "has an id that was never asked and a prompt that was; its answer is taken",
        "have ids that were never asked and prompts that were; their answers are taken",
        False,
    ),
    "duplicated": ("repeats an earlier row; it counts once", "repeat earlier rows; they count once", False),
    "empty": ("was handed in without an answer", "were handed in without an answer", False),
    "missing": ("did not come back, or is open", "did not come back, or are open", False),
}
"""What is said of each kind: of one row, of several, and whether it is an error of the file."""


@dataclass(frozen=True)
class Problem:
    """Something about a file of answers.

    Parameters
    ----------
    kind : str
        A short name.
    count : int
        Rows, or prompts.
    examples : tuple of str
        The first few ids.
    """

    kind: str
    count: int
    examples: tuple[str, ...]

    @property
    def is_error(self) -> bool:
        """Whether the file is wrong; else it is only good to know."""
        return _SENTENCES[self.kind][2]

    @property
    def sentence(self) -> str:
        """What a person reads."""
        one, several, _ = _SENTENCES[self.kind]
        unit = "prompt" if self.kind in ("missing", "contradicting", "empty") else "row"
        what = f"1 {unit} {one}" if self.count == 1 else f"{self.count:,} {unit}s {several}"
        shown = ", ".join(repr(each[:60]) for each in self.examples)
        more = ", …" if self.count > len(self.examples) else ""
        return f"{what}: {shown}{more}." if shown else f"{what}."

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as JSON-compatible values."""
        return {**asdict(self), "examples": list(self.examples), "is_error": self.is_error}


@dataclass(frozen=True, eq=False)
class CheckedAnswers:
    """What can be stored.

    Parameters
    ----------
    answers : DataFrame
        `ANSWER_SCHEMA`.
    open_rows : int
        Rows that nobody has filled in.
    problems : tuple of Problem
        In the order of their weight.
    """

    answers: pl.DataFrame = field(repr=False)
    open_rows: int
    problems: tuple[Problem, ...]


def check_answers(
    returned: pl.DataFrame,
    prompts: pl.DataFrame,
    *,
    asked_ids: Sequence[str],
    source: str,
    annotator: str | None = None,
    accept_changed: bool = False,
) -> CheckedAnswers:
    """Join answers to their prompts, and find what is wrong.

    Parameters
    ----------
    returned : DataFrame
        `tasksel.annotation.answers.RETURNED_SCHEMA`.
    prompts : DataFrame
        ``id``, ``prompt`` and ``prompt_sha256`` of everything that was asked.
    asked_ids : sequence of str
        Those that this file should bring back.
    source : str
        Kept with every answer.
    annotator : str, optional
        Who answered, where the file does not say.
    accept_changed : bool
        Take answers whose prompt came back changed.
    """
    found: dict[str, list[str]] = defaultdict(list)
    known = _KnownPrompts(prompts)
    rows: list[dict[str, Any]] = []
    touched: set[str] = set()
    open_rows = 0
    for row in returned.iter_rows(named=True):
        identifier = known.identify(row, found, accept_changed=accept_changed)
        if identifier is None:
            continue
        if row["status"] == OPEN:
            open_rows += 1
            continue
        touched.add(identifier)
        name = row["annotator"] or annotator or UNNAMED
        told = {key: row[key] for key in ("response", "status", "foreign_id", "note")}
        sha256 = known.hashes[identifier]
        rows.append({**told, "id": identifier, "prompt_sha256": sha256, "annotator": name, "source": source})
    kept = _single_answers(rows, found)
    found["empty"] = [row["id"] for row in kept if row["status"] == EMPTY]
    found["missing"] = [each for each in asked_ids if each not in touched]
    problems = tuple(
        Problem(kind, len(found[kind]), tuple(found[kind][:_MOST_EXAMPLES]))
        for kind in _SENTENCES
        if found[kind]
    )
    return CheckedAnswers(pl.DataFrame(kept, schema=ANSWER_SCHEMA, orient="row"), open_rows, problems)


class _KnownPrompts:
    """Prompts that were asked, by id and by hash."""

    def __init__(self, prompts: pl.DataFrame) -> None:
        columns = prompts.select("id", "prompt", "prompt_sha256")
        self.hashes: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._by_hash: dict[str, str | None] = {}
        for identifier, prompt, sha256 in columns.iter_rows():
            self.hashes[identifier] = sha256
            self._texts[identifier] = prompt
            # A prompt that was asked twice says nothing about which of the two is meant.
            self._by_hash[sha256] = None if sha256 in self._by_hash else identifier

    def identify(
        self, row: dict[str, Any], found: dict[str, list[str]], *, accept_changed: bool
    ) -> str | None:
        """Return the prompt that a row answers, or None; what is wrong goes into `found`."""
        identifier, prompt = row["id"], row["prompt"]
        sha256 = row["prompt_sha256"] if prompt is None else text_sha256(prompt)
        if identifier not in self.hashes:
            by_prompt = self._by_hash.get(sha256) if sha256 else None
            kind = "recovered" if by_prompt else "unknown" if identifier else "unidentified"
            if identifier or not by_prompt:
                found[kind].append(identifier or "")
            return by_prompt
        if sha256 is None or sha256 == self.hashes[identifier]:
            return str(identifier)
        if prompt is not None and _respaced(prompt) == _respaced(self._texts[identifier]):
            found["respaced"].append(identifier)
            return str(identifier)
        found["changed"].append(identifier)
        return str(identifier) if accept_changed else None


def _respaced(text: str) -> list[str]:
    """Return a text without what spreadsheets and forms do to it: line ends, white space, invisible NUL."""
    return text.replace("\0", "").split()


def _single_answers(rows: list[dict[str, Any]], found: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Keep one row an answer; an annotator who says several things about a prompt becomes several."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["id"], row["annotator"]].append(row)
    kept: list[dict[str, Any]] = []
    for (identifier, annotator), group in groups.items():
        distinct = list({(row["status"], row["response"]): row for row in reversed(group)}.values())
        found["duplicated"] += [identifier] * (len(group) - len(distinct))
        said = [row for row in distinct if row["status"] in (ANSWERED, REJECTED)] or distinct[-1:]
        if len(said) > 1:
            found["contradicting"].append(identifier)
        for number, row in enumerate(sorted(said, key=_order), start=1):
            kept.append(row if number == 1 else {**row, "annotator": f"{annotator}#{number}"})
    return kept


def _order(row: dict[str, Any]) -> tuple[int, str, str]:
    """Order the answers of one annotator to one prompt alike in every order of the rows."""
    foreign = row["foreign_id"]
    number = int(foreign) if foreign and foreign.isdecimal() and len(foreign) < 19 else 0
    return number, row["status"], row["response"] or ""
