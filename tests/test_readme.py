"""Every block of the README runs: Python in a folder with the files it names, shell by the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from tasksel.toy_world import make_toy_holdout, make_toy_pool

    make_toy_pool(0).sample(60, seed=0).write_parquet(tmp_path / "prompts.parquet")
    make_toy_pool(0).head(20).with_columns(confidence=pl.lit(0.5)).write_parquet(tmp_path / "scored.parquet")
    make_toy_pool(0).sample(60, seed=1).write_parquet(tmp_path / "labelled.parquet")
    make_toy_holdout(0).head(40).write_parquet(tmp_path / "holdout.parquet")
    (study,) = blocks("toml")
    # One seed of the three: each trains the arms anew.
    (tmp_path / "study.toml").write_text(study.replace("[0, 1, 2]", "[0]"), encoding="utf-8")
    answered = make_toy_pool(0, n_tasks=3, largest=30, smallest=30)
    answered.write_parquet(tmp_path / "answered.parquet")
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).standard_normal((60, 8), dtype=np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_blocks_run_in_order(folder: Path) -> None:
    found = blocks("python")
    assert found
    code = "\n".join(found)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:tasksel", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


# Verbs that load models spend seconds on imports: here once for all of them.
ONE_PROCESS = """
import json, sys
from tasksel.cli import main
for arguments in json.load(sys.stdin):
    sys.argv = ["tasksel", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            print("ended with", ended.code, "by", *sys.argv, file=sys.stderr)
            raise
"""


def test_tasksel_commands_run_in_order(folder: Path) -> None:
    commands = [
        line.removeprefix("$ ")
        for block in blocks("sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.removeprefix("$ ").startswith("tasksel ")
    ]
    assert commands
    done = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS],
        input=json.dumps([command.split("#")[0].split()[1:] for command in commands]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (README.parent / "Makefile").read_text(), re.MULTILINE))
    named = {match for block in blocks("sh") for match in re.findall(r"\bmake ([a-z]+)", block)}
    assert {"demo", "test"} <= named <= targets
