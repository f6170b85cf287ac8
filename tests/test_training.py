from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tasksel import train
from tasksel.causal_model import load_model
from tasksel.cli import app
from tasksel.generation import generate
from tasksel.prompt_encoding import PromptEncoder
from tasksel.run_folder import folder_lock
from tasksel.training_state import read_loss_rows
from tasksel_core.errors import AnnotationError, ConfigError, ResumeError, SchemaError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
pytest.importorskip("peft", reason="the extra hf is not installed")
torch.set_num_threads(1)

N = 23
SETTINGS = {
    "r": 4,
    "batch_size": 8,
    "epochs": 3,
    "learning_rate": 3e-3,
    "device": "cpu",
    "checkpoint_every_s": 0.0,
}


@pytest.fixture(scope="module")
def selection():
    return pl.DataFrame(
        {
            "id": [f"row-{number}" for number in range(N)],
            "prompt": [f"prompt {number} " + "word " * (number % 7) + "\n" for number in range(N)],
            "response": ["yes" if number % 2 else "no, never" for number in range(N)],
        }
    )


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return str(tiny_model_folder)


@pytest.fixture(scope="module")
def finished(selection, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return train(selection, model=model, out=out, **SETTINGS), out / "training"


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[1], tmp_path / "training")
    return tmp_path


def read_bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refuse_loading(*_, **__):
    raise AssertionError("the model was loaded")


def read_losses(out):
    return pl.read_csv(Path(out) / "training" / "loss.csv")["loss"].to_numpy()


def test_a_training_writes_an_adapter_a_curve_and_last_a_manifest(selection, finished):
    summary, folder = finished
    assert {*read_bytes(folder)} == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "loss.csv",
        "manifest.json",
        "settings.json",
    }
    assert (summary.examples, summary.epochs, summary.steps, summary.steps_reused) == (N, 3, 9, 0)
    assert summary.adapter == str(folder / "adapter")
    assert summary.model is None
    assert summary.loss_by_epoch[-1] < summary.loss_by_epoch[0]
    assert 0 < summary.trained_parameters < summary.parameters
    curve = pl.read_csv(folder / "loss.csv")
    assert curve.columns == ["step", "epoch", "learning_rate", "loss", "tokens"]
    assert curve["step"].to_list() == list(range(1, 10))
    assert curve["epoch"][-1] == 3.0
    assert curve["tokens"].sum() == summary.tokens
    assert json.loads(json.dumps(summary.to_dict()))["steps"] == 9


def test_the_learning_rate_rises_and_falls_linearly(selection, model, tmp_path):
    train(selection, model=model, out=tmp_path, **(SETTINGS | {"warmup_ratio": 0.3}))
    rates = pl.read_csv(tmp_path / "training" / "loss.csv")["learning_rate"].to_numpy() / 3e-3
    np.testing.assert_allclose(rates, [0, 1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6], atol=1e-12)


def test_the_manifest_names_inputs_settings_versions_figures_and_files(finished, model):
    manifest = json.loads((finished[1] / "manifest.json").read_text())
    assert manifest["selection"]["rows"] == N
    assert manifest["model"]["name"] == model
    assert manifest["settings"]["device"] == "cpu"
    assert manifest["settings"]["dtype"] == "float32"
    assert {"torch", "transformers", "peft", "tasksel"} <= set(manifest["versions"])
    assert manifest["figures"]["steps"] == 9
    assert [each["name"] for each in manifest["files"]] == [
        "loss.csv",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    ]
    assert str(finished[1]) not in (finished[1] / "manifest.json").read_text()


def test_the_first_loss_is_that_of_the_base_model(selection, model, finished):
    # One step over all, before anything is learned; the adapter begins as nothing.
    causal_model = load_model(model, device="cpu")
    total, tokens = 0.0, 0
    for prompt, response in selection.select("prompt", "response").iter_rows():
        prompt_ids = causal_model.tokenizer(prompt)["input_ids"]
        ids = causal_model.tokenizer(prompt + response)["input_ids"] + [causal_model.eos_ids[0]]
        assert ids[: len(prompt_ids)] == prompt_ids
        with torch.no_grad():
            logits = causal_model.model(torch.tensor([ids])).logits[0].double()
        n = len(ids) - len(prompt_ids)
        total -= float(logits.log_softmax(-1)[range(-n - 1, -1), ids[-n:]].sum())
        tokens += n
    curve = pl.read_csv(finished[1] / "loss.csv").head(1)
    assert curve["learning_rate"].item() == 0.0
    assert abs(total / tokens - finished[0].loss_by_epoch[0]) / (total / tokens) < 0.2


