"""Answers as they come back from any tool, and as they are stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

__all__ = [
    "ANSWERED",
    "ANSWER_SCHEMA",
    "EMPTY",
    "OPEN",
    "REJECTED",
    "RETURNED_SCHEMA",
    "SKIPPED",
    "ReturnedAnswers",
]

ANSWERED: Final = "answered"
EMPTY: Final = "empty"
"""Somebody handed the prompt in without a word."""
SKIPPED: Final = "skipped"
"""Somebody passed the prompt on."""
REJECTED: Final = "rejected"
"""Somebody said that the prompt cannot be used."""
OPEN: Final = "open"
"""Nobody has been there yet; this is never stored."""

ANSWER_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "prompt_sha256": pl.String(),
        "response": pl.String(),
        "status": pl.String(),
        "annotator": pl.String(),
        "source": pl.String(),
        "foreign_id": pl.String(),
        "note": pl.String(),
    }
)
"""One row an answer, as the label store keeps it."""

RETURNED_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "prompt": pl.String(),
        "prompt_sha256": pl.String(),
        "response": pl.String(),
        "status": pl.String(),
        "annotator": pl.String(),
        "foreign_id": pl.String(),
        "note": pl.String(),
    }
)
"""One row an answer, as a tool gave it; null is what the tool does not say."""


@dataclass(frozen=True, eq=False)
class ReturnedAnswers:
    """What came back, before anything is checked.

    Parameters
    ----------
    frame : DataFrame
        `RETURNED_SCHEMA`, in the order of the source.
    format : str
        What the source was recognised as.
    name : str
        Of the file, or host and project of a service.
    sha256 : str
        Of the file's bytes, or of the answers that a service gave.
    notes : tuple of str
        What a person should know of the source.
    """

    frame: pl.DataFrame = field(repr=False)
    format: str
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
