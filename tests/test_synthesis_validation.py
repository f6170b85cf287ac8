from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.intervals import Interval
from tasksel.run_folder import write_json
from tasksel.synthesis import validation_inputs
from tasksel.synthesis.config_file import config_content, parse_config
from tasksel.synthesis.gates import (
    GATES,
    Gate,
    describe_power,
    figure_gate,
    rate_gate,
    read_rules,
    unmeasured_gate,
)
from tasksel.synthesis.power import (
    missing_share_power,
    rate_check_power,
    rows_for_rate_check,
    short_value_power,
    smallest_n,
    unseen_value_power,
)
from tasksel.synthesis.realised import DimensionResult, ValueResult
from tasksel.synthesis.validation import _prove_distribution, validate
from tasksel.terminal_synthesis_validate import _figure, _print_proofs, print_validation
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

PRODUCTS = ("phone", "laptop")
RATINGS = ("1", "5")
WORDS = re.findall(
    r"\w+",
    "the and was with very after before because when which screen battery sound price week month day shop "
    "cable button case strap light heavy slow fast broken fine good bad loud quiet cheap warm cold new old",
)
ITEM = pl.Struct({"text": pl.String, "rating": pl.Int64, "tone": pl.String})
CONTENT = {
    "total": 200,
    "seed": 1,
    "language": "en",
    "tiers": [100, 200],
    "strata": {
        "allocate": "equal",
        "levels": {"product": list(PRODUCTS), "rating": list(RATINGS)},
        "checks": {"product": {"kind": "regex", "patterns": {"phone": "phone", "laptop": "laptop"}}},
    },
    "dimensions": {
        "tone": {"values": {"calm": 0.8, "angry": 0.2}, "check": {"kind": "rule", "field": "tone"}}
    },
    "edge": {"share": 0.1, "categories": {"very-short": 1, "unicode": 1}},
    "schema": {
        "type": "object",
        "required": ["text", "rating"],
        "properties": {
            "text": {"type": "string", "minLength": 10},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5},
            "tone": {"type": "string"},
        },
    },
    "record": {"prompt": "Rate this review: {text}", "response": "{rating}"},
}


def review(rng, product):
    return f"The {product} is what I have: " + " ".join(rng.choice(WORDS) for _ in range(25)) + "."


def planned_examples():
    """Plan 200 examples by hand: 180 ordinary ones in even strata, a fifth of them angry, 20 edge cases."""
    strata = [(product, rating) for product in PRODUCTS for rating in RATINGS]
    rows = []
    for number in range(200):
        product, rating = strata[number % 4]
        edge = None if number % 10 else ("very-short", "unicode")[number // 10 % 2]
        rows.append(
            {
                "plan_id": f"s-{number + 1:06}",
                "tier": 100 if number < 100 else 200,
                "stratum": f"{product}/{rating}",
                "product": product,
                "rating": rating,
                "tone": "angry" if number // 4 % 5 == 0 else "calm",
                "edge": edge,
            }
        )
    schema = dict.fromkeys(rows[0], pl.String) | {"tier": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


EDGE_TEXTS = {"very-short": "It is bad.", "unicode": "The oil runs out \u202ebackwards\u202c"}


def good_records(planned, seed=0):
    rng = random.Random(seed)
    rows = []
    for each in planned.iter_rows(named=True):
        text = {"very-short": "It is bad.", "unicode": "The oil runs out \u202ebackwards\u202c"}.get(
            each["edge"] or ""
        )
        text = text or review(rng, each["product"])
        item = {"text": text, "rating": int(each["rating"]), "tone": each["tone"]}
        rows.append(
            {
                "id": f"r{len(rows)}",
                "plan_id": each["plan_id"],
                "task": each["stratum"],
                "prompt": f"Rate this review: {text}",
                "response": each["rating"],
                "edge": each["edge"],
                "item": json.dumps(item),
                "origin": "synthetic",
            }
        )
    names = ("id", "plan_id", "task", "prompt", "response", "edge", "item", "origin")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))


