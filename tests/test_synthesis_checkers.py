from __future__ import annotations

import http.server
import json
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasksel.endpoint import Endpoint, Reply
from tasksel.synthesis.checkers import (
    ABSENT,
    OTHER,
    SEVERAL,
    CheckedDimension,
    Confusion,
    Evidence,
    JudgeAccess,
    Realised,
    find_by_pattern,
    find_by_rule,
    normalised_value,
)
from tasksel.synthesis.checkers_classifier import (
    corrected_shares,
    cross_validated,
    find_by_classifier,
    train_classifier,
)
from tasksel.synthesis.checkers_judge import JUDGE_REPLIES_NAME, find_by_judge, read_choice
from tasksel.synthesis.config import CheckConfig
from tasksel.synthesis.realised import compare_realised, correct_tests, find_realised
from tasksel_core.errors import ProviderError

TONES = ("calm", "very-angry", "5")


def evidence_of(folder, items=None, prompts=None, **given):
    items = items if items is not None else [{}] * len(prompts)
    prompts = prompts if prompts is not None else ["text"] * len(items)
    records = pl.DataFrame({"prompt": prompts}, schema={"prompt": pl.String})
    return Evidence(records, items, folder, **given)


def dimension(kind, values=TONES, **check):
    return CheckedDimension("tone", tuple(values), "tone of the customer", CheckConfig(kind, **check))


# Rules and patterns


def test_a_rule_reads_the_field_as_far_as_spelling_may_differ(tmp_path):
    values = ["Calm", " very_ANGRY", 5, 5.0, "5", "sad", "", None, True, ["calm"], float("inf")]
    items = [{"tone": value} for value in values] + [{}, None, [1], "calm"]
    found = find_by_rule(dimension("rule", field="tone"), evidence_of(tmp_path, items)).values
    known = ["calm", "very-angry", "5", "5", "5", OTHER, ABSENT, ABSENT, OTHER, OTHER, OTHER]
    assert found == known + [ABSENT] * 4


def test_a_pattern_that_fits_alone_decides(tmp_path):
    patterns = {"calm": "(?i)calm|quiet", "very-angry": "angry"}
    prompts = ["So CALM", "angry!", "calm and angry", "neither", ""]
    found = find_by_pattern(dimension("regex", patterns=patterns), evidence_of(tmp_path, prompts=prompts))
    assert found.values == ["calm", "very-angry", SEVERAL, ABSENT, ABSENT]
    assert "5" in found.reason


def test_a_match_inside_a_longer_one_of_another_value_does_not_count(tmp_path):
    checked = dimension(
        "regex", ("phone", "headphones"), patterns={"phone": "phone", "headphones": "headphones?"}
    )
    prompts = ["my headphones", "my phone", "a phone and headphones", "phone " * 9000]
    found = find_by_pattern(checked, evidence_of(tmp_path, prompts=prompts))
    assert found.values == ["headphones", "phone", SEVERAL, "phone"]


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text):
    assert normalised_value(normalised_value(text)) == normalised_value(text)


def test_without_a_check_nothing_is_measured(tmp_path):
    found = find_realised(CheckedDimension("tone", TONES), evidence_of(tmp_path, [{}]))
    assert (found.values, "no check" in found.reason) == ([], True)


# The classifier


def blobs(rng, counts, spread=0.5, n_dimensions=12):
    """Draw rows around one center a class."""
    centers = np.eye(n_dimensions)[: len(counts)]
    classes = np.repeat(np.arange(len(counts)), counts)
    rows = centers[classes] + rng.normal(scale=spread, size=(len(classes), n_dimensions))
    return rows.astype(np.float32), classes


def classify(folder, real, labels, vectors, values=("a", "b", "c"), seed=0):
    frame = pl.DataFrame(
        {"prompt": ["x"] * len(labels), "tone": labels}, schema=dict.fromkeys(("prompt", "tone"), pl.String)
    )
    given_rows = evidence_of(
        folder, prompts=["x"] * len(vectors), real=frame, real_vectors=real, vectors=vectors, seed=seed
    )
    return find_by_classifier(dimension("classifier", values), given_rows)


