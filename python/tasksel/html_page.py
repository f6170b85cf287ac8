"""A page that needs nothing but itself: no request; texts of strangers stay texts.

Everything that is not markup of ours passes `visible`, so that neither a tag, nor a control character, nor a
sign that turns the direction of writing does anything but be seen. The page's policy forbids requests
besides, and every script but those that the page was given, by their hash.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Column",
    "Page",
    "bullets",
    "heat_table",
    "paragraph",
    "prose",
    "shown",
    "table",
    "visible",
]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@cache
def _style() -> str:
    return Path(__file__).with_suffix(".css").read_text(encoding="utf-8")


_SHOWN_WHITE: Final = "\n\t"
_HIDDEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"
"""Part of ordinary Persian, of Indic scripts and of emoji."""
_CONTROL_PICTURES: Final = 0x2400


def shown(text: Any, *, max_chars: int | None = None) -> str:
    r"""Return a text in which everything can be seen, and cut where it is long; it is not HTML yet.

    Parameters
    ----------
    text : any
        ``None`` becomes an en dash.
    max_chars : int, optional
        Cut after so many characters, with an ellipsis.

    Examples
    --------
    >>> shown("a\x00b\u202ec"), shown("abcdef", max_chars=4)
    ('a␀b[U+202E]c', 'abc…')
    """
    if text is None:
        return "\N{EN DASH}"
    string = str(text)
    if max_chars is not None and len(string) > max_chars:
        string = string[: max_chars - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return string if string.isprintable() else "".join(map(_show, string))


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
    return html.escape(shown(text, max_chars=max_chars))


def _show(character: str) -> str:
    if character in _SHOWN_WHITE or character in _JOINERS:
        return character
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    return chr(_CONTROL_PICTURES + code) if code < 0x20 else f"[U+{code:04X}]"


_FLAG: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+(?: (?:\d[\d.]*\b|[a-z]+-[a-z-]+\b))?")
_QUOTED: Final = re.compile(r"`([^`<>]{1,80})`")


def prose(text: str) -> str:
    """Return a sentence of ours as HTML: what stands in backticks is code, and no line ends inside a flag.

    Examples
    --------
    >>> prose("A larger --base 9 <helps>.")
    'A larger <span class=flag>--base 9</span> &lt;helps&gt;.'
    """
    quoted = _QUOTED.sub(r"<code>\1</code>", visible(text))
    return _FLAG.sub(lambda found: f"<span class=flag>{found[0]}</span>", quoted)


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
    kind : str
        Class of a column that is no number: ``text``, or ``name`` for short texts.
    """

    name: str
    title: str
    format: Callable[[Any], str] | None = None
    is_number: bool = False
    css: Callable[[dict[str, Any]], str] | None = None
    kind: str = "text"


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
        f"{_caption(caption)}{_region(caption)}<table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _caption(text: str) -> str:
    # Outside the table: on a phone the table scrolls sideways, and what is said about it should not.
    return f"<p class=soft>{prose(text)}</p>" if text else ""


def _region(caption: str) -> str:
    """Open what scrolls sideways; a keyboard reaches it, and who cannot see it is told what it is."""
    return (
        f'<div class=wide tabindex=0 role=region aria-label="{visible(caption, max_chars=120) or "Table"}">'
    )


def _cell(column: Column, row: dict[str, Any], max_chars: int) -> str:
    value = row.get(column.name)
    shown = value if value is None or column.format is None else column.format(value)
    return f"<td{_classes(column, row)}>{visible(shown, max_chars=max_chars)}</td>"


def _classes(column: Column, row: dict[str, Any]) -> str:
    names = ["number" if column.is_number else column.kind]
    if column.css is not None and row:
        names.append(column.css(row))
    return f' class="{" ".join(filter(None, names))}"'


_MAX_HEAD_CHARS: Final = 80


def heat_table(
    shares: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    corner: str = "",
    caption: str = "",
    marks_short: bool = True,
) -> str:
    """Return a table whose cells are the fuller the nearer their share is to 1.

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
    marks_short : bool
        Shares below 1 are bold.
    """
    head = "".join(f"<th scope=col>{visible(name, max_chars=_MAX_HEAD_CHARS)}</th>" for name in columns)
    body = []
    for name, row_shares, row_texts in zip(rows, shares, texts, strict=True):
        cells = "".join(
            _heat_cell(share, text, marks_short=marks_short)
            for share, text in zip(row_shares, row_texts, strict=True)
        )
        body.append(f"<tr><th scope=row>{visible(name, max_chars=_MAX_HEAD_CHARS)}</th>{cells}</tr>\n")
    return (
        f"{_caption(caption)}{_region(caption)}<table class=heat>"
        f"<thead><tr><th>{visible(corner)}</th>{head}</tr></thead>\n<tbody>{''.join(body)}</tbody></table></div>\n"
    )


def _heat_cell(share: float | None, text: str, *, marks_short: bool) -> str:
    if share is None:
        return f"<td>{visible(text)}</td>"
    opacity = 0.45 * min(max(share, 0.0), 1.0)
    short = " class=short" if share < 1 and marks_short else ""
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
    _scripts: list[str] = field(default_factory=list)

    def add(self, title: str, *blocks: str) -> None:
        """Add a section of blocks of HTML; a section without any is left out."""
        content = "".join(blocks)
        if content:
            self._sections.append((title, content))

    def allow(self, script: str) -> None:
        """Add a script of ours at the end of the page; the policy allows it alone, by its hash."""
        if script not in self._scripts:
            self._scripts.append(script)

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
        scripts = "".join(f"<script>{script}</script>\n" for script in self._scripts)
        return (
            "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
            f'<meta http-equiv="Content-Security-Policy" content="{self._policy()}">\n'
            '<meta name=viewport content="width=device-width, initial-scale=1">\n'
            f"<title>{visible(self.title, max_chars=200)}</title><style>{_style()}</style></head>\n"
            '<body><a class=skip href="#content">Skip to the content</a>\n'
            f"<header><h1>{visible(self.title, max_chars=200)}</h1><p class=lead>{visible(self.lead)}</p>"
            f'<nav class=contents aria-label="Contents">{links}</nav></header>\n'
            f"<main id=content tabindex=-1>{parts}</main>\n{scripts}</body></html>\n"
        )

    def _policy(self) -> str:
        digests = [hashlib.sha256(script.encode()).digest() for script in self._scripts]
        allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
        return f"{_POLICY}; script-src {allowed}" if allowed else _POLICY


def paragraph(text: str, *, soft: bool = False) -> str:
    """Return a paragraph of plain text."""
    return f"<p{' class=soft' if soft else ''}>{prose(text)}</p>\n"


def bullets(texts: Iterable[str]) -> str:
    """Return a list of plain texts, or nothing where there is none."""
    items = "".join(f"<li>{prose(text)}</li>\n" for text in texts)
    return f"<ul class=findings>{items}</ul>\n" if items else ""
