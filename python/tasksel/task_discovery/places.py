"""Where the files of a discovery go, checked before a large pool is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasksel.task_discovery.pool_output import check_output
from tasksel.task_discovery.result import default_model_folder
from tasksel.task_discovery.task_model_files import check_model_folder
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os

__all__ = ["Places"]


@dataclass(frozen=True)
class Places:
    """Where files go.

    Attributes
    ----------
    out : Path or None
        The pool with its tasks; None where none is written.
    model_folder : Path
        The task model.
    writes_model : bool
        Whether it is written.
    """

    out: Path | None
    model_folder: Path
    writes_model: bool

    @classmethod
    def checked(
        cls,
        inputs: tuple[object, ...],
        out: str | os.PathLike[str] | None,
        model_out: str | os.PathLike[str] | None,
        *,
        needs_folder: bool,
    ) -> Places:
        """Refuse places in which something else would be replaced, before a large pool is read."""
        path = None if out is None else check_output(out, inputs)
        if model_out is None and path is None:
            if needs_folder:
                raise ConfigError(
                    "Tasks are named by a model, whose replies are kept in the task model's folder: name it "
                    "with --out or --model-out (out=, model_out=)."
                )
            return cls(None, Path(), writes_model=False)
        folder = (
            default_model_folder(path) if model_out is None and path is not None else Path(model_out or "")
        )
        return cls(path, check_model_folder(folder), writes_model=True)

    @property
    def run_folder(self) -> Path | None:
        """Where vectors that are made here are kept."""
        return None if self.out is None else self.out.with_name(f"{self.out.stem}-embeddings")
