"""What pools of short prompts cost: memory and CPU time of each stage by the number of rows, on Linux.

    python benches/bench_memory.py [--rows 10000,100000,1000000,5000000] [--quick] [--stages read_pool,select]

Prompts have some 60 characters, one in twenty is that of an earlier row, and 300 tasks share them unequally;
every row is scored with some 20 token logprobs, in shards as `tasksel score` writes them. Each figure is that
of a process of its own: the peak of its resident memory over what it held with all libraries imported, and
the CPU seconds of all its threads. Bytes a row are those of the rows beyond the line before. ``--folder``
keeps the data (1.6 GB for 5 million rows), and a later run finds them again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl

from contest import status_kib
from tasksel import load_pool, read_pool, score, select
from tasksel.engines import Answer, AnsweredBatch, EngineStart, ShardPrompts
from tasksel.generation import Generation
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, file_sha256, text_sha256, write_json
from tasksel.score_shards import SCORES_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from threading import Event

ROWS = (10_000, 100_000, 1_000_000, 5_000_000)
QUICK_ROWS = ROWS[:2]
N_TASKS, N_WORDS, MEAN_TOKENS = 300, 256, 20
BLOCK_ROWS = 100_000
BUDGET_SHARE = 20


@dataclass(frozen=True)
class Workload:
    """A pool in a folder, and the scores beside it."""

    folder: Path
    n_rows: int
    has_ids: bool

    @property
    def pool(self) -> Path:
        """The pool's file."""
        return self.folder / f"pool-{self.n_rows}{'-ids' if self.has_ids else ''}.parquet"

    @property
    def run(self) -> Path:
        """The run folder of the scores."""
        return self.pool.with_suffix("")


def mixed(keys: np.ndarray) -> np.ndarray:
    """Scramble whole numbers one to one (the finaliser of splitmix64), so that no two keys meet."""
    keys = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def draw_words() -> pl.Series:
    """Draw the words of all prompts, each once."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfw"))
    words: dict[str, None] = {}
    while len(words) < N_WORDS:
        words["".join(rng.choice(letters, rng.integers(3, 11)))] = None
    return pl.Series(list(words))


def pool_blocks(n_rows: int, *, has_ids: bool) -> Iterator[pl.DataFrame]:
    """Make a pool block by block; a prompt follows from its key alone, so a block knows no other."""
    words, sizes = draw_words(), 1 / np.arange(1, N_TASKS + 1)
    ends = np.cumsum(sizes / sizes.sum())
    for start in range(0, n_rows, BLOCK_ROWS):
        rng = np.random.default_rng((1, start))
        rows = np.arange(start, min(start + BLOCK_ROWS, n_rows))
        keys = np.where(rng.random(len(rows)) < 0.05, (rows * rng.random(len(rows))).astype(np.int64), rows)
        bits = mixed(keys)
        picks = [(bits >> np.uint64(8 * place)).astype(np.uint8) for place in range(8)]
        task = np.searchsorted(ends[:-1], rng.random(len(rows)))
        columns = {
            "prompt": pl.select(
                pl.concat_str([words.gather(pick) for pick in picks], separator=" ")
            ).to_series(),
            "task": pl.Series("task", task)
            .cast(pl.String)
            .str.zfill(3)
            .str.replace("^", "question-answering-"),
        }
        if has_ids:
            columns["id"] = pl.Series("id", rows).cast(pl.String).str.zfill(8).str.replace("^", "example-")
        yield pl.DataFrame(columns)


def make_pool(work: Workload) -> None:
    """Write the pool as one Parquet file, of which no more than some blocks are in memory."""
    from polars.io.plugins import register_io_source

    blocks = pool_blocks(work.n_rows, has_ids=work.has_ids)
    schema = next(pool_blocks(1, has_ids=work.has_ids)).schema
    register_io_source(lambda *_: blocks, schema=schema).sink_parquet(work.pool)


def make_scores(work: Workload, shard_rows: int) -> None:
    """Write scores of every row, in shards as `tasksel score` writes them and in an order of their own."""
    frame = load_pool(work.pool).frame.select("id", "task")
    folder = work.run / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(2).permutation(frame.height)
    shards = []
    for number, start in enumerate(range(0, frame.height, shard_rows)):
        path = folder / f"part-{number:05d}.parquet"
        score_block(frame[order[start : start + shard_rows]], number).write_parquet(path)
        shards.append({"name": path.name, "sha256": file_sha256(path)})
    write_json(folder / MANIFEST_NAME, {"format_version": FORMAT_VERSION, "shards": shards})


def score_block(part: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Draw the scores of some rows: most tokens are sure, and rare ones are not, as those of real models."""
    rng = np.random.default_rng((3, seed))
    lengths = rng.poisson(MEAN_TOKENS - 1, part.height) + 1
    n_tokens = int(lengths.sum())
    row = np.repeat(np.arange(part.height), lengths)
    logprobs = -(rng.exponential(0.3, n_tokens) ** 2)
    tokens = pl.DataFrame(
        {
            "row": row,
            "token_ids": rng.integers(3, 32_000, n_tokens),
            "token_logprobs": logprobs,
            "token_entropy": -1.5 * logprobs,
            "token_margin": np.exp(2 * logprobs),
        }
    )
    columns = part.with_columns(
        generation=pl.lit("an answer of some words that a model may have given to it"),
        finish_reason=pl.lit("stop"),
        prompt_tokens=pl.lit(16),
        truncated_tokens=pl.lit(0),
    )
    lists = tokens.group_by("row", maintain_order=True).agg(pl.all()).drop("row")
    rows = pl.concat([columns, lists], how="horizontal")
    others = [pl.lit(None).alias(name) for name in SCORES_SCHEMA if name not in rows.columns]
    return rows.with_columns(others).select(SCORES_SCHEMA.names()).cast(dict(SCORES_SCHEMA))


