"""What a label costs: in tokens, and in money by a column or by prices of its lengths."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel.token_counts import CHARS_A_TOKEN
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LabelLengths",
    "LabelPrices",
    "longest_affordable",
    "measure_lengths",
    "read_amounts",
]


@dataclass(frozen=True)
class LabelPrices:
    """What a label costs, by its lengths; amounts in any currency.

    Parameters
    ----------
    per_example : float
        For every label, whatever its length.
    per_1k_prompt_tokens, per_1k_response_tokens : float
        For a thousand tokens that an annotator reads or writes.
    """

    per_example: float = 0.0
    per_1k_prompt_tokens: float = 0.0
    per_1k_response_tokens: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ConfigError(f"{name} is {value!r}; allowed: an amount of at least 0.")

    @property
    def are_given(self) -> bool:
        """Whether any of them is more than nothing."""
        return any(asdict(self).values())

    @property
    def depend_on_lengths(self) -> bool:
        """Whether a longer label costs more; without any price, lengths are all that counts."""
        return not self.are_given or self.per_1k_prompt_tokens > 0 or self.per_1k_response_tokens > 0

    def of(self, lengths: LabelLengths) -> NDArray[np.float64]:
        """Return the price of each label, float64, shape (n_rows,)."""
        prices = np.full(len(lengths.prompt_tokens), float(self.per_example))
        if self.per_1k_prompt_tokens:
            prices += self.per_1k_prompt_tokens * lengths.prompt_tokens / 1000
        if self.per_1k_response_tokens:
            prices += self.per_1k_response_tokens * lengths.response_tokens / 1000
        return prices


@dataclass(frozen=True, eq=False)
class LabelLengths:
    """How long the prompt and the answer of each row are.

    Parameters
    ----------
    prompt_tokens, response_tokens : ndarray of float64, shape (n_rows,)
        Counted or estimated; NaN where nothing tells.
    account : str
        How they came about, as a sentence.
    """

    prompt_tokens: NDArray[np.float64]
    response_tokens: NDArray[np.float64]
    account: str

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Prompt and response together, float64, shape (n_rows,)."""
        return self.prompt_tokens + self.response_tokens


def measure_lengths(
    frame: pl.DataFrame,
    answer_tokens: NDArray[np.float64] | None = None,
    *,
    needs_responses: bool = True,
) -> LabelLengths:
    """Measure the lengths of labels, or estimate what was never counted.

    Parameters
    ----------
    frame : DataFrame
        The pool. Columns ``prompt_tokens`` and ``response_tokens`` are taken as they are; else a text's
        tokens are its characters over four. Of a response that is not there yet, the model's own answer tells
        the length, and where it has none either, the mean of the others.
    answer_tokens : ndarray of float64, shape (n_rows,), optional
        Tokens of the model's own answers, NaN where there is none.
    needs_responses : bool
        Whether it is an error that nothing tells how long responses will be.

    Returns
    -------
    LabelLengths

    Raises
    ------
    SchemaError
        A column of counts holds something else.
    ConfigError
        Nothing tells how long any response will be, and that is needed.

    Examples
    --------
    >>> frame = pl.DataFrame({"prompt": ["12345678", "1234"], "response": ["1234", None]})
    >>> lengths = measure_lengths(frame)
    >>> lengths.tokens
    array([3., 2.])
    >>> lengths.account
    'Tokens are estimated: characters / 4.'
    """
    estimated = []
    prompts = _counted(frame, "prompt_tokens")
    if prompts is None:
        prompts = _from_characters(frame["prompt"])
        estimated.append("prompt")
    responses = _counted(frame, "response_tokens")
    if responses is None:
        responses, is_estimated = _response_tokens(frame, answer_tokens)
        if needs_responses and np.isnan(responses).any():
            raise ConfigError(
                "Nothing tells how long the responses will be: give scores with the model's answers "
                "(--scores), a column response_tokens, or a column of costs."
            )
        estimated += ["response"] if is_estimated else []
    account = "Tokens are counted."
    if estimated:
        of = "" if len(estimated) == 2 else f" of the {estimated[0]}s"
        account = f"Tokens{of} are estimated: characters / {CHARS_A_TOKEN:g}."
    return LabelLengths(prompts, responses, account)


def _counted(frame: pl.DataFrame, name: str) -> NDArray[np.float64] | None:
    if name not in frame.columns:
        return None
    return read_amounts(frame, name)


def read_amounts(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """Return a column of amounts, float64, shape (n_rows,).

    Raises
    ------
    SchemaError
        There is no such column, or it holds something that is no amount.
    """
    if name not in frame.columns:
        raise SchemaError(f"There is no column {name!r}; the pool has {', '.join(frame.columns)}.")
    column = frame[name]
    if not column.dtype.is_numeric():
        raise SchemaError(f"Column {name!r} is {column.dtype}; allowed: numbers of at least 0.")
    values = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        raise SchemaError(
            f"Column {name!r} is {column[int(wrong[0])]} in row {wrong[0]}; allowed: numbers of at least 0."
        )
    return values


def _from_characters(texts: pl.Series) -> NDArray[np.float64]:
    """Estimate tokens; a text has at least one, and no text is NaN."""
    characters = texts.cast(pl.String).str.len_chars().cast(pl.Float64).fill_null(math.nan).to_numpy()
    return np.maximum(np.ceil(characters / CHARS_A_TOKEN), 1.0)


def _response_tokens(
    frame: pl.DataFrame, answer_tokens: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], bool]:
    n_rows = frame.height
    known = np.full(n_rows, np.nan)
    if "response" in frame.columns:
        texts = frame["response"].cast(pl.String)
        known = _from_characters(texts.set(texts.str.strip_chars() == "", None))
    is_estimated = bool(np.isfinite(known).any())
    if answer_tokens is not None:
        known = np.where(np.isnan(known), answer_tokens, known)
    if not np.isfinite(known).any():
        return known, False
    return np.where(np.isnan(known), np.nanmean(known), known), is_estimated


def longest_affordable(costs: NDArray[np.float64], money: float) -> int:
    """Return how many labels can be bought from the first one on.

    Parameters
    ----------
    costs : ndarray of float64, shape (n_labels,)
        In the order in which they are bought.
    money : float
        In the same unit.

    Examples
    --------
    >>> longest_affordable(np.array([2.0, 1.0, 4.0, 0.5]), 3.4)
    2
    """
    # A millionth of room: sums of prices such as 0.1 end a hair above what they are meant to be.
    return int(np.searchsorted(np.cumsum(costs), money * (1 + 1e-6), side="right"))
