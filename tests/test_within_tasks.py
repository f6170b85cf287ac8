import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasksel
import tasksel_core
from tasksel.strategies import (
    Picker,
    PickingProblem,
    Ranking,
    RankingProblem,
    WeightOptions,
    find_picker,
    find_strategy,
    order_within_tasks,
    within_tasks,
)
from tasksel_core.errors import ArrayError, ConfigError

ALLOCATORS = ("size-proportional", "task-diversity", "weighted-task-diversity")
PICKERS = tasksel.picker_names()
SIZES = (150, 60, 30, 9, 3, 1)
METRICS = ("product", "length-normalized", "min-token", "entropy", "margin", "min-margin")


def make_problem(budget: int, *, sizes: tuple[int, ...] = SIZES, **options: object) -> RankingProblem:
    rng = np.random.default_rng(0)
    task = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int64)
    confidences = {metric: -rng.exponential(size=len(task)) for metric in METRICS}
    return RankingProblem(
        task=task,
        n_tasks=len(sizes),
        budget=budget,
        options=WeightOptions(**options),
        log_confidence=confidences["product"],
        # Positive, since all negative cosines count as 0 and tie.
        embeddings=(0.2 + rng.random(size=(len(task), 6))).astype(np.float32),
        confidences=confidences,
    )


def ranked(problem: RankingProblem, strategy: str, picker: str, **settings: object) -> Ranking:
    ranking = find_strategy(strategy).rank(problem)
    return order_within_tasks(problem, ranking, find_picker(picker), **settings)


def group_of(problem: RankingProblem, rows: np.ndarray, quota: int, picker: Picker) -> PickingProblem:
    confidence = problem.log_confidence if picker.metric is None else problem.confidences[picker.metric]
    options = {option.name: option.default for option in picker.options}
    return PickingProblem(
        n_rows=len(rows),
        quota=quota,
        seed=problem.seed,
        log_confidence=confidence[rows],
        embeddings=problem.embeddings[rows],
        own_options=options,
    )


@pytest.mark.parametrize("picker", PICKERS)
@pytest.mark.parametrize("strategy", ALLOCATORS)
def test_the_picker_changes_neither_quotas_nor_the_turns_of_tasks(strategy: str, picker: str) -> None:
    problem = make_problem(90, base=2)
    plain, chosen = find_strategy(strategy).rank(problem), ranked(problem, strategy, picker)
    np.testing.assert_array_equal(problem.task[chosen.rows], problem.task[plain.rows])
    assert len(set(chosen.rows.tolist())) == 90
    assert chosen.rows.dtype == np.int64
    np.testing.assert_array_equal(chosen.log_weights, plain.log_weights)


@pytest.mark.parametrize("picker", PICKERS)
@pytest.mark.parametrize("strategy", ALLOCATORS)
def test_a_smaller_budget_is_a_prefix_of_a_larger_one(strategy: str, picker: str) -> None:
    whole = ranked(make_problem(sum(SIZES)), strategy, picker).rows
    for budget in (1, 2, 5, 29, 31, 120, 250):
        np.testing.assert_array_equal(ranked(make_problem(budget), strategy, picker).rows, whole[:budget])


@pytest.mark.parametrize("picker", [name for name in PICKERS if name != "random"])
def test_each_task_has_the_rows_that_the_picker_gives_on_it_alone(picker: str) -> None:
    problem = make_problem(100)
    chosen = ranked(problem, "task-diversity", picker).rows
    declared = find_picker(picker)
    for task in range(len(SIZES)):
        rows = np.flatnonzero(problem.task == task)
        taken = chosen[problem.task[chosen] == task]
        alone = declared.order(group_of(problem, rows, len(taken), declared)).rows
        np.testing.assert_array_equal(taken, rows[alone])


