"""Words and runs of words in the prompts of each task, counted once a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tasksel.text_language_words import WORDS

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LONGEST_TERM", "term_shares"]

LONGEST_TERM: Final = 3
"""Words of a term."""
MAX_PROMPTS: Final = 300
"""Of a task that are read, evenly spaced in the pool."""
MAX_PROMPTS_IN_ALL: Final = 20_000
MIN_PROMPTS: Final = 20
"""Of a task that are read however many tasks there are."""
MAX_START_CHARS: Final = 600
MAX_END_CHARS: Final = 200
"""Long prompts say what they want at either end."""
_BREAK: Final = "|"
_WORD: Final = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{N}][\p{L}\p{M}\p{N}'\x{2019}\-]*"
    r"|[.,;:?!|()\[\]{}\x{3002}\x{ff0c}\x{ff1a}\x{ff1f}\x{ff01}\x{3001}]"
)
_MARK: Final = r"^[^\p{L}\p{N}]$"
_UNSPACED: Final = r"^[\p{Han}\p{Hiragana}\p{Katakana}]"
_NUMBER: Final = r"^[\p{N}'\x{2019}\-]+$"
_STOP_WORDS: Final = frozenset(
    (
        *WORDS["en"].split(),
        "such",
        "any",
        "both",
        "between",
        "whether",
        "much",
        "given",
        "following",
        "according",
    )
)
_JOINING: Final = frozenset(
    ("of", "the", "a", "an", "to", "in", "into", "for", "and", "or", "on", "with", "from", "by", "about")
)
"""Frequent words that may stand inside a term."""


def term_shares(texts: pl.Series, labels: npt.NDArray[np.int64]) -> pl.DataFrame:
    """Return for each task the share of its prompts that hold a term, and how far inside it stands.

    Parameters
    ----------
    texts : pl.Series of String
        Prompts.
    labels : ndarray of int64, shape (n_texts,)
        Place of the task of each; those below 0 are left out.

    Returns
    -------
    pl.DataFrame
        ``label``, ``term``, ``n_words``, ``share`` and ``depth``: the mean number of words to the nearer end
        of the prompt; in the order of labels and terms. A term is one to three words in lower case with no
        mark between them; it neither begins nor ends with a frequent English word, and holds no bare number.

    Examples
    --------
    >>> shares = term_shares(pl.Series(["Sum the numbers", "Sum, 1"]), np.array([0, 0]))
    >>> shares.select("term", "share").rows()
    [('numbers', 0.5), ('sum', 1.0), ('sum the numbers', 0.5)]
    """
    rows = _spaced_rows(labels)
    prompts = texts.gather(rows).str.replace_all(r"<[^<>]{1,40}>|\|", " ")
    start = prompts.str.slice(0, MAX_START_CHARS)
    end = prompts.str.slice(MAX_START_CHARS).str.slice(-MAX_END_CHARS)
    # The mark keeps a run of words from joining what was cut out, and from crossing a line.
    whole = (start + "\n" + end).str.replace_all("\n", f" {_BREAK} ")
    words = whole.str.to_lowercase().str.extract_all(_WORD)
    frame = pl.DataFrame({"prompt": np.arange(len(rows)), "label": labels[rows], "word": words})
    lengths = frame.select(n=pl.col("word").list.len().cast(pl.Int64))["n"]
    spoken = frame.with_columns(n=lengths, place=pl.int_ranges(0, lengths)).explode(
        "word", "place", empty_as_null=False
    )
    depth = pl.min_horizontal("place", pl.col("n") - pl.col("place"))
    spoken = spoken.select("prompt", "label", "word", depth=depth)
    found = pl.concat([_terms(spoken, n_words) for n_words in range(1, LONGEST_TERM + 1)])
    sizes = np.bincount(labels[rows], minlength=1)
    n_prompts = pl.col("label").replace_strict(dict(enumerate(sizes.tolist())), return_dtype=pl.Int64)
    return (
        found.group_by("prompt", "label", "term", "n_words")
        .agg(pl.col("depth").min())
        .group_by("label", "term", "n_words")
        .agg(pl.len(), pl.col("depth").mean())
        .select("label", "term", "n_words", "depth", share=pl.col("len") / n_prompts)
        .sort("label", "term")
    )


def _terms(spoken: pl.DataFrame, n_words: int) -> pl.DataFrame:
    following = [pl.col("word").shift(-step).over("prompt").alias(str(step)) for step in range(n_words)]
    parts = spoken.select("prompt", "label", "depth", *following)
    first, last = pl.col("0"), pl.col(str(n_words - 1))
    inner = [pl.col(str(step)) for step in range(n_words)]
    kept = parts.filter(last.is_not_null() & _tells(first) & _tells(last))
    if n_words == LONGEST_TERM:
        kept = kept.filter(_tells(inner[1]) | inner[1].is_in(_JOINING))
    joined = pl.concat_str(inner, separator=" ")
    # Scripts without blanks are read by characters and joined again.
    term = pl.when(first.str.contains(_UNSPACED)).then(joined.str.replace_all(" ", "")).otherwise(joined)
    return kept.select("prompt", "label", "depth", term=term, n_words=pl.lit(n_words, pl.Int64))


def _tells(word: pl.Expr) -> pl.Expr:
    is_long = (word.str.len_chars() > 1) | word.str.contains(_UNSPACED)
    return ~word.is_in(_STOP_WORDS) & ~word.str.contains(_NUMBER) & ~word.str.contains(_MARK) & is_long


def _spaced_rows(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return at most so many rows of each label, evenly spaced, in the pool's order."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    if not len(order):
        return order
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    most = min(MAX_PROMPTS, max(MIN_PROMPTS, MAX_PROMPTS_IN_ALL // len(parts)))
    places = [np.linspace(0, len(part) - 1, min(len(part), most)).astype(np.int64) for part in parts]
    return np.sort(np.concatenate([part[chosen] for part, chosen in zip(parts, places, strict=True)]))
