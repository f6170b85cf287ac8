import errno
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasksel import embedding_parquet, embedding_storage
from tasksel.embedding import read_embeddings
from tasksel.embedding_run import embed
from tasksel.run_folder import file_sha256
from tasksel_core.errors import ResumeError, SchemaError

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
        ("nothing", "no embeddings column 'nothing'; the pool has 'prompt'"),
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


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_storage, "MEMORY_SHARE", 0.0)


BFLOAT16 = (VECTORS.view(np.uint32) >> 16).astype(np.uint16).view("V2")
"""What numpy loads where ml_dtypes.bfloat16 was saved; the small whole numbers of VECTORS are exact in it."""


def test_bfloat16_arrays_and_files(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", BFLOAT16)
    for source in (BFLOAT16, BFLOAT16[:, ::-1][:, ::-1], tmp_path / "vectors.npy"):
        read = read_embeddings(source, FRAME)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, VECTORS)


def test_bfloat16_of_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    read = read_embeddings(VECTORS.astype(ml_dtypes.bfloat16), FRAME)
    np.testing.assert_array_equal(read, VECTORS)


@pytest.mark.parametrize(
    "vectors",
    [VECTORS.astype(">f4"), np.asfortranarray(VECTORS), VECTORS.astype(np.float64)[::-1][::-1], BFLOAT16],
)
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_other_layouts_become_adjacent_rows_of_native_float32(
    vectors: np.ndarray, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_storage, "MEMORY_SHARE", share)
    monkeypatch.setattr(embedding_storage, "BLOCK_BYTES", 13)
    read = read_embeddings(vectors, FRAME)
    assert read.dtype == np.dtype(np.float32)
    assert read.strides == (12, 4)
    np.testing.assert_array_equal(read, VECTORS)


def test_rows_with_a_step_between_them_are_not_copied() -> None:
    wide = np.zeros((8, 5), dtype=np.float32)
    wide[::2, 1:4] = VECTORS
    assert np.shares_memory(read_embeddings(wide[::2, 1:4], FRAME), wide)


def test_a_file_in_float32_stays_mapped(tmp_path: Path, little_memory: None) -> None:
    np.save(tmp_path / "vectors.npy", VECTORS)
    read = read_embeddings(tmp_path / "vectors.npy", FRAME)
    assert isinstance(read, np.memmap)
    assert Path(read.filename) == tmp_path / "vectors.npy"


def test_what_is_too_large_for_memory_goes_to_a_file_that_vanishes(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read = read_embeddings(VECTORS.astype(np.float16), FRAME)
    assert isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, VECTORS)
    del read
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reserve", [None, errno.EOPNOTSUPP])
def test_a_file_system_that_cannot_reserve_is_written_through(
    little_memory: None, monkeypatch: pytest.MonkeyPatch, reserve: int | None
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(reserve, "not supported")

    if reserve is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    monkeypatch.setattr(embedding_storage, "BLOCK_BYTES", 20)
    np.testing.assert_array_equal(read_embeddings(VECTORS.astype(np.float64), FRAME), VECTORS)


def test_a_full_disk_is_told_before_anything_is_written(
    little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match=r"No space left on device: a temporary file of 0\.00 GiB .* TMPDIR"):
        read_embeddings(VECTORS.astype(np.float64), FRAME)


PARQUET = pl.DataFrame({"id": list("dbca"), "embedding": VECTORS[[3, 1, 2, 0]], "x": range(4)})
IDS = FRAME.select(id=pl.col("prompt"))


def saved(frame: pl.DataFrame, folder: Path, **options: object) -> Path:
    frame.write_parquet(folder / "vectors.parquet", **options)
    return folder / "vectors.parquet"


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("inner", [pl.Float16, pl.Float32, pl.Float64])
@pytest.mark.parametrize("kind", ["array", "list"])
def test_parquet_vectors_are_joined_by_id(
    tmp_path: Path, kind: str, inner: type, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_storage, "MEMORY_SHARE", share)
    monkeypatch.setattr(embedding_parquet, "BATCH_ROWS", 2)
    dtype = pl.Array(inner, 3) if kind == "array" else pl.List(inner)
    foreign = pl.DataFrame({"id": ["z", None], "embedding": VECTORS[:2], "x": [4, 5]})
    frame = pl.concat([foreign, PARQUET]).with_columns(pl.col("embedding").cast(dtype))
    read = read_embeddings(saved(frame, tmp_path, row_group_size=2), IDS)
    assert isinstance(read, np.memmap) == (share == 0.0)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, VECTORS)


