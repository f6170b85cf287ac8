"""In-domain diversity sampling: like what is left unlabelled, unlike what is picked already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasksel.strategies.declaration import Option, Picker
from tasksel.strategies.problem import Ranking
from tasksel_core.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasksel.strategies.problem import PickingProblem

__all__ = ["IDDS"]

UNIT_BITS = 24
"""Rows are brought to a length of 2^24 in whole numbers, as many bits as float32 has. A product of two rows
is then a whole number under 2^49, which float64 adds up without rounding in any order: neither BLAS nor its
threads can change a pick, and ties are ties."""

SUM_BITS = 62
"""A row's products with all rows add up to no more bits than this, for which many rows are made shorter."""

PIECE = 2.0**20
"""A sum of rows is multiplied in two pieces, so that those products are exact as well."""

BLOCK_ROWS = 4096


def _idds(problem: PickingProblem) -> Ranking:
    """Pick greedily the row of the highest score.

    With U the rows not picked, L those picked and s the cosine similarity, the score of row x is
    ``trade_off * mean of s(x, u) over the others u of U - (1 - trade_off) * mean of s(x, l) over L``. What
    is taken already is in L from the start. Takes one product with all rows a pick, and memory for a float64
    copy of the embeddings.
    """
    assert problem.embeddings is not None  # noqa: S101 -- guaranteed by `needs`
    trade_off = problem.own_options["trade_off"]
    units = _whole_units(problem.embeddings)
    to_itself = np.einsum("ij,ij->i", units, units).astype(np.int64)
    to_others = _products_with(units, units.sum(axis=0)) - to_itself
    taken = problem.taken_rows
    to_picked = _products_with(units, units[taken].sum(axis=0))
    is_picked = np.zeros(problem.n_rows, dtype=bool)
    is_picked[taken] = True
    rows = np.empty(problem.quota, dtype=np.int64)
    for place in range(problem.quota):
        n_picked = len(taken) + place
        n_others = max(1, problem.n_rows - n_picked - 1)
        scores = trade_off * (to_others - to_picked) / n_others
        scores -= (1.0 - trade_off) * to_picked / max(1, n_picked)
        scores[is_picked] = -np.inf
        row = int(np.argmax(scores))
        rows[place], is_picked[row] = row, True
        to_picked += (units @ units[row]).astype(np.int64)
    return Ranking(rows)


def _whole_units(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bring each row to the same length, in whole numbers."""
    units = np.empty(embeddings.shape)
    unit = 2.0 ** min(UNIT_BITS, (SUM_BITS - len(units).bit_length()) // 2)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        block = units[start : start + BLOCK_ROWS]
        block[:] = embeddings[start : start + BLOCK_ROWS]
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        unfit = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(unfit):
            row = start + int(unfit[0])
            was = "zeros only" if lengths[unfit[0]] == 0 else "NaN or infinity"
            raise ArrayError(f"embeddings: {was} in row {row}; allowed: finite vectors that are not zero.")
        np.rint(block * (unit / lengths)[:, None], out=block)
    return units


def _products_with(units: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each row's product with a sum of rows."""
    high = np.floor(total / PIECE)
    products: NDArray[np.float64] = units @ high
    rest: NDArray[np.float64] = units @ (total - high * PIECE)
    return products.astype(np.int64) * int(PIECE) + rest.astype(np.int64)


IDDS = Picker(
    "idds",
    "in-domain diversity: like what is left, unlike what is picked",
    _idds,
    needs=frozenset({"embeddings"}),
    options=(Option("trade_off", 0.667, 0.0, 1.0, "weight of being like the rest (lambda)"),),
    reference="Tsvigun et al. 2022, arXiv:2301.03252",
    takes_labelled=True,
)
