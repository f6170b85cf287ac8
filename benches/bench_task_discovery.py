"""Task discovery against known labels: ours, KMeans and HDBSCAN of scikit-learn, BERTopic; and its cost.

``python benches/bench_task_discovery.py FOLDER --cache CACHE`` reads the sets of `DATA` (Parquet with
``task`` and ``prompt``) in FOLDER, embeds them with MiniLM (kept in CACHE, as is every figure), and prints
Markdown: docs/tasks/README.md has it as it is. ``--data dolly``, ``--seeds 5`` and ``--only known`` make less
or more of it.

All see the same vectors of length one and run on one thread. Noise of HDBSCAN and BERTopic counts as one more
cluster, as does "other" of ours. Constants of ours were chosen by t0_sample alone; the other sets report.

scikit-learn is needed, BERTopic (with umap-learn and hdbscan) is compared where it is installed.
"""

from __future__ import annotations

import os

from contest import ONE_THREAD

os.environ.update(ONE_THREAD)

import argparse
import importlib.util
import json
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tasksel.run_folder import write_json
from tasksel.sentence_embedding import embed_sentences, load_sentence_model
from tasksel.task_discovery.cluster_number import (
    CLEAR_SHARE,
    MAX_ROWS,
    STABLE_SHARE,
    automatic_range,
    candidate_numbers,
    choose_number,
    most_of_the_clear,
)
from tasksel.task_discovery.discovery_settings import DiscoverySettings, automatic_min_size
from tasksel.task_discovery.task_fitting import fit_tasks
from tasksel.task_discovery.task_names import name_tasks
from tasksel.task_discovery.templates import match_templates, mine_templates, normalised
from tasksel.task_discovery.unit_vectors import sampled_rows
from tasksel_core import k_means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

DATA = {"t0_sample": 10_000, "ni_sample": 8_880, "dolly": 15_011, "bbh": 6_511, "mmlu_test": 14_042}
"""Rows that are taken at random; all but of t0_sample, which has 20,884."""
MAX_ITERATIONS, N_STARTS = 50, 3
PCA_COLUMNS = 5
"""BERTopic's default for UMAP's columns."""
BERTOPIC_MIN_SIZE = 10
"""BERTopic's default."""
RULES = {
    "largest stability": (1.0, 0.0),
    "largest silhouette": (0.0, 1.0),
    "2/3, largest silhouette": (2 / 3, 1.0),
    "0.85, 0.9": (0.85, 0.9),
    "2/3, 0.9 (ours)": (STABLE_SHARE, CLEAR_SHARE),
}
"""Shares of the best stability and of the best silhouette that must be reached; the largest such number."""
FIGURES = ("ari", "v", "homogeneity", "completeness")


class Pool:
    """A data set: vectors, texts, and the labels that are known."""

    def __init__(self, folder: Path, cache: Path, name: str) -> None:
        frame = pl.read_parquet(folder / f"{name}.parquet")
        rows = np.sort(np.random.default_rng(0).permutation(frame.height)[: DATA[name]])
        frame = frame[rows.tolist()]
        path = cache / f"{name}.npy"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            prompts = frame["prompt"].fill_null("").to_list()
            np.save(path, embed_sentences(load_sentence_model(device="cpu"), prompts))
        self.name, self.vectors = name, np.load(path)
        self.texts = normalised(frame["prompt"])
        self.labels = np.unique(frame["task"].to_numpy().astype(str), return_inverse=True)[1]
        self.n_known = int(self.labels.max()) + 1


def ours(pool: Pool, seed: int, *, number: bool = False, **settings: object) -> NDArray[np.int64]:
    """Tasks of ours, at their own number or at the known one."""
    n_tasks = pool.n_known if number else None
    asked = DiscoverySettings(n_tasks, seed=seed, **settings)
    return fit_tasks(pool.texts, pool.vectors, asked, min_size=automatic_min_size(len(pool.texts))).labels


def sklearn_k_means(pool: Pool, seed: int, n_clusters: int | None = None) -> NDArray[np.int64]:
    """KMeans of scikit-learn at the known number."""
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters or pool.n_known, n_init=N_STARTS, max_iter=MAX_ITERATIONS, random_state=seed)
    return model.fit(pool.vectors).labels_


def sklearn_hdbscan(pool: Pool, seed: int) -> NDArray[np.int64]:
    """HDBSCAN of scikit-learn on all columns, with the least size of ours."""
    from sklearn.cluster import HDBSCAN

    del seed
    least = automatic_min_size(len(pool.texts))
    return HDBSCAN(min_cluster_size=least, copy=True).fit(pool.vectors).labels_


