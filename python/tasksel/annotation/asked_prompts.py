"""The prompts that were asked so far, over all rounds: what answers are joined to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.annotation.assignment import with_prompt_hashes
from tasksel.run_folder_frames import stack_frames
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RESERVED_COLUMNS", "join_labels", "merge_prompts", "prepare_prompts"]

RESERVED_COLUMNS: Final = ("response", "n_answers", "agreement", "annotators", "prompt_sha256")
"""What the label store adds to a pool's columns; a column of that name is kept as ``pool_<name>``."""


def prepare_prompts(selected: pl.DataFrame) -> pl.DataFrame:
    """Make a selection ready to be joined with answers: hashes of its prompts, no reserved column of its own.

    What was made ready before stays as it is.
    """
    if _is_prepared(selected):
        return selected
    taken = set(selected.columns)
    renamed: dict[str, str] = {
        name: _free_name(f"pool_{name}", taken) for name in RESERVED_COLUMNS if name in taken
    }
    return with_prompt_hashes(selected.rename(renamed))


def _is_prepared(selected: pl.DataFrame) -> bool:
    """Whether the hashes of the prompts are there and right, and no other reserved column is."""
    if set(RESERVED_COLUMNS) & set(selected.columns) != {"prompt_sha256"}:
        return False
    return with_prompt_hashes(selected.select("prompt"))["prompt_sha256"].equals(selected["prompt_sha256"])


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def merge_prompts(before: pl.DataFrame | None, asked: pl.DataFrame) -> pl.DataFrame:
    """Put the prompts of a further round behind those of the rounds before.

    Raises
    ------
    AnnotationError
        An id stands for another prompt than before.
    SchemaError
        A column is of a type that does not go with the one of before.
    """
    if before is None:
        return asked
    both = before.join(asked.select("id", now="prompt_sha256"), on="id", maintain_order="left")
    changed = both.filter(pl.col("prompt_sha256") != pl.col("now"))["id"]
    if len(changed):
        raise AnnotationError(
            f"{len(changed):,} ids stand for other prompts than in the rounds before, the first is "
            f"{changed[0]!r}: label another pool into another run folder."
        )
    new = asked.join(before.select("id"), on="id", how="anti", maintain_order="left")
    return before if new.is_empty() else stack_frames(before, new, "in what was asked before")


def join_labels(prompts: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Give the prompts that have an accepted answer with it, in the order of the prompts."""
    joined = prompts.join(labels, on="id", maintain_order="left")
    first = [name for name in ("id", "task", "prompt", "response") if name in joined.columns]
    return joined.select(*first, pl.exclude(first))


def find_missing(prompts: pl.DataFrame, touched: Iterable[str]) -> list[str]:
    """Return the ids of the prompts that nobody has touched, in order."""
    done = set(touched)
    return [each for each in prompts["id"] if each not in done]
