"""Six verbs, killed again and again at random moments: what is made in the end is what it would have been."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

import kill_verbs
from kill_loop import ForkServer, kill_again_and_again
from scripted_provider import KEY, ScriptedProvider
from tasksel.reply_journal import read_journal
from tasksel.toy_world import make_toy_pool

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are of POSIX systems"),
]

pytest.importorskip("peft", reason="the extra hf is not installed")
pytest.importorskip("jsonschema", reason="the extra synth is not installed")

N_KILLS = int(os.environ.get("TASKSEL_KILLS", "30"))
"""Over all verbs; `make chaos` has 200."""
SEED = int(os.environ.get("TASKSEL_KILL_SEED", "0"))
REPORTS = os.environ.get("TASKSEL_KILL_REPORTS")
"""Folder for one JSON file a verb."""
SHARES = {"score": 0.20, "embed": 0.20, "train": 0.14, "teacher": 0.17, "synth": 0.17, "select": 0.12}
"""Of the kills; a training takes longest, and a selection has the fewest places to be killed at."""
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "POLARS_MAX_THREADS": "1",
    "OPENAI_API_KEY": KEY,
    "NO_PROXY": "127.0.0.1",
}
N_ROWS = 120
ENOUGH_KILLS = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ForkServer(ENVIRONMENT, tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return kill_verbs.write_pool(tmp_path_factory.mktemp("pool") / "pool.parquet", n_rows=N_ROWS)


@pytest.fixture
def provider():
    provider = ScriptedProvider()
    thread = provider.serve()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()


def kill(server, verb, place):
    """Kill, write the report down, and return it."""
    n_kills = round(N_KILLS * SHARES[verb.name])
    report = kill_again_and_again(server, verb, place, n_kills=n_kills, seed=SEED)
    if REPORTS:
        Path(REPORTS, f"{verb.name}.json").write_text(json.dumps(report.to_dict()))
    print(report)
    assert report.kills == n_kills
    assert report.differing == []
    # A few kills of a verb that takes a moment may all miss it.
    assert report.half_made > 0 or n_kills < ENOUGH_KILLS
    return report


@pytest.mark.timeout(600 + 60 * N_KILLS)
@pytest.mark.parametrize("name", ["score", "embed"])
def test_shards(server, pool, tiny_model_folder, tmp_path, name):
    verb = getattr(kill_verbs, f"{name}_verb")(pool, tiny_model_folder)
    kill(server, verb, tmp_path)
    made = pl.read_parquet(tmp_path / "whole" / verb.folder / "part-*.parquet")
    assert made.height == made["id"].n_unique() == N_ROWS


@pytest.mark.timeout(600 + 60 * N_KILLS)
def test_training(server, tmp_path):
    selection = tmp_path / "selected.parquet"
    make_toy_pool(0).head(120).write_parquet(selection)
    verb = kill_verbs.train_verb(selection)
    kill(server, verb, tmp_path)
    names = verb.outputs(tmp_path / "whole")
    assert "training/adapter/adapter_model.safetensors" in names
    assert not [name for name in names if "checkpoint" in name]


def assert_no_key(place):
    for path in place.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.timeout(600 + 60 * N_KILLS)
def test_teacher(server, provider, tmp_path):
    pool = tmp_path / "pool.parquet"
    pl.DataFrame({"task": "t", "prompt": [f"Say the number {n % 100}" for n in range(120)]}).write_parquet(
        pool
    )
    provider.play = kill_verbs.play_teacher
    kill(server, kill_verbs.teacher_verb(pool, provider), tmp_path)
    whole = read_journal(tmp_path / "whole" / "teacher" / "replies.jsonl")
    assert len(whole) >= 200
    for folder in tmp_path.glob("killed-*"):
        assert read_journal(folder / "teacher" / "replies.jsonl").keys() == whole.keys()
    assert_no_key(tmp_path)


@pytest.mark.timeout(600 + 60 * N_KILLS)
def test_synthesis(server, provider, tmp_path):
    provider.play = kill_verbs.play_synthesis
    report = kill(server, kill_verbs.synthesis_verb(tmp_path / "planned", provider), tmp_path)
    whole = read_journal(tmp_path / "whole" / "generation" / "responses.jsonl")
    for folder in tmp_path.glob("killed-*"):
        assert read_journal(folder / "generation" / "responses.jsonl").keys() == whole.keys()
    # A kill costs no more than the requests that were under way, and what asking again takes.
    n_needed = len(whole) * (report.folders + 1)
    n_under_way = (report.kills + 2) * kill_verbs.CONCURRENCY
    assert len(provider.seen) - n_needed <= n_under_way + 0.2 * n_needed
    assert_no_key(tmp_path)


@pytest.mark.timeout(600 + 60 * N_KILLS)
def test_selection(server, tmp_path):
    pool, old = tmp_path / "pool.parquet", tmp_path / "old"
    frame = make_toy_pool(0)
    frame.with_columns(confidence=pl.int_range(pl.len()) % 97 / 100).write_parquet(pool)
    assert server.wait(server.start(kill_verbs.select_command(pool, 400, old))) == 0
    command = kill_verbs.select_command(pool, 900, "RUN")
    verb = kill_verbs.SelectVerb("select", ".", command, most_steps=8, old=old, new=tmp_path / "whole")
    report = kill(server, verb, tmp_path)
    assert verb.seen["refused"] > 0 or report.kills < ENOUGH_KILLS