def test_parquet_vectors_without_ids_belong_row_by_row(tmp_path: Path) -> None:
    path = saved(pl.DataFrame({"vector": VECTORS}), tmp_path)
    np.testing.assert_array_equal(read_embeddings(str(path), FRAME), VECTORS)


def test_the_column_is_embedding_or_the_only_one_or_the_one_named(tmp_path: Path) -> None:
    both = saved(PARQUET.with_columns(other=-VECTORS[[3, 1, 2, 0]]), tmp_path)
    np.testing.assert_array_equal(read_embeddings(both, IDS), VECTORS)
    np.testing.assert_array_equal(read_embeddings(f"{both}:embedding", IDS), VECTORS)
    np.testing.assert_array_equal(read_embeddings(f"{both}:other", IDS), -VECTORS)
    two = saved(PARQUET.rename({"embedding": "first"}).with_columns(second="first"), tmp_path)
    with pytest.raises(
        SchemaError, match=r"more than one list column \('first', 'second'\): name one, as in vec"
    ):
        read_embeddings(two, IDS)
    np.testing.assert_array_equal(read_embeddings(f"{two}:second", IDS), VECTORS)


def test_ids_that_are_numbers_are_joined_as_text(tmp_path: Path) -> None:
    path = saved(PARQUET.with_columns(id=pl.Series([3, 1, 2, 0])), tmp_path)
    ids = pl.DataFrame({"id": ["0", "1", "2", "3"]})
    np.testing.assert_array_equal(read_embeddings(path, ids), VECTORS)


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (PARQUET[:3], "1 row of the pool has no embedding, first id 'a'"),
        (PARQUET[[0, 1, 2, 3, 3]], "id 'a' is there more than once"),
        (
            PARQUET.with_columns(id=pl.Series(list("wxyz"))),
            "no id is in the pool: the file has 'w', the pool",
        ),
        (PARQUET.drop("id")[:3], "no column 'id' and 3 rows, the pool has 4"),
        (PARQUET.drop("embedding"), "no list column 'embedding' of numbers; columns are 'id', 'x'"),
        (PARQUET.with_columns(embedding=pl.lit([1, 2])), "numbers of type int"),
        (PARQUET.with_columns(embedding=pl.Series([[1.0], [1.0, 2.0], [1.0], [1.0]])), "vectors of 1 to 2"),
        (PARQUET.with_columns(embedding=pl.Series([[1.0], [1.0], None, [1.0]])), "no embedding in row 2"),
    ],
)
def test_a_parquet_file_that_does_not_fit_is_named(
    tmp_path: Path, frame: pl.DataFrame, sentence: str
) -> None:
    with pytest.raises(SchemaError, match=rf"vectors\.parquet.*{sentence}"):
        read_embeddings(saved(frame, tmp_path), IDS)


def test_lengths_that_differ_between_batches_and_rows_far_into_the_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_parquet, "BATCH_ROWS", 2)
    ragged = PARQUET.with_columns(embedding=pl.Series([[1.0], [1.0], [1.0, 2.0], [1.0, 2.0]]))
    with pytest.raises(SchemaError, match="vectors of 1 and of 2 numbers"):
        read_embeddings(saved(ragged, tmp_path, row_group_size=2), IDS)
    missing = PARQUET.with_columns(embedding=pl.Series([[1.0], [1.0], [1.0], None]))
    with pytest.raises(SchemaError, match="no embedding in row 3"):
        read_embeddings(saved(missing, tmp_path, row_group_size=2), IDS)


def test_a_pool_without_ids_and_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="joined by the column 'id', and the pool has none"):
        read_embeddings(saved(PARQUET, tmp_path), FRAME)
    with pytest.raises(SchemaError, match=r"no embeddings file .*nothing\.parquet"):
        read_embeddings(tmp_path / "nothing.parquet", IDS)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(SchemaError, match=r"text\.parquet is not a Parquet file"):
        read_embeddings(tmp_path / "text.parquet", IDS)