def test_a_classifier_learns_and_knows_how_good_it_is(tmp_path):
    rng = np.random.default_rng(0)
    real, classes = blobs(rng, [200, 120, 80], spread=0.35)
    vectors, truth = blobs(rng, [30, 30, 30], spread=0.35)
    found = classify(tmp_path, real, [("a", "B ", "c")[each] for each in classes], vectors)
    right = np.mean([value == ("a", "b", "c")[each] for value, each in zip(found.values, truth, strict=True)])
    assert right > 0.8
    low, high = found.account["accuracy_interval"]
    assert low - 0.06 < right < high + 0.06
    assert found.account["labelled_rows"] == 400
    assert found.confusion.counts.sum() == 400


def test_a_classifier_no_better_than_chance_is_refused_with_a_sentence(tmp_path):
    rng = np.random.default_rng(1)
    real = rng.normal(size=(200, 8)).astype(np.float32)
    labels = [("a", "b")[each] for each in rng.integers(0, 2, 200)]
    found = classify(tmp_path, real, labels, real[:10], ("a", "b"))
    assert found.values == []
    assert "hardly better than chance" in found.reason
    assert "200 labelled rows" in found.reason


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a"] * 20, "fewer than two"),
        (["a"] * 17 + ["b"] * 3, "fewer than two"),
        ([None] * 20, "fewer than two"),
    ],
)
def test_one_class_is_nothing_to_learn(tmp_path, labels, reason):
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    assert reason in classify(tmp_path, rows, labels, rows).reason


def test_rows_with_broken_vectors_or_rare_labels_are_left_out(tmp_path):
    rng = np.random.default_rng(2)
    real, classes = blobs(rng, [60, 60, 3], spread=0.2)
    real[0] = np.nan
    vectors, _ = blobs(rng, [4, 4, 0], spread=0.2)
    vectors[2] = np.inf
    found = classify(tmp_path, real, [("a", "b", "c")[each] for each in classes], vectors)
    assert found.values == ["a", "a", None, "a", "b", "b", "b", "b"]
    assert found.account["labelled_rows"] == 119
    assert "c" in found.reason


def test_what_a_classifier_needs_is_said(tmp_path):
    rows = np.eye(4, dtype=np.float32)
    frame = pl.DataFrame({"prompt": ["x"] * 4})
    checked = dimension("classifier", column="label")
    assert "no real pool" in find_by_classifier(checked, evidence_of(tmp_path, [{}])).reason
    assert "'label'" in find_by_classifier(checked, evidence_of(tmp_path, [{}], real=frame)).reason
    labelled = frame.with_columns(pl.lit("a").alias("label"))
    assert "embeddings" in find_by_classifier(checked, evidence_of(tmp_path, [{}], real=labelled)).reason
    both = evidence_of(tmp_path, [{}], real=labelled, real_vectors=rows, vectors=rows[:1, :2])
    assert "one model" in find_by_classifier(checked, both).reason


def test_the_regression_is_that_of_scikit_learn():
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    rows, classes = blobs(rng, [80, 80, 80], spread=0.6)
    own = train_classifier(rows, classes, 3, penalty=1e-2)
    features = (rows - own.mean) / own.scale
    theirs = linear.LogisticRegression(C=1 / (1e-2 * 240), max_iter=5000, tol=1e-8).fit(features, classes)
    differences = own.weights[:-1] - own.weights[:-1].mean(axis=1, keepdims=True)
    assert np.allclose(differences.T, theirs.coef_, atol=2e-2)
    assert (own.predict(rows) == theirs.predict(features)).mean() > 0.99
    assert cross_validated(rows, classes, 3, rng).shape == (240,)


def test_training_is_the_same_twice_and_for_constant_columns():
    rows = np.ones((20, 3))
    classes = np.arange(20) % 2
    assert np.isfinite(train_classifier(rows, classes, 2).weights).all()
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3))
    one, other = (train_classifier(rows, classes, 2).weights for _ in range(2))
    assert (one == other).all()


@settings(max_examples=50)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=4), st.integers(0, 1000))
def test_corrected_shares_are_those_behind_the_mixture(weights, seed):
    rng = np.random.default_rng(seed)
    shares = np.array(weights) / sum(weights)
    n_values = len(shares)
    rates = 0.7 * np.eye(n_values) + 0.3 * rng.dirichlet(np.ones(n_values), n_values)
    found = np.round(1e7 * shares @ rates).astype(np.int64)
    estimated = corrected_shares(found, np.round(1e7 * rates).astype(np.int64), steps=5000)
    assert estimated == pytest.approx(shares, abs=0.02)
    assert estimated.sum() == pytest.approx(1.0)


