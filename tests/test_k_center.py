"""Greedy k-center against the definition in float64."""

from __future__ import annotations

import doctest
import itertools
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tasksel_core import k_center_greedy
from tasksel_core._core import _k_center_greedy_by, _k_center_ways
from tasksel_core.errors import ArrayError, BudgetError, ConfigError

# Of a radius: float32 rounding of a few hundred summed squares, and of normalised values.
RTOL, ATOL = 1e-5, 1e-6


def distances(points, row):
    return np.sqrt(((points - points[row]) ** 2).sum(axis=1))


def check_traversal(embeddings, rows, radii, budget, *, initial_rows=(), metric="euclidean"):
    """Each pick must be the farthest row in float64, up to rounding, and each radius the covering radius."""
    points = np.asarray(embeddings, dtype=np.float64)
    if metric == "cosine":
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert (rows.dtype, radii.dtype) == (np.int64, np.float32)
    assert rows.shape == radii.shape == (min(budget, len(points) - len(set(initial_rows))),)
    assert len({*rows.tolist(), *initial_rows}) == len(rows) + len(set(initial_rows))
    nearest = np.full(len(points), np.inf)
    for row in initial_rows:
        nearest = np.minimum(nearest, distances(points, row))
    for position, (row, radius) in enumerate(zip(rows.tolist(), radii.tolist(), strict=True)):
        if position == 0 and len(initial_rows) == 0:
            from_mean = np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1))
            assert from_mean[row] <= from_mean.min() * (1 + RTOL) + ATOL
        else:
            assert nearest[row] >= nearest.max() * (1 - RTOL) - ATOL
        nearest = np.minimum(nearest, distances(points, row))
        scale = np.abs(points).max()
        assert radius == pytest.approx(nearest.max(), rel=RTOL, abs=ATOL * scale)


def naive_rows(points, budget, centers):
    """The definition on values whose distances are exact, so that ties count too."""
    points, centers = np.asarray(points, dtype=np.float64), list(centers)
    n_given = len(centers)
    while len(centers) < min(len(points), n_given + budget):
        nearest = np.min([((points - points[center]) ** 2).sum(axis=1) for center in centers], axis=0)
        nearest[centers] = -1
        centers.append(int(nearest.argmax()))
    return centers[n_given:]


def gaussian(rng):
    return rng.standard_normal((700, 96))


def clustered(rng):
    return (
        rng.standard_normal((12, 70))[rng.integers(12, size=700)] * 10 + rng.standard_normal((700, 70)) * 0.1
    )


def low_rank(rng):
    return rng.standard_normal((700, 3)) @ rng.standard_normal((3, 130))


def duplicated(rng):
    return rng.standard_normal((300, 20))[rng.permutation(np.arange(900) % 300)]


def constant(rng):
    return np.full((650, 5), 0.1)


def offset(rng):
    return 100 + 0.01 * rng.standard_normal((700, 64))


def one_dimensional(rng):
    return rng.standard_normal((700, 1))


def single_row(rng):
    return rng.standard_normal((1, 33))


