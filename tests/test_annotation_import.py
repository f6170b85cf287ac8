"""What comes back is checked: unknown, missing, repeated, changed, empty, skipped, rejected, malformed."""

from __future__ import annotations

import json

import polars as pl
import pytest

import tasksel
from annotation_tools import chosen, entered
from tasksel_core.errors import AnnotationError, ConfigError, SchemaError, TaskselError

PROMPTS = {"a": "What is one?", "b": "What is two?", "c": "What is\r\nthree?", "d": "What is four?"}


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.jsonl"
    pl.DataFrame({"id": list(PROMPTS), "prompt": list(PROMPTS.values())}).write_ndjson(path)
    return path


@pytest.fixture
def bring(pool, tmp_path):
    """Import rows as a file of JSON lines."""

    def make(rows, name="back.jsonl", **options):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path = tmp_path / name
        path.write_text(json.dumps(rows) if name.endswith(".json") else text, "utf-8")
        return tasksel.import_labels(path, **{"into": tmp_path / "run", "selection": pool, **options})

    return make


def answer(identifier, response, **more):
    return {"id": identifier, "prompt": PROMPTS.get(identifier), "response": response, **more}


def kinds(summary):
    return {each.kind: each.count for each in summary.problems}


def stored(summary):
    return dict(summary.labels.frame.select("id", "response").iter_rows())


def test_a_part_is_fine_and_a_later_one_adds(bring):
    first = bring([answer("a", "1"), answer("b", None)])
    assert (kinds(first), first.counts["open"]) == ({"missing": 3}, 1)
    second = bring([answer("d", "4"), answer("c", "3"), answer("a", "1")], "later.jsonl")
    assert (second.added, second.repeated) == (2, 1)
    assert stored(second) == {"a": "1", "c": "3", "d": "4"}
    assert second.labels.open_ids == ("b",)


def test_unknown_ids_are_listed_and_the_rest_is_taken(bring):
    summary = bring([answer("a", "1"), answer("zz", "9"), answer("yy", "8")])
    assert kinds(summary) == {"unknown": 2, "missing": 3}
    assert summary.problems[0].examples == ("zz", "yy")
    assert summary.problems[0].sentence == "2 rows have ids that were never asked: 'zz', 'yy'."
    assert stored(summary) == {"a": "1"}


def test_a_file_of_another_selection_is_refused(bring):
    with pytest.raises(AnnotationError, match=r"None of the 2 rows of back\.jsonl belongs to what was asked"):
        bring([answer("yy", "1"), answer("zz", "9")])


def test_changed_prompts_are_refused_unless_asked_for(bring):
    rows = [answer("a", "1"), {**answer("b", "2"), "prompt": "What is 2?"}]
    summary = bring(rows)
    assert kinds(summary) == {"changed": 1, "missing": 3}
    assert stored(summary) == {"a": "1"}
    assert stored(bring(rows, "again.jsonl", accept_changed=True)) == {"a": "1", "b": "2"}


def test_a_hash_that_differs_is_a_changed_prompt(bring):
    rows = [answer("a", "1"), {"id": "b", "prompt_sha256": "0" * 64, "response": "2"}]
    assert kinds(bring(rows))["changed"] == 1


def test_other_line_ends_are_no_change(bring):
    summary = bring([{**answer("c", "3"), "prompt": "What is\nthree? "}])
    assert kinds(summary) == {"respaced": 1, "missing": 3}
    assert summary.labels.frame["prompt"].to_list() == [PROMPTS["c"]]


def test_answers_without_ids_are_joined_by_the_prompt(bring):
    summary = bring([{"prompt": PROMPTS["b"], "response": "2"}, {"prompt": "another", "response": "x"}])
    assert stored(summary) == {"b": "2"}
    assert kinds(summary) == {"unidentified": 1, "missing": 3}