def save_run(folder, records=None, content=None, planned=None):
    planned = planned_examples() if planned is None else planned
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    (folder / "generation").mkdir(exist_ok=True)
    config = parse_config(content or CONTENT, name="reviews", folder=folder)
    write_json(folder / "plan" / "config.json", config_content(config))
    planned.write_parquet(folder / "plan" / "examples.parquet")
    records = good_records(planned) if records is None else records
    records.write_parquet(folder / "generation" / "records.parquet")
    return folder


def gate_of(validation, name):
    return next(gate for gate in validation.gates if gate.name == name)


def outcomes(validation):
    return {gate.name: gate.outcome for gate in validation.gates}


def with_item(records, rows, **changes):
    """Change fields of the items of some rows, and their prompts with them."""
    items = [json.loads(text) for text in records["item"]]
    for row in rows:
        items[row] |= changes
    return records.with_columns(
        pl.Series("item", [json.dumps(item) for item in items]),
        pl.Series("prompt", [f"Rate this review: {item['text']}" for item in items]),
    )


def ordinary_rows(records):
    return [row for row, edge in enumerate(records["edge"]) if edge is None]


# A good set


def test_a_set_as_planned_passes_what_can_be_measured(tmp_path):
    run = save_run(tmp_path / "run")
    found = validate(run)
    assert found.failed == []
    passed = {name for name, outcome in outcomes(found).items() if outcome == "passed"}
    assert {"completeness", "schema_validity", "language", "near_duplicates", "answered"} <= passed
    assert {"agreement:product", "agreement:rating", "agreement:tone", "distribution:tone"} <= passed
    assert gate_of(found, "coverage").outcome == "not measured"
    assert gate_of(found, "length").reason
    assert found.shortfall.height == 0
    assert found.confusion.filter(pl.col("requested") != pl.col("realised")).height == 0
    assert (found.n_records, found.n_planned, found.tier) == (200, 200, 200)


def test_files_are_written_with_the_manifest_last_and_twice_the_same(tmp_path):
    run = save_run(tmp_path / "run")
    validate(run)
    out = run / "validation"
    first = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    manifest = json.loads(first["manifest.json"])
    assert set(manifest["files"]) <= set(first)
    assert str(tmp_path) not in first["manifest.json"].decode()
    validate(run)
    assert first == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    results = json.loads(first["results.json"])
    assert results["failed"] == []
    assert {gate["name"] for gate in results["gates"]} >= {"agreement:tone", "coverage"}


# What goes wrong is found


def test_values_that_were_not_realised_are_found_and_go_into_the_shortfall(tmp_path):
    records = good_records(planned_examples())
    angry = [row for row in ordinary_rows(records) if json.loads(records["item"][row])["tone"] == "angry"]
    found = validate(save_run(tmp_path / "run", with_item(records, angry[:-6], tone="Calm ")))
    assert {"distribution:tone"} <= set(found.failed)
    assert gate_of(found, "agreement:tone").value == pytest.approx(1 - (len(angry) - 6) / 180)
    short = dict(found.shortfall.filter(dimension="tone").select("value", "missing").iter_rows())
    assert short == {"angry": len(angry) - 6}
    assert found.shortfall.schema == {"dimension": pl.String, "value": pl.String, "missing": pl.Int64}
    confusion = {(row[1], row[2]): row[3] for row in found.confusion.filter(dimension="tone").iter_rows()}
    assert confusion["angry", "calm"] == len(angry) - 6
    assert any("'angry'" in finding for finding in found.findings)