@pytest.mark.parametrize("rounding", ["webster", "largest-remainder", "paper"])
def test_it_equals_the_kernels_with_the_picker_as_priority(rounding: str) -> None:
    problem = make_problem(100, rounding=rounding, base=3)
    chosen = ranked(problem, "size-proportional", "least-confident").rows
    weights, priority = problem.available.astype(float), -problem.log_confidence
    if rounding == "webster":
        expected = tasksel_core.weighted_round_robin(
            problem.task, weights, base=3, priority=priority, budget=100
        )
    else:
        quotas = tasksel_core.allocate(weights, problem.available, 100, base=3, rounding=rounding)
        expected = tasksel_core.round_robin(problem.task, quotas, priority=priority)
    np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize(
    ("picker", "options"), [*((name, {}) for name in PICKERS), ("huds", {"n_clusters": 3, "n_strata": 2})]
)
def test_threads_and_the_size_of_a_task_do_not_change_the_result(
    picker: str, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(140)
    one = ranked(problem, "size-proportional", picker, own_options=options, n_threads=1).rows
    for large in (0, 1000, 10**12):
        monkeypatch.setattr(within_tasks, "LARGE_WORK", large)
        for n_threads in (2, 5):
            several = ranked(
                problem, "size-proportional", picker, own_options=options, n_threads=n_threads
            ).rows
            np.testing.assert_array_equal(several, one)


# To facility location two rows that are each other's nearest tie exactly, whatever their vectors are.
@pytest.mark.parametrize("picker", [name for name in PICKERS if name not in {"random", "facility-location"}])
def test_permuting_the_pool_permutes_the_answer(picker: str) -> None:
    """No vectors or confidences are equal, and no task is down to two rows, which often tie."""
    problem = make_problem(60, sizes=(150, 60, 30))
    moved = np.random.default_rng(5).permutation(len(problem.task))
    permuted = RankingProblem(
        task=problem.task[moved],
        n_tasks=problem.n_tasks,
        budget=60,
        options=problem.options,
        log_confidence=problem.log_confidence[moved],
        embeddings=problem.embeddings[moved],
        confidences={name: values[moved] for name, values in problem.confidences.items()},
    )
    rows = ranked(permuted, "task-diversity", picker).rows
    np.testing.assert_array_equal(moved[rows], ranked(problem, "task-diversity", picker).rows)


@given(
    task=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    share=st.floats(0, 1),
    confidence_seed=st.integers(0, 100),
)
def test_any_tasks_and_budget(task: list[int], share: float, confidence_seed: int) -> None:
    tasks = np.array(task, dtype=np.int64)
    confidence = -np.random.default_rng(confidence_seed).integers(0, 4, len(task)).astype(np.float64)
    problem = RankingProblem(
        task=tasks, n_tasks=7, budget=round(share * len(task)), log_confidence=confidence
    )
    rows = ranked(problem, "task-diversity", "least-confident").rows
    for number in range(7):
        candidates = np.flatnonzero(tasks == number)
        taken = rows[tasks[rows] == number]
        expected = candidates[np.argsort(confidence[candidates], kind="stable")][: len(taken)]
        np.testing.assert_array_equal(taken, expected)


@pytest.mark.parametrize("picker", ["k-center", "facility-location", "graph-cut", "idds"])
def test_real_embeddings_in_tasks_that_lie_scattered(picker: str, real_embeddings: np.ndarray) -> None:
    task = np.random.default_rng(0).choice(5, size=400, p=[0.6, 0.2, 0.1, 0.08, 0.02])
    problem = RankingProblem(task=task, n_tasks=5, budget=60, embeddings=real_embeddings)
    chosen = ranked(problem, "size-proportional", picker, n_threads=3).rows
    declared = find_picker(picker)
    for number in range(5):
        rows = np.flatnonzero(task == number)
        taken = chosen[task[chosen] == number]
        options = {option.name: option.default for option in declared.options}
        alone = PickingProblem(
            n_rows=len(rows), quota=len(taken), embeddings=real_embeddings[rows], own_options=options
        )
        np.testing.assert_array_equal(taken, rows[declared.order(alone).rows])


def test_a_view_is_passed_where_a_tasks_rows_follow_one_another() -> None:
    seen = []

    def order(problem: PickingProblem) -> Ranking:
        seen.append(problem.embeddings)
        return Ranking(np.arange(problem.quota))

    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    problem = RankingProblem(task=np.repeat([0, 1], 3), n_tasks=2, budget=4, embeddings=vectors)
    picker = Picker("in-order", "file order", order, needs=frozenset({"embeddings"}))
    rows = order_within_tasks(problem, find_strategy("task-diversity").rank(problem), picker).rows
    assert rows.tolist() == [0, 3, 1, 4]
    assert all(np.shares_memory(group, vectors) for group in seen)


@pytest.mark.parametrize("rows", [[0], [0, 0], [0, 5], [0, 99], [0, -1]])
def test_a_picker_that_gives_other_rows_is_named(rows: list[int]) -> None:
    picker = Picker("broken", "wrong", lambda problem: Ranking(np.array(rows)))
    problem = RankingProblem(task=np.zeros(5, dtype=np.int64), n_tasks=1, budget=2)
    with pytest.raises(ConfigError, match="picker broken gave"):
        order_within_tasks(problem, find_strategy("task-diversity").rank(problem), picker)


def test_a_picker_that_gives_what_is_labelled_is_named() -> None:
    picker = Picker("again", "wrong", lambda problem: Ranking(np.array([3, 1])), takes_labelled=True)
    problem = RankingProblem(
        task=np.zeros(5, dtype=np.int64), n_tasks=1, budget=2, labelled_rows=np.array([1])
    )
    ranking = find_strategy("task-diversity").rank(problem)
    with pytest.raises(
        ConfigError, match="picker again gave 2 rows, not 2 different ones of 5; it has an err"
    ):
        order_within_tasks(problem, ranking, picker)
    other = replace(problem, labelled_rows=np.array([2]))
    assert order_within_tasks(other, ranking, picker).rows.tolist() == [3, 1]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_vector_that_cannot_be_taken_is_told_with_its_task(n_threads: int) -> None:
    problem = make_problem(100)
    task = int(np.argmax(SIZES))
    rows = np.flatnonzero(problem.task == task)
    problem.embeddings[rows[3], 2] = np.nan
    with pytest.raises(ArrayError, match=rf"task of pool row {rows[0]}, rows counted inside it: .*row 3"):
        ranked(problem, "task-diversity", "k-center", n_threads=n_threads)


def small_tasks(order, n_tasks: int, *, n_threads: int | None = 2) -> Ranking:
    """Let a picker order tasks of two rows; vectors are the number of the task."""
    task = np.repeat(np.arange(n_tasks), 2)
    problem = RankingProblem(
        task=task, n_tasks=n_tasks, budget=n_tasks, embeddings=task[:, None].astype(np.float32)
    )
    picker = Picker("slow", "slow", order, needs=frozenset({"embeddings"}))
    return order_within_tasks(
        problem, find_strategy("task-diversity").rank(problem), picker, n_threads=n_threads
    )


@pytest.mark.parametrize(("n_threads", "asked"), [(2, "5"), (None, "2")])
def test_no_more_threads_work_than_were_asked_for(
    n_threads: int | None, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", asked)
    names: list[str] = []
    at_work: list[str] = []

    def order(problem: PickingProblem) -> Ranking:
        at_work.append(threading.current_thread().name)
        names.extend(at_work)
        assert len(at_work) <= 2
        assert problem.n_threads == 1
        time.sleep(0.01)
        at_work.pop()
        return Ranking(np.arange(problem.quota))

    assert small_tasks(order, 8, n_threads=n_threads).rows.tolist() == list(range(0, 16, 2))
    assert set(names) <= {"within-task_0", "within-task_1"}


def test_after_an_error_no_thread_goes_on() -> None:
    begun: list[int] = []

    def order(problem: PickingProblem) -> Ranking:
        begun.append(int(problem.embeddings[0, 0]))
        if problem.embeddings[0, 0] == 0:
            raise ArrayError("no.")
        time.sleep(0.02)
        return Ranking(np.arange(problem.quota))

    with pytest.raises(ArrayError, match=r"In the task of pool row 0, rows counted inside it: no\."):
        small_tasks(order, 40)
    assert not [each.name for each in threading.enumerate() if each.name.startswith("within-task")]
    assert len(begun) < 40


def test_a_picker_is_given_what_it_needs_and_the_seed_and_threads_of_the_run() -> None:
    seen: list[PickingProblem] = []

    def order(problem: PickingProblem) -> Ranking:
        seen.append(problem)
        return Ranking(np.arange(problem.quota))

    problem = replace(make_problem(20, sizes=(30,)), seed=7)
    ranking = replace(find_strategy("task-diversity").rank(problem), radii=np.ones(20), gains=np.ones(20))
    found = order_within_tasks(problem, ranking, Picker("first", "", order), n_threads=3)
    assert (found.radii, found.gains) == (None, None)
    assert (seen[0].seed, seen[0].n_threads, seen[0].embeddings) == (7, 3, None)


class OtherMachines:
    """Work backwards, and keep what they were given."""

    def __init__(self, *, lost: int = 0) -> None:
        self.trips: list[list[tuple[PickingProblem, int]]] = []
        self._lost = lost

    def __call__(self, function, inputs):
        self.trips = list(inputs)
        for place, trip in reversed(list(enumerate(self.trips))):
            ordered = function(trip)
            yield place, ordered[: len(ordered) - self._lost]


@pytest.mark.parametrize(
    ("cells", "large", "trips"),
    [
        (252, 2_000_000_000, [[0], [1], [2, 3, 4], [5]]),  # the third to fifth have 42 rows of 6 numbers
        (253, 2_000_000_000, [[0], [1], [2, 3, 4, 5]]),
        (901, 2_000_000_000, [[0, 1], [2, 3, 4, 5]]),
        (10**9, 5_399, [[0], [1], [2], [3, 4, 5]]),
        (10**9, 5_400, [[0], [1], [2, 3, 4, 5]]),  # the third has 30 rows: 900 times 6
    ],
)
def test_other_machines_order_the_same_and_small_tasks_travel_together(
    cells: int, large: int, trips: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(140)
    at_home = ranked(problem, "size-proportional", "k-center").rows
    monkeypatch.setattr(within_tasks, "_TRIP_CELLS", cells)
    monkeypatch.setattr(within_tasks, "LARGE_WORK", large)
    machines = OtherMachines()
    away = ranked(replace(problem, spread=machines), "size-proportional", "k-center").rows
    np.testing.assert_array_equal(away, at_home)
    assert [[int(problem.task[row]) for _, row in trip] for trip in machines.trips] == trips
    assert all(group.n_threads is None for trip in machines.trips for group, _ in trip)


def test_a_task_that_other_machines_lose_is_no_task_without_rows() -> None:
    problem = replace(make_problem(140), spread=OtherMachines(lost=1))
    with pytest.raises(ValueError, match="shorter"):
        ranked(problem, "size-proportional", "k-center")


def test_vectors_that_no_trip_needs_stay_at_home_and_count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = OtherMachines()
    problem = replace(make_problem(140), embeddings=None, spread=machines)
    monkeypatch.setattr(within_tasks, "_TRIP_CELLS", 150)
    ranked(problem, "size-proportional", "least-confident")
    assert [len(trip) for trip in machines.trips] == [1, 5]


@pytest.mark.parametrize(
    ("asked", "n_threads"), [("3", 3), ("1", 1), ("0", 7), ("-2", 7), ("many", 7), ("", 7), (None, 7)]
)
def test_one_variable_governs_all_threads(
    asked: str | None, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("RAYON_NUM_THREADS", asked)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7 + process)), raising=False)
    assert within_tasks._thread_count() == n_threads
    monkeypatch.delattr(os, "sched_getaffinity")
    for cores, n_all in ((5, 5), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert within_tasks._thread_count() == (n_threads if n_threads < 7 else n_all)


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_cancels_the_tasks_that_wait() -> None:
    """Three thousand tasks of a tenth of a second each: without cancelling they take minutes."""
    script = textwrap.dedent(
        """
        import numpy as np, time
        from tasksel.strategies import Picker, Ranking, RankingProblem, find_strategy, order_within_tasks

        def order(problem):
            time.sleep(0.1)
            return Ranking(np.arange(problem.quota))

        task = np.repeat(np.arange(3000), 2)
        problem = RankingProblem(
            task=task, n_tasks=3000, budget=3000, embeddings=np.ones((6000, 2), np.float32)
        )
        picker = Picker("slow", "slow", order, needs=frozenset({"embeddings"}))
        ranking = find_strategy("task-diversity").rank(problem)
        print("started", flush=True)
        try:
            order_within_tasks(problem, ranking, picker, n_threads=4)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "started\n"
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[0] == "interrupted\n"
    assert child.returncode == 0
