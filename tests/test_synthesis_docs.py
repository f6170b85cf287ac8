"""The examples of synthetic data, from plan to report, as docs/synthesis/README.md has them: no network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import tasksel
from tasksel.synthesis.config_file import config_content, parse_config, read_config
from tasksel.synthesis.planning import plan

pytest.importorskip("llguidance", reason="the extra synth is not installed")
pytest.importorskip("torch", reason="the extra hf is not installed")

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "synthesis" / "README.md"
GATE_FAILED = 3


def run_command(arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "tasksel", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def commands_of_the_page():
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("tasksel ")]


def test_the_page_runs_from_plan_to_report(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    commands = commands_of_the_page()
    assert len(commands) >= 6
    for command in commands:
        may_fail = command.endswith("|| true")
        done = run_command(command.removesuffix("|| true").split()[1:], tmp_path)
        assert done.returncode in ((0, GATE_FAILED) if may_fail else (0,)), f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    planned = pl.read_parquet(tmp_path / "reviews" / "plan" / "examples.parquet")
    planned = planned.filter(pl.col("tier") <= 100)
    pool = tasksel.read_pool(tmp_path / "reviews.parquet")
    assert pool.height == planned.height == 100
    assert pool["plan_id"].sort().to_list() == planned["plan_id"].sort().to_list()
    assert set(pool.filter(pl.col("edge").is_not_null())["origin"]) == {"mutation", "synthetic"}
    for item in pool.filter(pl.col("edge").is_null())["item"]:
        assert 1 <= json.loads(item)["rating"] <= 5
    selection = tasksel.select(tmp_path / "reviews.parquet", budget=25, strategy="task-diversity")
    assert len(selection.rows) == 25
    report = (tmp_path / "reviews" / "report.html").read_text(encoding="utf-8")
    assert "100 of the first 100 planned examples are written and no stratum is short" in report


def tenth(counts):
    return {name: tenth(each) if isinstance(each, dict) else each // 10 for name, each in counts.items()}


def test_tickets_are_written(tmp_path):
    content = config_content(read_config(ROOT / "examples" / "support_tickets.toml"))
    content["strata"]["targets"] = tenth(content["strata"]["targets"])
    total = sum(sum(row.values()) for row in content["strata"]["targets"].values())
    content["total"], content["tiers"] = total, []
    content["dimensions"]["plan"]["values"] = ["free", "team", "enterprise"]
    planned = plan(parse_config(content, name="tickets", folder=tmp_path), tmp_path / "run")
    assert planned.examples.height == total
    done = run_command(["synth", "run", "run", "--tier", "full", "--json"], tmp_path)
    assert done.returncode in (0, GATE_FAILED), done.stderr
    summary = json.loads(done.stdout)
    assert summary["accepted"] == summary["planned"] > 30
    again = run_command(["synth", "reparse", "run", "--json"], tmp_path)
    assert json.loads(again.stdout)["accepted"] == summary["accepted"]
