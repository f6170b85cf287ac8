"""What failure signatures reach for healthy selections, and what for failures that were constructed.

``python scripts/explanation_study.py FOLDER --cache DIR`` reads the sets of `SETS` (Parquet with ``task``,
``prompt`` and ``response``) in FOLDER, scores pools of the toy world with the embedded model, and writes
Markdown to standard output: docs/failure_signatures.md has it as it is, between its marks.

The toy world's confidences are those of a real model. Those of the other sets are drawn: every task has a
surprise a token (log-normal), every answer as many tokens as its reference has words, so that products and
length-normalised confidences differ as they do for a real model, on the real lengths of real tasks. Vectors
are those of MiniLM over the first 128 tokens, kept in the cache.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tasksel.explanation import SIGNATURE_NAMES, explain
from tasksel.explanation_inputs import ExplainedRows, read_inputs
from tasksel.explanation_repeats import find_repeats
from tasksel.near_duplicates import find_near_duplicates
from tasksel.scoring import score
from tasksel.selection import select
from tasksel.sentence_embedding import embed_sentences, load_sentence_model
from tasksel.toy_world import make_toy_pool
from tasksel_core import nearest_neighbours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SETS = ("ni_skewed", "t0_sample", "dolly", "mmlu_test", "bbh")
ROWS = 6_000
VECTOR_ROWS = 2_000
SHARE = 0.1
"""Of the pool that is selected."""
SEEDS = (0, 1, 2)
RULES: dict[str, dict[str, Any]] = {
    "task-diversity": {},
    "weighted-task-diversity, length-normalized": {
        "strategy": "weighted-task-diversity",
        "metric": "length-normalized",
    },
    "weighted-task-diversity, product": {"strategy": "weighted-task-diversity"},
    "size-proportional": {"strategy": "size-proportional"},
    "random": {"strategy": "random"},
}
Row = dict[str, Any]


def tokens_of(lengths: NDArray[np.int64], nats: NDArray[np.float64]) -> pl.Series:
    """Return token logprobs: as many as an answer is long, each costing what its task's tokens cost."""
    lists = [np.full(length, -cost).tolist() for length, cost in zip(lengths, nats, strict=True)]
    return pl.Series("token_logprobs", lists, dtype=pl.List(pl.Float32))


def real_pool(path: Path, seed: int) -> pl.DataFrame:
    """Read a set, and draw confidences on the lengths of its references."""
    frame = pl.read_parquet(path).select("id", "task", "prompt", "response").drop_nulls()
    rng = np.random.default_rng(seed)
    frame = frame[np.sort(rng.permutation(frame.height)[:ROWS]).tolist()]
    lengths = frame["response"].str.split(" ").list.len().clip(1, 400).to_numpy().astype(np.int64)
    names = frame["task"].unique().sort()
    surprise = dict(zip(names, rng.lognormal(-1.0, 0.5, len(names)), strict=True))
    nats = frame["task"].replace_strict(surprise, return_dtype=pl.Float64).to_numpy()
    noisy = nats * rng.lognormal(0.0, 0.3, frame.height)
    return frame.with_columns(tokens_of(lengths, noisy))


def toy_pool(folder: Path, seed: int) -> pl.DataFrame:
    """Make a pool of the toy world and let the embedded model answer it."""
    pool = make_toy_pool(seed)
    score(pool, model="demo", out=folder / f"toy-{seed}", max_new_tokens=16)
    scores = pl.read_parquet(folder / f"toy-{seed}" / "scores" / "*.parquet").select("id", "token_logprobs")
    return pool.join(scores, on="id", how="left", maintain_order="left")


def signatures(pool: pl.DataFrame, share: float = SHARE, **rule: Any) -> Row:
    """Select by a rule and return the value of each signature, marked where it is raised."""
    selection = select(pool, budget=max(1, round(share * pool.height)), scores=pool_scores(pool), **rule)
    found = explain(selection, pool=pool, scores=pool_scores(pool))
    return {each.name: (each.value, each.is_raised) for each in found.signatures}


def pool_scores(pool: pl.DataFrame) -> pl.DataFrame:
    """Return the scores that a pool carries."""
    return pool.select("id", "token_logprobs")


