"""Scores, vectors, answers and settings: what stands beside a pool, malformed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from .kind import Kind, Place
from .parquet_bytes import list_bomb
from .places import ANSWERS, SCORES, VECTORS
from .pools_text import holding

if TYPE_CHECKING:
    from collections.abc import Callable

    from .kind import Make, Meeting
    from .world import World

__all__ = ["KINDS"]


def _scores(**columns: Any) -> Make:
    def make(folder: Path, world: World) -> Path:
        path = folder / "s.parquet"
        frame = world.frame().select("id").with_columns(**columns)
        frame.write_parquet(path)
        return path

    return make


def _vectors(change: Callable[[np.ndarray], np.ndarray]) -> Make:
    def make(folder: Path, world: World) -> Path:
        path = folder / "v.npy"
        np.save(path, change(np.load(world.folder / "vectors.npy")))
        return path

    return make


def _vector_table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Make:
    def make(folder: Path, world: World) -> Path:
        path = folder / "v.parquet"
        change(pl.read_parquet(world.folder / "vectors.parquet")).write_parquet(path)
        return path

    return make


def _with(path: str, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(vectors: np.ndarray) -> np.ndarray:
        vectors[3, 1] = value
        return vectors

    return change


def _npy(shape: str, body: bytes = b"") -> bytes:
    """Return an .npy file whose header says one thing and whose body another."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


def _pickled(folder: Path, world: World) -> Path:
    path = folder / "v.npy"
    np.save(path, np.array([[print], ["x"]], dtype=object), allow_pickle=True)
    return path


def _archive(folder: Path, world: World) -> Path:
    np.savez(folder / "v.npz", np.zeros((2, 2)))
    return (folder / "v.npz").rename(folder / "v.npy")


def _score(name: str, what: str, make: Make, said: str) -> Kind:
    return Kind(name, what, make, SCORES, said)


SCORE_KINDS: Final = (
    _score("scores-cut", "scores, cut short", holding("s.parquet", b"PAR1" + bytes(50)), "was cut short"),
    _score(
        "scores-no-column",
        "scores without a score",
        _scores(x=pl.lit(1)),
        "there is no column to read a confidence from",
    ),
    _score(
        "scores-positive",
        "logprobs with the wrong sign",
        _scores(token_logprobs=pl.lit([0.5, 2.5], pl.List(pl.Float64))),
        "sign|positive|negative",
    ),
    _score(
        "scores-text",
        "logprobs that are words",
        _scores(token_logprobs=pl.lit("many")),
        r"text that does not hold a JSON list",
    ),
    _score(
        "scores-huge-number",
        "a number of 5,000 digits in a list",
        holding("s.csv", 'id,token_logprobs\nrow-0,"[-' + "1" * 5_000 + ']"\n'),
        "JSON list of numbers",
    ),
    _score(
        "scores-beyond-float",
        "a number beyond a float in a list",
        holding("s.csv", 'id,token_logprobs\nrow-0,"[-' + "1" * 400 + ']"\n'),
        "JSON list of numbers",
    ),
    _score(
        "scores-deep",
        "lists nested 100,000 levels deep",
        holding("s.csv", 'id,token_logprobs\nrow-0,"' + "[" * 100_000 + '"\n'),
        "JSON list of numbers",
    ),
    _score(
        "scores-foreign",
        "scores of another pool",
        holding("s.jsonl", '{"id": "zzz", "confidence": 0.5}\n'),
        "id",
    ),
    _score("scores-nan", "nothing but NaN", _scores(confidence=pl.lit(float("nan"))), "confidence"),
    _score("scores-percent", "confidences in per cent", _scores(confidence=pl.lit(87.5)), "confidence"),
    _score(
        "scores-twice", "ids that repeat", holding("s.csv", "id,confidence\nrow-0,0.5\nrow-0,0.6\n"), "row-0"
    ),
    _score(
        "scores-bomb",
        "300 bytes that unfold to 10¹² scores",
        lambda folder, world: _bomb_of(folder, "s.parquet", "token_logprobs"),
        r"unfolds to 8,000\.0 GB",
    ),
)


def _bomb_of(folder: Path, name: str, column: str) -> Path:
    path = folder / name
    path.write_bytes(list_bomb(10**12, column=column))
    return path


def _vector(name: str, what: str, make: Make, said: str, places: tuple[Place, ...] = VECTORS) -> Kind:
    return Kind(name, what, make, places, said)


FINITE: Final = tuple(each for each in VECTORS if each.verb != "synth validate")
"""Validation leaves such vectors out, and says how many."""

