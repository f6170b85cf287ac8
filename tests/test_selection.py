import csv
import hashlib
import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasksel
import tasksel_core
from tasksel.csv_cells import undefused_texts
from tasksel.findings import effective_number
from tasksel.selection_files import read_selection
from tasksel_core.errors import BudgetError, ConfigError, SchemaError, UnknownStrategyError

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SIZES = {"alpha": 40, "beta": 12, "gamma": 6, "delta": 1}


def make_pool(*, confidence: bool = True, shuffle_seed: int = 3) -> pl.DataFrame:
    tasks = [name for name, size in SIZES.items() for _ in range(size)]
    level = {"alpha": 0.9, "beta": 0.5, "gamma": 0.1, "delta": 0.7}
    frame = pl.DataFrame(
        {
            "id": [f"{task}-{row}" for row, task in enumerate(tasks)],
            "task": tasks,
            "prompt": [f"{task} prompt {row}" for row, task in enumerate(tasks)],
            "origin": list(range(len(tasks))),
        }
    )
    if confidence:
        frame = frame.with_columns(confidence=pl.col("task").replace_strict(level))
    return frame.sample(fraction=1.0, shuffle=True, seed=shuffle_seed)


def quotas(selection: tasksel.Selection) -> dict[str, int]:
    return dict(selection.allocation.select("task", "quota").iter_rows())


def test_rows_frame_and_allocation_agree() -> None:
    pool = make_pool()
    selection = tasksel.select(pool, budget=24, strategy="weighted-task-diversity")
    assert selection.frame["id"].to_list() == pool[selection.rows]["id"].to_list()
    assert selection.frame["rank"].to_list() == list(range(1, 25))
    assert selection.frame.columns == [*pool.columns, "rank"]
    counted = dict(selection.frame.group_by("task").len().iter_rows())
    assert counted == {task: quota for task, quota in quotas(selection).items() if quota}
    assert selection.allocation.columns[:8] == [
        "task",
        "available",
        "confidence",
        "weight",
        "base",
        "quota",
        "picked",
        "capped",
    ]
    assert selection.allocation["weight"].sum() == pytest.approx(1.0)
    assert selection.allocation.filter("capped")["task"].to_list() == ["delta", "gamma"]


def test_the_least_confident_task_weighs_most() -> None:
    selection = tasksel.select(make_pool(), budget=24, strategy="weighted-task-diversity", base=1)
    weights = dict(selection.allocation.select("task", "weight").iter_rows())
    assert weights["gamma"] == pytest.approx(9 * weights["alpha"])
    assert quotas(selection)["gamma"] == 6


@pytest.mark.parametrize(
    "strategy", ["random", "task-diversity", "weighted-task-diversity", "least-confident"]
)
def test_a_smaller_budget_selects_a_prefix(strategy: str) -> None:
    whole = tasksel.select(make_pool(), budget=59, strategy=strategy).frame["id"].to_list()
    for budget in (1, 5, 20, 58):
        chosen = tasksel.select(make_pool(), budget=budget, strategy=strategy).frame["id"].to_list()
        assert chosen == whole[:budget]


def test_the_default_needs_neither_scores_nor_embeddings() -> None:
    selection = tasksel.select(make_pool(confidence=False), budget=10)
    assert selection.manifest["settings"]["strategy"] == "task-diversity"
    assert selection.manifest["scores"] is None
    assert selection.manifest["embeddings"] is None
    assert quotas(selection) == {"alpha": 3, "beta": 3, "delta": 1, "gamma": 3}