def test_missing_records_make_strata_and_edges_short(tmp_path):
    planned = planned_examples()
    records = good_records(planned).filter(pl.col("task") != "phone/5")
    found = validate(save_run(tmp_path / "run", records))
    assert gate_of(found, "completeness").value == pytest.approx(0.75)
    short = {row[:2]: row[2] for row in found.shortfall.iter_rows()}
    assert short["stratum", "phone/5"] == 50
    ordinary = planned.filter(pl.col("stratum") == "phone/5", pl.col("edge").is_null()).height
    assert short["product", "phone"] == short["rating", "5"] == ordinary
    lost = planned.filter(pl.col("stratum") == "phone/5", pl.col("edge").is_not_null()).height
    assert sum(count for (name, _), count in short.items() if name == "edge") == lost
    assert any("resume" in finding for finding in found.findings)


def test_broken_items_wrong_languages_empty_answers_and_personal_data(tmp_path):
    records = good_records(planned_examples())
    rows = ordinary_rows(records)
    records = with_item(records, rows[:10], rating=9)
    german = "Das ist nicht das, was ich bestellt habe, und es kommt auch viel zu spät bei mir an"
    for row in rows[10:30]:
        records = with_item(records, [row], text=f"{german}: {row} {chr(65 + row % 26) * 9}.")
    records = with_item(
        records, rows[30:33], text="Write to ann.lee@mail.org, I am not pleased at all with this."
    )
    answers = [None if row in rows[33:40] else "  " if row == rows[40] else "1" for row in range(200)]
    found = validate(save_run(tmp_path / "run", records.with_columns(pl.Series("response", answers))))
    assert {"schema_validity", "language", "personal_data", "answered"} <= set(found.failed)
    assert gate_of(found, "schema_validity").value == pytest.approx(170 / 180)
    assert gate_of(found, "language").value == pytest.approx(160 / 180)
    assert gate_of(found, "answered").value == pytest.approx(172 / 180)
    assert gate_of(found, "personal_data").value == pytest.approx(3 / 180)
    assert "ann.lee" not in json.dumps(found.to_dict())
    flagged = found.flagged.filter(gate="personal_data")["plan_id"].to_list()
    assert flagged == sorted(records["plan_id"][row] for row in rows[30:33])
    assert found.figures["schema"]["errors"] == {"maximum of rating": 10}


def test_repeats_and_copies_of_real_rows(tmp_path):
    records = good_records(planned_examples())
    rows = ordinary_rows(records)
    texts = [json.loads(text)["text"] for text in records["item"]]
    records = with_item(records, rows[1:7], text=texts[rows[0]])
    records = with_item(records, [rows[7]], text=texts[rows[0]].replace("is what", "is not what"))
    rng = random.Random(9)
    real = [review(rng, "watch") for _ in range(80)]
    records = with_item(records, [rows[8]], text=real[3].upper())
    run_of_words = " ".join(real[5].split()[8:24])
    records = with_item(
        records, [rows[9]], text=f"As one has written {run_of_words} but that is not so here."
    )
    pool = pl.DataFrame({"prompt": [*real[:-1], f"Rate this review: {texts[rows[12]]}"]})
    found = validate(save_run(tmp_path / "run", records), real=pool)
    assert gate_of(found, "exact_duplicates").value == pytest.approx(6 / 180)
    assert gate_of(found, "near_duplicates").value == pytest.approx(7 / 180)
    copied = set(found.flagged.filter(gate="copies")["plan_id"])
    assert copied == {records["plan_id"][row] for row in (rows[8], rows[9], rows[12])}
    assert found.figures["copies"] == {"whole": 2, "nearly": 2, "runs_of_13_words": 3}
    assert gate_of(found, "length").outcome in ("passed", "failed")


def test_edge_cases_are_judged_apart(tmp_path):
    planned = planned_examples()
    records = good_records(planned)
    short = [row for row, edge in enumerate(records["edge"]) if edge == "very-short"]
    records = with_item(records, short[:5], text="It is not that short at all, one must say.")
    found = validate(save_run(tmp_path / "run", records))
    gate = gate_of(found, "edge:very-short")
    assert (gate.outcome, gate.value, gate.n_rows) == ("failed", 0.5, 10)
    assert gate_of(found, "edge:unicode").value == 1.0
    assert gate_of(found, "edge_share").outcome == "passed"
    # Repeated short texts are edge cases and no duplicates.
    assert gate_of(found, "near_duplicates").value == 0.0


