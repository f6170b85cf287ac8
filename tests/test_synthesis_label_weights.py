"""Importance weights of labels, and an evaluation both ways."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.cli_synth_plan import read_targets
from tasksel.synthesis import evaluate_both_ways, evaluate_file, weigh_labels
from tasksel_core.errors import ArrayError, ConfigError, SchemaError


def run_tasksel(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(each) for each in arguments])


def labelled(**counts):
    return pl.DataFrame({"label": [label for label, count in counts.items() for _ in range(count)]})


def test_weighted_training_has_the_real_distribution():
    train, real = labelled(good=50, bad=50), labelled(good=900, bad=100)
    found = weigh_labels(train, real, column="label")
    sums = dict(found.frame.group_by("label").agg(pl.col("weight").sum()).iter_rows())
    assert sums == pytest.approx({"good": 90.0, "bad": 10.0})
    assert found.frame["weight"].mean() == pytest.approx(1.0)
    assert found.n_effective == pytest.approx(100**2 / (50 * 1.8**2 + 50 * 0.2**2))


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.lists(st.integers(0, 40), min_size=1, max_size=8),
    st.floats(0, 5),
    st.one_of(st.none(), st.floats(1.0, 20.0)),
)
@example([1, 2], [12], 4.450147717014403e-308, 1.0)
@example([1, 1], [8], 4.450147717014403e-308, 1.0)
@settings(max_examples=100)
def test_weights_have_mean_one_and_stay_under_the_cap(train, real, smoothing, cap):
    frames = [labelled(**{f"l{n}": count for n, count in enumerate(each)}) for each in (train, real)]
    if not any(count for count, _ in zip(real, train, strict=False)) and not smoothing:
        return
    if not sum(real):
        return
    trained = np.repeat(
        [bool(count) or bool(smoothing) for count in [*real, *[0] * 8][: len(train)]], train
    ).mean()
    if cap is not None and trained * cap < 1:
        with pytest.raises(ConfigError, match="at least"):
            weigh_labels(*frames, column="label", smoothing=smoothing, cap=cap)
        return
    found = weigh_labels(*frames, column="label", smoothing=smoothing, cap=cap)
    weights = found.frame["weight"].to_numpy()
    assert weights.mean() == pytest.approx(1.0)
    assert 0 < found.n_effective <= len(weights) * (1 + 1e-9)
    assert cap is None or weights.max() <= cap * (1 + 1e-9)


def test_targets_replace_real_data():
    found = weigh_labels(labelled(a=3, b=1), column="label", targets={"a": 0.5, "b": 0.5})
    assert found.frame["weight"].to_list() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert found.labels["real_rows"].null_count() == 2


def test_labels_of_one_side_are_said():
    found = weigh_labels(labelled(a=10, old=10), labelled(a=60, new=40), column="label")
    assert found.absent_share == pytest.approx(0.4)
    assert found.frame["weight"].to_list() == pytest.approx([2.0] * 10 + [0.0] * 10)
    findings = " ".join(found.findings)
    assert "No training row has 1 label of the real data, 40.0% of its rows: 'new'" in findings
    assert "do not have 1 label of the training data (10 rows): 'old'" in findings
    smoothed = weigh_labels(labelled(a=10, old=10), labelled(a=60, new=40), column="label", smoothing=1.0)
    assert smoothed.frame["weight"].min() > 0


def test_few_effective_rows_and_a_cap_are_said():
    train, real = labelled(a=95, b=5), labelled(a=1, b=99)
    assert "rows effective" in " ".join(weigh_labels(train, real, column="label").findings)
    capped = weigh_labels(train, real, column="label", cap=5.0)
    assert capped.frame["weight"].max() == 5.0
    assert "capped at 5" in " ".join(capped.findings)


def test_numbers_are_labels_too():
    train = pl.DataFrame({"rating": [1.0, 5.0]})
    real = pl.DataFrame({"rating": [1, 5, 5, 5]})
    assert weigh_labels(train, real, column="rating").frame["weight"].to_list() == [0.5, 1.5]


def test_a_column_that_is_there_is_kept():
    train = labelled(a=2).with_columns(weight=pl.lit(7))
    found = weigh_labels(train, labelled(a=1), column="label")
    assert found.frame.columns == ["label", "original_weight", "weight"]
    assert "is now original_weight" in " ".join(found.findings)


@pytest.mark.parametrize(
    ("train", "arguments", "error", "sentence"),
    [
        (labelled(a=1), {}, ConfigError, "Either real data"),
        (labelled(a=1), {"real": labelled(a=1), "targets": {"a": 1}}, ConfigError, "Either real data"),
        (labelled(a=1), {"real": labelled(b=1)}, ConfigError, "no label in common: 'a' against 'b'"),
        (labelled(a=1), {"real": labelled(a=1), "cap": 0.5}, ConfigError, "cap is 0.5"),
        (
            labelled(a=1, b=9),
            {"real": labelled(a=1), "cap": 2.0},
            ConfigError,
            "cap is 2, and only 10.0% of the rows have a real label: at least 10 is wanted",
        ),
        (labelled(a=1), {"real": labelled(a=1), "smoothing": -1}, ConfigError, "smoothing is -1"),
        (labelled(a=1), {"targets": {"a": 1.0}, "smoothing": 1}, ConfigError, "goes with --to"),
        (labelled(a=1), {"targets": {"a": 0.5, "b": 0.4}}, ConfigError, "sums to 0.9"),
        (labelled(), {"real": labelled(a=1)}, SchemaError, "no rows"),
        (
            pl.DataFrame({"label": ["a", None]}),
            {"real": labelled(a=1)},
            SchemaError,
            "1 rows of the training data have no",
        ),
        (pl.DataFrame({"other": ["a"]}), {"real": labelled(a=1)}, SchemaError, "has no column 'label'"),
        (pl.DataFrame({"label": [["a"]]}), {"real": labelled(a=1)}, SchemaError, "lists or structs"),
        (
            labelled(a=1),
            {"real": pl.DataFrame({"label": [None]}, schema={"label": pl.String})},
            SchemaError,
            "No row of",
        ),
        (5, {"real": labelled(a=1)}, ConfigError, "is int; a path"),
    ],
)
def test_a_mistake_is_one_sentence(train, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        weigh_labels(train, column="label", **arguments)


def test_files_are_read_and_written(tmp_path):
    labelled(a=2, b=2).write_csv(tmp_path / "train.csv")
    labelled(a=3, b=1).write_parquet(tmp_path / "real.parquet")
    found = weigh_labels(tmp_path / "train.csv", tmp_path / "real.parquet", column="label")
    found.write(tmp_path / "new" / "out.parquet")
    found.write(tmp_path / "out.jsonl")
    assert pl.read_parquet(tmp_path / "new" / "out.parquet").equals(found.frame)
    assert pl.read_ndjson(tmp_path / "out.jsonl")["weight"].to_list() == [1.5, 1.5, 0.5, 0.5]
    with pytest.raises(ConfigError, match=r"allowed are \.parquet and \.jsonl"):
        found.write(tmp_path / "out.csv")


def test_figures_are_balanced_weighted_and_plain():
    labels = ["a"] * 10 + ["b"] * 2
    metric = [1.0] * 10 + [0.0, 0.0]
    found = evaluate_both_ways(metric, labels, {"a": 0.25, "b": 0.75})
    assert (found.balanced.value, found.weighted.value) == (0.5, 0.25)
    assert found.plain.value == pytest.approx(10 / 12)
    assert (found.balanced.low, found.balanced.high) == (0.5, 0.5)


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_intervals_hold_their_figures_and_stay_in_range(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 80))
    labels = [f"l{code}" for code in rng.integers(0, 4, size=n)]
    metric = rng.random(n) < rng.random()
    found = evaluate_both_ways(metric, labels, {f"l{code}": 0.25 for code in range(4)}, n_resamples=200)
    for figure in (found.balanced, found.weighted, found.plain):
        assert 0 <= figure.low <= figure.high <= 1
        assert figure.low - 1e-9 <= figure.value <= figure.high + 1e-9 or n < 30
    means = found.labels.filter(pl.col("rows") > 0)
    assert found.balanced.value == pytest.approx(means["mean"].mean())


def test_intervals_cover_the_stratified_figure():
    """Of 200 samples with known means, about 95 in 100 intervals hold the weighted truth."""
    rng = np.random.default_rng(0)
    truth = 0.9 * 0.8 + 0.1 * 0.4
    labels = ["a"] * 150 + ["b"] * 60
    covered = 0
    for _ in range(200):
        metric = np.concatenate([rng.random(150) < 0.8, rng.random(60) < 0.4])
        figure = evaluate_both_ways(metric, labels, {"a": 0.9, "b": 0.1}, n_resamples=400).weighted
        covered += figure.low <= truth <= figure.high
    assert 180 <= covered <= 199


def test_absent_and_single_labels_are_said():
    found = evaluate_both_ways([1, 0, 1], ["a", "a", "b"], {"a": 0.5, "b": 0.25, "c": 0.25})
    assert found.absent_share == pytest.approx(0.25)
    assert found.weighted.value == pytest.approx(0.5 * 2 / 3 + 1 / 3)
    findings = " ".join(found.findings)
    assert "25.0% of the real data has labels that no example has ('c')" in findings
    assert "1 label has a single example" in findings
    assert found.labels.filter(label="c")["mean"].to_list() == [None]


def test_labels_that_differ_in_a_last_nul_or_are_long_are_kept_apart():
    found = evaluate_both_ways([1, 0, 1], ["a", "a\0", "x" * 26_000], {"a": 1, "a\0": 1})
    assert found.labels.height == 3


@pytest.mark.parametrize(
    ("metric", "labels", "shares", "error"),
    [
        ([], [], {"a": 1}, ArrayError),
        ([1, 2], ["a"], {"a": 1}, ArrayError),
        ([[1]], ["a"], {"a": 1}, ArrayError),
        ([float("nan")], ["a"], {"a": 1}, ArrayError),
        ([1], ["a"], {"b": 1}, ConfigError),
    ],
)
def test_an_unusable_evaluation_is_refused(metric, labels, shares, error):
    with pytest.raises(error):
        evaluate_both_ways(metric, labels, shares)


def test_an_evaluation_file_wants_both_columns_and_no_gaps():
    frame = pl.DataFrame({"label": ["a", "b"], "ok": [True, None], "text": ["x", "y"]})
    for metric, sentence in (
        ("none", "has no column"),
        ("text", "numbers are wanted"),
        ("ok", "1 rows without"),
    ):
        with pytest.raises(SchemaError, match=sentence):
            evaluate_file(frame, {"a": 1.0}, column="label", metric=metric)
    assert evaluate_file(frame.head(1), {"a": 1.0}, column="label", metric="ok").weighted.value == 1.0


def test_targets_of_the_command_line():
    assert read_targets(["a=0.25", "b=c=0.75"]) == {"a": 0.25, "b=c": 0.75}
    for wrong in (["a"], ["a=x"], ["=1"], ["a=1", "a=2"], ["a=-1"], ["a=nan"]):
        with pytest.raises(ConfigError, match="LABEL=SHARE"):
            read_targets(wrong)


@pytest.fixture
def files(tmp_path):
    labelled(good=20, bad=20).write_parquet(tmp_path / "train.parquet")
    labelled(good=90, bad=10).write_parquet(tmp_path / "real.parquet")
    evaluation = pl.DataFrame({"label": ["good", "bad"] * 10, "ok": [True, False] * 10})
    evaluation.write_parquet(tmp_path / "answers.parquet")
    return tmp_path


def test_the_command_line_weighs_and_evaluates(files):
    command = [
        "synth",
        "weights",
        files / "train.parquet",
        "--to",
        files / "real.parquet",
        "--column",
        "label",
    ]
    evaluation = ["--evaluate", files / "answers.parquet", "--metric", "ok"]
    done = run_tasksel(*command, *evaluation, "--out", files / "out.parquet")
    assert done.exit_code == 0, done.stderr
    assert "40 training rows" in done.stdout
    assert "weighted: labels as they really come" in done.stdout
    assert pl.read_parquet(files / "out.parquet")["weight"].sum() == pytest.approx(40)
    content = json.loads(run_tasksel(*command, *evaluation, "--json").stdout)
    assert content["evaluation"]["weighted"]["value"] == pytest.approx(0.9)
    assert content["file"] is None
    assert "Nothing was written; --out FILE writes the weighted rows." in run_tasksel(*command).stdout


def test_mistakes_on_the_command_line(files):
    train = files / "train.parquet"
    wrong = [
        (["--target", "good"], "LABEL=SHARE"),
        (["--to", files / "real.parquet", "--metric", "ok"], "--evaluate and --metric go together"),
        (["--to", files / "real.parquet", "--out", train], "which is read"),
        ([], "Either real data"),
    ]
    for arguments, sentence in wrong:
        done = run_tasksel("synth", "weights", train, "--column", "label", *arguments)
        assert done.exit_code == 2
        assert sentence in " ".join(done.stderr.split())
