"""Pictures: the library that draws them, one look for all, and what they are written as.

A chart is drawn on white with the colours of `tasksel.charts_style`, as a notebook and a file want it. In a
page of ours `inline_svg` puts names of colours in place of the colours themselves, so that the page says
what they are by light and by dark.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.charts_style import GRID, INK, LABEL_CHAR_WIDTH, PAPER, PRESENTED, SOFT
from tasksel.html_page import shown
from tasksel.run_folder import atomic_path
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = [
    "NARROW_BELOW",
    "PLOT_FORMATS",
    "chart_title",
    "finish_chart",
    "fit_width",
    "has_altair",
    "import_altair",
    "inline_svg",
    "kind_legend",
    "row_axis",
    "save_chart",
]

PLOT_FORMATS: Final = ("html", "png", "svg")
NARROW_BELOW: Final = 400
"""Pixels: a chart for a phone has shorter names and more rows of legend."""
_LABEL_CHARS, _NARROW_LABEL_CHARS = 34, 18
_PNG_SCALE: Final = 2
_FONT: Final = "Helvetica, Arial, sans-serif"


def import_altair(what: str = "Drawing a plot") -> Any:
    """Return the module altair, where it and what saves its charts are installed.

    Parameters
    ----------
    what : str
        What it is wanted for; begins the sentence of the error.

    Raises
    ------
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401 - asked here, so that a chart that was made can be saved
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "plots") from error
    return alt


def has_altair() -> bool:
    """Tell whether charts can be drawn here."""
    try:
        import_altair()
    except MissingExtraError:
        return False
    return True