def test_a_classifier_learns_from_the_real_labels_and_its_shares_are_corrected(tmp_path):
    content = {
        **CONTENT,
        "dimensions": {"tone": {**CONTENT["dimensions"]["tone"], "check": {"kind": "classifier"}}},
    }
    rng = np.random.default_rng(0)
    centers = {"calm": np.eye(8)[0], "angry": np.eye(8)[1]}
    labels = ["calm"] * 150 + ["angry"] * 150
    real = pl.DataFrame({"prompt": [f"row {row}" for row in range(300)], "tone": labels})
    records = good_records(planned_examples())
    tones = [json.loads(text)["tone"] for text in records["item"]]
    vectors, real_vectors = (
        np.stack([centers[each] + rng.normal(scale=0.4, size=8) for each in values]).astype(np.float32)
        for values in (tones, labels)
    )
    run = save_run(tmp_path / "run", records, content)
    given_vectors = {"synthetic_embeddings": vectors, "real_embeddings": real_vectors}
    found = validate(run, real=real, **given_vectors)
    gate = gate_of(found, "agreement:tone")
    assert gate.value > 0.9
    assert gate.interval.low < gate.value <= gate.interval.high
    assert "accuracy" in gate.reason
    assert gate_of(found, "distribution:tone").outcome == "passed"
    json.loads((run / "validation" / "results.json").read_text(encoding="utf-8"))
    noise = rng.permutation(labels).tolist()
    refused = validate(run, real=real.with_columns(pl.Series("tone", noise)), **given_vectors)
    assert "hardly better than chance" in gate_of(refused, "agreement:tone").reason


def test_vectors_find_repeats_and_copies_and_broken_ones_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    records = good_records(planned_examples())
    rows = ordinary_rows(records)
    vectors = rng.normal(size=(200, 16)).astype(np.float32)
    real = rng.normal(size=(60, 16)).astype(np.float32)
    vectors[rows[1]] = 2 * vectors[rows[0]]
    vectors[rows[2]] = real[4]
    vectors[rows[3]] = np.nan
    vectors[rows[4]] = 0.0
    real[5] = np.nan
    pool = pl.DataFrame({"prompt": [f"row {row}" for row in range(60)]})
    run = save_run(tmp_path / "run", records)
    found = validate(run, real=pool, synthetic_embeddings=vectors, real_embeddings=real)
    repeats, copies = gate_of(found, "embedding_duplicates"), gate_of(found, "embedding_copies")
    assert (repeats.n_rows, copies.n_rows) == (178, 178)
    assert "2 records" in repeats.reason
    assert {records["plan_id"][row] for row in rows[:2]} <= set(
        found.flagged.filter(gate="embedding_duplicates")["plan_id"]
    )
    assert records["plan_id"][rows[2]] in set(found.flagged.filter(gate="embedding_copies")["plan_id"])
    other = validate(run, real=pool, synthetic_embeddings=vectors, real_embeddings=real[:, :8])
    assert "dimensions" in gate_of(other, "embedding_copies").reason


# What cannot be measured


def unmeasured(validation):
    return {gate.name: gate.reason for gate in validation.gates if gate.outcome == "not measured"}


def test_what_the_configuration_does_not_say_is_not_measured(tmp_path):
    content = {each: CONTENT[each] for each in CONTENT if each not in ("language", "edge")}
    content |= {
        "record": {"prompt": CONTENT["record"]["prompt"]},
        "dimensions": {
            "tone": {"values": {"calm": 1.0, "angry": 0.0}, "check": CONTENT["dimensions"]["tone"]["check"]}
        },
    }
    planned = planned_examples().with_columns(
        pl.lit("calm").alias("tone"), pl.lit(None, pl.String).alias("edge")
    )
    run = save_run(tmp_path / "run", good_records(planned), content, planned)
    reasons = unmeasured(validate(run))
    assert reasons["answered"] == "[record] has no response, so the records wait for labels"
    assert reasons["language"] == "the configuration names no language"
    assert reasons["edge_share"] == "the plan has no edge cases"
    assert reasons["length"] == reasons["copies"] == "no real rows were given"
    run = save_run(tmp_path / "run", good_records(planned), {**content, "language": "Klingon"}, planned)
    assert unmeasured(validate(run))["language"] == "the language 'klingon' is not one that is told apart"