def run_read_pool(work: Workload) -> None:
    """Read the pool."""
    assert read_pool(work.pool).height == work.n_rows


def run_select(work: Workload) -> None:
    """Read the pool and its scores, choose a twentieth and write it."""
    with tempfile.TemporaryDirectory() as out:
        budget = work.n_rows // BUDGET_SHARE
        chosen = select(
            work.pool, scores=work.run, strategy="weighted-task-diversity", budget=budget, out=out
        )
    assert len(chosen.rows) == budget


class MockEngine:
    """Answers at once, with some 20 tokens a prompt whose logprobs look like a model's."""

    name = "mock"
    settings: ClassVar[dict[str, int]] = {"max_new_tokens": 2 * MEAN_TOKENS}

    def identify_model(self) -> dict[str, str]:
        """Return what stands for a model."""
        return {"name": "mock", "sha256": text_sha256("mock")}

    def start(self) -> EngineStart:
        """Start nothing."""
        return EngineStart(self.settings, {})

    def answer(self, shards: Iterable[ShardPrompts], stopped: Event) -> Iterator[AnsweredBatch]:
        """Answer shard after shard."""
        for shard in shards:
            if stopped.is_set():
                return
            rng = np.random.default_rng(shard.number)
            positions = [place for place in range(len(shard.prompts)) if place not in shard.answered]
            yield AnsweredBatch(shard.number, positions, [self._answer(rng) for _ in positions])

    def _answer(self, rng: np.random.Generator) -> Answer:
        n_tokens = int(rng.integers(1, 2 * MEAN_TOKENS))
        # Mostly sure, sometimes not at all: the skew of a real model's tokens.
        logprobs = -rng.gamma(0.3, 1.5, n_tokens).astype(np.float32)
        margins = np.exp(logprobs)
        generation = Generation(
            text="word " * n_tokens,
            token_ids=rng.integers(0, 32_000, n_tokens, dtype=np.int32),
            token_logprobs=logprobs,
            token_entropy=-logprobs * margins,
            token_margin=margins,
            finish_reason="stop",
        )
        return Answer(generation, prompt_tokens=15, truncated_tokens=0)

    def close(self) -> None:
        """Let go of nothing."""


