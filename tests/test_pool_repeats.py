from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.pool_repeats import repeated_keys, repeated_rows


@given(st.lists(st.none() | st.text(max_size=2)), st.integers(0, 9))
def test_rows_are_those_that_polars_calls_duplicated(values, cut):
    series = pl.concat([pl.Series("x", values[:cut], dtype=pl.String), pl.Series("x", values[cut:])])
    assert repeated_rows(series).equals(series.is_duplicated())


def test_different_values_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(pl.Series, "hash", lambda self: self.str.len_bytes().cast(pl.UInt64))
    assert repeated_rows(pl.Series(["ab", "cd", "x", "ab"])).to_list() == [True, False, False, True]
    assert not repeated_rows(pl.Series(["ab", "cd"])).any()


@pytest.mark.parametrize("values", [[], [5], [5, 5], [2**64 - 1, 0, 2**64 - 1, 7, 7, 7, 0]])
def test_keys_that_repeat_come_once_and_in_order(values):
    keys = np.array(values, dtype=np.uint64)
    expected = sorted({value for value in values if values.count(value) > 1})
    assert repeated_keys(keys[::1]).tolist() == expected
    assert repeated_keys(np.repeat(keys, 2)[::2]).tolist() == expected
