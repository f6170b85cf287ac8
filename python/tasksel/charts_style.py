"""What marks look like: colours that stand on light and dark, and one look for each arm of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "ARM_COLOURS",
    "GRID",
    "INK",
    "LABEL_CHAR_WIDTH",
    "LEGEND_WIDTH",
    "PAPER",
    "PRESENTED",
    "RANDOM_DASH",
    "RANDOM_GREY",
    "SOFT",
    "ArmStyle",
]

INK: Final = "#1B1F24"
SOFT: Final = "#57606A"
GRID: Final = "#E4E8EC"
PAPER: Final = "white"
RANDOM_ARM: Final = "random"
RANDOM_GREY: Final = "#767676"
"""The lightest grey with a contrast of 4.5 on white."""
RANDOM_SHAPE: Final = "cross"
RANDOM_DASH: Final = [5, 4]
ARM_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which colour-blind people tell apart, without the yellow, which is lost on white."""
ARM_SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "triangle-down")
"""No divisor of the colours, so that the eighth arm, which has the first colour again, has another shape."""
LABEL_CHAR_WIDTH: Final = 6.8
"""Of the widest font that a reader may have instead of the one that labels are measured in."""
LEGEND_WIDTH: Final = 700
"""What a legend may take, in pixels, the picture's axes included."""
_LEGEND_CHAR_WIDTH: Final = 7
PRESENTED: Final = {
    INK: "ink",
    "#000": "ink",
    "BLACK": "ink",
    SOFT: "soft",
    "#888": "soft",
    GRID: "grid",
    "#DDD": "grid",
    "WHITE": "paper",
    "#FFF": "paper",
    "#FFFFFF": "paper",
    RANDOM_GREY: "random",
    **{colour: f"series-{number}" for number, colour in enumerate(ARM_COLOURS, start=1)},
}
"""What a page calls each colour of a chart (in capitals); its style says what that is by light and dark."""


class ArmStyle:
    """One colour and shape an arm, the same in every panel: random is always a grey cross, dashed."""

    def __init__(self, alt: Any, arms: pl.Series) -> None:
        names = arms.unique().sort().to_list()
        others = [name for name in names if name.lower() != RANDOM_ARM]
        random = [name for name in names if name.lower() == RANDOM_ARM]
        self._alt = alt
        self.arms = [*others, *random]
        rows = range(len(others))
        self._ranges: dict[str, list[Any]] = {
            "color": [*(ARM_COLOURS[row % len(ARM_COLOURS)] for row in rows), *(RANDOM_GREY for _ in random)],
            "shape": [*(ARM_SHAPES[row % len(ARM_SHAPES)] for row in rows), *(RANDOM_SHAPE for _ in random)],
            "strokeDash": [*([1, 0] for _ in others), *(RANDOM_DASH for _ in random)],
        }

    def encode(self, *channels: str, legend: bool = True) -> dict[str, Any]:
        """Return the encodings of the channels ``color``, ``shape`` and ``strokeDash`` for the column arm."""
        alt = self._alt
        kinds = {"color": alt.Color, "shape": alt.Shape, "strokeDash": alt.StrokeDash}
        return {
            channel: kinds[channel](
                "arm:N",
                scale=alt.Scale(domain=self.arms, range=self._ranges[channel]),
                legend=self._legend() if legend else None,
            )
            for channel in channels
        }

    def fill_where(self, condition: str) -> Any:
        """Return a fill with the colour of the arm where the condition holds, and with white elsewhere."""
        colour = self.encode("color", legend=False)["color"]
        return self._alt.condition(condition, colour, self._alt.value("white"))

    def _legend(self) -> Any:
        longest = max(map(len, self.arms))
        columns = max(1, min(4, LEGEND_WIDTH // (_LEGEND_CHAR_WIDTH * longest + 30)))
        return self._alt.Legend(
            orient="bottom",
            columns=columns,
            columnPadding=26,
            labelLimit=LEGEND_WIDTH // columns,
            title=None,
            symbolOpacity=1,
        )
