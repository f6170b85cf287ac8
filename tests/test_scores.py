from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel import score_files
from tasksel import scores as scores_module
from tasksel.run_folder import FORMAT_VERSION, file_sha256, write_json
from tasksel.scores import log_confidence_of, read_scores
from tasksel_core.errors import ArrayError, ConfigError, ResumeError, SchemaError

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
DATA = Path(__file__).parent / "data"

POOL_IDS = pl.Series("id", ["a", "b", "c", "d"])
LOGPROBS = [[-0.5, -1.0], [], None, [-2.0, -4.0]]


def token_frame(logprobs=LOGPROBS, *, ids=("a", "b", "c", "d"), dtype=pl.Float32, name="token_logprobs"):
    return pl.DataFrame({"id": list(ids), name: pl.Series(logprobs, dtype=pl.List(dtype))})


def write_run(folder, shards, *, finished=True):
    stage = folder / "scores"
    stage.mkdir(parents=True)
    for number, shard in enumerate(shards):
        shard.write_parquet(stage / f"part-{number:05d}.parquet")
    if finished:
        written = [{"name": path.name, "sha256": file_sha256(path)} for path in sorted(stage.glob("part-*"))]
        write_json(stage / "manifest.json", {"format_version": FORMAT_VERSION, "shards": written})
    return folder


def assert_confidences(scores, expected):
    np.testing.assert_allclose(scores.log_confidence, expected, rtol=1e-6)
    assert scores.log_confidence.dtype == np.float64


# Sources


def test_a_run_folder_gives_one_value_a_pool_row(tmp_path):
    frame = token_frame()
    run = write_run(tmp_path / "my-run", [frame[:3], frame[3:]])
    scores = read_scores(run, POOL_IDS)
    assert_confidences(scores, [-1.5, np.nan, np.nan, -6.0])
    assert (scores.name, scores.metric) == ("my-run", "product")
    shards = [run / "scores" / f"part-0000{number}.parquet" for number in (0, 1)]
    assert scores.sha256 == hashlib.sha256(b"".join(shard.read_bytes() for shard in shards)).hexdigest()
    assert read_scores(run / "scores", POOL_IDS).sha256 == scores.sha256
    assert read_scores(run / "scores", POOL_IDS).name == "my-run"


def test_an_unfinished_run_is_refused_with_its_shards_and_what_to_do(tmp_path):
    run = write_run(tmp_path / "run", [token_frame()[:2], token_frame()[2:]], finished=False)
    with pytest.raises(ResumeError, match=r"not finished: it has 2 shards.*same `tasksel score` again"):
        read_scores(run, POOL_IDS)


def test_a_run_that_was_stopped_in_its_first_shard_is_unfinished_too(tmp_path):
    run = write_run(tmp_path / "run", [], finished=False)
    token_frame().write_parquet(run / "scores" / ".part-00000.partial.parquet")
    for folder in (run, run / "scores"):
        with pytest.raises(ResumeError, match=r"not finished: it has no whole shard .*same `tasksel score`"):
            read_scores(folder, POOL_IDS)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_shard_that_is_missing_or_changed_since_is_named(tmp_path, damage):
    run = write_run(tmp_path / "run", [token_frame()[:2], token_frame()[2:]])
    damage(run / "scores" / "part-00001.parquet")
    with pytest.raises(ResumeError, match=r"part-00001\.parquet is (missing|damaged).*`tasksel score` again"):
        read_scores(run, POOL_IDS)


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ({"format_version": FORMAT_VERSION + 1, "shards": []}, "has format 2, this tasksel knows 1"),
        ({"shards": []}, "has format None"),
        ({"format_version": FORMAT_VERSION}, "lists no shards"),
        ({"format_version": FORMAT_VERSION, "shards": ["part-00000.parquet"]}, "lists no shards"),
    ],
)
def test_a_manifest_of_another_format_is_refused(tmp_path, manifest, sentence):
    run = write_run(tmp_path / "run", [token_frame()])
    write_json(run / "scores" / "manifest.json", manifest)
    with pytest.raises(ResumeError, match=rf"manifest\.json {sentence}"):
        read_scores(run, POOL_IDS)


