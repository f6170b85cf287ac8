"""The answers to the prompts of a round, whoever gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.annotation.label_reading import LABELS_FOLDER, read_labels
from tasksel.job.labels import label_selection
from tasksel.job.labels import read_labels as read_label_file
from tasksel.pool import unanswered
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import text_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RoundAnswers", "from_file", "from_imports", "from_pool"]

_ANSWER_SCHEMA: Final = pl.Schema({"id": pl.String(), "response": pl.String()})


@dataclass(frozen=True, eq=False)
class RoundAnswers:
    """What came back for some prompts.

    Parameters
    ----------
    frame : DataFrame
        ``id`` and ``response`` of the prompts that have an answer, in the order asked.
    passed_ids : tuple of str
        Prompts that annotators skipped, rejected or handed in empty: nobody waits for them.
    disputed_ids : tuple of str
        Prompts whose annotators disagree.
    notes : tuple of str
        What a person should know.
    """

    frame: pl.DataFrame = field(repr=False)
    passed_ids: tuple[str, ...] = ()
    disputed_ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of all that follows from them."""
        answers = columns_sha256(self.frame, ("id", "response"))
        return text_sha256("\n".join([answers, *sorted(self.passed_ids)]))

    def open_ids(self, asked: Iterable[str]) -> list[str]:
        """Return which prompts are still waited for."""
        settled = {*self.frame["id"], *self.passed_ids}
        return [each for each in asked if each not in settled]


def from_pool(asked: pl.DataFrame) -> RoundAnswers:
    """Take the responses that the pool has; blank ones count as none.

    Examples
    --------
    >>> from_pool(pl.DataFrame({"id": ["a", "b"], "response": ["4", " "]})).frame["id"].to_list()
    ['a']
    """
    if "response" not in asked.columns:
        return RoundAnswers(pl.DataFrame(schema=_ANSWER_SCHEMA))
    missing = unanswered(asked)["id"].implode()
    return RoundAnswers(_answers(asked.filter(~pl.col("id").is_in(missing))))


def from_file(asked: pl.DataFrame, path: Path) -> RoundAnswers:
    """Take the answers of a file, joined by id or by prompt; a file that is not there has none.

    Raises
    ------
    AnnotationError
        The file has no responses, or two answers to one prompt.
    """
    bare = asked.drop("response", strict=False)
    if not path.is_file():
        return RoundAnswers(pl.DataFrame(schema=_ANSWER_SCHEMA))
    return from_pool(label_selection(bare, read_label_file(path), path.name).frame)


def from_imports(asked: pl.DataFrame, run: Path) -> RoundAnswers:
    """Take the accepted labels of a run folder that answers were imported into.

    Raises
    ------
    ResumeError
        An import was interrupted, or a file is not as it was written.
    """
    if not (run / LABELS_FOLDER).is_dir():
        return RoundAnswers(pl.DataFrame(schema=_ANSWER_SCHEMA))
    labels = read_labels(run)
    ids = asked.select("id")
    found = ids.join(labels.frame.select("id", "response"), on="id", maintain_order="left")
    wanted = set(ids["id"])
    passed = (*labels.rejected_ids, *labels.skipped_ids, *labels.empty_ids)
    return RoundAnswers(
        _answers(found),
        tuple(each for each in passed if each in wanted),
        tuple(each for each in labels.disagreeing_ids if each in wanted),
    )


def _answers(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.col("id").cast(pl.String), pl.col("response").cast(pl.String))
