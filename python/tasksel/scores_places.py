"""Scores brought to a pool's rows shard by shard, without a table of all ids.

Ids are looked up by their 64-bit hashes in order, twelve bytes an id, and compared as text where a hash is
found; so the answer is exact, and a shard is forgotten once its confidences have their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from tasksel.pool_repeats import repeated_keys
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "EMPTY",
    "MISSING",
    "NAN",
    "NULL",
    "SCORED",
    "IdPlaces",
    "PlacedScores",
    "ScoreRows",
    "TokenCounts",
]

MISSING, SCORED, NULL, EMPTY, NAN = range(-1, 4)
"""States of a pool row: no score row, a confidence, or why its score row has none."""


class TokenCounts(NamedTuple):
    """Tokens that are no ordinary logprob."""

    null: int = 0
    infinite: int = 0
    sentinel: int = 0


class ScoreRows(NamedTuple):
    """Some score rows in the order of the source.

    Parameters
    ----------
    ids : Series of String, shape (n_rows,), or None
        None where the source has none.
    log_confidence : ndarray of float64, shape (n_rows,)
        NaN where a row has no confidence.
    states : ndarray of int8, shape (n_rows,)
        `SCORED`, `NULL`, `EMPTY` or `NAN`.
    tokens : TokenCounts
        Of these rows.
    """

    ids: pl.Series | None
    log_confidence: NDArray[np.float64]
    states: NDArray[np.int8]
    tokens: TokenCounts


class IdPlaces:
    """The places of ids in a pool.

    Parameters
    ----------
    ids : Series of String, shape (n_pool,)
        Each once.

    Examples
    --------
    >>> IdPlaces(pl.Series(["a", "b"])).rows_of(pl.Series(["b", "x", None]))
    array([ 1, -1, -1])
    """

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids
        hashes = ids.hash().to_numpy()
        self._rows = np.argsort(hashes, kind="stable").astype(np.uint32)
        self._hashes = hashes[self._rows]
        # Of ids that share a hash, the search below finds the first alone.
        crowded = np.isin(self._hashes, repeated_keys(self._hashes))
        self._crowded = {ids[row]: row for row in self._rows[crowded].tolist()}

    def rows_of(self, ids: pl.Series) -> NDArray[np.int64]:
        """Return the pool row of each id; -1 for those that are null or not in the pool.

        Parameters
        ----------
        ids : Series of String, shape (n_ids,)

        Returns
        -------
        ndarray of int64, shape (n_ids,)
        """
        if not len(self._hashes):
            return np.full(len(ids), -1, dtype=np.int64)
        places = np.searchsorted(self._hashes, ids.hash().to_numpy())
        rows = self._rows[np.minimum(places, len(self._hashes) - 1)].astype(np.int64)
        is_there = (self._ids.gather(rows) == ids).fill_null(value=False).to_numpy()
        rows[~is_there] = -1
        for number, identifier in enumerate(ids if self._crowded else ()):
            rows[number] = self._crowded.get(identifier, rows[number])
        return rows


class PlacedScores:
    """What score rows say of a pool's rows, as far as they have been read.

    Parameters
    ----------
    pool_ids : Series of String, shape (n_pool,)
        Each once.

    Attributes
    ----------
    log_confidence : ndarray of float64, shape (n_pool,)
        NaN where a row has no confidence.
    states : ndarray of int8, shape (n_pool,)
        `MISSING` or the state of the row's score.
    n_rows : int
        Score rows so far.
    tokens : TokenCounts
        Of all score rows so far.
    has_ids : bool
        Whether rows are joined by id, and not by position.
    first_id : str or None
        Of the first score row.
    """

    def __init__(self, pool_ids: pl.Series) -> None:
        self.log_confidence = np.full(len(pool_ids), np.nan)
        self.states = np.full(len(pool_ids), MISSING, dtype=np.int8)
        self.n_rows = 0
        self.tokens = TokenCounts()
        self.has_ids = False
        self.first_id: str | None = None
        self._pool_ids = pool_ids
        self._places: IdPlaces | None = None
        self._n_shards = 0
        self._foreign: list[NDArray[np.uint64]] = []
        self._has_repeats = False

    def add(self, rows: ScoreRows) -> None:
        """Take the next rows of the source.

        Raises
        ------
        SchemaError
            Rows before these had ids and these have none, or the reverse.
        """
        self._check_alike(rows)
        places = self._rows_of(rows)
        matched = places >= 0
        found = places[matched]
        self._has_repeats |= bool((self.states[found] != MISSING).any()) or len(np.unique(found)) < len(found)
        self.log_confidence[found] = rows.log_confidence[matched]
        self.states[found] = rows.states[matched]
        self.n_rows += len(rows.states)
        self.tokens = TokenCounts(*(sum(counts) for counts in zip(self.tokens, rows.tokens, strict=True)))
        if rows.ids is not None and len(found) < len(places):
            foreign = rows.ids.filter(pl.Series(~matched)).drop_nulls()
            self._foreign.append(foreign.hash().to_numpy())

    def may_repeat(self) -> bool:
        """Tell whether an id may stand in two score rows: surely in the pool, by its hash outside of it."""
        return self._has_repeats or bool(self._foreign and len(repeated_keys(np.concatenate(self._foreign))))

    def check(self) -> None:
        """Refuse rows that do not belong to the pool, after the last of them.

        Raises
        ------
        SchemaError
            Without ids, another number of rows than the pool's; with ids, none that is in the pool.
        """
        n_pool = len(self.states)
        if not self.has_ids and self.n_rows != n_pool:
            raise SchemaError(
                f"there is no 'id' column, and {self.n_rows:,} rows are not the pool's {n_pool:,}: only as "
                "many rows can be joined by position. Add an 'id' column."
            )
        if n_pool and (self.states == MISSING).all():
            have = f"have {self.first_id!r}" if self.n_rows else "have no rows"
            raise SchemaError(f"no id is in the pool: the scores {have}, the pool has {self._pool_ids[0]!r}.")

    def _check_alike(self, rows: ScoreRows) -> None:
        has_ids = rows.ids is not None
        if self._n_shards and has_ids != self.has_ids:
            raise SchemaError("some shards have an 'id' column and others have none.")
        self._n_shards += 1
        self.has_ids = has_ids
        if rows.ids is not None and not self.n_rows and len(rows.ids):
            self.first_id = rows.ids[0]

    def _rows_of(self, rows: ScoreRows) -> NDArray[np.int64]:
        if rows.ids is None:
            places = np.arange(self.n_rows, self.n_rows + len(rows.states))
            return np.where(places < len(self.states), places, -1)
        if self._places is None:
            self._places = IdPlaces(self._pool_ids)
        return self._places.rows_of(rows.ids)
