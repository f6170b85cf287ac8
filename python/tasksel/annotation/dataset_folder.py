"""An assignment as a folder that Hugging Face's ``datasets.load_dataset`` reads, and such folders back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tasksel.pool_file_scan import first_clause
from tasksel.run_folder import file_sha256, make_folder, text_sha256, write_text
from tasksel.run_folder_frames import write_frame
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "DATA_FOLDER",
    "dataset_folder_sha256",
    "is_dataset_folder",
    "read_dataset_folder",
    "write_dataset_folder",
]

DATA_FOLDER: Final = "data"
_SHARD_ROWS: Final = 50_000
_CARD_NAME: Final = "README.md"
_TYPES: Final[Mapping[pl.DataType, str]] = {
    pl.String(): "string",
    pl.Int64(): "int64",
    pl.Float64(): "float64",
}
_MOST_SHARDS: Final = 10_000


def write_dataset_folder(folder: Path, table: pl.DataFrame, *, title: str) -> tuple[str, ...]:
    """Write Parquet shards below ``data/`` and a dataset card whose head says what they hold.

    Parameters
    ----------
    folder : Path
        An existing folder.
    table : DataFrame
        Texts, integers and floats.
    title : str
        Heading of the card.

    Returns
    -------
    tuple of str
        Names of the files, seen from `folder`.
    """
    make_folder(folder / DATA_FOLDER)
    for old in (folder / DATA_FOLDER).glob("train-*.parquet"):
        old.unlink()
    shards = list(table.iter_slices(_SHARD_ROWS))
    names = [f"{DATA_FOLDER}/train-{each:05d}-of-{len(shards):05d}.parquet" for each in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        write_frame(folder / name, shard)
    write_text(folder / _CARD_NAME, _card(table, title))
    return (*names, _CARD_NAME)


def _card(table: pl.DataFrame, title: str) -> str:
    features = "".join(
        f"  - name: {name}\n    dtype: {_TYPES[dtype]}\n" for name, dtype in table.schema.items()
    )
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
        f"    path: {DATA_FOLDER}/train-*\ndataset_info:\n  features:\n{features}"
        f"  splits:\n  - name: train\n    num_examples: {table.height}\n---\n\n# {_heading(title)}\n\n"
        "Prompts to be answered, best first. Fill in `response`; where there is no answer, say `skipped` or "
        "`rejected` in `status`. Leave `id` and `prompt` as they are: the answers are joined by them.\n"
    )


def _heading(title: str) -> str:
    return "".join(char if char.isalnum() or char in " -_." else " " for char in title).strip() or "Prompts"


def is_dataset_folder(folder: Path) -> bool:
    """Whether a folder is one of `write_dataset_folder`, ``save_to_disk`` or a download of the hub."""
    return bool(_shards(folder))


def _shards(folder: Path) -> list[Path]:
    """Return the files with rows, by name; a list inside the folder is never followed out of it."""
    if (folder / "state.json").is_file():
        return sorted(folder.glob("*.arrow"))
    return sorted([*(folder / DATA_FOLDER).glob("*.parquet"), *folder.glob("*.parquet")])


def read_dataset_folder(folder: Path) -> pl.DataFrame:
    """Read all shards of a folder, Parquet or, as ``save_to_disk`` writes it, Arrow.

    Raises
    ------
    AnnotationError
        There are too many shards, they differ in their columns, or one cannot be read.
    """
    shards = _shards(folder)
    if len(shards) > _MOST_SHARDS:
        raise AnnotationError(f"{folder} has {len(shards):,} shards; up to {_MOST_SHARDS:,} are read.")
    try:
        return pl.concat([_read_shard(each) for each in shards], how="diagonal_relaxed")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise AnnotationError(
            f"{folder} cannot be read as a dataset folder ({first_clause(error)})."
        ) from error


def dataset_folder_sha256(folder: Path) -> str:
    """Hash the files with rows: their content in the order in which it is read."""
    return text_sha256("\n".join(map(file_sha256, _shards(folder))))


def _read_shard(path: Path) -> pl.DataFrame:
    return pl.read_ipc_stream(path) if path.suffix == ".arrow" else pl.read_parquet(path, glob=False)
