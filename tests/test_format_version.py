"""A folder in a layout that this tasksel does not know is refused, by every verb that would read it."""

import ast
import json
import shutil
from pathlib import Path

import pytest

import tasksel
from golden_runs import call, inside
from tasksel.run_folder import FORMAT_VERSION, check_format_version, read_versioned
from tasksel_core.errors import ResumeError

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "data" / "golden_runs" / f"v{FORMAT_VERSION}"
SELECT = ("select", "pool.parquet", "--budget", "3", "--strategy", "weighted-task-diversity")
UNKNOWN = {
    "zero": 0,
    "negative": -1,
    "newer": FORMAT_VERSION + 1,
    "text": "1",
    "true": True,
    "null": None,
    "fraction": 1.0,
    "list": [1],
    "missing": "",
}
READERS = [
    ("scored/scores/manifest.json", (*SELECT, "--scores", "scored")),
    ("scored/scores/manifest.json", ("evaluate", "pool.parquet", "--scores", "scored", "--suite", "exact")),
    ("scored/scores/settings.json", "scored"),
    ("scored/scores/settings.json", ("status", "scored")),
    ("embedded/embeddings/manifest.json", ("tasks", "pool.parquet", "--embeddings", "embedded")),
    ("embedded/embeddings/settings.json", "embedded"),
    ("tasked-tasks/manifest.json", ("tasks", "pool.parquet", "--using", "tasked-tasks")),
    ("selected/manifest.json", ("explain", "selected")),
    ("selected/manifest.json", ("diff", "selected", "job/selection")),
    ("selected/manifest.json", ("report", "selected")),
    ("selected/manifest.json", ("status", "selected")),
    ("selected/manifest.json", "asked"),
    ("asked/export.json", ("annotate", "import", "asked", "--into", "elsewhere")),
    ("annotated/labels/manifest.json", ("annotate", "status", "annotated")),
    ("annotated/labels/manifest.json", (*SELECT, "--labelled", "annotated")),
    ("annotated/labels/manifest.json", "annotated"),
    ("annotated/labels/imports/0001.json", ("annotate", "status", "annotated")),
    ("taught/teacher/settings.json", "taught"),
    ("taught/labels/manifest.json", "taught"),
    ("trained/training/settings.json", "trained"),
    ("trained/training/manifest.json", "trained"),
    ("trained/training/manifest.json", ("status", "trained")),
    ("evaluated/exact/scores/settings.json", "evaluated"),
    ("evaluated/manifest.json", "evaluated"),
    ("job/job.json", "job"),
    ("job/job.json", ("explain", "job/selection")),
    ("job/stages/score.json", "job"),
    ("job/labelled/manifest.json", "job"),
    ("job/evaluation/manifest.json", ("report", "job")),
    ("rounds/rounds.json", "rounds"),
    ("rounds/rounds.json", ("report", "rounds")),
    ("rounds/rounds/01/round.json", "rounds"),
    ("rounds/rounds/01/labelled/manifest.json", "rounds"),
    ("study/study.json", "study"),
    ("study/study.json", ("report", "study")),
    ("synthesis/plan/manifest.json", ("synth", "status", "synthesis")),
    ("synthesis/plan/manifest.json", "synthesis/generation"),
    ("synthesis/plan/manifest.json", "synthesis"),
    ("synthesis/plan/manifest.json", ("report", "synthesis")),
    ("synthesis/generation/settings.json", "synthesis/generation"),
    ("synthesis/generation/manifest.json", ("report", "synthesis")),
    ("synthesis/validation/manifest.json", ("report", "synthesis")),
    ("synthesis/edge/manifest.json", "probed"),
    ("probed/settings.json", "probed"),
]
"""A file that says its version, and a verb that reads it: its arguments, or the name of a golden command."""


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    pytest.importorskip("jsonschema", reason="the extra synth is not installed")
    return Path(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("golden") / "runs"))


def ids(each):
    path, reader = each
    return f"{path}-{reader if isinstance(reader, str) else '-'.join(reader[:2])}".replace("/", "_")


def contents(folder, stamped):
    """Give every file but manifests: a job has none any more when one of its stages is refused."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and (path == stamped or path.name != "manifest.json")
    }


def stamp(path, version):
    """Write another version into a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["format_version"] = version
    if version == UNKNOWN["missing"]:
        del content["format_version"]
    path.write_text(json.dumps(content), encoding="utf-8")