def test_few_real_rows_and_vectors_tell_nothing(tmp_path, monkeypatch):
    records = good_records(planned_examples())
    run = save_run(tmp_path / "run", records)
    vectors = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    real = pl.DataFrame({"prompt": ["one", "two", "three"]})
    given = {"real": real[:1], "synthetic_embeddings": vectors, "real_embeddings": vectors[:1]}
    reasons = unmeasured(validate(run, **given))
    assert reasons["length"] == "1 real rows tell little of lengths; 50 would"
    assert reasons["coverage"] == "1 real and 180 written vectors are too few"
    given |= {"real": real[:2], "real_embeddings": vectors[:2]}
    assert unmeasured(validate(run, **given))["coverage"].startswith("coverage could not be calibrated: ")
    reasons = unmeasured(validate(run, real=real, synthetic_embeddings=vectors))
    assert reasons["embedding_copies"] == "no embeddings of real rows were given"

    def fail(*_):
        raise SchemaError("The schema is none.")

    monkeypatch.setattr("tasksel.synthesis.text_measures._prove", fail)
    reasons = unmeasured(validate(run))
    assert reasons["edge:unicode"] == reasons["edge:very-short"] == "The schema is none."
    edges = records.filter(pl.col("edge").is_not_null())
    none = validate(save_run(tmp_path / "edges", edges), real=real)
    assert unmeasured(none)["copies"] == "there are no such rows"


# What the records may look like


def test_without_any_record_everything_is_said_and_nothing_breaks(tmp_path):
    found = validate(save_run(tmp_path / "run", good_records(planned_examples()).clear()))
    assert found.n_records == 0
    assert outcomes(found)["completeness"] == "failed"
    assert outcomes(found)["near_duplicates"] == "not measured"
    assert found.tier == 100
    assert "no records" in found.findings[0]
    assert found.shortfall.filter(dimension="stratum")["missing"].sum() == 100


def test_one_record_and_one_of_26000_characters(tmp_path):
    records = good_records(planned_examples())[1:2]
    found = validate(save_run(tmp_path / "one", records))
    assert found.n_records == 1
    long = with_item(good_records(planned_examples()), [1, 3], text="It is what it was. " * 1400)
    assert gate_of(validate(save_run(tmp_path / "long", long)), "exact_duplicates").value > 0


def test_records_of_no_plan_and_repeated_ones_are_left_out_and_counted(tmp_path):
    records = good_records(planned_examples())
    strange = records[:3].with_columns(pl.Series("plan_id", ["x-1", None, "s-999999"], dtype=pl.String))
    found = validate(save_run(tmp_path / "run", pl.concat([records[5:10], records, strange])))
    assert (found.n_records, gate_of(found, "completeness").value) == (200, 1.0)
    assert any(finding.startswith("3 records were left out") for finding in found.findings)
    assert any(finding.startswith("5 records were left out") for finding in found.findings)


def test_a_lower_tier_is_recognised_and_can_be_asked_for(tmp_path):
    planned = planned_examples()
    run = save_run(tmp_path / "run", good_records(planned.head(100)))
    assert (validate(run).tier, validate(run).n_planned) == (100, 100)
    assert validate(run, tier=200).n_planned == 200
    with pytest.raises(ConfigError, match="100, 200"):
        validate(run, tier=7)


