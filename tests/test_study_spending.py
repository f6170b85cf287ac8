"""How an arm spends its budget, without any training: models between rounds are played."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasksel.study.config import ArmConfig, RoundConfig, WorldConfig
from tasksel.study.draws import Draw
from tasksel.study.spending import find_needs, spend
from tasksel.study.worlds import open_world

N_TASKS = 6


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    world = open_world(WorldConfig("toy", report=(0,), n_tasks=N_TASKS, largest=40), Path())
    drawn = Draw(world, 0, tmp_path_factory.mktemp("draw"))
    drawn.prepare(frozenset({"scores", "embeddings", "losses", "ambiguity"}))
    return drawn


class Played:
    """Stands for a trained model: right in some tasks, otherwise as the base model."""

    def __init__(self, draw, right):
        self.draw, self.right, self.asked = draw, right, []

    def __call__(self, labelled, asked, label_noise):
        self.asked.append((labelled.copy(), asked.copy(), label_noise))
        self.rows = asked
        return self

    def read_generations(self, draw):
        pool = draw.pool.with_columns(base=self.draw.generations)[self.rows]
        is_right = pl.col("task").is_in(self.right)
        return pool.select(pl.when(is_right).then("response").otherwise("base").alias("generation"))[
            "generation"
        ]

    def read_scores(self, draw, metric):
        return draw.read_scores(metric)


class WithWrongBase:
    """Stands for a draw whose base model answers nothing right."""

    def __init__(self, draw):
        self.pool = draw.pool
        self.generations = pl.Series(["no answer at all"] * draw.pool.height)


def one(**settings):
    return ArmConfig("arm", (RoundConfig(**settings),))


def picked(draw, rows):
    return dict(draw.pool[rows]["task"].value_counts().iter_rows())


def untrained(*_):
    raise AssertionError("nothing should be trained")


@pytest.mark.parametrize("strategy", ["random", "task-diversity", "weighted-task-diversity", "k-center"])
def test_one_round_is_what_select_picks(draw, strategy):
    import tasksel

    rows = spend(draw, one(strategy=strategy), 20, untrained)
    chosen = tasksel.select(
        draw.prompts,
        budget=20,
        strategy=strategy,
        scores=draw.folder / "base",
        embeddings=draw.embeddings if strategy == "k-center" else None,
        seed=draw.seed,
    )
    assert rows.tolist() == chosen.rows.tolist()


def test_a_budget_beyond_the_pool_is_the_pool(draw):
    rows = spend(draw, one(), 10_000, untrained)
    assert sorted(rows.tolist()) == list(range(draw.pool.height))


def test_two_uniform_rounds_are_one(draw):
    rounds = (RoundConfig(share=0.5, base=0), RoundConfig(base=0))
    both = spend(draw, ArmConfig("two", rounds), 24, untrained)
    once = spend(draw, one(base=0), 24, untrained)
    assert len(set(both.tolist())) == 24
    assert picked(draw, both) == picked(draw, once)


@pytest.mark.parametrize("strategy", ["random", "least-confident"])
def test_a_later_round_of_what_does_not_allocate_chooses_among_the_rest_as_if_it_were_all(draw, strategy):
    import tasksel

    rounds = (RoundConfig(share=0.5, strategy=strategy), RoundConfig(strategy=strategy))
    rows = spend(draw, ArmConfig("two", rounds), 24, untrained)
    rest = np.setdiff1d(np.arange(draw.pool.height), rows[:12])
    ready = draw.prompts.with_columns(confidence=np.exp(draw.read_scores("product").log_confidence))
    chosen = tasksel.select(ready[rest], budget=12, strategy=strategy, seed=draw.seed)
    assert rows[12:].tolist() == rest[chosen.rows].tolist()


def test_a_later_round_of_k_center_goes_on_from_the_labels(draw):
    rounds = (RoundConfig(share=0.5, strategy="k-center"), RoundConfig(strategy="k-center"))
    two = spend(draw, ArmConfig("two", rounds), 24, untrained)
    assert two.tolist() == spend(draw, one(strategy="k-center"), 24, untrained).tolist()


def test_labels_a_task_come_first(draw):
    rounds = (RoundConfig(per_task=2), RoundConfig())
    rows = spend(draw, ArmConfig("arm", rounds), 30, untrained)
    assert set(picked(draw, rows[: 2 * N_TASKS]).values()) == {2}


def test_tasks_in_motion_get_the_rest(draw):
    sizes = dict(draw.pool["task"].value_counts().iter_rows())
    wrong = draw.pool.filter(draw.generations != draw.pool["response"])["task"].value_counts()
    moving = max(wrong["task"], key=lambda task: sizes[task])
    rounds = (
        RoundConfig(per_task=2),
        RoundConfig(strategy="weighted-task-diversity", signal="churn", offset=0.0, base=0),
    )
    model = Played(draw, [moving])
    rows = spend(draw, ArmConfig("churn", rounds), 2 * N_TASKS + 3, model)
    assert picked(draw, rows)[moving] == 5
    labelled, asked, _ = model.asked[0]
    assert len(labelled) == 2 * N_TASKS
    assert len(asked) <= 64 * N_TASKS


def test_the_other_half_tells_what_is_left_wrong(draw):
    rounds = (
        RoundConfig(per_task=2),
        RoundConfig(strategy="weighted-task-diversity", signal="remaining-error", offset=0.2, base=0),
    )
    model = Played(draw, [])
    spend(draw, ArmConfig("halves", rounds), 24, model)
    (first, asked_first, _), (second, asked_second, _) = model.asked
    assert sorted([*first, *second]) == sorted([*asked_first, *asked_second])
    assert not set(first) & set(asked_first)
    assert not set(second) & set(asked_second)


def test_the_task_whose_drawn_answers_differ_most_gets_most(draw):
    ambiguous = one(strategy="weighted-task-diversity", base=0, signal="ambiguity", alpha=60.0)
    counts = picked(draw, spend(draw, ambiguous, 5, untrained))
    asked = draw.pool.with_columns(ambiguity=pl.Series(draw.ambiguity)).filter(
        pl.col("ambiguity").is_not_nan()
    )
    assert asked["ambiguity"].is_between(0, 1).all()
    means = asked.group_by("task").agg(pl.mean("ambiguity")).sort("ambiguity")
    assert max(counts, key=counts.get) == means["task"][-1]
    assert find_needs(ambiguous) >= {"ambiguity"}
    # Nothing was labelled before, so that it may also be the first round.
    assert len(spend(draw, ambiguous, 0, untrained)) == 0


def test_a_task_of_prompts_that_resemble_each_other_gets_least(draw):
    spread = one(strategy="weighted-task-diversity", base=0, alpha=0.0, spread_power=60.0)
    counts = picked(draw, spend(draw, spread, 6, untrained))
    vectors = draw.embeddings.astype(np.float64)
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tasks = draw.pool["task"].to_numpy()
    means = {}
    for name in set(tasks):
        own = vectors[tasks == name]
        cosines = own @ own.T
        means[name] = cosines[~np.eye(len(own), dtype=bool)].mean()
    assert max(counts, key=counts.get) == min(means, key=means.get)
    assert find_needs(spread) >= {"embeddings"}


def test_no_task_gets_more_than_its_share_allows(draw):
    capped = one(strategy="weighted-task-diversity", base=0, alpha=8.0, max_share_ratio=2)
    counts = picked(draw, spend(draw, capped, 24, untrained))
    free = picked(
        draw, spend(draw, one(strategy="weighted-task-diversity", base=0, alpha=8.0), 24, untrained)
    )
    assert max(counts.values()) <= 2 * 24 / N_TASKS
    assert sum(counts.values()) == 24
    assert max(free.values()) > max(counts.values())


def test_two_rounds_by_size_are_one(draw):
    rounds = (RoundConfig(share=0.5, strategy="size-proportional"), RoundConfig(strategy="size-proportional"))
    both, once = (
        picked(draw, spend(draw, arm, 30, untrained))
        for arm in (ArmConfig("two", rounds), one(strategy="size-proportional"))
    )
    assert max(abs(both[task] - once[task]) for task in once) <= 1


def test_labels_that_a_model_still_gets_wrong_call_for_more(draw):
    tasks = draw.pool["task"].unique().sort().to_list()
    settings = {
        "strategy": "weighted-task-diversity",
        "signal": "error",
        "offset": 0.0,
        "alpha": 60.0,
        "base": 0,
    }
    rounds = (RoundConfig(per_task=2), RoundConfig(scores="trained", **settings))
    wrong = [tasks[0]]
    model = Played(draw, [task for task in tasks if task not in wrong])
    model.draw = WithWrongBase(draw)
    counts = picked(draw, spend(draw, ArmConfig("errors", rounds), 2 * N_TASKS + 2, model))
    assert counts[wrong[0]] == 4
    assert len(model.asked) == 2


def test_without_labels_to_go_by_the_prior_decides(draw):
    settings = {"strategy": "weighted-task-diversity", "signal": "error", "alpha": 60.0, "base": 0}
    rounds = (RoundConfig(per_task=2), RoundConfig(prior="confidence", shrinkage=1e9, **settings))
    counts = picked(draw, spend(draw, ArmConfig("prior", rounds), 2 * N_TASKS + 2, untrained))
    assert counts[min(draw.task_confidences, key=draw.task_confidences.get)] == 4


def test_a_ratio_of_weights_bounds_any_signal(draw):
    settings = {"strategy": "weighted-task-diversity", "base": 0, "signal": "ambiguity", "alpha": 60.0}
    bounded = one(**settings, max_weight_ratio=1.0)
    assert picked(draw, spend(draw, bounded, 12, untrained)) == picked(
        draw, spend(draw, one(base=0), 12, untrained)
    )


def test_a_cap_that_leaves_labels_over_is_no_cap(draw):
    capped = one(strategy="weighted-task-diversity", base=0, max_share_ratio=0.5)
    assert len(spend(draw, capped, 24, untrained)) == 24


def test_a_draw_is_prepared_once_and_knows_no_confidence_before(draw, tmp_path):
    stamps = {path: path.stat().st_mtime_ns for path in draw.folder.glob("*.npy")}
    assert {path.stem for path in stamps} == {"embeddings", "losses", "ambiguity"}
    Draw(draw.world, 0, draw.folder).prepare(frozenset({"embeddings", "losses", "ambiguity"}))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert Draw(draw.world, 0, tmp_path).task_confidences == {}


@pytest.mark.parametrize("within", ["k-center", "least-confident", "min-margin"])
def test_a_later_round_takes_any_picker(draw, within):
    rounds = (RoundConfig(per_task=1), RoundConfig(within=within, base=0))
    rows = spend(draw, ArmConfig("arm", rounds), 24, untrained)
    at_random = spend(draw, ArmConfig("arm", (RoundConfig(per_task=1), RoundConfig(base=0))), 24, untrained)
    assert picked(draw, rows) == picked(draw, at_random)
    assert set(rows.tolist()) != set(at_random.tolist())


def test_controls_turn_or_shuffle_the_weights(draw):
    settings = {"strategy": "weighted-task-diversity", "base": 1}
    plain, inverted, shuffled = (
        picked(draw, spend(draw, one(**settings, order=order), 30, untrained))
        for order in ("", "inverted", "shuffled")
    )
    assert plain != inverted
    assert sum(shuffled.values()) == 30


@pytest.mark.parametrize(("cut", "n_tasks"), [("merged", 2), ("split", 12), ("clusters", 3)])
def test_other_cuts_of_the_tasks_keep_the_budget(draw, cut, n_tasks):
    arm = ArmConfig("cut", (RoundConfig(base=1),), tasks=cut, n_tasks=n_tasks)
    rows = spend(draw, arm, 18, untrained)
    assert len(set(rows.tolist())) == 18


def test_what_an_arm_needs_is_prepared_for_it():
    assert find_needs(one(strategy="random")) == frozenset()
    assert find_needs(one(strategy="weighted-task-diversity")) == {"scores"}
    assert find_needs(one(strategy="k-center")) == {"embeddings"}
    loss = (RoundConfig(per_task=1), RoundConfig(strategy="weighted-task-diversity", signal="loss"))
    assert find_needs(ArmConfig("loss", loss)) == {"losses", "scores"}
    churn = (RoundConfig(per_task=1), RoundConfig(strategy="weighted-task-diversity", signal="churn"))
    assert find_needs(ArmConfig("churn", churn)) == {"scores"}


def test_the_draws_of_a_world_share_nothing_with_their_holdouts(draw):
    assert not set(draw.pool["prompt"]) & set(draw.holdout["prompt"])
    assert sorted(draw.holdout["task"].unique()) == sorted(draw.pool["task"].unique())
    assert np.isfinite(draw.losses).all()
    assert sum(draw.pool_shares.values()) == pytest.approx(1)
    assert all(0 <= confidence <= 1 for confidence in draw.task_confidences.values())