def test_a_folder_without_scores_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(SchemaError, match="holds no scores"):
        read_scores(tmp_path, POOL_IDS)
    with pytest.raises(SchemaError, match=r"no-such-file\.parquet does not exist"):
        read_scores(tmp_path / "no-such-file.parquet", POOL_IDS)


def test_an_empty_finished_run_says_that_no_row_has_a_confidence(tmp_path):
    with pytest.raises(SchemaError, match=r"^Scores run: there is no shard of scores in it\.$"):
        read_scores(write_run(tmp_path / "run", []), POOL_IDS)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".ndjson", ".json", ".csv"])
def test_every_file_format_gives_the_same_values(tmp_path, suffix):
    frame = token_frame(dtype=pl.Float64)
    path = tmp_path / f"scores{suffix}"
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix == ".json":
        frame.write_json(path)
    elif suffix == ".csv":
        texts = [None if row is None else json.dumps(row) for row in frame["token_logprobs"].to_list()]
        frame.with_columns(token_logprobs=pl.Series(texts, dtype=pl.String)).write_csv(path)
    else:
        frame.write_ndjson(path)
    scores = read_scores(path, POOL_IDS)
    assert_confidences(scores, [-1.5, np.nan, np.nan, -6.0])
    assert scores.name == path.name
    assert scores.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_scores(str(path), POOL_IDS).counts == scores.counts


def test_lazy_frames_and_frames_have_the_hash_of_their_content():
    frame = token_frame()
    chunked = pl.concat([frame[:1], frame[1:]], rechunk=False)
    hashes = {read_scores(each, POOL_IDS).sha256 for each in (frame, frame.lazy(), chunked)}
    assert len(hashes) == 1
    assert read_scores(token_frame([[-0.5], [], None, [-2.0]]), POOL_IDS).sha256 not in hashes


def test_the_hash_of_a_frame_does_not_depend_on_its_blocks(monkeypatch):
    content = b"a\nb\nc\nd" + np.array([-1.5, np.nan, np.nan, -6.0]).tobytes()
    for rows in (1, 3, 4, 65_536):
        monkeypatch.setattr(scores_module, "HASHED_ROWS", rows)
        assert read_scores(token_frame(), POOL_IDS).sha256 == hashlib.sha256(content).hexdigest()
        without = token_frame(ids=["a", None, "c", "d"])
        content_without = content.replace(b"b", b"", 1)
        assert read_scores(without, POOL_IDS).sha256 == hashlib.sha256(content_without).hexdigest()


def test_json_written_by_python_may_hold_nan_and_infinity(tmp_path):
    path = tmp_path / "scores.jsonl"
    rows = [{"id": "a", "token_logprobs": [-1, -math.inf]}, {"id": "b", "token_logprobs": [math.nan, -1.0]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "d", "token_logprobs": [-2]}]))
    scores = read_scores(path, POOL_IDS)
    assert_confidences(scores, [-np.inf, np.nan, np.nan, -2.0])
    assert scores.counts["nan"] == 1
    assert scores.counts["infinite_tokens"] == 1
    assert scores.counts["zero_confidence"] == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "cut.jsonl",
            b'{"id": "a", "token_logprobs": [-1.0]}\n{"id": "b", "token_lo',
            "line 2 ends in the middle",
        ),
        ("cut.json", b'[{"id": "a"', "in the middle of a value"),
        ("list.jsonl", b"[1, 2]\n", "line 1 holds a list"),
        ("latin.jsonl", '{"id": "é", "confidence": 0.5}'.encode("latin-1"), "not UTF-8"),
        ("latin.csv", "id,confidence\né,0.5\n".encode("latin-1"), "(?i)utf-?8"),
        ("empty.csv", b"", "is empty"),
        ("blank.jsonl", b"\n \n", "holds no rows"),
        ("not.parquet", b"PAR1 but not really", "was cut short"),
        ("scores.xlsx", b"PK", "has the suffix '.xlsx'"),
        ("object.json", b"{}", "holds an object"),
    ],
)
def test_a_broken_file_gets_one_sentence_with_its_name(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SchemaError, match=sentence) as caught:
        read_scores(tmp_path / name, POOL_IDS)
    assert str(caught.value).count(name) == 1
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_half_a_parquet_file_is_named(tmp_path):
    path = tmp_path / "half.parquet"
    token_frame().write_parquet(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SchemaError, match=r"^half\.parquet is a Parquet file that was cut short"):
        read_scores(path, POOL_IDS)


