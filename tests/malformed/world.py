"""What is in order: the inputs beside a malformed one, made once for all kinds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

import tasksel
from report_runs import make_run
from tasksel.embedding_run import embed
from tasksel.synthesis import plan

if TYPE_CHECKING:
    from pathlib import Path

N_ROWS: Final = 12
PLAN: Final = """
total = 100
seed = 5
[strata]
allocate = "deficit"
[strata.levels]
product = ["phone", "laptop"]
[edge]
share = 0.1
[schema]
type = "object"
required = ["text", "rating"]
properties = { text = { type = "string", minLength = 10 }, rating = { type = "integer" } }
[record]
prompt = "{text}"
response = "{rating}"
"""


@dataclass(frozen=True)
class World:
    """The folder with all of it.

    Parameters
    ----------
    folder : Path
        ``pool.jsonl`` and ``pool.parquet`` of `N_ROWS` labelled prompts, ``scores.parquet``, ``vectors.npy``,
        ``vectors.parquet``, ``answers.jsonl``; ``run`` with a pool, vectors, scores and two selections;
        ``labels``, a run with imported labels; ``embedded``, one with vectors; ``synth``, a plan with
        records, and its ``plan.toml``.
    """

    folder: Path

    def frame(self) -> pl.DataFrame:
        """Return the pool."""
        return pl.read_parquet(self.folder / "pool.parquet")


def make_world(folder: Path) -> World:
    """Make all of it in an empty folder."""
    pool = _pool()
    pool.drop("vector").write_ndjson(folder / "pool.jsonl")
    pool.write_parquet(folder / "pool.parquet")
    pool.select("id", "token_logprobs").write_parquet(folder / "scores.parquet")
    np.save(folder / "vectors.npy", np.array(pool["vector"].to_list(), dtype=np.float32))
    pool.select("id", embedding="vector").write_parquet(folder / "vectors.parquet")
    pool.select("id", "response").write_ndjson(folder / "answers.jsonl")
    make_run(folder / "run", pool.drop("vector", "token_logprobs"), budget=4, names=("first", "second"))
    tasksel.import_labels(folder / "answers.jsonl", into=folder / "labels", selection=folder / "pool.jsonl")
    embed(folder / "pool.jsonl", out=folder / "embedded", device="cpu")
    _make_synthesis(folder)
    return World(folder)


def _pool() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": [f"row-{row}" for row in range(N_ROWS)],
            "task": [("sums", "rhymes", "dates")[row % 3] for row in range(N_ROWS)],
            "prompt": [f"What is {row} and {row + 1}? Say it in words." for row in range(N_ROWS)],
            "response": [f"It is {2 * row + 1}." for row in range(N_ROWS)],
            "label": [("even", "odd")[row % 2] for row in range(N_ROWS)],
            "token_logprobs": [(-rng.random(3)).tolist() for _ in range(N_ROWS)],
            "vector": rng.standard_normal((N_ROWS, 4)).tolist(),
        },
        schema_overrides={"vector": pl.List(pl.Float32)},
    )


def _make_synthesis(folder: Path) -> None:
    """Plan, and write records as a generation would; nobody is asked for them."""
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    held = pl.DataFrame({"prompt": ["p"], "product": ["phone"]})
    made = plan(folder / "plan.toml", folder / "synth", pool=held)
    examples = made.examples.filter(pl.col("edge").is_null()).head(N_ROWS)
    items = [
        {"text": f"The {row} is number {n}, it seems.", "rating": n}
        for n, row in enumerate(examples["stratum"])
    ]
    records = examples.select(
        pl.format("r{}", pl.int_range(pl.len())).alias("id"),
        "plan_id",
        pl.col("stratum").alias("task"),
        "product",
        prompt=pl.Series([each["text"] for each in items]),
        response=pl.Series([str(each["rating"]) for each in items]),
        edge=pl.lit(None, pl.String),
        item=pl.Series([json.dumps(each) for each in items]),
    )
    generation = folder / "synth" / "generation"
    generation.mkdir()
    records.write_parquet(generation / "records.parquet")
