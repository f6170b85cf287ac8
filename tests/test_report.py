"""Reports: what they say, and that texts of strangers do nothing in them."""

import html.parser
import json
import re

import numpy as np
import polars as pl
import pytest

from hostile_texts import HOSTILE as HOSTILE_PROMPTS
from tasksel.embedding_plane import principal_plane
from tasksel.html_page import Column, Page, heat_table, table, visible
from tasksel.report import write_report
from tasksel.report.synthesis_report import read_synthesis_files
from tasksel.synthesis.planning import plan
from tasksel_core.errors import ConfigError, ResumeError

HOSTILE = [*HOSTILE_PROMPTS, "\ud800 lone"]


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def read_tags(text):
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.fixture
def run(tmp_path):
    config = tmp_path / "reviews.toml"
    config.write_text(
        """
total = 40
[strata]
allocate = "equal"
[strata.levels]
product = ["phone", "<b>laptop"]
rating = ["1", "5"]
[dimensions.tone]
values = { calm = 0.5, angry = 0.5 }
[edge]
share = 0.1
categories = { very-short = 1 }
[schema]
type = "object"
required = ["text"]
[schema.properties]
text = { type = "string", maxLength = 200 }
[record]
prompt = "{text}"
[model]
provider = "hf"
model = "demo"
"""
    )
    plan(config, tmp_path / "run")
    return tmp_path / "run"


def write_records(run, texts, *, count=40):
    examples = pl.read_parquet(run / "plan" / "examples.parquet").head(count)
    prompts = [texts[row % len(texts)] for row in range(examples.height)]
    records = examples.drop("tier").rename({"stratum": "task"})
    records = records.with_columns(
        id=pl.Series([f"record-{row}" for row in range(examples.height)]),
        prompt=pl.Series(prompts),
        response=pl.lit(None, pl.String),
        item=pl.lit("{}"),
    )
    (run / "generation").mkdir()
    records.write_parquet(run / "generation" / "records.parquet")
    manifest = {
        "format_version": 1,
        "tier": 40,
        "settings": {"model": "demo", "provider": "hf"},
        "replies": 9,
        "input_tokens": 1200,
        "output_tokens": 340,
        "is_estimate": True,
        "cost": None,
        "currency": None,
        "repairs": {"fence": 2},
        "rejects": {},
        "steps": {},
    }
    (run / "generation" / "manifest.json").write_text(json.dumps(manifest))


def test_a_plan_alone_is_reported(run):
    path = write_report(run)
    text = path.read_text(encoding="utf-8")
    assert path == run / "report.html"
    assert "40 examples are planned in 4 strata; nothing is written yet." in text
    assert "0 / 10" in text


def test_what_is_short_is_said_and_marked(run):
    write_records(run, ["fine"], count=35)
    tags = read_tags(write_report(run).read_text(encoding="utf-8"))
    text = "".join(tags.text)
    assert re.search(r"35 of 40 planned examples are written and [1-4] of 4 strata are short", text)
    assert ("class", "short") in tags.attributes
    assert "unknown, since the configuration has no price" in text
    assert "about 1,200" in text
    assert "fence: 2" in text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_of_strangers_stay_texts(run, hostile):
    prompts = [hostile.encode("utf-8", "replace").decode()]
    write_records(run, prompts)
    text = write_report(run).read_text(encoding="utf-8")
    tags = read_tags(text)
    assert not {"script", "img", "iframe", "b", "link", "object"} & set(tags.seen)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert not [value for name, value in tags.attributes if name in {"href", "src"} and value[0] != "#"]
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 500_000