def run_child(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


LIMITED = """
    import resource, sys
    import numpy as np, polars as pl
    import tasksel_core
    from tasksel import embedding_storage
    from tasksel.embedding import read_embeddings

    path, share, room_mib = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    embedding_storage.MEMORY_SHARE = share
    status = open("/proc/self/status").read()
    data_bytes = 1024 * int(status.split("VmData:")[1].split()[0])
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + (room_mib << 20),) * 2)
    try:
        vectors = read_embeddings(path, pl.DataFrame({"row": range(200_000)}))
        rows, _ = tasksel_core.k_center_greedy(vectors, 3, n_threads=1)
        print(type(vectors).__name__, vectors[7, :2].tolist(), len(rows))
    except MemoryError:
        print("out of memory")
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="measures memory through /proc")


@ON_LINUX
def test_vectors_larger_than_memory_reach_the_kernel(tmp_path: Path) -> None:
    """195 MiB of float32, with room for 100 MiB besides what the imports take."""
    path = tmp_path / "vectors.npy"
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(200_000, 256))
    vectors[:] = np.arange(200_000, dtype=np.float32)[:, None] % 91
    del vectors
    assert run_child(LIMITED, path, 0.25, 100) == "memmap [7.0, 7.0] 3"
    halves = np.lib.format.open_memmap(
        tmp_path / "halves.npy", mode="w+", dtype=np.float16, shape=(200_000, 256)
    )
    halves[:] = np.load(path, mmap_mode="r")
    del halves
    assert run_child(LIMITED, tmp_path / "halves.npy", 0.0, 100) == "memmap [7.0, 7.0] 3"
    assert run_child(LIMITED, tmp_path / "halves.npy", 1.0, 100) == "out of memory"


@ON_LINUX
def test_a_parquet_file_is_read_in_memory_for_a_part_of_it(tmp_path: Path) -> None:
    rows = pl.select(row=pl.int_range(400_000))
    path = saved(
        rows.select(embedding=pl.concat_arr([(pl.col("row") % 91).cast(pl.Float32)] * 256)),
        tmp_path,
        row_group_size=1024,
    )
    added_mib, value = run_child(
        """
        import sys, threading, time
        import polars as pl
        from tasksel import embedding_storage
        from tasksel.embedding import read_embeddings

        def anonymous_mib():
            return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]) >> 10

        def watch():
            while True:
                seen.append(anonymous_mib())
                time.sleep(0.005)

        embedding_storage.MEMORY_SHARE = 0.0
        frame = pl.DataFrame({"row": range(400_000)})
        seen = [anonymous_mib()]
        threading.Thread(target=watch, daemon=True).start()
        vectors = read_embeddings(sys.argv[1], frame)
        print(max(seen) - seen[0], int(vectors[[5, 399_999]].sum()))
        """,
        path,
    ).split()
    assert int(value) == 256 * (5 + 399_999 % 91)
    assert int(added_mib) < 250  # of 391 that the vectors take


@ON_LINUX
def test_a_disk_that_is_full_is_a_sentence_of_the_command_line(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    np.save(tmp_path / "vectors.npy", np.ones((1000, 64), dtype=np.float16))
    pl.DataFrame({"prompt": [str(row) for row in range(1000)]}).write_parquet(tmp_path / "pool.parquet")
    script = """
        import resource, signal, sys
        from tasksel import embedding_storage
        from tasksel.cli import main

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        embedding_storage.MEMORY_SHARE = 0.0
        main()
    """
    arguments = ["select", tmp_path / "pool.parquet", "--budget", 3, "--strategy", "k-center"]
    command = [*map(str, arguments), "--embeddings", str(tmp_path / "vectors.npy")]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 1, done.stderr
    assert "temporary file of 0.00 GiB for embeddings" in done.stderr.replace("\n", " ")
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool.parquet", "vectors.npy"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Give a run folder whose embeddings are VECTORS, in shards of one and of three rows."""
    pool = pl.DataFrame({"id": list("abcd"), "prompt": ["", "bb", "c", "dddd"], "vector": VECTORS})
    embed(pool, out=tmp_path / "run", embed_from="column:vector", shard_rows=3)
    return tmp_path / "run"


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize("kind", [Path, str])
def test_a_run_folder_is_joined_by_id(
    run: Path, kind: type, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_storage, "MEMORY_SHARE", share)
    monkeypatch.setattr(embedding_parquet, "BATCH_ROWS", 2)
    for folder in (run, run / "embeddings"):
        read = read_embeddings(kind(folder), IDS)
        assert isinstance(read, np.memmap) == (share == 0.0)
        np.testing.assert_array_equal(read, VECTORS)
    np.testing.assert_array_equal(read_embeddings(run, IDS[[3, 1]]), VECTORS[[3, 1]])


