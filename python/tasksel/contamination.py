"""Does a pool hold what it will be judged by? Word 13-grams, and near-duplicate embeddings where given.

A pool that shares long runs of words with a benchmark makes a study on that benchmark worthless, so this is
asked before a study reports. Short questions cannot be told apart by words and are counted as unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.embedding import read_embeddings
from tasksel.file_places import refuse_overwriting
from tasksel.pool import load_pool
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, make_folder, write_json
from tasksel.run_folder_frames import write_frame
from tasksel.run_folder_identity import find_versions
from tasksel.text_shingles import hash_word_runs, number_words, word_keys
from tasksel_core import nearest_neighbours
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.pool import Pool, PoolSource
    from tasksel.text_shingles import WordRuns

__all__ = ["BENCHMARK_NAMES", "Contamination", "check_contamination", "compare_words"]

BENCHMARK_NAMES: Final = {
    "mmlu": "mmlu_test.parquet",
    "bbh": "bbh.parquet",
    "alpaca_eval": "alpaca_eval.parquet",
}
NGRAM_WORDS: Final = 13
MIN_WORDS: Final = 8
MAX_ROWS_OF_A_RUN: Final = 10
"""Runs of words in more rows of a benchmark are its template, as in Brown et al. (2020), appendix C."""
SIMILARITY: Final = 0.95
HITS_NAME: Final = "hits.parquet"

_HIT_SCHEMA: Final = {
    "pool_id": pl.String,
    "reference": pl.String,
    "reference_id": pl.String,
    "kind": pl.String,
    "similarity": pl.Float64,
    "text": pl.String,
}


@dataclass(frozen=True)
class Contamination:
    """What a pool shares with each reference.

    Attributes
    ----------
    pool : dict
        Name, rows and SHA-256 of the pool.
    references : list of dict
        For each: ``name``, ``sha256``, ``rows``, ``unchecked_rows`` (too few words), ``ngram_rows`` and
        ``pool_ngram_rows`` (rows of the reference and of the pool that share a run of words),
        ``similar_rows`` and ``pool_similar_rows`` (None without embeddings).
    hits : pl.DataFrame
        ``pool_id``, ``reference``, ``reference_id``, ``kind`` (``ngram`` or ``embedding``), ``similarity``
        (cosine; null for words) and ``text`` (the shared words); for each kind at most one row a pool row and
        reference.
    """

    pool: dict[str, Any]
    references: list[dict[str, Any]]
    hits: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-compatible account."""
        return {"pool": self.pool, "references": self.references, "hits": self.hits.to_dicts()}


