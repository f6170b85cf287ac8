"""Run folders for tests of reports: a pool, scores and vectors, and selections beside them."""

from __future__ import annotations

import numpy as np
import polars as pl

import tasksel


def make_pool(n_rows, *, prompts=(), n_tasks=6, seed=0):
    rng = np.random.default_rng(seed)
    texts = [
        *prompts,
        *(f"prompt number {row} says {rng.integers(10**6)}" for row in range(len(prompts), n_rows)),
    ]
    return pl.DataFrame(
        {
            "id": [f"id-{row:05}" for row in range(n_rows)],
            "task": [f"task <{number}>" for number in rng.integers(0, n_tasks, n_rows)],
            "prompt": texts,
        }
    )


def make_scores(pool, seed=0):
    rng = np.random.default_rng(seed)
    logprobs = [(-rng.exponential(0.3, rng.integers(1, 9))).tolist() for _ in range(pool.height)]
    return pl.DataFrame({"id": pool["id"], "token_logprobs": logprobs})


def make_run(folder, pool, *, budget, names=("selection",)):
    """Write a run folder: pool and vectors beside the selections, which are found from there."""
    folder.mkdir(parents=True, exist_ok=True)
    pool.write_parquet(folder / "pool.parquet")
    vectors = np.random.default_rng(1).normal(size=(pool.height, 6)).astype(np.float32)
    np.save(folder / "embeddings.npy", vectors)
    scores = make_scores(pool)
    scores.write_parquet(folder / "scored.parquet")
    for seed, name in enumerate(names):
        tasksel.select(
            folder / "pool.parquet",
            scores=folder / "scored.parquet",
            budget=budget,
            strategy="weighted-task-diversity",
            seed=seed,
            out=folder / name,
        )
    return folder
