"""The verb: exit codes, JSON, what is printed, and a user's mistakes in one sentence."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tasksel.cli import app

runner = CliRunner()


@pytest.fixture
def pools(tmp_path, monkeypatch):
    """Write a real pool of four topics and a synthetic one of two, with vectors, and go there."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    centers = 4 * rng.standard_normal((4, 8))
    for name, n_rows, n_topics in (("real", 2000, 4), ("synth", 500, 2)):
        topic = rng.integers(n_topics, size=n_rows)
        vectors = (centers[topic] + rng.standard_normal((n_rows, 8))).astype(np.float32)
        frame = pl.DataFrame(
            {
                "id": [f"{name}-{row}" for row in range(n_rows)],
                "task": [f"topic {each}" for each in topic],
                "prompt": [f"prompt {row} \x1b[31m of topic {each}" for row, each in enumerate(topic)],
                "tone": ["calm" if each % 2 else "angry" for each in topic],
                "vector": vectors.tolist(),
            }
        )
        frame.write_parquet(f"{name}.parquet")
        np.save(f"{name}.npy", vectors)
    return ["coverage", "real.parquet", "synth.parquet"]


def run(*arguments):
    return runner.invoke(app, [str(each) for each in arguments], terminal_width=200)


def vectors(kind):
    names = {"npy": ("real.npy", "synth.npy"), "column": ("vector", "vector")}[kind]
    return ["--embeddings-real", names[0], "--embeddings-synth", names[1]]


@pytest.mark.parametrize("kind", ["npy", "column"])
def test_json_has_the_headline_the_gaps_and_ids_of_exemplars(pools, kind):
    result = run(*pools, *vectors(kind), "--by", "task", "--dimension", "tone", "--json", "--legacy-score")
    assert result.exit_code == 0, result.output
    account = json.loads(result.stdout)
    assert 0.4 < account["coverage_equivalent"] < 0.6
    assert account["regions"] == "tasks"
    assert account["gaps"]
    assert all(each.startswith("real-") for row in account["gaps"] for each in row["exemplar_ids"])
    assert {row["dimension"] for row in account["levels"]} == {"task", "tone"}
    assert 0 <= account["legacy_score"]["value"] <= 1
    assert "Do not decide" in account["legacy_score"]["warning"]
    assert account["gate"] is None


def test_the_gate_decides_the_exit_code(pools):
    failed = run(*pools, *vectors("npy"), "--gate", 0.85, "--json")
    assert failed.exit_code == 3
    assert json.loads(failed.stdout)["gate"] == {"at_least": 0.85, "passed": False}
    assert run(*pools, *vectors("npy"), "--gate", 0.1, "--quiet").exit_code == 0


def test_a_person_reads_the_headline_gaps_and_flags(pools):
    result = run(*pools, *vectors("npy"), "--by", "task", "--gate", 0.85, "--legacy-score")
    assert result.exit_code == 3
    for said in ("Coverage-equivalent", "(gaps)", "by tasks", "gap: a real prompt", "Gate 0.85: failed"):
        assert said in result.stdout
    assert "Do not decide" in " ".join(result.stdout.split())
    assert "\x1b[31m" not in result.stdout


def test_rows_that_were_shown_are_left_out(pools, tmp_path):
    (tmp_path / "shown.txt").write_text("real-0\nreal-7\n\n")
    result = run(*pools, *vectors("npy"), "--exclude", "shown.txt", "--json")
    account = json.loads(result.stdout)
    assert account["n_real"] == 1998
    assert not {"real-0", "real-7"} & {each for row in account["clusters"] for each in row["exemplar_ids"]}


def test_without_vectors_prompts_are_embedded(pools, monkeypatch):
    asked = []

    def embed(model, texts, progress):
        asked.append((model, len(texts)))
        return np.concatenate([np.load("real.npy"), np.load("synth.npy")])

    monkeypatch.setattr("tasksel.sentence_embedding.load_sentence_model", lambda model, device: model)
    monkeypatch.setattr("tasksel.sentence_embedding.embed_sentences", embed)
    assert run(*pools, "--json").exit_code == 0
    assert asked == [("minilm", 2500)]


def test_of_one_real_prompt_no_coverage_can_be_told(pools):
    pl.read_parquet("real.parquet").head(1).write_parquet("real.parquet")
    np.save("real.npy", np.load("real.npy")[:1])
    result = run(*pools, *vectors("npy"))
    assert result.exit_code == 0, result.output
    assert "Coverage cannot be told." in result.output
    assert json.loads(run(*pools, *vectors("npy"), "--json").stdout)["coverage_equivalent"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--embeddings-real", "real.npy"], "belong together"),
        (["--embeddings-real", "real.npy", "--embeddings-synth", "nowhere.npy"], "no embeddings file"),
        (
            ["--embeddings-real", "synth.npy", "--embeddings-synth", "synth.npy"],
            "500 rows, the pool has 2,000",
        ),
        ([*vectors("npy"), "--by", "topic"], "no column 'topic' in the real pool"),
        ([*vectors("npy"), "--dimension", "mood"], "no column 'mood' in the real pool"),
        ([*vectors("npy"), "--exclude", "nowhere.txt"], "no file nowhere.txt"),
        ([*vectors("npy"), "--exclude", "real.npy"], "real.npy is no text file of ids ("),
        ([*vectors("npy"), "--exclude", "wrong.txt"], "1 of 1 ids are not in the real pool"),
        (["--model", "./nowhere"], "no model folder ./nowhere"),
    ],
)
def test_mistakes_are_one_sentence(pools, tmp_path, arguments, said):
    pytest.importorskip("torch", reason="the extra hf is not installed")
    (tmp_path / "wrong.txt").write_text("nobody\n")
    result = run(*pools, *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert said in " ".join(result.output.split())
