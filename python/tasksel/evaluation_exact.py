"""Generated answers against references: exact match, token F1 and ROUGE-L, example by example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.answer_match import best_match
from tasksel.pool_files import scan_file
from tasksel.score_files import open_scores
from tasksel.wording import listed, printable
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tasksel.pool import Pool

__all__ = ["EXACT_METRICS", "match_answers", "pair_answers", "read_answers"]

_WRITTEN: Final = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)
"""What is text, or is written as text in one way; numbers besides."""
EXACT_METRICS: Final = ("exact_match", "token_f1", "rouge_l")
ALL_TASKS: Final = "(all)"
"""Stands for the task of a pool without tasks."""


def read_answers(scores: str | os.PathLike[str] | pl.DataFrame) -> pl.DataFrame:
    """Read the answers that a scoring run, or a file of the same columns, recorded.

    Parameters
    ----------
    scores : path or DataFrame
        A run folder of `tasksel score`, or a file or frame with ``id`` and ``generation``.

    Returns
    -------
    pl.DataFrame
        ``id`` and ``generation``, both String.

    Raises
    ------
    SchemaError
        One of the two columns is missing or holds no text, or an id has two answers.
    ResumeError
        The run is not finished.
    """
    parts = []
    for shard in open_scores(scores).shards:
        frame = (
            shard.lazy()
            if isinstance(shard, pl.DataFrame)
            else scan_file(shard, text_columns=("id", "generation"), eager=True).frame
        )
        schema = frame.collect_schema()
        missing = [name for name in ("id", "generation") if name not in schema]
        if missing:
            raise SchemaError(f"The scores lack {' and '.join(missing)}; they have {listed(schema)}.")
        for name in ("id", "generation"):
            dtype = schema[name]
            if not (dtype in _WRITTEN or dtype.is_numeric()):
                raise SchemaError(
                    f"Column {name!r} of the scores is of type {printable(str(dtype))}; text is wanted."
                )
        parts.append(frame.select(pl.col("id", "generation").cast(pl.String)).collect())
    answers = pl.concat(parts)
    repeated = answers.filter(pl.col("id").is_duplicated())
    if repeated.height:
        raise SchemaError(f"The id {repeated['id'][0]!r} has several answers in the scores.")
    return answers


def match_answers(
    pool: Pool, answers: pl.DataFrame, *, cut: Callable[[str], str] | None = None
) -> tuple[pl.DataFrame, list[str]]:
    """Compare each answer with the references of its prompt.

    Parameters
    ----------
    pool : Pool
        With ``response``, and optionally ``references`` (lists of String, all of them right).
    answers : pl.DataFrame
        ``id`` and ``generation``.
    cut : callable, optional
        Takes a generation and returns the answer in it.

    Returns
    -------
    examples : pl.DataFrame
        ``id``, ``task``, ``reference``, ``generation`` and the columns of `EXACT_METRICS`, in pool order.
    notes : list of str
        What was left out.

    Raises
    ------
    SchemaError
        The pool has no responses, or a prompt has no answer.
    """
    joined, notes = _join_answers(pool, answers)
    given = [cut(text) if cut else text for text in joined["generation"]]
    matches = [
        best_match(text, references)
        for text, references in zip(given, joined["references"].to_list(), strict=True)
    ]
    schema = {"exact_match": pl.Boolean, "token_f1": pl.Float64, "rouge_l": pl.Float64}
    examples = joined.select("id", "task", pl.col("references").list.first().alias("reference"), "generation")
    return examples.hstack(pl.DataFrame(matches, schema=schema)), notes


def pair_answers(pool: Pool, answers: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Put each answer beside the response of its prompt, for a judge.

    Parameters
    ----------
    pool : Pool
        With ``response``: the baseline's answers.
    answers : pl.DataFrame
        ``id`` and ``generation``.

    Returns
    -------
    pairs : pl.DataFrame
        ``prompt_id``, ``task``, ``prompt``, ``answer`` and ``baseline_answer``, in pool order.
    notes : list of str
        What was left out.

    Raises
    ------
    SchemaError
        The pool has no responses, or a prompt has no answer.
    """
    joined, notes = _join_answers(pool, answers)
    prompts = joined.join(pool.frame.select("id", "prompt"), on="id", how="left", maintain_order="left")
    baseline = pl.col("references").list.first().alias("baseline_answer")
    answer = pl.col("generation").alias("answer")
    return prompts.select(pl.col("id").alias("prompt_id"), "task", "prompt", answer, baseline), notes


def _join_answers(pool: Pool, answers: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    rows = _with_references(pool)
    known = rows.filter(pl.col("references").list.len() > 0)
    notes = []
    if known.height < rows.height:
        without = rows.height - known.height
        notes.append(f"{without} of {rows.height} prompts have no reference and are left out.")
    if known.is_empty():
        raise SchemaError(f"No prompt of {pool.name} has a response to compare answers with.")
    joined = known.join(answers, on="id", how="left", maintain_order="left")
    missing = joined.filter(pl.col("generation").is_null())
    if missing.height:
        raise SchemaError(
            f"{missing.height} of {joined.height} prompts have no answer in the scores, the first is "
            f"{missing['id'][0]!r}; score this pool first, or give the pool that was scored."
        )
    return joined, notes


def _with_references(pool: Pool) -> pl.DataFrame:
    frame = pool.frame
    if "response" not in frame.columns:
        raise SchemaError(
            f"{pool.name} has no responses to compare answers with; it has {', '.join(frame.columns)}."
        )
    response = pl.concat_list(pl.col("response")).list.drop_nulls()
    references = response
    if frame.schema.get("references") == pl.List(pl.String):
        listed = pl.col("references").list.drop_nulls().fill_null([])
        references = pl.concat_list(response, listed)
    task = pl.col("task").fill_null(ALL_TASKS) if "task" in frame.columns else pl.lit(ALL_TASKS)
    return frame.select("id", task.alias("task"), references.alias("references"))
