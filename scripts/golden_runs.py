"""Write a small run folder of every stage, by the verbs themselves, for tests of later versions to read.

Usage: ``python scripts/golden_runs.py FOLDER``, with everything that the tests need installed.

The folders of a version that was released are never written again: what stands in them is what its users
have. A new version of the layout gets a folder of its own, ``tests/data/golden_runs/vN``, beside the older.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LOCK_NAME = ".lock"
JOB = """model = "model"
[pool]
path = "pool.parquet"
[score]
max_new_tokens = 4
[select]
budget = 8
strategy = "weighted-task-diversity"
base = 1
[train]
r = 1
epochs = 1
batch_size = 4
[evaluate]
pool = "holdout.parquet"
max_new_tokens = 4
"""
ROUNDS = """model = "model"
[pool]
path = "pool.parquet"
[embed]
embed_from = "column:vector"
[select]
budget = 8
strategy = "task-diversity"
base = 1
[train]
r = 1
epochs = 1
batch_size = 4
[evaluate]
pool = "holdout.parquet"
max_new_tokens = 4
[rounds]
n = 2
"""
STUDY = """title = "A golden study"
budgets = [6]
[training]
full = true
learning_rate = 1e-3
epochs = 1
batch_size = 8
[[worlds]]
name = "toy"
kind = "toy"
model = "model"
report = [0, 1]
n_tasks = 3
largest = 6
holdout_per_task = 1
max_new_tokens = 4
[[arms]]
name = "task-diversity"
base = 1
"""
SYNTHESIS = """total = 12
seed = 0
instructions = "Write reviews of a shop."
tiers = [6]
[strata]
allocate = "equal"
[strata.levels]
product = ["phone", "watch"]
rating = ["1", "5"]
[dimensions.tone]
values = {calm = 0.5, angry = 0.5}
description = "of the customer"
[edge]
share = 0.25
[edge.categories]
boundary = 1
[schema]
type = "object"
required = ["text", "rating"]
[schema.properties.text]
type = "string"
minLength = 10
maxLength = 60
[schema.properties.rating]
type = "integer"
minimum = 1
maximum = 5
[record]
prompt = "{text}"
response = "{rating}"
[model]
provider = "openai"
model = "scripted"
base_url = "URL"
timeout_s = 5.0
[request]
items = 3
"""


PROGRAM = """! grep -q '"rating": 1' "$1"
"""
PROSE = frozenset({"headline", "sentence", "sentences", "advice", "notes", "reason", "title", "versions"})
"""Keys of printed JSON whose words later versions may put better."""


class Command(NamedTuple):
    """A call of tasksel in the folder of golden runs.

    Parameters
    ----------
    out : str
        Which folder or file it makes.
    arguments : tuple of str
        As on the command line.
    """

    out: str
    arguments: tuple[str, ...]


_TEACHER = ("--model", "model", "--max-tokens", "4", "--keep-truncated")


def _commands() -> Iterator[Command]:
    pool = "pool.parquet"
    lora = ("--r", "1", "--epochs", "1", "--batch-size", "4")
    short = ("--max-new-tokens", "4")
    given = ("--embed-from", "column:vector", "--shard-rows", "16")
    yield Command("scored", ("score", pool, "--model", "model", *short, "--shard-rows", "16"))
    yield Command("embedded", ("embed", pool, *given))
    yield Command("tasked.parquet", ("tasks", pool, "--embeddings", "embedded", "--n-tasks", "3"))
    made_with = ("--scores", "scored", "--embeddings", "embedded")
    yield Command("selected", ("select", pool, *made_with, "--budget", "8", "--strategy", "k-center"))
    yield Command("asked", ("annotate", "export", "selected", "--to", "csv"))
    yield Command("annotated", ("annotate", "import", "answers.csv", "--selection", "selected"))
    yield Command("taught", ("annotate", "teacher", "selected", *_TEACHER))
    yield Command("trained", ("train", "selected/selected.parquet", "--model", "model", *lora))
    evaluated = ("--model", "model", "--adapter", "trained", *short)
    yield Command("evaluated", ("evaluate", "holdout.parquet", *evaluated))
    yield Command("exported", ("export", "selected/selected.parquet"))
    yield Command("compared", ("contamination", pool, "--against", "holdout.parquet"))
    yield Command("job", ("run", "job.toml"))
    yield Command("rounds", ("rounds", "rounds.toml"))
    yield Command("study", ("study", "study.toml", "--jobs", "1"))
    yield Command("synthesis", ("synth", "plan", "synthesis.toml"))
    yield Command("synthesis/generation", ("synth", "run", "synthesis", "--tier", "full"))
    yield Command("synthesis/edge", ("synth", "edge", "synthesis"))
    yield Command("synthesis/validation", ("synth", "validate", "synthesis"))
    probe = ("--control", "4", "--batch-size", "4", "--command", "sh program.sh {file}")
    yield Command("probed", ("synth", "probe", "synthesis", *probe))


COMMANDS = tuple(_commands())
_SCORED = ("--scores", "scored", "--embeddings", "embedded")
READINGS = {
    "status-scored": ("status", "scored"),
    "status-embedded": ("status", "embedded"),
    "status-trained": ("status", "trained"),
    "status-job": ("status", "job"),
    "status-synthesis": ("status", "synthesis"),
    "select": ("select", "pool.parquet", *_SCORED, "--budget", "5", "--strategy", "k-center"),
    "select-labelled": ("select", "pool.parquet", "--labelled", "annotated", "--budget", "4"),
    "explain": ("explain", "selected", "--pool", "pool.parquet", *_SCORED),
    "diff": ("diff", "selected", "job/selection"),
    "annotate-status": ("annotate", "status", "annotated"),
    "tasks-using": ("tasks", "pool.parquet", "--using", "tasked-tasks", "--embeddings", "embedded"),
    "evaluate-scores": ("evaluate", "pool.parquet", "--scores", "scored", "--suite", "exact"),
    "synth-status": ("synth", "status", "synthesis"),
    "teacher-estimate": ("annotate", "teacher", "selected", *_TEACHER, "--into", "taught", "--dry-run"),
}
"""What is read of it, and by which verb; each prints one JSON object."""
_OUT_FLAGS = {"import": "--into", "teacher": "--into"}
_WITHOUT_OUT = ("synthesis/generation", "synthesis/edge", "synthesis/validation")


def command_line(command: Command) -> list[str]:
    """Return the arguments with the flag that says where to."""
    if command.out in _WITHOUT_OUT:
        return list(command.arguments)
    flag = next((flag for verb, flag in _OUT_FLAGS.items() if verb in command.arguments), "--out")
    return [*command.arguments, flag, command.out]


def call(arguments: list[str]) -> tuple[int, str]:
    """Call tasksel in this process; returns its exit code and what it printed."""
    from typer.testing import CliRunner

    from tasksel.cli import app

    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder, since what runs are made from is named as on the command line."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write_golden_runs(folder: Path) -> None:
    """Write everything into a folder that must not exist yet."""
    folder.mkdir(parents=True)
    url, server = _serve()
    os.environ["OPENAI_API_KEY"] = "sk-golden"
    with inside(folder):
        _write_inputs(url)
        for command in COMMANDS:
            print(command.out, flush=True)
            if command.out == "annotated":
                _write_answers()
            code, printed = call(command_line(command))
            if code not in (0, 3):
                raise SystemExit(f"{command} ended with {code}: {printed}")
        _write_expected()
    server.shutdown()
    for path in sorted(folder.rglob(LOCK_NAME)):
        path.unlink()


def without_prose(content: Any) -> Any:
    """Leave out of printed JSON what is said in sentences."""
    if isinstance(content, dict):
        return {name: without_prose(value) for name, value in content.items() if name not in PROSE}
    return [without_prose(each) for each in content] if isinstance(content, list) else content


def _write_expected() -> None:
    """Write down the commands, the readings and what these printed."""
    commands = {command.out: command_line(command) for command in COMMANDS}
    _write_json("commands.json", commands)
    read = {}
    for name, arguments in READINGS.items():
        code, printed = call([*arguments, "--json"])
        read[name] = {
            "arguments": arguments,
            "exit_code": code,
            "printed": without_prose(json.loads(printed)),
        }
    _write_json("readings.json", read)


def _write_json(name: str, content: Any) -> None:
    Path(name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _serve() -> tuple[str, Any]:
    sys.path.insert(0, str(ROOT / "tests"))
    from scripted_provider import ScriptedProvider

    server = ScriptedProvider()
    server.serve()
    return server.url, server


def _write_inputs(url: str) -> None:
    from tasksel.toy_world import make_toy_holdout, make_toy_pool

    pool = make_toy_pool(0, n_tasks=4, largest=12, smallest=4)
    vectors = np.random.default_rng(0).standard_normal((pool.height, 4), dtype=np.float32)
    pool = pool.with_columns(vector=pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)))
    pool.write_parquet("pool.parquet")
    tasks = pool["task"].unique().implode()
    make_toy_holdout(0, n_per_task=2).filter(pl.col("task").is_in(tasks)).write_parquet("holdout.parquet")
    _save_model(Path("model"))
    for name, text in (("job", JOB), ("rounds", ROUNDS), ("study", STUDY), ("synthesis", SYNTHESIS)):
        Path(f"{name}.toml").write_text(text.replace("URL", url), encoding="utf-8")
    Path("program.sh").write_text(PROGRAM, encoding="utf-8")


def _write_answers() -> None:
    """Answer all selected prompts but two, as an annotator would in the file that was exported."""
    asked = pl.read_csv("asked/answers.csv", infer_schema=False)
    right = dict(pl.read_parquet("pool.parquet").select("id", "response").iter_rows())
    answers = [right[name] for name in asked["id"][:-2]] + [None, None]
    asked.with_columns(response=pl.Series(answers, dtype=pl.String)).write_csv("answers.csv")


def _save_model(folder: Path) -> None:
    """Save a Llama of some thousand random parameters and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: number for number, name in enumerate(["<pad>", "<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)


def main() -> None:
    """Write them, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if folder.exists():
        raise SystemExit(f"{folder} is there already; golden runs are written once.")
    write_golden_runs(folder)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    print(json.dumps({"files": len(sizes), "bytes": sum(sizes)}))


if __name__ == "__main__":
    main()
