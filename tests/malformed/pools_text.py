"""Pools that are text: encodings, line ends, JSON Lines, JSON and CSV."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from .kind import Kind, Meeting, Place
from .places import EVERY_POOL, FEW_POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .kind import Make
    from .world import World

__all__ = ["KINDS"]

GOOD: Final = '{"prompt": "a"}\n'


def holding(name: str, content: bytes | str) -> Make:
    """Make a file of that name and content."""

    def make(folder: Path, world: World) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def prompts_are(prompts: Sequence[str]) -> Callable[[Meeting], None]:
    """Check that a selection of everything holds just these prompts."""

    def check(meeting: Meeting) -> None:
        found = pl.read_parquet(meeting.out / "selected.parquet")
        assert sorted(found["prompt"]) == sorted(prompts), found["prompt"].to_list()

    return check


ALL_ROWS: Final = (Place("select", "{bad} -b 1000 --strategy random --out {out}"),)
"""Where a pool is read, all of its rows are selected, so that none is lost or made up."""


def _read(name: str, what: str, file: str, content: bytes | str, prompts: Sequence[str]) -> Kind:
    return Kind(name, what, holding(file, content), ALL_ROWS, check=prompts_are(prompts))


def _refused(
    name: str, what: str, file: str, content: bytes | str, said: str, places: tuple[Place, ...] = FEW_POOL
) -> Kind:
    return Kind(name, what, holding(file, content), places, said)


ENCODINGS: Final = (
    _read("utf-8-bom", "byte order mark of UTF-8", "p.jsonl", b"\xef\xbb\xbf" + GOOD.encode(), ["a"]),
    _read("csv-utf-8-bom", "byte order mark, CSV", "p.csv", b"\xef\xbb\xbfid,prompt\n1,a\n2,b\n", ["a", "b"]),
    _read("json-utf-8-bom", "byte order mark, JSON", "p.json", b'\xef\xbb\xbf[{"prompt": "a"}]', ["a"]),
    _refused(
        "utf-16", "UTF-16 with its mark", "p.jsonl", GOOD.encode("utf-16"), r"^p\.jsonl is encoded in UTF-16;"
    ),
    _refused(
        "utf-16-bare",
        "UTF-16 without a mark",
        "p.csv",
        "prompt\na\n".encode("utf-16-le"),
        "UTF-16 without a byte order mark; a pool is UTF-8",
    ),
    _refused("utf-32", "UTF-32", "p.json", '[{"prompt": "a"}]'.encode("utf-32"), "is encoded in UTF-32;"),
    _refused(
        "latin-1",
        "Latin-1 in JSON Lines",
        "p.jsonl",
        GOOD.encode() + '{"prompt": "café"}\n'.encode("latin-1"),
        r"^p\.jsonl is not UTF-8: byte 0xe9 at offset 31 \(line 2\); save it as UTF-8\.$",
        EVERY_POOL,
    ),
    _refused(
        "csv-latin-1",
        "Latin-1 in CSV",
        "p.csv",
        "prompt\ncafé\n".encode("cp1252"),
        r"byte 0xe9 at offset 10 ",
    ),
    _refused(
        "utf-8-cut", "UTF-8, cut inside a character", "p.csv", "prompt\né".encode()[:-1], "is not UTF-8"
    ),
    _refused("cesu-8", "surrogates as bytes", "p.csv", b"prompt\n\xed\xa0\x80\n", "byte 0xed at offset 7"),
    _read(
        "lone-surrogate",
        "half a surrogate pair, escaped",
        "p.jsonl",
        '{"prompt": "a\\ud800b"}\n',
        ["a\N{REPLACEMENT CHARACTER}b"],
    ),
    _read("mixed-line-ends", "LF and CRLF in one file", "p.jsonl", GOOD[:-1] + "\r\n" + GOOD, ["a", "a"]),
    _read("csv-mixed-line-ends", "LF and CRLF, CSV", "p.csv", "id,prompt\r\n1,a\n2,b\r\n", ["a", "b"]),
    _refused(
        "csv-cr", "lines that end with CR alone", "p.csv", "id,prompt\r1,a\r", "ends its lines with CR alone"
    ),
    _refused(
        "nul-raw", "NUL as it is, in JSON", "p.jsonl", '{"prompt": "a\0b"}\n', "Invalid control character"
    ),
    _read("nul-escaped", "NUL as an escape", "p.jsonl", '{"prompt": "a\\u0000b"}\n', ["a\0b"]),
    _read("csv-nul", "NUL in CSV", "p.csv", "prompt,x\na\0b,1\n", ["a\0b"]),
    _refused("nul-only", "nothing but NUL", "p.jsonl", b"\0" * 4096, r"^p\.jsonl\b.*(not valid JSON|UTF)"),
    _read(
        "terminal-escapes",
        "escape sequences of a terminal in prompts",
        "p.jsonl",
        json.dumps({"prompt": "\x1b[31mred\x1b]0;owned\x07"}) + "\n",
        ["\x1b[31mred\x1b]0;owned\x07"],
    ),
)

LONG: Final = "x" * 1_000_000
JSON_LINES: Final = (
    _refused(
        "jsonl-cut",
        "JSON Lines, cut in a line",
        "p.jsonl",
        GOOD + '{"pro',
        r"^p\.jsonl, line 2 ends in the middle of a JSON object; was the file cut short\?$",
        EVERY_POOL,
    ),
    _refused("jsonl-list", "a line that is a list", "p.jsonl", GOOD + "[1]\n", "line 2 holds a list;"),
    _refused("jsonl-null", "a line that is null", "p.jsonl", GOOD + "null\n", "line 2 holds null;"),
    _refused(
        "jsonl-pretty", "JSON over several lines", "p.jsonl", '{\n"prompt": "a"\n}\n', "use the suffix .json"
    ),
    _refused(
        "jsonl-two", "two objects on a line", "p.jsonl", GOOD.strip() * 2 + "\n", "Extra data at column 16"
    ),
    _refused("jsonl-quotes", "single quotes", "p.jsonl", "{'prompt': 'a'}\n", "double quotes at column 2"),
    _refused("jsonl-empty-objects", "objects without a field", "p.jsonl", "{}\n{}\n", "found no columns"),
    _refused(
        "jsonl-blank", "blank lines alone", "p.jsonl", "\n \r\n\n", r"^p\.jsonl holds no rows; a pool has"
    ),
    _refused(
        "jsonl-deep",
        "nested 9,000 levels deep",
        "p.jsonl",
        '{"prompt": "a", "x": ' + "[" * 9_000 + "]" * 9_000 + "}\n",
        "nested too deeply",
    ),
    _read(
        "jsonl-deep-200",
        "nested 200 levels deep",
        "p.jsonl",
        '{"prompt": "a", "x": ' + "[" * 200 + "]" * 200 + "}\n",
        ["a"],
    ),
    _refused(
        "jsonl-huge-integer",
        "a number of 9,000 digits",
        "p.jsonl",
        f'{{"prompt": "a", "x": {"9" * 9_000}}}\n',
        "Exceeds the limit",
    ),
    _read(
        "jsonl-big-integer", "a number beyond 64 bits", "p.jsonl", f'{{"prompt": "a", "x": {2**80}}}\n', ["a"]
    ),
    _read(
        "jsonl-huge-float",
        "numbers beyond a float, NaN",
        "p.jsonl",
        '{"prompt": "a", "x": 1e999}\n{"prompt": "b", "x": NaN}\n',
        ["a", "b"],
    ),
    _refused(
        "jsonl-number",
        "prompts that are numbers",
        "p.jsonl",
        '{"prompt": 7}\n',
        "column 'prompt' has type Int64; it must be text",
    ),
    _read(
        "jsonl-null-prompts", "no prompt but null", "p.jsonl", '{"prompt": null, "x": [null, [null]]}\n', [""]
    ),
    _read(
        "jsonl-nested-null",
        "nulls within lists within nulls",
        "p.jsonl",
        '{"prompt": "a", "x": [null, [null]]}\n{"prompt": "b", "x": null}\n',
        ["a", "b"],
    ),
    _read(
        "jsonl-mixed",
        "a field that is text, number and object",
        "p.jsonl",
        '{"prompt": "a", "x": 1}\n{"prompt": "b", "x": {"y": []}}\n',
        ["a", "b"],
    ),
    _refused(
        "jsonl-key-twice",
        "a key that stands twice in an object",
        "p.jsonl",
        GOOD + '{"prompt": "a", "prompt": "b"}\n',
        "twice",
    ),
    _refused("json-key-twice", "a key twice, JSON", "p.json", '[{"prompt": "a", "prompt": "b"}]', "twice"),
    _refused(
        "jsonl-case",
        "a column that differs in case",
        "p.jsonl",
        '{"Prompt": "a"}\n',
        "Did you mean 'prompt' by 'Prompt'",
    ),
    _read(
        "jsonl-two-cases",
        "columns that differ in case alone",
        "p.jsonl",
        '{"prompt": "a", "Prompt": "b", "PROMPT": "c"}\n',
        ["a"],
    ),
    _read(
        "jsonl-long-cell",
        "a cell of a million characters",
        "p.jsonl",
        json.dumps({"prompt": LONG}) + "\n",
        [LONG],
    ),
    _refused(
        "jsonl-same-ids",
        "ids that repeat",
        "p.jsonl",
        '{"id": 1, "prompt": "a"}\n{"id": 1, "prompt": "b"}\n',
        "id '1' stands in rows 1 and 2; ids must be unique",
    ),
)

JSON: Final = (
    _refused(
        "json-cut",
        "JSON, cut in a value",
        "p.json",
        '[{"prompt": "a"},\n {"pro',
        r"ends in the middle of a value \(line 2\)",
    ),
    _refused(
        "json-object", "one object", "p.json", '{"prompt": "a"}', "holds an object; a pool in JSON is a list"
    ),
    _refused(
        "json-lines",
        "JSON Lines with the suffix .json",
        "p.json",
        GOOD * 2,
        r"which is JSON Lines; give it the suffix \.jsonl",
    ),
    _refused("json-items", "a list of numbers", "p.json", "[1, 2]", r"item 0 \(from 0\) is a number"),
    _refused("json-empty-list", "an empty list", "p.json", "[]", "holds no rows"),
    _refused("json-deep", "200,000 lists in each other", "p.json", "[" * 200_000, "nested too deeply"),
)

CSV: Final = (
    _refused(
        "csv-ragged",
        "a line with too many fields",
        "p.csv",
        "id,prompt\n1,a\n2,b,c\n",
        r"^p\.csv, line 3 has 3 fields where the header has 2 fields",
        FEW_POOL,
    ),
    _refused(
        "csv-short", "a line with too few fields", "p.csv", "id,prompt\n1,a\n2\n", "line 3 has 1 field where"
    ),
    _refused(
        "csv-open-quote", "a quote left open", "p.csv", 'id,prompt\n1,"a\n2,b\n', "is a quote left open"
    ),
    _refused(
        "csv-column-twice",
        "a column that stands twice",
        "p.csv",
        "prompt,id,prompt\na,1,b\n",
        "column 'prompt' stands twice in the header",
    ),
    _refused(
        "csv-case",
        "a column that differs in case",
        "p.csv",
        "ID,PROMPT\n1,a\n",
        "Did you mean 'prompt' by 'PROMPT'",
    ),
    _refused(
        "csv-semicolon",
        "a semicolon between columns",
        "p.csv",
        "id;prompt\n1;a\n",
        r"The separator of a \.csv is a comma",
    ),
    _refused("csv-header-only", "a header without rows", "p.csv", "id,prompt\n", "holds no rows"),
    _read(
        "csv-big-integers",
        "ids of 30 digits",
        "p.csv",
        f"id,prompt\n{10**30},a\n{10**30 + 1},b\n",
        ["a", "b"],
    ),
    _read("csv-long-cell", "a cell of a million characters, CSV", "p.csv", f"prompt\n{LONG}\n", [LONG]),
    _read("csv-quoted-lines", "line ends inside quotes", "p.csv", 'prompt\n"a\nb\r\nc"\n', ["a\nb\r\nc"]),
    _refused("tsv-comma", "commas in a .tsv", "p.tsv", "id,prompt\n1,a\n", r"that of a \.tsv a tab"),
)

KINDS: Final = (*ENCODINGS, *JSON_LINES, *JSON, *CSV)
