"""A page that needs nothing but itself: no request, no script; texts of strangers stay texts.

Everything that is not markup of ours passes `visible`, so that neither a tag, nor a control character, nor a
sign that turns the direction of writing does anything but be seen. The page's policy forbids scripts and
requests besides.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Column", "Page", "bullets", "figure", "heat_table", "paragraph", "table", "visible"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff;
  --bad: #b35900; --good: #1a7f37; --fail: #b3261e; --fill: 26 115 191; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4af; --line: #3d444d;
  --paper: #14181d; --bad: #e3a008; --good: #4ac26b; --fail: #ff7b72; --fill: 72 148 214; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p.lead { font-size: 1.1rem; margin: .2rem 0 1rem; }
p.soft, figcaption { color: var(--soft); font-size: .9rem; text-align: left; }
nav a { margin-right: 1rem; color: inherit; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.text { max-width: 40rem; min-width: 5rem; overflow-wrap: break-word; white-space: pre-wrap; }
table.heat td { text-align: center; min-width: 4.5rem; border: 1px solid var(--line); }
.passed { color: var(--good); } .failed { color: var(--fail); } .unmeasured { color: var(--soft); }
.short { font-weight: 600; color: var(--bad); }
ul.findings li { margin: .3rem 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; background: #ffffff; }
:focus-visible { outline: 2px solid rgb(var(--fill)); }
@media print { body { max-width: none; font-size: 11pt; } nav { display: none; } h2 { break-after: avoid; }
  .wide { overflow: visible; } tr { break-inside: avoid; } }
"""
_SHOWN_WHITE: Final = "\n\t"
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"
"""Part of ordinary Persian, of Indic scripts and of emoji."""
_CONTROL_PICTURES: Final = 0x2400


