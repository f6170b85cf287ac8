from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tasksel.causal_model import load_model
from tasksel.cli import app
from tasksel.generation import BatchGenerator, generate
from tasksel.prompt_encoding import PromptEncoder
from tasksel.run_folder import folder_lock
from tasksel.scoring import SCORES_SCHEMA, score
from tasksel.shard_files import plan_shards, write_shard
from tasksel_core.errors import ConfigError, ResumeError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")

SETTINGS = {"max_new_tokens": 8, "batch_tokens": 300, "shard_rows": 12, "device": "cpu"}
LONG = "0123456789" * 40


@pytest.fixture(scope="module")
def pool():
    prompts = [f"prompt {number} " + "word " * (number % 9) for number in range(57)]
    prompts[3], prompts[30], prompts[31] = "", LONG, "quote </s> and <s>"
    return pl.DataFrame(
        {
            "id": [f"row-{number}" for number in range(len(prompts))],
            "task": ["even" if number % 2 == 0 else "odd" for number in range(len(prompts))],
            "prompt": prompts,
        }
    )


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return str(tiny_model_folder)


@pytest.fixture(scope="module")
def finished(pool, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return score(pool, model=model, out=out, **SETTINGS), out / "scores"


@pytest.fixture
def copy(finished, tmp_path):
    """A finished run that a test may damage: the run folder and its scores."""
    shutil.copytree(finished[1], tmp_path / "scores")
    return tmp_path, tmp_path / "scores"


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def refuse_loading(*_, **__):
    raise AssertionError("the model was loaded")


def test_every_row_is_scored_once_with_the_promised_columns(pool, finished):
    summary, folder = finished
    frame = pl.read_parquet(folder / "part-*.parquet")
    assert frame.schema == SCORES_SCHEMA
    assert sorted(frame["id"]) == sorted(pool["id"])
    joined = frame.join(pool, on="id")
    assert joined["task"].equals(joined["task_right"], check_names=False)
    assert summary.rows == 57
    assert summary.rows_reused == 0
    assert summary.tokens == frame["token_ids"].list.len().sum()
    assert summary.stopped_rows == frame.filter(finish_reason="stop").height > 0
    assert summary.length_rows == frame.filter(finish_reason="length").height > 0
    assert summary.truncated_rows == 1
    assert frame.filter(id="row-30")["truncated_tokens"].item() == 401 - (128 - 8)
    assert frame.filter(id="row-3")["prompt_tokens"].item() == 1
    assert summary.tokens_per_s > 0
    assert json.loads(json.dumps(summary.to_dict()))["folder"] == str(folder)


def test_scores_are_those_of_the_model(pool, model, finished):
    causal_model = load_model(model, device="cpu")
    frame = pl.read_parquet(finished[1] / "part-*.parquet").join(pool.select("id", "prompt"), on="id")
    encoder = PromptEncoder(causal_model, prompt_template=None, max_new_tokens=8)
    for row in frame.iter_rows(named=True):
        (encoded,) = encoder.encode([row["prompt"]])
        (generation,) = generate(causal_model, [encoded.token_ids], max_new_tokens=8)
        assert row["token_ids"] == generation.token_ids.tolist()
        assert row["generation"] == generation.text
        assert row["finish_reason"] == generation.finish_reason
        assert row["prompt_tokens"] == len(encoded.token_ids)
        for name in ("token_logprobs", "token_entropy", "token_margin"):
            np.testing.assert_allclose(row[name], getattr(generation, name), atol=1e-4, rtol=0)


def test_the_manifest_names_inputs_settings_versions_and_shards(pool, finished):
    folder = finished[1]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["pool"]["rows"] == 57
    settings = SETTINGS | {"engine": "hf", "attention": "sdpa", "max_batch_rows": 128, "dtype": "float32"}
    assert manifest["settings"].items() >= settings.items()
    assert set(manifest["versions"]) == {"tasksel", "torch", "transformers", "tokenizers"}
    assert manifest["counts"]["rows"] == 57
    assert manifest["counts"]["truncated_tokens"] == 281
    assert manifest["counts"]["rows_without_tokens"] == 0
    parts = sorted(path.name for path in folder.glob("part-*"))
    assert [shard["name"] for shard in manifest["shards"]] == parts
    assert len(parts) > 3
    settings = json.loads((folder / "settings.json").read_text())
    assert settings.items() <= manifest.items()


def test_the_same_inputs_give_the_same_bytes(pool, model, finished, tmp_path):
    score(pool, model=model, out=tmp_path, **SETTINGS)
    assert read_bytes(tmp_path / "scores") == read_bytes(finished[1])


def test_a_finished_run_returns_without_loading_the_model(pool, model, copy, monkeypatch, finished):
    monkeypatch.setattr("tasksel.engines.hf.load_model", refuse_loading)
    calls = []
    summary = score(pool, model=model, out=copy[0], progress=lambda *call: calls.append(call), **SETTINGS)
    assert summary.rows == summary.rows_reused == 57
    assert summary.tokens == finished[0].tokens
    assert summary.stopped_rows == finished[0].stopped_rows
    assert summary.tokens_per_s is None
    assert calls == [(57, 57, summary.tokens)]


def test_progress_counts_up_to_all_rows(pool, model, tmp_path):
    calls = []
    summary = score(pool, model=model, out=tmp_path, progress=lambda *call: calls.append(call), **SETTINGS)
    assert calls[0] == (0, 57, 0)
    assert calls[-1] == (57, 57, summary.tokens)
    assert all(before[0] < after[0] and before[2] < after[2] for before, after in pairwise(calls))
    assert {call[1] for call in calls} == {57}


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_page(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)


def put_another_shard(path):
    shutil.copy(path.with_name("part-00000.parquet"), path)


def rewrite_without_metadata(path):
    pl.read_parquet(path).write_parquet(path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_in_half, "no checksum"),
        (lambda path: path.write_bytes(b""), "no checksum"),
        (put_another_shard, "other ids"),
        (rewrite_without_metadata, "no checksum"),
    ],
    ids=["half", "empty", "other-ids", "foreign"],
)
@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_damaged_shard_is_named_and_made_again(pool, model, copy, finished, damage, reason, has_manifest):
    out, folder = copy
    damage(folder / "part-00001.parquet")
    if not has_manifest:
        (folder / "manifest.json").unlink()
    summary = score(pool, model=model, out=out, **SETTINGS)
    (note,) = [note for note in summary.notes if "damaged" in note]
    assert note.startswith("part-00001.parquet was damaged (it ")
    assert ("not as it was written" if has_manifest else reason) in note
    assert 0 < summary.rows_reused < summary.rows == 57
    assert read_bytes(folder) == read_bytes(finished[1])