SHAPES = [gaussian, clustered, low_rank, duplicated, constant, offset, one_dimensional, single_row]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("initial", [False, True], ids=["from-mean", "initial-rows"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_pick_is_the_farthest_row(shape, initial, metric):
    rng = np.random.default_rng(0)
    embeddings = shape(rng).astype(np.float32)
    initial_rows = rng.integers(len(embeddings), size=4) if initial else None
    rows, radii = k_center_greedy(embeddings, 600, initial_rows=initial_rows, metric=metric, n_threads=1)
    given_rows = [] if initial_rows is None else initial_rows.tolist()
    check_traversal(embeddings, rows, radii, 600, initial_rows=given_rows, metric=metric)
    assert (np.diff(radii) <= 0).all()


def test_repeats_come_last_in_row_order_with_radius_0():
    embeddings = duplicated(np.random.default_rng(1)).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 600)
    assert len(np.unique(embeddings[rows[:300]], axis=0)) == 300
    assert (radii[:299] > 0).all()
    assert (radii[299:] == 0).all()
    left = np.setdiff1d(np.arange(900), rows[:300])
    np.testing.assert_array_equal(rows[300:], left[:300])


def test_identical_rows_come_in_row_order():
    rows, radii = k_center_greedy(np.full((5, 3), 7, dtype=np.float32), 9, initial_rows=np.array([2]))
    assert (rows.tolist(), radii.tolist()) == ([0, 1, 3, 4], [0, 0, 0, 0])


def test_an_offset_does_not_change_the_picks():
    # 2**-7 steps are exact next to 100, so both matrices hold the same differences; the form
    # |x|^2 + |y|^2 - 2 x.y cancels here and picks other rows.
    steps = np.random.default_rng(2).integers(-40, 40, size=(400, 24)) / 128
    near, far = steps.astype(np.float32), (steps + 100).astype(np.float32)
    rows, radii = k_center_greedy(near, 100, initial_rows=np.array([0]))
    shifted_rows, shifted_radii = k_center_greedy(far, 100, initial_rows=np.array([0]))
    np.testing.assert_array_equal(shifted_rows, rows)
    np.testing.assert_array_equal(shifted_radii, radii)
    assert rows.tolist() == naive_rows(steps, 100, [0])

    squares = (far**2).sum(axis=1)
    nearest, picked = np.full(400, np.inf), [0]
    for _ in range(100):
        nearest = np.minimum(nearest, squares + squares[picked[-1]] - 2 * (far @ far[picked[-1]]))
        nearest[picked] = -1
        picked.append(int(nearest.argmax()))
    assert picked[1:] != rows.tolist()


def test_permuted_rows_give_permuted_picks():
    rng = np.random.default_rng(3)
    embeddings, order = gaussian(rng).astype(np.float32), rng.permutation(700)
    rows, radii = k_center_greedy(embeddings, 80)
    permuted_rows, permuted_radii = k_center_greedy(embeddings[order], 80)
    np.testing.assert_array_equal(order[permuted_rows], rows)
    np.testing.assert_array_equal(permuted_radii, radii)


LAYOUTS = {
    "columns cut off": lambda wide: wide[:, 5:101],
    "every third row": lambda wide: wide[::3, 5:101],
    "rows backwards": lambda wide: wide[::-1, 5:101],
    "columns backwards": lambda wide: wide[:, ::-1],
    "every second column": lambda wide: wide[:, ::2],
    "Fortran order": np.asfortranarray,
    "one column": lambda wide: wide[:, 3:4],
    "one row": lambda wide: wide[3:4, ::-1],
    "one row repeated": lambda wide: np.broadcast_to(wide[3], (40, 103)),
    "read-only": lambda wide: np.frombuffer(wide.tobytes(), dtype=np.float32).reshape(wide.shape),
}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layout_in_memory_does_not_matter(layout, metric):
    view = layout(np.random.default_rng(4).standard_normal((600, 103)).astype(np.float32))
    expected = k_center_greedy(np.array(view, order="C"), 50, metric=metric)
    for mine, theirs in zip(k_center_greedy(view, 50, metric=metric), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_every_number_of_threads_picks_the_same(metric):
    embeddings = np.random.default_rng(5).standard_normal((5000, 70)).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 60, metric=metric, n_threads=1)
    for n_threads in (2, 5, 1000, None):
        more = k_center_greedy(embeddings, 60, metric=metric, n_threads=n_threads)
        np.testing.assert_array_equal(more[0], rows)
        np.testing.assert_array_equal(more[1], radii)


@pytest.mark.parametrize("way", _k_center_ways())
def test_every_way_picks_the_same_of_real_embeddings(real_embeddings, way):
    for mine, theirs in zip(
        _k_center_greedy_by(way, real_embeddings, 300),
        _k_center_greedy_by("plain", real_embeddings, 300),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_way_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="way: by sea"):
        _k_center_greedy_by("by sea", EYE, 1)


def test_cosine_ignores_length():
    rng = np.random.default_rng(6)
    embeddings = gaussian(rng).astype(np.float32)
    lengths = (2.0 ** rng.integers(-60, 60, size=(700, 1))).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 90, metric="cosine")
    longer_rows, longer_radii = k_center_greedy(embeddings * lengths, 90, metric="cosine")
    np.testing.assert_array_equal(longer_rows, rows)
    np.testing.assert_array_equal(longer_radii, radii)


@pytest.mark.parametrize("size", [1e-38, 1e-25, 1e-12, 1e18, 1e30, 1e36])
def test_squares_may_leave_the_range_of_float32(size):
    embeddings = (gaussian(np.random.default_rng(7)) * size).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 60)
    unit_radii = (radii.astype(np.float64) / size).astype(np.float32)
    check_traversal(embeddings.astype(np.float64) / size, rows, unit_radii, 60)


@pytest.mark.parametrize("initial_rows", [None, np.array([3, 600, 41])], ids=["none", "three initial rows"])
@pytest.mark.parametrize("n_picks", [1, 40, 500])
def test_stop_radius_ends_with_the_first_pick_that_covers(n_picks, initial_rows):
    embeddings = gaussian(np.random.default_rng(9)).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 700, initial_rows=initial_rows)
    for stop_radius in (float(radii[n_picks - 1]), float(radii[n_picks - 1]) * 1.000001):
        some_rows, some_radii = k_center_greedy(
            embeddings, 700, initial_rows=initial_rows, stop_radius=stop_radius
        )
        assert (some_radii[:-1] > stop_radius).all()
        assert some_radii[-1] <= stop_radius
        np.testing.assert_array_equal(some_rows, rows[: len(some_rows)])
        np.testing.assert_array_equal(some_radii, radii[: len(some_rows)])


