from __future__ import annotations

import json
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.run_folder import write_json
from tasksel.synthesis.config import RecordConfig
from tasksel.synthesis.config_file import config_content, parse_config
from tasksel.synthesis.edge_batch import EDGE_COLUMNS, make_edge_items, prove_records, render_record
from tasksel.synthesis.edge_cases import is_mutable
from tasksel.synthesis.edge_run import make_edge_records
from tasksel.synthesis.edge_schema import find_violations
from tasksel.synthesis.probe import ProbeSettings, probe
from tasksel.synthesis.probe_batch import make_probe_examples, read_probe_batch
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

pytest.importorskip("jsonschema", reason="the extra synth is not installed")

PRODUCTS = ("phone", "laptop")
CATEGORIES = (
    "boundary",
    "very-short",
    "very-long",
    "unicode",
    "missing",
    "invalid",
    "extreme",
    "near-duplicate",
)
SCHEMA = {
    "type": "object",
    "required": ["text", "rating"],
    "properties": {
        "text": {"type": "string", "minLength": 10, "maxLength": 2000},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "product": {"enum": ["phone", "laptop", "watch"]},
        "price": {"type": "number", "minimum": 0},
    },
}
RECORD = RecordConfig(prompt="{text} ({product})", response="{rating}")


def records_frame(n=12, **columns):
    items = [
        {
            "text": f"The {PRODUCTS[row % 2]} number {row} broke after two days. I want it repaired!",
            "rating": row % 5 + 1,
            "product": PRODUCTS[row % 2],
            "price": 10.5 + row,
        }
        for row in range(n)
    ]
    return pl.DataFrame(
        {
            "id": [f"r{row}" for row in range(n)],
            "plan_id": [f"s-{row:06}" for row in range(n)],
            "task": [PRODUCTS[row % 2] for row in range(n)],
            "product": [PRODUCTS[row % 2] for row in range(n)],
            "prompt": [item["text"] for item in items],
            "edge": pl.Series([None] * n, dtype=pl.String),
            "item": [json.dumps(item) for item in items],
        }
        | columns
    )


