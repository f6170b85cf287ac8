"""The labels of a run: imports that never change, conflicts, votes, adjudication, kills."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import shutil

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import tasksel
from tasksel.annotation import label_store
from tasksel.annotation.adjudication import resolve_answers
from tasksel.annotation.agreement import krippendorff_alpha, measure_agreement, pairwise_agreement
from tasksel.annotation.answers import ANSWER_SCHEMA
from tasksel.annotation.label_store import read_labels, store_answers
from tasksel.annotation.standing_answers import ImportedAnswers, fold_imports
from tasksel.run_folder import folder_lock
from tasksel.terminal_annotation import print_labels
from tasksel_core.errors import AnnotationError, ConfigError, ResumeError, SchemaError

PROMPTS = pl.DataFrame(
    {"id": ["a", "b", "c"], "task": ["x", "x", "y"], "prompt": ["p", "q", "r"], "rank": [1, 2, 3]}
)


def row(identifier, response, annotator="ann", status=None):
    told = dict.fromkeys(ANSWER_SCHEMA.names()) | {"id": identifier, "annotator": annotator, "source": "test"}
    return told | {"response": response, "status": status or "answered", "prompt_sha256": "0" * 64}


def frame(*rows):
    return pl.DataFrame(rows, schema=ANSWER_SCHEMA, orient="row")


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def store(run, *rows, prompts=PROMPTS, **options):
    return store_answers(run, prompts, frame(*rows), source="test", **options)


def responses(labels):
    return dict(labels.frame.select("id", "response").iter_rows())


def snapshot(run):
    return {path.name: path.read_bytes() for path in (run / "labels").rglob("*") if path.is_file()}


def test_labelled_rows_have_all_columns_and_can_be_trained_on(run):
    labels = store(run, row("c", "3"), row("a", "1"), row("a", "1", "bob")).labels
    labelled = pl.read_parquet(run / "labels" / "labelled.parquet")
    assert labelled.columns == [
        *("id", "task", "prompt", "response", "rank", "prompt_sha256", "n_answers", "agreement", "annotators")
    ]
    assert labelled["id"].to_list() == ["a", "c"]
    assert labelled["n_answers"].to_list() == [2, 1]
    assert labelled["agreement"].to_list() == [1.0, None]
    assert labelled["annotators"].to_list() == [["ann", "bob"], ["ann"]]
    assert tasksel.load_pool(run / "labels" / "labelled.parquet").frame["response"].to_list() == ["1", "3"]
    assert labels.counts == {
        "asked": 3,
        "labelled": 2,
        "rejected": 0,
        "skipped": 0,
        "empty": 0,
        "to_adjudicate": 0,
        "open": 1,
        "conflicts": 0,
    }


def test_columns_of_the_pool_that_have_our_names_are_kept(run):
    prompts = PROMPTS.with_columns(response=pl.lit("old"), agreement=pl.lit(7), pool_response=pl.lit("other"))
    labels = store(run, row("a", "1"), prompts=prompts).labels
    (labelled,) = labels.frame.iter_rows(named=True)
    told = (labelled["response"], labelled["pool_response_"], labelled["pool_response"])
    assert told == ("1", "old", "other")
    assert (labelled["pool_agreement"], labelled["agreement"]) == (7, None)
    again = store(run, row("b", "2"), prompts=prompts).labels
    assert again.frame.columns == labels.frame.columns


def test_the_same_import_twice_adds_nothing(run):
    first = store(run, row("a", "1"), row("b", None, status="skipped"))
    before = snapshot(run)
    second = store(run, row("b", None, status="skipped"), row("a", "1"))
    assert (first.number, second.number, second.added, second.repeated) == (1, None, 0, 2)
    assert snapshot(run) == before


def test_imports_never_change(run):
    store(run, row("a", "1"))
    before = (run / "labels" / "imports" / "0001.parquet").read_bytes()
    store(run, row("a", "other"), row("b", "2"), on_conflict="replace")
    assert (run / "labels" / "imports" / "0001.parquet").read_bytes() == before
    second = pl.read_parquet(run / "labels" / "imports" / "0002.parquet")
    assert second.schema == ANSWER_SCHEMA
    assert second["response"].to_list() == ["other", "2"]


@pytest.mark.parametrize(
    ("rule", "expected", "to_adjudicate"),
    [("keep", "1", ()), ("replace", "2", ()), ("ask-list", None, ("a",))],
)
def test_an_annotator_says_otherwise(run, rule, expected, to_adjudicate):
    store(run, row("a", "1"))
    stored = store(run, row("a", "2"), on_conflict=rule)
    assert responses(stored.labels).get("a") == expected
    assert stored.labels.disagreeing_ids == to_adjudicate
    (line,) = (run / "labels" / "conflicts.jsonl").read_text("utf-8").splitlines()
    conflict = json.loads(line)
    assert (conflict["earlier"]["response"], conflict["later"]["response"]) == ("1", "2")
    assert stored.conflicts == [conflict]
    again = store(run, row("a", "2"), on_conflict=rule)
    assert again.added == 0
    assert again.conflicts == []


def test_an_earlier_file_again_does_not_undo_a_replacement_unless_told_to(run):
    store(run, row("a", "1"))
    store(run, row("a", "2"), on_conflict="replace")
    assert responses(store(run, row("a", "1")).labels) == {"a": "2"}
    assert responses(store(run, row("a", "1"), on_conflict="replace").labels) == {"a": "1"}


def test_an_answer_follows_a_skip_without_conflict(run):
    store(run, row("a", None, status="skipped"), row("b", None, status="empty"))
    stored = store(run, row("a", "1"), row("b", None, status="rejected"))
    assert stored.conflicts == []
    assert responses(stored.labels) == {"a": "1"}
    assert stored.labels.rejected_ids == ("b",)


def test_a_skip_does_not_take_an_answer_away(run):
    store(run, row("a", "1"))
    stored = store(run, row("a", None, status="skipped"))
    assert responses(stored.labels) == {"a": "1"}
    assert len(stored.conflicts) == 1


def test_votes(run):
    said = [
        ("a", "yes", "ann"),
        ("a", " yes\n", "bob"),
        ("a", "no", "cyd"),
        ("b", "x", "ann"),
        ("b", "y", "bob"),
    ]
    labels = store(run, *(row(*each) for each in said)).labels
    assert responses(labels) == {"a": "yes"}
    assert labels.frame["agreement"].to_list() == [pytest.approx(1 / 3)]
    assert labels.frame["annotators"].to_list() == [["ann", "bob"]]
    assert labels.disagreeing_ids == ("b",)
    assert labels.agreement.exact_match == pytest.approx(1 / 6)


def test_a_rejection_is_a_vote(run):
    said = [row("a", None, "ann", "rejected"), row("a", "1", "bob"), row("b", None, "ann", "rejected")]
    labels = store(run, *said, row("b", None, "bob", "rejected"), row("b", "2", "cyd")).labels
    assert labels.disagreeing_ids == ("a",)
    assert labels.rejected_ids == ("b",)


def test_trusted_annotators_go_before_the_majority_and_stay_trusted(run):
    said = [
        row("a", "x", "ann"),
        row("a", "x", "bob"),
        row("a", "y", "cyd"),
        row("b", "1", "ann"),
        row("b", "2", "bob"),
    ]
    labels = store(run, *said, annotators=["cyd", "ann"]).labels
    assert responses(labels) == {"a": "y", "b": "1"}
    later = store(run, row("c", "z", "dan")).labels
    assert later.annotators == ("cyd", "ann")
    assert responses(later) == {"a": "y", "b": "1", "c": "z"}
    console = Console(file=io.StringIO(), width=80)
    print_labels(console, later)
    assert "Trusted before the majority: cyd, ann." in console.file.getvalue()
    assert responses(store(run, annotators=[]).labels) == {"a": "x", "c": "z"}


def test_a_filled_in_adjudication_settles(run, tmp_path):
    labels = store(run, row("a", "x", "ann"), row("a", "=y", "bob"), row("b", "1")).labels
    assert labels.counts["to_adjudicate"] == 1
    listed = pl.read_parquet(run / "labels" / "adjudication.parquet")
    assert listed.select("id", "said_by", "said").rows() == [("a", "ann", "x"), ("a", "bob", "=y")]
    sheet = pl.read_csv(run / "labels" / "adjudication.csv")
    assert sheet["said"].to_list() == ["x", "'=y"]
    sheet.with_columns(response=pl.Series(["=z", None])).write_csv(tmp_path / "settled.csv")
    summary = tasksel.import_labels(tmp_path / "settled.csv", into=run, adjudication=True)
    assert responses(summary.labels) == {"a": "=z", "b": "1"}
    assert summary.labels.disagreeing_ids == ()
    assert summary.labels.answers_by_annotator["adjudicator"] == 1
    assert summary.labels.agreement.prompts == 1


def test_a_rejection_can_be_settled_by_an_answer(run, tmp_path):
    store(
        run,
        row("a", None, "ann", "rejected"),
        row("a", "y", "bob"),
        row("b", None, "ann", "rejected"),
        row("b", "y", "bob"),
    )
    sheet = pl.read_csv(run / "labels" / "adjudication.csv")
    assert sheet["said_status"].to_list() == ["rejected", "answered"] * 2
    sheet.with_columns(
        response=pl.Series(["z", None, None, None]), status=pl.Series([None, None, "rejected", None])
    ).write_csv(tmp_path / "settled.csv")
    labels = tasksel.import_labels(tmp_path / "settled.csv", into=run, adjudication=True).labels
    assert responses(labels) == {"a": "z"}
    assert labels.rejected_ids == ("b",)


def test_an_unfilled_adjudication_brings_nothing(run):
    store(run, row("a", "x", "ann"), row("a", "y", "bob"))
    summary = tasksel.import_labels(run / "labels" / "adjudication.csv", into=run, adjudication=True)
    assert (summary.added, summary.counts["open"]) == (0, 2)
    assert summary.labels.disagreeing_ids == ("a",)


def test_rounds_add_prompts(run):
    store(run, row("a", "1"))
    further = pl.DataFrame({"id": ["d", "a"], "prompt": ["s", "p"], "extra": [5, 6], "rank": [1, 2]})
    labels = store(run, row("d", "4"), prompts=further).labels
    assert labels.prompts["id"].to_list() == ["a", "b", "c", "d"]
    assert labels.prompts["extra"].to_list() == [None, None, None, 5]
    assert responses(labels) == {"a": "1", "d": "4"}
    with pytest.raises(AnnotationError, match=r"2 ids stand for other prompts.*'a'"):
        store(run, prompts=further.with_columns(prompt=pl.lit("changed")))


def test_what_is_no_answer_is_refused(run):
    with pytest.raises(AnnotationError, match="1 answers belong to no prompt, the first to 'zz'"):
        store(run, row("zz", "1"))
    with pytest.raises(SchemaError, match="wanted are id, prompt_sha256"):
        store_answers(run, PROMPTS, pl.DataFrame({"id": ["a"]}), source="x")
    with pytest.raises(ConfigError, match=r"on_conflict is 'ask'; allowed: keep, replace, ask-list"):
        store(run, row("a", "1"), on_conflict="ask")
    with pytest.raises(ConfigError, match="holds no labels"):
        read_labels(run)


def test_labels_are_read_from_the_run_or_its_folder(run):
    labels = store(run, row("a", "1")).labels
    for place in (run, run / "labels"):
        assert read_labels(place).frame.equals(labels.frame)
    assert tasksel.read_labels(run).to_dict() == labels.to_dict()


def test_labels_that_an_import_is_missing_from_are_not_read(run):
    """A kill after the files of an import and before the manifest, which then counts one import less."""
    store(run, row("a", "1"))
    for ending in ("json", "parquet"):
        first = run / "labels" / "imports" / f"0001.{ending}"
        shutil.copy(first, first.with_stem("0002"))
    with pytest.raises(ResumeError, match="was interrupted; run the same command again"):
        read_labels(run)


def test_a_folder_of_another_stage_is_no_folder_of_labels(run):
    store(run, row("a", "1"))
    path = run / "labels" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "stage": "scores"}))
    with pytest.raises(ResumeError, match=r"is of the stage 'scores', where 'labels' is wanted; choose"):
        read_labels(run)


@pytest.mark.parametrize("name", ["labelled.parquet", "conflicts.jsonl", "imports/0001.parquet"])
def test_a_changed_file_is_found(run, name):
    store(run, row("a", "1"))
    path = run / "labels" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ResumeError, match="not as it was written"):
        read_labels(run)


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
def test_one_process_at_a_time(run):
    with folder_lock(run / "labels"), pytest.raises(ResumeError, match="in use by another"):
        store(run, row("a", "1"))


def dying(write, left):
    def call(*arguments, **options):
        if next(left) <= 0:
            raise KeyboardInterrupt
        return write(*arguments, **options)

    return call


def test_a_kill_at_any_write_costs_nothing(run, monkeypatch):
    """After each write in turn the process dies; the same import again gives what an undisturbed one does."""
    store(run, row("a", "1"), annotators=["ann"])
    store(run, row("b", "2"), row("a", "x"))
    expected = snapshot(run)
    for die_at in range(12):
        killed = run.parent / f"killed-{die_at}"
        store(killed, row("a", "1"), annotators=["ann"])
        with monkeypatch.context() as patched:
            left = itertools.count(die_at, -1)
            for name in ("write_frame", "write_json", "write_text", "write_table"):
                patched.setattr(label_store, name, dying(getattr(label_store, name), left))
            with contextlib.suppress(KeyboardInterrupt):
                store(killed, row("b", "2"), row("a", "x"))
                assert die_at >= 8
        store(killed, row("b", "2"), row("a", "x"))
        assert snapshot(killed) == expected, die_at


@pytest.mark.parametrize("name", ["labelled.parquet", "conflicts.jsonl", "adjudication.csv"])
def test_what_is_derived_is_made_anew_by_any_import(run, name):
    store(run, row("a", "1"), annotators=["ann"])
    before = snapshot(run)
    (run / "labels" / name).unlink()
    assert store(run, row("a", "1")).labels.annotators == ("ann",)
    assert snapshot(run) == before


def test_lost_prompts_do_not_lose_answers(run):
    store(run, row("a", "1"), row("b", "2"))
    (run / "labels" / "prompts.parquet").write_bytes(b"x")
    with pytest.raises(ResumeError, match=r"prompts\.parquet cannot be read; restore it"):
        store(run, row("a", "1"))
    (run / "labels" / "prompts.parquet").unlink()
    with pytest.raises(AnnotationError, match="1 answers of earlier imports belong to no prompt"):
        store(run, row("a", "1"), row("c", "3"), prompts=PROMPTS.filter(pl.col("id") != "b"))
    assert not (run / "labels" / "imports" / "0002.parquet").exists()
    assert responses(store(run, row("a", "1")).labels) == {"a": "1", "b": "2"}


def test_an_interrupted_import_is_told_of(run, monkeypatch):
    store(run, row("a", "1"))
    (run / "labels" / "manifest.json").unlink()
    with pytest.raises(ResumeError, match="was interrupted; run the same command again"):
        read_labels(run)


statuses = st.sampled_from(["answered", "answered", "rejected", "skipped", "empty"])
answers = st.builds(
    lambda identifier, response, annotator, status: row(
        identifier, response if status == "answered" else None, annotator, status
    ),
    *(st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from(["ann", "bob"]), statuses),
)


def once(rows):
    return list({(each["id"], each["annotator"]): each for each in rows}.values())


@given(
    st.lists(st.lists(answers, max_size=6).map(once), max_size=4),
    st.sampled_from(["keep", "replace", "ask-list"]),
)
@settings(max_examples=60, deadline=None)
def test_every_prompt_has_one_fate_and_keep_never_forgets(rows, rule):
    imports = [ImportedAnswers(n, frame(*each), rule, False) for n, each in enumerate(rows, start=1)]
    folded = fold_imports(imports)
    resolved = resolve_answers(folded.frame)
    fates = [
        *resolved.labels["id"],
        *(*resolved.rejected_ids, *resolved.skipped_ids, *resolved.empty_ids, *resolved.disagreeing_ids),
    ]
    touched = {each["id"] for one in rows for each in one}
    assert sorted(fates) == sorted(touched)
    if rule == "keep":
        first = {}
        for each in (each for one in rows for each in one if each["status"] in ("answered", "rejected")):
            first.setdefault((each["id"], each["annotator"]), each["response"])
        standing = folded.frame.filter(pl.col("status").is_in(["answered", "rejected"]))
        stands = {(i, a): r for i, a, r in standing.select("id", "annotator", "response").iter_rows()}
        assert stands == first
    if rule != "ask-list":
        assert folded.frame.select("id", "annotator").is_unique().all()


def naive_alpha(units):
    """Krippendorff's alpha by his coincidence matrix, entry by entry."""
    units = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in units for value in unit})
    matrix = {(one, other): 0.0 for one in values for other in values}
    for unit in units:
        for i, one in enumerate(unit):
            for j, other in enumerate(unit):
                if i != j:
                    matrix[one, other] += 1 / (len(unit) - 1)
    margins = {value: sum(matrix[value, other] for other in values) for value in values}
    n = sum(margins.values())
    observed = sum(count for (one, other), count in matrix.items() if one != other)
    expected = sum(margins[one] * margins[other] for one in values for other in values if one != other)
    return 1 - (n - 1) * observed / expected if expected else None


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), max_size=8))
def test_alpha_is_that_of_the_coincidence_matrix(units):
    expected = naive_alpha(units)
    assert krippendorff_alpha(units) == (None if expected is None else pytest.approx(expected))


