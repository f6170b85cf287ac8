"""What a page is made of besides tables: large figures, signs of failure, pictures, what a reader opens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tasksel.html_page import prose, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Sign", "details", "figure", "heading", "preformatted", "signs", "tiles"]


def heading(text: str) -> str:
    """Return the heading of a part of a section."""
    return f"<h3>{visible(text, max_chars=200)}</h3>\n"


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Return a few large figures: pairs of what one is and its value."""
    items = "".join(
        f"<div><dt>{visible(name)}</dt><dd>{visible(value, max_chars=60)}</dd></div>\n"
        for name, value in figures
    )
    return f"<dl class=tiles>{items}</dl>\n" if items else ""


@dataclass(frozen=True)
class Sign:
    """Something that may be wrong, and what to do about it.

    Parameters
    ----------
    text : str
        What was measured.
    state : str
        Whether it is wrong, in a word or two, so that the colour says nothing that the text does not.
    is_raised : bool or None
        None where it could not be measured.
    advice : str
        What to do; may be empty.
    """

    text: str
    state: str
    is_raised: bool | None
    advice: str = ""


def signs(found: Iterable[Sign]) -> str:
    """Return a list of what may be wrong, or nothing where there is none."""
    items = "".join(map(_sign, found))
    return f"<ul class=signs>{items}</ul>\n" if items else ""


def _sign(sign: Sign) -> str:
    kind = {True: "raised", False: "clear", None: "unknown"}[sign.is_raised]
    texts = "".join(f"<p>{prose(text)}</p>" for text in (sign.text, sign.advice) if text)
    return f"<li class={kind}><p class=state>{visible(sign.state)}</p>{texts}</li>\n"


def details(summary: str, *blocks: str) -> str:
    """Return blocks that a reader opens; nothing where there is none."""
    content = "".join(blocks)
    return f"<details><summary>{visible(summary)}</summary>{content}</details>\n" if content else ""


def preformatted(text: str) -> str:
    """Return a text with its line ends as they stand."""
    return f"<pre tabindex=0>{visible(text)}</pre>\n"


_SVG_START: Final = re.compile(r"<svg\b")


def figure(
    svg: str, *, title: str, caption: str, label: str, narrow_svg: str = "", is_fixed: bool = False
) -> str:
    """Return a picture that was drawn here, with what it shows as text for those who cannot see it.

    Parameters
    ----------
    svg : str
        The picture.
    title, caption : str
        Above it.
    label : str
        What it shows, in a sentence.
    narrow_svg : str
        The same picture for a phone.
    is_fixed : bool
        It scrolls sideways on a phone instead of becoming too small to read.
    """
    kind = "fixed" if is_fixed else "broad"
    reached = f' tabindex=0 role=region aria-label="{visible(label)}"' if is_fixed else ""
    plots = f'<div class="plot {kind}"{reached}>{_named_svg(svg, label)}</div>'
    if narrow_svg:
        plots += f'<div class="plot narrow">{_named_svg(narrow_svg, label)}</div>'
    below = f"<p class=soft>{visible(caption)}</p>" if caption else ""
    return f"<figure><figcaption>{visible(title)}</figcaption>{below}{plots}</figure>\n"


def _named_svg(svg: str, label: str) -> str:
    start = _SVG_START.search(svg)
    inner = svg[start.start() :] if start else ""
    return _SVG_START.sub(lambda _: f'<svg role="img" aria-label="{visible(label)}"', inner, count=1)
