"""Whole numbers: flows between bounds, controlled rounding, largest remainders."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksel.synthesis.controlled_rounding import around, largest_remainder, round_table
from tasksel.synthesis.rounding_search import search_table
from tasksel.synthesis.table_flow import Bounds, InfeasibleTableError, fit_table
from tasksel_core.errors import ArrayError


def margins_of(table):
    return [
        table.sum(axis=tuple(other for other in range(table.ndim) if other != axis))
        for axis in range(table.ndim)
    ]


def assert_around(counts, real):
    low, high = around(real)
    assert (counts >= low).all()
    assert (counts <= high).all()


@st.composite
def real_tables(draw, n_axes, kinds=("smooth", "steep", "sparse", "halves")):
    """Tables of any sparsity whose total is whole: smooth ones, sparse ones, halves."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=n_axes, max_size=n_axes)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(kinds))
    if kind == "halves":
        table = rng.integers(0, 5, size=shape) / 2
        table.flat[0] += table.sum() % 1
        return table
    table = rng.gamma({"smooth": 3.0, "steep": 0.1, "sparse": 1.0}[kind], size=shape) + 1e-12
    if kind == "sparse":
        table *= rng.random(shape) < 0.5
        table.flat[0] += 0.1
    return table / table.sum() * draw(st.integers(1, 3 * table.size))


@given(real_tables(2))
@settings(max_examples=300)
def test_two_levels_are_rounded_exactly(table):
    rounded = round_table(table)
    assert_around(rounded.counts, table)
    for counts, real in zip(margins_of(rounded.counts), margins_of(table), strict=True):
        assert_around(counts, real)
    assert rounded.counts.sum() == round(table.sum())
    assert (rounded.misses, rounded.n_cells_off) == ((), 0)


ALL_TABLES = np.array(list(itertools.product(range(3), repeat=6))).reshape(-1, 3, 2)