# Columns


@pytest.mark.parametrize("name", ["logprobs", "token_logprob", "output_logprobs"])
def test_other_names_of_the_logprobs_are_taken_and_noted(name):
    scores = read_scores(token_frame(name=name), POOL_IDS)
    assert_confidences(scores, [-1.5, np.nan, np.nan, -6.0])
    assert f"Token logprobs were read from column '{name}'." in scores.notes


def test_logprobs_win_over_a_ready_confidence():
    frame = token_frame().with_columns(confidence=pl.lit(0.5))
    assert_confidences(read_scores(frame, POOL_IDS), [-1.5, np.nan, np.nan, -6.0])


@pytest.mark.parametrize("metric", ["entropy", "margin", "min-margin"])
def test_metrics_with_their_own_column_name_it_and_what_is_possible(metric):
    column = f"token_{metric.removeprefix('min-')}"
    with pytest.raises(SchemaError, match=rf"needs column '{column}'.*possible metrics are product, "):
        read_scores(token_frame(), POOL_IDS, metric=metric)
    frame = token_frame([[0.5, 0.25], [], None, [0.125]], name=column)
    scores = read_scores(frame, POOL_IDS, metric=metric)
    assert scores.metric == metric
    assert [scores.counts[f"{key}_tokens"] for key in ("null", "infinite", "sentinel")] == [0, 0, 0]
    assert np.isfinite(scores.log_confidence).tolist() == [True, False, False, True]
    with pytest.raises(
        SchemaError, match=rf"'product' needs column 'token_logprobs'.*possible metrics are .*{metric}"
    ):
        read_scores(frame, POOL_IDS)


@pytest.mark.parametrize(
    ("metric", "values", "sentence"),
    [
        ("entropy", [[-0.5], [1.0]], r"token_entropy reach from -0\.5 to 1; entropy is from 0"),
        ("entropy", [[math.inf], [1.0]], "token_entropy reach from 1 to inf"),
        ("margin", [[0.5], [1.5]], r"token_margin reach from 0\.5 to 1\.5; margin is from 0 to 1"),
        ("min-margin", [[0.5], [1.5]], r"token_margin reach from 0\.5 to 1\.5; min-margin is from 0 to 1"),
    ],
)
def test_entropies_and_margins_out_of_range_are_named(metric, values, sentence):
    frame = token_frame(values, ids=["a", "b"], name=f"token_{metric.removeprefix('min-')}")
    with pytest.raises(SchemaError, match=sentence):
        read_scores(frame, POOL_IDS, metric=metric)


@pytest.mark.parametrize("metric", ["entropy", "margin", "min-margin"])
def test_rounding_takes_entropies_and_margins_out_of_range(metric):
    name = f"token_{metric.removeprefix('min-')}"
    largest = scores_module.LARGEST[metric]
    for values in ([0.0, largest], [-scores_module.ROUNDING, largest + scores_module.ROUNDING]):
        frame = token_frame([[value] for value in values], ids=["a", "b"], dtype=pl.Float64, name=name)
        found = read_scores(frame, POOL_IDS, metric=metric).log_confidence[:2]
        assert found.tolist() == ([0.0, -largest] if metric == "entropy" else [-np.inf, 0.0])


def test_an_unknown_metric_lists_those_allowed():
    allowed = r"allowed are product, length-normalized, min-token, entropy, margin, min-margin\."
    with pytest.raises(ConfigError, match=rf"^metric is 'perplexity'; {allowed}$"):
        read_scores(token_frame(), POOL_IDS, metric="perplexity")
    with pytest.raises(ConfigError, match=rf"{allowed} Did you mean 'min-margin'\?$"):
        read_scores(token_frame(), POOL_IDS, metric="min-margn")
    with pytest.raises(ConfigError, match="allowed are product"):
        log_confidence_of(token_frame()["token_logprobs"], metric="perplexity")