def healthy_and_usual(folder: Path, work: Path) -> Iterator[Row]:
    """Yield what usual rules reach on pools of the toy world and of real text."""
    pools = {"toy world": [toy_pool(work, seed) for seed in SEEDS]}
    pools |= {name: [real_pool(folder / f"{name}.parquet", seed) for seed in SEEDS] for name in SETS}
    for name, drawn in pools.items():
        for rule, settings in RULES.items():
            found = [signatures(pool, seed=seed, **settings) for seed, pool in zip(SEEDS, drawn, strict=True)]
            yield {"pool": name, "rule": rule, **together(found)}


def together(found: list[Row]) -> Row:
    """Return the range of each signature over seeds, and on how many it is raised."""
    row: Row = {}
    for name in SIGNATURE_NAMES:
        values = [each[name][0] for each in found if each[name][0] is not None]
        n_raised = sum(each[name][1] for each in found)
        shown = "-" if not values else f"{min(values):.2f} to {max(values):.2f}"
        row[name] = f"**{shown}** ({n_raised}/{len(found)})" if n_raised else shown
    return row


def task_pool(sizes: list[int], nats: list[float], lengths: list[int], seed: int) -> pl.DataFrame:
    """Make a pool of tasks with given sizes, costs of a token and lengths of answers."""
    rng = np.random.default_rng(seed)
    words = [f"word{number}" for number in range(4_000)]
    task = np.repeat(np.arange(len(sizes)), sizes)
    prompts = [" ".join(words[word] for word in rng.integers(0, len(words), 40)) for _ in task]
    noisy = np.array(nats)[task] * rng.lognormal(0.0, 0.2, len(task))
    frame = pl.DataFrame(
        {
            "id": [f"row-{row}" for row in range(len(task))],
            "task": [f"task-{each:02d}" for each in task],
            "prompt": [f"Answer the question.\nInput: {prompt}\nOutput:" for prompt in prompts],
        }
    )
    return frame.with_columns(tokens_of(np.array(lengths)[task], noisy))


def constructed() -> Iterator[Row]:
    """Yield each failure, from none of it to all of it, with the value of its own signature."""
    weighted: Row = {"strategy": "weighted-task-diversity"}
    for small in (200, 60, 40, 20, 10):
        sizes = [small] * 10 + [200] * 20
        pool = task_pool(sizes, [1.2] * 10 + [0.3] * 20, [2] * 30, seed=0)
        yield failure(
            "cap-dominated", f"ten hard tasks of {small} prompts, twenty easy ones of 200", pool, weighted
        )
    for planted in (0.0, 0.1, 0.2, 0.4, 0.8):
        pool = with_repeats(task_pool([150] * 30, [1.0] * 10 + [0.3] * 20, [2] * 30, seed=1), planted)
        yield failure(
            "redundant-heavy-tasks",
            f"{planted:.0%} of the hard tasks' prompts are five others with one word changed",
            pool,
            weighted,
        )
    for spread in (0.0, 0.3, 0.6, 1.2, 2.4):
        rng = np.random.default_rng(2)
        lengths = rng.integers(4, 200, 30).tolist()
        pool = task_pool([150] * 30, (0.02 * rng.lognormal(0.0, spread, 30)).tolist(), lengths, seed=2)
        what = f"answers of 4 to 200 tokens, cost of a token spread by a factor e^{spread:g}"
        yield failure("confidence-is-length", what, pool, weighted)
    for spread in (0.0, 0.3, 0.6, 1.2, 2.4):
        rng = np.random.default_rng(3)
        sizes = (2_000 / np.arange(8, 38)).astype(int).tolist()
        nats = (np.array(sizes) / 250 * rng.lognormal(0.0, spread, 30)).tolist()
        what = f"cost of a token in proportion to the task's size, spread by a factor e^{spread:g}"
        yield failure("confidence-is-size", what, task_pool(sizes, nats, [2] * 30, seed=3), weighted)
    for longest in (2, 5, 10, 20, 40):
        lengths = np.linspace(2, longest, 30).astype(int).tolist()
        pool = task_pool([300] * 30, [0.5] * 30, lengths, seed=4)
        yield failure("few-effective-tasks", f"answers of 2 to {longest} tokens, product", pool, weighted)
    for largest in (100, 120, 150, 300, 1_000):
        sizes = np.geomspace(100, largest, 30).astype(int).tolist()
        pool = task_pool(sizes, [0.5] * 30, [2] * 30, seed=5)
        yield failure("like-random", f"tasks of 100 to {largest} prompts, task-diversity", pool, {})