def test_a_prompt_that_was_asked_twice_says_nothing(tmp_path):
    pl.DataFrame({"id": ["a", "b"], "prompt": ["same", "same"]}).write_ndjson(tmp_path / "pool.jsonl")
    pl.DataFrame({"prompt": ["same"], "response": ["x"]}).write_ndjson(tmp_path / "back.jsonl")
    with pytest.raises(AnnotationError, match="neither an id nor a prompt"):
        tasksel.import_labels(tmp_path / "back.jsonl", into=tmp_path, selection=tmp_path / "pool.jsonl")


def test_repeated_rows_count_once(bring):
    summary = bring([answer("a", "1"), answer("a", "1"), answer("a", "1")])
    assert kinds(summary) == {"duplicated": 2, "missing": 3}
    assert summary.added == 1


def test_one_annotator_who_says_two_things_is_kept_twice(bring):
    rows = [answer("a", "two"), answer("a", "one"), answer("b", "2")]
    summary = bring(rows)
    assert kinds(summary) == {"contradicting": 1, "missing": 2}
    assert summary.labels.disagreeing_ids == ("a",)
    again = bring(list(reversed(rows)), "reversed.jsonl")
    assert (again.added, again.repeated) == (0, 3)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"response": None}, "open"),
        ({"response": ""}, "open"),
        ({"response": "", "annotator": "ann"}, "empty"),
        ({"response": " \n\t"}, "empty"),
        ({"response": "x", "status": "Skipped "}, "skipped"),
        ({"response": None, "status": "reject"}, "rejected"),
        ({"response": "x", "status": "done"}, "answered"),
        ({"response": None, "status": "done"}, "open"),
    ],
)
def test_what_a_row_says(bring, row, status):
    summary = bring([answer("a", **{"response": None, **row}), answer("b", "2")])
    expected = dict.fromkeys(("answered", "empty", "skipped", "rejected", "open"), 0)
    expected["answered"] += 1
    expected[status] += 1
    assert summary.counts == expected


def test_a_status_that_says_nothing_is_told_of(bring):
    summary = bring([answer("a", "1", status="meh\x1b[31m")])
    assert summary.counts["answered"] == 1
    assert "status that says nothing" in summary.notes[0]
    assert "\x1b" not in summary.notes[0]


def test_other_names_of_columns(bring, tmp_path):
    rows = [{"key": "a", "final answer": "1"}]
    summary = bring(rows, response_column="final answer", id_column="key")
    assert stored(summary) == {"a": "1"}
    with pytest.raises(AnnotationError, match=r"no column 'final_answer'.*Did you mean 'final answer'"):
        bring(rows, response_column="final_answer")
    with pytest.raises(AnnotationError, match=r"has no column 'response'.*--response-column"):
        bring(rows)
    with pytest.raises(AnnotationError, match="neither the column 'id' nor 'prompt'"):
        bring([{"response": "x"}])
    (tmp_path / "numbers.csv").write_text("id,label\na,007\nb,1e5\n")
    numbers = tasksel.import_labels(
        tmp_path / "numbers.csv",
        into=tmp_path / "other",
        selection=tmp_path / "pool.jsonl",
        response_column="label",
    )
    assert stored(numbers) == {"a": "007", "b": "1e5"}


def test_a_trusted_annotator_nobody_has_heard_of_is_told_of(bring):
    rows = [answer("a", "1", annotator="ann"), answer("b", "2", annotator="bob")]
    assert bring(rows, trusted=["anne", "bob"]).notes == (
        "Nobody called 'anne' has answered; those who have are 'ann', 'bob'.",
    )


def test_ids_that_became_floats_are_those_that_they_were(tmp_path):
    pl.DataFrame({"id": [7, 8], "prompt": ["x", "y"]}).write_ndjson(tmp_path / "pool.jsonl")
    pl.DataFrame({"id": [7.0, None, 8.0], "response": ["1", None, "2"]}).write_parquet(
        tmp_path / "back.parquet"
    )
    made = tasksel.import_labels(tmp_path / "back.parquet", into=tmp_path, selection=tmp_path / "pool.jsonl")
    assert stored(made) == {"7": "1", "8": "2"}


def test_answers_that_are_numbers_become_text(bring):
    assert stored(bring([answer("a", 1), answer("b", 2)])) == {"a": "1", "b": "2"}


