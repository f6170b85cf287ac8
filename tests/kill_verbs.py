"""The six verbs that are killed: their commands, their folders, and what must hold after a kill."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from scripted_provider import ScriptedProvider, completion, make_config, write_plan
from tasksel.reply_journal import read_journal
from tasksel.run_folder import text_sha256
from tasksel.run_status import read_status
from tasksel.selection_files import read_selection
from tasksel_core.errors import TaskselError

BUSY = "<html>busy</html>"
CONCURRENCY = 4


def overloaded():
    """Take a moment, and now and then fail as a busy provider does."""
    time.sleep(random.uniform(0.0, 0.01))
    dice = random.random()
    if dice < 0.03:
        return 429, "slow down", {"Retry-After": "0.02"}
    return (500, "broken") if dice < 0.04 else None


def play_teacher(asked):
    """Reply by the words of the request alone, in every way that a teacher has."""
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
    return overloaded() or (200, next(body for limit, body in ways if dice < limit))


def play_synthesis(asked):
    """Reply by the words of the request alone, in every way that a writing model has."""
    items, dice = asked.items, asked.dice
    plain = json.dumps(items)
    foreign = [{"text": "Das ist nicht gut und ich bin mit der Ware nicht froh."} for _ in items]
    ways = [
        (0.60, plain),
        (0.65, f"```json\n{plain}\n```"),
        (0.70, json.dumps({"items": items})),
        (0.75, plain[:-12]),
        (0.80, json.dumps([{**each, "rating": 9} for each in items])),
        (0.85, json.dumps(items[:1])),
        (0.90, json.dumps([{"text": "The same text again.", "rating": 1} for _ in items])),
        (0.95, json.dumps(foreign)),
        (1.00, "I'm sorry, but I can't write that."),
    ]
    return overloaded() or (200, completion(next(text for limit, text in ways if dice < limit)))


def read_files(folder, *left_out):
    """Give all files below a folder by their names in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".lock", *left_out)
    }


@dataclass
class Verb:
    """What most verbs have in common: a folder in the run, and a manifest in it that is written last."""

    name: str
    folder: str
    command: list
    most_steps: int
    stops: bool = False
    left_out: tuple = ()
    """Files that are as right in another order."""

    def prepare(self, run):
        """Nothing is wanted but that the place is there."""
        run.mkdir(parents=True)

    def arguments(self, run):
        return [str(each).replace("RUN", str(run)) for each in self.command]

    def is_done(self, run):
        return (run / self.folder / "manifest.json").is_file()

    def is_half_made(self, run):
        return bool(self.finished(run)) and not self.is_done(run)

    def finished(self, run):
        return {}

    def before(self, run):
        return lambda: None

    def outputs(self, run):
        return read_files(run, *self.left_out)


@dataclass
class ShardVerb(Verb):
    """``score`` and ``embed``: finished are the shards, and none is written a second time."""

    def finished(self, run):
        shards = (run / self.folder).glob("part-*")
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in shards}

    def before(self, run):
        def check():
            if self.finished(run):
                status = read_status(run).stages[0]
                assert status.is_in_order, status
                assert status.state in ("interrupted", "finished")

        return check


@dataclass
class TrainVerb(Verb):
    """``train``: the newest checkpoint is never older than it was."""

    def is_half_made(self, run):
        return self._newest(run) > 0 and not self.is_done(run)

    def before(self, run):
        newest = self._newest(run)

        def check():
            assert self._newest(run) >= newest or self.is_done(run)

        return check

    def _newest(self, run):
        names = (path.name for path in (run / self.folder).glob("checkpoint-*"))
        return max((int(name.rpartition("-")[2]) for name in names), default=0)


