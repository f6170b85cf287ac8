from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from scripted_provider import KEY, ScriptedProvider, completion, make_config, write_plan
from tasksel.reply_journal import read_journal

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX systems"),
]

pytest.importorskip("jsonschema", reason="the extra synth is not installed")

N_KILLS = 10
CONCURRENCY = 4
PLAN = {
    "total": 240,
    "tiers": [40],
    "language": "en",
    "request": {"items": 2},
    "limits": {"concurrency": CONCURRENCY},
}


def misbehave(asked):
    """Reply by the words of the request alone, in every way that a provider has, and fail at random."""
    time.sleep(random.uniform(0.0, 0.01))
    overloaded = random.random()
    if overloaded < 0.03:
        return 429, "slow down", {"Retry-After": "0.02"}
    if overloaded < 0.04:
        return 500, "broken"
    items, dice = asked.items, asked.dice
    plain = json.dumps(items)
    ways = [
        (0.60, plain),
        (0.65, f"```json\n{plain}\n```"),
        (0.70, json.dumps({"items": items})),
        (0.75, plain[:-12]),
        (0.80, json.dumps([{**each, "rating": 9} for each in items])),
        (0.85, json.dumps(items[:1])),
        (0.90, json.dumps([{"text": "The same text again.", "rating": 1} for _ in items])),
        (
            0.95,
            json.dumps([{"text": "Das ist nicht gut und ich bin mit der Ware nicht froh."} for _ in items]),
        ),
        (1.00, "I'm sorry, but I can't write that."),
    ]
    return 200, completion(next(text for limit, text in ways if dice < limit))


@pytest.fixture
def server():
    provider = ScriptedProvider()
    provider.play = misbehave
    thread = provider.serve()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()


def start(run):
    arguments = ["synth", "run", str(run), "--tier", "full", "--quiet"]
    environment = os.environ | {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "POLARS_MAX_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "tasksel", *arguments], env=environment)


def count_lines(journal):
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def read_outputs(run):
    names = ("records.parquet", "rejects.jsonl", "manifest.json")
    return {name: (run / "generation" / name).read_bytes() for name in names}


def test_kills_at_random_moments_lose_no_reply_and_change_no_byte(server, tmp_path):
    whole = write_plan(tmp_path / "whole", make_config(server.url, **PLAN))
    with start(whole) as process:
        assert process.wait() in (0, 3)
    n_asked = len(server.seen)
    n_lines = count_lines(whole / "generation" / "responses.jsonl")

    killed = write_plan(tmp_path / "killed", make_config(server.url, **PLAN))
    journal = killed / "generation" / "responses.jsonl"
    rng = random.Random(0)
    most_steps = n_lines // (N_KILLS + 2)
    n_kept = 0
    for _ in range(N_KILLS):
        wanted = count_lines(journal) + rng.randint(0, most_steps)
        with start(killed) as process:
            try:
                while count_lines(journal) < wanted:
                    assert process.poll() is None, "the run ended before it was killed"
                    time.sleep(0.001)
                time.sleep(rng.uniform(0.0, 0.01))
            finally:
                process.kill()
        assert process.returncode == -9
        assert not (killed / "generation" / "manifest.json").exists()
        # Whatever was on the disk before is still there, and more.
        kept = read_journal(journal)
        assert len(kept) >= n_kept
        n_kept = len(kept)
    assert 0 < n_kept < n_lines
    with start(killed) as process:
        assert process.wait() in (0, 3)

    assert read_outputs(killed) == read_outputs(whole)
    assert set(read_journal(journal)) == set(read_journal(whole / "generation" / "responses.jsonl"))
    # A kill costs no more than the requests that were under way, and what asking again takes.
    n_paid_twice = len(server.seen) - 2 * n_asked
    assert n_paid_twice <= (N_KILLS + 2) * CONCURRENCY + 0.1 * n_asked
    for path in (*whole.rglob("*"), *killed.rglob("*")):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