def test_a_shard_whose_token_lists_do_not_belong_together_is_made_again(pool, model, copy, finished):
    out, folder = copy
    path = folder / "part-00001.parquet"
    run_sha256 = pl.read_parquet_metadata(path)["tasksel.run_sha256"]
    shorter = pl.read_parquet(path).with_columns(pl.col("token_margin").list.head(1))
    write_shard(path, shorter, run_sha256=run_sha256, split_batches=0)
    (folder / "manifest.json").unlink()
    (note,) = [note for note in score(pool, model=model, out=out, **SETTINGS).notes if "damaged" in note]
    assert note.startswith("part-00001.parquet was damaged (its token lists differ in length)")
    assert read_bytes(folder) == read_bytes(finished[1])


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_shard_with_one_wrong_byte_is_noticed(pool, model, copy, finished, has_manifest):
    out, folder = copy
    flip_a_page(folder / "part-00001.parquet")
    if not has_manifest:
        (folder / "manifest.json").unlink()
    summary = score(pool, model=model, out=out, **SETTINGS)
    assert 0 < summary.rows_reused < 57
    assert read_bytes(folder) == read_bytes(finished[1])


def test_missing_shards_and_leftovers_of_a_kill_are_mended(pool, model, copy, finished):
    out, folder = copy
    for name in ("manifest.json", "part-00000.parquet", "part-00003.parquet"):
        (folder / name).unlink()
    (folder / ".part-00003.parquet.4711.tmp").write_bytes(b"half a sha")
    (folder / ".manifest.json.4711.tmp").write_bytes(b"{")
    summary = score(pool, model=model, out=out, **SETTINGS)
    assert not [note for note in summary.notes if "damaged" in note]
    assert 0 < summary.rows_reused < 57
    assert (summary.tokens, summary.stopped_rows) == (finished[0].tokens, finished[0].stopped_rows)
    assert read_bytes(folder) == read_bytes(finished[1])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"max_new_tokens": 9}, "max_new_tokens 8 → 9"),
        ({"batch_tokens": 301}, "batch_tokens 300 → 301"),
        ({"max_batch_rows": 4}, "max_batch_rows 128 → 4"),
        ({"shard_rows": 5}, "shard_rows 12 → 5"),
        ({"prompt_template": "Q: {prompt}"}, 'prompt_template null → "Q: {prompt}"'),
        ({"dtype": "bfloat16"}, 'dtype "float32" → "bfloat16"'),
        ({"device": "cuda:1"}, 'device "cpu" → "cuda"'),
        ({"max_new_tokens": 9, "shard_rows": 5}, "max_new_tokens 8 → 9; shard_rows 12 → 5"),
    ],
    ids=str,
)
def test_a_changed_setting_is_refused_by_name(pool, model, copy, monkeypatch, changed, sentence):
    monkeypatch.setattr("tasksel.engines.hf.load_model", refuse_loading)
    before = read_bytes(copy[1])
    with pytest.raises(ResumeError) as refused:
        score(pool, model=model, out=copy[0], **(SETTINGS | changed))
    assert sentence in str(refused.value)
    assert "Choose another output folder, or delete" in str(refused.value)
    assert read_bytes(copy[1]) == before


