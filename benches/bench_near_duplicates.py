"""Near-duplicate texts against the package `datasketch`: time, and which edited copies are found.

Run ``python benches/bench_near_duplicates.py`` for the table, with ``--json`` for one JSON object.

Texts of about 200 characters are drawn from 3,000 words; a tenth are copies of earlier ones with one to
twelve characters changed. In the second case every text begins with the same 110 characters. `datasketch` is
asked for the same threshold over the same shingles; it gives candidates, so these are verified here with the
same exact similarity, and the greedy rule is the same. Both find by chance, so results are compared by the
edited copies that each finds: tasksel may miss one in a thousand, and the recall of both is told.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, partial

from contest import Alternative, Case, main
from tasksel.near_duplicates import SHINGLE_CHARS, SIMILARITY, find_near_duplicates, jaccard_similarity
from tasksel.text_shingles import comparable_text

N_CHARS, N_WORDS, TEMPLATE_CHARS = 200, 3_000, 110
N_TEXTS = 20_000
MOST_EDITS = 12
LEAST_RECALL = 0.999


@dataclass(frozen=True)
class Texts:
    """Texts, and for each the row that it is an edited copy of, or -1."""

    texts: list[str]
    sources: list[int]

    @cached_property
    def copies(self) -> set[int]:
        """Rows that are to be found; a copy of a copy may be a repeat of something else and is left out."""
        return {
            row
            for row, source in enumerate(self.sources)
            if source >= 0
            and self.sources[source] < 0
            and jaccard_similarity(self.texts[row], self.texts[source]) >= SIMILARITY
        }

    def recall(self, found: set[int]) -> float:
        """Share of the copies among the rows that were found."""
        return len(found & self.copies) / max(1, len(self.copies))


def draw_texts(scale: float, *, template: bool) -> Texts:
    """Draw texts, some of which are edited copies of earlier ones."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(N_WORDS)]
    start = " ".join(rng.choices(words, k=40))[:TEMPLATE_CHARS] if template else ""
    texts: list[str] = []
    sources: list[int] = []
    for row in range(round(N_TEXTS * scale)):
        source = rng.randrange(row) if row and rng.random() < 0.1 else -1
        if source < 0:
            texts.append((start + " ".join(rng.choices(words, k=40)))[:N_CHARS])
        else:
            texts.append(edited(texts[source], rng))
        sources.append(source)
    return Texts(texts, sources)


def edited(text: str, rng: random.Random) -> str:
    """Change a few characters."""
    characters = list(text)
    for place in rng.sample(range(len(text)), rng.randint(1, MOST_EDITS)):
        characters[place] = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(characters)


def ours(data: Texts) -> set[int]:
    """Find the repeats by tasksel."""
    return set(find_near_duplicates(data.texts).rows.tolist())


def by_datasketch(data: Texts) -> set[int]:
    """Find the repeats by MinHashLSH, verified, with the same greedy rule."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=SIMILARITY, num_perm=128)
    repeats = set()
    for row, text in enumerate(map(comparable_text, data.texts)):
        shingles = {text[place : place + SHINGLE_CHARS] for place in range(len(text) - SHINGLE_CHARS + 1)}
        signature = MinHash(num_perm=128)
        signature.update_batch([shingle.encode() for shingle in shingles])
        if any(jaccard_similarity(text, data.texts[other]) >= SIMILARITY for other in lsh.query(signature)):
            repeats.add(row)
        else:
            lsh.insert(row, signature)
    return repeats


def recalls(data: Texts, found: set[int], by_them: set[int]) -> str:
    """Raise where too many copies are missed; tell the share that each side finds."""
    recall = data.recall(found)
    assert recall >= LEAST_RECALL or len(data.copies - found) <= 1, f"only {recall:.4f} of the copies found"
    return f"recall of edited copies {recall:.4f}, theirs {data.recall(by_them):.4f}"


CASES = [
    Case(
        "near-duplicates",
        f"{N_TEXTS // 1000}k texts{' that begin alike' if template else ''}",
        partial(draw_texts, template=template),
        ours,
        (Alternative("datasketch", by_datasketch, ("datasketch",)),),
        recalls,
        is_quick=not template,
    )
    for template in (False, True)
]


if __name__ == "__main__":
    main(__file__, __doc__, CASES)