def test_strict_refuses_the_file_and_writes_nothing(bring, tmp_path):
    with pytest.raises(AnnotationError, match="was refused: 1 row has an id that was never asked"):
        bring([answer("a", "1"), answer("zz", "9")], strict=True)
    assert not (tmp_path / "run").exists()
    assert bring([answer("a", "1")], strict=True).added == 1


def test_a_dry_run_writes_nothing(bring, tmp_path):
    summary = bring([answer("a", "1"), answer("zz", "9")], dry_run=True)
    assert summary.counts["answered"] == 1
    assert summary.labels is None
    assert not (tmp_path / "run").exists()


def task(identifier, *annotations, **data):
    told = {"id": identifier, "prompt": PROMPTS[identifier], **data}
    return {"id": 1, "data": told, "annotations": list(annotations), "predictions": []}


def annotation(number, by, *results, **more):
    return {"id": number, "completed_by": by, "was_cancelled": False, "result": list(results), **more}


def test_label_studio_says_who_skipped_and_who_rejected(bring):
    tasks = [
        task("a", annotation(1, 3, entered("1"), entered("sure", "note")), annotation(2, 4, entered("1"))),
        task("b", annotation(3, 3, was_cancelled=True)),
        task("c", annotation(4, 3, chosen("rejected"))),
        task("d", annotation(5, {"id": 4, "email": "a@example.org"}, entered("  "))),
    ]
    summary = bring(tasks, "export.json")
    assert summary.format == "label-studio"
    assert summary.counts == {"answered": 2, "empty": 1, "skipped": 1, "rejected": 1, "open": 0}
    labels = summary.labels
    assert labels.frame["annotators"].to_list() == [["label-studio-3", "label-studio-4"]]
    assert (labels.skipped_ids, labels.rejected_ids, labels.empty_ids) == (("b",), ("c",), ("d",))
    stored_rows = pl.read_parquet(labels.folder / "imports" / "0001.parquet")
    assert stored_rows["note"].to_list()[0] == "sure"
    assert "example.org" not in str(stored_rows.rows())


def test_label_studio_with_buttons_and_another_name(bring):
    tasks = [task("a", annotation(1, 1, chosen("yes", "label")))]
    with pytest.raises(AnnotationError, match=r"No annotation has a tag 'response'; there are 'label'"):
        bring(tasks, "export.json")
    assert stored(bring(tasks, "export.json", response_column="label")) == {"a": "yes"}


def test_tasks_that_nobody_annotated_are_open(bring):
    tasks = [{"data": {"id": "a", "prompt": PROMPTS["a"]}, "predictions": []}, {"data": {"id": "b"}}]
    assert bring(tasks, "tasks.json").counts["open"] == 2


def test_label_studio_s_flat_exports_are_refused_with_advice(bring, tmp_path, pool):
    flat = [{"id": 1, "prompt": "x", "response": "y", "annotation_id": 1, "lead_time": 2.0, "annotator": 1}]
    with pytest.raises(AnnotationError, match="export as JSON"):
        bring(flat, "min.json")


@pytest.mark.parametrize(
    "broken",
    [
        {"data": {}, "annotations": "x"},
        {"data": {}, "other": 1},
        {"data": [], "annotations": []},
        "a task",
        None,
    ],
)
def test_what_is_no_task_is_named(bring, broken):
    with pytest.raises(AnnotationError, match="Item 1 is no task"):
        bring([task("a", annotation(1, 1, entered("1"))), broken], "export.json")


@pytest.mark.parametrize(
    "result",
    [None, "x", [None], [{}], [{"value": None}], [{"from_name": "response", "value": {"text": [1, 2]}}]],
)
def test_a_strange_result_is_an_empty_answer(bring, result):
    tasks = [task("a", {"id": 1, "result": result}), task("b", annotation(2, 1, entered("2")))]
    assert bring(tasks, "export.json").counts["empty"] == 1


