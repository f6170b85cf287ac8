"""Every verb that writes, on a disk that is full: one sentence, nothing half-written, and the same command
goes on.

By default a limit on the size of files stands for the disk: the first file that is larger fails in its
middle, as on a full one. Marked tests run the same on a real disk that is too small, mounted for a process
of their own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from planted_tasks import planted_pool
from scripted_provider import KEY, ScriptedProvider, completion, make_config, write_plan
from tasksel.cli import app
from tasksel.reply_journal import read_journal
from tasksel.toy_world import make_toy_holdout, make_toy_pool

resource = pytest.importorskip("resource", reason="limits are of POSIX systems")

DISK = os.environ.get("TASKSEL_SMALL_DISK")
"""A real disk of some megabytes; the marked test sets it for the process that it starts."""
JOURNALS = ("replies.jsonl", "responses.jsonl")
"""Raw replies, in the order in which they came."""
UNFINISHED = ("checkpoint-", "worlds", "trainings")
"""Names of what an unfinished run keeps, and a finished one does not, or not as it was."""
TIMED = ("training_log.jsonl",)
TREE = get_command(app)
STUDY = """
budgets = [12]
[training]
full = true
learning_rate = 1e-3
epochs = 1
batch_size = 8
[[worlds]]
name = "toy"
kind = "toy"
report = [0, 1]
n_tasks = 3
largest = 8
holdout_per_task = 1
[[arms]]
name = "weighted-task-diversity"
"""


@dataclass(frozen=True)
class Verb:
    """A command with its inputs; `before` are commands that must have run in the same place."""

    command: str
    before: tuple[str, ...] = ()
    plans: bool = False
    compares: str = "**/*"
    """Of the files of the place; all that are the same in each run."""


MODEL = "--model demo --device cpu"
SELECT = "select WORLD/pool.parquet --strategy weighted-task-diversity --budget 12 --out selection"
TEACHER = "annotate teacher selection --into run --endpoint URL --model scripted -j 1"
ANSWERS = "annotate import WORLD/answers.jsonl --selection WORLD/selection --into run"
VERBS = {
    "select": Verb(SELECT),
    "tasks": Verb("tasks WORLD/planted.parquet --embeddings WORLD/vectors.npy --out pool2.parquet"),
    "export": Verb("export WORLD/labelled.parquet --format alpaca --out exported"),
    "report": Verb("report selection --pool WORLD/pool.parquet --out page.html", (SELECT,)),
    "annotate-export": Verb("annotate export selection --to jsonl --out handout", (SELECT,)),
    "annotate-import": Verb(ANSWERS),
    "teacher": Verb(TEACHER, (SELECT,)),
    "synth-run": Verb("synth run . --tier full -j 1", plans=True),
    "synth-export": Verb("synth export . --out pool.jsonl", ("synth run . --tier full -j 1",), plans=True),
    "init": Verb("init WORLD/pool.parquet --out job.toml"),
    "run": Verb("run WORLD/job.toml --out job", compares="job/selection/*"),
}
MODEL_VERBS = {
    "score": Verb(f"score WORLD/small.parquet {MODEL} --max-new-tokens 2 --shard-rows 4 --out run"),
    "embed": Verb(f"embed WORLD/small.parquet --embed-from hidden {MODEL} --shard-rows 4 --out run"),
    "train": Verb(f"train WORLD/small.parquet {MODEL} --epochs 1 --r 4 --checkpoint-every-s 0 --out run"),
    "evaluate": Verb(
        f"evaluate WORLD/holdout.parquet {MODEL} --max-new-tokens 2 --out figures",
        compares="figures/**/*.parquet",
    ),
    "rounds": Verb("rounds WORLD/rounds.toml --out job", compares="job/**/selected.parquet"),
    "study": Verb("study WORLD/study.toml --out study --jobs 1", compares="study/*.csv"),
}
ALL = VERBS | MODEL_VERBS


@pytest.fixture(scope="module", autouse=True)
def one_tree():
    """Build the tree of verbs once; a runner does it for every call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", lambda _: TREE)
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Inputs of all verbs."""
    import numpy as np

    folder = tmp_path_factory.mktemp("world")
    pool = make_toy_pool(0, n_tasks=4, largest=20)
    pool.with_columns(confidence=pl.int_range(pl.len()) % 7 / 10).write_parquet(folder / "pool.parquet")
    pool.head(8).write_parquet(folder / "small.parquet")
    pool.head(40).write_parquet(folder / "labelled.parquet")
    holdout = make_toy_holdout(0, n_per_task=1).filter(pl.col("task").is_in(pool["task"].unique().implode()))
    holdout.write_parquet(folder / "holdout.parquet")
    planted, vectors = planted_pool()
    planted.write_parquet(folder / "planted.parquet")
    np.save(folder / "vectors.npy", vectors)
    job = '[pool]\npath = "pool.parquet"\n[select]\nbudget = 12\nstrategy = "task-diversity"\n'
    (folder / "job.toml").write_text(job)
    trained = "[train]\nr = 4\nepochs = 1\n[evaluate]\npool = 'holdout.parquet'\nmax_new_tokens = 2\n"
    (folder / "rounds.toml").write_text(f'model = "demo"\ndevice = "cpu"\n{job}{trained}[rounds]\nn = 2\n')
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def answered(world):
    """A selection in the world, and answers to it."""
    invoke(SELECT.replace("--out selection", f"--out {world / 'selection'}"), world, "")
    selected = pl.read_parquet(world / "selection" / "selected.parquet")
    selected.select("id", "prompt", response=pl.lit("an answer")).write_ndjson(world / "answers.jsonl")


@pytest.fixture(scope="module")
def provider():
    provider = ScriptedProvider()
    items = provider.play

    def play(asked):
        if asked.values:
            return items(asked)
        return 200, completion(f"the answer to {asked.body['messages'][-1]['content'][-20:]}")

    provider.play = play
    thread = provider.serve()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()


def invoke(command, world, url):
    words = [word.replace("WORLD", str(world)).replace("URL", url) for word in command.split()]
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [*words, "--quiet"])


def prepare(verb, place, world, url):
    """Make a new place in which everything stands that the command wants."""
    place.mkdir(parents=True)
    os.chdir(place)
    if verb.plans:
        write_plan(place, make_config(url))
    for command in verb.before:
        done = invoke(command, world, url)
        assert done.exit_code in (0, 3), done.output


def read_files(place, pattern="**/*"):
    """Give the files of a place; of a journal its replies, whatever their order."""
    found = {}
    for path in place.glob(pattern):
        if path.is_file() and path.name not in (".lock", "filler", *TIMED):
            name = path.relative_to(place).as_posix()
            found[name] = set(read_journal(path)) if path.name in JOURNALS else path.read_bytes()
    return found


class FileSizeLimit:
    """No file may be larger than so many bytes."""

    def levels(self, files):
        """Give limits that the largest, a middling and the smallest of these files exceed."""
        sizes = sorted({len(content) for content in files.values() if isinstance(content, bytes)} - {0})
        return sorted({sizes[0] - 1, sizes[len(sizes) // 2] - 1, sizes[-1] - 1})

    @contextlib.contextmanager
    def full(self, place, level):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(level, 1), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SmallDisk:
    """A real disk with so many bytes left."""

    def levels(self, files):
        total = sum(len(content) for content in files.values() if isinstance(content, bytes))
        return sorted({0, total // 3, 2 * total // 3})

    @contextlib.contextmanager
    def full(self, place, level):
        filler = Path(DISK, "filler")
        with filler.open("wb") as file, contextlib.suppress(OSError):
            free = os.statvfs(DISK).f_bavail * os.statvfs(DISK).f_frsize
            file.write(bytes(max(free - level, 0)))
        try:
            yield
        finally:
            filler.unlink()


def check_full(verb, limit, base, world, url):
    """Run a verb on a disk that is full at several moments, and again when there is room."""
    here = Path.cwd()
    try:
        prepare(verb, base / "whole", world, url)
        given = set(read_files(base / "whole"))
        ended = invoke(verb.command, world, url)
        assert ended.exit_code in (0, 3), ended.output
        expected = read_files(base / "whole", verb.compares)
        new = {name: content for name, content in read_files(base / "whole").items() if name not in given}
        codes = []
        for level in limit.levels(new):
            place = base / str(level)
            prepare(verb, place, world, url)
            with limit.full(place, level):
                failed = invoke(verb.command, world, url)
            codes.append(failed.exit_code)
            if failed.exit_code != ended.exit_code:
                check_failure(failed, place, expected, given)
            again = invoke(verb.command, world, url)
            assert again.exit_code == ended.exit_code, again.output
            assert read_files(place, verb.compares) == expected, level
            os.chdir(here)
            shutil.rmtree(place)
        assert 1 in codes, f"it was never full: {codes}"
    finally:
        os.chdir(here)


def check_failure(failed, place, expected, given):
    said = failed.stderr.replace("\n", "")
    assert failed.exit_code == 1, failed.output
    assert isinstance(failed.exception, SystemExit), failed.exception
    assert said.startswith("Error: "), said
    assert "File too large" in said or "No space left" in said, said
    assert "(" in said, f"no file is named: {said}"
    assert "Traceback" not in said
    left = read_files(place)
    assert not [name for name in left if ".tmp" in name]
    half = [
        name
        for name, content in left.items()
        if name in expected and name not in given and isinstance(content, bytes) and content != expected[name]
    ]
    assert not half


@pytest.mark.skipif(bool(DISK), reason="there is a real disk")
@pytest.mark.parametrize(
    "name", [*VERBS, *(pytest.param(each, marks=pytest.mark.thorough) for each in MODEL_VERBS)]
)
def test_a_file_that_does_not_fit(name, world, answered, provider, tmp_path):
    if name in MODEL_VERBS:
        pytest.importorskip("peft", reason="the extra hf is not installed")
    check_full(ALL[name], FileSizeLimit(), tmp_path, world, provider.url)


@pytest.mark.thorough
@pytest.mark.skipif(not DISK, reason="run by the test of a real disk")
@pytest.mark.parametrize("name", ALL)
def test_a_disk_that_is_full(name, world, answered, provider):
    base = Path(DISK, name)
    try:
        check_full(ALL[name], SmallDisk(), base, world, provider.url)
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(DISK) or shutil.which("unshare") is None, reason="a disk is mounted for a process")
def test_every_verb_on_a_real_small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=64m none "$0" && exec "$@"'
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "thorough", __file__]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, str(disk), *pytest_command, "-k", "a_disk_that_is_full"],
        env=os.environ | {"TASKSEL_SMALL_DISK": str(disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare failed" in done.stderr or "permission denied" in done.stderr.lower():
        pytest.skip("this user may not mount a disk")
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{len(ALL)} passed" in done.stdout
