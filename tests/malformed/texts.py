"""Files beside the usual ones: guidelines, lists of ids, batches, schemas, verdicts; and folders of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .kind import Kind, Place
from .pools_text import holding

if TYPE_CHECKING:
    from pathlib import Path

    from .world import World

__all__ = ["KINDS"]

GUIDELINES: Final = (Place("annotate export", "{world}/pool.jsonl --to csv --guidelines {bad} --out {out}"),)
EXCLUDED: Final = (
    Place(
        "coverage",
        "{world}/pool.jsonl {world}/pool.jsonl --embeddings-real {world}/vectors.npy "
        "--embeddings-synth {world}/vectors.npy --exclude {bad}",
    ),
)
BATCH: Final = (Place("synth probe", "--batch {bad} --command true\\x20{{file}} --out {out}"),)
SCHEMA: Final = (
    Place("synth probe", "--batch {world}/pool.jsonl --schema {bad} --command true\\x20{{file}} --out {out}"),
)
VERDICTS: Final = (Place("evaluate", "--suite winrate --verdicts {bad} --baseline a --out {out}"),)
SHORTFALL: Final = (Place("synth plan", "{world}/plan.toml --shortfall {bad} --out {out}"),)
RECORDS: Final = (Place("synth validate", "{world}/synth --records {bad}"),)
TASK_MODEL: Final = (
    Place("tasks", "{world}/pool.jsonl --embeddings {world}/vectors.npy --using {bad} --out {out}.parquet"),
)
ADAPTER: Final = (
    Place("score", "{world}/pool.jsonl --model demo --adapter {bad} --out {out}"),
    Place("evaluate", "{world}/pool.jsonl --model demo --adapter {bad} --out {out}"),
)
RUNS: Final = (
    Place("status", "{bad}"),
    Place("annotate status", "{bad}"),
    Place("explain", "{bad}"),
    Place("diff", "{bad} {world}/run/first"),
    Place("report", "{bad} --out {out}.html"),
    Place("synth status", "{bad}"),
    Place("synth run", "{bad} --tier full"),
    Place("synth reparse", "{bad}"),
    Place("synth export", "{bad} --out {out}.jsonl"),
    Place("synth validate", "{bad}"),
    Place("synth edge", "{bad}"),
    Place("synth probe", "{bad} --command true\\x20{{file}} --out {out}"),
)
TEXTS: Final = (*GUIDELINES, *EXCLUDED, *BATCH, *SCHEMA, *VERDICTS, *SHORTFALL, *RECORDS)


def _at(name: str):
    return lambda folder, world: folder / name


def _pipe(name: str):
    def make(folder: Path, world: World) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return make


def _made(name: str):
    def make(folder: Path, world: World) -> Path:
        (folder / name).mkdir()
        return folder / name

    return make


ROW: Final = '{"item": {"x": 1}, "edge": "missing"}\n'
KINDS: Final = (
    Kind(
        "beside-missing",
        "a file beside the pool that does not exist",
        _at("x.jsonl"),
        TEXTS,
        "does not exist|There is no|cannot be read|No such file",
    ),
    Kind("beside-folder", "a folder in the place of such a file", _made("x.jsonl"), TEXTS, r"x\.jsonl"),
    Kind(
        "beside-pipe",
        "a named pipe in the place of such a file",
        _pipe("x.jsonl"),
        TEXTS,
        "is not a regular file|There is no|does not exist",
    ),
    Kind(
        "beside-latin-1",
        "such a file in Latin-1",
        holding("x.jsonl", '{"prompt": "café"}\n'.encode("latin-1")),
        TEXTS,
        "UTF-8|utf-8|cannot be read",
    ),
    Kind(
        "beside-nul",
        "such a file of NUL alone",
        holding("x.jsonl", b"\0" * 64),
        (*BATCH, *SCHEMA, *VERDICTS, *SHORTFALL, *RECORDS),
        r"x\.jsonl",
    ),
    Kind(
        "batch-cut",
        "a batch, cut in a line",
        holding("x.jsonl", ROW + '{"item'),
        BATCH,
        r"x\.jsonl, line 2 is not JSON",
    ),
    Kind(
        "batch-deep",
        "a batch nested 100,000 levels deep",
        holding("x.jsonl", "[" * 100_000 + "\n"),
        BATCH,
        r"x\.jsonl, line 1 is not JSON",
    ),
    Kind(
        "batch-huge-integer",
        "a batch with a number of 9,000 digits",
        holding("x.json", "[" + "9" * 9_000 + "]"),
        BATCH,
        r"x\.json is not JSON",
    ),
    Kind("schema-list", "a schema that is a list", holding("x.json", "[]"), SCHEMA, r"\S"),
    Kind(
        "schema-type",
        "a schema with a type that there is not",
        holding("x.json", '{"type": "strnig"}'),
        SCHEMA,
        r"\S",
    ),
    Kind(
        "verdicts-cut",
        "verdicts, cut in a line",
        holding("x.jsonl", '{"a": 1}\n{"a'),
        VERDICTS,
        r"x\.jsonl, line 2 ends in the middle",
    ),
    Kind(
        "verdicts-parquet",
        "verdicts that are no Parquet",
        holding("x.parquet", b"PAR1PAR1"),
        VERDICTS,
        r"x\.parquet cannot be read",
    ),
    Kind(
        "verdicts-columns",
        "verdicts without their columns",
        holding("x.jsonl", '{"a": 1}\n'),
        VERDICTS,
        r"\S",
    ),
    Kind(
        "shortfall-columns",
        "a shortfall without its columns",
        holding("x.csv", "a,b\n1,2\n"),
        SHORTFALL,
        r"x\.csv",
    ),
    Kind(
        "records-columns",
        "records without prompts",
        holding("x.csv", "a,b\n1,2\n"),
        RECORDS,
        "have no column 'prompt'",
    ),
    Kind(
        "records-parquet",
        "records that are no Parquet",
        holding("x.parquet", b"PAR1PAR1"),
        RECORDS,
        r"x\.parquet cannot be read as Parquet",
    ),
    Kind("tasks-model-missing", "a task model that does not exist", _at("model"), TASK_MODEL, "model"),
    Kind("tasks-model-empty", "an empty folder as task model", _made("model"), TASK_MODEL, "model"),
    Kind(
        "adapter-missing",
        "an adapter that does not exist",
        _at("adapter"),
        ADAPTER,
        "There is no adapter folder",
    ),
    Kind("adapter-empty", "an empty folder as adapter", _made("adapter"), ADAPTER, "holds no adapter"),
    Kind("run-missing", "a run folder that does not exist", _at("run"), RUNS, r"run\b"),
    Kind("run-empty", "an empty run folder", _made("run"), RUNS, r"run\b"),
    Kind("run-file", "a file in the place of a run folder", holding("run", "x"), RUNS, r"run\b"),
    Kind("run-pipe", "a named pipe in the place of a run folder", _pipe("run"), RUNS, r"run\b"),
)
