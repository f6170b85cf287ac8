"""Instruction templates: prompts that share a long beginning, a long end, or both, are one task."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tasksel.task_discovery.template_tree import SPLIT_SHARE, find_shared_starts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import polars as pl

__all__ = ["Template", "count_matches", "match_templates", "mine_templates", "normalised"]

MAX_MINED_ROWS: Final = 200_000
"""Templates are looked for in so many prompts, drawn at random, and matched with all."""
MAX_BYTES: Final = 4_096
"""Of each end of a prompt that is compared."""
_DETAIL_SHARE: Final = 0.9


class Template(NamedTuple):
    r"""What the prompts of a task have in common, as whole words.

    Attributes
    ----------
    prefix, suffix : str
        Blanks and line feeds as `normalised` leaves them; one of the two may be empty.

    Examples
    --------
    >>> print(Template("Summarize the text below.", "Summary:"))
    Summarize the text below. … Summary:
    """

    prefix: str
    suffix: str

    def __str__(self) -> str:
        """Return what a person reads."""
        return f"{self.prefix} … {self.suffix}".strip()


def normalised(prompts: pl.Series) -> pl.Series:
    r"""Divide words by one blank or one line feed, which is all the white space that is left.

    Examples
    --------
    >>> import polars as pl
    >>> normalised(pl.Series(["  Add:\t 1 +  2\r\n\n= ", None])).to_list()
    ['Add: 1 + 2\n=', '']
    """
    return (
        prompts.fill_null("")
        .str.strip_chars()
        .str.replace_all(r"\s*[\r\n]\s*", "\n")
        .str.replace_all(r"[^\S\n]+", " ")
    )


def mine_templates(texts: pl.Series, *, min_prompts: int, seed: int = 0) -> list[Template]:
    """Find templates that at least so many different prompts share.

    Parameters
    ----------
    texts : pl.Series of String
        From `normalised`.
    min_prompts : int
        Different prompts of a template.
    seed : int
        Of the draw, where there are more than 200,000 prompts.

    Returns
    -------
    list of Template
        The longest first; `match_templates` says which prompt has which.
    """
    distinct = texts.filter(texts != "").unique().sort()
    if len(distinct) > MAX_MINED_ROWS:
        rows = np.sort(np.random.default_rng(seed).permutation(len(distinct))[:MAX_MINED_ROWS])
        min_prompts = -(-min_prompts * MAX_MINED_ROWS // len(distinct))
        distinct = distinct.gather(rows)
    min_prompts = max(min_prompts, 2)
    if len(distinct) < min_prompts:
        return []
    prefixes = _shared(distinct, min_prompts, are_reversed=False)
    suffixes = [text[::-1] for text in _shared(distinct.str.reverse(), min_prompts, are_reversed=True)]
    begins = match_templates(distinct, [Template(text, "") for text in prefixes])
    ends = match_templates(distinct, [Template("", text) for text in suffixes])
    pairs = Counter(zip(begins.tolist(), ends.tolist(), strict=True))
    found = [
        Template(prefixes[begin] if begin >= 0 else "", suffixes[end] if end >= 0 else "")
        for begin, end in _chosen_pairs(pairs, min_prompts)
    ]
    return _enough(distinct, sorted(found, key=_longest_first), min_prompts)


def match_templates(texts: pl.Series, templates: Sequence[Template]) -> npt.NDArray[np.int64]:
    """Find the template of each prompt: the longest that it begins and ends with, or -1.

    Parameters
    ----------
    texts : pl.Series of String
        From `normalised`.
    templates : sequence of Template
        In any order; of equally long ones the first counts.

    Returns
    -------
    ndarray of int64, shape (n_texts,)
    """
    found = np.full(len(texts), -1, dtype=np.int64)
    order = sorted(range(len(templates)), key=lambda place: _longest_first(templates[place]), reverse=True)
    for place in order:  # the longest last, so that it stays
        found[_matching_rows(texts, templates[place])] = place
    return found


def count_matches(matches: npt.NDArray[np.int64], n_templates: int) -> npt.NDArray[np.int64]:
    """Count the prompts of each template."""
    return np.bincount(matches[matches >= 0], minlength=n_templates)


def _matching_rows(texts: pl.Series, template: Template) -> npt.NDArray[np.int64]:
    # A whole word: "to the cat" does not begin "to the category".
    rows = np.arange(len(texts))
    for text, begins in ((template.prefix, True), (template.suffix, False)):
        if text:
            some = texts.gather(rows)
            touches = some.str.starts_with(text) if begins else some.str.ends_with(text)
            rows = rows[touches.to_numpy()]
            some = texts.gather(rows)
            size = len(text)
            beside = some.str.slice(size, 1) if begins else some.str.slice(-size - 1, 1)
            whole = beside.is_in(["", " ", "\n"]) | (some.str.len_chars() == size)
            rows = rows[whole.to_numpy()]
    if template.prefix and template.suffix:
        # The two must not overlap.
        room = len(template.prefix) + len(template.suffix)
        rows = rows[(texts.gather(rows).str.len_chars() > room).to_numpy()]
    return rows


def _shared(texts: pl.Series, min_prompts: int, *, are_reversed: bool) -> list[str]:
    """Give what texts begin with."""
    whole = sorted(f"{text}\n".encode()[:MAX_BYTES] for text in texts)
    found = find_shared_starts(whole, min_rows=min_prompts, are_reversed=are_reversed)
    return [each.text.decode(errors="ignore") for each in found]


def _chosen_pairs(pairs: Counter[tuple[int, int]], min_prompts: int) -> Iterable[tuple[int, int]]:
    """Decide for each beginning whether it is a task, or it is one with each end that it goes with."""
    by_begin: dict[int, Counter[int]] = defaultdict(Counter)
    by_end: dict[int, Counter[int]] = defaultdict(Counter)
    for (begin, end), count in pairs.items():
        by_begin[begin][end] += count
        by_end[end][begin] += count
    chosen = dict[tuple[int, int], None]()
    for begin in sorted(by_begin):
        if begin >= 0 and not _is_detail(begin, by_begin, by_end, min_prompts):
            chosen |= dict.fromkeys(_with_ends(begin, by_begin[begin], min_prompts))
    rest: Counter[int] = Counter()
    for (begin, end), count in pairs.items():
        if end >= 0 and not {(begin, end), (begin, -1)} & chosen.keys():
            rest[end] += count
    chosen |= {(-1, end): None for end in sorted(rest) if rest[end] >= min_prompts}
    return chosen


def _with_ends(begin: int, ends: Counter[int], min_prompts: int) -> list[tuple[int, int]]:
    own = [end for end in sorted(ends) if end >= 0 and ends[end] >= min_prompts]
    total, covered = ends.total(), sum(ends[end] for end in own)
    if covered < SPLIT_SHARE * total:
        return [(begin, -1)]
    rest = [(begin, -1)] if total - covered >= min_prompts else []
    return [*((begin, end) for end in own), *rest]


def _is_detail(
    begin: int, by_begin: dict[int, Counter[int]], by_end: dict[int, Counter[int]], min_prompts: int
) -> bool:
    """Whether a beginning is chance inside an end: all its prompts have that end, most of which have none."""
    end, count = max(by_begin[begin].items(), key=lambda each: (each[1], -each[0]))
    if end < 0 or count < _DETAIL_SHARE * by_begin[begin].total():
        return False
    begins = by_end[end]
    covered = sum(n for each, n in begins.items() if each >= 0 and n >= min_prompts)
    return covered < SPLIT_SHARE * begins.total()


def _enough(texts: pl.Series, templates: list[Template], min_prompts: int) -> list[Template]:
    """Drop templates whose prompts mostly have a longer one, until each has enough."""
    while templates:
        sizes = count_matches(match_templates(texts, templates), len(templates))
        kept = [each for each, size in zip(templates, sizes.tolist(), strict=True) if size >= min_prompts]
        if len(kept) == len(templates):
            break
        templates = kept
    return templates


def _longest_first(template: Template) -> tuple[int, str, str]:
    return (-len(template.prefix) - len(template.suffix), template.prefix, template.suffix)
