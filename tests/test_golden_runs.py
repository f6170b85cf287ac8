"""Run folders that an earlier tasksel wrote: every verb reads them, and continues them without doing a thing.

``tests/data/golden_runs/vN`` has one of every stage, in version N of the layout.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from golden_runs import LOCK_NAME, call, inside, without_prose

GOLDEN = Path(__file__).parent / "data" / "golden_runs"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
RESUMED = {
    "scored": "scored",
    "embedded": "embedded",
    "annotated": "annotated",
    "taught": "taught",
    "trained": "trained",
    "evaluated": "evaluated",
    "job": "job",
    "rounds": "rounds",
    "study": "study",
    "synthesis/generation": "synthesis",
    "probed": "probed",
}
"""The commands that continue what they find, and the folder that they write to."""
MADE = ("part-*.parquet", "*.safetensors", "result.json")
"""Names of what a model makes. What follows from it may be written again; this is made again if it is."""


def read(version, name):
    return json.loads((GOLDEN / version / name).read_text(encoding="utf-8"))


def readings():
    return [(version, name) for version in VERSIONS for name in read(version, "readings.json")]


def copy(version, folder):
    return Path(shutil.copytree(GOLDEN / version, folder / version))


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Give a copy of each version, for tests that only read it."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("jsonschema", reason="the extra synth is not installed")
    return {version: copy(version, tmp_path_factory.mktemp("golden")) for version in VERSIONS}


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-golden")


def contents(folder):
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != LOCK_NAME]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def meanings(folder):
    """Give what the files say, whatever library writes them: no hashes, pictures or last digits."""
    return {
        path.relative_to(folder).as_posix(): meaning(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK_NAME
    }


def meaning(path):
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    if path.suffix == ".json":
        return without_hashes(json.loads(path.read_text(encoding="utf-8")))
    return None if path.suffix in (".csv", ".svg", ".md") else path.read_bytes()


def without_hashes(content):
    if isinstance(content, dict):
        return {name: without_hashes(value) for name, value in content.items() if name != "versions"}
    if isinstance(content, list):
        return [without_hashes(each) for each in content]
    return "hash" if isinstance(content, str) and re.fullmatch("[0-9a-f]{64}", content) else content


def made(folder):
    return {path: path.stat().st_mtime_ns for pattern in MADE for path in folder.rglob(pattern)}


def missing(expected, actual, where=""):
    """Name what is not there any more or is different; what is new is no difference."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name not in actual:
                yield f"{where}.{name} is gone"
            else:
                yield from missing(value, actual[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (old, new) in enumerate(zip(expected, actual, strict=True)):
            yield from missing(old, new, f"{where}[{number}]")
    elif isinstance(expected, float) and isinstance(actual, float):
        if actual != pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True):
            yield f"{where}: {expected} → {actual}"
    elif expected != actual:
        yield f"{where}: {expected} → {actual}"


def check_reading(folder, reading):
    with inside(folder):
        code, printed = call([*reading["arguments"], "--json"])
    assert code == reading["exit_code"], printed
    assert not list(missing(reading["printed"], without_prose(json.loads(printed))))


@pytest.mark.parametrize(("version", "name"), readings())
def test_a_verb_reads_what_it_read_then(golden, key, version, name):
    before = contents(golden[version])
    check_reading(golden[version], read(version, "readings.json")[name])
    assert contents(golden[version]) == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", ["job", "rounds", "study", "synthesis"])
def test_a_report_is_made_of_it(golden, tmp_path, version, folder):
    pytest.importorskip("altair", reason="the extra plots is not installed")
    before = contents(golden[version])
    with inside(golden[version]):
        code, printed = call(["report", folder, "--out", str(tmp_path / "report.html")])
    assert code == 0, printed
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert contents(golden[version]) == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RESUMED)
def test_the_same_command_finds_everything_done(golden, key, tmp_path, version, name):
    command = read(version, "commands.json")[name]
    folder = golden[version] / RESUMED[name]
    before, written = meanings(folder), made(folder)
    with inside(golden[version]):
        code, printed = call(command)
    assert code == 0, printed
    assert made(folder) == written
    after = meanings(folder)
    assert after.keys() == before.keys()
    assert not list(missing(before, after))


# An older peft says which keys of a newer one it passes over.
@pytest.mark.filterwarnings("default:Unexpected keyword arguments:UserWarning")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_adapter_and_a_task_model_of_then_work_now(golden, tmp_path, version):
    with inside(golden[version]):
        adapted = ("--model", "model", "--adapter", "trained", "--max-new-tokens", "2")
        assert call(["score", "holdout.parquet", *adapted, "--out", str(tmp_path / "scored")])[0] == 0
        found = ("--using", "job/../tasked-tasks", "--embeddings", "vector")
        assert call(["tasks", "pool.parquet", *found, "--out", str(tmp_path / "p.parquet")])[0] == 0


# What a newer tasksel of the same layout may add


def versioned(folder):
    """Give every JSON file that says in which version of the layout it is."""
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "format_version" in content:
            yield path, content


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """Give the newest version with keys in every manifest that this tasksel knows nothing of."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    folder = copy(VERSIONS[-1], tmp_path_factory.mktemp("newer"))
    for path, content in versioned(folder):
        unknown = {"a_later_idea": {"of": ["a", 1, None]}, "versions": {"tasksel": "9.9.9"}}
        path.write_text(json.dumps({**content, **unknown}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", read(VERSIONS[-1], "readings.json"))
def test_keys_of_a_newer_tasksel_are_read_past(newer, key, name):
    check_reading(newer, read(VERSIONS[-1], "readings.json")[name])


@pytest.mark.parametrize("name", ["scored", "embedded", "taught", "trained"])
def test_a_stage_with_keys_of_a_newer_tasksel_is_continued(newer, key, name):
    written = made(newer / name)
    with inside(newer):
        code, printed = call(read(VERSIONS[-1], "commands.json")[name])
    assert code == 0, printed
    assert made(newer / name) == written


# Everything that is written says its version

UNVERSIONED = {
    "readings.json": "of the tests",
    "commands.json": "of the tests",
    "config.json": "of a model; of a plan, whose manifest has its hash",
    "generation_config.json": "of a model",
    "tokenizer.json": "of a model",
    "tokenizer_config.json": "of a model",
    "adapter_config.json": "of an adapter, in the layout of peft",
    "dataset_info.json": "of LLaMA-Factory",
    "report.json": "its folder's manifest has its hash",
    "results.json": "its folder's manifest is read first",
    "tasks.json": "its folder's manifest has its hash",
    "result.json": "of a study's training, whose folder is named by a hash that holds the version",
    "costs.json": "of a study's draw: seconds, which decide nothing",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_json_file_says_its_version_or_why_not(version):
    said = {path for path, _ in versioned(GOLDEN / version)}
    silent = [path for path in (GOLDEN / version).rglob("*.json") if path not in said]
    cells = [path for path in silent if "cells" in path.parts]
    assert all("identity" in json.loads(path.read_text(encoding="utf-8")) for path in cells)
    assert {path.name for path in silent if path not in cells} <= UNVERSIONED.keys()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_golden_file_is_large_or_knows_the_machine_that_wrote_it(version):
    paths = [path for path in (GOLDEN / version).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    assert not [
        path.name for path in paths if b"/tmp/" in path.read_bytes() or b"/home/" in path.read_bytes()
    ]