def test_no_usable_column_names_those_there():
    with pytest.raises(SchemaError, match=r"Scores frame: .*columns are 'id', 'grade'\. Needed is one of: "):
        read_scores(pl.DataFrame({"id": ["a"], "grade": [1.0]}), POOL_IDS)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (pl.Series([-1.0, -2.0, -3.0, -4.0]), "is Float64; a list of numbers"),
        (pl.Series([["x"], [], None, ["y"]]), "lists of String"),
        (pl.Series(["[-1]", "oops", None, ""]), "does not hold a JSON list"),
        (pl.Series(["[-1]", '"oops"', None, ""]), "does not hold a JSON list"),
        (pl.Series(["[-1]", "7", None, ""]), "does not hold a JSON list"),
        (pl.Series([[[-1.0]], [], None, []]), "lists of List"),
        (pl.Series([True, False, None, True]), "is Boolean"),
    ],
)
def test_a_column_of_another_type_is_named_with_its_type(column, sentence):
    frame = pl.DataFrame({"id": POOL_IDS, "token_logprobs": column})
    with pytest.raises(SchemaError, match=f"column 'token_logprobs'.*{sentence}"):
        read_scores(frame, POOL_IDS)


def test_the_openai_and_vllm_shapes_are_understood():
    tokens = [
        [{"token": "x", "logprob": -0.5}, {"token": "y", "logprob": -1.0}],
        [],
        None,
        [{"logprob": -2.0}],
    ]
    lists = pl.DataFrame({"id": POOL_IDS, "logprobs": tokens})
    assert_confidences(read_scores(lists, POOL_IDS), [-1.5, np.nan, np.nan, -2.0])
    chat = pl.DataFrame({"id": POOL_IDS, "logprobs": [{"content": each} for each in tokens]})
    assert_confidences(read_scores(chat, POOL_IDS), [-1.5, np.nan, np.nan, -2.0])
    legacy = [{"token_logprobs": row} for row in ([None, -1.5], [], None, [-2.0])]
    scores = read_scores(pl.DataFrame({"id": POOL_IDS, "logprobs": legacy}), POOL_IDS)
    assert_confidences(scores, [-1.5, np.nan, np.nan, -2.0])
    assert scores.counts["null_tokens"] == 1


# Joining


def test_rows_are_joined_by_id_in_any_order_and_both_sides_are_counted():
    frame = token_frame([[-4.0], [-9.0], [-1.0]], ids=["d", "z", "a"])
    scores = read_scores(frame, POOL_IDS)
    assert_confidences(scores, [-1.0, np.nan, np.nan, -4.0])
    assert {key: scores.counts[key] for key in ("pool", "rows", "matched", "missing", "foreign")} == {
        "pool": 4,
        "rows": 3,
        "matched": 2,
        "missing": 2,
        "foreign": 1,
    }
    assert scores.notes == (
        "2 of 4 pool rows have no score row.",
        "1 score row is not in the pool and left out.",
    )


def test_a_single_row_without_a_score_is_one():
    assert read_scores(token_frame([[-1.0]] * 3, ids="abc"), POOL_IDS).notes == (
        "1 of 4 pool rows has no score row.",
    )


def test_counts_of_pool_rows_leave_foreign_rows_out():
    frame = token_frame([[-4.0], [], None, [0.0]], ids=["a", "x", "y", "z"])
    counts = read_scores(frame, POOL_IDS).counts
    assert (counts["foreign"], counts["empty"], counts["null"], counts["one_confidence"]) == (3, 0, 0, 0)


def test_without_ids_rows_are_joined_by_position_with_a_note():
    scores = read_scores(token_frame().drop("id"), POOL_IDS)
    assert_confidences(scores, [-1.5, np.nan, np.nan, -6.0])
    assert "There is no 'id' column: rows were joined to the pool by position." in scores.notes
    with pytest.raises(SchemaError, match=r"no 'id' column, and 3 rows are not the pool's 4"):
        read_scores(token_frame().drop("id")[:3], POOL_IDS)


def test_repeated_ids_are_named_with_their_number():
    with pytest.raises(SchemaError, match="2 ids are there more than once, first 'b'"):
        read_scores(token_frame([[-1.0]] * 5, ids=["a", "b", "c", "b", "c"]), POOL_IDS)


def test_repeated_ids_over_two_shards_are_found(tmp_path):
    run = write_run(tmp_path / "run", [token_frame()[:2], token_frame()[1:]])
    with pytest.raises(SchemaError, match="1 id is there more than once, first 'b'"):
        read_scores(run, POOL_IDS)