def test_same_inputs_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    make_pool().write_parquet(tmp_path / "pool.parquet")
    for name in ("first", "second"):
        tasksel.select(
            tmp_path / "pool.parquet",
            budget=20,
            strategy="weighted-task-diversity",
            seed=7,
            out=tmp_path / name,
        )
    for file in ("selected.parquet", "selected.jsonl", "allocation.csv", "manifest.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_files_say_the_same_as_the_selection(tmp_path: Path) -> None:
    selection = tasksel.select(
        make_pool(), budget=20, strategy="weighted-task-diversity", out=tmp_path / "out"
    )
    assert pl.read_parquet(tmp_path / "out" / "selected.parquet").equals(selection.frame)
    lines = (tmp_path / "out" / "selected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == selection.frame["id"].to_list()
    with (tmp_path / "out" / "allocation.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["task"]: int(row["quota"]) for row in rows} == quotas(selection)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["base"] == 5
    assert manifest["figures"] == selection.manifest["figures"]
    assert set(manifest["files"]) == {"selected.parquet", "selected.jsonl", "allocation.csv"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "allocation.csv",
        "manifest.json",
        "selected.jsonl",
        "selected.parquet",
    ]


def test_text_that_breaks_formats_survives_the_files(tmp_path: Path) -> None:
    hostile = ["a,b\r\nc\rd", 'quo"te', "nul\x00\x1b[31m", "astral \U0001f600 \u2028", "=cmd()", ""]
    pool = pl.DataFrame({"task": hostile, "prompt": hostile})
    selection = tasksel.select(pool, budget=6, base=1, out=tmp_path)
    assert sorted(pl.read_parquet(tmp_path / "selected.parquet")["prompt"]) == sorted(hostile)
    lines = (tmp_path / "selected.jsonl").read_bytes().decode().split("\n")[:-1]
    assert sorted(json.loads(line)["prompt"] for line in lines) == sorted(hostile)
    # Not the csv module: that of Python 3.10 refuses NUL.
    allocation = pl.read_csv(tmp_path / "allocation.csv", infer_schema=False, empty_string_is_null=False)
    assert "'=cmd()" in allocation["task"]
    assert undefused_texts(allocation)["task"].to_list() == selection.allocation["task"].to_list()
    read_back = read_selection(tmp_path).allocation
    assert read_back["task"].to_list() == selection.allocation["task"].to_list()


def test_bytes_dates_and_nested_columns_reach_the_jsonl(tmp_path: Path) -> None:
    rows = {
        "prompt": ["p"],
        "raw": [b"\x00\xff"],
        "image": [{"path": "a.png", "bytes": b"\x89PNG"}],
        "when": [date(2026, 1, 2)],
        "nested": [{"a": [1]}],
    }
    tasksel.select(pl.DataFrame(rows), budget=1, strategy="random", out=tmp_path)
    line = json.loads((tmp_path / "selected.jsonl").read_text())
    assert (line["raw"], line["when"], line["nested"]) == ("AP8=", "2026-01-02", {"a": [1]})
    assert line["image"] == {"path": "a.png", "bytes": "iVBORw=="}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"path": "a.png", "bytes": b"\x00\xff"}, {"path": "a.png", "bytes": "AP8="}),
        ([b"\x00\xff"], ["AP8="]),
        ([[{"a": {"bytes": b"\x00\xff"}}]], [[{"a": {"bytes": "AP8="}}]]),
    ],
    ids=["object", "list", "deep"],
)
def test_bytes_in_a_nested_column_alone_reach_the_jsonl(
    tmp_path: Path, value: object, written: object
) -> None:
    pool = pl.DataFrame({"prompt": ["p"], "value": [value]})
    tasksel.select(pool, budget=1, strategy="random", out=tmp_path)
    assert json.loads((tmp_path / "selected.jsonl").read_text())["value"] == written


def test_a_column_named_rank_is_kept_under_another_name() -> None:
    pool = make_pool().with_columns(rank=pl.lit("gold"))
    frame = tasksel.select(pool, budget=2).frame
    assert frame["pool_rank"].to_list() == ["gold", "gold"]
    assert frame["rank"].to_list() == [1, 2]


def test_the_order_of_the_pool_does_not_change_the_quotas() -> None:
    first = tasksel.select(make_pool(shuffle_seed=1), budget=25, strategy="weighted-task-diversity")
    second = tasksel.select(make_pool(shuffle_seed=2), budget=25, strategy="weighted-task-diversity")
    assert quotas(first) == quotas(second)


