from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.scores_places import EMPTY, MISSING, SCORED, IdPlaces, PlacedScores, ScoreRows, TokenCounts
from tasksel_core.errors import SchemaError

IDS = st.text("abé", max_size=3)


def rows(ids, values, states=None):
    return ScoreRows(
        None if ids is None else pl.Series("id", ids, dtype=pl.String),
        np.array(values, dtype=np.float64),
        np.array([SCORED] * len(values) if states is None else states, dtype=np.int8),
        TokenCounts(null=1),
    )


def placed(pool, *shards):
    found = PlacedScores(pl.Series(pool, dtype=pl.String))
    for shard in shards:
        found.add(shard)
    return found


@pytest.mark.parametrize("is_weak", [False, True], ids=["own hash", "hashes that meet"])
@given(pool=st.lists(IDS, unique=True), ids=st.lists(st.none() | IDS))
def test_every_id_has_its_place_whatever_the_hashes(is_weak, pool, ids):
    with pytest.MonkeyPatch.context() as patch:
        if is_weak:
            patch.setattr(pl.Series, "hash", lambda self: self.str.len_bytes().cast(pl.UInt64).fill_null(9))
        found = IdPlaces(pl.Series(pool, dtype=pl.String)).rows_of(pl.Series(ids, dtype=pl.String))
    assert found.dtype == np.int64
    assert found.tolist() == [pool.index(each) if each in pool else -1 for each in ids]


def test_ids_whose_hashes_are_all_one_are_told_apart_by_their_text(monkeypatch):
    monkeypatch.setattr(pl.Series, "hash", lambda self: pl.Series([7] * len(self), dtype=pl.UInt64))
    places = IdPlaces(pl.Series(["a", "b", "c"]))
    assert places.rows_of(pl.Series(["c", "x", "b", None, "a"])).tolist() == [2, -1, 1, -1, 0]


def test_shards_fill_the_rows_of_the_pool_in_any_order():
    found = placed(
        ["a", "b", "c"], rows(["c", "x"], [-3.0, -9.0]), rows([None, "a"], [-9.0, np.nan], [0, EMPTY])
    )
    np.testing.assert_array_equal(found.log_confidence, [np.nan, np.nan, -3.0])
    assert found.states.tolist() == [EMPTY, MISSING, SCORED]
    assert found.states.dtype == np.int8
    assert (found.n_rows, found.tokens.null, found.first_id, found.has_ids) == (4, 2, "c", True)
    assert not found.may_repeat()
    found.check()


@pytest.mark.parametrize("repeats", [(["a", "a"], ["b"]), (["a"], ["b", "a"]), (["x"], ["a", "x"])])
def test_an_id_that_comes_again_is_noticed_within_and_without_the_pool(repeats):
    assert placed(["a", "b"], *(rows(ids, [-1.0] * len(ids)) for ids in repeats)).may_repeat()


def test_rows_without_ids_stand_where_the_pool_has_them():
    found = placed(["a", "b", "c"], rows(None, [-1.0]), rows(None, [-2.0, -3.0]))
    assert found.log_confidence.tolist() == [-1.0, -2.0, -3.0]
    found.check()
    found.add(rows(None, [-4.0]))
    assert found.log_confidence.tolist() == [-1.0, -2.0, -3.0]
    sentence = (
        r"^there is no 'id' column, and 4 rows are not the pool's 3: only as many rows can be joined by "
        r"position\. Add an 'id' column\.$"
    )
    with pytest.raises(SchemaError, match=sentence):
        found.check()


def test_before_the_first_shard_nothing_is_known():
    found = placed(["a"])
    assert (found.n_rows, found.has_ids, found.first_id, found.may_repeat()) == (0, False, None, False)
    with pytest.raises(SchemaError, match="0 rows are not the pool's 1"):
        found.check()


def test_shards_with_and_without_ids_do_not_mix():
    with pytest.raises(SchemaError, match=r"^some shards have an 'id' column and others have none\.$"):
        placed(["a", "b"], rows(["a"], [-1.0]), rows(None, [-1.0]))


def test_scores_of_another_pool_are_refused():
    with pytest.raises(SchemaError, match="the scores have 'x', the pool has 'a'"):
        placed(["a"], rows(["x"], [-1.0])).check()
    with pytest.raises(SchemaError, match="the scores have no rows, the pool has 'a'"):
        placed(["a"], rows([], [])).check()