def test_stop_radius_leaves_the_budget_in_force():
    embeddings = gaussian(np.random.default_rng(9)).astype(np.float32)
    assert len(k_center_greedy(embeddings, 7, stop_radius=0.0)[0]) == 7
    assert len(k_center_greedy(embeddings, 7, initial_rows=np.array([5]), stop_radius=1e9)[0]) == 0
    assert len(k_center_greedy(embeddings, 7, stop_radius=1e9)[0]) == 1
    repeats = np.ones((9, 3), dtype=np.float32)
    assert len(k_center_greedy(repeats, 7, stop_radius=0)[0]) == 1


def test_progress_is_told_and_may_end_the_call():
    embeddings = np.random.default_rng(10).standard_normal((60_000, 64), dtype=np.float32)
    told = []
    _, radii = k_center_greedy(
        embeddings, 3000, progress=lambda n_picked, radius: told.append((n_picked, radius)), n_threads=1
    )
    assert told == sorted(told, key=lambda entry: entry[0])
    for n_picked, radius in told:
        assert radius == (radii[n_picked - 1] if n_picked else np.inf)


def test_half_precision_is_taken_as_the_float32_of_the_same_values():
    half = gaussian(np.random.default_rng(11)).astype(np.float16)
    for mine, theirs in zip(
        k_center_greedy(half, 60), k_center_greedy(half.astype(np.float32), 60), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    strided = half[::-2, ::2]
    np.testing.assert_array_equal(
        k_center_greedy(strided, 60)[0], k_center_greedy(np.array(strided, dtype=np.float32), 60)[0]
    )


def test_bfloat16_is_taken_where_numpy_has_it():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="numpy has bfloat16 from ml_dtypes alone")
    brain = gaussian(np.random.default_rng(12)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(
        k_center_greedy(brain, 60)[0], k_center_greedy(brain.astype(np.float32), 60)[0]
    )


def test_a_memory_mapped_file_is_not_copied(tmp_path):
    embeddings = gaussian(np.random.default_rng(13)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", embeddings)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    for mine, theirs in zip(k_center_greedy(mapped, 60), k_center_greedy(embeddings, 60), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_nothing_to_pick():
    embeddings = np.eye(3, dtype=np.float32)
    for rows, radii in [
        k_center_greedy(embeddings, 0),
        k_center_greedy(embeddings[:0], 0),
        k_center_greedy(embeddings[:0], 7),
        k_center_greedy(embeddings[:0], 7, metric="cosine"),
        k_center_greedy(embeddings[::-1][:0, ::-1], 7),
        k_center_greedy(embeddings, 7, initial_rows=np.array([2, 0, 1, 0])),
    ]:
        assert (rows.shape, rows.dtype, radii.shape, radii.dtype) == ((0,), np.int64, (0,), np.float32)


def test_initial_rows_may_repeat_and_be_strided():
    embeddings = gaussian(np.random.default_rng(8)).astype(np.float32)
    rows, radii = k_center_greedy(embeddings, 10**30, initial_rows=np.array([5, 9]))
    repeated = np.array([5, -1, 9, -1, 5, -1])[::2]
    again_rows, again_radii = k_center_greedy(embeddings, 900, initial_rows=repeated)
    assert len(rows) == 698
    np.testing.assert_array_equal(again_rows, rows)
    np.testing.assert_array_equal(again_radii, radii)
    no_rows = k_center_greedy(embeddings, 5, initial_rows=np.array([], dtype=np.int64))[0]
    np.testing.assert_array_equal(no_rows, k_center_greedy(embeddings, 5)[0])


@settings(deadline=None)
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(-3, 3)),
    st.integers(0, 14),
    st.integers(0, 6),
)
def test_properties(values, budget, more):
    embeddings = values.astype(np.float32)
    rows, radii = k_center_greedy(embeddings, budget)
    assert len(np.unique(rows)) == len(rows) == min(budget, len(values))
    assert (np.diff(radii) <= 0).all()
    longer_rows, longer_radii = k_center_greedy(embeddings, budget + more)
    np.testing.assert_array_equal(longer_rows[: len(rows)], rows)
    np.testing.assert_array_equal(longer_radii[: len(rows)], radii)
    if len(rows) > 0:
        assert rows.tolist()[1:] == naive_rows(values, len(rows) - 1, rows[:1].tolist())


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 8), st.integers(1, 3)), elements=st.floats(-99, 99, width=32)
    ),
    st.integers(1, 4),
)
def test_radius_is_at_most_twice_the_best_possible(embeddings, budget):
    radii = k_center_greedy(embeddings, budget)[1]
    points = embeddings.astype(np.float64)
    pairs = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    centers = itertools.combinations(range(len(points)), len(radii))
    best = min(pairs[:, list(chosen)].min(axis=1).max() for chosen in centers)
    assert radii[-1] <= 2 * best * (1 + RTOL) + 1e-9


