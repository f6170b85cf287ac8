from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tasksel.assets import embedded_model_path
from tasksel.toy_world import TOY_TASKS, is_held_out

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_demo_model.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_demo_model", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder and output of a run of two steps."""
    out = tmp_path_factory.mktemp("model")
    command = [sys.executable, "-W", "error", SCRIPT, "--out", out, "--steps", "2", "--holdout-per-task", "1"]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return out, ran.stdout


def test_a_short_run_writes_a_model_that_loads(trained):
    out, _ = trained
    model = transformers.AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    assert (
        len(transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)) == model.config.vocab_size
    )
    assert json.loads((out / "training.json").read_text())["settings"]["steps"] == 2


def test_a_run_prints_every_task_and_the_mean_of_every_level(trained):
    _, printed = trained
    assert all(task.name in printed for task in TOY_TASKS)
    assert printed.count("\nmean ") == 5


def test_the_shipped_tokenizer_is_what_the_script_makes(trained):
    out, _ = trained
    name = "tokenizer.json"
    assert json.loads((out / name).read_text()) == json.loads((embedded_model_path() / name).read_text())


def test_the_shipped_model_was_trained_with_the_settings_that_the_script_has_now(script):
    training = json.loads((embedded_model_path() / "training.json").read_text(encoding="utf-8"))
    assert training["settings"] == json.loads(json.dumps(script.describe_settings(script.TrainingConfig())))


def test_every_family_has_its_share_of_every_level(script):
    coverage = script.assign_coverage(script.TrainingConfig())
    assert set(coverage) == {task.name for task in TOY_TASKS}
    levels = Counter(coverage.values())
    assert levels[script.Coverage.FAMILIAR] in range(22, 25)
    assert all(levels[level] in range(10, 13) for level in script.Coverage if level.value != "familiar")
    for family in {task.family for task in TOY_TASKS}:
        members = Counter(level for name, level in coverage.items() if name.startswith(family))
        assert set(members) == set(script.Coverage)


def test_another_seed_is_another_world(script):
    first, second = (script.assign_coverage(script.TrainingConfig(seed=seed)) for seed in (0, 1))
    assert first != second


def test_the_text_keeps_to_the_coverage_and_off_the_holdout(script):
    config = script.TrainingConfig()
    coverage = script.assign_coverage(config)
    covered = [task for task in TOY_TASKS if coverage[task.name] is not script.Coverage.ABSENT]
    by_wording = {}
    for task in TOY_TASKS:
        by_wording[task.instruction] = (task, True)
        by_wording[task.other_wording] = (task, False)
    seen = Counter()
    rng = script.toy_stream("test", 0)
    for _ in range(20_000):
        prompt, _ = script.draw_text(covered, coverage, config, rng)
        wording, task_input = prompt.removesuffix("\nOutput:\n").split("\nInput: ")
        task, is_pool_wording = by_wording[wording]
        assert not is_held_out(task, task_input)
        seen[coverage[task.name], is_pool_wording] += 1
    level = script.Coverage
    assert {found for found, _ in seen} == {level.FAMILIAR, level.RARE_INSTRUCTION, level.RENAMED}
    assert seen[level.RENAMED, True] == 0
    assert 0 < seen[level.RARE_INSTRUCTION, True] < 0.06 * seen[level.RARE_INSTRUCTION, False]
    assert seen[level.FAMILIAR, True] > 3 * seen[level.FAMILIAR, False]


def test_only_answer_and_end_token_are_learned(script):
    ids, labels = script.pad_examples([([5, 6, 7, 8], 2), ([9, 3], 1)], 0)
    assert ids.tolist() == [[5, 6, 7, 8], [9, 3, 0, 0]]
    assert labels.tolist() == [[-100, -100, 7, 8], [-100, 3, -100, -100]]
