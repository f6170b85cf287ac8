"""Run folders of which somebody changed a value, a column: a sentence says so, or it is read anyway.

The hashes of what was changed are put right. Each file of the golden runs, each place in it, each wrong value
would take hours: each run of the tests takes the same few of them. ``TASKSEL_GOLDEN_VALUES=5000`` takes more,
``TASKSEL_GOLDEN_SEED=1`` others.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from golden_runs import call, inside
from reader_fuzz.promises import check_sentence
from tasksel.run_folder import file_sha256

GOLDEN = Path(__file__).parent / "data" / "golden_runs" / "v1"
WRONG = (None, "x", "\x1b[31m\n", True, -1, 10**30, 0.5, [], [1], ["x"], {}, {"a": 1})
WRONG_CELLS = (None, "x\x1b[31m", -5, math.nan, [1], True)
GONE = object()
TRIED = int(os.environ.get("TASKSEL_GOLDEN_VALUES", "16"))
SEED = int(os.environ.get("TASKSEL_GOLDEN_SEED", "0"))
REPORTED = ("job", "rounds", "study", "synthesis")
CONTINUED = ("annotated", "evaluated", "job", "rounds", "scored", "study", "taught", "trained")
FIRST_ITEMS = 2
"""Of a list; the others are like them."""


class Change(NamedTuple):
    """A wrong value in a JSON file, or a wrong column in a table."""

    file: str
    place: tuple
    value: object

    @property
    def run(self):
        return self.file.split("/")[0]

    def apply(self, golden):
        path = golden / self.file
        if path.suffix == ".json":
            path.write_text(json.dumps(self.changed_json()), encoding="utf-8")
        else:
            self.changed_table().write_parquet(path)
        self.put_hashes_right(golden)

    def changed_json(self):
        content = json.loads((GOLDEN / self.file).read_text(encoding="utf-8"))
        holder = content
        for key in self.place[:-1]:
            holder = holder[key]
        if self.value is GONE:
            del holder[self.place[-1]]
        else:
            holder[self.place[-1]] = self.value
        return content

    def changed_table(self):
        frame, (column,) = pl.read_parquet(GOLDEN / self.file), self.place
        if self.value is GONE:
            return frame.drop(column)
        values = [self.value] * frame.height
        return frame.with_columns(pl.Series(column, values, strict=False))

    def put_hashes_right(self, golden):
        before, now = (file_sha256(place / self.file) for place in (GOLDEN, golden))
        for path in (golden / self.run).rglob("*.json"):
            text = path.read_text(encoding="utf-8")
            if before in text:
                path.write_text(text.replace(before, now), encoding="utf-8")

    def undo(self, golden):
        shutil.rmtree(golden / self.run)
        shutil.copytree(GOLDEN / self.run, golden / self.run)


def places(value, place=()):
    if place:
        yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:FIRST_ITEMS]):
            yield from places(inner, (*place, number))


def changes():
    """Give changes in an order that is shuffled, but the same each time."""
    found = []
    for path in sorted(GOLDEN.glob("*/**/*.json")):
        name = path.relative_to(GOLDEN).as_posix()
        if not name.startswith("model/"):
            content = json.loads(path.read_text(encoding="utf-8"))
            found += [Change(name, place, value) for place in places(content) for value in (GONE, *WRONG)]
    for path in sorted(GOLDEN.glob("*/**/*.parquet")):
        name = path.relative_to(GOLDEN).as_posix()
        columns = pl.read_parquet_schema(path)
        found += [Change(name, (column,), value) for column in columns for value in (GONE, *WRONG_CELLS)]
    random.Random(SEED).shuffle(found)
    return found


def readings(out):
    """Give the commands that only read, and the run folders that each of them reads."""
    given = json.loads((GOLDEN / "readings.json").read_text(encoding="utf-8"))
    commands = [each["arguments"] for each in given.values()]
    commands += [["report", run, "--out", str(out)] for run in REPORTED]
    return [(command, {part.split("/")[0] for part in command}) for command in commands]


def breach(command, folder):
    """Say what a command did that no command may do; empty where it did nothing of the kind."""
    try:
        with inside(folder):
            code, printed = call(command)
        check_sentence(printed.replace("\n", " "))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no sentence
        return f"{type(error).__name__}: {error}"[:300]
    return "" if code in (0, 2, 3) else f"exit code {code}: {printed[-300:]}"


@pytest.fixture
def golden(monkeypatch, tmp_path):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("jsonschema", reason="the extra synth is not installed")
    pytest.importorskip("altair", reason="the extra plots is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-golden")
    return Path(shutil.copytree(GOLDEN, tmp_path / "v1"))


def test_a_changed_file_is_a_sentence_or_is_read(golden, tmp_path):
    broken = {}
    commands = readings(tmp_path / "report.html")
    for change in changes()[:TRIED]:
        change.apply(golden)
        for command, runs in commands:
            said = breach(command, golden) if change.run in runs else ""
            if said:
                broken.setdefault(said, (command, change))
        change.undo(golden)
    assert broken == {}


def test_what_is_continued_is_a_sentence_or_goes_on(golden):
    broken = {}
    commands = json.loads((GOLDEN / "commands.json").read_text(encoding="utf-8"))
    for change in [each for each in changes() if each.run in CONTINUED][: TRIED // 4]:
        change.apply(golden)
        said = breach(commands[change.run], golden)
        if said:
            broken.setdefault(said, (commands[change.run], change))
        change.undo(golden)
    assert broken == {}