def check_contamination(
    pool: PoolSource,
    against: Sequence[str | os.PathLike[str]],
    *,
    benchmarks: str | os.PathLike[str] | None = None,
    embeddings: str | None = None,
    out: str | os.PathLike[str] | None = None,
    task_column: str | None = None,
    id_column: str | None = None,
) -> Contamination:
    """Look for rows of a pool that share words, or nearly their meaning, with evaluation sets.

    Words are runs of letters and digits in lower case. Prompts and responses of both sides are compared. A
    reference text of 8 to 12 words is one run of its own length; a shorter one cannot be checked.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool
        Anything that `tasksel.pool.load_pool` reads.
    against : sequence of path or str
        Files that `load_pool` reads, or the names ``mmlu``, ``bbh`` and ``alpaca_eval``.
    benchmarks : path, optional
        Folder in which those names stand for files.
    embeddings : str, optional
        Column with a vector a prompt that the pool and all references have: pairs with a cosine of at least
        .95 are reported too.
    out : path, optional
        Folder for ``hits.parquet`` and ``manifest.json``.
    task_column, id_column : str, optional
        Columns of the pool that hold task and id under other names.

    Returns
    -------
    Contamination

    Raises
    ------
    ConfigError
        Nothing to compare with was named, or a name needs `benchmarks`.
    SchemaError
        A file cannot be read, or lacks the embeddings.

    References
    ----------
    Brown, T., et al. (2020). Language Models are Few-Shot Learners, appendix C. NeurIPS.

    Examples
    --------
    >>> text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    >>> pool = pl.DataFrame({"id": ["a", "b"], "prompt": [f"Now {text}!", "nothing"]})
    >>> reference = pl.DataFrame({"id": ["q"], "prompt": [text.upper()]})
    >>> reference.write_parquet("reference.parquet")
    >>> found = check_contamination(pool, ["reference.parquet"])
    >>> found.references[0]["ngram_rows"], found.hits["pool_id"].to_list()
    (1, ['a'])
    """
    if not against:
        raise ConfigError(
            f"Nothing to compare with was named; allowed are files and {', '.join(BENCHMARK_NAMES)}."
        )
    if out is not None:
        refuse_overwriting((Path(out) / name for name in (HITS_NAME, MANIFEST_NAME)), (pool, *against))
    loaded = load_pool(pool, task_column=task_column, id_column=id_column)
    folder = None if benchmarks is None else Path(benchmarks)
    paths = {str(each): _find_reference(each, folder) for each in against}
    accounts, hits = [], []
    for name, path in paths.items():
        reference = load_pool(path)
        account, found = compare_words(loaded, reference, name)
        similar = None if embeddings is None else _compare_vectors(loaded, reference, name, embeddings)
        accounts.append({"name": name, "sha256": reference.sha256, **account, **_count_similar(similar)})
        hits += [found] if similar is None else [found, similar]
    described = {"name": loaded.name, "rows": loaded.frame.height, "sha256": loaded.sha256}
    result = Contamination(described, accounts, pl.concat(hits))
    if out is not None:
        _write(Path(out), result)
    return result


def _find_reference(each: str | os.PathLike[str], benchmarks: Path | None) -> Path:
    if str(each) not in BENCHMARK_NAMES:
        return Path(each)
    if benchmarks is None:
        raise ConfigError(
            f"{each} stands for a file in a folder of benchmarks; name the folder, or the file."
        )
    return benchmarks / BENCHMARK_NAMES[str(each)]


def compare_words(pool: Pool, reference: Pool, name: str) -> tuple[dict[str, Any], pl.DataFrame]:
    """Look for rows of a pool that share runs of words with a reference; both are in memory.

    Parameters
    ----------
    pool, reference : Pool
        From `tasksel.pool.load_pool`.
    name : str
        Of the reference, as it stands in the hits.

    Returns
    -------
    account : dict
        ``rows``, ``unchecked_rows``, ``ngram_rows`` and ``pool_ngram_rows`` as in `Contamination.references`.
    hits : pl.DataFrame
        As `Contamination.hits`, one row a pool row that shares words.
    """
    vocabulary: dict[str, int] = {}
    pool_words, pool_rows = _words(pool.frame, vocabulary)
    reference_words, reference_rows = _words(reference.frame, vocabulary)
    keys = word_keys(len(vocabulary))
    found = pl.DataFrame(schema=_MATCH_SCHEMA)
    for length in range(MIN_WORDS, NGRAM_WORDS + 1):
        runs = hash_word_runs(_of_length(reference_words, length), keys, length)
        if len(runs.hashes):
            found.extend(
                _match(hash_word_runs(pool_words, keys, length), pool_rows, runs, reference_rows, length)
            )
    account = {
        "rows": reference.frame.height,
        "unchecked_rows": reference.frame.height
        - len({*reference_rows[_lengths(reference_words) >= MIN_WORDS]}),
        "ngram_rows": found["reference_row"].n_unique(),
        "pool_ngram_rows": found["pool_row"].n_unique(),
    }
    first = found.unique("pool_row", keep="first", maintain_order=True).sort("pool_row")
    spoken = list(vocabulary)
    texts = [
        " ".join(spoken[number] for number in pool_words[text][start : start + length])
        for text, start, length in first.select("pool_text", "start", "length").iter_rows()
    ]
    similarity = pl.Series("similarity", [None] * first.height, pl.Float64)
    return account, _hits(
        pool, reference, name, "ngram", first.with_columns(similarity, pl.Series("text", texts, pl.String))
    )


