"""A table of many records in a page: the first hundred stand in it, a script searches and sorts all.

The records stand in the page as JSON, which no browser runs. The script, ours and allowed by its hash, puts
them into the page as text alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.html_page import Column, shown, table

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PLAIN_ROWS", "RecordColumn", "encoded_bytes", "record_table", "search_script"]

PLAIN_ROWS: Final = 100
"""What a reader without scripts and a sheet of paper get."""
_PLAIN_CHARS: Final = 200
_CLAMP_CHARS: Final = 280
"""Of a text that is longer a row shows its beginning, and the rest when asked."""
_PAGE_SIZES: Final = (25, 100, 500)
_REPEATED: Final = 0.5
"""Share of different values up to which a column is written as words and numbers of words."""


@dataclass(frozen=True)
class RecordColumn:
    """A column of a table of records.

    Parameters
    ----------
    title : str
        What stands above it.
    values : sequence
        Texts as they are to be seen (see `tasksel.html_page.shown`), or numbers; None is shown as a dash.
    is_number : bool
        Sorted by size.
    kind : str
        Class of its cells: ``name`` for short texts, ``text`` for long ones.
    """

    title: str
    values: Sequence[Any]
    is_number: bool = False
    kind: str = "name"


@cache
def search_script() -> str:
    """Return the script that a page with such a table allows."""
    return Path(__file__).with_name("html_page_search.js").read_text(encoding="utf-8")


def record_table(columns: Sequence[RecordColumn], *, label: str) -> str:
    """Return the table as HTML, for a page that allows `search_script`.

    Parameters
    ----------
    columns : sequence of RecordColumn
        All of one length.
    label : str
        What the table is, for those who cannot see it.
    """
    sizes = "".join(f"<option>{size}</option>" for size in _PAGE_SIZES)
    n_rows = len(columns[0].values) if columns else 0
    beginning = f"The first {PLAIN_ROWS} of {n_rows:,} rows." if n_rows > PLAIN_ROWS else ""
    return (
        "<div class=records>"
        "<div class=tools hidden><label>Search<input type=search autocomplete=off spellcheck=false></label>"
        f"<label>Rows at a time<select>{sizes}</select></label><p class=count role=status></p></div>\n"
        f'<div class="wide live" tabindex=0 role=region aria-label="{label}" hidden></div>\n'
        "<div class=pager hidden><button type=button>Previous</button><span></span>"
        "<button type=button>Next</button></div>\n"
        f"<div class=plain>{table(_plain_rows(columns), _plain_columns(columns), caption=beginning)}</div>\n"
        f"<script type=application/json>{_encode(columns)}</script></div>\n"
    )


def _plain_columns(columns: Sequence[RecordColumn]) -> list[Column]:
    return [
        Column(str(place), each.title, is_number=each.is_number, kind=each.kind)
        for place, each in enumerate(columns)
    ]


def _plain_rows(columns: Sequence[RecordColumn]) -> list[dict[str, Any]]:
    n_rows = min(PLAIN_ROWS, len(columns[0].values)) if columns else 0
    return [
        {str(place): _plain(each, each.values[row]) for place, each in enumerate(columns)}
        for row in range(n_rows)
    ]


def _plain(column: RecordColumn, value: Any) -> Any:
    if value is None or not column.is_number:
        return None if value is None else shown(value, max_chars=_PLAIN_CHARS)
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:.3g}"


def _encode(columns: Sequence[RecordColumn]) -> str:
    """Write as JSON in which nothing can end the element that it stands in."""
    content = {"columns": [_encoded_column(each) for each in columns], "terms": {"clamp": _CLAMP_CHARS}}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _encoded_column(column: RecordColumn) -> dict[str, Any]:
    kind = "number" if column.is_number else column.kind
    head: dict[str, Any] = {"title": column.title, "kind": kind, "number": column.is_number}
    if column.is_number:
        return {**head, "values": [_finite(value) for value in column.values]}
    words = list(dict.fromkeys(value for value in column.values if value is not None))
    if not column.values or len(words) > _REPEATED * len(column.values):
        return {**head, "values": list(column.values)}
    codes = {word: code for code, word in enumerate(words)}
    return {
        **head,
        "words": words,
        "values": [None if each is None else codes[each] for each in column.values],
    }


def _finite(value: Any) -> Any:
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.4g}")


def encoded_bytes(columns: Sequence[RecordColumn]) -> int:
    """Return how much room columns take in the page, without the rows for readers without scripts."""
    return len(_encode(columns).encode("utf-8"))
