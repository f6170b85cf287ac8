r"""Cells of CSV files that spreadsheets may open: none is a formula, and every text comes back as it was.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end may be run by a spreadsheet as a
formula (OWASP, "CSV Injection"). Such a text gets an apostrophe in front, and so does one that begins with
apostrophes and such a character behind them; nothing else is touched. Taking one apostrophe away from what
begins so is then the exact way back, and an answer that begins with an apostrophe and a letter stays itself.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

__all__ = ["defused", "defused_texts", "undefused", "undefused_texts"]

_DANGEROUS: Final = "[=+\\-@\\t\\r\\n\\x{ff1d}\\x{ff0b}\\x{ff0d}\\x{ff20}]"
"""The last four are the full-width forms of the first."""
_PYTHON: Final = re.sub(r"\\x\{(\w+)\}", r"\\u\1", _DANGEROUS)
_TO_DEFUSE: Final = re.compile(f"'*{_PYTHON}")
_DEFUSED: Final = re.compile(f"'+{_PYTHON}")


def defused(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run.

    Examples
    --------
    >>> [defused(text) for text in ("=1+1", "'=1+1", "'tis", "1-1")]
    ["'=1+1", "''=1+1", "'tis", '1-1']
    """
    return f"'{text}" if _TO_DEFUSE.match(text) else text


def undefused(text: str) -> str:
    """Take the apostrophe of `defused` away again.

    Examples
    --------
    >>> [undefused(text) for text in ("'=1+1", "''=1+1", "'tis", "-5")]
    ['=1+1', "'=1+1", "'tis", '-5']
    """
    return text[1:] if _DEFUSED.match(text) else text


def defused_texts(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table whose columns of text are defused; numbers, negative ones too, stay numbers.

    Examples
    --------
    >>> defused_texts(pl.DataFrame({"task": ["=1+1", "sums"], "loss": [-1, 2]})).rows()
    [("'=1+1", -1), ('sums', 2)]
    """
    text = pl.col(pl.String)
    return table.with_columns(
        pl.when(text.str.contains(f"^'*{_DANGEROUS}")).then(pl.lit("'") + text).otherwise(text).name.keep()
    )


def undefused_texts(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table that `defused_texts` was given."""
    text = pl.col(pl.String)
    return table.with_columns(
        pl.when(text.str.contains(f"^'+{_DANGEROUS}")).then(text.str.slice(1)).otherwise(text).name.keep()
    )