def test_the_same_inputs_give_the_same_bytes(selection, model, finished, tmp_path):
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    train(selection, model=model, out=tmp_path, **SETTINGS)
    assert read_bytes(tmp_path / "training") == read_bytes(finished[1])
    assert torch.equal(torch.random.get_rng_state(), state), "the caller's generator was moved"


def test_another_seed_is_another_training(selection, model, finished, tmp_path):
    train(selection, model=model, out=tmp_path, **(SETTINGS | {"seed": 1}))
    assert not np.allclose(read_losses(tmp_path), read_losses(finished[1].parent))


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("stop_after", [1, 3, 8])
def test_a_resumed_training_ends_in_the_same_bytes(selection, model, finished, tmp_path, stop_after, full):
    settings = SETTINGS | {"full": full}
    folder = finished[1]
    if full:
        train(selection, model=model, out=tmp_path / "whole", **settings)
        folder = tmp_path / "whole" / "training"

    def stop(steps_done, steps_total, tokens_done):
        if steps_done > stop_after:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(selection, model=model, out=tmp_path / "cut", progress=stop, **settings)
    assert (tmp_path / "cut" / "training" / f"checkpoint-{stop_after}").is_dir()
    summary = train(selection, model=model, out=tmp_path / "cut", **settings)
    assert summary.steps_reused == stop_after
    assert read_bytes(tmp_path / "cut" / "training") == read_bytes(folder)


def test_other_library_versions_go_on_with_a_note(selection, model, finished, tmp_path):
    def stop(steps_done, steps_total, tokens_done):
        if steps_done > 7:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(selection, model=model, out=tmp_path, progress=stop, **SETTINGS)
    path = tmp_path / "training" / "settings.json"
    settings = json.loads(path.read_text())
    settings["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(settings))
    summary = train(selection, model=model, out=tmp_path, **SETTINGS)
    assert summary.steps_reused == 7
    (note,) = [note for note in summary.notes if "library versions" in note]
    assert note.startswith("Continued with other library versions than it was begun with (torch 1.0 → ")


def test_leftovers_of_a_kill_while_saving_are_removed(selection, model, finished, tmp_path):
    half = tmp_path / "training" / ".checkpoint.tmp" / "checkpoint-4"
    half.mkdir(parents=True)
    (half / "optimizer.pt").write_bytes(b"half")
    summary = train(selection, model=model, out=tmp_path, **SETTINGS)
    assert summary.steps_reused == 0
    assert read_bytes(tmp_path / "training") == read_bytes(finished[1])


def test_a_finished_training_is_recognised_without_the_model(selection, model, copy, finished, monkeypatch):
    monkeypatch.setattr("tasksel.training.load_model", refuse_loading)
    (copy / "training" / "checkpoint-8").mkdir()
    calls = []
    summary = train(selection, model=model, out=copy, progress=lambda *call: calls.append(call), **SETTINGS)
    assert summary.steps_reused == summary.steps == 9
    assert summary.loss_by_epoch == finished[0].loss_by_epoch
    assert calls == [(9, 9, summary.tokens)]
    assert read_bytes(copy / "training") == read_bytes(finished[1])
    assert not (copy / "training" / "checkpoint-8").exists()


def test_progress_counts_up_to_all_steps(selection, model, tmp_path):
    calls = []
    train(selection, model=model, out=tmp_path, progress=lambda *call: calls.append(call), **SETTINGS)
    assert calls[0] == (0, 9, 0)
    assert [call[0] for call in calls] == list(range(10))
    assert all(before[2] < after[2] for before, after in pairwise(calls))


def test_a_damaged_adapter_is_named_and_made_again(selection, model, copy, finished):
    (copy / "training" / "adapter" / "adapter_model.safetensors").write_bytes(b"broken")
    summary = train(selection, model=model, out=copy, **SETTINGS)
    assert any("adapter_model.safetensors was missing or damaged" in note for note in summary.notes)
    assert read_bytes(copy / "training") == read_bytes(finished[1])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"r": 8}, "r 4 → 8"),
        ({"epochs": 2}, "epochs 3 → 2"),
        ({"learning_rate": 1e-3}, "learning_rate 0.003 → 0.001"),
        ({"full": True}, "full false → true"),
        ({"prompt_template": "Q: {prompt}"}, 'prompt_template null → "Q: {prompt}"'),
        ({"dtype": "bfloat16"}, 'dtype "float32" → "bfloat16"'),
    ],
    ids=str,
)
def test_a_changed_setting_is_refused_by_name(selection, model, copy, changed, sentence):
    with pytest.raises(ResumeError) as refused:
        train(selection, model=model, out=copy, **(SETTINGS | changed))
    assert sentence in str(refused.value)
    assert "Choose another output folder, or delete" in str(refused.value)