def test_nothing_found_says_nothing_of_the_shares():
    assert corrected_shares(np.zeros(4, dtype=np.int64), np.eye(4, dtype=np.int64)).tolist() == [0.25] * 4


# Requested against realised


def compare(requested, realised, planned=None, confusion=None, values=("a", "b")):
    planned = planned or {value: requested.count(value) for value in values}
    return compare_realised(
        dimension("rule", values),
        requested,
        planned,
        Realised(realised, confusion=confusion),
        np.random.default_rng(0),
    )


def test_counts_agreement_and_shortfall():
    result = compare(["a"] * 6 + ["b"] * 4, ["a"] * 5 + [OTHER] + ["a"] * 3 + [None], {"a": 6, "b": 6})
    assert (result.n_rows, result.n_unknown, result.n_agreed) == (9, 1, 5)
    assert result.confusion == {("a", "a"): 5, ("a", OTHER): 1, ("b", "a"): 3}
    missing = {each.value: each.missing for each in result.values}
    # One "b" is unknown, and nothing is known against it.
    assert missing == {"a": 0, "b": 5}


def test_no_records_and_values_outside_the_plan():
    assert not compare([], [], {"a": 3, "b": 2}).is_measured
    result = compare(["a", None, "zzz"], ["a", "a", "a"], {"a": 1, "b": 0})
    assert (result.n_rows, result.agreement) == (1, 1.0)
    assert not compare(["a"], [None], {"a": 1, "b": 1}).is_measured


def test_the_correction_over_dimensions_is_holms():
    results = [
        compare(["a"] * 10 + ["b"] * 10, ["a"] * (10 + shift) + ["b"] * (10 - shift)) for shift in (0, 6, 8)
    ]
    correct_tests(results)
    assert results[2].p_corrected == pytest.approx(3 * results[2].p_value)
    assert results[1].p_corrected == pytest.approx(2 * results[1].p_value)
    assert results[0].p_corrected == 1.0


def test_a_fallible_checker_is_corrected_for_its_confusions():
    """The writer did all it was asked; the checker takes a fifth of "b" for "a" and says so."""
    rng = np.random.default_rng(0)
    requested = ["a"] * 300 + ["b"] * 300
    found = [value if value == "a" or rng.random() > 0.2 else "a" for value in requested]
    confusion = Confusion(("a", "b"), np.array([[400, 0], [80, 320]]))
    corrected = compare(requested, found, confusion=confusion)
    plain = compare(requested, found)
    assert plain.p_value < 0.01
    assert corrected.p_value > 0.05
    assert corrected.agreement > 0.97 > 0.93 > plain.agreement
    assert [each.missing for each in corrected.values] == [0, 0]
    shares = {each.value: each for each in corrected.values}
    assert shares["b"].interval.low < 0.5 < shares["b"].interval.high


def test_a_corrected_shortfall_is_still_found():
    requested = ["a"] * 300 + ["b"] * 300
    found = ["a"] * 300 + ["a"] * 220 + ["b"] * 80
    result = compare(requested, found, confusion=Confusion(("a", "b"), np.array([[400, 0], [80, 320]])))
    missing = {each.value: each.missing for each in result.values}
    assert missing["a"] == 0
    assert 180 < missing["b"] < 220
    assert result.p_value < 0.01


def test_a_checker_that_hardly_tells_two_values_apart_is_corrected_within_reason(monkeypatch):
    """The inverse of its confusions would magnify any chance; likelihood stays between 0 and 1."""
    monkeypatch.setattr("tasksel.synthesis.realised.N_RESAMPLES", 100)
    requested = ["a"] * 300 + ["b"] * 300
    confusion = Confusion(("a", "b"), np.array([[4000, 0], [3960, 40]]))
    result = compare(requested, ["a"] * 597 + ["b"] * 3, confusion=confusion)
    assert 0.5 < result.agreement <= 1.0
    assert result.interval.low <= result.agreement <= result.interval.high
    exact = Confusion(("a", "b"), np.array([[4000, 0], [0, 4000]]))
    assert compare(requested, ["a"] * 597 + ["b"] * 3, confusion=exact).agreement == pytest.approx(
        0.505, abs=0.01
    )