def test_auto_takes_what_the_run_began_with(pool, model, copy, monkeypatch):
    monkeypatch.setattr("tasksel.engines.hf.load_model", refuse_loading)
    summary = score(pool, model=model, out=copy[0], **(SETTINGS | {"device": "auto", "dtype": "auto"}))
    assert summary.rows_reused == 57


def test_a_changed_pool_is_refused(pool, model, copy):
    changed = pool.with_columns(pl.col("prompt").replace("prompt 0 ", "prompt zero"))
    with pytest.raises(ResumeError, match=r"pool <frame> \(57 rows, sha256 \w{12}\) → <frame> \(57 rows"):
        score(changed, model=model, out=copy[0], **SETTINGS)
    with pytest.raises(ResumeError, match="→ <frame> \\(10 rows"):
        score(pool.head(10), model=model, out=copy[0], **SETTINGS)
    with pytest.raises(ResumeError, match="pool"):
        score(pool.reverse(), model=model, out=copy[0], **SETTINGS)


def test_the_same_pool_in_another_file_format_goes_on(pool, model, copy, tmp_path):
    pool.with_columns(note=pl.lit("unread")).write_ndjson(tmp_path / "pool.jsonl")
    assert score(tmp_path / "pool.jsonl", model=model, out=copy[0], **SETTINGS).rows_reused == 57


def test_a_changed_model_is_refused_and_a_moved_one_is_not(pool, model, copy, save_tiny_model, tmp_path):
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(ResumeError, match=r"model .* \(sha256 \w{12}\) → .*other \(sha256 \w{12}\)\. Choose"):
        score(pool, model=str(other), out=copy[0], **SETTINGS)
    moved = save_tiny_model(tmp_path / "moved")
    assert score(pool, model=str(moved), out=copy[0], **SETTINGS).rows_reused == 57


def test_shards_without_settings_are_refused(pool, model, copy):
    (copy[1] / "settings.json").unlink()
    with pytest.raises(ResumeError, match=r"holds manifest\.json but no settings\.json"):
        score(pool, model=model, out=copy[0], **SETTINGS)


def test_a_shard_beyond_the_plan_is_refused(pool, model, copy):
    (copy[1] / "manifest.json").unlink()
    shutil.copy(copy[1] / "part-00000.parquet", copy[1] / "part-00099.parquet")
    with pytest.raises(ResumeError, match=r"part-00099\.parquet does not belong to this run"):
        score(pool, model=model, out=copy[0], **SETTINGS)


def test_a_folder_of_a_newer_format_is_refused(pool, model, copy):
    path = copy[1] / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(ResumeError, match="has format 99, this tasksel knows 1"):
        score(pool, model=model, out=copy[0], **SETTINGS)