def bertopic_style(pool: Pool, seed: int) -> NDArray[np.int64]:
    """BERTopic's recipe without UMAP: PCA to five columns, HDBSCAN, names by c-TF-IDF."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    points = PCA(PCA_COLUMNS, random_state=seed).fit_transform(pool.vectors)
    labels = HDBSCAN(min_cluster_size=BERTOPIC_MIN_SIZE, copy=True).fit(points).labels_
    name_tasks(pool.texts, labels.astype(np.int64), int(labels.max()) + 1)
    return labels


def bertopic(pool: Pool, seed: int) -> NDArray[np.int64]:
    """BERTopic with its defaults, but for the seed of UMAP."""
    from bertopic import BERTopic
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reducer = UMAP(
            n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", low_memory=False, random_state=seed
        )
        topics, _ = BERTopic(umap_model=reducer).fit_transform(pool.texts.to_list(), pool.vectors)
    return np.array(topics, dtype=np.int64)


METHODS: dict[str, tuple[Callable[[Pool, int], NDArray[np.int64]], bool]] = {
    "tasksel": (ours, True),
    "tasksel, no templates": (partial(ours, templates=False), True),
    "tasksel, known number": (partial(ours, number=True), True),
    "tasksel, known number, no templates": (partial(ours, number=True, templates=False), True),
    "tasksel, HDBSCAN": (partial(ours, method="hdbscan"), False),
    "KMeans (scikit-learn), known number": (sklearn_k_means, True),
    "HDBSCAN (scikit-learn)": (sklearn_hdbscan, False),
    "PCA, HDBSCAN, c-TF-IDF": (bertopic_style, False),
    "BERTopic": (bertopic, True),
}
"""Name, what gives labels, and whether these depend on the seed."""


def measure(pool: Pool, method: str, seed: int) -> dict[str, float]:
    """Figures of one run, and its CPU seconds."""
    from sklearn.metrics import adjusted_rand_score, homogeneity_completeness_v_measure

    started = time.process_time()
    labels = METHODS[method][0](pool, seed)
    seconds = time.process_time() - started
    homogeneity, completeness, v = homogeneity_completeness_v_measure(pool.labels, labels)
    return {
        "tasks": len(np.unique(labels[labels >= 0])),
        "other": float((labels < 0).mean()),
        "ari": float(adjusted_rand_score(pool.labels, labels)),
        "v": float(v),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        "cpu_s": seconds,
    }


class Store:
    """Figures by name in a file; what is there is not measured again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str, make: Callable[[], object]) -> object:
        """Return what is known, or measure it and keep it."""
        if key not in self.content:
            self.content[key] = make()
            write_json(self.path, self.content)
        return self.content[key]


def quality_lines(pool: Pool, n_seeds: int, only: str, store: Store) -> Iterator[str]:
    """Give a row a method: mean and standard deviation over the seeds."""
    for method, (_, is_random) in METHODS.items():
        if only not in method or (method == "BERTopic" and importlib.util.find_spec("bertopic") is None):
            continue
        seeds = range(n_seeds if is_random else 1)
        runs = [
            store.get(f"{pool.name}/{method}/{seed}", partial(measure, pool, method, seed)) for seed in seeds
        ]
        cells = [spread([run[name] for run in runs], 3) for name in FIGURES]
        tasks = spread([run["tasks"] for run in runs], 0)
        other = f"{np.mean([run['other'] for run in runs]):.1%}"
        seconds = f"{np.median([run['cpu_s'] for run in runs]):.1f}"
        yield f"| {method} | {tasks} | {other} | {' | '.join(cells)} | {seconds} |"