def test_ids_outside_of_the_pool_may_not_repeat_either(tmp_path):
    run = write_run(tmp_path / "run", [token_frame(ids="axyz"), token_frame(ids="bcdx")])
    with pytest.raises(SchemaError, match="1 id is there more than once, first 'x'"):
        read_scores(run, POOL_IDS)


@pytest.mark.parametrize("together", [1, 3, 65_536])
def test_shards_that_are_read_together_say_the_same(tmp_path, monkeypatch, together):
    monkeypatch.setattr(score_files, "_TOGETHER_ROWS", together)
    shards = [token_frame([values], ids=[each]) for values, each in zip(LOGPROBS, "dbca", strict=True)]
    shards.insert(2, token_frame([[None, -np.inf], [-9999.0]], ids=["x", "y"]))
    scores = read_scores(write_run(tmp_path / "run", shards), POOL_IDS)
    assert_confidences(scores, [-6.0, np.nan, np.nan, -1.5])
    assert [scores.counts[key] for key in ("rows", "foreign", "null", "empty")] == [6, 2, 1, 1]
    assert [scores.counts[f"{key}_tokens"] for key in ("null", "infinite", "sentinel")] == [1, 1, 1]


def test_ids_that_are_numbers_become_text_shard_by_shard(tmp_path):
    shards = [token_frame([[-1.0]], ids=[identifier]) for identifier in (1.0, 2.5)]
    scores = read_scores(write_run(tmp_path / "run", shards), pl.Series(["2.5", "1"]))
    assert_confidences(scores, [-1.0, -1.0])


def test_no_id_in_common_shows_one_of_each_side():
    with pytest.raises(SchemaError, match="no id is in the pool: the scores have 'x', the pool has 'a'"):
        read_scores(token_frame([[-1.0]], ids=["x"]), POOL_IDS)


@pytest.mark.parametrize("ids", [[1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0], ["1", "2", "3", "4"]])
@pytest.mark.parametrize("dtype", [None, pl.Categorical])
def test_ids_of_another_type_are_compared_as_text(ids, dtype):
    series = pl.Series("id", ids)
    if dtype is not None:
        series = series.cast(pl.String).str.strip_suffix(".0").cast(dtype)
    frame = token_frame().with_columns(series)
    scores = read_scores(frame, pl.Series([4, 1, 2, 3]))
    assert_confidences(scores, [-6.0, -1.5, np.nan, np.nan])


def test_ids_in_a_csv_file_stay_text(tmp_path):
    (tmp_path / "scores.csv").write_text("id,confidence\n007,0.5\n7,0.25\n")
    scores = read_scores(tmp_path / "scores.csv", pl.Series(["7", "007"]))
    np.testing.assert_allclose(scores.log_confidence, np.log([0.25, 0.5]))


def test_null_ids_are_foreign_and_list_ids_are_refused():
    frame = token_frame([[-1.0], [-2.0], [-3.0]], ids=["a", None, None])
    assert read_scores(frame, POOL_IDS).counts["foreign"] == 2
    with pytest.raises(SchemaError, match="column 'id' is List"):
        read_scores(token_frame().with_columns(id=pl.Series([["a"], ["b"], ["c"], ["d"]])), POOL_IDS)


def test_an_empty_pool_needs_no_scores():
    scores = read_scores(token_frame(), pl.Series("id", [], dtype=pl.String))
    assert scores.log_confidence.shape == (0,)
    assert scores.counts["foreign"] == 4


# Values


@pytest.mark.parametrize(
    ("logprobs", "sentence"),
    [
        (
            [[0.5, 3.0], [0.1]],
            "token_logprobs are all positive: these look like negative log-likelihoods; negate",
        ),
        ([[0.0, 0.0], [2.5]], "negate the column"),
        ([[5.0, 1.5], [9.0]], "all positive: these look like negative log-likelihoods; negate the column"),
        ([[0.5, 1.5], [0.1]], "all positive: these look like negative log-likelihoods; negate the column"),
        ([[0.5, 0.9], [0.1]], r"look like probabilities .* or like negative .* \(negate the column\)\.$"),
        ([[0.5, 1.0], [0.1]], "look like probabilities"),
        ([[12.0, 31.5], [18.0]], "look like raw logits; apply log-softmax"),
        (
            [[12.0, -3.5], [-8.0]],
            r"values of both signs, from -8 to 12: these look like raw logits; apply log-softmax before\.$",
        ),
        ([[-1.0, math.inf], [-8.0]], "both signs"),
        ([[math.inf], [math.inf]], "look like raw logits"),
        ([[math.nan, 3.0], [None, 2.0]], "negate the column"),
    ],
)
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_values_of_another_unit_are_recognised(logprobs, sentence, dtype):
    with pytest.raises(SchemaError, match=sentence):
        read_scores(token_frame(logprobs, ids=["a", "b"], dtype=dtype), POOL_IDS)


