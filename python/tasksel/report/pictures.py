"""The pictures of a page: drawn into it, written as files where that is asked for, or left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.charts import PLOT_FORMATS, chart_title, import_altair, inline_svg, save_chart
from tasksel.html_page import paragraph
from tasksel.html_page_blocks import figure
from tasksel_core.errors import ConfigError, MissingExtraError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["Pictures"]

WIDE: Final = 720
NARROW: Final = 320
"""Pixels of a picture on a screen and on a phone."""


@dataclass
class Pictures:
    """Draws the pictures of one page.

    Parameters
    ----------
    folder : path, optional
        Where each is written to as a file besides.
    plot_format : {"svg", "png", "html"}
        As what.
    """

    folder: str | os.PathLike[str] | None = None
    plot_format: str = "svg"
    written: list[Path] = field(default_factory=list)
    _missing: str = ""

    def __post_init__(self) -> None:
        if self.plot_format not in PLOT_FORMATS:
            raise ConfigError(
                f"The format of plots is {self.plot_format!r}; allowed are {', '.join(PLOT_FORMATS)}."
            )
        try:
            import_altair("Drawing plots")
        except MissingExtraError as error:
            if self.folder is not None:
                raise
            self._missing = str(error)

    def missing_note(self) -> str:
        """Return a paragraph that says how to get pictures, where there are none."""
        return paragraph(f"This page has no pictures. {self._missing}", soft=True) if self._missing else ""

    def draw(self, name: str, make: Callable[[int], Any], *, label: str = "", is_fixed: bool = False) -> str:
        """Return a picture as HTML; nothing where there is nothing to draw, or nothing to draw with.

        Parameters
        ----------
        name : str
            Of its file, without the ending.
        make : callable
            Width in pixels to altair chart.
        label : str
            What it shows, for those who cannot see it; its title if left out.
        is_fixed : bool
            The chart has one width, whatever it is asked for.
        """
        if self._missing:
            return ""
        try:
            chart = make(WIDE)
        except SchemaError:
            return ""
        self._write(name, chart)
        title, subtitle = chart_title(chart)
        narrow = "" if is_fixed else inline_svg(make(NARROW))
        return figure(
            inline_svg(chart),
            title=title,
            caption=". ".join(subtitle) + "." * bool(subtitle),
            label=label or title,
            narrow_svg=narrow,
            is_fixed=is_fixed,
        )

    def _write(self, name: str, chart: Any) -> None:
        if self.folder is None:
            return
        folder = Path(self.folder)
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file; allowed: a folder to write the plots to.")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.{self.plot_format}"
        save_chart(chart, path)
        self.written.append(path)
