"""What decides the task of a prompt: templates, then the nearest center, else the bucket "other"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tasksel.task_discovery.templates import Template, match_templates
from tasksel.task_discovery.unit_vectors import nearest_centers, usable_rows
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import polars as pl

__all__ = ["OTHER", "DiscoveredTask", "TaskModel", "TypicalPrompt"]

OTHER: Final = "other"
"""Prompts that are empty, or far from every center."""


class TypicalPrompt(NamedTuple):
    """A prompt that stands for a task.

    Attributes
    ----------
    id : str
        In the pool that the task was found in.
    prompt : str
        Its beginning.
    """

    id: str
    prompt: str


@dataclass(frozen=True)
class DiscoveredTask:
    """One task.

    Attributes
    ----------
    name : str
        Unique; letters, digits, blanks and a few marks.
    kind : str
        ``template``, ``cluster``, or ``merged``, of several of them.
    terms : tuple of str
        The most telling n-grams, the first the most.
    examples : tuple of TypicalPrompt
        Up to three, the one nearest to the center first.
    description : str
        What a model wrote of it; empty where none was asked.
    """

    name: str
    kind: str
    terms: tuple[str, ...] = ()
    examples: tuple[TypicalPrompt, ...] = ()
    description: str = ""


@dataclass(frozen=True, eq=False)
class TaskModel:
    """Tasks, and what finds the one of a new prompt.

    Attributes
    ----------
    tasks : tuple of DiscoveredTask
        Without `OTHER`.
    templates : tuple of Template
        The longest that fits a prompt decides.
    template_tasks : ndarray of int64, shape (n_templates,)
        Place of the task of each.
    centers : ndarray of float32, shape (n_centers, n_dimensions)
        Of length one.
    center_tasks : ndarray of int64, shape (n_centers,)
        Place of the task of each.
    least_similarity : float
        A prompt whose cosine similarity with its nearest center is lower is far from all.
    embedding : mapping
        What made the vectors: ``name`` and ``sha256`` of the model, None where they are not known; and how,
        as ``settings``.
    origin : mapping
        Pool and settings that the tasks were found with.
    """

    tasks: tuple[DiscoveredTask, ...]
    templates: tuple[Template, ...]
    template_tasks: npt.NDArray[np.int64]
    centers: npt.NDArray[np.float32]
    center_tasks: npt.NDArray[np.int64]
    least_similarity: float
    embedding: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_dimensions(self) -> int:
        """Columns of the embeddings."""
        return int(self.centers.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(task.name for task in self.tasks)

    def assign(self, texts: pl.Series, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Find the task of each prompt.

        Parameters
        ----------
        texts : pl.Series of String
            From `tasksel.task_discovery.templates.normalised`.
        vectors : ndarray of float32, shape (n_texts, n_dimensions)
            Their embeddings, of the model that `embedding` names.

        Returns
        -------
        ndarray of int64, shape (n_texts,)
            Place of the task; -1 for `OTHER`.

        Raises
        ------
        SchemaError
            The vectors have another number of dimensions, or are not finite.
        """
        self.check_dimensions(vectors.shape[1])
        matches = match_templates(texts, self.templates)
        labels = np.full(len(texts), -1, dtype=np.int64)
        labels[matches >= 0] = self.template_tasks[matches[matches >= 0]]
        rows = np.flatnonzero((matches < 0) & usable_rows(vectors) & (texts != "").to_numpy())
        if len(rows) and len(self.centers):
            nearest = nearest_centers(vectors, rows, self.centers)
            is_near = nearest.similarity >= self.least_similarity
            labels[rows[is_near]] = self.center_tasks[nearest.centers[is_near]]
        return labels

    def check_dimensions(self, n_dimensions: int) -> None:
        """Refuse embeddings that cannot be compared with the centers."""
        if n_dimensions != self.n_dimensions:
            raise SchemaError(
                f"The embeddings have {n_dimensions:,} dimensions and the tasks were found with "
                f"{self.n_dimensions:,}: give those of the same model{self._named()}."
            )

    def _named(self) -> str:
        name = self.embedding.get("name")
        return f" ({name})" if name else ""