def test_rounding_above_zero_is_no_positive_value():
    scores = read_scores(token_frame([[1e-6, 5e-4], [-1.0]], ids=["a", "b"]), POOL_IDS)
    assert scores.log_confidence[0] <= 0.0
    assert scores.log_confidence[1] == -1.0
    largest = token_frame([[scores_module.ROUNDING]], ids=["a"], dtype=pl.Float64)
    assert read_scores(largest, POOL_IDS).log_confidence[0] == 0.0
    least = token_frame([[0.5, -scores_module.ROUNDING]], ids=["a"], dtype=pl.Float64)
    with pytest.raises(SchemaError, match="look like probabilities"):
        read_scores(least, POOL_IDS)


def test_nulls_nan_infinity_and_sentinels_are_counted_and_explained():
    frame = token_frame([[None, -1.0], [math.nan, -1.0], [-math.inf, -1.0], [-9999.0, -1.0]])
    scores = read_scores(frame, POOL_IDS)
    assert_confidences(scores, [-1.0, np.nan, -np.inf, -np.inf])
    wanted = {"null_tokens": 1, "nan": 1, "infinite_tokens": 1, "sentinel_tokens": 1, "zero_confidence": 2}
    assert {key: scores.counts[key] for key in wanted} == wanted
    notes = " ".join(scores.notes)
    assert "1 token is null and left out (some APIs" in notes
    assert "1 pool row has NaN in its score" in notes
    assert "logprob -9999, written by vLLM" in notes
    assert "2 pool rows have confidence exactly 0" in notes


def test_of_rows_without_confidence_each_has_its_own_reason():
    counts = read_scores(token_frame([[math.nan, -1.0], [], None, [-1.0]]), POOL_IDS).counts
    assert [counts[key] for key in ("nan", "empty", "null", "matched")] == [1, 1, 1, 4]


def test_a_list_of_nulls_is_an_example_without_tokens():
    scores = read_scores(token_frame([[None, None], [-1.0]], ids=["a", "b"]), POOL_IDS)
    assert_confidences(scores, [np.nan, -1.0, np.nan, np.nan])
    assert (scores.counts["empty"], scores.counts["null"], scores.counts["null_tokens"]) == (1, 0, 2)


def test_no_confidence_at_all_is_said_with_the_reasons():
    with pytest.raises(
        SchemaError, match=r"no row of the pool has a confidence \(1 missing, 2 null, 1 empty\)"
    ):
        read_scores(token_frame([[], None, None], ids=["a", "b", "c"]), POOL_IDS)


def test_a_ready_confidence_needs_no_metric():
    frame = pl.DataFrame({"id": POOL_IDS, "confidence": [0.5, 0.0, 1.0, None]})
    scores = read_scores(frame, POOL_IDS, metric="entropy")
    assert_confidences(scores, [math.log(0.5), -np.inf, 0.0, np.nan])
    assert scores.metric == "ready-made"
    counts = {key: scores.counts[key] for key in ("zero_confidence", "one_confidence", "null", "empty")}
    assert counts == {"zero_confidence": 1, "one_confidence": 1, "null": 1, "empty": 0}
    rounded = frame.with_columns(confidence=pl.lit(1.0 + scores_module.ROUNDING))
    assert_confidences(read_scores(rounded, POOL_IDS), [0.0] * 4)
    assert scores.notes[0] == (
        "Confidence was read ready-made from column 'confidence'; metric 'entropy' does not apply to it."
    )


