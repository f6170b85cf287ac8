"""What the score must catch on real embedded text, and what input it takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksel.data_coverage import coverage
from tasksel.data_coverage.yardstick import measure_equivalent
from tasksel_core import k_means, nearest_neighbours
from tasksel_core.errors import ArrayError, ConfigError

N_ROWS = 1000
EXCERPT = Path(__file__).parent / "data" / "coverage_excerpt.npz"


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def split():
    """Disjoint parts of real prompts: the reference with its tasks, and what other sets are drawn from."""
    stored = np.load(EXCERPT)
    vectors, tasks = unit(stored["vectors"].astype(np.float32)), stored["tasks"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(vectors))
    first, second = order[:3000], order[3000:]
    return vectors[first], tasks[first], vectors[second], tasks[second]


def kept_without(tasks, share, rng):
    """Rows that are left when whole tasks of about a share of the mass go, and the mass that is missing."""
    order = rng.permutation(tasks.max() + 1)
    gone = order[: round(share * len(order))]
    is_gone = np.isin(tasks, gone)
    return np.flatnonzero(~is_gone), len(gone) / len(order)


def names(found):
    return {flag.name for flag in found.flags}


# What it must catch


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_a_true_drop_is_read_off_within_a_twentieth_in_each_draw(split, share):
    real, real_tasks, pool, pool_tasks = split
    for seed in range(2):
        rng = np.random.default_rng(seed)
        kept, missing = kept_without(pool_tasks, share, rng)
        rows = rng.choice(kept, N_ROWS, replace=False)
        found = measure_equivalent(real, pool[rows], real_tasks=real_tasks, seed=seed)
        assert found.interval.low <= found.coverage <= found.interval.high
        assert found.n_compared == N_ROWS
        assert abs(found.coverage - (1 - missing)) <= 0.05


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_a_true_drop_of_tasks_apart_is_read_off_without_labels(split, share):
    real, _, pool, pool_tasks = split
    errors = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        kept, missing = kept_without(pool_tasks, share, rng)
        found = measure_equivalent(real, pool[rng.choice(kept, N_ROWS, replace=False)], seed=seed)
        assert found.interval.low <= found.coverage <= found.interval.high
        errors.append(found.coverage - (1 - missing))
    assert abs(np.mean(errors)) <= 0.05


def test_a_perfect_set_raises_nothing(split):
    real, real_tasks, pool, pool_tasks = split
    rows = np.random.default_rng(5).choice(len(pool), N_ROWS, replace=False)
    found = coverage(real, pool[rows], real_tasks=real_tasks, synthetic_tasks=pool_tasks[rows])
    assert names(found) == set()
    assert found.coverage_equivalent >= found.null.low
    assert found.verdict == "good"
    assert found.statistics["classifier_p_value"] > 0.001


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_dropped_tasks_are_caught(split, share):
    real, real_tasks, pool, pool_tasks = split
    rng = np.random.default_rng(1)
    rows = rng.choice(kept_without(pool_tasks, share, rng)[0], N_ROWS, replace=False)
    found = coverage(real, pool[rows], real_tasks=real_tasks, synthetic_tasks=pool_tasks[rows])
    assert names(found) & {"gaps", "absent"}
    lost = set(np.unique(pool_tasks)) - set(pool_tasks[rows])
    absent = found.levels.filter((found.levels["synthetic_rows"] == 0) & (found.levels["real_rows"] > 0))
    assert {int(level) for level in absent["level"]} == lost
    if share >= 0.2:
        assert found.coverage_equivalent < found.null.low


def faulty(name, split, rng, elsewhere):
    real, _, pool, pool_tasks = split
    rows = pool[rng.choice(len(pool), N_ROWS, replace=False)]
    if name == "invented":
        rows[: N_ROWS // 10] = elsewhere[rng.choice(len(elsewhere), N_ROWS // 10, replace=False)]
    elif name == "duplicates":
        rows = np.repeat(rows[:100], 10, axis=0)
    elif name == "near-duplicates":
        rows = unit(np.repeat(rows[:100], 10, axis=0) + 0.008 * rng.standard_normal(rows.shape))
    elif name == "imbalance":
        is_half = pool_tasks < 63
        often, seldom = np.flatnonzero(is_half), np.flatnonzero(~is_half)
        rows = pool[np.concatenate([rng.choice(often, 750, replace=False), rng.choice(seldom, 250)])]
    elif name == "narrowed":
        centers = k_means(real, 50)[0]
        rows = unit((rows + centers[nearest_neighbours(rows, centers, 1)[0][:, 0]]) / 2)
    elif name == "copy":
        rows = real[rng.choice(len(real), N_ROWS, replace=False)]
    return rows


@pytest.mark.parametrize(
    ("fault", "flag", "is_below"),
    [
        ("invented", "outside", False),
        ("duplicates", "duplicates", True),
        ("near-duplicates", "duplicates", True),
        ("imbalance", "imbalance", True),
        ("narrowed", "narrow", False),
        ("copy", "copies", False),
    ],
)
def test_other_faults_are_caught(split, real_embeddings, fault, flag, is_below):
    found = coverage(split[0], faulty(fault, split, np.random.default_rng(2), real_embeddings))
    assert flag in names(found), found.flags
    if is_below:
        assert found.coverage_equivalent < found.null.low


def test_gaps_name_real_prompts_of_what_is_missing(split):
    real, real_tasks, pool, pool_tasks = split
    rows = np.flatnonzero(pool_tasks >= 63)
    found = coverage(real, pool[rows], real_tasks=real_tasks, n_exemplars=3)
    assert found.gaps.height
    exemplars = [row for each in found.gaps["exemplars"] for row in each]
    assert np.mean(real_tasks[exemplars] < 63) > 0.8
    again = coverage(real, pool[rows], real_tasks=real_tasks, exclude_rows=exemplars)
    assert again.n_real == len(real) - len(exemplars)
    shown = {row for each in again.clusters["exemplars"] for row in each}
    assert not shown & set(exemplars)


def test_the_result_is_the_same_twice_and_json(split):
    real, _, pool, _ = split
    one, other = (coverage(real[:400], pool[:100], seed=3).to_dict() for _ in range(2))
    assert json.dumps(one, allow_nan=False) == json.dumps(other, allow_nan=False)


def test_sizes_that_differ_are_compared_at_one_size(split):
    real, _, pool, _ = split
    small_real = measure_equivalent(real[:200], pool)
    assert small_real.n_compared == 50
    assert small_real.coverage > 0.8
    small_synthetic = measure_equivalent(real, pool[:20])
    assert small_synthetic.n_compared == 20
    assert small_synthetic.interval.low <= 1 - 1e-9
    assert small_synthetic.null.low < 0.9  # so few rows say little, and the band says so


# Input


@settings(max_examples=15)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 5),
    st.sampled_from(["normal", "equal", "zero", "huge"]),
    st.integers(0, 3),
)
def test_any_small_sets_give_a_result_in_range(n_real, n_synthetic, n_columns, kind, seed):
    rng = np.random.default_rng(seed)
    scale = {"normal": 1.0, "equal": 0.0, "zero": 0.0, "huge": 1e15}[kind]
    both = scale * rng.standard_normal((n_real + n_synthetic, n_columns)) + (kind == "equal")
    found = coverage(both[:n_real], both[n_real:], seed=seed)
    if found.coverage_equivalent is None:
        assert n_real < 8
        assert found.verdict == "unknown"
        assert not found.passes(0.0)
    else:
        assert 0 <= found.interval.low <= found.coverage_equivalent <= found.interval.high <= 1
    assert all(0 <= found.statistics[name] <= 1 for name in ("precision", "recall", "coverage", "copies"))
    assert found.clusters["real_rows"].sum() == n_real
    json.dumps(found.to_dict(), allow_nan=False)


def test_identical_rows_cover_each_other():
    rows = np.ones((50, 4))
    found = coverage(rows, rows)
    assert found.coverage_equivalent == 1.0
    assert found.statistics["coverage"] == found.statistics["precision"] == 1.0


def test_types_and_strides_do_not_matter(split):
    real, _, pool, _ = split
    expected = coverage(real[:300], pool[:200])
    strided = np.repeat(real[:300].astype(np.float64), 2, axis=0)[::2]
    fortran = np.asfortranarray(pool[:200])
    assert coverage(strided, fortran).to_dict() == expected.to_dict()
    half = coverage(real[:300].astype(np.float16), pool[:200].astype(np.float16))
    assert abs(half.coverage_equivalent - expected.coverage_equivalent) < 0.1


@pytest.mark.parametrize(
    ("real", "synthetic", "said"),
    [
        (np.full((3, 2), np.nan), np.ones((3, 2)), "real_embeddings row 0 holds NaN"),
        (np.ones((3, 2)), np.array([[1.0, 1.0], [np.inf, 1.0]]), "synthetic_embeddings row 1"),
        (np.ones((3, 2)), np.full((1, 2), 1e300), "beyond float32"),
        (np.ones((3, 2)), np.ones((3, 3)), "2 columns and synthetic_embeddings 3"),
        (np.ones((0, 2)), np.ones((3, 2)), r"shape \(0, 2\)"),
        (np.ones((3, 2)), np.ones((0, 2)), "synthetic_embeddings has shape"),
        (np.ones(3), np.ones((3, 2)), r"shape \(3,\)"),
        (np.array([["a"]]), np.ones((3, 1)), "dtype"),
    ],
)
def test_what_is_no_pair_of_sets_is_refused(real, synthetic, said):
    with pytest.raises(ArrayError, match=said):
        coverage(real, synthetic)


@pytest.mark.parametrize(
    ("settings_", "error", "said"),
    [
        ({"real_tasks": ["a"]}, ArrayError, "1 labels for 20 rows"),
        ({"synthetic_tasks": ["a"] * 20}, ConfigError, "without real_tasks"),
        ({"dimensions": {"tone": ["a"]}}, ConfigError, "not a pair"),
        ({"dimensions": {"tone": (None, ["a"] * 20)}}, ConfigError, "'tone' lacks the labels of one side"),
        ({"exclude_rows": [20]}, ArrayError, "outside 0 to 19"),
        ({"exclude_rows": [0.5]}, ArrayError, "holds something else than row numbers"),
        ({"exclude_rows": range(20)}, ArrayError, "leaves no real row"),
        ({"n_clusters": 0}, ConfigError, "n_clusters is 0"),
        ({"n_exemplars": -1}, ConfigError, "n_exemplars is -1"),
        ({"level": 1.0}, ConfigError, "level is 1.0"),
        ({"seed": -1}, ConfigError, "seed is -1"),
    ],
)
def test_settings_are_checked(settings_, error, said):
    rows = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(error, match=said):
        coverage(rows, rows, **settings_)


def test_too_few_real_rows_say_nothing():
    rows = np.random.default_rng(0).standard_normal((20, 3))
    said = coverage(rows[:1], rows).headline()
    assert said == "There are too few real rows to say how much of them is covered."


def test_dimensions_are_compared_level_by_level():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 4))
    real = ["calm"] * 100 + ["angry"] * 100
    synthetic = ["calm"] * 195 + [None] * 5
    found = coverage(rows[:200], rows[200:], dimensions={"tone": (real, synthetic)})
    by_level = {row["level"]: row for row in found.levels.to_dicts()}
    assert by_level["angry"]["is_gap"]
    assert by_level["angry"]["synthetic_rows"] == 0
    assert by_level["calm"]["is_excess"]
    assert by_level["(none)"]["real_rows"] == 0
    assert by_level["(none)"]["covered"] is None
    assert "absent" in names(found)


def test_too_many_tasks_are_no_yardstick():
    rows = np.random.default_rng(0).standard_normal((40, 3))
    found = coverage(rows, rows, real_tasks=range(40))
    assert found.regions == "clusters"
    assert "40 tasks in 40 real rows are no yardstick" in found.notes[0]
    assert found.levels["synthetic_rows"].null_count() == 40