def visible(text: Any, *, max_chars: int | None = None) -> str:
    r"""Return a text as HTML in which it is nothing but text.

    Parameters
    ----------
    text : any
        ``None`` becomes an en dash.
    max_chars : int, optional
        Cut after so many characters, with an ellipsis.

    Examples
    --------
    >>> visible("<script>alert('1')</script>")
    '&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;'
    >>> visible("a\x00b\u202ec")
    'a␀b[U+202E]c'
    """
    if text is None:
        return "\N{EN DASH}"
    string = str(text)
    if max_chars is not None and len(string) > max_chars:
        string = string[: max_chars - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return html.escape("".join(map(_show, string)))


def _show(character: str) -> str:
    if character in _SHOWN_WHITE or character in _JOINERS:
        return character
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    return chr(_CONTROL_PICTURES + code) if code < 0x20 else f"[U+{code:04X}]"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Key of the row.
    title : str
        What stands above it.
    format : callable, optional
        Value to text; without one the value itself is shown.
    is_number : bool
        Stands right.
    css : callable, optional
        Row to class of the cell.
    """

    name: str
    title: str
    format: Callable[[Any], str] | None = None
    is_number: bool = False
    css: Callable[[dict[str, Any]], str] | None = None


def table(
    rows: Iterable[dict[str, Any]], columns: Sequence[Column], *, caption: str = "", max_chars: int = 400
) -> str:
    """Return a table as HTML; what a cell shows is made harmless here.

    Parameters
    ----------
    rows : iterable of dict
        One a row.
    columns : sequence of Column
        Which keys are shown, and how.
    caption : str
        Below the table's place in the text, above its head.
    max_chars : int
        Longest text of a cell.
    """
    head = "".join(f"<th{_classes(each, {})} scope=col>{visible(each.title)}</th>" for each in columns)
    body = "".join(
        "<tr>" + "".join(_cell(each, row, max_chars) for each in columns) + "</tr>\n" for row in rows
    )
    return (
        f"{_caption(caption)}<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _caption(text: str) -> str:
    # Outside the table: on a phone the table scrolls sideways, and what is said about it should not.
    return f"<p class=soft>{visible(text)}</p>" if text else ""


def _cell(column: Column, row: dict[str, Any], max_chars: int) -> str:
    value = row.get(column.name)
    shown = value if value is None or column.format is None else column.format(value)
    return f"<td{_classes(column, row)}>{visible(shown, max_chars=max_chars)}</td>"


def _classes(column: Column, row: dict[str, Any]) -> str:
    names = ["number" if column.is_number else "text"]
    if column.css is not None and row:
        names.append(column.css(row))
    return f' class="{" ".join(filter(None, names))}"'


def heat_table(
    shares: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    corner: str = "",
    caption: str = "",
) -> str:
    """Return a table whose cells are the fuller the nearer their share is to 1; what is short is bold.

    Parameters
    ----------
    shares : sequence of sequence of float or None
        A row each; 1 and more is full, None is a cell that was not asked for.
    texts : sequence of sequence of str
        What stands in the cells, so that the colour says nothing that the text does not.
    rows, columns : sequence of str
        Names of both.
    corner, caption : str
        Above the names of the rows; above the table.
    """
    head = "".join(f"<th scope=col>{visible(name)}</th>" for name in columns)
    body = []
    for name, row_shares, row_texts in zip(rows, shares, texts, strict=True):
        cells = "".join(map(_heat_cell, row_shares, row_texts))
        body.append(f"<tr><th scope=row>{visible(name)}</th>{cells}</tr>\n")
    return (
        f"{_caption(caption)}<div class=wide tabindex=0><table class=heat>"
        f"<thead><tr><th>{visible(corner)}</th>{head}</tr></thead>\n<tbody>{''.join(body)}</tbody></table></div>\n"
    )


def _heat_cell(share: float | None, text: str) -> str:
    if share is None:
        return f"<td>{visible(text)}</td>"
    opacity = 0.45 * min(max(share, 0.0), 1.0)
    short = " class=short" if share < 1 else ""
    return f'<td{short} style="background: rgb(var(--fill) / {opacity:.2f})">{visible(text)}</td>'


@dataclass
class Page:
    """A page in sections, each with a place in the list at its top.

    Parameters
    ----------
    title : str
        Headline and name of the window.
    lead : str
        The sentence that says it all.
    """

    title: str
    lead: str
    _sections: list[tuple[str, str]] = field(default_factory=list)

    def add(self, title: str, *blocks: str) -> None:
        """Add a section of blocks of HTML; a section without any is left out."""
        content = "".join(blocks)
        if content:
            self._sections.append((title, content))

    def to_html(self) -> str:
        """Return the whole file."""
        anchors = [f"part-{number}" for number in range(len(self._sections))]
        links = "".join(
            f'<a href="#{anchor}">{visible(title)}</a>'
            for anchor, (title, _) in zip(anchors, self._sections, strict=True)
        )
        parts = "".join(
            f'<section id="{anchor}"><h2>{visible(title)}</h2>\n{content}</section>\n'
            for anchor, (title, content) in zip(anchors, self._sections, strict=True)
        )
        return (
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name=viewport content="width=device-width, initial-scale=1">\n'
            f"<title>{visible(self.title)}</title><style>{_STYLE}</style></head>\n"
            f"<body><header><h1>{visible(self.title)}</h1><p class=lead>{visible(self.lead)}</p>"
            f"<nav>{links}</nav></header>\n<main>{parts}</main></body></html>\n"
        )


def paragraph(text: str, *, soft: bool = False) -> str:
    """Return a paragraph of plain text."""
    return f"<p{' class=soft' if soft else ''}>{visible(text)}</p>\n"


def bullets(texts: Iterable[str]) -> str:
    """Return a list of plain texts, or nothing where there is none."""
    items = "".join(f"<li>{visible(text)}</li>\n" for text in texts)
    return f"<ul class=findings>{items}</ul>\n" if items else ""


_SVG_START: Final = re.compile(r"<svg\b")


def figure(svg: str, *, caption: str, label: str) -> str:
    """Return a picture that was drawn here, with what it shows as text for those who cannot see it."""
    start = _SVG_START.search(svg)
    inner = svg[start.start() :] if start else ""
    named = _SVG_START.sub(f'<svg role="img" aria-label="{visible(label)}"', inner, count=1)
    return f"<figure>{named}<figcaption>{visible(caption)}</figcaption></figure>\n"
