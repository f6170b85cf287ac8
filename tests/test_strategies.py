import importlib.metadata
import io
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

import tasksel
import tasksel_core
from tasksel import strategies
from tasksel.strategies import (
    Option,
    Picker,
    Ranking,
    RankingProblem,
    Strategy,
    WeightOptions,
    check_option_names,
    fill_options,
    find_picker,
    find_strategy,
    rank_by_weights,
)
from tasksel.terminal_strategies import print_strategies
from tasksel_core.errors import ConfigError, UnknownStrategyError

SIZES = (400, 120, 60, 9, 3, 1)


def make_problem(budget: int = 100, *, seed: int = 0, shuffle: int = 0, **options: object) -> RankingProblem:
    rng = np.random.default_rng(shuffle)
    task = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES)).astype(np.int64)
    level = np.array([-0.1, -0.7, -1.5, -3.0, -0.3, -6.0])
    return RankingProblem(
        task=task,
        n_tasks=len(SIZES),
        budget=budget,
        seed=seed,
        options=WeightOptions(**options),
        log_confidence=level[task] - rng.exponential(0.2, size=len(task)),
        embeddings=rng.normal(size=(len(task), 8)).astype(np.float32),
    )


@pytest.mark.parametrize("name", tasksel.strategy_names())
def test_a_ranking_has_budget_distinct_rows_and_repeats_with_its_seed(name: str) -> None:
    strategy = find_strategy(name)
    problem = make_problem(150)
    rows = strategy.rank(problem).rows
    assert rows.dtype == np.int64
    assert len(rows) == len(set(rows.tolist())) == 150
    np.testing.assert_array_equal(rows, strategy.rank(problem).rows)


@pytest.mark.parametrize("name", tasksel.strategy_names())
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(name: str) -> None:
    rank = find_strategy(name).rank
    whole = rank(make_problem(sum(SIZES))).rows
    for budget in (1, 2, 7, 29, 30, 31, 200):
        np.testing.assert_array_equal(rank(make_problem(budget)).rows, whole[:budget])


@pytest.mark.parametrize("name", ["random", "size-proportional", "task-diversity", "weighted-task-diversity"])
def test_another_seed_picks_other_rows(name: str) -> None:
    rank = find_strategy(name).rank
    first, second = rank(make_problem(100, seed=0)).rows, rank(make_problem(100, seed=1)).rows
    assert set(first.tolist()) != set(second.tolist())


def picked_per_task(name: str, **options: object) -> list[int]:
    problem = make_problem(100, **options)
    rows = find_strategy(name).rank(problem).rows
    return np.bincount(problem.task[rows], minlength=len(SIZES)).tolist()


def test_task_diversity_gives_every_task_the_same_until_it_is_used_up() -> None:
    assert picked_per_task("task-diversity") == [29, 29, 29, 9, 3, 1]


def test_size_proportional_follows_the_sizes() -> None:
    shares = np.array(SIZES) / sum(SIZES) * 100
    assert np.abs(np.array(picked_per_task("size-proportional", base=0)) - shares).max() <= 1


def test_weighted_task_diversity_follows_the_inverse_confidence() -> None:
    problem = make_problem(100)
    confidence = problem.task_log_confidence()
    quotas = tasksel_core.allocate(
        tasksel_core.inverse_confidence_weights(confidence), problem.available, 100, base=5
    )
    assert picked_per_task("weighted-task-diversity") == quotas.tolist()
    assert quotas[2] > quotas[0]


def test_weights_that_underflow_keep_their_order_after_the_heaviest_task_is_used_up() -> None:
    task = np.repeat(np.arange(3), (5, 100, 100)).astype(np.int64)
    level = np.array([-1500.0, -2.0, -10.0])
    problem = RankingProblem(
        task=task, n_tasks=3, budget=105, options=WeightOptions(base=0), log_confidence=level[task]
    )
    rows = find_strategy("weighted-task-diversity").rank(problem).rows
    assert np.bincount(task[rows], minlength=3).tolist() == [5, 0, 100]


@pytest.mark.parametrize("rounding", strategies.ROUNDINGS)
def test_every_rounding_keeps_base_and_availability(rounding: str) -> None:
    picked = picked_per_task("weighted-task-diversity", rounding=rounding)
    assert sum(picked) == 100
    assert all(min(5, size) <= n <= size for n, size in zip(picked, SIZES, strict=True))