def test_a_changed_selection_or_model_is_refused(selection, model, copy, save_tiny_model, tmp_path):
    with pytest.raises(ResumeError, match=r"selection <frame> \(23 rows, .*→ <frame> \(22 rows"):
        train(selection.head(22), model=model, out=copy, **SETTINGS)
    edited = selection.with_columns(pl.col("response").replace("yes", "no"))
    with pytest.raises(ResumeError, match="selection"):
        train(edited, model=model, out=copy, **SETTINGS)
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ResumeError, match=r"model .* → .*other"):
        train(selection, model=str(other), out=copy, **SETTINGS)


def test_what_decides_only_how_fast_may_change(selection, model, tmp_path, finished):
    def stop(steps_done, steps_total, tokens_done):
        if steps_done > 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(selection, model=model, out=tmp_path, progress=stop, **(SETTINGS | {"dropout": 0.0}))
    changed = {"device_batch_tokens": 50, "gradient_checkpointing": True, "checkpoint_every_s": 60.0}
    train(selection, model=model, out=tmp_path, **(SETTINGS | {"dropout": 0.0} | changed))
    train(selection, model=model, out=tmp_path / "whole", **(SETTINGS | {"dropout": 0.0}))
    np.testing.assert_allclose(read_losses(tmp_path), read_losses(tmp_path / "whole"), rtol=1e-4)


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize(
    "changed",
    [{"packing": True}, {"packing": True, "max_tokens": 60}, {"gradient_checkpointing": True}],
    ids=["packed", "packed-short", "checkpointed"],
)
def test_packing_and_checkpointing_change_no_loss(selection, model, tmp_path, changed, full):
    settings = SETTINGS | {"dropout": 0.0, "full": full, "learning_rate": 1e-3}
    train(selection, model=model, out=tmp_path / "plain", **settings)
    train(selection, model=model, out=tmp_path / "other", **(settings | changed))
    np.testing.assert_allclose(read_losses(tmp_path / "other"), read_losses(tmp_path / "plain"), rtol=1e-4)


def test_bfloat16_trains_where_it_is_asked_for(selection, model, tmp_path, finished):
    train(selection, model=model, out=tmp_path, **(SETTINGS | {"dtype": "bfloat16"}))
    np.testing.assert_allclose(read_losses(tmp_path), read_losses(finished[1].parent), rtol=0.1)
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "training" / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def answer(causal_model, prompts):
    encoder = PromptEncoder(causal_model, prompt_template=None, max_new_tokens=8)
    encoded = encoder.encode(prompts)
    return [generate(causal_model, [each.token_ids], max_new_tokens=8)[0].text for each in encoded]


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_the_trained_model_gives_the_responses(model, tmp_path, full):
    selection = pl.DataFrame({"prompt": ["one\n", "two\n"], "response": ["yes", "no"]})
    rate = {"learning_rate": 3e-3 if full else 3e-2}
    settings = SETTINGS | rate | {"full": full, "epochs": 60, "dropout": 0.0, "checkpoint_every_s": 60.0}
    summary = train(selection, model=model, out=tmp_path, **settings)
    trained = load_model(summary.model or model, adapter=summary.adapter, device="cpu")
    assert answer(trained, ["one\n", "two\n"]) == ["yes", "no"]
    if not full:
        merged = train(selection, model=model, out=tmp_path, merge=True, **settings)
        assert merged.steps_reused == merged.steps
        assert answer(load_model(merged.model, device="cpu"), ["one\n", "two\n"]) == ["yes", "no"]
        assert any(
            each["name"] == "model/model.safetensors"
            for each in json.loads((tmp_path / "training" / "manifest.json").read_text())["files"]
        )


