"""Answers from a small closed set: found in a pool, or named by the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_choices", "find_choices"]

_MOST_CHOICES: Final = 12
"""More than that are found faster by typing than among buttons."""
_MOST_CHARS: Final = 60
_FEWEST_USES: Final = 3
"""So many answers a choice on average, or the answers are a sample of more than is seen."""


def find_choices(responses: pl.Series, tasks: pl.Series | None = None) -> tuple[str, ...]:
    """Return the answers that a pool's responses are drawn from, in order; empty if they are free text.

    Parameters
    ----------
    responses : Series of String
        Nulls and blank texts are passed over.
    tasks : Series of String, optional
        Of the same rows. Where a task has no response, nothing is known of its answers, and the answers are
        free text.

    Examples
    --------
    >>> import polars as pl
    >>> find_choices(pl.Series(["yes", "no", "yes", "yes", "no", None, "no"]))
    ('no', 'yes')
    >>> find_choices(pl.Series(["It depends.", "Paris", "42"]))
    ()
    """
    is_given = [text is not None and bool(text.strip()) for text in responses]
    if (
        tasks is not None
        and tasks.n_unique() > tasks.filter(pl.Series(is_given, dtype=pl.Boolean)).n_unique()
    ):
        return ()
    given = [text for text, told in zip(responses, is_given, strict=True) if told]
    distinct = sorted(set(given))
    is_small = 2 <= len(distinct) <= _MOST_CHOICES and len(given) >= _FEWEST_USES * len(distinct)
    return tuple(distinct) if is_small and all(map(_is_choice, distinct)) else ()


def check_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """Refuse choices that no button can carry.

    Raises
    ------
    ConfigError
        There is one alone, one comes twice, or one is blank, long, begins with ``$`` or cannot be printed.
    """
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise ConfigError(f"choices are {', '.join(map(repr, choices))}; wanted are two or more, each once.")
    bad = next((each for each in choices if not _is_choice(each)), None)
    if bad is not None:
        raise ConfigError(
            f"The choice {bad[:_MOST_CHARS]!r} cannot be a button: allowed are up to {_MOST_CHARS} printable "
            "characters without white space around them and without $ in front."
        )
    return tuple(choices)


def _is_choice(text: str) -> bool:
    """Whether a text is the same after a way through XML and a browser; Label Studio fills in ``$name``."""
    return text.isprintable() and text == text.strip() and 0 < len(text) <= _MOST_CHARS and text[0] != "$"
