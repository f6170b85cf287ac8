"""What holds of every verb: flags, help, colours, exit codes, and what the shell completes."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

import tasksel
from tasksel import cli_errors, terminal
from tasksel.cli import app

ROOT = Path(__file__).parents[1]
WIDTH = 80


def walk(command, path=()):
    """Give every verb with the words that call it, groups left out."""
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [each for name, child in command.commands.items() for each in walk(child, (*path, name))]


TREE = get_command(app)
VERBS = dict(walk(TREE))
GROUPS = [(), ("synth",)]


@pytest.fixture(autouse=True)
def one_tree(monkeypatch):
    """Build the tree of verbs once; a runner does it for every call."""
    monkeypatch.setattr("typer.testing._get_command", lambda _: TREE)


def invoke(*arguments, **environment):
    return CliRunner(env={"COLUMNS": str(WIDTH), **environment}).invoke(
        app, [str(each) for each in arguments]
    )


def flags_of(verb):
    return {flag for parameter in VERBS[verb].params for flag in (*parameter.opts, *parameter.secondary_opts)}


def ids(verb):
    return " ".join(verb)


@pytest.mark.parametrize("verb", VERBS, ids=ids)
def test_every_verb_has_json_quiet_and_debug(verb):
    assert {"--json", "--quiet", "-q", "--debug"} <= flags_of(verb)


@pytest.mark.parametrize("verb", [*GROUPS, *VERBS], ids=ids)
def test_help_explains_everything_in_80_columns_without_colours(verb):
    done = invoke(*verb, "--help")
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= WIDTH
    assert "\x1b" not in done.output
    for parameter in VERBS[verb].params if verb in VERBS else ():
        assert getattr(parameter, "help", "x"), f"{parameter.name} is not explained"


@pytest.mark.parametrize("verb", VERBS, ids=ids)
def test_a_misspelt_flag_is_exit_code_2_with_the_right_one(verb):
    done = invoke(*verb, "--jsom")
    assert done.exit_code == cli_errors.USER_MISTAKE
    assert "--json" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "right"), [("selct", "select"), ("synth pln", "plan"), ("strategy", "strategies")]
)
def test_a_misspelt_verb_is_exit_code_2_with_the_right_one(wrong, right):
    done = invoke(*wrong.split())
    assert done.exit_code == cli_errors.USER_MISTAKE
    assert f"'{right}'" in done.stderr


def test_every_verb_has_its_place_in_the_help():
    done = invoke("--help")
    assert "Commands ─" not in done.output, "a verb stands in no panel of its own"
    for verb in {verb[0] for verb in VERBS}:
        assert re.search(rf"^│ {verb} ", done.output, flags=re.MULTILINE), verb
    panels = re.findall(r"^╭─ ([^─]+) ─", done.output, flags=re.MULTILINE)
    assert panels[1] == "Start here"


def documented_codes():
    """Give the exit codes of docs/terminal.md and what it says of each."""
    text = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
    return {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)}


def test_exit_codes_are_documented_as_they_are():
    assert documented_codes() == cli_errors.EXIT_CODES
    constants = {value for value in vars(cli_errors).values() if isinstance(value, int)}
    assert constants == set(cli_errors.EXIT_CODES)
    flat = re.sub(r"\s+", " ", invoke("--help").output)
    for code, meaning in cli_errors.EXIT_CODES.items():
        assert f"{code} {meaning}" in flat


def test_no_verb_exits_with_a_code_of_its_own():
    for path in (ROOT / "python" / "tasksel").glob("cli*.py"):
        if path.stem != "cli_errors":
            assert not re.search(r"^[A-Z_]+(: \w+)? = \d+$|Exit\(\d", path.read_text(), re.MULTILINE), (
                path.name
            )


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("verbs") / "pool.jsonl"
    pl.DataFrame({"task": ["a", "b"] * 5, "prompt": [f"prompt {row}" for row in range(10)]}).write_ndjson(
        path
    )
    return path


@pytest.mark.parametrize(
    "arguments", [("strategies",), ("select", "POOL", "-b", "3")], ids=lambda each: each[0]
)
def test_json_is_one_object_and_quiet_is_silence(pool, arguments):
    given = [str(pool) if each == "POOL" else each for each in arguments]
    assert isinstance(json.loads(invoke(*given, "--json").stdout), dict)
    assert invoke(*given, "--quiet").output == ""


def test_status_can_be_asked_by_its_exit_code_alone(pool, tmp_path):
    assert invoke("select", pool, "-b", "3", "--out", tmp_path / "run" / "chosen", "-q").exit_code == 0
    done = invoke("status", tmp_path / "run", "--quiet")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--strategy", "radnom"], "Did you mean 'random'?"),
        (["--within", "k-centre"], "Did you mean 'k-center'?"),
        (["--metric", "lenght-normalized"], "Did you mean 'length-normalized'?"),
        (["--rounding", "websster"], "Did you mean 'webster'?"),
        (["--backend", "loca"], "Did you mean 'local'?"),
        (["--task-column", "Taks"], "Did you mean 'task'?"),
        (["--strategy", "k-center", "--option", "partitons=3"], "Did you mean 'partitions'?"),
    ],
    ids=lambda each: each[-1] if isinstance(each, list) else "",
)
def test_a_misspelt_name_is_answered_with_the_nearest(pool, arguments, sentence):
    done = invoke("select", pool, "-b", "3", *arguments)
    assert done.exit_code == cli_errors.USER_MISTAKE
    assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["score", "POOL", "--model", "demo", "--out", "x", "--engine", "vlm"], "Did you mean 'vllm'?"),
        (["evaluate", "POOL", "--model", "demo", "--out", "x", "--suite", "exct"], "Did you mean 'exact'?"),
        (["export", "POOL", "--out", "x", "--format", "message"], "Did you mean 'messages'?"),
        (["coverage", "POOL", "POOL", "--by", "taks"], "Did you mean 'task'?"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_so_are_those_of_other_verbs(pool, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    done = invoke(*(str(pool) if each == "POOL" else each for each in arguments))
    assert done.exit_code == cli_errors.USER_MISTAKE
    assert sentence in " ".join(done.stderr.split())


def test_colours_are_off_where_nobody_sees_them(pool, monkeypatch):
    """rich decides by the stream and by NO_COLOR; nothing of ours forces colours on."""
    done = invoke("select", pool, "-b", "3", "--strategy", "random")
    assert "\x1b" not in done.output
    seen = {}
    for name, environment in (("coloured", {}), ("plain", {"NO_COLOR": "1"})):
        for variable in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        console = Console(file=io.StringIO(), force_terminal=True, width=WIDTH)
        selection = tasksel.select(pl.read_ndjson(pool).with_columns(confidence=0.5), budget=3)
        terminal.print_selection(console, selection, folder=None)
        terminal.print_notes(console, ["something to know"])
        seen[name] = console.file.getvalue()
    colours = r"\x1b\[(\d+;)*(3[0-7]|9[0-7])m"
    assert re.search(colours, seen["coloured"])
    assert not re.search(colours, seen["plain"])


LONG_VERBS = [
    ("score",),
    ("embed",),
    ("tasks",),
    ("train",),
    ("evaluate",),
    ("study",),
    ("run",),
    ("demo",),
    ("synth", "run"),
    ("synth", "probe"),
    ("coverage",),
]


@pytest.mark.parametrize("verb", LONG_VERBS, ids=ids)
def test_long_work_shows_a_bar_with_the_time_left(verb):
    """All of them show the one display, and none where --quiet or --json is given."""
    import inspect

    source = inspect.getsource(inspect.unwrap(VERBS[verb].callback))
    module = inspect.getsource(inspect.getmodule(inspect.unwrap(VERBS[verb].callback)))
    assert "shown_progress(" in module or "StageProgress(" in module
    assert "quiet" in source
    assert "as_json" in source


def test_the_bar_has_the_time_left_on_a_terminal_and_is_no_bar_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "PIPE_INTERVAL_S", 0.0)
    with terminal.ScoreProgress("Scoring", "prompts") as progress:
        progress(0, 10, 0)
        progress(5, 10, 50)
    seen = capsys.readouterr()
    assert seen.out == ""
    assert re.fullmatch(r"Scoring: 5 of 10 prompts, 50 tokens, [\d,]+/s, 0 s left\n", seen.err)
    display = terminal.ScoreProgress("Scoring", "prompts")
    display._console = Console(file=io.StringIO(), force_terminal=True, width=WIDTH)
    with display as progress:
        progress(0, 10, 0)
        progress(5, 10, 50)
        names = [type(column).__name__ for column in display._bar.columns]
    assert "TimeRemainingColumn" in names
    assert "BarColumn" in names


def completed(shell, line):
    """Ask as the shell does: through the environment, as typer's script for it asks."""
    words = line.split(" ")
    environment = {"_TASKSEL_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        environment |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    elif shell == "zsh":
        environment["_TYPER_COMPLETE_ARGS"] = line
    else:
        environment |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    result = CliRunner(env=environment).invoke(app, [], prog_name="tasksel")
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("tasksel sel", "select", "score"),
        ("tasksel synth pr", "probe", "plan"),
        ("tasksel select --strat", "--strategy", "--seed"),
        ("tasksel select --strategy we", "weighted-task-diversity", "random"),
        ("tasksel select --within k-", "k-center", "least-confident"),
        ("tasksel select --metric min", "min-token", "product"),
        ("tasksel select --rounding p", "paper", "webster"),
        ("tasksel score --engine v", "vllm", "openai"),
        ("tasksel score --model de", "demo", "minilm"),
        ("tasksel embed --model mi", "minilm", "demo"),
        ("tasksel evaluate --suite exact,mm", "exact,mmlu", "bbh"),
        ("tasksel run --until se", "select", "score"),
        ("tasksel train --dtype f", "float32", "auto"),
        ("tasksel train --trainer t", "trl", "torch"),
        ("tasksel select --task-mean ge", "geometric", "arithmetic"),
        ("tasksel score --backend r", "ray", "local"),
        ("tasksel tasks discover --method h", "hdbscan", "k-means"),
        ("tasksel export --format s", "sharegpt", "alpaca"),
    ],
)
def test_the_shell_completes_verbs_flags_and_values(shell, line, wanted, unwanted):
    offered = completed(shell, line)
    assert wanted in offered
    assert not re.search(rf"(^|\"|\s){re.escape(unwanted)}(\"|\s|$)", offered)


def test_models_in_the_cache_are_offered(tmp_path, monkeypatch):
    (tmp_path / "models--owner--name").mkdir()
    (tmp_path / "datasets--owner--name").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert completed("bash", "tasksel score --model o").split() == ["owner/name"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_for_bash_completes_in_a_real_shell(tmp_path):
    """Source the script that --show-completion prints, and press the tab key by hand."""
    script = CliRunner(env={"_TASKSEL_COMPLETE": "source_bash"}).invoke(app, [], prog_name="tasksel").output
    (tmp_path / "complete.sh").write_text(script)
    entry = "import sys; from tasksel.cli import main; sys.argv[0] = 'tasksel'; main()"
    (tmp_path / "tasksel").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{entry}" "$@"\n')
    (tmp_path / "tasksel").chmod(0o755)
    function = re.search(r"complete -o default -F (\w+) tasksel", script).group(1)
    lines = [
        f"source {tmp_path}/complete.sh",
        "COMP_WORDS=(tasksel select --strategy task-)",
        "COMP_CWORD=3",
        f"{function} tasksel",
        'echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout.split() == ["task-diversity"], done.stderr