@pytest.mark.parametrize("full", [False, True], ids=["merged", "full"])
def test_a_whole_model_is_stored_in_the_dtype_of_its_base(selection, model, tmp_path, full):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(model, dtype="bfloat16").save_pretrained(half)
    AutoTokenizer.from_pretrained(model).save_pretrained(half)
    settings = SETTINGS | {"epochs": 1, "full": full, "merge": not full}
    summary = train(selection, model=str(half), out=tmp_path, **settings)
    tensors = load_file(Path(summary.model) / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    load_model(summary.model)


def test_target_modules_can_be_named(selection, model, tmp_path):
    summary = train(selection, model=model, out=tmp_path, **(SETTINGS | {"target_modules": "v_proj, q_proj"}))
    config = json.loads((Path(summary.adapter) / "adapter_config.json").read_text())
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert config["base_model_name_or_path"] == model
    with pytest.raises(
        ConfigError, match=r"which this model lacks; its linear layers are down_proj, .*v_proj"
    ):
        train(selection, model=model, out=tmp_path / "other", **(SETTINGS | {"target_modules": "nothing"}))


@pytest.mark.parametrize("response", [None, "", " \n"])
def test_missing_responses_are_counted_and_the_column_named(selection, model, tmp_path, response):
    holes = selection.with_columns(
        response=pl.when(pl.int_range(pl.len()).is_in([4, 9])).then(pl.lit(response)).otherwise("response")
    )
    with pytest.raises(
        AnnotationError, match=r"2 of 23 rows have no response .*'row-4'.* the column response"
    ):
        train(holes, model=model, out=tmp_path, **SETTINGS)
    with pytest.raises(AnnotationError, match=r"23 of 23 rows have no .*there is no column response"):
        train(selection.drop("response"), model=model, out=tmp_path, **SETTINGS)
    assert not (tmp_path / "training").exists()


def test_other_mistakes_are_one_sentence(selection, model, tmp_path, monkeypatch):
    with pytest.raises(SchemaError, match="does not exist"):
        train(tmp_path / "nothing.parquet", model=model, out=tmp_path, **SETTINGS)
    with pytest.raises(SchemaError, match="no rows"):
        train(selection.head(0), model=model, out=tmp_path, **SETTINGS)
    with folder_lock(tmp_path / "training"), pytest.raises(ResumeError, match="in use"):
        train(selection, model=model, out=tmp_path, **SETTINGS)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs on one device"):
        train(selection, model=model, out=tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"r": 0}, "r is 0; a whole number of at least 1"),
        ({"epochs": 2.5}, r"epochs is 2\.5; a whole number"),
        ({"batch_size": True}, "batch_size is True"),
        ({"seed": -1}, "seed is -1; a whole number of at least 0"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"dropout": 1.0}, r"dropout is 1\.0; a number of at least 0 and below 1"),
        ({"warmup_ratio": -0.1}, r"warmup_ratio is -0\.1"),
        ({"checkpoint_every_s": -1.0}, r"checkpoint_every_s is -1\.0; a number of at least 0"),
        ({"trainer": "mine"}, "allowed are transformers, trl"),
        ({"dtype": "float16"}, "allowed are auto, bfloat16, float32"),
        ({"target_modules": " ,"}, "target_modules is"),
        ({"prompt_template": "Q"}, "0 times"),
        ({"full": True, "merge": True}, "no adapter to merge"),
        ({"trainer": "trl", "packing": True}, "leave one of the two out"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(selection, model, tmp_path, changed, sentence):
    with pytest.raises(ConfigError, match=sentence):
        train(selection, model=model, out=tmp_path, **(SETTINGS | changed))
    assert not (tmp_path / "training").exists()


def test_a_loss_that_is_not_finite_stops_the_training(selection, model, tmp_path):
    with pytest.raises(Exception, match=r"The loss is (nan|inf) at step \d+; lower the learning rate"):
        train(
            selection,
            model=model,
            out=tmp_path,
            **(SETTINGS | {"learning_rate": 1e20, "full": True, "epochs": 9}),
        )


def test_a_device_without_memory_is_one_sentence(selection, model, tmp_path, monkeypatch):
    def run_out(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("tasksel.training_loop.response_loss", run_out)
    with pytest.raises(
        ConfigError, match=r"does not fit .* lower device_batch_tokens \(it is 8,192\), or switch"
    ):
        train(selection, model=model, out=tmp_path, **SETTINGS)


def test_truncation_is_told(selection, model, tmp_path):
    longer = selection.with_columns(prompt=pl.col("prompt") + "0123456789" * 20)
    summary = train(longer, model=model, out=tmp_path, **(SETTINGS | {"epochs": 1}))
    assert summary.truncated_prompts == N
    assert any("23 of 23 prompts were cut from the left" in note for note in summary.notes)


def test_an_unfinished_checkpoint_without_its_figures_is_named(selection, model, tmp_path):
    def stop(steps_done, steps_total, tokens_done):
        if steps_done > 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(selection, model=model, out=tmp_path, progress=stop, **SETTINGS)
    checkpoint = tmp_path / "training" / "checkpoint-2"
    assert [row.step for row in read_loss_rows(checkpoint)] == [1, 2]
    (checkpoint / "progress.json").write_text("{}")
    with pytest.raises(ResumeError, match="is damaged"):
        train(selection, model=model, out=tmp_path, **SETTINGS)


def test_trl_missing_is_one_sentence(selection, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r'Training with trl needs .*"tasksel\[trl\]"'):
        train(selection, model=model, out=tmp_path, **(SETTINGS | {"trainer": "trl"}))


@pytest.mark.filterwarnings("default")
def test_trl_trains_the_same_tokens_and_resumes(selection, model, tmp_path, finished):
    pytest.importorskip("trl", reason="the extra trl is not installed")
    settings = SETTINGS | {"trainer": "trl", "dropout": 0.0}

    def stop(steps_done, steps_total, tokens_done):
        if steps_done > 4:
            raise StoppedError

    whole = train(selection, model=model, out=tmp_path / "whole", **settings)
    with pytest.raises(StoppedError):
        train(selection, model=model, out=tmp_path / "cut", progress=stop, **settings)
    resumed = train(selection, model=model, out=tmp_path / "cut", **settings)
    assert resumed.steps_reused == 4
    assert (whole.steps, whole.tokens) == (finished[0].steps, finished[0].tokens)
    np.testing.assert_allclose(read_losses(tmp_path / "cut"), read_losses(tmp_path / "whole"), rtol=1e-6)
    np.testing.assert_allclose(whole.loss_by_epoch, finished[0].loss_by_epoch, rtol=0.1)


def test_the_command_trains_and_tells(selection, model, tmp_path):
    path = tmp_path / "selected.jsonl"
    selection.write_ndjson(path)
    command = ["train", str(path), "--model", model, "--out", str(tmp_path), "--r", "4", "--epochs", "2"]
    first = CliRunner().invoke(app, [*command, "--batch-size", "8", "--device", "cpu"])
    assert first.exit_code == 0, first.output
    assert "23 examples: 6 steps, 2 epochs" in " ".join(first.stdout.split())
    assert "Loss by epoch" in first.stdout
    second = CliRunner().invoke(app, [*command, "--batch-size", "8", "--device", "cpu", "--json"])
    assert json.loads(second.stdout)["steps_reused"] == 6
    quiet = CliRunner().invoke(app, [*command, "--batch-size", "8", "--quiet"])
    assert (quiet.exit_code, quiet.stdout) == (0, "")
    refused = CliRunner().invoke(app, [*command, "--batch-size", "9"])
    assert refused.exit_code == 2
    assert "batch_size 8 → 9" in " ".join(refused.stderr.split())


def test_importing_the_module_imports_no_torch():
    code = "import sys, tasksel.training; print({'torch', 'transformers', 'peft'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