@pytest.mark.parametrize("rounding", strategies.ROUNDINGS)
@pytest.mark.parametrize("log_weights", [False, True])
def test_labels_and_prompts_set_aside_count_as_the_kernels_count_them(
    rounding: str, log_weights: bool
) -> None:
    problem = replace(
        make_problem(60, seed=7, rounding=rounding, base=4),
        labelled_rows=np.arange(0, 200, 9),
        set_aside_rows=np.arange(1, 100, 2),
    )
    weights = np.array([1.0, 2.0, 4.0, 8.0, 0.0, 1.0])
    with np.errstate(divide="ignore"):
        log_shares = np.log(weights / 16)
    given = log_shares if log_weights else weights
    rest = np.setdiff1d(np.arange(len(problem.task)), [*range(0, 200, 9), *range(1, 100, 2)])
    task = problem.task[rest]
    labelled = np.bincount(problem.task[0:200:9], minlength=6)
    settings = {"base": 4, "labelled": labelled, "log_weights": log_weights}
    if rounding == "webster":
        rows = tasksel_core.weighted_round_robin(task, given, seed=7, budget=60, **settings)
    else:
        available = np.bincount(task, minlength=6)
        quotas = tasksel_core.allocate(given, available, 60, rounding=rounding, **settings)
        rows = tasksel_core.round_robin(task, quotas, seed=7)
    found = rank_by_weights(problem, given, log_weights=log_weights)
    np.testing.assert_array_equal(found.rows, rest[rows])
    np.testing.assert_allclose(found.log_weights, log_shares)


@pytest.mark.parametrize("rounding", strategies.ROUNDINGS)
@pytest.mark.parametrize("log_weights", [False, True])
def test_where_labels_differ_in_cost_the_money_follows_the_weights(rounding: str, log_weights: bool) -> None:
    problem = RankingProblem(
        task=np.repeat(np.arange(4), 50),
        n_tasks=4,
        budget=37,
        options=WeightOptions(base=0, rounding=rounding),
        task_costs=np.array([1.0, 2.0, 4.0, 1.0]),
    )
    weights = np.array([1.0, 1.0, 2.0, 0.0])
    with np.errstate(divide="ignore"):
        log_weights_given = np.log(weights)
    found = rank_by_weights(problem, log_weights_given if log_weights else weights, log_weights=log_weights)
    assert np.bincount(problem.task[found.rows], minlength=4).tolist() == [19, 9, 9, 0]
    np.testing.assert_allclose(np.exp(found.log_weights), [0.5, 0.25, 0.25, 0.0])


@pytest.mark.parametrize("name", ["size-proportional", "task-diversity", "weighted-task-diversity"])
def test_a_task_without_prompts_gives_none(name: str) -> None:
    problem = RankingProblem(
        task=np.array([0, 2, 2]), n_tasks=5, budget=3, log_confidence=np.array([-1.0, -2.0, np.nan])
    )
    assert sorted(find_strategy(name).rank(problem).rows.tolist()) == [0, 1, 2]


def test_least_confident_puts_unscored_rows_last() -> None:
    log_confidence = np.array([-1.0, np.nan, -3.0, -3.0, -np.inf])
    problem = RankingProblem(
        task=np.zeros(5, dtype=np.int64), n_tasks=1, budget=5, log_confidence=log_confidence
    )
    assert find_strategy("least-confident").rank(problem).rows.tolist() == [4, 2, 3, 0, 1]


def test_equal_confidences_keep_the_order_of_the_rows() -> None:
    levels = np.random.default_rng(0).integers(0, 3, 1000)
    problem = RankingProblem(
        task=np.zeros(1000, dtype=np.int64), n_tasks=1, budget=1000, log_confidence=-levels.astype(np.float64)
    )
    rows = find_strategy("least-confident").rank(problem).rows
    assert rows.tolist() == sorted(range(1000), key=lambda row: (-levels[row], row))


def test_the_first_rows_of_a_ranking_keep_what_is_told_of_them() -> None:
    log_weights = np.log([0.5, 0.5])
    some = Ranking(
        np.array([4, 2, 0]), log_weights, np.array([3.0, 2.0, 1.0]), gains=np.array([9.0, 8.0, 7.0])
    ).first(2)
    assert (some.rows.tolist(), some.radii.tolist(), some.gains.tolist()) == ([4, 2], [3.0, 2.0], [9.0, 8.0])
    assert some.log_weights is log_weights
    plain = Ranking(np.array([4, 2, 0])).first(1)
    assert (plain.rows.tolist(), plain.log_weights, plain.radii, plain.gains) == ([4], None, None, None)


def test_an_unknown_strategy_names_the_nearest_and_all() -> None:
    with pytest.raises(
        UnknownStrategyError, match=r"no strategy 'kcenter'. Did you mean 'k-center'\?.*random"
    ):
        find_strategy("kcenter")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"rounding": "webstr"},
            "rounding is 'webstr'; allowed: webster, largest-remainder, paper. Did you mean 'webster'?",
        ),
        ({"task_mean": "median"}, "task_mean is 'median'; allowed: arithmetic, geometric."),
    ],
)
def test_an_unknown_choice_lists_what_is_allowed(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}$"):
        WeightOptions(**options)


@pytest.mark.parametrize(("mean", "expected"), [("arithmetic", np.log(0.625)), ("geometric", np.log(0.5))])
def test_the_mean_asked_for_makes_the_confidence_of_a_task(mean: str, expected: float) -> None:
    problem = RankingProblem(
        task=np.array([0, 0, 1]),
        n_tasks=2,
        budget=1,
        options=WeightOptions(task_mean=mean),
        log_confidence=np.log([0.25, 1.0, 0.5]),
    )
    assert problem.task_log_confidence().tolist() == pytest.approx([expected, np.log(0.5)])