def test_the_page_forbids_scripts_and_requests(run):
    tags = read_tags(write_report(run).read_text(encoding="utf-8"))
    policies = [value for _, value in tags.attributes if value and "default-src" in value]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_equal_runs_give_equal_bytes(run, tmp_path):
    write_records(run, ["fine"])
    first, second = write_report(run, tmp_path / "a.html"), write_report(run, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()


def gate(name, outcome, **others):
    blank = {"value": None, "interval": None, "reason": "", "proof": None, "at_least": True, "meaning": "m"}
    return {"name": name, "outcome": outcome, "threshold": 0.5} | blank | others


def test_gates_are_shown_with_what_they_prove(run):
    write_records(run, ["fine"])
    (run / "validation").mkdir()
    gates = [
        gate("schema_validity", "passed", value=1.0, interval=[0.91, 1.0]),
        gate("coverage", "not measured", reason="no embeddings were given"),
        gate("copies", "failed", value=0.2, at_least=False, proof={"sentence": "<b>much</b>"}),
    ]
    results = {"gates": gates, "findings": ["Look at <i>this</i>."]}
    (run / "validation" / "results.json").write_text(json.dumps(results))
    tags = read_tags(write_report(run).read_text(encoding="utf-8"))
    text = "".join(tags.text)
    assert "1 of 3 gates failed" in text
    assert "0.910 to 1.000" in text
    assert "Look at <i>this</i>." in text
    assert "i" not in tags.seen


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="run folder of `tasksel synth plan`"):
        write_report(tmp_path)


def test_a_plan_that_is_not_finished_is_refused(run):
    (run / "plan" / "manifest.json").unlink()
    with pytest.raises(
        ResumeError, match=r"run holds no finished plan; `tasksel synth plan CONFIG\.toml --out"
    ):
        read_synthesis_files(run)


def test_a_damaged_file_is_named(run):
    (run / "plan" / "cells.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ResumeError, match=r"cells\.parquet cannot be read"):
        write_report(run)


def test_half_of_what_coverage_needs_is_refused(run):
    with pytest.raises(ConfigError, match="not given: synthetic_embeddings"):
        write_report(run, real=pl.DataFrame({"prompt": ["a"]}), real_embeddings="vectors.npy")


def test_visible_text_keeps_every_ordinary_character():
    assert visible("naïve 漢字 👩\u200d🚀 \n\t") == "naïve 漢字 👩\u200d🚀 \n\t"
    assert visible("\u2066") == "[U+2066]"
    assert visible("abcdef", max_chars=4) == "abc…"
    assert visible(None) == "\N{EN DASH}"


def test_empty_tables_and_sections():
    assert "<tbody></tbody>" in table([], [Column("a", "A")])
    assert "<tbody></tbody>" in heat_table([], [], rows=[], columns=["a"])
    page = Page("title", "lead")
    page.add("empty")
    assert "<section" not in page.to_html()


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (50, 6)])
def test_the_principal_plane_is_that_of_the_covariance(shape):
    vectors = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    mean, axes = principal_plane(vectors)
    assert axes.shape == (shape[1], 2)
    centered = vectors - mean
    singular = np.linalg.svd(centered, compute_uv=False)
    found = np.sort(np.linalg.norm(centered @ axes, axis=0))[::-1]
    expected = np.zeros(2)
    expected[: min(2, len(singular))] = singular[:2]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("has_gap", [False, True])
def test_coverage_has_a_headline_a_map_and_the_gaps(run, tmp_path, has_gap):
    pytest.importorskip("vl_convert", reason="the extra plots is not installed")
    write_records(run, ["fine"])
    rng = np.random.default_rng(0)
    centers = np.repeat(np.eye(4, 8), 15, axis=0) * 20
    real = (centers + rng.normal(size=(60, 8))).astype(np.float32)
    kept = centers[rng.permutation(30 if has_gap else 60)]
    kept = np.concatenate([kept, kept])[:40]
    synthetic = (kept + rng.normal(size=(40, 8))).astype(np.float32)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "synthetic.npy", synthetic)
    pool = pl.DataFrame({"prompt": [f"<b>prompt {row // 15}</b>" for row in range(60)]})
    path = write_report(
        run,
        real=pool,
        real_embeddings=str(tmp_path / "real.npy"),
        synthetic_embeddings=str(tmp_path / "synthetic.npy"),
    )
    tags = read_tags(path.read_text(encoding="utf-8"))
    text = "".join(tags.text)
    assert "Coverage-equivalent" in text
    assert "svg" in tags.seen
    assert "b" not in tags.seen
    assert not {"script", "image", "use", "foreignobject"} & set(tags.seen)
    assert ("<b>prompt 3</b>" in text or "<b>prompt 2</b>" in text) == has_gap
