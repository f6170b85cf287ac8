"""Pools in Parquet: damaged, of other writers, of other types, and larger than any memory."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from .kind import Kind
from .parquet_bytes import flat_bomb, list_bomb
from .places import EVERY_POOL, FEW_POOL
from .pools_text import ALL_ROWS, LONG, holding, prompts_are

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .kind import Make
    from .world import World

__all__ = ["KINDS"]


def _written(frame: pl.DataFrame, **options: Any) -> Make:
    def make(folder: Path, world: World) -> Path:
        path = folder / "p.parquet"
        frame.write_parquet(path, **options)
        return path

    return make


def _spoilt(spoil: Callable[[bytes], bytes]) -> Make:
    def make(folder: Path, world: World) -> Path:
        path = folder / "p.parquet"
        path.write_bytes(spoil((world.folder / "pool.parquet").read_bytes()))
        return path

    return make


def _of_arrow(write: Callable[[Any, Path], None]) -> Make:
    """Make a file with pyarrow, which writes what polars does not."""

    def make(folder: Path, world: World) -> Path:
        import pyarrow as pa

        path = folder / "p.parquet"
        write(pa, path)
        return path

    return make


def _refused(name: str, what: str, make: Make, said: str) -> Kind:
    return Kind(name, what, make, FEW_POOL, said)


def _read(name: str, what: str, make: Make, prompts: Sequence[str], needs: str | None = None) -> Kind:
    return Kind(name, what, make, ALL_ROWS, check=prompts_are(prompts), needs=needs)


def _damage_footer(raw: bytes) -> bytes:
    length = int.from_bytes(raw[-8:-4], "little")
    return raw[: -8 - length] + b"\xff" * length + raw[-8:]


DAMAGED: Final = (
    Kind(
        "parquet-cut",
        "Parquet, the second half missing",
        _spoilt(lambda raw: raw[: len(raw) // 2]),
        EVERY_POOL,
        r"^p\.parquet is a Parquet file that was cut short \(its end, which holds the index, is missing\)",
    ),
    _refused("parquet-cut-tail", "Parquet, a byte missing", _spoilt(lambda raw: raw[:-1]), "was cut short"),
    _refused(
        "parquet-json",
        "JSON that is called .parquet",
        holding("p.parquet", '{"prompt": "a"}\n'),
        "does not begin with PAR1",
    ),
    _refused(
        "parquet-marks", "its marks and nothing else", holding("p.parquet", b"PAR1PAR1"), "it is damaged"
    ),
    _refused(
        "parquet-footer", "a footer of 0xff", _spoilt(_damage_footer), "it is damaged or of an unknown kind"
    ),
    _refused(
        "parquet-index",
        "a footer that is longer than the file",
        _spoilt(lambda raw: raw[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "it is damaged or of an unknown kind",
    ),
    _refused(
        "parquet-pages",
        "pages of zeros",
        _spoilt(lambda raw: b"PAR1" + bytes(2_000) + raw[2_004:]),
        "it is damaged",
    ),
    _refused(
        "parquet-encrypted",
        "an encrypted file",
        holding("p.parquet", b"PARE" + bytes(64) + b"PARE"),
        "is an encrypted",
    ),
    _refused(
        "parquet-no-rows", "no rows", _written(pl.DataFrame(schema={"prompt": pl.String})), "holds no rows"
    ),
)

TYPES: Final = (
    _refused(
        "parquet-number",
        "prompts that are numbers",
        _written(pl.DataFrame({"prompt": [1]})),
        "column 'prompt' has type Int64",
    ),
    _refused(
        "parquet-bytes",
        "prompts that are bytes",
        _written(pl.DataFrame({"prompt": [b"a"]})),
        "column 'prompt' has type Binary",
    ),
    _refused(
        "parquet-struct",
        "prompts that are structs",
        _written(pl.DataFrame({"prompt": [{"a": 1}]})),
        r"has type Struct\(",
    ),
    _refused(
        "parquet-id-list",
        "ids that are lists",
        _written(pl.DataFrame({"prompt": ["a"], "id": [["x"]]})),
        "an id must be text, a number",
    ),
    _refused(
        "parquet-case",
        "a column that differs in case",
        _written(pl.DataFrame({"PROMPT": ["a"]})),
        "Did you mean 'prompt' by 'PROMPT'",
    ),
    _refused(
        "parquet-column-twice",
        "a column that stands twice",
        _of_arrow(
            lambda arrow, path: _arrow_write(arrow.table([["a"], ["b"]], names=["prompt", "prompt"]), path)
        ),
        "column with name 'prompt' has more than one occurrence",
    ),
    _refused(
        "parquet-bad-text",
        "text that is not UTF-8",
        _of_arrow(lambda arrow, path: _arrow_write(arrow.table({"prompt": _bad_text(arrow)}), path)),
        r"cannot be read as Parquet|UTF-8",
    ),
)


def _arrow_write(table: Any, path: Path, **options: Any) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path, **options)


def _bad_text(arrow: Any) -> Any:
    """Return an array of text that is none, as a writer in C may make one."""
    return arrow.array([b"caf\xe9"]).view(arrow.string())


def _with_empty_groups(arrow: Any, path: Path) -> None:
    import pyarrow.parquet

    schema = arrow.schema([("prompt", arrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for prompts in ([], ["a"], [], ["b", "c"], []):
            writer.write_table(arrow.table({"prompt": prompts}, schema=schema))


NESTED: Final = pl.DataFrame(
    {
        "prompt": ["a", "b"],
        "x": [[{"y": [[None, 1], None], "z": {"w": [None]}}], None],
        "n": pl.Series([None, None], dtype=pl.Null),
    }
)
STRANGE: Final = pl.DataFrame(
    {
        "prompt": ["a", "b"],
        "id": pl.Series([2**100, -(2**100)], dtype=pl.Int128),
        "d": [dt.date(1, 1, 1), dt.date(9999, 12, 31)],
        "t": [dt.timedelta(days=10**6), None],
    }
)
READ: Final = (
    _read(
        "parquet-dictionary",
        "dictionary-encoded text",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table({"prompt": arrow.array(["a", "b", "a"]).dictionary_encode()}), path
            )
        ),
        ["a", "b", "a"],
        "pyarrow",
    ),
    _read(
        "parquet-categories",
        "categories of polars",
        _written(pl.DataFrame({"prompt": pl.Series(["a", "b", "a"], dtype=pl.Enum(["b", "a"]))})),
        ["a", "b", "a"],
    ),
    _read(
        "parquet-views",
        "Arrow's views of text",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table({"prompt": arrow.array(["a", "b" * 40], type=arrow.string_view())}), path
            )
        ),
        ["a", "b" * 40],
        "pyarrow",
    ),
    Kind(
        "parquet-list-views",
        "Arrow's views of lists, which polars does not know",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table(
                    {"prompt": ["a", "b"], "x": arrow.array([[1], []], type=arrow.list_view(arrow.int8()))}
                ),
                path,
            )
        ),
        FEW_POOL,
        r"cannot be read as Parquet, it is damaged or of an unknown kind",
        needs="pyarrow",
    ),
    _read(
        "parquet-large",
        "Arrow's large text and lists",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table(
                    {
                        "prompt": arrow.array(["a"], type=arrow.large_string()),
                        "x": arrow.array([[1]], type=arrow.large_list(arrow.int8())),
                    }
                ),
                path,
            )
        ),
        ["a"],
        "pyarrow",
    ),
    _read(
        "parquet-map",
        "maps",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table(
                    {
                        "prompt": ["a"],
                        "m": arrow.array([[("k", 1)]], type=arrow.map_(arrow.string(), arrow.int64())),
                    }
                ),
                path,
            )
        ),
        ["a"],
        "pyarrow",
    ),
    _read(
        "parquet-empty-groups",
        "row groups without rows",
        _of_arrow(_with_empty_groups),
        ["a", "b", "c"],
        "pyarrow",
    ),
    _read(
        "parquet-small-groups",
        "row groups of one row",
        _written(pl.DataFrame({"prompt": ["a", "b", "c"]}), row_group_size=1),
        ["a", "b", "c"],
    ),
    _read(
        "parquet-delta",
        "delta encodings, Brotli, version 1",
        _of_arrow(
            lambda arrow, path: _arrow_write(
                arrow.table({"prompt": ["a", "ab", "abc"]}),
                path,
                use_dictionary=False,
                column_encoding={"prompt": "DELTA_BYTE_ARRAY"},
                compression="brotli",
                version="1.0",
            )
        ),
        ["a", "ab", "abc"],
        "pyarrow",
    ),
    _read("parquet-nested", "lists of structs of lists, nulls on every level", _written(NESTED), ["a", "b"]),
    _read(
        "parquet-strange",
        "integers of 128 bits, dates of the years 1 and 9999",
        _written(STRANGE),
        ["a", "b"],
    ),
    _read(
        "parquet-null-column",
        "prompts of the type null",
        _written(pl.DataFrame({"prompt": pl.Series([None], dtype=pl.Null)})),
        [""],
    ),
    _read(
        "parquet-two-cases",
        "columns that differ in case alone",
        _written(pl.DataFrame({"prompt": ["a"], "Prompt": ["b"]})),
        ["a"],
    ),
    _read(
        "parquet-long-cell",
        "a cell of a million characters",
        _written(pl.DataFrame({"prompt": [LONG]})),
        [LONG],
    ),
)

BOMBS: Final = (
    Kind(
        "parquet-bomb-rows",
        "130 bytes that unfold to 10¹² rows",
        holding("p.parquet", flat_bomb(10**12)),
        EVERY_POOL,
        r"^p\.parquet unfolds to 16,000\.0 GB, more than the memory that is free; .*'prompt' with 1,000,",
    ),
    Kind(
        "parquet-bomb-memory",
        "130 bytes that unfold to 2·10⁹ rows, in a process of 4 GB",
        holding("p.parquet", flat_bomb(2 * 10**9)),
        FEW_POOL[:1],
        r"unfolds to 32\.0 GB",
        memory_mb=4_096,
    ),
    _refused(
        "parquet-bomb-list",
        "270 bytes that unfold to one list of 10¹² numbers",
        holding("p.parquet", list_bomb(10**12)),
        r"unfolds to 8,000\.0 GB, .* column is 'x' with 1,000,000,000,000 values",
    ),
)

KINDS: Final = (*DAMAGED, *TYPES, *READ, *BOMBS)