def flat(identifier, *said):
    row = {"id": identifier, "status": "completed", "_server_id": None, "prompt": PROMPTS[identifier]}
    for question in ("response", "verdict", "note"):
        given = [(user, status, values[question]) for user, status, values in said if question in values]
        row[f"{question}.responses"] = [value for _, _, value in given] or None
        row[f"{question}.responses.users"] = [user for user, _, _ in given] or None
        row[f"{question}.responses.status"] = [status for _, status, _ in given] or None
    return row


def test_argilla_says_who_discarded(bring):
    rows = [
        flat(
            "a", ("u1", "submitted", {"response": "1"}), ("u2", "submitted", {"response": "1", "note": "n"})
        ),
        flat("b", ("u1", "discarded", {"response": "x"})),
        flat("c", ("u1", "discarded", {"verdict": "rejected"})),
        flat("d", ("u1", "draft", {"response": "half"})),
    ]
    summary = bring(rows, "records.json")
    assert summary.format == "argilla"
    assert summary.counts == {"answered": 2, "empty": 0, "skipped": 1, "rejected": 1, "open": 1}
    assert summary.labels.frame["annotators"].to_list() == [["argilla-u1", "argilla-u2"]]


def test_argilla_s_nested_records_count_where_they_are_complete(bring):
    def record(identifier, status, value):
        responses = {"response": [{"value": value, "user_id": "u1"}]} if value else {}
        fields = {"prompt": PROMPTS[identifier]}
        return {"id": identifier, "fields": fields, "responses": responses, "status": status, "metadata": {}}

    rows = [record("a", "completed", "1"), record("b", "pending", "2"), record("c", "pending", None)]
    summary = bring(rows, "records.json")
    assert stored(summary) == {"a": "1"}
    assert "1 pending records hold responses" in summary.notes[0]


def test_argilla_s_http_api_says_all(bring):
    def record(identifier, *said):
        responses = [{"user_id": user, "status": status, "values": values} for user, status, values in said]
        fields = {"prompt": PROMPTS[identifier]}
        told = {
            "id": "5b1f",
            "external_id": identifier,
            "fields": fields,
            "metadata": None,
            "status": "pending",
        }
        return {**told, "responses": responses}

    answered = {"response": {"value": "1"}, "note": {"value": "n"}}
    rows = [
        record("a", ("u1", "submitted", answered), ("u2", "draft", {"response": {"value": "half"}})),
        record("b", ("u1", "discarded", None)),
        record("c", ("u1", "discarded", {"verdict": {"value": "rejected"}})),
        record("d"),
    ]
    summary = bring(rows, "records.json")
    assert summary.counts == {"answered": 1, "empty": 0, "skipped": 1, "rejected": 1, "open": 2}
    assert (stored(summary), summary.labels.skipped_ids) == ({"a": "1"}, ("b",))
    assert [each.kind for each in summary.problems] == ["missing"]


@pytest.mark.parametrize("name", ["records.jsonl", "records.ndjson"])
def test_argilla_s_records_may_stand_on_lines(bring, tmp_path, pool, name):
    rows = [
        flat("a", ("u1", "submitted", {"response": "1"})),
        {"id": "b", "prompt": PROMPTS["b"]},  # nobody was asked yet
    ]
    summary = bring(rows, name)
    assert (summary.format, summary.counts["open"], stored(summary)) == ("argilla", 1, {"a": "1"})


def test_a_folder_of_argilla_holds_its_records(tmp_path, pool):
    folder = tmp_path / "to_disk"
    folder.mkdir()
    rows = [flat("a", ("u1", "submitted", {"response": "1"}))]
    (folder / "records.json").write_text(json.dumps(rows))
    summary = tasksel.import_labels(folder, into=tmp_path / "run", selection=pool)
    assert (summary.format, stored(summary)) == ("argilla", {"a": "1"})


@pytest.mark.parametrize("broken", ["a record", None, {"fields": {}}])
def test_what_is_no_record_is_named(bring, broken):
    with pytest.raises(AnnotationError, match="Item 1 is no record of Argilla; wanted are id and fields"):
        bring([flat("a", ("u1", "submitted", {"response": "1"})), broken], "records.json")