def test_concentrated_weights_are_shown_with_the_remedies() -> None:
    pool = make_pool(confidence=False).with_columns(
        token_logprobs=pl.when(task="gamma").then(pl.lit([-1.0] * 400)).otherwise(pl.lit([-0.2]))
    )
    chosen = tasksel.select(pool, budget=30, strategy="weighted-task-diversity")
    (note,) = [note for note in chosen.notes if "nearly all the weight" in note]
    assert "'gamma' holds 100.0%" in note
    assert "--metric length-normalized" in note
    assert "--max-weight-ratio" in note
    assert chosen.manifest["figures"]["largest_weight_share"] == pytest.approx(1.0)
    remedied = tasksel.select(
        pool, budget=30, strategy="weighted-task-diversity", metric="length-normalized", max_weight_ratio=10
    )
    assert not any("nearly all the weight" in note for note in remedied.notes)


def test_tasks_without_a_scored_example_are_told() -> None:
    pool = make_pool().with_columns(confidence=pl.when(pl.col("task") != "gamma").then("confidence"))
    notes = tasksel.select(pool, budget=30, strategy="weighted-task-diversity").notes
    (note,) = [note for note in notes if "no scored example" in note]
    n_tasks = pool["task"].n_unique()
    assert note.startswith(f"1 of {n_tasks} tasks have no scored example; they get the geometric mean of ")


def test_a_budget_within_the_base_is_told() -> None:
    notes = tasksel.select(make_pool(), budget=12, strategy="weighted-task-diversity").notes
    assert any("weights cannot matter" in note for note in notes)
    notes = tasksel.select(make_pool(), budget=40, strategy="weighted-task-diversity").notes
    assert not any("weights cannot matter" in note for note in notes)


def test_equal_weights_and_whole_pools_are_not_told_that_weights_cannot_matter() -> None:
    uniform = tasksel.select(make_pool(), budget=12, strategy="task-diversity")
    whole = tasksel.select(make_pool(), budget=59, strategy="weighted-task-diversity", base=100)
    for selection in (uniform, whole):
        assert not any("weights cannot matter" in note for note in selection.notes)


def test_a_budget_over_the_pool_selects_all_and_says_so() -> None:
    selection = tasksel.select(make_pool(), budget=1000)
    assert selection.frame.height == 59
    assert any("1,000 is more than the pool's 59" in note for note in selection.notes)


def test_scores_that_the_strategy_does_not_use_are_told() -> None:
    notes = tasksel.select(make_pool(), budget=30, scores=make_pool().select("id", "confidence")).notes
    assert any("does not use the scores" in note for note in notes)


