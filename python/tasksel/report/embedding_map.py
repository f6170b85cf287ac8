"""A map of two sets of vectors in the plane: where the real ones are, and which nobody stands beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tasksel.charts import finish_chart, import_altair, kind_legend
from tasksel.charts_style import ARM_COLOURS, RANDOM_GREY
from tasksel.embedding_plane import principal_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draw_map"]

MAX_POINTS: Final = 1_000
"""Of each set; more of them hide each other and make the file large."""
_COLOURS: Final = {"real": RANDOM_GREY, "real, in a gap": ARM_COLOURS[1], "synthetic": ARM_COLOURS[0]}
_SHAPES: Final = {"real": "circle", "real, in a gap": "triangle-up", "synthetic": "cross"}


def draw_map(
    real: NDArray[Any],
    synthetic: NDArray[Any],
    is_gap: NDArray[np.bool_],
    *,
    seed: int = 0,
    width: int = 640,
) -> Any:
    """Draw both sets in the plane of the real one's two principal directions.

    Parameters
    ----------
    real, synthetic : ndarray, shape (n_rows, n_dimensions)
        Vectors; up to `MAX_POINTS` of each are drawn, a random choice by `seed`.
    is_gap : ndarray of bool, shape (n_real,)
        Which real rows lie where too few synthetic ones do.
    seed : int
        Of the choice.
    width : int
        In pixels.

    Returns
    -------
    altair.Chart
        The same sets give the same picture.

    Raises
    ------
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    alt = import_altair("Drawing a map")
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
    legend = kind_legend(alt, len(names), width=width)
    hidden = alt.Axis(labels=False, ticks=False, grid=False, domain=False, title=None)
    chart = (
        alt.Chart(pl.concat(parts))
        .mark_point(filled=True, size=22, opacity=0.65)
        .encode(
            x=alt.X("x:Q", axis=hidden, scale=alt.Scale(nice=False, padding=8, zero=False)),
            y=alt.Y("y:Q", axis=hidden, scale=alt.Scale(nice=False, padding=8, zero=False)),
            color=alt.Color(
                "kind:N", legend=legend, scale=alt.Scale(domain=names, range=[*_COLOURS.values()])
            ),
            shape=alt.Shape(
                "kind:N", legend=legend, scale=alt.Scale(domain=names, range=[*_SHAPES.values()])
            ),
        )
        .properties(width=width, height=round(width * 0.66))
    )
    subtitle = (
        "Both sets in the plane in which the real one differs most; triangles are real rows that stand for a "
        "gap. What is apart here is apart; what is together may still differ in other directions"
    )
    return finish_chart(alt, chart, "Map of the real and the synthetic rows", [subtitle])