def test_responses_that_are_no_objects_say_nothing(bring):
    told = {"id": "a", "fields": {"prompt": PROMPTS["a"]}, "metadata": {}, "status": "pending"}
    said = [None, "x", {"user_id": "u1", "status": "submitted", "values": {"response": {"value": "1"}}}]
    summary = bring([{**told, "responses": said}], "records.json")
    assert (stored(summary), summary.labels.answers_by_annotator) == ({"a": "1"}, {"argilla-u1": 1})


def test_argilla_in_a_table_of_datasets(bring, tmp_path, pool):
    rows = [
        flat("a", ("u1", "submitted", {"response": "1"})),
        flat("b", ("u1", "discarded", {"response": "x"})),
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "records.parquet")
    summary = tasksel.import_labels(tmp_path / "records.parquet", into=tmp_path / "run", selection=pool)
    assert (summary.format, summary.counts["skipped"], stored(summary)) == ("argilla", 1, {"a": "1"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.zip", b"PK", "is packed; unpack it"),
        ("x.csv.gz", b"\x1f\x8b", "is packed"),
        ("x.xlsx", b"PK", "save the sheet as CSV UTF-8"),
        ("x.doc", b"x", "has the suffix '.doc'; allowed"),
        ("x.csv", b"", "empty|no rows"),
        ("x.csv", b"id,response\n", "no rows|holds no rows|has no rows"),
        ("x.csv", b"\nid,response\na,1\n", "begins with an empty line"),
        ("x.csv", b"id,response,id\na,1,b\n", "stands twice"),
        ("x.csv", b'id,response\na,"open\n', "quote"),
        ("x.csv", "id,response\na,ä\n".encode("latin-1"), "UTF-8"),
        ("x.csv", b"id,response\na,1,2,3\n", "fields"),
        ("x.json", b"[" * 100_000, "not valid JSON|nested|middle"),
        ("x.json", b'{"a": 1}', "holds an object"),
        ("x.jsonl", b"{", "JSON"),
        ("x.parquet", b"PAR1PAR1", "Parquet"),
        ("x.jsonl", b'{"id": "a", "ID ": "b", "response": "x"}', "two columns 'id'"),
        ("x.jsonl", b'{"id": "a", "response": ["x"]}', "wanted is text"),
    ],
)
def test_malformed_files_get_one_sentence(name, content, message, tmp_path, pool):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskselError, match=message) as raised:
        tasksel.import_labels(tmp_path / name, into=tmp_path / "run", selection=pool)
    assert isinstance(raised.value, (AnnotationError, SchemaError))


def test_what_is_not_there_is_named(tmp_path, pool):
    with pytest.raises(AnnotationError, match="does not exist"):
        tasksel.import_labels(tmp_path / "nothing.csv", into=tmp_path / "run", selection=pool)
    with pytest.raises(AnnotationError, match="cannot be a file name"):
        tasksel.import_labels("x\0y.csv", into=tmp_path / "run", selection=pool)
    (tmp_path / "folder").mkdir()
    with pytest.raises(AnnotationError, match="holds no answers"):
        tasksel.import_labels(tmp_path / "folder", into=tmp_path / "run", selection=pool)