EYE = np.eye(3, dtype=np.float32)


def with_value(value):
    broken = np.ones((400, 300), dtype=np.float32)
    broken[[377, 390], 299] = value
    return broken


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: k_center_greedy(EYE, -1), BudgetError, "budget: -1"),
        (lambda: k_center_greedy(EYE, 1.5), BudgetError, r"budget: 1\.5"),
        (
            lambda: k_center_greedy(EYE, 1, stop_radius=-1),
            ConfigError,
            "stop_radius: -1; allowed: a distance",
        ),
        (lambda: k_center_greedy(EYE, 1, stop_radius=np.nan), ConfigError, "stop_radius: NaN"),
        (lambda: k_center_greedy([[1.0]], 1), ArrayError, "embeddings: a list, not a numpy array"),
        (lambda: k_center_greedy(np.eye(3), 1), ArrayError, r"float64; allowed: .*\.astype\(np\.float32\)"),
        (lambda: k_center_greedy(EYE[0], 1), ArrayError, r"embeddings: an array of shape \(3,\)"),
        (lambda: k_center_greedy(EYE[:, :0], 1), ArrayError, r"shape \(3, 0\); allowed: at least one column"),
        (lambda: k_center_greedy(with_value(np.nan), 0), ArrayError, "row 377 holds NaN in column 299"),
        (lambda: k_center_greedy(with_value(-np.inf), 1), ArrayError, "row 377 holds -inf"),
        (lambda: k_center_greedy(EYE * 0, 1, metric="cosine"), ArrayError, "row 0 is a zero vector"),
        (lambda: k_center_greedy(with_value(np.inf), 1, metric="cosine"), ArrayError, "row 377 holds inf"),
        (
            lambda: k_center_greedy(EYE, 1, initial_rows=np.array([0, 3])),
            ArrayError,
            "entry 1 is 3, .*3 rows",
        ),
        (
            lambda: k_center_greedy(EYE, 1, initial_rows=np.array([-1])),
            ArrayError,
            "initial_rows: entry 0 is -1",
        ),
        (lambda: k_center_greedy(EYE, 1, initial_rows=np.array([0.0])), ArrayError, "initial_rows.*float64"),
        (lambda: k_center_greedy(EYE, 1, initial_rows=np.array([[0]])), ArrayError, "initial_rows.*shape"),
        (
            lambda: k_center_greedy(EYE, 1, metric="dot"),
            ConfigError,
            "'dot'; allowed: 'euclidean' or 'cosine'",
        ),
        (lambda: k_center_greedy(EYE, 1, n_threads=0), ConfigError, "n_threads: 0"),
        (lambda: k_center_greedy(EYE, 1, n_threads=-2), ConfigError, "n_threads: -2"),
    ],
)
def test_mistakes_are_named_in_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_the_docstring_runs():
    finder = doctest.DocTestFinder()
    (example,) = finder.find(k_center_greedy, "k_center_greedy", module=False, globs={})
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("partitions", [None, 2])
def test_ctrl_c_interrupts_a_long_run(partitions):
    embeddings = np.random.default_rng(9).standard_normal((50_000, 64)).astype(np.float32)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        k_center_greedy(embeddings, 50_000, partitions=partitions, n_threads=1)
    timer.join()


@pytest.mark.parametrize("partitions", [None, 3])
def test_what_progress_raises_comes_through_every_step(partitions):
    class EnoughError(Exception):
        pass

    def stop(n_picked, radius):
        raise EnoughError

    embeddings = np.random.default_rng(9).standard_normal((50_000, 64)).astype(np.float32)
    with pytest.raises(EnoughError):
        k_center_greedy(embeddings, 50_000, partitions=partitions, progress=stop, n_threads=1)


def test_other_threads_of_python_run_meanwhile():
    embeddings = np.random.default_rng(10).standard_normal((50_000, 64)).astype(np.float32)
    worker = threading.Thread(target=k_center_greedy, args=(embeddings, 3_000), kwargs={"n_threads": 1})
    worker.start()
    turns = 0
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1
    worker.join()
    assert turns > 1


FORK = """
import multiprocessing
import numpy as np
from tasksel_core import k_center_greedy

def pick(seed):
    embeddings = np.random.default_rng(seed).standard_normal((4000, 64)).astype(np.float32)
    return k_center_greedy(embeddings, 5, n_threads=2)[0].tolist()

expected = pick(0)
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.map(pick, [0]) == [expected]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks by choice")
def test_a_forked_process_has_threads_of_its_own():
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=120)
