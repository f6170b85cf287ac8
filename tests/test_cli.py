import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import typer

import tasksel
from tasksel.cli_errors import reported_errors

SIZES = {"alpha": 40, "beta": 12, "gamma": 6, "delta": 1}


def run_tasksel(
    *arguments: object, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tasksel", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", **environment},
        check=False,
        timeout=300,
    )


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    tasks = [name for name, size in SIZES.items() for _ in range(size)]
    level = {"alpha": 0.9, "beta": 0.5, "gamma": 0.1, "delta": 0.7}
    frame = pl.DataFrame({"task": tasks, "prompt": [f"prompt {row}" for row in range(len(tasks))]})
    path = tmp_path / "pool.jsonl"
    frame.with_columns(confidence=pl.col("task").replace_strict(level)).write_ndjson(path)
    return path


def test_select_writes_the_files_and_a_table_that_fits(pool: Path) -> None:
    out = pool.parent / "chosen"
    done = run_tasksel("select", pool, "--budget", 20, "--strategy", "weighted-task-diversity", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Selected 20 of 59 prompts from 4 of 4 tasks" in done.stdout
    assert "gamma" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert pl.read_parquet(out / "selected.parquet").height == 20


def test_select_json_is_one_object(pool: Path) -> None:
    done = run_tasksel("select", pool, "--budget", 20, "--json")
    content = json.loads(done.stdout)
    assert content["figures"]["selected"] == 20
    assert sum(row["picked"] for row in content["allocation"]) == 20
    assert content["folder"] is None


def test_quiet_prints_nothing(pool: Path) -> None:
    done = run_tasksel("select", pool, "--budget", 20, "--quiet", "--out", pool.parent / "chosen")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_out_nothing_is_written(pool: Path) -> None:
    done = run_tasksel("select", pool, "--budget", 3, cwd=pool.parent)
    assert "Nothing was written" in done.stdout
    assert [path.name for path in pool.parent.iterdir()] == ["pool.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["select", "missing.parquet", "--budget", "3"], "missing.parquet"),
        (["select", "pool.jsonl", "--budget", "0"], "budget is 0"),
        (["select", "pool.jsonl", "--budget", "3", "--strategy", "radnom"], "Did you mean 'random'"),
        (["select", "pool.jsonl", "--budget", "3", "--task-column", "taks"], "taks"),
        (["select", "pool.jsonl", "--budget", "3", "--scores", "nowhere"], "nowhere"),
        (["select", "pool.jsonl", "--budget", "three"], "--budget"),
        (["select", "pool.jsonl", "--budget", "9", "--within", "kcenter"], "Did you mean 'k-center'"),
        (
            ["select", "pool.jsonl", "--budget", "9", "--strategy", "random", "--within", "k-center"],
            "strategies that take it: size-proportional, task-diversity",
        ),
        (["select", "pool.jsonl", "--budget", "9", "--within", "k-center"], "k-center needs embeddings"),
        (["select", "pool.jsonl", "--budget", "9", "--option", "trade_off"], "allowed is NAME=VALUE"),
        (["select", "pool.jsonl", "--budget", "9", "--option", "x=1"], "no options of its own"),
        (["score", "pool.jsonl", "--model", "./no-model", "--out", "run"], "no-model"),
        (["demo", "--pool", "missing.csv"], "missing.csv"),
    ],
)
def test_a_mistake_is_one_paragraph_and_exit_code_2(pool: Path, arguments: list[str], sentence: str) -> None:
    done = run_tasksel(*arguments, cwd=pool.parent)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(pool: Path) -> None:
    done = run_tasksel("select", pool, "--budget", 0, "--debug")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "BudgetError" in done.stderr


def test_hostile_task_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    names = ["\x1b[31mred", "[bold]markup[/bold]", "line\nbreak", "\x07bell"]
    pl.DataFrame({"task": names, "prompt": names}).write_parquet(tmp_path / "pool.parquet")
    done = run_tasksel("select", tmp_path / "pool.parquet", "--budget", 4)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "[bold]markup[/bold]" in done.stdout


def test_an_unwritable_folder_is_a_sentence_and_exit_code_2(pool: Path) -> None:
    if os.geteuid() == 0:
        out = Path("/proc/tasksel-cannot-write-here")
    else:
        out = pool.parent / "sealed" / "out"
        out.parent.mkdir(mode=0o500)
    done = run_tasksel("select", pool, "--budget", 3, "--out", out)
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(pool: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the middle."""
    limited = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); "
        "sys.argv[0] = 'tasksel'; runpy.run_module('tasksel', run_name='__main__')"
    )
    out = pool.parent / "chosen"
    command = [sys.executable, "-c", limited, "select", str(pool), "--budget", "40", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "selected." in done.stderr
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "verb", [[], ["select"], ["strategies"], ["score"], ["evaluate"], ["contamination"], ["demo"]]
)
def test_help_explains_every_verb(verb: list[str]) -> None:
    done = run_tasksel(*verb, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_the_order_inside_tasks_is_shown(pool: Path) -> None:
    done = run_tasksel("select", pool, "--budget", 20, "--within", "least-confident")
    assert done.returncode == 0, done.stderr
    assert "task-diversity, budget 20, within tasks least-confident, base 5" in done.stdout


def test_strategies_are_listed_with_what_they_need() -> None:
    done = run_tasksel("strategies")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for name in (*tasksel.strategy_names(), *tasksel.picker_names()):
        assert name in done.stdout
    listed = json.loads(run_tasksel("strategies", "--json").stdout)
    assert [entry["name"] for entry in listed["strategies"]] == list(tasksel.strategy_names())
    assert [entry["name"] for entry in listed["pickers"]] == list(tasksel.picker_names())
    assert all(entry["summary"] for entry in listed["strategies"] + listed["pickers"])


def test_version() -> None:
    assert run_tasksel("--version").stdout.startswith("tasksel 0.")


def test_export_writes_and_says_how_trainers_find_it(tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.parquet"
    pl.DataFrame({"prompt": ["1+1="], "response": ["2"]}).write_parquet(labelled)
    done = run_tasksel("export", labelled, "--format", "alpaca", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "Wrote 1 example (alpaca)" in done.stdout
    assert "dataset: tasksel" in done.stdout
    done = run_tasksel("export", labelled, "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["format"] == "trl"
    done = run_tasksel("export", labelled, "--format", "yaml", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "format is 'yaml'; allowed: trl, messages, alpaca, sharegpt." in done.stderr


def test_a_lack_of_memory_is_a_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported_errors(debug=False, stopped=""):
        raise MemoryError
    assert ended.value.exit_code == 1
    assert "There is not enough memory for this." in capsys.readouterr().err