def planned_frame(n=32, tier=100):
    return pl.DataFrame(
        {
            "plan_id": [f"s-{1000 + row:06}" for row in range(n)],
            "tier": [tier] * n,
            "stratum": [PRODUCTS[row // 8 % 2] for row in range(n)],
            "product": [PRODUCTS[row // 8 % 2] for row in range(n)],
            "edge": [CATEGORIES[row % 8] for row in range(n)],
        }
    )


def test_planned_examples_are_made_from_records_of_their_stratum_and_proved():
    records, planned = records_frame(), planned_frame()
    made = make_edge_items(records, planned, SCHEMA, 7, record=RECORD)
    assert made.unfulfilled.is_empty()
    assert made.left_to_model["edge"].unique().to_list() == ["near-duplicate"]
    frame = made.records
    mutable = planned.filter(pl.col("edge").map_elements(is_mutable, return_dtype=pl.Boolean))
    assert frame["plan_id"].to_list() == mutable["plan_id"].to_list()
    assert frame["edge"].to_list() == mutable["edge"].to_list()
    task_of = dict(records.select("id", "task").iter_rows())
    assert [task_of[source] for source in frame["edge_source"]] == frame["task"].to_list()
    assert frame["origin"].unique().to_list() == ["mutation"]
    assert frame["item"].n_unique() == frame["id"].n_unique() == frame.height
    assert not set(frame["id"]) & set(records["id"])
    assert frame.select(EDGE_COLUMNS).null_count().transpose().sum().item() == 0
    originals = {row["id"]: json.loads(row["item"]) for row in records.iter_rows(named=True)}
    proofs = prove_records(frame, SCHEMA, originals=originals)
    assert proofs["holds"].to_list() == [True] * frame.height


def test_the_stratum_stays_and_the_schema_holds_where_the_category_does_not_break_it():
    made = make_edge_items(records_frame(), planned_frame(64), SCHEMA, 1, record=RECORD).records
    for row in made.filter(~pl.col("edge").is_in(["missing", "invalid"])).iter_rows(named=True):
        item = json.loads(row["item"])
        assert item["product"] == row["product"]
        assert find_violations(item, SCHEMA) == []


def test_equal_seeds_give_equal_records_and_a_longer_plan_begins_alike():
    records, planned = records_frame(), planned_frame()
    first = make_edge_items(records, planned, SCHEMA, 3, record=RECORD).records
    assert first.equals(make_edge_items(records, planned, SCHEMA, 3, record=RECORD).records)
    assert not first.equals(make_edge_items(records, planned, SCHEMA, 4, record=RECORD).records)
    begun = make_edge_items(records, planned.head(16), SCHEMA, 3, record=RECORD).records
    assert begun.equals(first.head(begun.height)), "a longer plan changes nothing that was made before"


def test_what_cannot_be_made_is_named_with_its_reason():
    planned = pl.DataFrame(
        {"plan_id": ["a", "b"], "stratum": ["watch", "phone"], "edge": ["missing", "very-long"]}
    )
    records = pl.DataFrame({"id": ["r"], "task": ["phone"], "item": ['{"n": 3}']})
    made = make_edge_items(records, planned, {}, 0)
    assert dict(made.unfulfilled.select("plan_id", "reason").iter_rows()) == {
        "a": "no ordinary record of its stratum",
        "b": "the category applies to no item of its stratum",
    }
    assert made.records.is_empty()


def test_no_two_made_items_are_equal():
    planned = pl.DataFrame({"plan_id": list("abcdefgh"), "stratum": ["x"] * 8, "edge": ["missing"] * 8})
    records = pl.DataFrame({"id": ["r"], "task": ["x"], "item": ['{"text": ["only", "this"]}']})
    made = make_edge_items(records, planned, {"required": ["text"]}, 0)
    assert sorted(made.records["item"]) == ['{"text": []}', '{"text": null}', "{}"]
    assert made.unfulfilled["reason"].unique().to_list() == ["only items that are there already"]


def test_edge_records_and_broken_items_are_no_sources():
    records = records_frame(
        4, edge=["missing", None, None, None], item=["{}", "not json", None, '{"text": "fine"}']
    )
    planned = pl.DataFrame({"plan_id": ["a"], "stratum": ["laptop"], "edge": ["missing"]})
    assert make_edge_items(records, planned, {"required": ["text"]}, 0).records["edge_source"].to_list() == [
        "r3"
    ]


def test_surrogates_stay_in_the_item_and_not_in_the_prompt():
    prompt, response = render_record(
        {"text": "a\ud83d", "rating": None, "tags": ["ü"]},
        {"x": "y"},
        RecordConfig("{text} {x} {tags}", "{rating}"),
    )
    assert (prompt, response) == ('a\ufffd y ["ü"]', "")
    planned = planned_frame(8).filter(edge="unicode")
    many = pl.concat([planned.with_columns(plan_id=pl.lit(f"u{number}")) for number in range(60)])
    made = make_edge_items(records_frame(), many, SCHEMA, 0, record=RECORD).records
    assert "surrogate" in made["edge_variant"].to_list()
    assert all(json.loads(item)["text"] for item in made["item"])


def test_records_without_an_edge_and_empty_plans_give_empty_frames():
    nothing = planned_frame(8).clear()
    made = make_edge_items(records_frame(), nothing, SCHEMA, 0, record=RECORD)
    assert made.records.height == made.unfulfilled.height == 0
    assert prove_records(records_frame(), SCHEMA).is_empty()
    assert make_edge_items(records_frame(4).clear(), planned_frame(8), SCHEMA, 0).unfulfilled.height == 7


def test_missing_columns_and_unknown_categories_are_sentences():
    with pytest.raises(SchemaError, match="The records lack task"):
        make_edge_items(pl.DataFrame({"id": ["a"], "item": ["{}"]}), planned_frame(1), {}, 0)
    with pytest.raises(SchemaError, match="The examples lack stratum"):
        make_edge_items(records_frame(1), pl.DataFrame({"plan_id": ["a"], "edge": ["x"]}), {}, 0)
    with pytest.raises(ConfigError, match="'x' is not an edge category"):
        make_edge_items(records_frame(1), planned_frame(1).with_columns(edge=pl.lit("x")), {}, 0)


def test_what_a_model_wrote_is_proved_too():
    written = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "edge": ["very-short", "very-short", "near-duplicate", "near-duplicate", "missing"],
            "item": [
                json.dumps({"text": "Broken!!!!", "rating": 1}),
                json.dumps({"text": "This is not very short at all, is it?", "rating": 1}),
                json.dumps({"text": "The strap broke after three days.", "rating": 5}),
                json.dumps({"text": "The strap broke after three days.", "rating": 5}),
                "not json",
            ],
            "edge_source": [None, None, "o", None, None],
        }
    )
    originals = {"o": {"text": "The strap broke after two days.", "rating": 1}}
    proofs = prove_records(written, SCHEMA, originals=originals, labels=("rating",))
    assert proofs["holds"].to_list() == [True, False, True, None, False]


# A run folder


@pytest.fixture
def run_folder(tmp_path):
    config = parse_config(
        {
            "total": 100,
            "seed": 5,
            "strata": {"levels": {"product": list(PRODUCTS)}},
            "edge": {"share": 0.1, "custom": {"sarcasm": {"instruction": "Praise while complaining."}}},
            "schema": SCHEMA,
            "record": {"prompt": "{text}", "response": "{rating}"},
        },
        name="reviews",
        folder=tmp_path,
    )
    run = tmp_path / "run"
    (run / "plan").mkdir(parents=True)
    (run / "generation").mkdir()
    write_json(run / "plan" / "config.json", config_content(config))
    ordinary = planned_frame(12).with_columns(
        plan_id=records_frame()["plan_id"], edge=pl.lit(None, dtype=pl.String)
    )
    later = planned_frame(8, tier=1000).with_columns(plan_id=pl.col("plan_id") + "x")
    pl.concat([ordinary, planned_frame(16), later]).write_parquet(run / "plan" / "examples.parquet")
    records_frame().write_parquet(run / "generation" / "records.parquet")
    return run


def test_a_run_gets_its_edge_records_in_a_folder_of_their_own(run_folder):
    summary = make_edge_records(run_folder)
    records = pl.read_parquet(run_folder / "edge" / "records.parquet")
    assert records.height == 14, "of the tier that was generated alone"
    assert not summary.is_short
    assert {each["edge"]: each["made"] for each in summary.categories}["unicode"] == 2
    assert {each["edge"]: each["left_to_model"] for each in summary.categories}["near-duplicate"] == 2
    assert pl.read_parquet(run_folder / "edge" / "proofs.parquet")["holds"].all()
    manifest = json.loads((run_folder / "edge" / "manifest.json").read_text())
    assert str(run_folder) not in json.dumps(manifest)
    before = {path.name: path.read_bytes() for path in (run_folder / "edge").iterdir()}
    make_edge_records(run_folder)
    assert {path.name: path.read_bytes() for path in (run_folder / "edge").iterdir()} == before


def test_what_the_generation_wrote_is_proved_and_not_made_again(run_folder):
    path = run_folder / "generation" / "records.parquet"
    records = pl.read_parquet(path)
    taken = planned_frame(16)["plan_id"][1]
    written = records.head(1).with_columns(plan_id=pl.lit(taken), id=pl.lit("w"), edge=pl.lit("very-short"))
    pl.concat([records, written]).write_parquet(path)
    summary = make_edge_records(run_folder)
    counts = {each["edge"]: each for each in summary.categories}["very-short"]
    assert (counts["planned"], counts["made"], counts["proved"], counts["disproved"]) == (1, 1, 1, 1)
    assert any("not the edge case that they are said to be" in note for note in summary.notes)
    assert taken not in pl.read_parquet(run_folder / "edge" / "records.parquet")["plan_id"].to_list()
    make_edge_records(run_folder, replace_disproved=True)
    made = pl.read_parquet(run_folder / "edge" / "records.parquet")
    assert dict(made.select("plan_id", "edge_replaces").drop_nulls().iter_rows()) == {taken: "w"}
    batch = read_probe_batch(run_folder)
    assert len(batch.examples) == made.height, "the disproved one is left out, and the setting is kept"


def test_a_probe_takes_the_edge_cases_of_a_run_and_its_prompts(run_folder, tmp_path):
    batch = read_probe_batch(run_folder, control=5)
    made = pl.read_parquet(run_folder / "edge" / "records.parquet")
    assert [each.category for each in batch.examples] == made["edge"].to_list()
    assert [each.text for each in batch.examples] == made["prompt"].to_list()
    assert len(batch.control) == 5
    assert len(batch.sources) == 12
    again = make_probe_examples(batch, {("very-long", "sentences"): 4}, seed=0)
    assert all(each.text == each.item["text"] for each in again)
    command = f"{sys.executable} -c 'import sys; sys.exit(len(open(sys.argv[1]).read()) > 9000)' {{file}}"
    settings = ProbeSettings(format="txt", control=2, iterations=2)
    found = probe(command, run_folder, out=tmp_path / "out", settings=settings)
    assert {each["category"]: each["run"] for each in found.categories}["ordinary"] == 2
    assert "near-duplicate" not in {each["category"] for each in found.plan}


def test_a_run_without_plan_or_records_or_with_damaged_ones_is_a_sentence(run_folder, tmp_path):
    with pytest.raises(ResumeError, match="holds no plan"):
        make_edge_records(tmp_path / "nowhere")
    path = run_folder / "generation" / "records.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResumeError, match=r"cannot be read .* `tasksel synth reparse"):
        make_edge_records(run_folder)
    path.unlink()
    with pytest.raises(ResumeError, match=r"no .*generation/records\.parquet"):
        make_edge_records(run_folder)


def test_the_verb_prints_a_table_that_fits_and_exits_with_3_where_something_is_short(run_folder):
    def run_edge(*more):
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["synth", "edge", str(run_folder), *more])

    done = run_edge()
    assert done.exit_code == 0, done.output
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if str(run_folder) not in line)
    assert "near-duplicate" in done.stdout
    path = run_folder / "generation" / "records.parquet"
    pl.read_parquet(path).filter(task="phone").write_parquet(path)
    short = run_edge("--json")
    assert short.exit_code == 3, short.output
    assert run_edge("--quiet").stdout == ""
    assert any(each["unfulfilled"] for each in json.loads(short.stdout)["categories"])