def test_columns_that_are_missing_are_named(tmp_path):
    run = save_run(tmp_path / "run")
    for column in ("plan_id", "prompt"):
        path = tmp_path / f"without-{column}.parquet"
        good_records(planned_examples()).drop(column).write_parquet(path)
        with pytest.raises(SchemaError, match=column):
            validate(run, records=path)
    few = tmp_path / "few.parquet"
    good_records(planned_examples()).select("plan_id", "prompt").write_parquet(few)
    found = validate(run, records=few)
    assert gate_of(found, "schema_validity").outcome == "not measured"
    assert gate_of(found, "answered").value == 0.0
    lines = tmp_path / "records.jsonl"
    good_records(planned_examples()).write_ndjson(lines)
    assert validate(run, records=lines).failed == []
    items = good_records(planned_examples()).with_columns(pl.col("item").str.json_decode(ITEM))
    items.write_parquet(tmp_path / "objects.parquet")
    assert validate(run, records=tmp_path / "objects.parquet").failed == []


def test_runs_without_plan_or_records_are_refused(tmp_path):
    with pytest.raises(ResumeError, match="holds no plan"):
        validate(tmp_path)
    run = save_run(tmp_path / "run")
    (run / "generation" / "records.parquet").unlink()
    with pytest.raises(ResumeError, match="holds no records"):
        validate(run)
    (run / "generation" / "records.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ResumeError, match="cannot be read"):
        validate(run)
    path = run / "plan" / "examples.parquet"
    pl.read_parquet(path).drop("tone").write_parquet(path)
    with pytest.raises(ResumeError, match=r"examples\.parquet has no column 'tone'; plan again"):
        validate(run)


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        (b"PAR1 no", r"The records given\.parquet cannot be read as Parquet"),
        (
            pl.DataFrame({"plan_id": ["a", "b"], "prompt": ["x", None]}),
            "1 of the records in .* have no prompt",
        ),
        (
            pl.DataFrame({"plan_id": ["a"], "prompt": ["x"], "response": [b"\xff"]}),
            "have columns that are no text",
        ),
    ],
)
def test_records_that_are_none_are_a_sentence(tmp_path, records, sentence):
    path = tmp_path / "given.parquet"
    if isinstance(records, bytes):
        path.write_bytes(records)
    else:
        records.write_parquet(path)
    with pytest.raises(SchemaError, match=sentence):
        validate(save_run(tmp_path / "run"), records=path)


def test_a_model_makes_the_vectors_of_records_and_real_rows(tmp_path):
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    records = good_records(planned_examples())[:6]
    run = save_run(tmp_path / "run", records)
    found = validate(run, embedding_model="demo", real=records.select("prompt"))
    assert gate_of(found, "embedding_copies").value == 1.0


def test_embeddings_are_given_in_one_way(tmp_path):
    run = save_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="not both"):
        validate(run, embedding_model="demo", synthetic_embeddings="x.npy")
    with pytest.raises(ConfigError, match="real pool"):
        validate(run, real_embeddings="x.npy")


def test_a_dimension_of_one_value_and_items_that_are_no_objects(tmp_path):
    content = {
        **CONTENT,
        "dimensions": {"tone": {"values": {"calm": 1.0}, "check": {"kind": "rule", "field": "tone"}}},
    }
    planned = planned_examples().with_columns(pl.lit("calm").alias("tone"))
    records = good_records(planned)
    items = ["[1, 2]", "null", "7", "{broken", '"text"', '{"text": ' * 2000, *records["item"][6:]]
    found = validate(
        save_run(tmp_path / "run", records.with_columns(pl.Series("item", items)), content, planned)
    )
    assert gate_of(found, "distribution:tone").outcome == "not measured"
    assert gate_of(found, "agreement:tone").value == pytest.approx(175 / 180)
    assert gate_of(found, "schema_validity").value == pytest.approx(175 / 180)


def test_gates_of_the_configuration_are_taken_and_unknown_ones_refused(tmp_path):
    run = save_run(tmp_path / "run", content={**CONTENT, "gates": {"agreement:tone": 0.5, "copies": 0.2}})
    found = validate(run)
    assert gate_of(found, "agreement:tone").threshold == 0.5
    assert gate_of(found, "agreement:product").threshold == 0.9
    run = save_run(tmp_path / "run", content={**CONTENT, "gates": {"agreement:mood": 0.5}})
    with pytest.raises(ConfigError, match="agreement:tone"):
        validate(run)


