"""Near-duplicate texts: time, recall and precision beside the package `datasketch`, on drawn texts.

Usage: python benches/bench_near_duplicates.py [--texts 100000] [--template]

Texts of about 200 characters are drawn from 3,000 words; a tenth are copies of earlier ones with one to
twelve characters changed. With --template every text begins with the same 110 characters. `datasketch` is
asked for the same threshold with as many hash functions over the same shingles; it gives candidates, so these
are verified here with the same exact similarity, and the greedy rule is the same. Prints one Markdown table.
CPU time of one process and one thread.
"""

from __future__ import annotations

import argparse
import os
import random
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tasksel.near_duplicates import SHINGLE_CHARS, SIMILARITY, find_near_duplicates, jaccard_similarity
from tasksel.text_shingles import comparable_text

N_CHARS, N_WORDS, TEMPLATE_CHARS = 200, 3_000, 110


def draw_texts(n_texts, *, template, seed=0):
    """Draw texts, and for each the row that it is an edited copy of, or -1."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(N_WORDS)]
    start = " ".join(rng.choices(words, k=40))[:TEMPLATE_CHARS] if template else ""
    texts, sources = [], []
    for row in range(n_texts):
        source = rng.randrange(row) if row and rng.random() < 0.1 else -1
        if source < 0:
            texts.append((start + " ".join(rng.choices(words, k=40)))[:N_CHARS])
        else:
            chars = list(texts[source])
            for place in rng.sample(range(N_CHARS), rng.randint(1, 12)):
                chars[place] = rng.choice("abcdefghijklmnopqrstuvwxyz")
            texts.append("".join(chars))
        sources.append(source)
    return texts, sources


def ours(texts):
    """Find the repeats by tasksel."""
    return set(find_near_duplicates(texts).rows.tolist())


def theirs(texts):
    """Find the repeats by datasketch's MinHashLSH, verified, with the same greedy rule."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=SIMILARITY, num_perm=128)
    repeats = set()
    for row, text in enumerate(map(comparable_text, texts)):
        shingles = {text[place : place + SHINGLE_CHARS] for place in range(len(text) - SHINGLE_CHARS + 1)}
        signature = MinHash(num_perm=128)
        signature.update_batch([shingle.encode() for shingle in shingles])
        if any(jaccard_similarity(text, texts[other]) >= SIMILARITY for other in lsh.query(signature)):
            repeats.add(row)
        else:
            lsh.insert(row, signature)
    return repeats


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--template", action="store_true")
    arguments = parser.parse_args()
    texts, sources = draw_texts(arguments.texts, template=arguments.template)
    # A copy whose source is itself a copy may be a repeat of something else; those are not counted.
    true = {
        row
        for row, source in enumerate(sources)
        if source >= 0 and sources[source] < 0 and jaccard_similarity(texts[row], texts[source]) >= SIMILARITY
    }
    print("| | texts | CPU s | repeats found | recall of edited copies |\n|---|--:|--:|--:|--:|")
    for name, find in (("tasksel", ours), ("datasketch", theirs)):
        started_s = time.process_time()
        try:
            found = find(texts)
        except ImportError:
            print(f"| {name} | not installed | | | |")
            continue
        spent_s = time.process_time() - started_s
        recall = len(found & true) / max(1, len(true))
        print(f"| {name} | {len(texts):,} | {spent_s:.1f} | {len(found):,} | {recall:.4f} |")


if __name__ == "__main__":
    main()