def test_other_library_versions_go_on_with_a_note(pool, model, copy):
    path = copy[1] / "settings.json"
    settings = json.loads(path.read_text())
    settings["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(settings))
    (copy[1] / "manifest.json").unlink()
    (copy[1] / "part-00000.parquet").unlink()
    summary = score(pool, model=model, out=copy[0], **SETTINGS)
    assert any("other library versions" in note and "torch 1.0 → " in note for note in summary.notes)
    assert 0 < summary.rows_reused < 57


def test_hidden_states_are_all_that_scoring_records(pool, model, tmp_path):
    with pytest.raises(ConfigError, match="embed_from is 'sentence'; scoring can record 'hidden'"):
        score(pool, model=model, out=tmp_path, embed_from="sentence", **SETTINGS)
    assert not (tmp_path / "scores").exists()


def test_the_verb_gives_an_object(pool, model, copy, tmp_path):
    pool.write_parquet(tmp_path / "pool.parquet")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    done = CliRunner().invoke(
        app,
        ["score", str(tmp_path / "pool.parquet"), f"--model={model}", f"--out={copy[0]}", *given, "--json"],
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["rows_reused"]) == (57, 57)


def test_a_folder_in_use_is_refused(pool, model, copy):
    with folder_lock(copy[1]), pytest.raises(ResumeError, match="in use by another tasksel process"):
        score(pool, model=model, out=copy[0], **SETTINGS)


def interrupt_after(n_rows):
    def interrupt(rows_done, rows_total, tokens_done):
        if rows_done > n_rows:
            raise KeyboardInterrupt

    return interrupt


def test_an_interrupted_run_keeps_its_finished_batches_and_gives_the_same_bytes(
    pool, model, finished, tmp_path
):
    with pytest.raises(KeyboardInterrupt):
        score(pool, model=model, out=tmp_path, progress=interrupt_after(30), **SETTINGS)
    found = {path.name for path in (tmp_path / "scores").iterdir()}
    shards = {"part-00000.parquet", "part-00001.parquet", ".part-00002.partial.parquet"}
    assert found == {".lock", ".shards.jsonl", "settings.json", *shards}
    rows_kept = 24 + pl.read_parquet(tmp_path / "scores" / ".part-00002.partial.parquet").height
    assert rows_kept > 30
    summary = score(pool, model=model, out=tmp_path, **SETTINGS)
    assert (summary.rows_reused, summary.rows) == (rows_kept, 57)
    assert read_bytes(tmp_path / "scores") == read_bytes(finished[1])


def test_finished_batches_of_other_settings_are_refused_and_kept(pool, model, tmp_path):
    settings = SETTINGS | {"max_new_tokens": 4}
    with pytest.raises(KeyboardInterrupt):
        score(pool, model=model, out=tmp_path, progress=interrupt_after(0), **settings)
    before = read_bytes(tmp_path / "scores")
    assert ".part-00000.partial.parquet" in before
    with pytest.raises(ResumeError, match=r"max_new_tokens 4 → 8\. Choose another output folder, or delete"):
        score(pool, model=model, out=tmp_path, **SETTINGS)
    assert read_bytes(tmp_path / "scores") == before


def test_a_run_that_was_stopped_before_its_first_batch_binds_nobody(pool, model, tmp_path):
    settings = SETTINGS | {"max_new_tokens": 4}
    with pytest.raises(KeyboardInterrupt):
        score(pool, model=model, out=tmp_path, progress=interrupt_after(-1), **settings)
    assert (tmp_path / "scores" / "settings.json").exists()
    score(pool, model=model, out=tmp_path, **SETTINGS)
    stored = json.loads((tmp_path / "scores" / "settings.json").read_text())
    assert stored["settings"]["max_new_tokens"] == 8


def test_a_full_disk_leaves_no_half_shard(pool, model, finished, tmp_path):
    # A limit on the size of files stands for a full disk: both fail the write in its middle.
    script = (
        "import resource, signal, sys\n"
        "import polars as pl\n"
        "from tasksel.scoring import score\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "def limit(rows_done, rows_total, tokens_done):\n"
        "    if rows_done > 20:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))\n"
        f"settings = {SETTINGS!r}\n"
        "try:\n"
        "    score(sys.argv[1], model=sys.argv[2], out=sys.argv[3], progress=limit, **settings)\n"
        "except OSError as error:\n"
        "    print('OSError', error)\n"
    )
    pool.write_parquet(tmp_path / "pool.parquet")
    arguments = [str(tmp_path / "pool.parquet"), model, str(tmp_path)]
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert result.stdout.startswith("OSError [Errno 27]"), result.stderr
    found = {path.name for path in (tmp_path / "scores").iterdir()}
    assert found == {".lock", ".shards.jsonl", "settings.json", "part-00000.parquet"}
    score(pool, model=model, out=tmp_path, **SETTINGS)
    parts = {name: content for name, content in read_bytes(tmp_path / "scores").items() if "part" in name}
    assert parts == {name: content for name, content in read_bytes(finished[1]).items() if "part" in name}


def test_halved_batches_are_counted_and_told(pool, model, tmp_path, monkeypatch):
    real = BatchGenerator._answer

    def run_out_of_memory(self, prompt_token_ids):  # a device that holds 3 rows
        if len(prompt_token_ids) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, prompt_token_ids)

    monkeypatch.setattr(BatchGenerator, "_answer", run_out_of_memory)
    summary = score(pool, model=model, out=tmp_path, **SETTINGS)
    manifest = json.loads((tmp_path / "scores" / "manifest.json").read_text())
    assert manifest["counts"]["split_batches"] > 0
    assert any("were halved" in note for note in summary.notes)
    monkeypatch.undo()
    (tmp_path / "scores" / "manifest.json").unlink()
    score(pool, model=model, out=tmp_path, **SETTINGS)
    assert json.loads((tmp_path / "scores" / "manifest.json").read_text()) == manifest