class _PageEncoder(json.JSONEncoder):
    """Writes JSON that nothing in it can end: altair puts it into a script of the page as it is."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


class _EscapedInNotebooks:
    """Lets no name end the script that altair makes of a chart for a notebook."""

    def _repr_mimebundle_(self, *include: Any, **exclude: Any) -> Any:
        bundle = super()._repr_mimebundle_(*include, **exclude)  # type: ignore[misc]
        if not isinstance(bundle, dict) or "text/html" not in bundle:
            return bundle
        spec = self.to_dict(context={"pre_transform": False})  # type: ignore[attr-defined]
        html = bundle["text/html"].replace(json.dumps(spec), json.dumps(spec, cls=_PageEncoder))
        return {**bundle, "text/html": html}


def finish_chart(alt: Any, chart: Any, title: str, subtitle: Sequence[str] = ()) -> Any:
    """Set title, fonts and greys: one look for all pictures, on white for any page."""
    heading = alt.TitleParams(
        title, subtitle=list(subtitle), anchor="start", fontSize=16, subtitleFontSize=12, offset=14
    )
    finished = (
        chart.properties(title=heading, background=PAPER)
        .configure(font=_FONT)
        .configure_view(stroke=GRID)
        .configure_axis(
            labelColor=SOFT,
            labelFontSize=11,
            titleColor=INK,
            titleFontSize=12,
            titleFontWeight="normal",
            gridColor=GRID,
            domainColor=SOFT,
            tickColor=SOFT,
        )
        .configure_title(color=INK, subtitleColor=SOFT)
        .configure_header(labelColor=INK, titleColor=INK)
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=12, symbolSize=80)
    )
    # A class for each kind of chart; its methods make charts of that class again.
    kind = type(type(chart).__name__, (_EscapedInNotebooks, type(chart)), {})
    object.__setattr__(finished, "__class__", kind)  # altair's own takes any name for a property of the chart
    return finished


def row_axis(alt: Any, labels: Sequence[str], *, width: int) -> Any:
    """Return the vertical encoding of rows that are numbered from 0 in the column ``place``.

    By number, since two long labels may be equal where they are cut; and what cannot be seen in a label, or
    breaks its line, is made visible.
    """
    most = _NARROW_LABEL_CHARS if width < NARROW_BELOW else _LABEL_CHARS
    names = [shown(label.replace("\n", " "), max_chars=most) for label in labels]
    axis = alt.Axis(
        labelExpr=f"({json.dumps(dict(enumerate(names)))})[datum.value]",
        labelLimit=0,
        labelOverlap=False,
        minExtent=LABEL_CHAR_WIDTH * max(map(len, names), default=0) + 6,
        ticks=False,
        domain=False,
    )
    return alt.Y("place:O", title=None, axis=axis)


def kind_legend(alt: Any, n_kinds: int, *, width: int) -> Any:
    """Return a legend above a chart, in two columns on a phone."""
    columns = min(n_kinds, 2) if width < NARROW_BELOW else n_kinds
    return alt.Legend(orient="top", title=None, symbolOpacity=1, columns=columns, columnPadding=26)


def fit_width(alt: Any, chart: Any, width: int, height: Any) -> Any:
    """Give a chart a width of which names and axes are a part."""
    fitted = alt.AutoSizeParams(type="fit-x", contains="padding")
    return chart.properties(width=width, height=height, autosize=fitted)


def save_chart(chart: Any, path: str | os.PathLike[str]) -> None:
    """Write a chart as a picture or a page that needs nothing from the network.

    Parameters
    ----------
    chart : altair chart
        From one of the plotting functions.
    path : path
        Ends in ``.svg``, ``.png`` or ``.html``; its folder must exist. The same chart gives the same bytes.

    Raises
    ------
    ConfigError
        The path ends in something else.
    MissingExtraError
        altair or vl-convert is not installed (extra ``plots``).
    """
    place = Path(path)
    kind = place.suffix.lower().removeprefix(".")
    if kind not in PLOT_FORMATS:
        raise ConfigError(f"{place.name} ends in {place.suffix!r}; allowed are .html, .png and .svg.")
    import_altair()
    # `inline` puts the scripts of a page into it instead of naming them on a server.
    page = {"inline": True, "json_kwds": {"cls": _PageEncoder}}
    options: dict[str, Any] = page if kind == "html" else {"scale_factor": _PNG_SCALE}
    with atomic_path(place) as temporary:
        chart.save(str(temporary), format=kind, **options)


def chart_title(chart: Any) -> tuple[str, list[str]]:
    """Return title and subtitles of a chart from `finish_chart`."""
    title = chart.title.to_dict()
    return str(title["text"]), list(map(str, title.get("subtitle", ())))


def inline_svg(chart: Any) -> str:
    """Draw a chart as SVG for a page: without its title, see-through, in the colours that the page names.

    Parameters
    ----------
    chart : altair chart
        From `finish_chart`; its title is for the page to show, where it can wrap.

    Returns
    -------
    str
        Colours are CSS variables: ``--ink``, ``--soft``, ``--line``, ``--paper``, ``--random`` and
        ``--series-1`` to ``--series-7``; see `tasksel.charts_style.PRESENTED`. The same chart gives the same
        bytes.
    """
    alt = import_altair()
    import vl_convert

    spec = chart.to_dict()
    spec.pop("title", None)
    spec["background"] = "transparent"
    spec["config"]["aria"] = False  # the page describes the picture; a name for each mark doubles the file
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=version, allowed_base_urls=[])
    return _slim(_COLOUR.sub(_named_colour, drawn))


_COLOUR: Final = re.compile(r'\b(fill|stroke)="(#[0-9A-Fa-f]{3,6}|white|black)"')
_EMPTY_MARKS: Final = re.compile(
    r'<path class="foreground"[^>]*?display="none"/>|<path class="background"[^>]*?h0v0h0Z"[^>]*/>'
)
_LONG_FRACTION: Final = re.compile(r"(\d+\.\d\d)\d+")
_TRANSFORM: Final = re.compile(r'(?<= transform=")[^"]*|(?<= d=")[^"]*')


def _named_colour(found: re.Match[str]) -> str:
    name = PRESENTED.get(found[2].upper())
    return found[0] if name is None else f'{found[1]}="var(--{name})"'


def _slim(svg: str) -> str:
    """Leave out what draws nothing and digits beyond a hundredth of a pixel; write dots as circles."""
    drawn = _TRANSFORM.sub(lambda found: _LONG_FRACTION.sub(r"\1", found[0]), _EMPTY_MARKS.sub("", svg))
    return _DOTS.sub(_as_circles, drawn)


_DOT: Final = (
    r'<path transform="translate\([\d.,]+\)" d="M[\d.]+,0A[\d.]+,[\d.]+,0,1,1,-[\d.]+,0A[^"]*" fill="[^"]*"'
    r'(?: stroke-width="2")? opacity="[^"]*"/>'
)
_DOTS: Final = re.compile(f"(?:{_DOT}){{2,}}")
_DOT_PARTS: Final = re.compile(
    r'translate\(([\d.]+),([\d.]+)\)" d="M([\d.]+),[^"]*" fill="([^"]*)"[^>]*? opacity="([^"]*)"'
)


def _as_circles(found: re.Match[str]) -> str:
    """Write a run of filled dots as circles in groups of one look: a map of thousands is a third as large."""
    groups = []
    dots = _DOT_PARTS.findall(found[0])
    for (radius, fill, opacity), same in itertools.groupby(dots, key=lambda dot: dot[2:]):
        circles = "".join(f'<circle cx="{x}" cy="{y}" r="{radius}"/>' for x, y, *_ in same)
        groups.append(f'<g fill="{fill}" fill-opacity="{opacity}">{circles}</g>')
    return "".join(groups)
