"""A pool with tasks that are known: three templates, four topics, and prompts that belong nowhere."""

from __future__ import annotations

import numpy as np
import polars as pl

TEMPLATES = (
    "Translate to French: {}",
    "Summarize the text below.\n{}\nSummary:",
    "{}\nIs this review positive?",
)
TOPICS = {
    "pasta": "cook boil pasta tomato sauce garlic",
    "planets": "planet orbit moon saturn telescope star",
    "football": "goal keeper football match league striker",
    "taxes": "income tax deduction refund form bracket",
}
N_DIMENSIONS = 24
N_PER_TASK = 40


def planted_pool(n_per_task=N_PER_TASK, *, n_odd=4, seed=0):
    """Give a frame with ids, prompts and true tasks, and one vector a prompt."""
    rng = np.random.default_rng(seed)
    prompts, truth = [], []
    for place, template in enumerate(TEMPLATES):
        for number in range(n_per_task):
            words = rng.choice(["red", "blue", "old", "new", "tall", "small", "odd", "round"], 4)
            prompts.append(template.format(f"{' '.join(words)} {number}"))
            truth.append(f"template {place}")
    for topic, words in TOPICS.items():
        for number in range(n_per_task):
            # Each begins in its own way, so that no template is there.
            prompts.append(f"{number} {' '.join(rng.choice(words.split(), 4))} {topic}")
            truth.append(topic)
    names = sorted({*truth})
    centers = np.linalg.qr(np.random.default_rng(9).standard_normal((N_DIMENSIONS, N_DIMENSIONS)))[0][
        : len(names)
    ]
    vectors = centers[[names.index(each) for each in truth]] + 0.08 * rng.standard_normal(
        (len(truth), N_DIMENSIONS)
    )
    odd = rng.standard_normal((n_odd, N_DIMENSIONS))
    odd -= odd @ centers.T @ centers
    prompts += [f"zz{'q' * number} xyzzy" for number in range(n_odd)]
    truth += ["odd"] * n_odd
    order = rng.permutation(len(prompts))
    vectors = np.concatenate([vectors, odd])[order].astype(np.float32)
    frame = pl.DataFrame(
        {"id": [f"p{number}" for number in range(len(order))], "prompt": prompts, "truth": truth}
    )
    return frame.with_columns(pl.col("prompt", "truth").gather(order)), vectors


def agreement(found, truth):
    """Adjusted Rand index of two lists of labels, by the definition over pairs."""
    _, first = np.unique(np.asarray(found, dtype=str), return_inverse=True)
    _, second = np.unique(np.asarray(truth, dtype=str), return_inverse=True)
    upper = np.triu_indices(len(first), 1)
    one = (first[:, None] == first)[upper]
    two = (second[:, None] == second)[upper]
    expected = one.sum() * two.sum() / len(one)
    most = (one.sum() + two.sum()) / 2
    return float(((one & two).sum() - expected) / (most - expected)) if most != expected else 1.0