def test_alpha_of_the_published_example():
    """K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, example C: alpha = 0.743."""
    observers = ["123321412***", "1233224125*3", "*3332342251*", "12332441251*"]
    units = [[value for value in unit if value != "*"] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.sampled_from("ab"), min_size=2, max_size=6))
def test_pairs_are_counted(answers):
    pairs = [(i, j) for i in range(len(answers)) for j in range(i)]
    equal = sum(answers[i] == answers[j] for i, j in pairs)
    assert pairwise_agreement(answers) == pytest.approx(equal / len(pairs))


def test_alpha_is_for_closed_sets_alone():
    free = [[f"text {n}", f"other {n}"] for n in range(30)]
    assert measure_agreement(free).alpha is None
    assert measure_agreement(free).exact_match == 0.0
    assert measure_agreement([["a"], []]).exact_match is None
    assert measure_agreement([["a", "a"]] * 5).alpha is None


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = [row(i, r, a) for i in "abc" for a, r in (("ann", "x"), ("bob", "y" if i == "b" else "x"))]
    mixed = list(rows)
    random.Random(1).shuffle(mixed)
    one, other = store(tmp_path / "1", *rows).labels, store(tmp_path / "2", *mixed).labels
    assert responses(one) == responses(other)
    assert one.disagreeing_ids == other.disagreeing_ids