def test_a_folder_of_tasksel_itself_is_no_folder_of_answers(tmp_path):
    """The pool's own responses must not become answers because somebody named the wrong folder."""
    pool = pl.DataFrame({"id": ["a"], "prompt": ["p"], "response": ["of the pool"]})
    tasksel.select(pool, budget=1, strategy="random").save(tmp_path / "selection")
    with pytest.raises(AnnotationError, match="stage 'select'"):
        tasksel.import_labels(tmp_path / "selection", into=tmp_path)
    made = tasksel.import_labels(tmp_path / "selection" / "selected.parquet", into=tmp_path)
    assert stored(made) == {"a": "of the pool"}
    with pytest.raises(AnnotationError, match="stage 'labels'"):
        tasksel.import_labels(tmp_path / "labels", into=tmp_path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path, pool, monkeypatch):
    monkeypatch.setattr("tasksel.annotation.answer_files._MOST_JSON_BYTES", 10)
    (tmp_path / "x.json").write_text(json.dumps([answer("a", "1")]))
    with pytest.raises(AnnotationError, match=r"bytes; up to 10 are read"):
        tasksel.import_labels(tmp_path / "x.json", into=tmp_path / "run", selection=pool)


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ({"data/train-0.parquet": b"PAR1PAR1"}, "cannot be read as a dataset folder"),
        ({"state.json": b"{}", "data-0.arrow": b"ARROW1"}, "cannot be read as a dataset folder"),
        ({f"{n}.parquet": b"x" for n in range(3)}, "has 3 shards; up to 2 are read"),
    ],
)
def test_a_folder_of_broken_shards_is_one_sentence(tmp_path, pool, monkeypatch, shards, message):
    monkeypatch.setattr("tasksel.annotation.dataset_folder._MOST_SHARDS", 2)
    for name, content in shards.items():
        path = tmp_path / "dataset" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        tasksel.import_labels(tmp_path / "dataset", into=tmp_path / "run", selection=pool)


def test_the_selection_in_the_run_folder_is_found(pool, tmp_path):
    run = tmp_path / "job"
    tasksel.select(pool, budget=3, strategy="random").save(run / "selection")
    tasksel.export_annotation(run / "selection", to="csv", out=run / "handout")
    ids = pl.read_parquet(run / "selection" / "selected.parquet")["id"].to_list()
    pl.DataFrame({"id": ids, "response": ["x"] * 3}).write_csv(tmp_path / "back.csv")
    summary = tasksel.import_labels(tmp_path / "back.csv", into=run)
    assert summary.labels.counts["asked"] == summary.labels.counts["labelled"] == 3


def test_of_several_selections_the_exported_one_is_taken(pool, tmp_path):
    run = tmp_path / "job"
    for seed in (0, 1):
        tasksel.select(pool, budget=2, strategy="random", seed=seed).save(run / "selections" / str(seed))
    back = tmp_path / "back.csv"
    pl.DataFrame({"id": ["a"], "response": ["x"]}).write_csv(back)
    with pytest.raises(ConfigError, match=r"several selections \(selections/0, selections/1\)"):
        tasksel.import_labels(back, into=run)
    tasksel.export_annotation(run / "selections" / "1", to="csv", out=run / "handout")
    rows = pl.read_csv(run / "handout" / "answers.csv").with_columns(response=pl.lit("x"))
    rows.write_csv(run / "handout" / "back.csv")
    summary = tasksel.import_labels(run / "handout" / "back.csv", into=run)
    assert summary.labels.counts["asked"] == 2


def test_a_selection_that_changed_since_its_export_is_found(pool, tmp_path):
    """The record of the export knows the prompts, also where the file that comes back has ids alone."""
    tasksel.export_annotation(pool, to="csv", out=tmp_path / "handout")
    back = tmp_path / "handout" / "back.csv"
    pl.DataFrame({"id": ["a", "b"], "response": ["1", "2"]}).write_csv(back)
    rewritten = tmp_path / "rewritten.jsonl"
    pl.DataFrame({"id": ["a", "b"], "prompt": [PROMPTS["a"], "What is 2?"]}).write_ndjson(rewritten)
    summary = tasksel.import_labels(back, into=tmp_path / "run", selection=rewritten)
    assert (kinds(summary), stored(summary)) == ({"changed": 1, "missing": 1}, {"a": "1"})


def test_nothing_says_what_was_asked(tmp_path, bring):
    with pytest.raises(ConfigError, match="holds no selection, so that nothing says what was asked"):
        bring([answer("a", "1")], selection=None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://x.example/", "http://127.0.0.1:9/project/1"])
def test_an_address_without_a_project_is_refused(url, tmp_path, pool):
    with pytest.raises(ConfigError, match="names no project"):
        tasksel.import_labels(url, into=tmp_path / "run", selection=pool)