@pytest.mark.parametrize("name", ["log_confidence", "cumulative_logprob"])
def test_a_ready_log_confidence_is_taken_as_it_is(name):
    frame = pl.DataFrame({"id": POOL_IDS, name: [-0.5, -math.inf, math.nan, 1e-7]})
    scores = read_scores(frame, POOL_IDS)
    assert_confidences(scores, [-0.5, -np.inf, np.nan, 0.0])
    assert scores.counts["nan"] == 1


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "confidence",
            [12.3, 0.2, -4.0, 7.0],
            "from -4 to 12.3, not from 0 to 1: these look like raw logits",
        ),
        ("confidence", [12.3, 0.2, 4.0, 7.0], "raw logits; apply softmax"),
        ("confidence", [1.5, 0.2, 0.0, 1.0], "from 0 to 1.5, not from 0 to 1: these look like raw logits"),
        ("confidence", [0.5, -0.2, 0.0, 1.0], "from -0.2 to 1, not from 0 to 1: these look like raw logits"),
        ("confidence", [50.0, 3.5, 2.0, 0.0], "raw logits"),
        ("confidence", [99.0, 3.5, 50.0, 0.0], r"percentages; divide by 100\.$"),
        ("confidence", [100.0, 3.5, 2.0, 0.0], "percentages; divide by 100"),
        ("confidence", [100.5, 3.5, 2.0, 0.0], "raw logits"),
        ("confidence", [-0.1, -3.0, -1.0, 0.0], "name the column 'log_confidence'"),
        ("confidence", ["high", "low", "low", "high"], "is String; numbers are needed"),
        ("log_confidence", [0.1, 3.0, 1.0, 0.2], "negative log-likelihoods; negate"),
        ("log_confidence", [-0.1, 3.0, 1.0, 0.2], "both signs"),
    ],
)
def test_a_ready_confidence_of_another_unit_is_recognised(name, values, sentence):
    with pytest.raises(SchemaError, match=f"{name}.*{sentence}"):
        read_scores(pl.DataFrame({"id": POOL_IDS, name: values}), POOL_IDS)


# log_confidence_of


def naive(lists, metric):
    def confidence(row):
        row = [value for value in row or [] if value is not None]
        if not row:
            return None
        return {"product": sum(row), "length-normalized": sum(row) / len(row), "min-token": min(row)}[metric]

    return [confidence(row) for row in lists]


