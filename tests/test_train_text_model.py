from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

import train_text_model  # noqa: E402 (needs the extra hf)
from small_models import train_byte_bpe  # noqa: E402 (needs the extra hf)

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SCRIPT = Path(train_text_model.__file__)
SENTENCE = "a rolling stone that nobody has ever seen before gathers hardly any moss in the valley"


@pytest.fixture
def data(tmp_path):
    """Folder of hand-written files in the shape of the real ones."""
    dolly = [
        {"instruction": " Why? ", "context": "", "response": "Because.", "category": "qa", "id": "1"},
        {"instruction": "Sum up.", "context": "A text.", "response": "It.\n", "category": "qa", "id": "2"},
        {"instruction": "Nothing?", "context": "", "response": " ", "category": "qa", "id": "3"},
        {"instruction": "Say it.", "context": "", "response": SENTENCE, "category": "qa", "id": "4"},
    ]
    (tmp_path / "dolly_raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dolly))
    t0 = pl.DataFrame({"id": ["a", "b"], "task": "t", "prompt": ["Is it?\n", "Is it?"], "response": "Yes"})
    t0.with_columns(pl.col("response") + "<|endoftext|>").write_parquet(tmp_path / "t0_sample.parquet")
    world = pl.DataFrame({"id": ["n"], "task": "ni", "prompt": f"Define: {SENTENCE}.", "response": "moss"})
    for name in train_text_model.WORLD_FILES:
        world.write_parquet(tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe([SENTENCE] * 3, vocabulary_size=300, context_tokens=64)


def test_a_document_is_a_prompt_and_its_response_on_the_next_line(data):
    documents = train_text_model.read_documents(data)
    assert documents.select("task", "prompt").rows() == [
        ("dolly", "Why?\nBecause."),
        ("dolly", "Sum up.\n\nA text.\nIt."),
        ("dolly", f"Say it.\n{SENTENCE}"),
        ("t0", "Is it?\nYes"),
    ]


def test_documents_that_share_words_with_the_world_are_left_out(data):
    documents = train_text_model.read_documents(data)
    divided = train_text_model.divide_documents(documents, data, held_out_every=2)
    assert divided.overlapping == 1
    texts = [*divided.trained["prompt"], *divided.held_out["prompt"]]
    assert sorted(texts) == ["Is it?\nYes", "Sum up.\n\nA text.\nIt.", "Why?\nBecause."]
    assert all(train_text_model.is_held_out_text(text, 2) for text in divided.held_out["prompt"])
    assert not any(train_text_model.is_held_out_text(text, 2) for text in divided.trained["prompt"])


def test_a_long_document_keeps_its_end(tokenizer):
    whole, cut = (train_text_model.encode_documents([SENTENCE], tokenizer, n)[0] for n in (1000, 5))
    assert tokenizer.decode(whole[:-1]) == SENTENCE
    assert cut.tolist() == whole[-5:].tolist()
    assert cut[-1] == tokenizer.eos_token_id


def test_a_quoted_end_token_is_text(tokenizer):
    (ids,) = train_text_model.encode_documents([f"a {tokenizer.eos_token} b"], tokenizer, 100)
    assert (ids == tokenizer.eos_token_id).sum() == 1


@pytest.mark.parametrize(("n_tokens", "n_rows"), [(0, 0), (1, 0), (4, 0), (5, 1), (8, 1), (9, 2)])
def test_rows_hold_each_token_and_its_successor_once(n_tokens, n_rows):
    tokens = np.arange(n_tokens)
    rows = train_text_model.pack_rows(np.array_split(tokens, 3), 4)
    assert rows.shape == (n_rows, 5)
    assert rows[:, :-1].ravel().tolist() == tokens[: 4 * n_rows].tolist()
    assert rows[:, 1:].ravel().tolist() == tokens[1 : 4 * n_rows + 1].tolist()


def test_every_pass_has_all_documents_in_an_order_of_its_own():
    config = train_text_model.TrainingConfig(row_tokens=4, batch_rows=2)
    documents = [np.array([n]) for n in range(17)]
    batches = train_text_model.draw_batches(documents, config)
    first, second = (torch.cat([next(batches), next(batches)]) for _ in range(2))
    assert len(first[:, :-1].unique()) == len(second[:, :-1].unique()) == 16
    assert not torch.equal(first, second)
    assert torch.equal(next(train_text_model.draw_batches(documents, config)), first[:2])


def test_too_little_text_for_a_step_is_said():
    config = train_text_model.TrainingConfig(row_tokens=4, batch_rows=2)
    with pytest.raises(SystemExit, match="fills 1 rows; one step takes 2"):
        next(train_text_model.draw_batches([np.arange(8)], config))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data are not beside this checkout")
@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch is too old for the script")
def test_a_short_run_on_real_text_writes_a_model_that_loads(tmp_path):
    data, out = tmp_path / "data", tmp_path / "model"
    data.mkdir()
    pl.read_ndjson(SHARED / "dolly_raw.jsonl").head(150).write_ndjson(data / "dolly_raw.jsonl")
    for name in ("t0_sample.parquet", *train_text_model.WORLD_FILES):
        pl.read_parquet(SHARED / name).gather_every(100).write_parquet(data / name)
    settings = ["--steps", "2", "--dtype", "float32", "--seed", "3"]
    command = [sys.executable, "-W", "error", SCRIPT, "--data", data, "--out", out, *settings]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ran.returncode == 0, ran.stderr
    model = transformers.AutoModelForCausalLM.from_pretrained(out, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out, local_files_only=True)
    assert len(tokenizer) == model.config.vocab_size
    training = json.loads((out / "training.json").read_text())
    assert (training["settings"]["steps"], training["settings"]["seed"]) == (2, 3)
    documents = training["data"]["trained_documents"]
    assert set(documents) == {"dolly", "t0"}
    assert set(training["data"]["sha256"]) == {path.name for path in data.iterdir()}