# The one function


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_no_known_version_is_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / "manifest.json"
    path.write_text('{"stage": "select", "format_version": 1}', encoding="utf-8")
    assert read_versioned(path)["stage"] == "select"
    stamp(path, UNKNOWN[name])
    with pytest.raises(ResumeError) as caught:
        read_versioned(path)
    said = str(caught.value)
    shown = None if name == "missing" else UNKNOWN[name]
    assert said.startswith(f"{path} has format {shown!r}, this tasksel knows {FORMAT_VERSION}; ")
    assert said.endswith("or choose another folder.")
    assert "\n" not in said


def test_both_versions_of_tasksel_are_named():
    content = {"format_version": 7, "versions": {"tasksel": "3.2.1"}}
    with pytest.raises(
        ResumeError, match=rf"tasksel 3\.2\.1, so update tasksel, which is {tasksel.__version__} "
    ):
        check_format_version(content, Path("run/manifest.json"))


@pytest.mark.parametrize("versions", [None, 3, [], {}, {"tasksel": None}, {"tasksel": 4}])
def test_a_writer_that_is_not_named_is_a_newer_tasksel(versions):
    with pytest.raises(ResumeError, match="written by a newer tasksel, so update"):
        check_format_version({"format_version": 2, "versions": versions}, Path("manifest.json"))


# Everybody who reads


@pytest.mark.parametrize(("path", "reader"), READERS, ids=map(ids, READERS))
def test_a_newer_folder_is_refused_and_left_as_it_is(golden, monkeypatch, path, reader):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-golden")
    commands = json.loads((golden / "commands.json").read_text(encoding="utf-8"))
    stamp(golden / path, FORMAT_VERSION + 1)
    try:
        before = contents(golden, golden / path)
        with inside(golden):
            code, printed = call(list(commands[reader] if isinstance(reader, str) else reader))
        said = " ".join(printed.split())
        assert code == 2, printed
        assert f"format {FORMAT_VERSION + 1}, this tasksel knows {FORMAT_VERSION};" in said
        assert said.endswith("or choose another folder.")
        assert contents(golden, golden / path) == before
    finally:
        shutil.copytree(GOLDEN, golden, dirs_exist_ok=True)


def calls_of_read_json():
    """Give the modules that read JSON without looking at its version, and how often."""
    for path in sorted((ROOT / "python" / "tasksel").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            each.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "tasksel.run_folder"
            for each in node.names
        }
        n_calls = sum(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "read_json"
            for node in ast.walk(tree)
        )
        if "read_json" in names and n_calls:
            yield path.relative_to(ROOT / "python" / "tasksel").as_posix(), n_calls


WITHOUT_A_VERSION = {
    "annotation/answer_files.py": 2,  # a folder's stage; an export, looked at once it is known as one
    "annotation/export.py": 1,  # where a project was uploaded to: an address and a number
    "embedding_shards.py": 1,  # which verb made a folder, whose manifest is read afterwards
    "job/stages_evaluation.py": 1,  # figures, whose hash the manifest has that is read before
    "report/report.py": 1,  # a folder's stage; a selection is read afterwards
    "report/run_report.py": 2,  # the same; figures beside a manifest that is read
    "report/synthesis_report.py": 2,  # a plan's configuration and results, beside manifests that are read
    "rounds/gains.py": 1,  # figures beside a manifest that is read
    "run_folder_identity.py": 1,  # compared by refuse_changes, which looks at the version
    "run_status_shards.py": 1,  # refuse_other_formats looks before
    "selection_files.py": 1,  # looked at once it is known as a selection's
    "shard_identity.py": 1,  # the version is a part of the identity that is compared
    "study/cells.py": 3,  # a hash that holds the version names or begins each
    "study/draws.py": 1,  # seconds, which decide nothing
    "study/results.py": 1,  # a cell that spend_cell has looked at
    "study/runner.py": 1,  # gains that this run has written
    "study/trainings.py": 1,  # its folder is named by a hash that holds the version
    "synthesis/config_file.py": 1,  # beside a manifest that is read
    "synthesis/generation_replay.py": 1,  # real texts that requests showed, beside settings that are read
    "task_discovery/task_model_files.py": 3,  # a stage; looked at once known as a task model; its content
    "training_state.py": 1,  # inside a checkpoint, of a folder whose settings were looked at
}


def test_nobody_else_reads_json_without_its_version():
    assert dict(calls_of_read_json()) == WITHOUT_A_VERSION