def test_a_run_folder_without_some_id_is_named(run: Path) -> None:
    with pytest.raises(SchemaError, match=r"embeddings: 1 row of the pool has no embedding, first id 'x'"):
        read_embeddings(run, pl.DataFrame({"id": ["a", "x"]}))
    with pytest.raises(SchemaError, match="joined by the column 'id', and the pool has none"):
        read_embeddings(run, FRAME)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            lambda folder: (folder / "manifest.json").unlink(),
            r"embeddings is not finished: .* same `tasksel embed`",
        ),
        (lambda folder: (folder / "part-00001.parquet").unlink(), r"part-00001\.parquet is missing"),
        (lambda folder: (folder / "part-00001.parquet").write_bytes(b"x"), r"part-00001\.parquet is damaged"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format_version": 99}'),
            "has format 99, this tasksel knows 1",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format_version": 1, "shards": [1]}'),
            "lists no shards",
        ),
    ],
)
def test_a_run_folder_that_is_not_whole_is_named(
    run: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    damage(run / "embeddings")
    with pytest.raises(ResumeError, match=sentence):
        read_embeddings(run, IDS)


def test_a_shard_that_a_manifest_vouches_for_and_that_is_none_is_named(run: Path) -> None:
    folder = run / "embeddings"
    (folder / "part-00001.parquet").write_bytes(b"PAR1 and no more")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["sha256"] = file_sha256(folder / "part-00001.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SchemaError, match=r"embeddings cannot be read as Parquet \(.*[^\n]\)\.$"):
        read_embeddings(run, IDS)


def test_damage_to_the_first_shard_of_scores_is_not_taken_for_scores_without_embeddings(
    tmp_path: Path,
) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "settings.json").write_text('{"settings": {}}')
    shard = tmp_path / "scores" / "part-00000.parquet"
    shard.write_bytes(b"x")
    listed = {"format_version": 1, "shards": [{"name": shard.name, "sha256": "0" * 64}]}
    (tmp_path / "scores" / "manifest.json").write_text(json.dumps(listed))
    with pytest.raises(ResumeError, match=r"part-00000\.parquet is damaged .* same `tasksel score` again"):
        read_embeddings(tmp_path, IDS)


@pytest.mark.parametrize("settings", [3, None, "n_dimensions", ["n_dimensions"]])
def test_settings_of_something_else_are_no_embeddings(tmp_path: Path, settings: object) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"settings": settings}))
    with pytest.raises(SchemaError, match="holds no embeddings"):
        read_embeddings(tmp_path, IDS)


def test_a_folder_without_embeddings_is_named_and_a_column_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vector").mkdir()
    np.testing.assert_array_equal(read_embeddings("vector", FRAME), VECTORS)
    with pytest.raises(SchemaError, match="The folder vector holds no embeddings"):
        read_embeddings("./vector", FRAME)
    for name in ("", "a\0b", "n" * 5_000):
        with pytest.raises(SchemaError, match="There is no embeddings column"):
            read_embeddings(name, FRAME)


def test_many_shards_stay_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5_000, 8), dtype=np.float32)
    prompts = ["x" * int(length) for length in rng.integers(1, 60, 5_000)]
    pool = pl.DataFrame({"id": [f"{row}" for row in range(5_000)], "prompt": prompts, "vector": vectors})
    embed(pool, out=tmp_path, embed_from="column:vector", shard_rows=37)
    shuffled = pool.sample(fraction=1.0, shuffle=True, seed=1)
    np.testing.assert_array_equal(read_embeddings(tmp_path, shuffled), shuffled["vector"].to_numpy())
