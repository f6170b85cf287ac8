"""Explanations: every constructed failure is told, a healthy selection raises nothing, figures are right."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import tasksel
from tasksel.explanation import SIGNATURE_NAMES, explain
from tasksel.explanation_inputs import ExplainedRows
from tasksel.explanation_random import _confidence_difference
from tasksel.explanation_signature import BELOW
from tasksel.selection_files import read_selection
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

WEIGHTED = {"strategy": "weighted-task-diversity"}


def make_pool(sizes, *, nats=0.5, lengths=2, repeats=(), seed=0):
    """Make tasks of given sizes; each token of an answer costs `nats`, and answers have given lengths."""
    rng = np.random.default_rng(seed)
    n_tasks = len(sizes)
    task = np.repeat(np.arange(n_tasks), sizes)
    words = [f"word{number}" for number in range(2_000)]
    inputs = [" ".join(words[word] for word in rng.integers(0, len(words), 25)) for _ in task]
    for number in repeats:
        rows = np.flatnonzero(task == number)
        for row in rows[2:]:
            copied = inputs[rng.choice(rows[:2])].split(" ")
            copied[rng.integers(len(copied))] = words[rng.integers(len(words))]
            inputs[row] = " ".join(copied)
    costs = np.broadcast_to(nats, n_tasks)[task] * rng.lognormal(0, 0.2, len(task))
    tokens = np.broadcast_to(lengths, n_tasks)[task]
    return pl.DataFrame(
        {
            "id": [f"row-{row}" for row in range(len(task))],
            "task": [f"task-{number:02d}" for number in task],
            "prompt": [f"Answer this, please.\nInput: {text}\nOutput:\n" for text in inputs],
            "token_logprobs": [
                np.full(length, -cost).tolist() for length, cost in zip(tokens, costs, strict=True)
            ],
        },
        schema_overrides={"token_logprobs": pl.List(pl.Float32)},
    ).sample(fraction=1.0, shuffle=True, seed=seed)


def make_vectors(pool, *, n_dimensions=16, seed=0):
    """Make vectors around a centre a task."""
    rng = np.random.default_rng(seed)
    centers = 3 * rng.standard_normal((pool["task"].n_unique(), n_dimensions))
    task = pool["task"].rank("dense").to_numpy().astype(int) - 1
    return (centers[task] + rng.standard_normal((pool.height, n_dimensions))).astype(np.float32)


SKEWED = (np.geomspace(12, 120, 24)).astype(int)


@pytest.fixture(scope="module")
def healthy():
    rng = np.random.default_rng(5)
    pool = make_pool(rng.permutation(SKEWED), nats=rng.uniform(0.2, 0.9, 24), lengths=rng.integers(2, 4, 24))
    vectors = make_vectors(pool)
    selection = tasksel.select(pool, budget=240, scores=pool.select("id", "token_logprobs"), **WEIGHTED)
    return pool, vectors, selection


@pytest.fixture(scope="module")
def explained(healthy):
    pool, vectors, selection = healthy
    return explain(selection, pool=pool, scores=pool.select("id", "token_logprobs"), embeddings=vectors)


def by_name(found):
    return {each.name: each for each in found.signatures}


def test_a_healthy_selection_raises_nothing_and_everything_is_measured(explained):
    assert [each.name for each in explained.signatures] == list(SIGNATURE_NAMES)
    assert explained.raised == ()
    assert all(each.value is not None for each in explained.signatures)
    assert explained.notes == ()
    assert explained.headline.endswith("No failure signature is raised.")


@pytest.mark.parametrize("seed", range(4))
def test_the_default_rule_on_a_skewed_pool_raises_nothing(seed):
    pool = make_pool(SKEWED, seed=seed).drop("token_logprobs")
    found = explain(tasksel.select(pool, budget=200, seed=seed), pool=pool)
    assert found.raised == ()
    assert [each.name for each in found.signatures if each.value is None] == [
        "confidence-is-length",
        "confidence-is-size",
    ]
    assert "2 of 6 were not measured" in found.headline


def length_world():
    lengths = np.arange(4, 64, 2)
    return make_pool([60] * 30, nats=0.02, lengths=lengths), {"budget": 200, **WEIGHTED}


FAILURES = {
    "cap-dominated": lambda: (
        make_pool([10] * 8 + [150] * 16, nats=[1.5] * 8 + [0.3] * 16),
        {"budget": 300, **WEIGHTED},
    ),
    "redundant-heavy-tasks": lambda: (
        make_pool([80] * 24, nats=[1.0] * 8 + [0.3] * 16, repeats=range(8)),
        {"budget": 240, **WEIGHTED},
    ),
    "confidence-is-length": length_world,
    "confidence-is-size": lambda: (
        make_pool(np.geomspace(20, 200, 24).astype(int), nats=np.geomspace(0.1, 0.9, 24)),
        {"budget": 200, **WEIGHTED},
    ),
    "few-effective-tasks": lambda: (
        make_pool([200] * 24, nats=[6.0] * 3 + [0.2] * 21),
        {"budget": 300, **WEIGHTED},
    ),
    "like-random": lambda: (make_pool([60] * 24), {"budget": 240}),
}


@pytest.mark.parametrize("name", SIGNATURE_NAMES)
def test_a_constructed_failure_is_raised(name):
    pool, settings = FAILURES[name]()
    scores = pool.select("id", "token_logprobs")
    found = explain(
        tasksel.select(pool, scores=scores if "strategy" in settings else None, **settings),
        pool=pool,
        scores=scores,
    )
    raised = by_name(found)[name]
    assert raised.is_raised, raised
    assert (raised.value < raised.threshold) == (name in BELOW)
    assert name in found.headline
    assert raised.advice.endswith(".")


def test_confidence_that_no_rule_uses_raises_nothing():
    pool, _ = length_world()
    found = explain(tasksel.select(pool, budget=300), pool=pool, scores=pool.select("id", "token_logprobs"))
    signature = by_name(found)["confidence-is-length"]
    assert signature.value > signature.threshold
    assert not signature.is_raised
    assert found.figures["moved_by_caps"] == 0.0
    assert "task-diversity does not use the confidence" in signature.sentence


def test_length_normalised_confidence_takes_the_length_out():
    rng = np.random.default_rng(0)
    pool = make_pool([60] * 30, nats=rng.uniform(0.1, 1.0, 30), lengths=np.arange(4, 64, 2))
    settings = {"budget": 300, "metric": "length-normalized", **WEIGHTED}
    scores = pool.select("id", "token_logprobs")
    found = explain(tasksel.select(pool, scores=scores, **settings), pool=pool, scores=scores)
    assert abs(by_name(found)["confidence-is-length"].value) < 0.5


def test_caps_are_measured_against_the_quotas_that_weights_alone_would_give():
    frame = pl.DataFrame(
        {"task": ["hard"] * 10 + ["easy"] * 90, "prompt": [f"question {row}" for row in range(100)]}
    ).with_columns(confidence=pl.when(pl.col("task") == "hard").then(0.1).otherwise(0.9))
    found = explain(tasksel.select(frame, budget=40, base=0, **WEIGHTED))
    # Weights 0.9 and 0.1: 36 labels for the hard task, which has 10.
    assert found.figures["moved_by_caps"] == pytest.approx(26 / 40)
    assert found.figures["capped_pick_share"] == pytest.approx(10 / 40)


def test_the_table_of_tasks_agrees_with_plain_numpy(healthy, explained):
    pool, vectors, selection = healthy
    row = explained.tasks.sort("picked", descending=True).row(0, named=True)
    members = np.flatnonzero((pool["task"] == row["task"]).to_numpy())
    picked = np.array([each for each in selection.rows if each in set(members.tolist())])
    lists = pool["token_logprobs"].gather(members).to_list()
    assert row["answer_tokens"] == pytest.approx(np.mean([len(each) for each in lists]))
    logs = np.sort([sum(each) for each in lists])
    assert row["log_confidence_median"] in logs.astype(np.float32).astype(float) or any(
        row["log_confidence_median"] == pytest.approx(each, abs=1e-5) for each in logs
    )
    assert row["confidence_q25"] <= row["confidence_median"] <= row["confidence_q75"]
    units = vectors[picked] / np.linalg.norm(vectors[picked], axis=1, keepdims=True)
    distances = ((units[:, None] - units[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert row["redundancy"] == pytest.approx(1 - distances.min(axis=1).mean() / 2, abs=1e-4)
    assert 0 < row["pool_redundancy"] <= 1
    to_labels = np.linalg.norm(vectors[members][:, None] - vectors[selection.rows][None], axis=2)
    assert row["covering_radius"] == pytest.approx(to_labels.min(axis=1).max(), rel=1e-5)


def test_the_covering_curve_goes_on_beyond_the_budget(healthy, explained):
    pool, vectors, _ = healthy
    whole = tasksel.select(
        pool, budget=pool.height, scores=pool.select("id", "token_logprobs"), **WEIGHTED
    ).rows
    assert explained.covering["labels"].to_list() == list(range(1, min(1240, pool.height) + 1))
    for labels in (1, 100, 240, 600):
        distances = np.linalg.norm(vectors[:, None] - vectors[whole[:labels]][None], axis=2)
        radius = explained.covering["radius"][labels - 1]
        assert radius == pytest.approx(distances.min(axis=1).max(), rel=1e-5)
    assert explained.figures["covering_radius"] == explained.covering["radius"][239]


def test_the_curve_ends_at_the_budget_where_a_larger_selection_is_another_one(healthy):
    pool, vectors, _ = healthy
    scores = pool.select("id", "token_logprobs")
    selection = tasksel.select(pool, budget=201, scores=scores, rounding="paper", **WEIGHTED)
    found = explain(selection, pool=pool, scores=scores, embeddings=vectors)
    assert found.covering.height == 201
    assert any("ends at the budget" in note for note in found.notes)


def test_a_picker_that_spreads_is_not_like_random_where_the_tasks_are():
    pool = make_pool([100] * 8).drop("token_logprobs")
    vectors = make_vectors(pool, n_dimensions=4)
    spread = tasksel.select(pool, budget=40, within="k-center", embeddings=vectors)
    without_vectors = by_name(explain(spread, pool=pool))["like-random"]
    assert without_vectors.value is None
    assert "embeddings" in without_vectors.sentence
    least = tasksel.select(
        pool.with_columns(confidence=np.linspace(0.1, 0.9, pool.height)),
        budget=80,
        strategy="least-confident",
    )
    frame = pool.with_columns(confidence=np.linspace(0.1, 0.9, pool.height))
    found = by_name(explain(least, pool=frame))["like-random"]
    assert not found.is_raised
    assert "most in its confidences" in found.sentence


def test_random_is_like_random_and_is_its_own_random_selection(healthy):
    pool, vectors, _ = healthy
    found = explain(tasksel.select(pool, budget=240, strategy="random"), pool=pool, embeddings=vectors)
    assert by_name(found)["like-random"].is_raised
    assert found.figures["shared_with_random"] == 240
    assert found.figures["shared_by_chance"] == pytest.approx(240**2 / pool.height)


def test_what_is_not_at_hand_is_said(healthy):
    _, _, selection = healthy
    found = explain(selection)
    assert found.covering is None
    assert found.tasks["covering_radius"].null_count() == found.tasks.height
    assert found.tasks["confidence"].null_count() == 0  # the selection has it
    text = " ".join(found.notes)
    assert "Only the selected prompts were measured: the pool is not at hand; name it with --pool" in text
    assert "--embeddings" in text
    assert by_name(found)["confidence-is-size"].value is not None


def test_tasks_whose_vectors_are_alike_are_said_to_be_unmeasured(healthy):
    pool, vectors, selection = healthy
    found = explain(selection, pool=pool, embeddings=np.ones_like(vectors))
    (note,) = [note for note in found.notes if "hardly tell their prompts apart" in note]
    assert note.startswith("The vectors of 24 of 24 tasks, 'task-00' among them, ")


def test_what_is_no_selection_and_other_vectors_are_refused(healthy):
    pool, vectors, _ = healthy
    with pytest.raises(ConfigError, match="cannot be read from int; allowed are a folder that"):
        explain(3)
    chosen = tasksel.select(pool, budget=30, within="k-center", embeddings=vectors)
    with pytest.raises(SchemaError, match="The embeddings are not those that"):
        explain(chosen, pool=pool, embeddings=vectors + 1)


def test_a_strategy_that_is_not_installed_used_what_its_manifest_has():
    manifest = {"scores": None, "embeddings": {"sha256": "0"}}
    saved = SimpleNamespace(settings={"strategy": "of-another-package"}, manifest=manifest)
    rows = SimpleNamespace(saved=saved)
    used = [ExplainedRows.uses(rows, need) for need in ("tasks", "confidence", "embeddings")]
    assert used == [True, False, True]


def test_prompts_without_a_confidence_are_not_compared_with_random_ones():
    scores = SimpleNamespace(log_confidence=np.array([np.nan, -1.0, -2.0]))
    rows = SimpleNamespace(scores=scores, picked_rows=np.array([0]))
    assert _confidence_difference(rows) is None
    rows.picked_rows = np.array([0, 1])
    assert _confidence_difference(rows) >= 0.0


def test_inputs_beside_the_selection_are_found(healthy, tmp_path):
    pool, vectors, _ = healthy
    pool.drop("token_logprobs").write_parquet(tmp_path / "pool.parquet")
    pool.select("id", "token_logprobs").write_parquet(tmp_path / "scored.parquet")
    np.save(tmp_path / "embeddings.npy", vectors)
    tasksel.select(
        tmp_path / "pool.parquet",
        budget=240,
        scores=tmp_path / "scored.parquet",
        out=tmp_path / "chosen",
        **WEIGHTED,
    )
    found = explain(tmp_path / "chosen", scores=tmp_path / "scored.parquet")
    assert found.notes == ()
    assert found.covering.height == min(1240, pool.height)
    assert explain(read_selection(tmp_path / "chosen")).tasks["redundancy"].null_count() == 0


def test_a_foreign_input_is_refused_if_named_and_left_out_if_found(healthy, tmp_path):
    pool, _, selection = healthy
    other = pool.head(100)
    with pytest.raises(SchemaError, match="is not the pool that"):
        explain(selection, pool=other)
    selection.save(tmp_path / "chosen")
    other.drop("token_logprobs").write_parquet(tmp_path / "pool.parquet")
    found = explain(tmp_path / "chosen")
    assert any("is not the pool" in note for note in found.notes)
    changed = pool.select("id", "token_logprobs").with_columns(pl.col("token_logprobs").list.head(1))
    with pytest.raises(SchemaError, match="scores"):
        explain(selection, pool=pool, scores=changed)


def test_a_changed_selection_is_refused(healthy, tmp_path):
    healthy[2].save(tmp_path / "chosen")
    (tmp_path / "chosen" / "allocation.csv").write_text("task\n", encoding="utf-8")
    with pytest.raises(ResumeError, match="not as it was written"):
        explain(tmp_path / "chosen")
    with pytest.raises(ConfigError, match="holds no finished selection"):
        explain(tmp_path)
    shutil.rmtree(tmp_path / "chosen")
    with pytest.raises(ConfigError):
        explain(tmp_path / "chosen")


def test_vectors_that_are_not_finite_are_refused_or_left_out(healthy, tmp_path):
    pool, vectors, selection = healthy
    broken = vectors.copy()
    broken[7, 3] = np.nan
    with pytest.raises(SchemaError, match="NaN or infinity in row 7"):
        explain(selection, pool=pool, embeddings=broken)
    selection.save(tmp_path / "chosen")
    np.save(tmp_path / "embeddings.npy", broken)
    assert any("row 7" in note for note in explain(tmp_path / "chosen", pool=pool).notes)


def test_the_account_is_json_without_nan(healthy, explained):
    account = json.loads(json.dumps(explained.to_dict(), allow_nan=False))
    assert len(account["covering"]) <= 400
    assert account["covering"][-1]["labels"] == explained.covering.height
    assert len(account["tasks"]) == explained.tasks.height
    pool, _, _ = healthy
    zero = pool.drop("token_logprobs").with_columns(confidence=0.0)
    found = explain(tasksel.select(zero, budget=40, strategy="least-confident"), pool=zero)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_explanation(healthy, explained):
    pool, vectors, selection = healthy
    again = explain(selection, pool=pool, scores=pool.select("id", "token_logprobs"), embeddings=vectors)
    assert again.to_dict() == explained.to_dict()


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"prompt": ["only one"]}),
        pl.DataFrame({"prompt": [f"prompt {row}" for row in range(5)]}),
        pl.DataFrame({"task": list("abcde"), "prompt": [f"prompt {row}" for row in range(5)]}),
        pl.DataFrame({"task": ["a", None, "b"], "prompt": ["same", "same", "same"]}),
        pl.DataFrame({"task": ["\x1b[31m", "<script>"], "prompt": ["x" * 26_000, "\x00"]}),
    ],
    ids=["one row", "no tasks", "one-row tasks", "null task", "hostile"],
)
@pytest.mark.parametrize("budget", [1, 100])
def test_small_and_odd_pools(frame, budget):
    strategy = "task-diversity" if "task" in frame.columns else "random"
    selection = tasksel.select(frame, budget=budget, strategy=strategy)
    vectors = np.eye(frame.height, 3, dtype=np.float32)
    found = explain(selection, pool=frame, embeddings=vectors)
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(found.signatures) == len(SIGNATURE_NAMES)
    assert found.tasks.height == selection.allocation.height
