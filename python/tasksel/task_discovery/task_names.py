"""Names of tasks: the terms that tell a task from the others, by class-based TF-IDF."""

from __future__ import annotations

import re
import unicodedata
from itertools import product
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.pool_ids import NO_TASK
from tasksel.task_discovery.task_model import OTHER
from tasksel.task_discovery.term_counts import term_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from tasksel.task_discovery.templates import Template

__all__ = ["clean_name", "name_tasks", "template_name", "unique_names"]

MAX_NAME_CHARS: Final = 40
N_TERMS: Final = 8
"""Terms that are kept of a task."""
N_NAMED: Final = 3
"""Terms of a name, at most."""
MIN_NAME_WORDS: Final = 3
"""Of a sentence that is a name; "Input:" and "Short answer:" are none."""
_SENTENCE_END: Final = re.compile(r"\n|[.:?!](?=\s|$)")
LEAST_SCORE: Final = 0.5
"""A further term of a name scores at least so much of the first."""
_LONGER: Final = (1.0, 1.3, 1.4)
"""By words: "movie review" says more than either word where both occur as often."""
_DEEP_WORDS: Final = 60.0
_LEAST_OF_DEEP: Final = 0.6
"""What stands so many words from either end of a prompt counts less: the instruction stands at an end, and a
long template has many terms that all its prompts hold."""
_MARKS: Final = " ,&+'()-"


def _scored_terms(
    texts: pl.Series, labels: npt.NDArray[np.int64], n_tasks: int
) -> list[list[tuple[str, float]]]:
    """Return the most telling terms of each task with their scores, the best first.

    A term scores the share of the task's prompts that hold it, times ``log(1 + tasks / sum of its shares over
    all tasks)``; longer ones get a little more, those deep inside the prompt less. A term with a word that is
    like one of a better term is left out. Counts are of prompts, so that one long prompt cannot name a task.
    """
    shares = term_shares(texts, labels)
    total = pl.col("share").sum().over("term")
    longer = pl.col("n_words").replace_strict(dict(enumerate(_LONGER, 1)), return_dtype=pl.Float64)
    at_an_end = 1 - (1 - _LEAST_OF_DEEP) * (pl.col("depth") / _DEEP_WORDS).clip(0, 1)
    scored = (
        shares.with_columns(score=pl.col("share") * (1 + n_tasks / total).log() * longer * at_an_end)
        # Sums in another order differ in their last digits, which must not decide.
        .with_columns(pl.col("score").round(9))
        .sort("label", "score", "n_words", "term", descending=[False, True, True, False])
    )
    found: list[list[tuple[str, float]]] = [[] for _ in range(n_tasks)]
    best = scored.group_by("label", maintain_order=True).head(10 * N_TERMS)
    for label, term, score in best.select("label", "term", "score").iter_rows():
        known = [word for other, _ in found[label] for word in other.split()]
        if len(found[label]) < N_TERMS and not any(_alike(*each) for each in product(known, term.split())):
            found[label].append((term, score))
    return found


def _alike(word: str, other: str) -> bool:
    """Tell whether two words are the same but for an ending: food, foods; country, countries."""
    size = max(3, min(len(word), len(other)) - 1)
    return word == other or (word[:size] == other[:size] and len(word) >= size <= len(other))


def name_tasks(
    texts: pl.Series, labels: npt.NDArray[np.int64], n_tasks: int
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Name each task by the terms that tell it from the others, by class-based TF-IDF.

    Parameters
    ----------
    texts, labels
        As for `term_shares`.
    n_tasks : int
        Labels are below it.

    Returns
    -------
    names : list of str, length n_tasks
        Unique, of letters, digits, blanks, commas and hyphens, at most 40 characters and a number.
    terms : list of tuple of str
        The most telling terms, the first the most.

    References
    ----------
    Grootendorst, M. (2022). BERTopic: Neural topic modeling with a class-based TF-IDF procedure, section 3.3.
    arXiv:2203.05794.
    """
    scored = _scored_terms(texts, labels, n_tasks)
    names: list[str] = []
    for place, terms in enumerate(scored):
        versions = [_joined(terms, more) for more in range(len(terms))]
        new = [each for each in versions if each and each.casefold() not in {*map(str.casefold, names)}]
        names.append(new[0] if new else versions[0] if versions and versions[0] else f"task {place + 1}")
    return unique_names(names), [tuple(term for term, _ in each) for each in scored]


def _joined(terms: Sequence[tuple[str, float]], more: int) -> str:
    """Join terms while they score well and fit; so many further ones where a name is taken."""
    name = ""
    for place, (term, score) in enumerate(terms[: N_NAMED + more]):
        longer = f"{name}, {term}" if name else term
        is_weak = score < LEAST_SCORE * terms[0][1] and place >= more
        if is_weak or (name and len(longer) > MAX_NAME_CHARS):
            break
        name = longer
    return clean_name(name)


def template_name(template: Template) -> str:
    r"""Return a template that is one short sentence as a name; an empty text for any other.

    Examples
    --------
    >>> from tasksel.task_discovery.templates import Template
    >>> template_name(Template("Translate to French:", ""))
    'Translate to French'
    >>> template_name(Template("Write in capital letters.\nInput:", ""))
    'Write in capital letters'
    >>> template_name(Template("You are given a word. Say what it means.", ""))
    ''
    """
    parts = _SENTENCE_END.split(f"{template.prefix}\n{template.suffix}")
    sentences = [part for part in map(clean_name, parts) if len(part.split()) >= MIN_NAME_WORDS]
    is_short = len(sentences) == 1 and all(len(part.strip()) <= MAX_NAME_CHARS for part in parts)
    return sentences[0] if is_short else ""


def clean_name(name: str) -> str:
    r"""Keep what is safe to show, to type and to have in a file: letters, digits, blanks and a few marks.

    Examples
    --------
    >>> clean_name("  <b>Movie\x1b[31m / reviews\u202e</b>\n")
    'b Movie 31m reviews b'
    >>> clean_name("Übersetzung, 翻訳"), clean_name("'; --")
    ('Übersetzung, 翻訳', '')
    """
    composed = unicodedata.normalize("NFC", name)
    kept = "".join(
        char if char in _MARKS or unicodedata.category(char)[0] in "LMN" else " " for char in composed
    )
    return " ".join(kept.split())[:MAX_NAME_CHARS].strip(_MARKS.replace("(", "").replace(")", "")).strip()


def unique_names(names: Sequence[str]) -> list[str]:
    """Add a number to what repeats, also in another case, and to what would be taken for a bucket.

    Examples
    --------
    >>> unique_names(["sum", "Sum", "other", "sum"])
    ['sum', 'Sum 2', 'other 2', 'sum 3']
    """
    taken = {OTHER, NO_TASK}
    unique = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name} {number}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique
