"""A second round: what has labels is counted, left out, and covered."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasksel
import tasksel_core
from tasksel.selection_files import SelectionInputs, read_selection, replay
from tasksel.selection_labelled import read_labelled
from tasksel.strategies import Picker, PickingProblem, Ranking
from tasksel.strategies.unlabelled import order_rest
from tasksel_core.errors import BudgetError, ConfigError, SchemaError

SIZES = {"a": 40, "b": 15, "c": 6, "d": 1}
STRATEGIES = [
    {"strategy": "random"},
    {"strategy": "task-diversity"},
    {"strategy": "size-proportional"},
    {"strategy": "weighted-task-diversity"},
    {"strategy": "weighted-task-diversity", "within": "k-center"},
    {"strategy": "task-diversity", "within": "least-confident"},
    {"strategy": "task-diversity", "within": "facility-location"},
    {"strategy": "k-center"},
    {"strategy": "facility-location"},
    {"strategy": "graph-cut"},
    {"strategy": "idds"},
    {"strategy": "huds"},
    {"strategy": "least-confident"},
]


def make_pool(sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    tasks = [name for name, size in sizes.items() for _ in range(size)]
    order = rng.permutation(len(tasks))
    return pl.DataFrame(
        {
            "id": [f"p{row}" for row in order],
            "task": [tasks[row] for row in order],
            "prompt": [f"prompt {row}" for row in order],
            "token_logprobs": [(-rng.random(3)).tolist() for _ in tasks],
        }
    )


def vectors_of(pool):
    return np.random.default_rng(7).standard_normal((pool.height, 5), dtype=np.float32)


def select(pool, budget, **settings):
    return tasksel.select(pool, budget=budget, embeddings=vectors_of(pool), **settings)


def counts(*selections):
    tasks = pl.concat([each.frame.select("task") for each in selections])
    return dict(tasks["task"].value_counts().iter_rows())


@pytest.mark.parametrize("settings", STRATEGIES, ids=lambda settings: "-".join(settings.values()))
def test_a_second_round_takes_none_of_the_first(settings):
    pool = make_pool()
    first = select(pool, 14, **settings)
    second = select(pool, 20, labelled=first.frame, **settings)
    assert second.frame.height == 20
    assert not set(first.frame["id"]) & set(second.frame["id"])
    assert second.manifest["labelled"]["rows"] == second.manifest["figures"]["labelled"] == 14
    assert second.allocation["labelled"].sum() == 14
    assert second.allocation["available"].sum() == pool.height - 14
    everything = select(pool, 1000, labelled=first.frame, **settings)
    assert everything.frame.height == pool.height - 14


@pytest.mark.parametrize("strategy", ["task-diversity", "size-proportional", "weighted-task-diversity"])
@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6),
    budgets=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    base=st.integers(0, 6),
)
def test_two_rounds_give_each_task_what_one_would_have(strategy, sizes, budgets, base):
    pool = make_pool({f"t{number}": size for number, size in enumerate(sizes)})
    if budgets[0] >= pool.height:
        return
    first = tasksel.select(pool, budget=budgets[0], strategy=strategy, base=base)
    second = tasksel.select(pool, budget=budgets[1], strategy=strategy, base=base, labelled=first.frame)
    at_once = tasksel.select(pool, budget=sum(budgets), strategy=strategy, base=base)
    assert counts(first, second) == counts(at_once)


def test_k_center_starts_from_what_is_labelled():
    pool = make_pool()
    vectors = vectors_of(pool)
    first = select(pool, 10, strategy="k-center")
    second = select(pool, 10, strategy="k-center", labelled=first.frame)
    rows, radii = tasksel_core.k_center_greedy(vectors, 20)
    assert np.concatenate([first.rows, second.rows]).tolist() == rows.tolist()
    assert second.manifest["figures"]["covering_radius"] == pytest.approx(float(radii[-1]))


@pytest.mark.parametrize("strategy", ["facility-location", "graph-cut", "idds"])
def test_greedy_orders_go_on_where_they_stopped(strategy):
    pool = make_pool()
    first = select(pool, 12, strategy=strategy)
    second = select(pool, 12, strategy=strategy, labelled=first.frame)
    assert (
        np.concatenate([first.rows, second.rows]).tolist()
        == select(pool, 24, strategy=strategy).rows.tolist()
    )


def test_within_tasks_k_center_goes_on_too():
    pool = make_pool()
    settings = {"strategy": "task-diversity", "within": "k-center", "base": 2}
    first = select(pool, 12, **settings)
    second = select(pool, 12, labelled=first.frame, **settings)
    at_once = select(pool, 24, **settings)
    assert set(first.rows) | set(second.rows) == set(at_once.rows)


def test_a_picker_of_another_package_never_sees_what_is_taken():
    seen = []

    def order(group):
        seen.append((group.n_rows, group.embeddings.ravel().tolist(), len(group.taken_rows)))
        return Ranking(np.arange(group.quota))

    group = PickingProblem(
        n_rows=4,
        quota=2,
        embeddings=np.arange(4, dtype=np.float32)[:, None],
        taken_rows=np.array([0, 2]),
    )
    ranking = order_rest(Picker("theirs", "", order, needs=frozenset({"embeddings"})), group)
    assert ranking.rows.tolist() == [1, 3]
    assert seen == [(2, [1.0, 3.0], 0)]


def test_only_rows_with_a_response_are_labelled(tmp_path):
    pool = make_pool()
    answered = pool.head(4).with_columns(response=pl.Series(["yes", " ", None, "no"]))
    path = tmp_path / "answers.parquet"
    answered.write_parquet(path)
    found = read_labelled(path, pool["id"])
    assert found.rows.tolist() == [0, 3]
    assert found.name == "answers.parquet"
    nobody = read_labelled(answered.with_columns(response=pl.lit(None, pl.String)), pool["id"])
    assert nobody.rows.tolist() == []
    assert tasksel.select(pool, budget=3, labelled=path).manifest["labelled"]["rows"] == 2


def test_a_run_folder_or_a_selection_is_read(tmp_path):
    pool = make_pool()
    first = tasksel.select(pool, budget=5, out=tmp_path / "first")
    assert read_labelled(tmp_path / "first", pool["id"]).rows.tolist() == sorted(first.rows.tolist())
    (tmp_path / "labels").mkdir()
    first.frame.with_columns(response=pl.lit("x")).write_parquet(tmp_path / "labels" / "labelled.parquet")
    assert len(read_labelled(tmp_path, pool["id"]).rows) == 5
    (tmp_path / "empty").mkdir()
    with pytest.raises(SchemaError, match="holds no labels; allowed: a run folder"):
        read_labelled(tmp_path / "empty", pool["id"])


def test_labels_of_other_prompts_are_told_or_refused():
    pool = make_pool()
    some = pl.DataFrame({"id": ["p1", "q7", "q8"], "prompt": ["a", "b", "c"]})
    chosen = tasksel.select(pool, budget=3, labelled=some)
    assert "2 labelled prompts are not in the pool and left out." in chosen.notes
    with pytest.raises(SchemaError, match="None of the 2 labelled prompts of <frame> is in the pool"):
        tasksel.select(pool, budget=3, labelled=some.filter(pl.col("id") != "p1"))


def test_when_all_is_labelled_nothing_is_left():
    pool = make_pool()
    with pytest.raises(BudgetError, match="Every prompt of the pool has a label already"):
        tasksel.select(pool, budget=3, labelled=pool)


def test_a_later_round_is_made_anew_from_its_labels(tmp_path):
    pool = make_pool()
    path = tmp_path / "pool.parquet"
    pool.write_parquet(path)
    first = tasksel.select(path, budget=5)
    second = tasksel.select(path, budget=5, labelled=first.frame, out=tmp_path / "second")
    saved = read_selection(tmp_path / "second")
    assert saved.allocation.equals(second.allocation)
    assert replay(saved, SelectionInputs(pool=path, labelled=first.frame)).manifest == second.manifest
    with pytest.raises(SchemaError, match="The labelled are not those"):
        replay(saved, SelectionInputs(pool=path, labelled=first.frame.head(2)))
    with pytest.raises(ConfigError, match=r"labelled before .* is not at hand: name it \(labelled=\)"):
        replay(saved, SelectionInputs(pool=path))