def spread(values: list[float], digits: int) -> str:
    """Write a mean, and the standard deviation where there is one."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def measure_rules(pool: Pool, *, all_rows: bool) -> dict[str, list[float]]:
    """Which number each rule takes, and what clusters of so many are worth."""
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    rows = np.arange(len(pool.texts))
    if not all_rows:
        found = mine_templates(pool.texts, min_prompts=automatic_min_size(len(pool.texts)))
        rows = np.flatnonzero(match_templates(pool.texts, found) < 0)
    points, labels = pool.vectors[rows], pool.labels[rows]
    sample = points[sampled_rows(np.arange(len(points)), MAX_ROWS, 0)]
    curve = choose_number(sample, candidate_numbers(*automatic_range(len(points))), seed=0).curve
    chosen = {}
    for rule, (stable_share, clear_share) in RULES.items():
        number = most_of_the_clear(curve, stable_share=stable_share, clear_share=clear_share)
        given = k_means(points, number, n_init=N_STARTS, max_iterations=MAX_ITERATIONS)[1]
        chosen[rule] = [number, adjusted_rand_score(labels, given), v_measure_score(labels, given)]
    chosen["rows"] = [len(rows), len(np.unique(labels))]
    return chosen


def rule_lines(pools: list[Pool], store: Store) -> Iterator[str]:
    """Give a row a data set, with and without the prompts that have a template."""
    for pool in pools:
        for all_rows in (True, False):
            key = f"{pool.name}/rules/{all_rows}"
            if not all_rows and pool.name == "ni_sample":
                continue  # templates leave two dozen prompts
            found = store.get(key, partial(measure_rules, pool, all_rows=all_rows))
            cells = [f"{found[rule][0]:.0f}: {found[rule][1]:.3f}, {found[rule][2]:.3f}" for rule in RULES]
            rows, known = found["rows"]
            part = "all" if all_rows else "without template"
            yield f"| {pool.name}, {part} ({rows:,}) | {known} | {' | '.join(cells)} |"


def measure_ratio(vectors: NDArray[np.float32], n_clusters: int) -> list[float]:
    """CPU seconds of KMeans and of ours in turns; and their inertias."""
    from sklearn.cluster import KMeans

    pairs, inertias = [], []
    for seed in range(3):
        started = time.process_time()
        theirs = KMeans(n_clusters, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed).fit(vectors)
        between = time.process_time()
        own = k_means(vectors, n_clusters, seed=seed, max_iterations=MAX_ITERATIONS, n_threads=1)
        pairs.append((between - started, time.process_time() - between))
        inertias.append(own[2] / theirs.inertia_)
    seconds = np.median(pairs, axis=0)
    ratio = float(np.median([theirs / ours for theirs, ours in pairs]))
    return [float(seconds[0]), float(seconds[1]), ratio, float(np.mean(inertias))]


def cost_lines(pools: list[Pool], store: Store) -> Iterator[str]:
    """Give a row a data set: k-means at the known number."""
    for pool in pools:
        for n_clusters in sorted({pool.n_known, 100}):
            key = f"{pool.name}/ratio/{n_clusters}"
            theirs, own, ratio, inertia = store.get(key, partial(measure_ratio, pool.vectors, n_clusters))
            yield (
                f"| {pool.name} ({len(pool.vectors):,}) | {n_clusters} | {theirs:.2f} | {own:.2f} "
                f"| {ratio:.1f}× | {inertia:.4f} |"
            )


def made_prompts(n_rows: int) -> pl.Series:
    """Half with one of 300 templates, half without."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5_000)])
    tails = words[rng.integers(len(words), size=(n_rows, 12))]
    with_template = rng.random(n_rows) < 0.5
    places = rng.integers(300, size=n_rows)
    return pl.Series(
        [
            f"Instruction number {place}: do what it says with this. {' '.join(tail)}"
            if has_template
            else " ".join(tail)
            for tail, place, has_template in zip(tails, places, with_template, strict=True)
        ]
    )


def measure_mining(n_rows: int) -> list[float]:
    """CPU seconds to find the templates of so many prompts and to match them."""
    texts = made_prompts(n_rows)
    started = time.process_time()
    texts = normalised(texts)
    found = mine_templates(texts, min_prompts=automatic_min_size(n_rows))
    middle = time.process_time()
    match_templates(texts, found)
    return [len(found), middle - started, time.process_time() - middle]


def mining_lines(store: Store) -> Iterator[str]:
    """Give a row a size."""
    for n_rows in (10_000, 100_000, 1_000_000):
        found, mined, matched = store.get(f"mining/{n_rows}", partial(measure_mining, n_rows))
        yield f"| {n_rows:,} | {found:.0f} | {mined:.1f} | {matched:.1f} |"


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".benchmarks") / "tasks")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="methods with this in their name")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    store = Store(options.cache / "figures.json")
    pools = [Pool(options.folder, options.cache, name) for name in options.data.split(",")]
    for pool in pools:
        print(f"\n**{pool.name}**: {len(pool.texts):,} prompts, {pool.n_known} known tasks\n")
        print("| method | tasks | other | ARI | NMI = V | homogeneity | completeness | CPU s |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|")
        print(*quality_lines(pool, options.seeds, options.only, store), sep="\n", flush=True)
    if not options.only:
        print("\n### Which rule for the number\n\nThe number that each takes: ARI, V of k-means.\n")
        print(f"| data (rows) | known | {' | '.join(RULES)} |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        print(*rule_lines(pools, store), sep="\n", flush=True)
        print(
            "\n### What it costs\n\nk-means, CPU seconds of one run of at most 50 iterations on one thread:\n"
        )
        print("| data (rows) | clusters | KMeans | tasksel | ratio | inertia, ours / theirs |")
        print("|---|--:|--:|--:|--:|--:|")
        print(*cost_lines(pools, store), sep="\n", flush=True)
        print("\nTemplates, CPU seconds:\n")
        print("| prompts | templates | finding | matching |")
        print("|--:|--:|--:|--:|")
        print(*mining_lines(store), sep="\n")


if __name__ == "__main__":
    main()