@given(st.integers(0, 2**32))
@settings(max_examples=200)
def test_a_table_within_bounds_is_found_wherever_there_is_one(seed):
    """Bounds of cells, sums and total around a random table, some of them out of its reach."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 2, (3, 2))
    high = np.minimum(low + rng.integers(0, 3, (3, 2)), 2)
    start, aim = (rng.integers(low, high + 1) for _ in range(2))

    def bounds(sums):
        lower = sums - rng.integers(-1, 3, sums.shape)
        return lower, lower + rng.integers(0, 3, sums.shape)

    (rows, columns), total = map(bounds, (aim.sum(axis=1), aim.sum(axis=0))), bounds(aim.sum())
    fits = (low <= ALL_TABLES) & (high >= ALL_TABLES)
    is_there = fits.all(axis=(1, 2))
    for sums, (least, most) in (
        (ALL_TABLES.sum(axis=2), rows),
        (ALL_TABLES.sum(axis=1), columns),
        (ALL_TABLES.sum(axis=(1, 2))[:, None], total),
    ):
        is_there &= ((least <= sums) & (sums <= most)).all(axis=1)
    arguments = (start, low, high, Bounds(*rows), Bounds(*columns), tuple(map(int, total)))
    if not is_there.any():
        with pytest.raises(InfeasibleTableError):
            fit_table(*arguments)
        return
    found = fit_table(*arguments)
    assert (ALL_TABLES[is_there] == found).all(axis=(1, 2)).any()


def test_a_search_that_may_change_nothing_ends():
    start = np.array([[2, 1], [0, 3]])
    for wanted in ([2, 4], [3, 3]):
        sums = [Bounds.exactly(np.array(wanted)), Bounds.exactly(start.sum(axis=0))]
        assert (search_table(start, start, start, sums, 6) == start).all()


@given(real_tables(1))
def test_one_level_is_rounded_exactly(table):
    rounded = round_table(table)
    assert_around(rounded.counts, table)
    assert rounded.counts.sum() == round(table.sum())


def a_rounding_exists(table):
    """Try every way to round the cells, where there are few enough."""
    below = np.floor(table + 1e-6).astype(int)
    places = np.argwhere(table - below > 1e-6)
    bounds = [around(real) for real in margins_of(table)]
    for chosen in itertools.product((0, 1), repeat=len(places)):
        counts = below.copy()
        counts[tuple(places.T)] += np.array(chosen, dtype=int)
        sums = margins_of(counts)
        within = all(
            ((got >= low) & (got <= high)).all() for got, (low, high) in zip(sums, bounds, strict=True)
        )
        if within and counts.sum() == round(table.sum()):
            return True
    return False


@given(st.integers(3, 4).flatmap(real_tables))
@settings(max_examples=300)
def test_more_levels_keep_every_margin_or_say_which_is_off(table):
    rounded = round_table(table)
    assert rounded.counts.sum() == round(table.sum())
    assert not rounded.counts[table == 0].any()
    missed = {(miss.axis, miss.place) for miss in rounded.misses}
    for axis, (counts, real) in enumerate(zip(margins_of(rounded.counts), margins_of(table), strict=True)):
        low, high = around(real)
        off = {(axis, int(place)) for place in np.flatnonzero((counts < low) | (counts > high))}
        assert off == {each for each in missed if each[0] == axis}
    low, high = around(table)
    assert rounded.n_cells_off == ((rounded.counts < low) | (rounded.counts > high)).sum()


@given(st.integers(3, 4).flatmap(lambda n_axes: real_tables(n_axes, ("smooth", "steep", "sparse"))))
@settings(max_examples=200)
def test_more_levels_are_rounded_exactly_where_cells_are_not_few_and_half(table):
    rounded = round_table(table)
    assert (rounded.misses, rounded.n_cells_off) == ((), 0)


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_rounding_of_three_levels_is_found_where_there_is_one(seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 3, size=rng.integers(1, 4, size=3)) / 2
    table *= rng.random(table.shape) < 0.7
    table.flat[0] += table.sum() % 1
    if (table % 1 > 0).sum() <= 10 and table.sum():
        rounded = round_table(table)
        is_exact = not rounded.misses and not rounded.n_cells_off
        assert is_exact == a_rounding_exists(table)


@pytest.mark.parametrize("shape", [(50, 50), (10_000,), (100, 100), (20, 20, 25), (10, 10, 10, 10)])
def test_ten_thousand_cells_keep_every_margin(shape):
    table = np.random.default_rng(0).gamma(1.0, size=shape)
    table *= 5_000 / table.sum()
    rounded = round_table(table)
    assert (rounded.misses, rounded.n_cells_off) == ((), 0)


def test_further_bounds_are_kept_and_margins_give_way_to_them():
    rounded = round_table([[2.0, 0.0], [0.0, 2.0]], high=np.array([[1, 2], [2, 1]]))
    assert (rounded.counts <= [[1, 2], [2, 1]]).all()
    assert rounded.counts.sum() == 4
    assert rounded.n_cells_off > 0


def test_margins_give_way_last_and_never_where_that_is_forbidden():
    table, high = [[1.5, 0.5], [0.5, 1.5]], np.array([[2, 0], [2, 0]])
    rounded = round_table(table, high=high)
    assert rounded.counts.tolist() == [[2, 0], [2, 0]]
    assert {(miss.axis, miss.place, miss.rounded) for miss in rounded.misses} == {(1, 0, 4), (1, 1, 0)}
    with pytest.raises(InfeasibleTableError):
        round_table(table, high=high, strict=True)


def test_what_no_table_can_hold_is_refused():
    with pytest.raises(ArrayError, match="No table of 4 fits"):
        round_table([[2.0, 2.0]], high=np.array([[1, 1]]))


@pytest.mark.parametrize("table", [[], [[1.0, np.nan]], [-1.0, 2.0], [0.5, 0.25]])
def test_unusable_tables_are_refused(table):
    with pytest.raises(ArrayError):
        round_table(table)


def test_nothing_is_rounded_to_nothing():
    assert round_table(np.zeros((2, 3))).counts.tolist() == [[0, 0, 0], [0, 0, 0]]


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=20).filter(lambda weights: sum(weights) > 1e-3),
    st.integers(0, 5_000),
)
def test_largest_remainders_share_out_the_total(weights, total):
    counts = largest_remainder(weights, total)
    assert counts.sum() == total
    assert (np.abs(counts - np.array(weights) / sum(weights) * total) < 1 + 1e-6).all()


def test_ties_of_remainders_go_to_the_first():
    assert largest_remainder([1 / 3, 1 / 3, 1 / 3], 10).tolist() == [4, 3, 3]
    with pytest.raises(ArrayError, match="no usable weights"):
        largest_remainder([0.0, 0.0], 3)


@given(st.integers(0, 2**32))
@settings(max_examples=100)
def test_a_flow_finds_a_table_or_a_cut_proves_that_there_is_none(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, size=2))
    high = rng.integers(0, 3, size=shape)
    rows, columns = rng.integers(0, 5, size=shape[0]), rng.integers(0, 5, size=shape[1])
    zeros = np.zeros(shape, dtype=np.int64)
    bounds = Bounds(np.zeros_like(columns), columns)
    table, cut = fit_or_cut(zeros, high, rows, bounds)
    if cut is not None:
        other = np.setdiff1d(np.arange(shape[1]), cut.columns)
        room = columns[cut.columns].sum() + high[np.ix_(cut.rows, other)].sum()
        assert rows[cut.rows].sum() > room
        return
    assert (table.sum(axis=1) == rows).all()
    assert (table.sum(axis=0) <= columns).all()
    assert ((table >= 0) & (table <= high)).all()


def fit_or_cut(zeros, high, rows, columns):
    try:
        return fit_table(zeros, zeros, high, Bounds.exactly(rows), columns, (0, 100)), None
    except InfeasibleTableError as error:
        return zeros, error
