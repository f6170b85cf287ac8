"""Which report a folder gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasksel.report.coverage_section import coverage_blocks
from tasksel.report.synthesis_report import read_synthesis_files, synthesis_page
from tasksel.run_folder import MANIFEST_NAME, write_text
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os

    from tasksel.pool import PoolSource

__all__ = ["REPORT_NAME", "write_report"]

REPORT_NAME: Final = "report.html"


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    real: PoolSource | None = None,
    real_embeddings: str | None = None,
    synthetic_embeddings: str | None = None,
    seed: int = 0,
) -> Path:
    """Write one HTML file about a run; it asks nothing of the network and runs no script.

    Parameters
    ----------
    folder : path
        Run folder of ``tasksel synth``.
    out : path, optional
        The file; ``report.html`` in the folder if left out.
    real : path, DataFrame, LazyFrame or Pool, optional
        The real prompts that the synthetic ones are to cover; with both embeddings the report has the
        coverage, the map and the gaps.
    real_embeddings, synthetic_embeddings : str, optional
        Vectors of both, as `tasksel.embedding.read_embeddings` takes them.
    seed : int
        Of the coverage and of the points that the map shows.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        The folder is none that a report can be made of, or a part of what coverage needs is missing.
    ResumeError
        A file in it cannot be read.
    """
    run = Path(folder)
    if not (run / "plan" / MANIFEST_NAME).exists():
        raise ConfigError(
            f"{run} holds nothing that a report is made of; a run folder of `tasksel synth plan` is wanted."
        )
    given = {"real": real, "real_embeddings": real_embeddings, "synthetic_embeddings": synthetic_embeddings}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise ConfigError(f"Coverage wants {', '.join(given)}; not given: {', '.join(missing)}.")
    files = read_synthesis_files(run)
    blocks: list[str] = []
    if real is not None and real_embeddings is not None and synthetic_embeddings is not None:
        blocks = coverage_blocks(files.records, real, real_embeddings, synthetic_embeddings, seed=seed)
    path = run / REPORT_NAME if out is None else Path(out)
    write_text(path, synthesis_page(files, coverage_blocks=blocks).to_html())
    return path
