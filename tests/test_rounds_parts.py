"""The parts of rounds that need no data: their file, the sizes, when to stop, what a gain is."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.main import get_command

from tasksel.cli import app
from tasksel.job.sections import OUTSIDE_FLAGS, SECTIONS
from tasksel.rounds.config import parse_rounds
from tasksel.rounds.gains import Figure, Gain, measure_gain, read_figure
from tasksel.rounds.places import RoundPlaces
from tasksel.rounds.record import TABLE_SCHEMA, RoundRecord
from tasksel.rounds.result import RoundsResult
from tasksel.rounds.round_jobs import RoundJobs
from tasksel.rounds.sections import ROUNDS, TEACHER
from tasksel.rounds.sizes import read_sizes
from tasksel.rounds.stopping import StoppingRules, find_reason
from tasksel.terminal_rounds import print_rounds
from tasksel_core.errors import ConfigError, TaskselError

LOOP = {"train": {"model": "demo"}, "evaluate": {"model": "demo", "pool": "holdout.jsonl"}}


def parsed(rounds, select=None, **sections):
    content = {"pool": {"path": "pool.jsonl"}, "select": {"budget": 30} if select is None else select}
    return parse_rounds({**content, "rounds": rounds, **sections}, name="job", folder=Path("/x"))


# --- The file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rounds", "select", "goals"),
    [
        ({"n": 3}, {"budget": 30}, (10, 20, 30)),
        ({"n": 4}, {"budget": 10}, (2, 5, 8, 10)),
        ({"sizes": [5, 20]}, {}, (5, 25)),
        ({"sizes": 7, "n": 2}, {"budget": 14}, (7, 14)),
        ({"share": [0.5, 0.25]}, {"budget": 40}, (20, 30)),
        ({"share": 0.2, "n": 2}, {"budget_cost": 50.0}, (10, 20)),
        ({"n": 2}, {"budget_tokens": 3000.0}, (1500, 3000)),
    ],
)
def test_a_budget_is_spread_over_rounds(rounds, select, goals):
    assert parsed(rounds, select).sizes.goals == pytest.approx(goals)


@given(st.integers(1, 400), st.integers(1, 12))
def test_rounds_of_equal_size_differ_by_one_at_most_and_sum_to_the_budget(budget, n):
    if budget < n:
        with pytest.raises(ConfigError, match="too little for"):
            read_sizes({"n": n}, {"budget": budget})
        return
    sizes = np.diff([0, *read_sizes({"n": n}, {"budget": budget}).goals])
    assert sizes.sum() == budget
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    ("rounds", "sections", "sentence"),
    [
        ({}, {}, "says neither n nor sizes nor share"),
        ({"n": 0}, {}, "n of [rounds] is 0; a whole number of at least 1"),
        ({"n": 10**20}, {}, "n of [rounds] is past 10,000; at most so many rounds"),
        ({"n": 2, "szes": [1]}, {}, "Did you mean 'sizes'?"),
        ({"sizes": [10, 20], "share": 0.5}, {}, "exclude each other"),
        ({"sizes": [10, 10]}, {}, "are 20 labels together, and budget of [select] says 30"),
        ({"sizes": [30], "n": 2}, {}, "has 1 entries, and n says 2"),
        ({"sizes": []}, {}, "is empty"),
        ({"sizes": 30}, {}, "one size for all rounds and no n"),
        ({"sizes": [30.5]}, {}, "A size in sizes of [rounds] is 30.5"),
        ({"share": 0.5}, {}, "has one share for all rounds and no n; how many rounds, is wanted"),
        ({"share": [0.6, 0.6]}, {}, "sum to 1.2; at most 1"),
        ({"share": [0.5, 0.0]}, {}, "is 0; a number above 0"),
        ({"n": 31}, {}, "budget = 30 is too little for 31 rounds"),
        ({"n": 2, "annotator": "peple"}, {}, "Did you mean 'people'?"),
        ({"n": 2, "annotator": "teacher"}, {}, "there is no section [teacher]"),
        ({"n": 2, "annotator": "file"}, {}, "[labels] has no path"),
        ({"n": 2, "annotator": "pool"}, {"teacher": {"model": "demo"}}, "asks for 'teacher'"),
        ({"n": 2}, {"teacher": {}}, "[teacher] has no model"),
        ({"n": 2}, {"teacher": {"model": "demo"}, "labels": {"path": "a.csv"}}, "leave one out"),
        ({"n": 2, "flat_after": 1}, {}, "goes by an evaluation"),
        ({"n": 2, "flat_after": 0}, LOOP, "flat_after of [rounds] is 0"),
        ({"n": 2, "min_gain": 0.1}, LOOP, "is of flat_after, which is not set"),
        ({"n": 2, "stop_radius": 0.1}, {}, "goes by embeddings"),
        ({"n": 2, "max_cost": -1}, {}, "max_cost of [rounds] is -1"),
        ({"n": 2, "scores": "trained"}, LOOP, "task-diversity does not go by confidence"),
        ({"n": 2}, {"evaluate": LOOP["evaluate"]}, "no section [train]"),
        ({"n": 2}, {"select": [{"name": "a", "budget": 3}]}, "rounds are of one, [select]"),
        ({"n": 2}, {"select": {"budget": 9, "labelled": "a.csv"}}, "what the rounds before have"),
        ({"n": 2}, {"select": {"strategy": "random"}}, "[select] has no budget"),
        ({"n": 2}, {"select": {"budget": 9, "strategy": "radnom"}}, "Did you mean 'random'?"),
        ({"n": 2}, {"selct": {}}, "Unknown key 'selct'"),
        (
            {"n": 2},
            {**LOOP, "evaluate": {**LOOP["evaluate"], "suite": "winrate"}},
            "has no figure for rounds",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_one_sentence(rounds, sections, sentence):
    content = {"pool": {"path": "pool.jsonl"}, "select": {"budget": 30}, "rounds": rounds, **sections}
    with pytest.raises(TaskselError) as error:
        parse_rounds(content, name="job", folder=Path("/x"))
    assert sentence in str(error.value)


def test_trained_scores_want_scores_and_trainings():
    select = {"budget": 9, "strategy": "weighted-task-diversity"}
    with pytest.raises(ConfigError, match="names finished ones"):
        parsed({"n": 2, "scores": "trained"}, {**select, "scores": "old"}, train=LOOP["train"])
    with pytest.raises(ConfigError, match=r"wants a section \[score\]"):
        parsed({"n": 2, "scores": "trained"}, select, train=LOOP["train"])


def test_the_keys_of_the_teacher_are_the_flags_of_its_verb():
    annotate = get_command(app).commands["annotate"]
    flags = set()
    for parameter in annotate.commands["teacher"].params:
        long = [each for each in parameter.opts if each.startswith("--")]
        flags.add(long[0].removeprefix("--").replace("-", "_") if long else parameter.name)
    assert set(TEACHER.keys) == flags - {"help"} - set(TEACHER.excluded) - set(OUTSIDE_FLAGS)


def test_every_key_of_rounds_is_explained():
    assert all(
        key.help.endswith(".") and (key.default or key.value is not None) for key in ROUNDS.keys.values()
    )
    assert not {"rounds", "teacher"} & set(SECTIONS)


def test_a_job_without_rounds_is_one_for_run():
    content = {"pool": {"path": "pool.jsonl"}, "select": {"budget": 30}}
    with pytest.raises(ConfigError, match=r"no section \[rounds\]; with n = 3 in it, .* use `tasksel run`"):
        parse_rounds(content, name="job", folder=Path("/x"))


def test_the_model_of_a_round_is_an_adapter_or_whole(tmp_path):
    places = RoundPlaces(tmp_path)
    training = places.job(2).training("")
    whole = RoundJobs._trained_model(SimpleNamespace(places=places), 2)
    assert whole == {"model": str(training / "model")}
    (training / "adapter").mkdir(parents=True)
    adapter = RoundJobs._trained_model(SimpleNamespace(places=places), 2)
    assert adapter == {"adapter": str(training / "adapter")}


def test_a_job_with_rounds_is_no_job_for_run():
    from tasksel.job.config import parse_job

    with pytest.raises(ConfigError, match="`tasksel rounds` runs"):
        parse_job(
            {"pool": {"path": "a"}, "select": {"budget": 3}, "rounds": {"n": 2}}, name="", folder=Path()
        )


# --- When to stop --------------------------------------------------------------------------------------


def record(number, *, labels=10, tokens=100.0, cost=None, figure=None, radius=None):
    value = None if figure is None else Figure("exact", "exact_match", "macro", figure, 0.0, 1.0)
    return RoundRecord(number, 10 if number else 0, labels, 0, tokens, cost, value, radius=radius)


def reason(rules, rounds, gain=None, next_labels=10.0):
    return find_reason(rules, rounds, lambda earlier, later: gain, next_labels)


@pytest.mark.parametrize(
    ("gain", "stops"),
    [
        (Gain(0.005, -0.01, 0.02), True),  # small, and perhaps none
        (Gain(0.005, 0.001, 0.009), False),  # small, and surely one
        (Gain(0.02, -0.03, 0.07), False),  # unsure, and large
        (Gain(-0.05, -0.08, -0.02), True),  # surely a loss
    ],
)
def test_a_flat_figure_is_one_without_a_sure_or_large_gain(gain, stops):
    rounds = [record(0, figure=0.4), record(1, figure=0.5), record(2, figure=0.5)]
    found = reason(StoppingRules(flat_after=1, min_gain=0.01), rounds, gain)
    assert (found is not None) is stops
    if stops:
        assert found.startswith(f"the last round gained {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]")


def test_flatness_is_asked_over_so_many_rounds():
    asked = []

    def gain_over(earlier, later):
        asked.append((earlier, later))
        return Gain(0.0, -0.1, 0.1)

    rules = StoppingRules(flat_after=2)
    rounds = [record(1, figure=0.5), record(2, figure=0.5)]
    assert find_reason(rules, rounds, gain_over, 10.0) is None
    assert "the last 2 rounds gained" in find_reason(rules, [*rounds, record(3, figure=0.5)], gain_over, 10.0)
    assert asked == [(1, 3)]


def test_a_radius_that_is_reached_stops():
    rules = StoppingRules(stop_radius=0.5)
    assert reason(rules, [record(1, radius=0.51)]) is None
    assert reason(rules, [record(1, radius=0.5)]) == "the covering radius is 0.5, and 0.5 was asked for"
    assert reason(rules, [record(1)]) is None


@pytest.mark.parametrize("name", ["cost", "tokens"])
def test_no_round_is_begun_that_would_pass_what_may_be_spent(name):
    rounds = [record(0, labels=0, tokens=0.0, cost=0.0), record(1, labels=10, tokens=6.0, cost=6.0)]
    assert reason(StoppingRules(**{f"max_{name}": 12}), rounds) is None
    assert "another round would cost about 6.00" in reason(StoppingRules(**{f"max_{name}": 11}), rounds)
    for unknown in (5.0, None):
        assert reason(StoppingRules(**{f"max_{name}": 11}), rounds, next_labels=unknown) is None
    nothing_bought = [record(0, labels=0, tokens=0.0, cost=0.0)]
    assert reason(StoppingRules(**{f"max_{name}": 11}), nothing_bought) is None
    assert "are spent, and the limit is 6" in reason(
        StoppingRules(**{f"max_{name}": 6}), rounds, next_labels=None
    )


# --- What a round bought -------------------------------------------------------------------------------


def write_evaluation(folder, values, metric="exact_match", suite="exact"):
    folder.mkdir()
    figures = {
        metric: {
            level: {"mean": float(np.mean(list(values.values()))), "low": 0.0, "high": 1.0}
            for level in ("macro", "micro")
        }
    }
    tasks = [{"task": task, metric: value} for task, value in values.items()]
    report = {"suites": [{"suite": suite, "figures": figures, "tasks": tasks, "notes": []}]}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_a_gain_is_over_tasks_that_are_paired(tmp_path):
    tasks = {f"t{number}": number / 20 for number in range(10)}
    earlier = write_evaluation(tmp_path / "a", tasks)
    later = write_evaluation(
        tmp_path / "b", dict(reversed([(task, value + 0.1) for task, value in tasks.items()]))
    )
    gain = measure_gain(earlier, later, read_figure(later))
    assert gain == pytest.approx((0.1, 0.1, 0.1))


def test_less_loss_is_a_gain(tmp_path):
    earlier = write_evaluation(tmp_path / "a", {"a": 2.0, "b": 3.0, "c": 2.5}, "loss", "loss")
    later = write_evaluation(tmp_path / "b", {"a": 1.0, "b": 2.5, "c": 2.5}, "loss", "loss")
    gain = measure_gain(earlier, later, read_figure(later))
    assert gain.mean == pytest.approx(0.5)
    assert 0 <= gain.low < 0.5 < gain.high <= 1


def test_of_one_task_alone_the_questions_are_paired(tmp_path):
    folders = []
    for name, right in (("a", [False, False, True, False]), ("b", [True, False, True, True])):
        folder = write_evaluation(tmp_path / name, {"only": float(np.mean(right))})
        (folder / "exact").mkdir()
        ids = ["1", "2", "3", "4"]
        pl.DataFrame({"id": ids, "exact_match": right}).reverse().write_parquet(
            folder / "exact" / "examples.parquet"
        )
        folders.append(folder)
    figure = read_figure(folders[1])
    assert figure.level == "micro"
    gain = measure_gain(*folders, figure)
    assert gain.mean == 0.5
    assert gain.low < 0.5 < gain.high


def test_a_metric_that_there_is_not_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no figure rouge"):
        read_figure(write_evaluation(tmp_path / "a", {"t": 0.5}), "rouge")


def test_the_page_of_files_has_the_columns_of_the_table():
    text = (Path(__file__).parents[1] / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- columns: rounds.csv -->\n\n((?:\|.*\n)+)", text)
    shown = [[cell.strip(" `") for cell in line.strip("|\n").split("|")] for line in table.splitlines()[2:]]
    assert {name: kind for name, kind, _ in shown} == {name: str(kind) for name, kind in TABLE_SCHEMA.items()}


def test_a_result_says_what_it_came_to():
    first = record(1, labels=10, cost=4.0, figure=0.5)
    second = RoundRecord(2, 20, 30, 1, 300.0, 8.0, first.figure, Gain(0.1, 0.0, 0.2), currency="EUR")
    result = RoundsResult(Path("run"), (first, second), 3, stopped="all is said")
    assert second.gain_per_100_labels == pytest.approx(0.5)
    assert second.gain_per_cost == pytest.approx(0.0125)
    assert result.headline == "2 of 3 rounds: 30 labels, 400 tokens, 12.00 EUR."
    assert result.table["gain_low"].to_list() == [None, 0.0]
    html = result._repr_html_()
    assert "Stopped: all is said." in html
    assert "radius" not in html
    json.dumps(result.to_dict())
    console = Console(file=io.StringIO(), width=200)
    print_rounds(console, result)
    figure = "The figure is exact_match, mean over tasks, with its 95 % interval; a gain is over the row"
    assert figure in console.file.getvalue()