class OtherPackage:
    """Stands for an installed distribution that declares the entry point."""

    def __init__(self, found: object, *, name: str = "first-rows") -> None:
        self.name, self.value, self._found = name, "other.package:strategy", found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def install(monkeypatch: pytest.MonkeyPatch, group: str, added: OtherPackage) -> None:
    entries = {group: [added]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries.get(group, []))


def first_rows(problem: RankingProblem) -> Ranking:
    return Ranking(np.arange(problem.budget))


def test_another_package_adds_a_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    added = OtherPackage(Strategy("first-rows", "file order", first_rows))
    install(monkeypatch, "tasksel.strategies", added)
    assert tasksel.strategy_names()[-1] == "first-rows"
    assert "first-rows" not in tasksel.picker_names()
    assert find_strategy("first-rows").rank(make_problem(3)).rows.tolist() == [0, 1, 2]


def test_another_package_adds_a_picker(monkeypatch: pytest.MonkeyPatch) -> None:
    picker = Picker("first-rows", "file order", lambda problem: Ranking(np.arange(problem.quota)))
    install(monkeypatch, "tasksel.pickers", OtherPackage(picker))
    assert tasksel.picker_names()[-1] == "first-rows"
    assert "first-rows" not in tasksel.strategy_names()
    assert find_picker("first-rows") is picker


def test_a_built_in_name_cannot_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = OtherPackage(Strategy("random", "file order", first_rows), name="random")
    install(monkeypatch, "tasksel.strategies", taken)
    assert find_strategy("random").rank is not first_rows
    assert tasksel.strategy_names().count("random") == 1


def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tasksel.strategies", OtherPackage(ImportError("no module named other")))
    with pytest.raises(
        ConfigError, match=r"'other\.package:strategy' .*cannot be loaded \(no module named other"
    ):
        find_strategy("first-rows")
    with pytest.raises(
        ConfigError, match="strategies that take it: size-proportional, task-diversity, weigh"
    ):
        tasksel.select(pl.DataFrame({"prompt": ["p"]}), budget=1, strategy="random", within="k-center")


def test_an_entry_point_that_is_no_strategy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tasksel.strategies", OtherPackage(first_rows))
    with pytest.raises(ConfigError, match=r"other\.package:strategy"):
        find_strategy("first-rows")


def test_an_unknown_picker_names_the_nearest_and_all() -> None:
    with pytest.raises(UnknownStrategyError, match=r"no within-task picker 'kcenter'. Did you mean 'k-cen"):
        find_picker("kcenter")


SHARE = Option("share", 0.5, 0.0, 1.0, "a share")
COUNT = Option("count", 10, 1, float("inf"), "a count")


def test_options_are_read_from_numbers_and_text() -> None:
    assert fill_options((SHARE, COUNT), {}) == {"share": 0.5, "count": 10}
    filled = fill_options((SHARE, COUNT), {"share": "0.7", "count": "3", "other": "left alone"})
    assert filled == {"share": 0.7, "count": 3}
    assert isinstance(filled["count"], int)
    assert fill_options((COUNT,), {"count": np.int64(4)}) == {"count": 4}


@pytest.mark.parametrize("value", [-0.1, 1.5, "x", "", None, float("nan"), "inf", True, [1]])
def test_an_option_out_of_its_range_is_named(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Option share is .*; allowed: a number from 0 to 1\."):
        SHARE.read(value)


@pytest.mark.parametrize("value", [0, 2.5, "2.5", -1, float("inf")])
def test_a_count_is_whole(value: object) -> None:
    with pytest.raises(ConfigError, match=r"allowed: a whole number of at least 1\."):
        COUNT.read(value)


def test_an_option_that_nobody_takes_lists_what_is_allowed() -> None:
    strategy = Strategy("with-options", "s", first_rows, options=(SHARE, COUNT))
    check_option_names({"share": 1}, (strategy, find_picker("random")))
    with pytest.raises(ConfigError, match=r"no option 'shar' of with-options; allowed: share \(a num"):
        check_option_names({"shar": 1}, (strategy, find_picker("random")))
    with pytest.raises(ConfigError, match="no option 'share': random has no options of its own"):
        check_option_names({"share": 1}, (find_strategy("random"), find_picker("random")))


def test_a_picker_that_is_no_strategy_is_listed_with_its_needs() -> None:
    picker = Picker("in-order", "as the file has it", lambda problem: Ranking(np.arange(problem.quota)))
    console = Console(file=io.StringIO(), width=80)
    print_strategies(console, [find_strategy("k-center")], [picker, find_picker("k-center")])
    within = console.file.getvalue().partition("--within")[2]
    assert "in-order" in within
    assert "as the file has it" in within
    assert "As the strategies of the same name: k-center." in within