def test_a_pool_of_one_row(model, tmp_path):
    summary = score(pl.DataFrame({"prompt": ["one"]}), model=model, out=tmp_path, **SETTINGS)
    assert summary.rows == 1
    frame = pl.read_parquet(tmp_path / "scores" / "part-00000.parquet")
    assert frame["task"].to_list() == [None]
    assert frame.schema == SCORES_SCHEMA


def test_columns_of_the_pool_can_be_named(model, tmp_path):
    frame = pl.DataFrame({"prompt": ["one", "two"], "kind": ["a", "b"], "key": ["x", "y"]})
    score(frame, model=model, out=tmp_path, task_column="kind", id_column="key", **SETTINGS)
    scored = pl.read_parquet(tmp_path / "scores" / "part-00000.parquet").sort("id")
    assert scored.select("id", "task").rows() == [("x", "a"), ("y", "b")]


def test_the_notes_of_the_pool_are_passed_on(model, tmp_path):
    summary = score(pl.DataFrame({"prompt": ["one", ""]}), model=model, out=tmp_path, **SETTINGS)
    assert any("empty" in note for note in summary.notes)


@pytest.mark.parametrize("name", ["max_new_tokens", "batch_tokens", "max_batch_rows", "shard_rows"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True, None])
def test_counts_below_one_are_refused(pool, model, tmp_path, name, value):
    with pytest.raises(ConfigError, match=rf"{name} is .*whole number of at least 1"):
        score(pool, model=model, out=tmp_path, **(SETTINGS | {name: value}))
    assert not (tmp_path / "scores").exists()


def test_a_wrong_template_model_or_length_leaves_a_folder_that_can_be_used(pool, model, finished, tmp_path):
    with pytest.raises(ConfigError, match=r"holds \{prompt\} 0 times"):
        score(pool, model=model, out=tmp_path, prompt_template="Q:", **SETTINGS)
    with pytest.raises(ConfigError, match="no model folder"):
        score(pool, model="./nowhere", out=tmp_path, **SETTINGS)
    with pytest.raises(ConfigError, match="at most 127"):
        score(pool, model=model, out=tmp_path, **(SETTINGS | {"max_new_tokens": 128}))
    score(pool, model=model, out=tmp_path, **SETTINGS)
    assert read_bytes(tmp_path / "scores") == read_bytes(finished[1])


@pytest.mark.parametrize("shard_rows", [1, 7, 57, 10**6])
@pytest.mark.parametrize("n_rows", [0, 1, 57])
def test_a_plan_deals_every_row_once_and_the_longest_first(n_rows, shard_rows):
    lengths = np.random.default_rng(n_rows).integers(0, 60, n_rows)
    plan = plan_shards(pl.Series("prompt", ["x" * length for length in lengths], dtype=pl.String), shard_rows)
    shards = [plan.rows(number) for number in range(plan.n_shards)]
    rows = np.concatenate(shards) if shards else np.array([], dtype=np.int64)
    assert sorted(rows.tolist()) == list(range(n_rows))
    assert (np.diff(lengths[rows]) <= 0).all()
    assert [len(shard) for shard in shards] == [plan.n_rows(number) for number in range(plan.n_shards)]
    assert all(len(shard) == shard_rows for shard in shards[:-1])