def run_score(work: Workload) -> None:
    """Score with an engine that costs nothing, so that what is left is tasksel's own."""
    with tempfile.TemporaryDirectory(dir=work.folder) as out:
        summary = score(work.pool, model="mock", engine=MockEngine(), out=out, shard_rows=2048)
    assert summary.rows == work.n_rows


@dataclass(frozen=True)
class Stage:
    """What is measured, in a process that does nothing else."""

    run: Callable[[Workload], None]
    needs_scores: bool = False


STAGES = {
    "read_pool": Stage(run_read_pool),
    "score": Stage(run_score),
    "select": Stage(run_select, needs_scores=True),
}


def make(work: Workload, *, with_scores: bool, shard_rows: int) -> None:
    """Write what is not there yet."""
    if not work.pool.exists():
        make_pool(work)
    if with_scores and not (work.run / "scores" / MANIFEST_NAME).exists():
        make_scores(work, shard_rows)


def measure_here(stage: str, work: Workload) -> dict[str, float]:
    """Run a stage in this process, which has done nothing else."""
    before_kib, started_s = status_kib("VmRSS"), time.process_time()
    STAGES[stage].run(work)
    return {
        "added_bytes": (status_kib("VmHWM") - before_kib) * 1024,
        "cpu_s": time.process_time() - started_s,
    }


def run_apart(*options: object) -> str:
    """Run this script in a process of its own and return what it prints."""
    command = [sys.executable, __file__, *map(str, options)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure_growth(
    stage: str, rows: Sequence[int], folder: Path, *, has_ids: bool, shard_rows: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """Measure a stage at each number of rows; the data are made in a process that ends before it begins."""
    for n_rows in rows:
        here = ["--folder", folder, "--rows", n_rows, "--stages", stage, *["--ids"] * has_ids]
        run_apart("--apart", "make", "--shard-rows", shard_rows, *here)
        yield n_rows, json.loads(run_apart("--apart", "measure", *here))


def lines_of(label: str, growth: Iterator[tuple[int, dict[str, float]]]) -> Iterator[str]:
    """Give a line of the table for each number of rows."""
    before_rows, before_bytes = 0, 0.0
    for n_rows, found in growth:
        added = found["added_bytes"]
        slope = f"{(added - before_bytes) / (n_rows - before_rows):,.0f}" if before_rows else ""
        yield f"| {label} | {n_rows:,} | {added / 2**20:,.0f} | {slope} | {found['cpu_s']:,.1f} |"
        before_rows, before_bytes = n_rows, added


def main(options: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", help="numbers of rows, separated by commas")
    parser.add_argument("--quick", action="store_true", help="only the small pools")
    parser.add_argument("--stages", default=",".join(STAGES), help="separated by commas")
    parser.add_argument("--folder", type=Path, help="where data are kept; default: a temporary folder")
    parser.add_argument("--shard-rows", type=int, default=256, help="rows of a shard of scores")
    parser.add_argument("--ids", action="store_true", help="only pools with ids")
    parser.add_argument("--apart", choices=("make", "measure"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(options)
    stages = arguments.stages.split(",")
    rows = QUICK_ROWS if arguments.quick else ROWS
    if arguments.rows:
        rows = tuple(map(int, arguments.rows.split(",")))
    if arguments.apart:
        work, stage = Workload(arguments.folder, rows[0], arguments.ids), stages[0]
        if arguments.apart == "make":
            make(work, with_scores=STAGES[stage].needs_scores, shard_rows=arguments.shard_rows)
        else:
            print(json.dumps(measure_here(stage, work)))
        return
    print("| | rows | MiB beyond the interpreter | bytes a row | CPU s |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in stages:
            for has_ids in (True,) if arguments.ids else (False, True):
                growth = measure_growth(stage, rows, folder, has_ids=has_ids, shard_rows=arguments.shard_rows)
                label = f"{stage}, {'with' if has_ids else 'without'} ids"
                for line in lines_of(label, growth):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
