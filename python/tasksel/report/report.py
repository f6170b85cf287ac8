"""Which report a folder gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.file_places import refuse_overwriting
from tasksel.report.coverage_section import coverage_blocks
from tasksel.report.pictures import Pictures
from tasksel.report.run_report import find_selections, run_page
from tasksel.report.selection_reading import read_material
from tasksel.report.selection_report import selection_page
from tasksel.report.study_report import study_page
from tasksel.report.synthesis_report import read_synthesis_files, synthesis_page
from tasksel.run_folder import MANIFEST_NAME, read_json, write_text
from tasksel.selection import SELECT_STAGE
from tasksel.study.publication import STUDY_NAME, read_study
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os

    import polars as pl
    from numpy.typing import NDArray

    from tasksel.html_page import Page
    from tasksel.pool import PoolSource

__all__ = ["REPORT_NAME", "WrittenReport", "write_report", "write_report_files"]

REPORT_NAME: Final = "report.html"


def write_report(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    pool: PoolSource | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    embeddings: str | os.PathLike[str] | NDArray[Any] | None = None,
    plots: str | os.PathLike[str] | None = None,
    plot_format: str = "svg",
    real: PoolSource | None = None,
    real_embeddings: str | None = None,
    synthetic_embeddings: str | None = None,
    seed: int = 0,
) -> Path:
    """Write one HTML file about a selection, a run, a study or a synthetic run; it makes no request.

    Parameters
    ----------
    folder : path
        A selection, a run folder with selections in it, or a folder of ``tasksel study`` or
        ``tasksel synth``.
    out : path, optional
        The file; ``report.html`` in the folder if left out.
    pool, scores, embeddings
        What the selection was made from, as in `tasksel.explain`; by default what stands beside it.
    plots : path, optional
        Folder that each plot is written to as a file besides.
    plot_format : {"svg", "png", "html"}
        As what.
    real : path, DataFrame, LazyFrame or Pool, optional
        Of a synthetic run: the real prompts that the synthetic ones are to cover; with both embeddings the
        report has the coverage, the map and the gaps.
    real_embeddings, synthetic_embeddings : str, optional
        Vectors of both, as `tasksel.embedding.read_embeddings` takes them.
    seed : int
        Of all that is drawn at random.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        The folder is none that a report can be made of, or an option does not belong to it.
    ResumeError
        A file in it cannot be read, or was changed.
    MissingExtraError
        Plots are to be written, and altair or vl-convert is not installed (extra ``plots``).
    """
    return write_report_files(
        folder,
        out,
        pool=pool,
        scores=scores,
        embeddings=embeddings,
        plots=plots,
        plot_format=plot_format,
        real=real,
        real_embeddings=real_embeddings,
        synthetic_embeddings=synthetic_embeddings,
        seed=seed,
    ).path


_PAGE_SUFFIXES: Final = (".html", ".htm")


class WrittenReport(NamedTuple):
    """The page, and the plots that were written as files."""

    path: Path
    plots: tuple[Path, ...]


def write_report_files(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    plots: str | os.PathLike[str] | None = None,
    plot_format: str = "svg",
    seed: int = 0,
    **named: Any,
) -> WrittenReport:
    """Write a report and name every file; parameters and errors as in `write_report`."""
    place = Path(folder)
    kind = _kind_of(place)
    given = _Given(
        selection={name: named.get(name) for name in ("pool", "scores", "embeddings")},
        synthesis={name: named.get(name) for name in ("real", "real_embeddings", "synthetic_embeddings")},
    )
    given.check(kind)
    path = place / REPORT_NAME if out is None else Path(out)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; allowed: a file to write the report to.")
    if path.exists() and path.suffix.lower() not in _PAGE_SUFFIXES:
        raise ConfigError(f"{path} exists and is no page; choose a name that ends in {_PAGE_SUFFIXES[0]}.")
    refuse_overwriting([path], named.values())
    pictures = Pictures(plots, plot_format)
    write_text(path, _page(kind, place, pictures, given, seed).to_html())
    return WrittenReport(path, tuple(pictures.written))


@dataclass(frozen=True)
class _Given:
    """What the caller named for one kind of report or another."""

    selection: dict[str, Any]
    synthesis: dict[str, Any]

    def check(self, kind: str) -> None:
        for options, kinds in ((self.selection, ("selection", "run")), (self.synthesis, ("synthetic run",))):
            unused = [name for name, value in options.items() if value is not None]
            if unused and kind not in kinds:
                raise ConfigError(
                    f"{unused[0]} is given and belongs to the report of a {' or '.join(kinds)}; this is that "
                    f"of a {kind}."
                )
        missing = [name for name, value in self.synthesis.items() if value is None]
        if 0 < len(missing) < len(self.synthesis):
            raise ConfigError(f"Coverage wants {', '.join(self.synthesis)}; not given: {', '.join(missing)}.")


def _kind_of(folder: Path) -> str:
    if _stage_of(folder) == SELECT_STAGE:
        return "selection"
    if (folder / "plan" / MANIFEST_NAME).exists():
        return "synthetic run"
    if (folder / STUDY_NAME).exists():
        return "study"
    if find_selections(folder):
        return "run"
    raise ConfigError(_nothing_here(folder))


def _stage_of(folder: Path) -> Any:
    path = folder / MANIFEST_NAME
    return read_json(path).get("stage") if path.is_file() else None


def _nothing_here(folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder}; {_ALLOWED}."
    if (folder / "cells.csv").exists() and (folder / "report.md").exists():
        return (
            f"{folder} holds a study of an older tasksel, which its report cannot be made from; run the same "
            "`tasksel study` again, which keeps everything that is finished."
        )
    return f"{folder} holds nothing that a report is made of; {_ALLOWED}."


_ALLOWED: Final = (
    "allowed: a folder of `tasksel select --out`, a run folder with such folders in it, a folder of "
    "`tasksel study`, or a run folder of `tasksel synth plan`"
)


def _page(kind: str, folder: Path, pictures: Pictures, given: _Given, seed: int) -> Page:
    if kind == "selection":
        return selection_page(read_material(folder, **given.selection, seed=seed), pictures)
    if kind == "run":
        return run_page(folder, pictures, given.selection, seed=seed)
    if kind == "study":
        return study_page(read_study(folder), pictures)
    files = read_synthesis_files(folder)
    blocks: list[str] = []
    if given.synthesis["real"] is not None:
        blocks = coverage_blocks(files.records, *given.synthesis.values(), pictures=pictures, seed=seed)
    return synthesis_page(files, coverage_blocks=blocks)
