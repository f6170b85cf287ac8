"""A map of two sets of vectors in the plane: where the real ones are, and which nobody stands beside."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel_core.errors import MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_map", "principal_plane"]

MAX_POINTS: Final = 1_000
"""Of each set; more of them hide each other and make the file large."""
_WIDTH, _HEIGHT = 680, 460
_COLOURS: Final = {"real": "#8a939c", "real, in a gap": "#d55e00", "synthetic": "#1a73bf"}
_SHAPES: Final = {"real": "circle", "real, in a gap": "triangle-up", "synthetic": "cross"}


def principal_plane(vectors: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of vectors and the two directions in which they differ most.

    Parameters
    ----------
    vectors : ndarray, shape (n_rows, n_dimensions)
        At least one row.

    Returns
    -------
    mean : ndarray of float64, shape (n_dimensions,)
    axes : ndarray of float64, shape (n_dimensions, 2)
        Orthonormal; the entry of each that is largest in size is positive, so that a map is not mirrored
        from run to run. Where the vectors differ in fewer than two directions, the rest is zero.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centered = vectors.astype(np.float64) - mean
    _, directions = np.linalg.eigh(centered.T @ centered)
    axes = np.zeros((vectors.shape[1], 2))
    found = directions[:, ::-1][:, :2]
    axes[:, : found.shape[1]] = found
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    return mean, axes * np.where(largest < 0, -1.0, 1.0)


def draw_map(real: NDArray[Any], synthetic: NDArray[Any], is_gap: NDArray[np.bool_], *, seed: int = 0) -> str:
    """Draw both sets in the plane of the real one's two principal directions.

    Parameters
    ----------
    real, synthetic : ndarray, shape (n_rows, n_dimensions)
        Vectors; up to `MAX_POINTS` of each are drawn, a random choice by `seed`.
    is_gap : ndarray of bool, shape (n_real,)
        Which real rows lie where too few synthetic ones do.
    seed : int
        Of the choice.

    Returns
    -------
    str
        SVG; the same sets give the same bytes.

    Raises
    ------
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401 - asked here, so that a chart that was made can be saved
    except ModuleNotFoundError as error:
        raise MissingExtraError("Drawing a map", "plots") from error
    rng = np.random.default_rng([seed, 31])
    mean, axes = principal_plane(real)
    parts = []
    for name, vectors in (("real", real), ("synthetic", synthetic)):
        rows = np.sort(rng.permutation(len(vectors))[:MAX_POINTS])
        places = (vectors[rows] - mean) @ axes
        kinds = np.full(len(rows), name, dtype=object)
        if name == "real":
            kinds[is_gap[rows]] = "real, in a gap"
        parts.append(pl.DataFrame({"x": places[:, 0], "y": places[:, 1], "kind": kinds.tolist()}))
    names = list(_COLOURS)
    chart = (
        alt.Chart(pl.concat(parts))
        .mark_point(filled=True, size=22, opacity=0.65)
        .encode(
            x=alt.X("x:Q", title="first principal direction", axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("y:Q", title="second principal direction", axis=alt.Axis(labels=False, ticks=False)),
            color=alt.Color(
                "kind:N", title=None, scale=alt.Scale(domain=names, range=list(_COLOURS.values()))
            ),
            shape=alt.Shape(
                "kind:N", title=None, scale=alt.Scale(domain=names, range=list(_SHAPES.values()))
            ),
        )
        .properties(width=_WIDTH, height=_HEIGHT)
        .configure_legend(orient="top", symbolOpacity=1)
    )
    written = io.StringIO()
    chart.save(written, format="svg")
    return written.getvalue()
