"""The task model on the disk, and embeddings that do not go with it."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl
import pytest

from planted_tasks import planted_pool
from tasksel.embedding_run import embed
from tasksel.task_discovery import assign_tasks, discover_tasks, load_task_model, save_task_model
from tasksel.task_discovery.prompt_vectors import check_same_model
from tasksel_core.errors import ConfigError, ResumeError, SchemaError


@pytest.fixture(scope="module")
def planted():
    return planted_pool()


@pytest.fixture
def folder(planted, tmp_path):
    frame, vectors = planted
    discover_tasks(frame, embeddings=vectors, model_out=tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_read_as_it_was_written(folder, tmp_path):
    model = load_task_model(folder)
    save_task_model(model, tmp_path / "copy")
    again = load_task_model(tmp_path / "copy")
    assert again.tasks == model.tasks
    assert again.templates == model.templates
    assert np.array_equal(again.centers, model.centers)
    for name in ("centers.npy", "tasks.json", "manifest.json"):
        assert (folder / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()


def damage_centers(folder):
    content = bytearray((folder / "centers.npy").read_bytes())
    content[-1] ^= 1
    (folder / "centers.npy").write_bytes(content)


def damage_format(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))


def damage_stage(folder):
    (folder / "manifest.json").write_text('{"stage": "select"}')


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (damage_centers, ResumeError, r"centers\.npy is missing or not as it was written"),
        (lambda folder: (folder / "tasks.json").unlink(), ResumeError, "is missing"),
        (damage_format, ResumeError, "has format 99"),
        (damage_stage, ConfigError, "holds no task model"),
        (lambda folder: (folder / "manifest.json").unlink(), ConfigError, "no finished task model"),
        (lambda folder: (folder / "manifest.json").write_text("{"), ResumeError, "cannot be read as JSON"),
    ],
)
def test_a_damaged_model_is_refused(folder, damage, error, said):
    damage(folder)
    with pytest.raises(error, match=said):
        load_task_model(folder)


def rewrite(folder, name, content):
    """Change a file of a model and its hash, as somebody does who writes such files himself."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"center_tasks": [99] * 4}, "a template or center belongs to a task that is not there"),
        ({"center_tasks": [0]}, r"the centers are of float32 and shape \(4, 24\)"),
        ({"tasks": None}, "not iterable"),
        ({"least_similarity": "x"}, "could not convert"),
    ],
)
def test_a_model_that_says_nonsense_is_refused(folder, change, said):
    content = json.loads((folder / "tasks.json").read_text())
    assert len(content["center_tasks"]) == 4
    rewrite(folder, "tasks.json", json.dumps(content | change).encode())
    with pytest.raises(ResumeError, match=f"is not a task model as tasksel writes it .*{said}"):
        load_task_model(folder)


def test_a_model_is_not_written_over_a_file(folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="file is a file; allowed: a folder to write the task model to"):
        save_task_model(load_task_model(folder), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_folder_that_does_not_say_what_made_its_vectors_is_of_an_unknown_model(planted, tmp_path):
    frame, vectors = planted
    np.save(tmp_path / "vectors.npy", vectors)
    embed(frame, out=tmp_path / "run", embed_from=str(tmp_path / "vectors.npy"))
    path = tmp_path / "run" / "embeddings" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": None}))
    found = discover_tasks(frame, embeddings=str(tmp_path / "run"))
    assert found.model.embedding["sha256"] is None


def test_prompts_of_templates_alone_whose_vectors_cancel_out_have_no_centers():
    """Of each template half the vectors point one way and half the other, so that their mean is nothing."""
    prompts = [
        f"{begin}: number {n}"
        for begin in ("Translate to French", "Write a short summary")
        for n in range(10)
    ]
    vectors = np.tile(np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32), (10, 1))
    found = discover_tasks(pl.DataFrame({"prompt": prompts}), embeddings=vectors)
    assert found.frame["task"].value_counts()["count"].to_list() == [10, 10]
    assert len(found.model.centers) == 0


def test_no_folder_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        load_task_model(tmp_path / "nowhere")


def test_embeddings_of_another_width_are_refused(planted, folder):
    frame, vectors = planted
    with pytest.raises(SchemaError, match="have 9 dimensions and the tasks were found with 24"):
        assign_tasks(frame, folder, embeddings=vectors[:, :9])


def test_without_embeddings_an_unknown_model_cannot_be_used(planted, folder):
    with pytest.raises(ConfigError, match="cannot be made here"):
        assign_tasks(planted[0], folder)


def test_embeddings_of_another_model_are_refused():
    known = {"name": "one", "sha256": "a" * 64, "settings": {"embed_from": "sentence"}}
    assert check_same_model(known, {**known, "name": "the same elsewhere"}) is None
    for other in ({"sha256": "b" * 64}, {"settings": {"embed_from": "hidden"}}):
        with pytest.raises(ConfigError, match="two models cannot be compared"):
            check_same_model({**known, **other}, known)
    assert "not known" in check_same_model({"sha256": None}, known)


def test_prompts_are_embedded_here_and_new_ones_with_the_same_model(tmp_path):
    pytest.importorskip("torch", reason="the extra hf is not installed")
    from tiny_encoder import save_tiny_encoder, state_steps

    encoder = save_tiny_encoder(tmp_path / "encoder")
    state_steps(encoder, "Transformer", "Pooling", pooling={"pooling_mode_mean_tokens": True})
    frame = pl.DataFrame({"prompt": [f"{word} {number}" for word in ("cat", "tree") for number in range(10)]})
    out = tmp_path / "pool2.parquet"
    found = discover_tasks(frame, embedding_model=str(encoder), n_tasks=2, out=out)
    assert (tmp_path / "pool2-embeddings" / "embeddings" / "manifest.json").is_file()
    assert found.model.embedding["sha256"]
    in_memory = discover_tasks(frame, embedding_model=str(encoder), n_tasks=2)
    assert in_memory.model.embedding == found.model.embedding
    # Batches differ, and with them the last digits; the tasks must not.
    assert in_memory.frame["task"].equals(found.frame["task"])
    again = assign_tasks(frame, tmp_path / "pool2-tasks")
    assert again.frame["task"].equals(found.frame["task"])
    other = save_tiny_encoder(tmp_path / "other", seed=1)
    state_steps(other, "Transformer", "Pooling", pooling={"pooling_mode_mean_tokens": True})
    embed(frame, out=tmp_path / "run", model=str(other))
    with pytest.raises(ConfigError, match="vectors of two models"):
        assign_tasks(frame, tmp_path / "pool2-tasks", embeddings=tmp_path / "run")


def test_without_a_model_to_embed_with_it_says_what_to_do(planted):
    with pytest.raises(ConfigError, match="Give a run folder of `tasksel embed`") as raised:
        discover_tasks(planted[0], embedding_model="./no-such-encoder")
    assert "no-such-encoder" in str(raised.value)
