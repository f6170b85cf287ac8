import numpy as np
import pytest

import tasksel
import tasksel_core
from tasksel import strategies
from tasksel.strategies import Ranking, RankingProblem, Strategy, WeightOptions, find_strategy
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
    rows = strategy.rank(make_problem(150)).rows
    assert rows.dtype == np.int64
    assert len(rows) == len(set(rows.tolist())) == 150
    np.testing.assert_array_equal(rows, strategy.rank(make_problem(150)).rows)


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


def test_least_confident_puts_unscored_rows_last() -> None:
    log_confidence = np.array([-1.0, np.nan, -3.0, -3.0, -np.inf])
    problem = RankingProblem(
        task=np.zeros(5, dtype=np.int64), n_tasks=1, budget=5, log_confidence=log_confidence
    )
    assert find_strategy("least-confident").rank(problem).rows.tolist() == [4, 2, 3, 0, 1]


def test_an_unknown_strategy_names_the_nearest_and_all() -> None:
    with pytest.raises(
        UnknownStrategyError, match=r"no strategy 'kcenter'. Did you mean 'k-center'\?.*random"
    ):
        find_strategy("kcenter")


@pytest.mark.parametrize("options", [{"rounding": "nearest"}, {"task_mean": "median"}])
def test_an_unknown_choice_lists_what_is_allowed(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"allowed: (webster|arithmetic)"):
        WeightOptions(**options)


class OtherPackage:
    """Stands for an installed distribution that declares the entry point."""

    def __init__(self, found: object) -> None:
        self.name, self.value, self._found = "first-rows", "other.package:strategy", found

    def load(self) -> object:
        return self._found


def first_rows(problem: RankingProblem) -> Ranking:
    return Ranking(np.arange(problem.budget))


def test_another_package_adds_a_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    added = OtherPackage(Strategy("first-rows", "file order", first_rows))
    monkeypatch.setattr(strategies.importlib.metadata, "entry_points", lambda group: [added])
    assert strategies.strategy_names()[-1] == "first-rows"
    assert find_strategy("first-rows").rank(make_problem(3)).rows.tolist() == [0, 1, 2]


def test_an_entry_point_that_is_no_strategy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        strategies.importlib.metadata, "entry_points", lambda group: [OtherPackage(first_rows)]
    )
    with pytest.raises(ConfigError, match=r"other\.package:strategy"):
        find_strategy("first-rows")
