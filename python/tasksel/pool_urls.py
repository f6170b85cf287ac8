"""Pools behind a URL, read by polars: S3, GCS, Azure, Hugging Face, HTTP; with credentials that it finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.pool_file_scan import FileScan, first_clause
from tasksel.pool_json_fields import FIRST_LOOK_LINES, count_fields, steady_schema
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["URL_SUFFIXES", "is_url", "scan_url", "url_name"]

URL_SUFFIXES: Final = (".parquet", ".jsonl", ".ndjson")
"""Suffixes of what can be read from a URL."""
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(source: Any) -> TypeGuard[str]:
    r"""Tell a URL from a path.

    Examples
    --------
    >>> is_url("s3://bucket/pool.parquet"), is_url("pool.parquet"), is_url(r"C:\pool.parquet")
    (True, False, False)
    """
    return isinstance(source, str) and _SCHEME.match(source) is not None


def url_name(url: str) -> str:
    """Return the last part of a URL's path.

    Examples
    --------
    >>> url_name("s3://bucket/pools/pool.parquet")
    'pool.parquet'
    """
    return url.rstrip("/").rpartition("/")[2]


def _refuse_secrets(url: str) -> None:
    """Refuse a URL that may hold a password or a signature, without quoting it: pools are named in files."""
    rest = url.partition("://")[2]
    is_web = url.lower().startswith(("http://", "https://"))
    # Not by the host alone: a password may have a slash in it.
    if ":" in rest.rpartition("@")[0] or (is_web and ("?" in rest or "#" in rest)):
        raise SchemaError(
            "The URL of the pool has a password (user:…@) or a query (?…), either of which may be a secret, "
            "and names of pools are written to files; let the environment hold the credentials, or copy the "
            "file to a disk first."
        )


def scan_url(url: str, *, eager: bool) -> FileScan:
    """Open a pool behind a URL.

    Parameters
    ----------
    url : str
        Of a Parquet or JSONL file, or with ``*`` of several Parquet files.
    eager : bool
        Read everything now.

    Raises
    ------
    SchemaError
        It has another suffix, polars cannot read it, it holds no rows, or it has a part that may be a secret.
    """
    _refuse_secrets(url)
    name = url_name(url)
    if not name.lower().endswith(URL_SUFFIXES):
        raise SchemaError(
            f"{name} cannot be read from a URL; that can be done with {', '.join(URL_SUFFIXES)}. "
            "Copy the file to a disk first."
        )
    try:
        if name.lower().endswith(".parquet"):
            lazy = pl.scan_parquet(url, hive_partitioning=False)
        else:
            lazy = _scan_jsonl(url)
        if eager:
            lazy = lazy.collect().lazy()
        n_rows = int(lazy.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise SchemaError(f"{url} cannot be read ({first_clause(error)}).") from error
    if n_rows == 0:
        raise SchemaError(f"{url} holds no rows; a pool has at least one.")
    return FileScan(lazy)


def _scan_jsonl(url: str) -> pl.LazyFrame:
    lazy = pl.scan_ndjson(url, infer_schema_length=None)
    schema = lazy.collect_schema()
    if not count_fields(schema.values()):
        return lazy
    first = pl.scan_lines(url, name="line").head(FIRST_LOOK_LINES).collect()
    return pl.scan_ndjson(url, schema=steady_schema(schema, first["line"]))
