"""A few figures for a notebook: HTML without a style of its own, so that nothing around it changes.

Colours are the notebook's, light or dark. Texts of strangers pass `tasksel.html_page.visible`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.html_page import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

__all__ = ["CardTable", "card"]

_MAX_NOTES: Final = 8
_CELL: Final = "padding:.15em .8em .15em 0;vertical-align:top;border:0;background:none"
_NUMBER: Final = f"{_CELL};text-align:right"
_TEXT: Final = f"{_CELL};text-align:left;white-space:pre-wrap;overflow-wrap:anywhere;max-width:36em"


@dataclass(frozen=True, eq=False)
class CardTable:
    """The first rows of a frame.

    Parameters
    ----------
    frame : DataFrame
        Its columns are shown under their names.
    rows : int
        How many rows at most.
    max_chars : int
        Longest text of a cell.
    """

    frame: pl.DataFrame
    rows: int = 8
    max_chars: int = 120


def card(title: str, headline: str, tables: Sequence[CardTable] = (), notes: Sequence[str] = ()) -> str:
    """Return a small piece of HTML for a notebook.

    Parameters
    ----------
    title, headline : str
        What it is, and the sentence that says it all.
    tables : sequence of CardTable
        Below each stands how many rows it leaves out.
    notes : sequence of str
        What a person should know.
    """
    told = list(notes[:_MAX_NOTES])
    if len(notes) > _MAX_NOTES:
        told.append(f"and {len(notes) - _MAX_NOTES:,} more")
    said = "".join(f"<li>{visible(note, max_chars=600)}</li>" for note in told)
    notes_list = f'<ul style="margin:.4em 0;padding-left:1.4em">{said}</ul>' if said else ""
    end = "" if title.endswith(("?", ".", "!")) else "."
    name = f"<strong>{visible(title, max_chars=120)}{end}</strong>"
    head = f'<p style="margin:.2em 0">{name} {visible(headline, max_chars=1_000)}</p>'
    return f'<div style="max-width:60em">{head}{"".join(map(_table, tables))}{notes_list}</div>'


def _table(table: CardTable) -> str:
    frame = table.frame.head(table.rows)
    is_number = [dtype.is_numeric() for dtype in frame.dtypes]
    head = "".join(
        f'<th style="{_NUMBER if number else _TEXT};opacity:.75">{visible(name, max_chars=40)}</th>'
        for name, number in zip(frame.columns, is_number, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{_NUMBER if number else _TEXT}">{_value(value, table.max_chars)}</td>'
            for value, number in zip(row, is_number, strict=True)
        )
        + "</tr>"
        for row in frame.iter_rows()
    )
    left_out = table.frame.height - frame.height
    more = f'<p style="margin:.2em 0;opacity:.75">and {left_out:,} more</p>' if left_out else ""
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:.4em 0">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def _value(value: Any, max_chars: int) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return visible(value, max_chars=max_chars)