@dataclass
class AskingVerb(Verb):
    """``annotate teacher`` and ``synth run``: what was answered is never lost, and never asked for again."""

    journal: str = ""
    server: ScriptedProvider = None
    plan: Path = None
    asks_by_prompt: bool = False

    def prepare(self, run):
        if self.plan is None:
            super().prepare(run)
        else:
            shutil.copytree(self.plan, run)

    def finished(self, run):
        entries = read_journal(run / self.folder / self.journal).values()
        return {each.key: True for each in entries if each.reply.status == 200}

    def before(self, run):
        if not self.asks_by_prompt:
            return lambda: None
        known, n_seen = self._answered(run), len(self.server.seen)

        def check():
            assert known <= self._answered(run)
            asked = {
                (text_sha256(body["messages"][-1]["content"]), body["seed"] - 1)
                for _, body in self.server.seen[n_seen:]
            }
            assert not known & asked

        return check

    def _answered(self, run):
        """Give prompt and sample of every reply that can be read."""
        return {
            (entry.facts["prompt_sha256"], entry.facts["sample"])
            for entry in read_journal(run / self.folder / self.journal).values()
            if entry.reply.status == 200 and entry.reply.body != BUSY
        }


@dataclass
class SelectVerb(Verb):
    """``select`` over another selection: a reader finds the old one, the new one, or is refused."""

    old: Path = None
    new: Path = None
    seen: dict = field(default_factory=lambda: {"old": 0, "new": 0, "refused": 0})

    def prepare(self, run):
        shutil.copytree(self.old, run)

    def is_done(self, run):
        """Whether the manifest is that of the new selection."""
        path = run / "manifest.json"
        return path.is_file() and path.read_bytes() != (self.old / "manifest.json").read_bytes()

    def is_half_made(self, run):
        return not (run / "manifest.json").is_file()

    def before(self, run):
        def check():
            try:
                frame = read_selection(run).frame
            except TaskselError:
                self.seen["refused"] += 1
                return
            names = ("old", "new") if self.new is not None and self.new.is_dir() else ("old",)
            (found,) = [each for each in names if frame.equals(read_selection(getattr(self, each)).frame)]
            self.seen[found] += 1

        return check


def score_verb(pool, model):
    command = ["score", pool, "--model", model, "--out", "RUN", "--max-new-tokens", 12]
    command += ["--batch-tokens", 100, "--shard-rows", 6, "--device", "cpu", "--quiet"]
    return ShardVerb("score", "scores", command, most_steps=10, stops=True)


def embed_verb(pool, model):
    command = ["embed", pool, "--embed-from", "hidden", "--model", model, "--out", "RUN"]
    command += ["--batch-tokens", 60, "--shard-rows", 6, "--device", "cpu", "--quiet"]
    return ShardVerb("embed", "embeddings", command, most_steps=10, stops=True)


def train_verb(selection):
    command = ["train", selection, "--model", "demo", "--out", "RUN", "--epochs", 4, "--batch-size", 16]
    command += ["--r", 8, "--lr", "1e-3", "--checkpoint-every-s", 0, "--device", "cpu", "--quiet"]
    return TrainVerb("train", "training", command, most_steps=60)


def teacher_verb(pool, server):
    command = ["annotate", "teacher", pool, "--into", "RUN", "--endpoint", server.url, "--model", "scripted"]
    command += ["--samples", 2, "--seed", 1, "-j", CONCURRENCY, "--quiet"]
    return AskingVerb(
        "teacher",
        "teacher",
        command,
        most_steps=30,
        left_out=("replies.jsonl",),
        journal="replies.jsonl",
        server=server,
        asks_by_prompt=True,
    )


def synthesis_verb(place, server):
    content = make_config(
        server.url,
        total=240,
        tiers=[40],
        language="en",
        request={"items": 2},
        limits={"concurrency": CONCURRENCY},
    )
    return AskingVerb(
        "synth",
        "generation",
        ["synth", "run", "RUN", "--tier", "full", "--quiet"],
        most_steps=30,
        left_out=("responses.jsonl",),
        journal="responses.jsonl",
        server=server,
        plan=write_plan(place, content),
    )


def select_command(pool, budget, out):
    command = ["select", pool, "--strategy", "weighted-task-diversity", "--budget", budget, "--seed", 3]
    return [*command, "--out", out, "--quiet"]


def write_pool(path, *, n_rows):
    prompts = [f"prompt {number} " + "word " * (number % 13) for number in range(n_rows)]
    frame = pl.DataFrame({"prompt": prompts, "task": [f"task-{number % 7}" for number in range(n_rows)]})
    frame.write_parquet(path)
    return path