def test_a_value_that_the_checker_does_not_know_stays_uncorrected():
    values = ("a", "b", "c")
    confusion = Confusion(("a", "b"), np.array([[400, 0], [80, 320]]))
    requested = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    result = compare(requested, ["a"] * 45 + ["b"] * 45, confusion=confusion, values=values)
    unknown = result.values[2]
    assert (unknown.value, unknown.planned, unknown.requested, unknown.realised) == ("c", 30, 30, 0)
    assert unknown.share is None


# The judge


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, play):
        super().__init__(("127.0.0.1", 0), Handler)
        self.play, self.seen = play, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append(body)
        status, content = self.server.play(body)
        text = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("tasksel.endpoint._FIRST_PAUSE_S", 0.01)
    servers = []

    def start(play):
        server = Server(play)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def judged(body):
    text = body["messages"][-1]["content"].split("====================")[1]
    return 200, next((tone for tone in TONES if tone in text), "No idea, sorry")


def test_a_judge_is_asked_once_a_text_and_its_replies_are_kept(serve, tmp_path):
    server = serve(judged)
    prompts = ["so calm", "very-angry indeed", "what?", "so calm", "{labels} calm", ""]
    access = JudgeAccess(Endpoint(server.url), "j", 2)
    found = find_by_judge(dimension("judge"), evidence_of(tmp_path, prompts=prompts, judge=access))
    assert found.values == ["calm", "very-angry", None, "calm", "calm", None]
    assert found.account["replies"] == {"empty": 1, "label": 4, "unreadable": 1}
    assert len(server.seen) == 4
    asked = server.seen[0]["messages"][-1]["content"]
    assert "tone of the customer" in asked
    assert "- very-angry" in asked
    again = find_by_judge(dimension("judge"), evidence_of(tmp_path, prompts=prompts, judge=access))
    assert again.values == found.values
    assert len(server.seen) == 4
    assert len((tmp_path / JUDGE_REPLIES_NAME).read_bytes().splitlines()) == 4


def test_a_judge_that_fails_for_good_loses_no_reply(serve, tmp_path):
    server = serve(
        lambda body: (
            judged(body) if "calm" in body["messages"][-1]["content"].split("=" * 20)[1] else (401, "")
        )
    )
    access = JudgeAccess(Endpoint(server.url), "j", 1)
    given_rows = evidence_of(tmp_path, prompts=["calm", "other"], judge=access)
    with pytest.raises(ProviderError):
        find_by_judge(dimension("judge"), given_rows)
    assert len((tmp_path / JUDGE_REPLIES_NAME).read_bytes().splitlines()) == 1


def test_a_judge_reads_the_field_of_the_record_where_the_items_have_none(serve, tmp_path):
    server = serve(lambda body: (200, "calm"))
    access = JudgeAccess(Endpoint(server.url), "judge")
    items = [{"text": "of the item", "tags": ["x"]}, {}]
    for field, shown in (("prompt", "of the record"), ("text", "of the item"), ("tags", '["x"]')):
        evidence = evidence_of(tmp_path / field, items, ["of the record", ""], judge=access)
        found = find_by_judge(dimension("judge", field=field), evidence)
        assert found.values == ["calm", None]
        assert shown in json.dumps(server.seen[-1], ensure_ascii=False).replace('\\"', '"')


def test_without_a_judge_nothing_is_asked(tmp_path):
    assert "no endpoint" in find_by_judge(dimension("judge"), evidence_of(tmp_path, [{}])).reason


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("calm", ("calm", "label")),
        (" **Very angry.** ", ("very-angry", "label")),
        ("Label: calm", ("calm", "label")),
        ("The text complains.\n\ncalm", ("calm", "label")),
        ("unclear", (None, "unclear")),
        ("It is calm, or very-angry", (None, "unreadable")),
        ("", (None, "unreadable")),
        (None, (None, "unreadable")),
        (["calm"], (None, "unreadable")),
    ],
)
def test_replies_are_read_strictly(said, read):
    assert read_choice(Reply(200, json.dumps({"choices": [{"message": {"content": said}}]})), TONES) == read


@given(st.text(max_size=60), st.integers(100, 599))
def test_any_reply_is_read(body, status):
    value, outcome = read_choice(Reply(status, body), TONES)
    assert (value is None) == (outcome != "label")