def failure(name: str, what: str, pool: pl.DataFrame, rule: Row) -> Row:
    """Return the value of one signature for a pool, and which others are raised."""
    found = signatures(pool, **rule)
    value, is_raised = found[name]
    others = [each for each in SIGNATURE_NAMES if each != name and found[each][1]]
    shown = "-" if value is None else f"{value:.2f}"
    return {
        "signature": name,
        "construction": what,
        "value": f"**{shown}**" if is_raised else shown,
        "others raised": ", ".join(others) or "-",
    }


def with_repeats(pool: pl.DataFrame, share: float) -> pl.DataFrame:
    """Replace a share of the hard tasks' prompts by one of five of the task with one word changed."""
    rng = np.random.default_rng(0)
    prompts = pool["prompt"].to_list()
    for task in range(10):
        rows = np.flatnonzero((pool["task"] == f"task-{task:02d}").to_numpy())
        originals, others = rows[:5], rows[5:]
        for row in rng.permutation(others)[: round(share * len(others))]:
            words = prompts[rng.choice(originals)].split(" ")
            words[rng.integers(8, len(words) - 2)] = f"other{rng.integers(1_000)}"
            prompts[row] = " ".join(words)
    return pool.with_columns(prompt=pl.Series(prompts))


def ways_to_repeat(folder: Path, cache: Path) -> Iterator[Row]:
    """Yield how many labels each way of measuring calls near-duplicates, in pools that have few."""
    pools = {"toy world": make_toy_pool(0)}
    pools |= {name: real_pool(folder / f"{name}.parquet", 0).head(VECTOR_ROWS) for name in SETS}
    for name, pool in pools.items():
        vectors = vectors_of(pool, cache / f"explanation-{name.replace(' ', '-')}.npy")
        selection = select(pool, budget=round(0.2 * pool.height))
        by_text = find_repeats(read_inputs(selection, pool=pool))
        rows = read_inputs(selection, pool=pool, embeddings=vectors)
        by_both = find_repeats(rows)
        yield {
            "pool": name,
            "cosine of at least 0.95": f"{by_cosine(rows):.0%}",
            "text as it is": f"{by_whole_text(rows):.0%}",
            "text without its template": f"{by_text.is_repeated.mean():.1%}",
            "and vectors by the task's spread": f"{by_both.is_repeated.mean():.1%}",
            "tasks with blurred vectors": f"{by_both.blurred.sum()} of {len(by_both.blurred)}",
        }


def vectors_of(pool: pl.DataFrame, path: Path) -> NDArray[np.float32]:
    """Embed prompts, or read what was embedded before."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        model = load_sentence_model(max_tokens=128)
        np.save(path, embed_sentences(model, pool["prompt"].to_list()))
    return np.load(path)


def by_cosine(rows: ExplainedRows) -> float:
    """Return the share of labels with a cosine of 0.95 to another one of their task."""
    near = 0
    assert rows.embeddings is not None
    for task in np.unique(rows.picked_task):
        vectors = rows.embeddings[rows.picked_rows[rows.picked_task == task]]
        if len(vectors) > 1:
            distances = nearest_neighbours(vectors, vectors, 1, metric="cosine", exclude_self=True)[1]
            near += int((1 - distances**2 / 2 >= 0.95).sum())
    return near / len(rows.picked_rows)


def by_whole_text(rows: ExplainedRows) -> float:
    """Return the share of labels whose text, template included, nearly repeats one of their task."""
    near = 0
    for task in np.unique(rows.picked_task):
        texts = rows.frame["prompt"].gather(rows.picked_rows[rows.picked_task == task]).to_list()
        found = find_near_duplicates(texts)
        near += len({*found.rows.tolist(), *found.of_rows.tolist()})
    return near / len(rows.picked_rows)


def table(rows: list[Row]) -> str:
    """Lay rows out as Markdown."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where vectors are kept")
    arguments = parser.parse_args()
    folder = arguments.folder
    with tempfile.TemporaryDirectory() as work:
        print(table(list(healthy_and_usual(folder, Path(work)))), end="\n\n")
    print(table(list(constructed())), end="\n\n")
    print(table(list(ways_to_repeat(folder, arguments.cache))))


if __name__ == "__main__":
    main()