def test_k_center_over_a_column_and_its_radius(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(59, 4)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    pool = make_pool()
    from_file = tasksel.select(pool, budget=9, strategy="k-center", embeddings=tmp_path / "vectors.npy")
    from_column = tasksel.select(
        pool.with_columns(v=pl.Series(vectors)), budget=9, strategy="k-center", embeddings="v"
    )
    assert from_file.rows.tolist() == from_column.rows.tolist()
    hashed = hashlib.sha256(vectors.tobytes()).hexdigest()
    for selection in (from_file, from_column):
        assert selection.manifest["embeddings"] == {"dimensions": 4, "sha256": hashed}
    centers = vectors[from_file.rows]
    radius = np.sqrt(((vectors[:, None] - centers) ** 2).sum(-1)).min(1).max()
    assert from_file.manifest["figures"]["covering_radius"] == pytest.approx(radius, rel=1e-5)


def test_the_picker_decides_which_rows_of_a_task_and_not_how_many() -> None:
    pool = make_pool().with_columns(confidence=pl.col("origin") / 100)
    plain = tasksel.select(pool, budget=24)
    chosen = tasksel.select(pool, budget=24, within="least-confident")
    assert quotas(chosen) == quotas(plain)
    assert chosen.frame["task"].to_list() == plain.frame["task"].to_list()
    for task, quota in quotas(chosen).items():
        lowest = pool.filter(pl.col("task") == task).sort("origin").head(quota)
        assert chosen.frame.filter(pl.col("task") == task)["id"].to_list() == lowest["id"].to_list()
    assert chosen.manifest["settings"]["within"] == "least-confident"
    assert chosen.manifest["settings"]["within_metric"] == "ready-made"
    assert plain.manifest["settings"]["within"] == "random"


def test_k_center_within_tasks_needs_one_vector_a_row() -> None:
    vectors = np.random.default_rng(0).normal(size=(59, 4)).astype(np.float32)
    pool = make_pool().with_columns(v=pl.Series(vectors))
    chosen = tasksel.select(pool, budget=24, within="k-center", embeddings="v")
    rows = np.flatnonzero(pool["task"] == "alpha")
    taken = chosen.rows[pool["task"].to_numpy()[chosen.rows] == "alpha"]
    picks, _ = tasksel_core.k_center_greedy(vectors[rows], len(taken))
    assert taken.tolist() == rows[picks].tolist()
    with pytest.raises(ConfigError, match=r"k-center needs embeddings.*--embeddings"):
        tasksel.select(pool, budget=24, within="k-center")


def test_a_picker_needs_confidence_though_the_strategy_does_not() -> None:
    with pytest.raises(ConfigError, match=r"least-confident needs the model's confidence.*--scores"):
        tasksel.select(make_pool(confidence=False), budget=24, within="least-confident")
    scores = make_pool().select("id", "confidence")
    chosen = tasksel.select(make_pool(confidence=False), budget=24, within="least-confident", scores=scores)
    assert not any("does not use the scores" in note for note in chosen.notes)


@pytest.mark.parametrize("strategy", ["random", "k-center", "least-confident"])
def test_a_strategy_without_allocation_takes_no_picker(strategy: str) -> None:
    with pytest.raises(
        ConfigError, match=f"{strategy} does not allocate over tasks; strategies that take it: size"
    ):
        tasksel.select(make_pool(), budget=5, strategy=strategy, within="k-center")
    if strategy != "k-center":
        tasksel.select(make_pool(), budget=5, strategy=strategy, within="random")


def token_pool() -> pl.DataFrame:
    rng = np.random.default_rng(4)
    lengths = rng.integers(1, 6, 59)
    return make_pool(confidence=False).with_columns(
        token_logprobs=pl.Series([(-rng.exponential(size=n)).tolist() for n in lengths]),
        token_entropy=pl.Series([rng.exponential(size=n).tolist() for n in lengths]),
        token_margin=pl.Series([rng.random(n).tolist() for n in lengths]),
    )


NAIVE_CONFIDENCES = {
    "max-token-uncertainty": ("min-token", pl.col("token_logprobs").list.min()),
    "min-margin": ("min-margin", pl.col("token_margin").list.min()),
    "mean-entropy": ("entropy", -pl.col("token_entropy").list.mean()),
    "normalized-sequence-probability": ("length-normalized", pl.col("token_logprobs").list.mean()),
    "least-confident": ("product", pl.col("token_logprobs").list.sum()),
}


@pytest.mark.parametrize("name", NAIVE_CONFIDENCES)
def test_published_uncertainties_use_the_metric_that_they_are_defined_with(name: str) -> None:
    metric, confidence = NAIVE_CONFIDENCES[name]
    chosen = tasksel.select(token_pool(), budget=30, strategy=name)
    expected = token_pool().sort(confidence, maintain_order=True)["id"].head(30)
    assert chosen.frame["id"].to_list() == expected.to_list()
    assert chosen.manifest["settings"]["metric"] == metric


@pytest.mark.parametrize("name", NAIVE_CONFIDENCES)
def test_weights_and_picker_each_have_their_metric(name: str) -> None:
    metric, confidence = NAIVE_CONFIDENCES[name]
    settings = {"budget": 30, "strategy": "weighted-task-diversity"}
    plain = tasksel.select(token_pool(), **settings)
    chosen = tasksel.select(token_pool(), within=name, **settings)
    assert chosen.allocation.equals(plain.allocation)
    assert chosen.manifest["settings"]["metric"] == "product"
    assert chosen.manifest["settings"]["within_metric"] == metric
    for task, quota in quotas(chosen).items():
        expected = (
            token_pool().filter(pl.col("task") == task).sort(confidence, maintain_order=True).head(quota)
        )
        assert chosen.frame.filter(pl.col("task") == task)["id"].to_list() == expected["id"].to_list()


def test_the_metric_given_is_that_of_the_weights_and_of_pickers_without_one() -> None:
    settings = {"budget": 30, "strategy": "weighted-task-diversity", "metric": "length-normalized"}
    plain = tasksel.select(token_pool(), **settings)
    for within, metric in (("least-confident", "length-normalized"), ("min-margin", "min-margin")):
        chosen = tasksel.select(token_pool(), within=within, **settings)
        assert chosen.allocation.equals(plain.allocation)
        assert chosen.manifest["settings"]["within_metric"] == metric


def test_only_the_pickers_metric_is_read_where_the_strategy_needs_none() -> None:
    pool = token_pool().drop("token_logprobs", "token_entropy")
    chosen = tasksel.select(pool, budget=30, within="min-margin")
    assert chosen.manifest["settings"]["metric"] == "min-margin"
    with pytest.raises(SchemaError, match="'product' needs column 'token_logprobs'"):
        tasksel.select(pool, budget=30, within="min-margin", strategy="weighted-task-diversity")


def test_scores_given_are_read_by_each_metric(tmp_path: Path) -> None:
    token_pool().drop("task", "prompt", "origin").reverse().write_parquet(tmp_path / "scores.parquet")
    settings = {"budget": 30, "strategy": "weighted-task-diversity", "within": "mean-entropy"}
    given = tasksel.select(make_pool(confidence=False), scores=tmp_path / "scores.parquet", **settings)
    assert given.frame["id"].to_list() == tasksel.select(token_pool(), **settings).frame["id"].to_list()


@pytest.mark.parametrize(
    "settings", [{"strategy": "min-margin"}, {"within": "min-margin"}, {"strategy": "mean-entropy"}]
)
def test_a_finished_confidence_cannot_stand_for_token_values(settings: dict[str, str]) -> None:
    name = settings.get("within", settings.get("strategy"))
    with pytest.raises(ConfigError, match=rf"{name} is defined with metric .*only a finished confidence"):
        tasksel.select(make_pool(), budget=30, **settings)


def test_another_metric_than_the_strategys_own_is_refused() -> None:
    with pytest.raises(ConfigError, match="min-margin is defined with metric 'min-margin', not 'entropy'"):
        tasksel.select(token_pool(), budget=30, strategy="min-margin", metric="entropy")
    tasksel.select(token_pool(), budget=30, strategy="min-margin", metric="min-margin")


def test_options_reach_the_strategy_and_the_manifest() -> None:
    vectors = np.random.default_rng(0).normal(size=(59, 4)).astype(np.float32)
    settings = {"budget": 20, "strategy": "idds", "embeddings": vectors}
    plain = tasksel.select(make_pool(), **settings)
    other = tasksel.select(make_pool(), options={"trade_off": 0.1}, **settings)
    assert plain.manifest["settings"]["options"] == {"trade_off": 0.667}
    assert other.manifest["settings"]["options"] == {"trade_off": 0.1}
    assert plain.rows.tolist() != other.rows.tolist()
    within = tasksel.select(
        make_pool(), budget=20, within="idds", embeddings=vectors, options={"trade_off": "0.1"}
    )
    assert within.manifest["settings"]["options"] == {"trade_off": 0.1}
    with pytest.raises(ConfigError, match="Option trade_off is 2; allowed: a number from 0 to 1"):
        tasksel.select(make_pool(), options={"trade_off": 2}, **settings)


def test_where_a_picker_decides_little_is_told() -> None:
    def notes(budget: int, pool: pl.DataFrame) -> str:
        return " ".join(tasksel.select(pool, budget=budget, within="least-confident").notes)

    assert "decides nothing but the order" in notes(59, make_pool())
    assert "--within" not in notes(3, make_pool())
    assert "--within" not in notes(24, make_pool())
    one_each = tasksel.select(
        make_pool(), budget=3, within="k-center", embeddings=np.eye(59, dtype=np.float32)
    )
    assert "more than one prompt, so --within k-center cannot spread them" in " ".join(one_each.notes)
    missing = make_pool().with_columns(confidence=pl.when(pl.col("origin") != 3).then("confidence"))
    assert "1 prompt has no confidence; --within least-confident puts such prompts last" in notes(24, missing)


def test_prompts_selected_without_a_confidence_are_told() -> None:
    pool = make_pool().with_columns(confidence=pl.when(pl.col("origin") < 30).then("confidence"))
    for budget, sentence in ((30, ""), (31, "1 prompt selected has"), (40, "10 prompts selected have")):
        notes = tasksel.select(pool, budget=budget, strategy="least-confident").notes
        found = [note for note in notes if "puts such prompts last, in the pool's order" in note]
        assert found == ([] if not sentence else [next(note for note in notes if sentence in note)])


def test_prompts_that_add_nothing_are_told() -> None:
    vectors = np.eye(3, dtype=np.float32)[np.arange(59) % 3]
    chosen = tasksel.select(make_pool(), budget=10, strategy="facility-location", embeddings=vectors)
    assert "Only 3 of the 10 prompts raise what facility-location maximises" in " ".join(chosen.notes)
    assert chosen.manifest["figures"]["objective"] == pytest.approx(59)
    chosen = tasksel.select(make_pool(), budget=3, strategy="facility-location", embeddings=vectors)
    assert "maximises" not in " ".join(chosen.notes)


@pytest.mark.parametrize("kernel", ["facility_location", "graph_cut"])
def test_objectives_over_the_pool_and_inside_tasks_take_their_options(kernel: str) -> None:
    vectors = np.random.default_rng(0).random(size=(59, 4)).astype(np.float32)
    name, call = kernel.replace("_", "-"), getattr(tasksel_core, kernel)
    options = {"n_neighbours": 5} | ({"trade_off": 0.2} if kernel == "graph_cut" else {})
    chosen = tasksel.select(make_pool(), budget=9, strategy=name, embeddings=vectors, options=options)
    assert chosen.rows.tolist() == call(vectors, 9, **options)[0].tolist()
    pool = make_pool()
    chosen = tasksel.select(pool, budget=24, within=name, embeddings=vectors, options=options)
    rows = np.flatnonzero(pool["task"] == "alpha")
    taken = chosen.rows[pool["task"].to_numpy()[chosen.rows] == "alpha"]
    assert taken.tolist() == rows[call(vectors[rows], len(taken), **options)[0]].tolist()


def test_k_center_takes_a_pool_in_parts():
    embeddings = np.random.default_rng(3).standard_normal((300, 20), dtype=np.float32)
    pool = pl.DataFrame({"prompt": [f"prompt {row}" for row in range(300)]})
    chosen = tasksel.select(
        pool, budget=40, strategy="k-center", embeddings=embeddings, options={"partitions": "3"}
    )
    rows, radii = tasksel_core.k_center_greedy(embeddings, 40, partitions=3)
    np.testing.assert_array_equal(chosen.rows, rows)
    assert chosen.manifest["figures"]["covering_radius"] == radii[-1]
    assert chosen.manifest["settings"]["options"] == {"partitions": 3}
    with pytest.raises(ConfigError, match="partitions is '0'; allowed: a whole number of at least 1"):
        tasksel.select(
            pool, budget=40, strategy="k-center", embeddings=embeddings, options={"partitions": "0"}
        )


def test_embeddings_that_are_not_used_are_told() -> None:
    vectors = np.ones((59, 2), dtype=np.float32)
    notes = tasksel.select(make_pool(), budget=24, embeddings=vectors).notes
    assert "task-diversity does not use the embeddings; --within k-center does." in notes
    notes = tasksel.select(make_pool(), budget=24, strategy="random", embeddings=vectors).notes
    assert "random does not use the embeddings; --strategy k-center does." in notes


@pytest.mark.parametrize("budget", [0, -1, 2.5, True, "10", None])
def test_a_budget_that_is_no_count_is_refused(budget: object) -> None:
    with pytest.raises(BudgetError, match="budget is"):
        tasksel.select(make_pool(), budget=budget)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"strategy": "taskdiversity"}, UnknownStrategyError, "Did you mean 'task-diversity'"),
        ({"base": -1}, BudgetError, "base is -1"),
        ({"rounding": "up"}, ConfigError, "allowed: webster"),
        ({"strategy": "k-center"}, ConfigError, "needs embeddings"),
        ({"strategy": "weighted-task-diversity", "alpha": float("nan")}, ConfigError, "alpha"),
        ({"strategy": "weighted-task-diversity", "max_weight_ratio": 0.5}, ConfigError, "max_ratio"),
        ({"strategy": "weighted-task-diversity", "metric": "perplexity"}, ConfigError, "perplexity"),
        ({"metric": "perplexity"}, ConfigError, "'perplexity'; allowed are product"),
        ({"within": "kcenter"}, UnknownStrategyError, "Did you mean 'k-center'"),
        ({"options": {"trade_off": 1}}, ConfigError, "no option 'trade_off'"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"task_column": "tsk"}, SchemaError, "tsk"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(
    options: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        tasksel.select(make_pool(), budget=30, **options)


def test_a_pool_without_tasks_can_be_sampled_but_not_by_task() -> None:
    pool = make_pool(confidence=False).drop("task")
    assert tasksel.select(pool, budget=4, strategy="random").allocation["task"].to_list() == ["(all)"]
    with pytest.raises(SchemaError, match=r"task-diversity needs tasks.*--task-column"):
        tasksel.select(pool, budget=4)


def test_confidence_must_come_from_somewhere() -> None:
    with pytest.raises(ConfigError, match="--scores"):
        tasksel.select(make_pool(confidence=False), budget=30, strategy="weighted-task-diversity")


def test_the_pool_is_not_overwritten(tmp_path: Path) -> None:
    make_pool().write_parquet(tmp_path / "selected.parquet")
    before = (tmp_path / "selected.parquet").read_bytes()
    with pytest.raises(ConfigError, match="would overwrite"):
        tasksel.select(tmp_path / "selected.parquet", budget=3, out=tmp_path)
    assert (tmp_path / "selected.parquet").read_bytes() == before


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        tasksel.select(make_pool(), budget=3, out=tmp_path / "out")


def test_one_row_pools_work() -> None:
    pool = pl.DataFrame({"task": ["only"], "prompt": ["p"], "confidence": [0.0]})
    for strategy in (
        "random",
        "task-diversity",
        "weighted-task-diversity",
        "least-confident",
        "size-proportional",
    ):
        assert tasksel.select(pool, budget=1, strategy=strategy).frame.height == 1


@given(shares=st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_effective_number_lies_between_one_and_the_number_of_shares(shares: list[int]) -> None:
    effective = effective_number(np.array(shares))
    used = sum(share > 0 for share in shares)
    assert effective == 0 if used == 0 else 1 - 1e-9 <= effective <= used + 1e-9


@pytest.mark.skipif(
    not (SHARED / "ni_skewed.parquet").exists(), reason="needs ../shared/data/ni_skewed.parquet"
)
def test_real_text_with_148_uneven_tasks() -> None:
    pool = tasksel.load_pool(SHARED / "ni_skewed.parquet")
    chars = pool.frame["prompt"].str.len_chars().to_numpy()
    scores = pl.DataFrame({"id": pool.frame["id"], "log_confidence": -0.01 * chars})
    raw = tasksel.select(pool, budget=5000, scores=scores, strategy="weighted-task-diversity")
    capped = tasksel.select(
        pool, budget=5000, scores=scores, strategy="weighted-task-diversity", max_weight_ratio=10
    )
    assert raw.frame.height == capped.frame.height == 5000
    assert raw.allocation.filter(pl.col("picked") < pl.col("base")).is_empty()
    figures = capped.manifest["figures"]
    assert figures["effective_tasks_weight"] > raw.manifest["figures"]["effective_tasks_weight"]
