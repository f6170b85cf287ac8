"""What is compared, checked once: two sets of vectors of one width, and labels where there are some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel_core.errors import ArrayError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = ["check_dimensions", "check_labels", "check_pair", "check_vectors", "kept_rows"]

BLOCK_ROWS: Final = 8192


def check_pair(real: npt.ArrayLike, synthetic: npt.ArrayLike) -> tuple[Any, Any]:
    """Return both sets in float32, row after row in memory; float32 arrays that are so are not copied.

    Raises
    ------
    ArrayError
        A set is empty, has no columns or values that are not finite, or the widths differ.
    """
    pair = check_vectors("real_embeddings", real), check_vectors("synthetic_embeddings", synthetic)
    if pair[0].shape[1] != pair[1].shape[1]:
        raise ArrayError(
            f"real_embeddings has {pair[0].shape[1]} columns and synthetic_embeddings {pair[1].shape[1]}; "
            "both must come from one model."
        )
    return pair


def check_vectors(name: str, vectors: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return vectors in float32, shape (n_rows, n_columns); see `check_pair`."""
    given = np.asarray(vectors)
    if given.ndim != 2 or not given.shape[0] or not given.shape[1]:
        raise ArrayError(f"{name} has shape {given.shape}; allowed: at least one row and one column.")
    if given.dtype.kind not in "fiu" and given.dtype.name != "bfloat16":
        raise ArrayError(f"{name} has dtype {given.dtype}; allowed: numbers, best float32.")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(given, dtype=np.float32)
    for start in range(0, len(array), BLOCK_ROWS):
        bad = ~np.isfinite(array[start : start + BLOCK_ROWS]).all(axis=1)
        if bad.any():
            raise ArrayError(
                f"{name} row {start + int(bad.argmax())} holds NaN, infinity or a number beyond float32; "
                "allowed: finite numbers."
            )
    return array


def check_labels(name: str, labels: Sequence[Any] | npt.ArrayLike | None, n_rows: int) -> list[str] | None:
    """Return one label a row as text; a row without one gets ``(none)``.

    Raises
    ------
    ArrayError
        There is another number of labels than rows.
    """
    if labels is None:
        return None
    given = ["(none)" if each is None else str(each) for each in list(labels)]  # type: ignore[arg-type]
    if len(given) != n_rows:
        raise ArrayError(f"{name} has {len(given):,} labels for {n_rows:,} rows; one a row is wanted.")
    return given


def check_dimensions(
    dimensions: Mapping[str, tuple[Any, Any]] | None, n_real: int, n_synthetic: int
) -> dict[str, tuple[list[str], list[str]]]:
    """Return the labels of both sets for each dimension."""
    checked = {}
    for name, pair in (dimensions or {}).items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigError(f"The dimension {name!r} is not a pair: labels of the real and synthetic rows.")
        real = check_labels(f"The dimension {name!r} of the real rows", pair[0], n_real)
        synthetic = check_labels(f"The dimension {name!r} of the synthetic rows", pair[1], n_synthetic)
        if real is None or synthetic is None:
            raise ConfigError(f"The dimension {name!r} lacks the labels of one side.")
        checked[name] = (real, synthetic)
    return checked


def kept_rows(n_rows: int, exclude_rows: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """Return the rows that stay in the reference.

    Raises
    ------
    ArrayError
        A row to leave out does not exist, or none would stay.
    """
    if exclude_rows is None:
        return np.arange(n_rows, dtype=np.int64)
    excluded = np.asarray(exclude_rows)
    if excluded.size and (excluded.ndim != 1 or excluded.dtype.kind not in "iu"):
        raise ArrayError("exclude_rows holds something else than row numbers.")
    excluded = excluded.astype(np.int64)
    if excluded.size and not (excluded.min() >= 0 and excluded.max() < n_rows):
        raise ArrayError(f"exclude_rows names rows outside 0 to {n_rows - 1}.")
    keep = np.ones(n_rows, dtype=bool)
    keep[excluded] = False
    if not keep.any():
        raise ArrayError("exclude_rows leaves no real row to compare with.")
    return np.flatnonzero(keep)
