"""A real Ray of two workers: the same bytes as here, whoever begins, ends, stops or dies."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counted_letters import count_letters
from tasksel.ray_cluster import connect
from tasksel.ray_selection import RaySpread
from tasksel.strategies import RankingProblem, find_picker, find_strategy, order_within_tasks
from tasksel_core.errors import ConfigError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed"),
    pytest.mark.skipif(not Path("/proc").exists(), reason="children are found in /proc"),
    # Ray Data 2.60 sets, when it is first used, settings of its own that it has deprecated.
    pytest.mark.filterwarnings(r"ignore:.*deprecated:DeprecationWarning:ray\."),
    # Ray 2.50 leaves files and processes that it starts with to the garbage collector.
    pytest.mark.filterwarnings(
        r"ignore:(?s).*(name='/dev/null'|is still running):pytest.PytestUnraisableExceptionWarning"
    ),
]


def parent_and_state(pid):
    """Read a process's parent and state; those of a process that has ended are 0 and Z."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0, "Z"
    return int(parent), state


def descendants(pid):
    """Give the processes that a process has started, and those that they have started."""
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    parents = {number: parent_and_state(number)[0] for number in numbers}
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_running(pid):
    return parent_and_state(pid)[1] != "Z"


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray that is started here once, and of which nothing is left."""
    before = descendants(os.getpid())
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        connected = connect(n_workers=2)
    with connected:
        assert signal.getsignal(signal.SIGTERM) == handler
        yield connected
        started = descendants(os.getpid()) - before
    assert started
    for _ in range(100):
        if not any(map(is_running, started)):
            return
        time.sleep(0.1)
    raise AssertionError("processes of Ray outlive it")


@pytest.fixture(scope="module")
def pool():
    prompts = [f"prompt {number} " + "word " * (number % 9) for number in range(40)]
    ids = [f"row-{number}" for number in range(40)]
    return pl.DataFrame({"id": ids, "task": ["even", "odd"] * 20, "prompt": prompts})


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def begun(log):
    """Count how often each shard was begun."""
    texts = [path.read_text() for path in log.iterdir() if path.name.isdecimal()]
    return Counter(int(line) for text in texts for line in text.splitlines())


def interrupt_after(n_rows):
    def interrupt(rows_done, rows_total, tokens_done):
        if rows_done >= n_rows:
            raise KeyboardInterrupt

    return interrupt


@pytest.fixture(scope="module")
def counted(pool, tmp_path_factory):
    """The bytes of a run without Ray."""
    log, folder = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("counted")
    count_letters(pool, folder, log=log)
    return read_bytes(folder)


def test_scores_are_those_of_this_process(pool, tiny_model_folder, tmp_path):
    from tasksel.scoring import score

    calls = []
    settings = {"max_new_tokens": 8, "batch_tokens": 300, "shard_rows": 4, "device": "cpu"}
    here = score(pool, model=str(tiny_model_folder), out=tmp_path / "here", **settings)
    there = score(
        pool,
        model=str(tiny_model_folder),
        out=tmp_path / "there",
        backend="ray",
        progress=lambda *call: calls.append(call),
        **settings,
    )
    assert read_bytes(tmp_path / "there" / "scores") == read_bytes(tmp_path / "here" / "scores")
    assert (there.rows, there.tokens) == (40, here.tokens)
    assert calls[0] == (0, 40, 0)
    assert calls[-1] == (40, 40, here.tokens)


def test_embeddings_are_those_of_this_process(pool, tiny_model_folder, tmp_path):
    from tasksel.embedding_run import embed

    settings = {
        "embed_from": "hidden",
        "model": str(tiny_model_folder),
        "batch_tokens": 300,
        "shard_rows": 8,
        "device": "cpu",
    }
    embed(pool, out=tmp_path / "here", **settings)
    embed(pool, out=tmp_path / "there", backend="ray", n_workers=1, **settings)
    assert read_bytes(tmp_path / "there" / "embeddings") == read_bytes(tmp_path / "here" / "embeddings")


def test_a_run_begun_here_is_finished_there_though_a_worker_is_killed(pool, counted, log, tmp_path):
    folder = tmp_path / "counts"
    with pytest.raises(KeyboardInterrupt):
        count_letters(pool, folder, log=log, progress=interrupt_after(10))
    assert {path.name for path in folder.glob("*part*")} >= {
        "part-00000.parquet",
        ".part-00002.partial.parquet",
    }
    count_letters(pool, folder, log=log, backend="ray", kill_at=5)
    assert (log / "killed").exists()
    assert read_bytes(folder) == counted
    # The third was begun here and ended there, the sixth killed its worker.
    assert begun(log) == {number: 2 if number in (2, 5) else 1 for number in range(10)}


def test_a_run_stopped_there_keeps_what_is_done_and_is_finished_here(pool, counted, log, tmp_path):
    def stop(rows_done, rows_total, tokens_done):
        if rows_done == 8:
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "counts"
    with pytest.raises(KeyboardInterrupt):
        count_letters(pool, folder, log=log, backend="ray", row_s=0.3, progress=stop)
    n_shards = len(list(folder.glob("part-*")))
    assert 2 <= n_shards <= 4
    assert list(folder.glob(".part-*.partial.parquet")), "nothing was kept of the shards under way"
    assert sum(begun(log).values()) < 8
    stage = count_letters(pool, folder, log=log)
    assert stage.rows_reused > 4 * n_shards
    assert read_bytes(folder) == counted


def test_an_error_of_a_worker_is_the_error_of_the_run(pool, counted, log, tmp_path):
    folder = tmp_path / "counts"
    with pytest.raises(ConfigError, match=r"^The letters are too small\.$") as raised:
        # Three workers, of which only two find room.
        count_letters(pool, folder, log=log, backend="ray", n_workers=3, fail_at=3)
    assert "counted_letters.py" in str(raised.value.__cause__)
    assert not (folder / "part-00003.parquet").exists()
    count_letters(pool, folder, log=log)
    assert read_bytes(folder) == counted


def test_workers_of_a_stage_that_is_over_hold_nothing_whoever_keeps_its_error(pool, log, tmp_path):
    import ray

    free = ray.cluster_resources()["CPU"]
    gc.disable()  # Ray Data lets go of its workers with the last reference to them
    try:
        with pytest.raises(ConfigError) as kept:
            count_letters(pool, tmp_path / "counts", log=log, backend="ray", n_workers=3, fail_at=3)
        for _ in range(200):
            if ray.available_resources().get("CPU") == free:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("workers hold processors")
    finally:
        gc.enable()
    del kept


def test_picks_are_those_of_this_process():
    rng = np.random.default_rng(0)
    problem = RankingProblem(
        task=rng.integers(0, 6, 500),
        n_tasks=6,
        budget=60,
        log_confidence=-rng.exponential(size=500),
        embeddings=rng.normal(size=(500, 8)).astype(np.float32),
        own_options={"partitions": 3},
    )
    k_center = find_strategy("k-center")
    here = k_center.rank(problem)
    dealt = find_strategy("task-diversity").rank(problem)
    with RaySpread(n_workers=2) as spread:
        elsewhere = replace(problem, spread=spread)
        there = k_center.rank(elsewhere)
        np.testing.assert_array_equal(there.rows, here.rows)
        np.testing.assert_array_equal(there.radii, here.radii)
        for name in ("k-center", "facility-location", "least-confident"):
            picker = find_picker(name)
            ordered = order_within_tasks(elsewhere, dealt, picker).rows
            np.testing.assert_array_equal(ordered, order_within_tasks(problem, dealt, picker).rows)