@given(
    metric=st.sampled_from(["product", "length-normalized", "min-token"]),
    dtype=st.sampled_from([pl.Float32, pl.Float64]),
    lists=st.lists(
        st.none() | st.lists(st.none() | st.integers(-64, 0).map(lambda value: value / 4), max_size=5),
        max_size=12,
    ),
    cut=st.integers(0, 12),
)
def test_any_chunked_and_sliced_list_column_gives_the_naive_values(lists, cut, metric, dtype):
    series = pl.Series("lp", lists, dtype=pl.List(dtype))
    chunked = pl.concat([series[:cut], series[cut:]], rechunk=False)
    expected = naive(lists, metric)
    for each, values in (
        (series, expected),
        (chunked, expected),
        (series[cut // 2 : cut], expected[cut // 2 : cut]),
    ):
        result = log_confidence_of(each, metric=metric)
        assert (result.dtype, result.name, len(result)) == (pl.Float64, "lp", len(values))
        np.testing.assert_allclose(
            result.to_numpy(), pl.Series(values, dtype=pl.Float64).to_numpy(), rtol=1e-6
        )


def test_fixed_size_arrays_integers_and_no_values_at_all_are_lists_too():
    array = pl.Series([[-1.0, -2.0], None], dtype=pl.Array(pl.Float32, 2))
    assert log_confidence_of(array, metric="product").to_list() == [-3.0, None]
    assert log_confidence_of(pl.Series([[-1, -2], []]), metric="product").to_list() == [-3.0, None]
    assert log_confidence_of(pl.Series([[], []]), metric="product").to_list() == [None, None]
    assert log_confidence_of(pl.Series([None, None]), metric="product").to_list() == [None, None]
    assert log_confidence_of(pl.Series([], dtype=pl.List(pl.Float32)), metric="product").to_list() == []


def test_filtered_and_masked_rows_bring_no_hidden_values():
    frame = pl.DataFrame({"row": range(6), "lp": [[-1.0], [-2.0], [-4.0], [-8.0], [-16.0], [-32.0]]})
    masked = frame.select(pl.when(pl.col("row") % 2 == 0).then(pl.col("lp")).alias("lp"))["lp"]
    assert log_confidence_of(masked, metric="product").to_list() == [-1.0, None, -4.0, None, -16.0, None]
    kept = frame.filter(pl.col("row") > 2)["lp"]
    assert log_confidence_of(kept, metric="product").to_list() == [-8.0, -16.0, -32.0]


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_the_values_are_handed_over_without_a_copy(dtype, monkeypatch):
    seen = []
    kernel = log_confidence_of.__globals__["tasksel_core"].log_confidence

    def spy(values, offsets, *, metric):
        seen.append(values.__array_interface__["data"][0])
        return kernel(values, offsets, metric=metric)

    monkeypatch.setattr("tasksel_core.log_confidence", spy)
    lists = pl.Series(np.full(1_000, -0.5), dtype=dtype).reshape((100, 10)).arr.to_list()
    log_confidence_of(lists, metric="product")
    values = lists.explode(empty_as_null=False, keep_nulls=False).to_numpy(allow_copy=False)
    assert seen == [values.__array_interface__["data"][0]]


def test_values_that_no_logprob_can_have_are_refused():
    for value in (math.nan, math.inf, 0.5):
        with pytest.raises(ArrayError):
            log_confidence_of(pl.Series([[-1.0, value]]), metric="product")


# Real scores


def excerpt(name, column):
    return pl.read_parquet(DATA / f"{name}_excerpt.parquet", columns=["id", *column])


def check_real_confidences(frame):
    ids = frame["id"].sample(fraction=1.0, shuffle=True, seed=0)
    scores = read_scores(frame.select("id", "confidence"), ids)
    n_zero, n_one = int((frame["confidence"] == 0).sum()), int((frame["confidence"] == 1).sum())
    assert (scores.counts["zero_confidence"], scores.counts["one_confidence"]) == (n_zero, n_one)
    assert n_zero
    assert n_one
    assert scores.counts["matched"] == len(ids)
    with pytest.raises(SchemaError, match="look like raw logits"):
        read_scores(frame.select("id", confidence="raw_logit"), ids)


def test_real_confidences_of_exactly_0_and_1_and_real_logits():
    check_real_confidences(excerpt("llm_confidence", ["confidence", "raw_logit"]))


@pytest.mark.parametrize("top_k", [5, None])
def test_entropies_of_the_likeliest_tokens_alone_are_said_to_be_that(tmp_path, top_k):
    entropies = token_frame([[0.5, 1.0], [], None, [2.0]], name="token_entropy")
    likeliest = pl.Series("entropy_top_k", [top_k] * 4, dtype=pl.Int32)
    entropies.with_columns(likeliest).write_parquet(tmp_path / "scores.parquet")
    scores = read_scores(tmp_path / "scores.parquet", POOL_IDS, metric="entropy")
    assert np.array_equal(scores.log_confidence, [-0.75, np.nan, np.nan, -2.0], equal_nan=True)
    notes = [note for note in scores.notes if "truncated" in note]
    assert [note.partition(" likeliest")[0] for note in notes] == (
        [] if top_k is None else ["Entropies are truncated: made from the 5"]
    )


def check_real_judge(path, *, n_rows, n_null):
    ids = pl.read_parquet(path, columns=["id"])["id"]
    scores = read_scores(path, ids)
    assert (len(scores.log_confidence), scores.counts["null"]) == (n_rows, n_null)
    assert np.isnan(scores.log_confidence).sum() == n_null
    frame = pl.read_parquet(path, columns=["id", "token_logprobs"])
    with pytest.raises(SchemaError, match="negative log-likelihoods"):
        read_scores(frame.with_columns(pl.col("token_logprobs").list.eval(-pl.element())), ids)


def test_real_judge_logprobs_with_null_rows():
    check_real_judge(DATA / "alpaca_eval_judge_excerpt.parquet", n_rows=60, n_null=6)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside this checkout")
def test_all_real_confidences_and_judgements():
    check_real_confidences(pl.read_parquet(SHARED / "llm_confidence.parquet"))
    check_real_judge(SHARED / "alpaca_eval_judge.parquet", n_rows=32_997, n_null=3_299)