VECTOR_KINDS: Final = (
    _vector(
        "npy-cut",
        "vectors, cut short",
        holding("v.npy", _npy("(12, 4)", bytes(50))),
        "is not a readable .npy file",
    ),
    _vector(
        "npy-text", "text that is called .npy", holding("v.npy", "0.1 0.2\n"), "it does not begin as one does"
    ),
    _vector("npy-empty", "vectors of 0 bytes", holding("v.npy", b""), "v.npy"),
    _vector("npy-pickle", "an array of pickled objects", _pickled, "is not a readable .npy file of numbers"),
    _vector("npy-npz", "an archive that is called .npy", _archive, "it is an archive"),
    _vector(
        "npy-bomb",
        "a header that says 10¹² vectors",
        holding("v.npy", _npy("(1000000000000, 4)")),
        "is not a readable .npy file",
    ),
    _vector(
        "npy-negative",
        "a header with a negative size",
        holding("v.npy", _npy("(-12, 4)", bytes(192))),
        r"v\.npy",
    ),
    _vector(
        "npy-shape",
        "numbers in one dimension",
        _vectors(lambda each: each[:, 0]),
        r"has shape \(12,\); allowed",
    ),
    _vector("npy-rows", "vectors of other rows", _vectors(lambda each: each[:5]), "has 5 rows, the pool has"),
    _vector(
        "npy-integers", "vectors of integers", _vectors(lambda each: each.astype(np.int32)), "dtype int32"
    ),
    _vector("npy-nan", "NaN in a vector", _vectors(_with("", np.nan)), "NaN", FINITE),
    _vector("npy-infinite", "infinity in a vector", _vectors(_with("", np.inf)), "inf", FINITE),
    _vector(
        "vectors-ragged",
        "vectors of different lengths",
        _vector_table(
            lambda each: each.with_columns(
                embedding=pl.when(pl.col("id") == "row-3")
                .then(pl.col("embedding").list.head(2))
                .otherwise(pl.col("embedding"))
            )
        ),
        "length|numbers",
    ),
    _vector(
        "vectors-missing-row",
        "a prompt without its vector",
        _vector_table(lambda each: each.head(11)),
        "row of the pool has no embedding",
    ),
    _vector(
        "vectors-twice",
        "an id with two vectors",
        _vector_table(lambda each: pl.concat([each, each.head(1)])),
        "more than once",
    ),
    _vector(
        "vectors-text",
        "vectors that are text",
        _vector_table(lambda each: each.with_columns(embedding=pl.lit("0.1"))),
        "no list column",
    ),
    _vector(
        "vectors-bomb",
        "300 bytes that unfold to a vector of 10¹² numbers",
        lambda folder, world: _bomb_of(folder, "v.parquet", "embedding"),
        r"v\.parquet",
    ),
)


def _says(words: str) -> Callable[[Meeting], None]:
    def check(meeting: Meeting) -> None:
        assert words in " ".join(meeting.stdout.split()), meeting.stdout

    return check


def _answer(name: str, what: str, file: str, content: bytes | str, said: str) -> Kind:
    return Kind(name, what, holding(file, content), ANSWERS, said)


ANSWER_KINDS: Final = (
    _answer(
        "answers-foreign",
        "answers to other prompts",
        "a.jsonl",
        '{"id": "zzz", "response": "x"}\n',
        "belongs to what was asked",
    ),
    _answer("answers-no-column", "a table without answers", "a.csv", "id,note\nrow-0,x\n", r"a\.csv"),
    _answer(
        "answers-nested",
        "answers that are lists",
        "a.jsonl",
        '{"id": "row-0", "response": ["x"]}\n',
        "wanted is text",
    ),
    _answer(
        "answers-two-ids",
        "columns that differ in case alone",
        "a.jsonl",
        '{"id": "row-0", "ID ": "row-1", "response": "x"}\n',
        "two columns 'id'",
    ),
    _answer(
        "answers-deep", "nested 100,000 levels deep", "a.json", "[" * 100_000, "nested too deeply|cut short"
    ),
    _answer("answers-object", "one object", "a.json", '{"id": "row-0"}', "holds an object"),
    _answer("answers-workbook", "a workbook", "a.xlsx", b"PK\3\4", "save the sheet as CSV UTF-8"),
    _answer(
        "answers-formula-quote", "an open quote in a sheet", "a.csv", 'id,response\nrow-0,"=1\n', "quote"
    ),
    _answer(
        "answers-blank-first",
        "a sheet that begins with an empty line",
        "a.csv",
        "\nid,response\nrow-0,x\n",
        "begins with an empty line",
    ),
    _answer(
        "label-studio-annotations",
        "Label Studio tasks whose annotations are text",
        "a.json",
        json.dumps([{"id": 1, "data": {"id": "row-0"}, "annotations": "x"}]),
        r"\S",
    ),
    Kind(
        "label-studio-null",
        "Label Studio tasks with null in the place of an annotation",
        holding("a.json", json.dumps([{"id": 1, "data": {"id": "row-0"}, "annotations": [None]}])),
        ANSWERS[1:],
        check=_says("1 rows: 1 open."),
    ),
    Kind(
        "argilla-nested",
        "Argilla records whose answers are lists",
        holding(
            "a.json",
            json.dumps(
                [
                    {
                        "id": "row-0",
                        "_server_id": None,
                        "status": "completed",
                        "response.responses": [[["x"]]],
                        "response.responses.users": ["u"],
                        "response.responses.status": ["submitted"],
                    }
                ]
            ),
        ),
        ANSWERS[1:],
        check=_says("1 prompt was handed in without an answer"),
    ),
)

KINDS: Final = (*SCORE_KINDS, *VECTOR_KINDS, *ANSWER_KINDS)
