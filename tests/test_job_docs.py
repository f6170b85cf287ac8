"""Every block of docs/run runs, on a small pool and the embedded model."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tasksel
from tasksel.cli import app
from tasksel.job.sections import SECTIONS
from tasksel.toml_file import read_toml
from test_job import write_world

PAGE = (Path(__file__).parents[1] / "docs" / "run" / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def world(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    monkeypatch.chdir(tmp_path)
    return write_world(tmp_path)


def test_the_commands_run_in_order(world):
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        done = CliRunner(env={"COLUMNS": "80"}).invoke(app, shlex.split(line.removeprefix("$ tasksel ")))
        assert done.exit_code == 0, f"{line}\n{done.output}"
    assert (world / "job-run" / "manifest.json").is_file()
    assert "What the labels bought" in (world / "job-run" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_the_files_run_to_their_end(world, number):
    Path("job.toml").write_text(blocks("toml")[number], encoding="utf-8")
    assert tasksel.run_job("job.toml").is_finished


def test_the_code_runs(world, capsys):
    Path("job.toml").write_text(blocks("toml")[1], encoding="utf-8")
    (code,) = blocks("python")
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "60 ()"
    assert printed[1] == "True None"


def test_the_table_has_every_section():
    assert re.findall(r"^\| `\[(\w+)\]` \|", PAGE, flags=re.MULTILINE) == list(SECTIONS)


def test_what_init_writes_has_every_section_of_the_page(world):
    CliRunner().invoke(app, ["init", "pool.parquet", "--quiet"])
    text = Path("job.toml").read_text(encoding="utf-8")
    assert re.findall(r"^#?\[(\w+)\]$", text, flags=re.MULTILINE) == list(SECTIONS)
    assert read_toml(Path("job.toml"), "job")["labels"] == {}
