"""Write ``tests/data/coverage_excerpt.npz``: MiniLM vectors of real prompts with their tasks, for tests.

``python scripts/coverage_excerpt.py FOLDER`` takes the first 40 prompts of 125 tasks of ``ni_sample`` in
FOLDER. One byte a number: rounding moves a vector by less than a hundredth of its length.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from tasksel.sentence_embedding import embed_sentences, load_sentence_model

N_TASKS, N_ROWS = 125, 40
STEPS = 400
"""A coordinate of 1 in steps; the largest of a sentence is about 0.25."""


def main() -> None:
    """Read, embed, round, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    frame = pl.read_parquet(folder / "ni_sample.parquet")
    names = frame["task"].unique().sort()
    chosen = names.gather(np.sort(np.random.default_rng(0).permutation(len(names))[:N_TASKS]))
    frame = (
        frame.filter(pl.col("task").is_in(chosen.implode()))
        .group_by("task", maintain_order=True)
        .head(N_ROWS)
    )
    vectors = embed_sentences(load_sentence_model(), frame["prompt"].to_list())
    tasks = np.unique(frame["task"].to_numpy().astype(str), return_inverse=True)[1].astype(np.int16)
    steps = np.clip(np.rint(vectors * STEPS), -127, 127).astype(np.int8)
    out = Path(__file__).parents[1] / "tests" / "data" / "coverage_excerpt.npz"
    np.savez_compressed(out, vectors=steps, tasks=tasks)
    print(f"{out.name}: {steps.shape[0]:,} rows, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
