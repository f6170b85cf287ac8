from __future__ import annotations

import os
import random
import subprocess
import sys
import time

import polars as pl
import pytest

from scripted_provider import KEY, ScriptedProvider, completion
from tasksel.reply_journal import read_journal
from tasksel.run_folder import text_sha256

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX systems"),
]

N_KILLS = 10
CONCURRENCY = 4
N_PROMPTS = 120
N_SAMPLES = 2
BUSY = "<html>busy</html>"


def misbehave(asked):
    """Reply by the words of the request alone, in every way that a teacher has, and fail at random."""
    time.sleep(random.uniform(0.0, 0.01))
    overloaded = random.random()
    if overloaded < 0.03:
        return 429, "slow down", {"Retry-After": "0.02"}
    if overloaded < 0.04:
        return 500, "broken"
    prompt, seed = asked.body["messages"][-1]["content"], asked.body["seed"]
    dice = int(text_sha256(f"{prompt}{seed}")[:8], 16) / 16**8
    answer = prompt.split()[-1]
    ways = [
        (0.60, completion(answer)),
        (0.70, completion(f"{answer}, or {seed}")),
        (0.75, completion("I'm sorry, but I can't help with that.")),
        (0.80, completion("Half of", finish="length")),
        (0.85, completion("")),
        (0.90, completion(prompt)),
        (0.95, BUSY),
        (1.00, completion("x", finish="content_filter")),
    ]
    return 200, next(body for limit, body in ways if dice < limit)


@pytest.fixture
def server():
    provider = ScriptedProvider()
    provider.play = misbehave
    thread = provider.serve()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.parquet"
    prompts = [f"Say the number {n % 100}" for n in range(N_PROMPTS)]
    pl.DataFrame({"task": "t", "prompt": prompts}).write_parquet(path)
    return path


def start(pool, run, url):
    command = ["annotate", "teacher", str(pool), "--into", str(run), "--endpoint", url, "--model", "scripted"]
    command += ["--samples", str(N_SAMPLES), "--seed", "1", "-j", str(CONCURRENCY), "--quiet"]
    environment = os.environ | {"OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "POLARS_MAX_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "tasksel", *command], env=environment)


def count_lines(journal):
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def read_outputs(run):
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("replies.jsonl", ".lock")
    }


def answered(journal):
    """Give prompt and sample of every reply that can be read."""
    return {
        (entry.facts["prompt_sha256"], entry.facts["sample"])
        for entry in read_journal(journal).values()
        if entry.reply.status == 200 and entry.reply.body != BUSY
    }


def test_kills_at_random_moments_lose_no_reply_and_change_no_byte(server, pool, tmp_path):
    whole = tmp_path / "whole"
    with start(pool, whole, server.url) as process:
        assert process.wait() == 0
    n_lines = count_lines(whole / "teacher" / "replies.jsonl")
    assert n_lines > 100 * N_SAMPLES

    killed = tmp_path / "killed"
    journal = killed / "teacher" / "replies.jsonl"
    rng = random.Random(0)
    most_steps = n_lines // (N_KILLS + 2)
    for _ in range(N_KILLS):
        known, n_seen = answered(journal), len(server.seen)
        wanted = count_lines(journal) + rng.randint(0, most_steps)
        with start(pool, killed, server.url) as process:
            try:
                while count_lines(journal) < wanted:
                    assert process.poll() is None, "the run ended before it was killed"
                    time.sleep(0.001)
                time.sleep(rng.uniform(0.0, 0.01))
            finally:
                process.kill()
        assert process.returncode == -9
        assert not (killed / "teacher" / "manifest.json").exists()
        # What was on the disk is still there, and nobody asked for it.
        assert known <= answered(journal)
        asked = {
            (text_sha256(body["messages"][-1]["content"]), body["seed"] - 1)
            for _, body in server.seen[n_seen:]
        }
        assert not known & asked
    assert 0 < len(read_journal(journal)) < n_lines
    with start(pool, killed, server.url) as process:
        assert process.wait() == 0

    assert read_outputs(killed) == read_outputs(whole)
    assert set(read_journal(journal)) == set(read_journal(whole / "teacher" / "replies.jsonl"))
    for path in (*whole.rglob("*"), *killed.rglob("*")):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