# Terminal and command line


def test_hostile_texts_reach_the_terminal_harmless(tmp_path):
    hostile = "\x1b[2J[bold]evil[/bold]\x07"
    content = json.loads(json.dumps(CONTENT))
    content["strata"]["checks"] = {}
    records = with_item(good_records(planned_examples()), range(40), tone=hostile, rating=3)
    path = tmp_path / "run"
    found = validate(save_run(path, records, content))
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as capture:
        print_validation(console, found, folder=hostile)
    shown = capture.get()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "What these rows can prove" in shown
    assert "agreement:tone" in shown


def test_a_run_with_nothing_to_mend_says_no_more_than_its_gates(tmp_path):
    console = Console(file=io.StringIO(), width=120)
    print_validation(console, validate(save_run(tmp_path / "run")), folder="run/validation")
    said = console.file.getvalue()
    assert "Short, for the next plan" not in said
    shown = [_figure(SimpleNamespace(name=name), 0.5) for name in ("coverage", "distribution:tone", "copies")]
    assert shown == ["0.50", ".500", "50.0"]
    console = Console(file=io.StringIO())
    _print_proofs(console, [])
    assert console.file.getvalue() == ""


def test_a_judge_that_no_dimension_wants_is_not_asked(tmp_path):
    run = save_run(tmp_path / "run")
    judge = ["--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "m", "--judge-concurrency", "2"]
    done = CliRunner().invoke(app, ["synth", "validate", str(run), *judge, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["failed"] == []


def run_cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tasksel", "synth", "validate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_line_says_by_its_exit_code_what_happened(tmp_path):
    run = save_run(tmp_path / "run")
    done = run_cli(run, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == []
    failing = tmp_path / "few.parquet"
    good_records(planned_examples())[:50].write_parquet(failing)
    failed = run_cli(run, "--records", failing, "--tier", 200)
    assert failed.returncode == 3, failed.stderr
    assert "completeness" in failed.stdout
    wrong = run_cli(tmp_path / "nothing")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)
    alone = run_cli(run, "--judge-url", "http://localhost:1/v1")
    assert alone.returncode == 2
    assert "--judge-model" in alone.stderr


# Gates and power


def test_a_gate_says_whether_its_interval_decides():
    clear, unclear = rate_gate(GATES["agreement"], 990, 1000), rate_gate(GATES["agreement"], 92, 100)
    assert (clear.outcome, clear.is_proven) == ("passed", True)
    assert (unclear.outcome, unclear.is_proven) == ("passed", False)
    assert rate_gate(GATES["copies"], 0, 100).outcome == "passed"
    assert rate_gate(GATES["personal_data"], 1, 1000).outcome == "failed"
    assert rate_gate(GATES["agreement"], 9, 10).outcome == "passed"
    assert figure_gate(GATES["coverage"], float("nan"), 3).outcome == "not measured"
    assert not unmeasured_gate(GATES["coverage"], "why").is_proven
    assert Gate(**vars(GATES["copies"]), outcome="passed", value=0.0, interval=Interval(0.0, 0.0)).is_proven


@pytest.mark.parametrize(
    "given", [{"covrage": 0.5}, {"coverage:x": 0.5}, {"coverage": 1.5}, {"coverage": "1"}]
)
def test_gates_that_do_not_exist_are_refused(given):
    with pytest.raises(ConfigError):
        read_rules(given, {})


@settings(max_examples=40)
@given(st.integers(1, 120), st.sampled_from([0.0, 0.02, 0.1]), st.floats(0.0, 1.0))
def test_the_power_of_a_rate_is_that_of_simulated_gates(n_rows, allowed, true):
    drawn = np.random.default_rng(n_rows).binomial(n_rows, true, 20_000)
    rate = float((drawn / n_rows > allowed + 1e-12).mean())
    assert rate_check_power(n_rows, allowed, true) == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize(("allowed", "true"), [(0.0, 0.01), (0.02, 0.04), (0.05, 0.1), (0.1, 0.11)])
def test_from_the_wanted_rows_on_the_power_is_there(allowed, true):
    wanted = rows_for_rate_check(allowed, true)
    assert all(rate_check_power(n, allowed, true) >= 0.8 for n in range(wanted, wanted + 120))
    assert rate_check_power(wanted - 1, allowed, true) < 0.8
    assert rows_for_rate_check(0.1, 0.1) is None


def test_a_rate_that_is_hardly_too_high_wants_more_rows_than_anybody_has():
    assert rows_for_rate_check(0.1, 0.100001) is None
    said = describe_power(100, "a rate of 10.0001 %", 0.5, None)
    assert said.endswith("; a million would not do for .80.")
    assert rate_check_power(0, 0.1, 0.5) == 0.0


@pytest.mark.parametrize("shares", [(-0.1, 0.5), (0.5, 1.1), (0.5, float("nan"))])
def test_what_is_no_share_has_no_power(shares):
    with pytest.raises(ConfigError, match="a share from 0 to 1 is wanted"):
        rate_check_power(100, *shares)


@pytest.mark.parametrize(
    ("allowed", "true"), [(0.1, 0.102), (0.1, 0.098), (0.0, 0.0), (0.1, 1.0), (1.0, 1.0)]
)
def test_many_rows_are_counted_by_the_normal_curve_as_few_are_exactly(allowed, true, monkeypatch):
    monkeypatch.setattr("tasksel.synthesis.power._EXACT_ROWS", 20_000)
    exact = rate_check_power(20_000, allowed, true)
    monkeypatch.setattr("tasksel.synthesis.power._EXACT_ROWS", 19_999)
    assert rate_check_power(20_000, allowed, true) == pytest.approx(exact, abs=0.005)


def test_the_power_of_a_short_value_is_that_of_the_exact_test():
    rng = np.random.default_rng(0)
    drawn = rng.binomial(100, 0.1, 20_000)
    # At a share of .2, 13 or fewer of 100 come with probability .047, and 14 or fewer with .080.
    assert short_value_power(100, 0.2, 0.1) == pytest.approx(float((drawn <= 13).mean()), abs=0.01)
    assert short_value_power(3, 0.2, 0.0) == 0.0
    assert unseen_value_power(0, 0.2) == 0.0
    assert smallest_n(lambda n: 0.0) is None


def test_the_power_of_a_missing_share_rises_with_rows_and_falls_with_cells():
    powers = [missing_share_power(n, 0.2, 25, n_reference=200) for n in (25, 50, 100, 400)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99
    assert missing_share_power(100, 0.2, 25) > missing_share_power(100, 0.2, 100)
    assert missing_share_power(100, 0.2, 25) > missing_share_power(100, 0.2, 25, n_reference=100)
    assert missing_share_power(0, 0.2, 25) == 0.0
    with pytest.raises(ConfigError):
        missing_share_power(10, 1.0, 5)


def test_one_planned_value_has_no_rarest_to_be_noticed():
    values = [ValueResult("calm", 5, 5, 4), ValueResult("angry", 0, 0, 1)]
    result = DimensionResult("tone", "classifier", n_rows=5, values=values)
    assert _prove_distribution(result, 1) is None
    result.values[1] = ValueResult("angry", 5, 5, 1)
    assert _prove_distribution(result, 1)["value"] == "angry"


def test_what_was_written_is_read_from_any_item():
    assert validation_inputs.written_text({"a": [{"b": "x"}, 3, "y"], "c": "z"}, None) == "x\ny\nz"
    assert validation_inputs.written_text({}, "prompt") == "prompt"
    assert validation_inputs.written_text({"text": "x", "tone": "calm"}, None, without={"tone"}) == "x"
