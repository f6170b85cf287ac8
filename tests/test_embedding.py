from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasksel.embedding import read_embeddings
from tasksel_core.errors import SchemaError

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
FRAME = pl.DataFrame({"prompt": list("abcd"), "vector": VECTORS.tolist(), "fixed": VECTORS})


@pytest.mark.parametrize("column", ["vector", "fixed"])
def test_a_list_or_array_column(column: str) -> None:
    read = read_embeddings(column, FRAME)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, VECTORS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_npy_file(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "vectors.npy", VECTORS.astype(dtype))
    read = read_embeddings(tmp_path / "vectors.npy", FRAME)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, VECTORS)


def test_a_float32_array_is_not_copied() -> None:
    assert np.shares_memory(read_embeddings(VECTORS, FRAME), VECTORS)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nothing", "no embeddings column 'nothing'; the pool has prompt"),
        ("prompt", "type String"),
        ("missing.npy", "no embeddings file"),
        (VECTORS[:3], "has 3 rows, the pool has 4"),
        (VECTORS.ravel(), r"shape \(12,\)"),
        (VECTORS.astype(np.int64), "dtype int64"),
    ],
)
def test_what_does_not_fit_is_named(source: object, sentence: str) -> None:
    with pytest.raises(SchemaError, match=sentence):
        read_embeddings(source, FRAME)


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        ([[1.0], [1.0, 2.0], [1.0], [1.0]], "vectors of 1 to 2 numbers"),
        ([[1.0], None, [1.0], [1.0]], "no embedding in row 1"),
        ([["x"], ["y"], ["z"], ["w"]], "allowed: a list of numbers"),
    ],
)
def test_ragged_missing_and_textual_vectors_are_named(vectors: list[object], sentence: str) -> None:
    with pytest.raises(SchemaError, match=sentence):
        read_embeddings("v", pl.DataFrame({"v": vectors}))


@pytest.mark.parametrize("content", [b"", b"PAR1 not numpy", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npy_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.npy").write_bytes(content)
    with pytest.raises(SchemaError, match=r"broken\.npy is not a readable \.npy file"):
        read_embeddings(tmp_path / "broken.npy", FRAME)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SchemaError, match=r"objects\.npy"):
        read_embeddings(tmp_path / "objects.npy", FRAME)