def _of_length(words: list[list[int]], length: int) -> list[list[int]]:
    """Keep texts that are compared in runs of `length`: a shorter text is one run of its own length."""
    if length == NGRAM_WORDS:
        return words
    return [each if len(each) == length else [] for each in words]


def _lengths(words: list[list[int]]) -> npt.NDArray[np.int64]:
    return np.array([len(each) for each in words], dtype=np.int64)


_MATCH_SCHEMA: Final = dict.fromkeys(("pool_row", "pool_text", "start", "length", "reference_row"), pl.Int64)


def _words(frame: pl.DataFrame, vocabulary: dict[str, int]) -> tuple[list[list[int]], npt.NDArray[np.int64]]:
    """Give the words of all prompts and then all responses as numbers, and the row of each text."""
    names = [name for name in ("prompt", "response") if name in frame.columns]
    texts = (text for name in names for text in frame[name].fill_null(""))
    return number_words(texts, vocabulary), np.tile(np.arange(frame.height, dtype=np.int64), len(names))


def _match(
    pool_runs: WordRuns,
    pool_rows: npt.NDArray[np.int64],
    runs: WordRuns,
    reference_rows: npt.NDArray[np.int64],
    length: int,
) -> pl.DataFrame:
    """Join the runs of both sides, but for those that stand in many rows of the reference."""
    ours = pl.DataFrame(
        {
            "hash": pool_runs.hashes,
            "pool_row": pool_rows[pool_runs.texts],
            "pool_text": pool_runs.texts,
            "start": pool_runs.starts,
        }
    )
    theirs = pl.DataFrame({"hash": runs.hashes, "reference_row": reference_rows[runs.texts]}).unique(
        maintain_order=True
    )
    rare = theirs.filter(pl.len().over("hash") <= MAX_ROWS_OF_A_RUN)
    joined = ours.join(rare, on="hash", how="inner", maintain_order="left_right")
    return joined.select(
        "pool_row", "pool_text", "start", pl.lit(length, pl.Int64).alias("length"), "reference_row"
    ).cast(pl.Int64)


def _compare_vectors(pool: Pool, reference: Pool, name: str, column: str) -> pl.DataFrame:
    ours, theirs = (read_embeddings(column, each.frame) for each in (pool, reference))
    rows, distances = nearest_neighbours(ours, theirs, 1, metric="cosine")
    # The kernel gives the distance between vectors scaled to length one.
    similarity = 1.0 - distances[:, 0].astype(np.float64) ** 2 / 2
    close = np.flatnonzero(similarity >= SIMILARITY)
    found = pl.DataFrame(
        {
            "pool_row": close,
            "reference_row": rows[close, 0],
            "similarity": similarity[close],
            "text": pl.Series([None] * len(close), dtype=pl.String),
        }
    )
    return _hits(pool, reference, name, "embedding", found)


def _hits(pool: Pool, reference: Pool, name: str, kind: str, found: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pool_id": pool.frame["id"].gather(found["pool_row"]),
            "reference": pl.Series([name] * found.height, dtype=pl.String),
            "reference_id": reference.frame["id"].gather(found["reference_row"]),
            "kind": pl.Series([kind] * found.height, dtype=pl.String),
            "similarity": found["similarity"],
            "text": found["text"],
        },
        schema=_HIT_SCHEMA,
    )


def _count_similar(similar: pl.DataFrame | None) -> dict[str, int | None]:
    if similar is None:
        return {"similar_rows": None, "pool_similar_rows": None}
    return {"similar_rows": similar["reference_id"].n_unique(), "pool_similar_rows": similar.height}


def _write(folder: Path, result: Contamination) -> None:
    make_folder(folder)
    write_frame(folder / HITS_NAME, result.hits)
    manifest = {
        "format_version": FORMAT_VERSION,
        "pool": result.pool,
        "references": result.references,
        "settings": {
            "ngram_words": NGRAM_WORDS,
            "min_words": MIN_WORDS,
            "max_rows_of_a_run": MAX_ROWS_OF_A_RUN,
            "similarity": SIMILARITY,
        },
        "versions": find_versions(("tasksel",)),
    }
    write_json(folder / MANIFEST_NAME, manifest)
