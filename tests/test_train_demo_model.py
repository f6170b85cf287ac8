from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tasksel import score, train
from tasksel.assets import embedded_model_path
from tasksel.toy_world import (
    LONG_ANSWER_TASKS,
    TOY_TASKS,
    draw_toy_examples,
    is_held_out,
    make_toy_pool,
    toy_stream,
)

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

import base_model_network as network  # noqa: E402 - needs torch
import base_model_settings as settings  # noqa: E402
import base_model_text as text  # noqa: E402
import small_models  # noqa: E402
import train_demo_model as script  # noqa: E402

SCRIPT = Path(script.__file__)
Coverage = settings.Coverage
TrainingConfig = settings.TrainingConfig
has_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch is too old for the script")


def config_of(*options):
    return script.make_config(script.build_parser().parse_args(["--out", "unused", *options]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder and output of a run of two steps."""
    out = tmp_path_factory.mktemp("model")
    command = [sys.executable, "-W", "error", SCRIPT, "--out", out, "--steps", "2", "--holdout-per-task", "1"]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    return out, ran.stdout


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(embedded_model_path(), local_files_only=True)


@has_muon
def test_a_short_run_writes_a_model_that_loads(trained):
    out, _ = trained
    model = transformers.AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    assert (
        len(transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)) == model.config.vocab_size
    )
    assert json.loads((out / "training.json").read_text())["settings"]["steps"] == 2


@has_muon
def test_a_run_prints_every_task_and_the_mean_of_every_level(trained):
    _, printed = trained
    assert all(task.name in printed for task in TOY_TASKS)
    assert printed.count("\nmean ") == 5


@has_muon
def test_the_shipped_tokenizer_is_what_the_script_makes(trained):
    out, _ = trained
    name = "tokenizer.json"
    assert json.loads((out / name).read_text()) == json.loads((embedded_model_path() / name).read_text())


def test_the_shipped_model_was_trained_with_the_settings_that_the_script_has_now():
    training = json.loads((embedded_model_path() / "training.json").read_text(encoding="utf-8"))
    assert training["settings"] == json.loads(json.dumps(settings.describe_settings(config_of())))


def test_without_options_the_settings_are_the_shipped_models():
    assert config_of() == TrainingConfig()


def test_a_setting_that_departs_from_the_shipped_models_is_recorded():
    described = settings.describe_settings(config_of("--architecture", "opt", "--world", "long-answers"))
    assert described["architecture"] == "opt"
    assert described["world"] == "long-answers"
    assert described["max_new_tokens"] > 400


@pytest.mark.parametrize("world", settings.WORLD_TASKS)
def test_every_family_has_its_share_of_every_level(world):
    config = config_of("--world", world)
    coverage = settings.assign_coverage(config)
    assert set(coverage) == {task.name for task in config.tasks}
    levels = Counter(coverage.values())
    tenth = len(config.tasks) / 10
    assert abs(levels[Coverage.FAMILIAR] - 4 * tenth) < 2
    assert all(abs(levels[level] - 2 * tenth) < 2 for level in Coverage if level.value != "familiar")
    for family in {task.family for task in config.tasks}:
        members = Counter(level for name, level in coverage.items() if name.startswith(family))
        assert set(members) == set(Coverage)


def test_mixes_differ_in_what_is_familiar():
    known = {}
    for mix in settings.COVERAGE_MIXES:
        levels = Counter(settings.assign_coverage(config_of("--coverage", mix)).values())
        assert set(levels) == set(Coverage)
        known[mix] = levels[Coverage.FAMILIAR] + levels[Coverage.RARE_INSTRUCTION]
    assert known["hard"] < 0.35 * len(TOY_TASKS)
    assert known["hard"] < known["mixed"] < known["easy"]
    assert known["easy"] > 0.75 * len(TOY_TASKS)


def test_another_seed_is_another_world():
    first, second = (settings.assign_coverage(TrainingConfig(seed=seed)) for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize(("world", "n_texts"), [("toy", 20_000), ("long-answers", 8_000)])
def test_the_text_keeps_to_the_coverage_and_off_the_holdout(world, n_texts):
    config = config_of("--world", world)
    coverage = settings.assign_coverage(config)
    covered = [task for task in config.tasks if coverage[task.name] is not Coverage.ABSENT]
    by_wording = {}
    for task in config.tasks:
        by_wording[task.instruction] = (task, True)
        by_wording[task.other_wording] = (task, False)
    seen = Counter()
    rng = toy_stream("test", 0)
    for _ in range(n_texts):
        prompt, answer = text.draw_text(covered, coverage, config, rng)
        if prompt == f"Input: {answer}\n":
            seen["repeated"] += 1
            continue
        wording, task_input = prompt.removesuffix("\nOutput:\n").split("\nInput: ")
        task, is_pool_wording = by_wording[wording]
        assert not is_held_out(task, task_input)
        seen[coverage[task.name], is_pool_wording] += 1
    assert seen.pop("repeated", 0) / n_texts == pytest.approx(config.repetition_share, abs=0.02)
    assert {found for found, _ in seen} == {Coverage.FAMILIAR, Coverage.RARE_INSTRUCTION, Coverage.RENAMED}
    assert seen[Coverage.RENAMED, True] == 0
    assert 0 < seen[Coverage.RARE_INSTRUCTION, True] < 0.06 * seen[Coverage.RARE_INSTRUCTION, False]
    assert seen[Coverage.FAMILIAR, True] > 3 * seen[Coverage.FAMILIAR, False]


def test_only_answer_and_end_token_are_learned():
    ids, labels = text.pad_examples([([5, 6, 7, 8], 2), ([9, 3], 1)], 0)
    assert ids.tolist() == [[5, 6, 7, 8], [9, 3, 0, 0]]
    assert labels.tolist() == [[-100, -100, 7, 8], [-100, 3, -100, -100]]


def test_long_answers_have_three_to_four_hundred_tokens():
    config = dataclasses.replace(config_of("--world", "long-answers"), tokenizer_texts_per_task=60)
    tokenizer = text.train_tokenizer(config)
    lengths = [
        len(ids)
        for task in LONG_ANSWER_TASKS
        for ids in tokenizer([x.answer for x in draw_toy_examples(task, 30, toy_stream("test", 1))])[
            "input_ids"
        ]
    ]
    assert min(lengths) >= 3
    assert 300 < max(lengths) < config.max_new_tokens


@has_muon
@pytest.mark.parametrize("architecture", network.ARCHITECTURES)
def test_every_architecture_learns_and_is_about_as_large(architecture, tokenizer):
    config = config_of("--architecture", architecture, "--steps", "12")
    model = network.build_model(tokenizer, config)
    ids = torch.arange(40).reshape(2, 20)
    labels = ids.masked_fill(torch.arange(20) < 10, -100)
    before = network.answer_loss(model, ids, labels)
    # The head is cut to the labelled tokens; the network's own loss takes all of them.
    torch.testing.assert_close(before, model(input_ids=ids, labels=labels).loss)
    optimizers = small_models.build_optimizers(
        model,
        matrix_learning_rate=0.02,
        embedding_learning_rate=4e-3,
        adam_betas=(0.9, 0.98),
        weight_decay=0.05,
    )
    matrices = optimizers[0].param_groups[0]["params"]
    assert sum(matrix.numel() for matrix in matrices) == pytest.approx(2 * 10 * 128**2, rel=0.05)
    assert network.train_model(model, tokenizer, config) < before


@pytest.mark.parametrize("architecture", network.ARCHITECTURES)
def test_tasksel_scores_and_trains_every_architecture(architecture, tokenizer, tmp_path):
    model = network.build_model(tokenizer, config_of("--architecture", architecture))
    small_models.save_model(tmp_path / "base", model, tokenizer, max_new_tokens=16)
    pool = make_toy_pool(0, n_tasks=4, largest=6)
    chosen = {"model": str(tmp_path / "base"), "device": "cpu"}
    assert score(pool, out=tmp_path, max_new_tokens=4, **chosen).rows == pool.height
    summary = train(pool, out=tmp_path, full=True, learning_rate=1e-3, epochs=4, batch_size=8, **chosen)
    assert summary.loss_by_epoch[-1] < summary.loss_by_epoch[0]
    assert summary.trained_parameters == model.num_parameters()


@pytest.mark.parametrize(("width", "n_parameters"), [(64, 163_000), (192, 1_352_000)])
def test_width_and_depth_can_be_chosen(width, n_parameters, tokenizer):
    config = config_of("--hidden-size", str(width), "--layers", str(2 if width == 64 else 3))
    model = network.build_model(tokenizer, config)
    assert model.num_parameters() == pytest.approx(n_parameters, rel=0.01)
    assert model.config.num_attention_heads * 32 == width


@pytest.mark.parametrize("width", ["0", "-32", "100"])
def test_a_width_that_no_heads_fit_into_is_refused(width, capsys):
    with pytest.raises(SystemExit):
        config_of(f"--hidden-size={width}")
    assert f"{width} is not a multiple of 32, the size of a head" in capsys.readouterr().err
