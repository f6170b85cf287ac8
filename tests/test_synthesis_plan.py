"""Plans: exact counts, nested tiers, what a pool holds, what is missing, and the files."""

import dataclasses
import hashlib
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.synthesis import plan, read_planned_config
from tasksel.synthesis.config_file import parse_config
from tasksel.synthesis.controlled_rounding import around, round_table
from tasksel.synthesis.plan_examples import cut_counts, cut_tiers, plan_dimension
from tasksel.synthesis.plan_findings import find_uneven_tiers
from tasksel.terminal_synthesis_plan import print_plan
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

EXAMPLES = Path(__file__).parents[1] / "examples"
TWO_LEVELS = {"product": ["phone", "laptop"], "rating": ["1", "2", "3"]}


def run_tasksel(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(each) for each in arguments])


def config_of(total, levels, *, strata=None, **rest):
    own = {"allocate": "equal", "levels": levels, **(strata or {})}
    return parse_config({"total": total, "strata": own, **rest}, name="given", folder=Path())


def pool_of(counts, levels=("product", "rating")):
    """Make a pool with so many rows of each stratum, by columns named like the levels."""
    rows = [
        {"prompt": f"{stratum} {number}", **dict(zip(levels, stratum.split("/"), strict=True))}
        for stratum, count in counts.items()
        for number in range(count)
    ]
    return pl.DataFrame(rows)


def counted(frame, column):
    return dict(frame[column].value_counts().iter_rows())


@st.composite
def configs(draw):
    """Configurations of one to three levels with margins, dimensions, edge cases and tiers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def shares(names):
        weights = rng.gamma(rng.choice([0.3, 1.0, 5.0]), size=len(names)) + 1e-6
        return dict(zip(names, (weights / weights.sum()).tolist(), strict=True))

    n_levels = draw(st.integers(1, 3))
    levels = {f"level{n}": [f"v{k}" for k in range(rng.integers(1, 8))] for n in range(n_levels)}
    margins = {level: shares(values) for level, values in levels.items() if rng.random() < 0.7}
    strata = {"allocate": "fixed" if margins else "equal", "margins": margins}
    dimensions = {
        f"dimension{n}": {"values": shares([f"w{k}" for k in range(rng.integers(1, 13))])}
        for n in range(draw(st.integers(0, 3)))
    }
    total = draw(st.one_of(st.integers(1, 40), st.integers(40, 1_200)))
    rest = {"edge": {"share": draw(st.sampled_from([0.0, 0.05, 0.08, 0.3]))}} if draw(st.booleans()) else {}
    return config_of(
        total,
        levels,
        strata=strata,
        dimensions=dimensions,
        tiers=[10, 100, 1_000],
        seed=draw(st.integers(0, 3)),
        **rest,
    )


def is_around(counts, real):
    low, high = around(real)
    return ((counts >= low) & (counts <= high)).all()


@given(configs())
@settings(max_examples=120)
def test_every_tier_is_a_prefix_with_every_margin_in_proportion(config):
    made = plan(config)
    examples, total = made.examples, config.total
    assert examples.height == total
    assert examples["tier"].is_sorted()
    assert examples["plan_id"].n_unique() == total
    unevenness = " ".join(made.findings)
    for column in ["stratum", *config.strata.levels, *(each.name for each in config.dimensions), "edge"]:
        values, full = np.unique(examples[column].fill_null("-").to_list(), return_counts=True)
        for size in made.tiers[:-1]:
            prefix = examples.head(size)[column].fill_null("-").to_list()
            counts = np.array([prefix.count(value) for value in values])
            assert is_around(counts, full * (size / total)) or "In the tier of" in unevenness
            assert (examples["tier"].head(size) <= size).all()


@given(configs())
@settings(max_examples=60)
def test_counts_are_exact_and_asked_margins_within_one(config):
    made = plan(config)
    names = {"edge": "edge", **{name: name for name in made.margins["dimension"].unique()}}
    for row in made.margins.iter_rows(named=True):
        rows = made.examples.filter(pl.col(names[row["dimension"]]).eq_missing(row["value"])).height
        assert rows == row["planned"]
        assert row["dimension"] == "edge" or abs(row["planned"] - row["asked"]) < 1
    cells = dict(made.cells.select("stratum", "planned").iter_rows())
    assert {name: count for name, count in cells.items() if count} == counted(made.examples, "stratum")
    for row in made.cells.iter_rows(named=True):
        assert abs(row["planned"] - row["target"]) < 1 or "differ by 1 or more" in " ".join(made.findings)


@given(configs())
@settings(max_examples=20)
def test_the_same_seed_gives_the_same_plan_and_another_the_same_margins(config):
    made, again = plan(config), plan(config)
    assert made.examples.equals(again.examples)
    assert made.manifest == again.manifest
    content = {"seed": config.seed + 1}
    other = plan(parse_config({**_content(config), **content}, name="given", folder=Path()))
    assert other.cells.equals(made.cells)
    assert other.margins.select("dimension", "value", "planned").equals(
        made.margins.select("dimension", "value", "planned")
    )


def _content(config):
    from tasksel.synthesis.config_file import config_content

    return config_content(config)


def test_another_seed_gives_another_assignment():
    dimensions = {"tone": {"values": ["calm", "angry"]}, "day": {"values": ["mon", "tue", "wed"]}}
    plans = [plan(config_of(120, TWO_LEVELS, dimensions=dimensions, seed=seed)) for seed in (0, 1)]
    assert not plans[0].examples.equals(plans[1].examples)


def test_a_dimension_is_balanced_over_the_strata():
    made = plan(config_of(600, TWO_LEVELS, dimensions={"tone": {"values": {"calm": 0.7, "angry": 0.3}}}))
    pairs = made.examples.group_by("stratum", "tone").len()
    assert pairs.height == 12
    for row in pairs.iter_rows(named=True):
        assert abs(row["len"] - {"calm": 70, "angry": 30}[row["tone"]]) <= 1


def test_dimensions_are_independent_inside_a_stratum():
    """Each pair of values comes as often as chance has it: chi-square far from its 0.001 tail both ways."""
    dimensions = {name: {"values": ["p", "q"]} for name in ("first", "second")}
    made = plan(config_of(4_000, {"only": ["x"]}, dimensions=dimensions, edge={"share": 0.1}))
    pairs = made.examples.group_by("first", "second").len()["len"].to_numpy()
    assert len(pairs) == 4
    assert 0 < np.square(pairs - 1_000).sum() / 1_000 < 10.8
    by_edge = made.examples.filter(pl.col("edge").is_not_null()).group_by("first").len()["len"]
    assert abs(by_edge[0] - 200) < 50


def test_a_new_dimension_leaves_the_others_as_they_are():
    tone = {"tone": {"values": ["calm", "angry", "flat"]}}
    more = {**tone, "day": {"values": ["mon", "tue"]}}
    one, two = (plan(config_of(200, TWO_LEVELS, dimensions=each)) for each in (tone, more))
    assert one.examples.equals(two.examples.drop("day"))


def test_edge_cases_are_exact_and_spread_over_the_strata():
    made = plan(config_of(600, TWO_LEVELS, edge={"share": 0.1, "categories": {"unicode": 2, "boundary": 1}}))
    assert counted(made.examples, "edge") == {None: 540, "unicode": 40, "boundary": 20}
    by_stratum = made.examples.filter(pl.col("edge").is_not_null()).group_by("stratum").len()["len"]
    assert by_stratum.to_list() == [10] * 6


def test_without_edge_cases_the_column_is_there_all_the_same():
    made = plan(config_of(10, TWO_LEVELS))
    assert made.examples.schema["edge"] == pl.String
    assert made.examples["edge"].null_count() == 10
    assert "no edge cases" in " ".join(made.findings)


def test_nested_targets_are_laid_out_by_name():
    targets = {"laptop": {"3": 6, "1": 4, "2": 5}, "phone": {"1": 1, "2": 2, "3": 3}}
    made = plan(config_of(21, TWO_LEVELS, strata={"allocate": "fixed", "targets": targets}))
    assert made.cells["planned"].to_list() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("targets", "planned"),
    [
        (
            {"phone": {"1": 0.1, "2": 0.2, "3": 0.2}, "laptop": {"1": 0.2, "2": 0.3, "3": 0.0}},
            [10, 20, 20, 20, 30, 0],
        ),
        (
            {"phone": {"1": 0.5, "2": 0.25, "3": 0.25}, "laptop": {"1": 0.0, "2": 0.5, "3": 0.5}},
            [25, 13, 12, 0, 25, 25],
        ),
        (
            {"phone": {"1": 20, "2": 10, "3": 10}, "laptop": {"1": 0.5, "2": 0.25, "3": 0.25}},
            [20, 10, 10, 30, 15, 15],
        ),
        ({"phone": 0, "laptop": {"1": 0.5, "2": 0.25, "3": 0.25}}, [0, 0, 0, 50, 25, 25]),
    ],
)
def test_tables_of_targets_may_hold_shares(targets, planned):
    made = plan(config_of(100, TWO_LEVELS, strata={"allocate": "fixed", "targets": targets}))
    assert np.abs(made.cells["planned"].to_numpy() - planned).max() <= 1
    assert made.cells["planned"].sum() == 100


def test_a_whole_branch_of_targets_may_be_empty():
    levels = {"a": ["x", "y"], "b": ["1", "2"], "c": ["p", "q"]}
    targets = {"x": {"1": 0, "2": 0}, "y": {"1": {"p": 40, "q": 10}, "2": {"p": 25, "q": 25}}}
    made = plan(config_of(100, levels, strata={"allocate": "fixed", "targets": targets}))
    assert made.cells["planned"].to_list() == [0, 0, 0, 0, 40, 10, 25, 25]


def test_counts_beside_shares_must_leave_them_something():
    targets = {"phone": {"1": 200, "2": 10, "3": 10}, "laptop": {"1": 0.5, "2": 0.25, "3": 0.25}}
    with pytest.raises(ConfigError, match=r"counts of .* sum to 220, more than the total of 100"):
        plan(config_of(100, TWO_LEVELS, strata={"allocate": "fixed", "targets": targets}))


def test_shares_that_nearly_sum_to_one_are_scaled_and_said():
    made = plan(
        config_of(
            99,
            {"a": ["x", "y", "z"]},
            strata={"allocate": "fixed", "targets": {"x": 0.333, "y": 0.333, "z": 0.333}},
        )
    )
    assert made.cells["planned"].to_list() == [33, 33, 33]
    assert "sum to 0.999; they were scaled" in made.findings[0]


def test_a_contradiction_is_a_sentence_with_both_margins():
    strata = {
        "allocate": "fixed",
        "margins": {"product": {"phone": 60, "laptop": 40}, "rating": {"1": 0.2, "2": 0.3, "3": 0.5}},
        "impossible": [{"product": "phone", "rating": "3"}],
    }
    with pytest.raises(
        ConfigError,
        match="product 'phone' wants 60, but may only stand with rating '1', '2', which has 50: 10 too",
    ):
        plan(config_of(100, TWO_LEVELS, strata=strata))


@pytest.mark.parametrize(
    ("total", "ones", "sentence"),
    [
        # Of three levels no more than two may be 1, so that their ones are at most twice the total.
        (
            100,
            90,
            "No table has all the margins asked for, given the strata that cannot occur: a '1' is off by",
        ),
        (1000, 667, "with a '0' off by .* examples: its margins leave some strata almost nothing"),
    ],
)
def test_margins_that_contradict_each_other_only_together_are_told_of(total, ones, sentence):
    levels = {level: ["0", "1"] for level in "abc"}
    strata = {
        "allocate": "fixed",
        "margins": {level: {"0": total - ones, "1": ones} for level in levels},
        "impossible": [dict.fromkeys(levels, "1")],
    }
    config = config_of(total, levels, strata=strata)
    if total == 100:
        with pytest.raises(ConfigError, match=sentence):
            plan(config)
        return
    made = plan(config)
    findings = " ".join(made.findings)
    assert re.search(sentence, findings)
    assert "No rounding was found that keeps every margin" in findings
    assert made.examples.height == total


def test_strata_that_give_way_to_margins_are_told_of(monkeypatch):
    def given_way(*table, **settings):
        return dataclasses.replace(round_table(*table, **settings), n_cells_off=2)

    monkeypatch.setattr("tasksel.synthesis.targets.round_table", given_way)
    findings = plan(config_of(60, TWO_LEVELS)).findings
    assert findings[0] == "2 strata differ by 1 or more from their real target, so that the margins hold."


def test_a_margin_whose_strata_are_all_ruled_out_is_a_sentence():
    strata = {"allocate": "fixed", "margins": {"a": {"x": 0.5, "y": 0.5}}, "impossible": [{"a": "x"}]}
    with pytest.raises(ConfigError, match="a 'x' wants 5, and every such stratum is ruled out"):
        plan(config_of(10, {"a": ["x", "y"]}, strata=strata))


def test_impossible_strata_get_nothing():
    strata = {"impossible": [{"product": "phone", "rating": "3"}, {"rating": "1"}]}
    made = plan(config_of(30, TWO_LEVELS, strata=strata))
    assert made.cells["planned"].to_list() == [0, 10, 0, 0, 10, 10]
    with pytest.raises(ConfigError, match="rules out every stratum"):
        plan(config_of(30, TWO_LEVELS, strata={"impossible": [{"product": "phone"}, {"product": "laptop"}]}))
    targets = {"phone": {"1": 1, "2": 1, "3": 1}, "laptop": 0}
    with pytest.raises(ConfigError, match="wants 1 of 'phone/3', which impossible rules out"):
        plan(
            config_of(
                3,
                TWO_LEVELS,
                strata={"allocate": "fixed", "targets": targets, "impossible": [{"rating": "3"}]},
            )
        )


def test_a_deficit_is_the_target_minus_what_is_held():
    pool = pool_of({"phone/1": 30, "phone/2": 4, "laptop/3": 10})
    made = plan(config_of(60, TWO_LEVELS, strata={"allocate": "deficit"}), pool=pool)
    assert made.cells["held"].to_list() == [30, 4, 0, 0, 0, 10]
    assert made.cells["planned"].to_list() == [0, 6, 10, 10, 10, 0]
    assert made.examples.height == 36
    assert "20 more than the targets of 1 stratum asks for" in " ".join(made.findings)


def test_a_deficit_counts_the_selection_where_there_is_one():
    pool, selection = pool_of({"phone/1": 30}), pool_of({"phone/1": 3})
    made = plan(config_of(60, TWO_LEVELS, strata={"allocate": "deficit"}), pool=pool, selection=selection)
    assert made.cells["planned"].to_list() == [7, 10, 10, 10, 10, 10]


def test_a_selection_may_be_named_by_its_folder(tmp_path):
    config = config_of(60, TWO_LEVELS, strata={"allocate": "deficit"})
    held = pool_of({"phone/1": 3}).with_columns(id=pl.int_range(pl.len()).cast(pl.String))
    (tmp_path / "selection").mkdir()
    held.write_parquet(tmp_path / "selection" / "selected.parquet")
    assert plan(config, selection=tmp_path / "selection").cells["held"].to_list() == [3, 0, 0, 0, 0, 0]


def test_a_pool_of_nothing_but_impossible_strata_is_no_guide():
    strata = {"allocate": "sqrt", "impossible": [{"product": "phone"}]}
    with pytest.raises(ConfigError, match="holds no row of any stratum to be proportional to"):
        plan(config_of(60, TWO_LEVELS, strata=strata), pool=pool_of({"phone/1": 3}))


def test_nothing_missing_is_a_plan_of_nothing(tmp_path):
    pool = pool_of(dict.fromkeys(("/".join(pair) for pair in itertools.product(*TWO_LEVELS.values())), 9))
    config = config_of(
        30, TWO_LEVELS, strata={"allocate": "deficit"}, dimensions={"tone": {"values": ["a", "b"]}}, edge={}
    )
    made = plan(config, tmp_path, pool=pool)
    assert made.examples.height == 0
    assert made.tiers == (0,)
    assert "Nothing is missing" in " ".join(made.findings)
    assert pl.read_parquet(tmp_path / "plan" / "examples.parquet").columns == made.examples.columns


@pytest.mark.parametrize(
    ("frame", "outside"),
    [
        (pl.DataFrame({"prompt": ["a", "b", "c"], "task": ["phone/1", "phone/1", "other"]}), 1),
        (pl.DataFrame({"prompt": ["a", "b"], "product": ["phone", "phone"], "rating": [1, 1]}), 0),
        (pl.DataFrame({"prompt": ["a", "b", "c"], "product": ["phone"] * 3, "rating": [1.0, 1.0, None]}), 1),
    ],
)
def test_a_pool_names_strata_by_columns_or_by_task(frame, outside):
    made = plan(config_of(60, TWO_LEVELS, strata={"allocate": "deficit"}), pool=frame)
    assert made.cells["held"].to_list() == [2, 0, 0, 0, 0, 0]
    assert (f"{outside} of {frame.height} rows" in " ".join(made.findings)) == bool(outside)


def test_a_pool_that_names_no_stratum_is_a_sentence():
    config = config_of(60, TWO_LEVELS, strata={"allocate": "deficit"})
    with pytest.raises(SchemaError, match="has no column 'product' and no task"):
        plan(config, pool=pl.DataFrame({"prompt": ["a"], "rating": ["1"]}))
    with pytest.raises(SchemaError, match="No task of the pool <frame> names a stratum: tasks are 'x'"):
        plan(config, pool=pl.DataFrame({"prompt": ["a"], "task": ["x"]}))
    with pytest.raises(ConfigError, match="give one with --pool or --selection"):
        plan(config)


def test_square_roots_and_proportions_follow_the_pool():
    pool = pool_of({"phone/1": 100, "phone/2": 25, "laptop/1": 4})
    rows = {}
    for allocate in ("sqrt", "proportional"):
        made = plan(config_of(170, TWO_LEVELS, strata={"allocate": allocate}), pool=pool)
        rows[allocate] = made.cells["planned"].to_list()
        assert "3 strata get nothing" in " ".join(made.findings)
    assert rows == {"sqrt": [100, 50, 0, 20, 0, 0], "proportional": [132, 33, 0, 5, 0, 0]}


def test_proportions_are_raked_to_margins():
    pool = pool_of(
        {"phone/1": 10, "phone/2": 30, "laptop/1": 40, "laptop/2": 20, "laptop/3": 20, "phone/3": 40}
    )
    margins = {"product": {"phone": 0.5, "laptop": 0.5}}
    made = plan(
        config_of(160, TWO_LEVELS, strata={"allocate": "proportional", "margins": margins}), pool=pool
    )
    assert made.cells["planned"].to_list() == [10, 30, 40, 40, 20, 20]


def shortfall_of(*rows):
    return pl.DataFrame(rows, schema=["dimension", "value", "missing"], orient="row")


def test_a_shortfall_plans_only_what_is_missing():
    dimensions = {"tone": {"values": {"calm": 0.5, "angry": 0.5}}}
    config = config_of(600, TWO_LEVELS, dimensions=dimensions, edge={"share": 0.1})
    shortfall = shortfall_of(
        ("stratum", "phone/3", 7), ("tone", "angry", 5), ("edge", "unicode", 2), ("tone", "calm", 0)
    )
    made = plan(config, shortfall=shortfall)
    assert counted(made.examples, "stratum") == {"phone/3": 7}
    assert counted(made.examples, "tone") == {"angry": 6, "calm": 1}
    assert counted(made.examples, "edge") == {None: 5, "unicode": 2}


def test_a_shortfall_of_a_dimension_is_spread_as_the_configuration_says():
    config = config_of(600, TWO_LEVELS, dimensions={"tone": {"values": {"calm": 0.5, "angry": 0.5}}})
    made = plan(config, shortfall=shortfall_of(("tone", "angry", 60)))
    assert counted(made.examples, "tone") == {"angry": 60}
    assert made.cells["planned"].to_list() == [10] * 6


def test_a_shortfall_of_a_dimension_is_spread_as_the_targets_say():
    targets = {"phone": {"1": 10, "2": 10, "3": 10}, "laptop": {"1": 30, "2": 0, "3": 0}}
    strata = {"allocate": "fixed", "targets": targets}
    config = config_of(60, TWO_LEVELS, strata=strata, dimensions={"tone": {"values": ["calm", "angry"]}})
    made = plan(config, shortfall=shortfall_of(("tone", "angry", 12)))
    assert made.cells["planned"].to_list() == [2, 2, 2, 6, 0, 0]


def test_a_share_of_no_edge_cases_plans_none():
    config = config_of(20, TWO_LEVELS, edge={"share": 0.0})
    assert counted(plan(config).examples, "edge") == {None: 20}
    missing = plan(config, shortfall=shortfall_of(("edge", "unicode", 2)))
    assert counted(missing.examples, "edge") == {"unicode": 2}


def test_a_shortfall_of_a_level_is_kept():
    config = config_of(600, TWO_LEVELS)
    made = plan(
        config, shortfall=shortfall_of(("product", "phone", 12), ("rating", "1", 6), ("rating", "2", 6))
    )
    assert counted(made.examples, "product") == {"phone": 12}
    assert counted(made.examples, "rating") == {"1": 6, "2": 6}


def test_an_empty_shortfall_plans_nothing():
    empty = shortfall_of(("stratum", "phone/1", 0))
    assert plan(config_of(6, TWO_LEVELS), shortfall=empty).examples.height == 0


@pytest.mark.parametrize(
    ("shortfall", "sentence"),
    [
        (pl.DataFrame({"dimension": ["x"], "value": ["y"]}), "no column 'missing'"),
        (shortfall_of(("mood", "y", 1)), "dimension 'mood'; allowed are 'stratum', 'product', 'rating'"),
        (shortfall_of(("product", "watch", 1)), "value 'watch' of 'product', which does not exist"),
        (shortfall_of(("product", None, 1)), "empty cells"),
        (shortfall_of(("product", "phone", "many")), "wrong type"),
    ],
)
def test_an_unusable_shortfall_is_a_sentence(shortfall, sentence):
    with pytest.raises(SchemaError, match=sentence):
        plan(config_of(6, TWO_LEVELS), shortfall=shortfall)


def test_advice_has_numbers():
    wide = plan(
        config_of(
            60,
            {"a": [str(n) for n in range(30)]},
            edge={"share": 0.5},
            dimensions={"t": {"values": ["p", "q", "r"]}},
        )
    )
    findings = " ".join(wide.findings)
    assert "'a' has 30 values" in findings
    assert "30 of 30 strata get under 5 examples" in findings
    assert "50.0% of the examples (30 of 60)" in findings
    assert "90 combinations" in findings
    tiny = plan(config_of(3, TWO_LEVELS))
    assert "3 examples for 6 strata: 3 get none" in " ".join(tiny.findings)
    assert plan(config_of(600, TWO_LEVELS, edge={"share": 0.08})).findings == ()


@pytest.mark.parametrize("total", [1, 5, 7])
def test_fewer_examples_than_strata_are_spread(total):
    made = plan(config_of(total, {"a": ["x", "y", "z"], "b": ["1", "2", "3"]}, edge={"share": 0.1}))
    assert made.examples.height == total
    for level in ("a", "b"):
        counts = list(counted(made.examples, level).values())
        assert max(counts) - min([*counts, 0] if len(counts) < 3 else counts) <= 1


def test_a_level_of_one_value_and_strange_values():
    levels = {"only": ["x"], "sprache": ["日本語 🎉", "w" * 200, "[bold]a", "a\u0301b"]}
    made = plan(config_of(40, levels))
    assert made.cells["planned"].to_list() == [10] * 4
    assert made.cells["stratum"][0] == "x/日本語 🎉"
    shown = io.StringIO()
    print_plan(Console(file=shown, width=80), made, folder=None)
    assert "[bold]a" in shown.getvalue()
    assert max(map(cell_len, shown.getvalue().splitlines())) <= 80


def test_fifty_by_fifty_and_three_levels_of_a_hundred_values():
    values = [f"v{n}" for n in range(50)]
    made = plan(config_of(10_000, {"a": values, "b": values}, dimensions={"t": {"values": ["p", "q", "r"]}}))
    assert set(made.cells["planned"]) == {4}
    assert counted(made.examples.head(1_000), "a") == dict.fromkeys(values, 20)
    assert set(counted(made.examples.head(100), "a").values()) == {2}


def test_values_are_laid_out_from_the_smallest_tier_where_that_fails_from_the_largest(monkeypatch):
    """What happens once in a thousand plans: cells give way, and every sum of every tier stays."""
    monkeypatch.setattr("tasksel.synthesis.plan_examples._cut_down", lambda *_: None)
    strata, counts = cut_tiers(np.array([9, 7, 3, 1]), [6, 13, 20]), np.array([11, 6, 3])
    for is_around in (True, False):
        monkeypatch.setattr("tasksel.synthesis.plan_examples._is_around", lambda *_, answer=is_around: answer)
        made = plan_dimension("tone", dict.fromkeys("xyz", 1.0), strata, counts=counts, seed=0)
        assert [tier.sum(axis=1).tolist() for tier in made.tiers] == [tier.tolist() for tier in strata]
        assert made.tiers[-1].sum(axis=0).tolist() == counts.tolist()
        assert all((small <= large).all() for small, large in itertools.pairwise(made.tiers))
        for tier in made.tiers:
            assert np.abs(tier.sum(axis=0) - counts * tier.sum() / 20).max() < 1


def test_a_tier_that_is_out_of_proportion_is_told_of():
    config = config_of(10, {"a": ["x", "y"]}, tiers=[5, 10])
    even, uneven = (
        find_uneven_tiers(config, [np.array(small), np.array([8, 2])], []) for small in ([4, 1], [3, 2])
    )
    assert even == []
    assert uneven == [
        f"In the tier of 5, {name} are up to 1.00 from their share of it (2 of 2)."
        for name in ("strata", "values of a")
    ]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=10).filter(sum))
@settings(max_examples=60)
def test_the_quota_method_keeps_every_prefix_in_proportion(counts):
    counts = np.array(counts)
    total = int(counts.sum())
    before = np.zeros_like(counts)
    for size, part in enumerate(cut_counts(counts, range(1, total + 1)), start=1):
        assert part.sum() == size
        assert (part >= before).all()
        assert (part * total > counts * size - total).all()
        assert (part * total < counts * size + total).all()
        before = part


@pytest.mark.parametrize("name", ["product_reviews", "support_tickets"])
def test_shipped_examples_are_planned_without_anything_to_say(name, tmp_path):
    made = plan(EXAMPLES / f"{name}.toml", tmp_path)
    assert made.findings == ()
    folder = tmp_path / "plan"
    assert pl.read_parquet(folder / "cells.parquet").equals(made.cells)
    assert pl.read_parquet(folder / "examples.parquet").equals(made.examples)
    assert read_planned_config(tmp_path).strata == made.config.strata


def folder_bytes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_plan_is_the_same_bytes_and_names_no_place(tmp_path):
    for name in ("one", "two"):
        plan(EXAMPLES / "product_reviews.toml", tmp_path / name)
    assert folder_bytes(tmp_path / "one" / "plan") == folder_bytes(tmp_path / "two" / "plan")
    for name in ("config.json", "manifest.json"):
        assert str(tmp_path) not in (tmp_path / "one" / "plan" / name).read_text(encoding="utf-8")
    manifest = json.loads((tmp_path / "one" / "plan" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == {"config.json", "cells.parquet", "margins.parquet", "examples.parquet"}


def test_replies_are_never_orphaned(tmp_path):
    config = config_of(60, TWO_LEVELS)
    plan(config, tmp_path)
    (tmp_path / "generation").mkdir()
    plan(config_of(66, TWO_LEVELS), tmp_path)
    (tmp_path / "generation" / "responses.jsonl").write_text("{}\n")
    plan(config_of(66, TWO_LEVELS), tmp_path)
    with pytest.raises(ResumeError, match="holds replies to another plan"):
        plan(config, tmp_path)


def test_a_configuration_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match="config is int"):
        plan(5)


def test_the_command_line_prints_writes_and_fits(tmp_path):
    done = run_tasksel("synth", "plan", EXAMPLES / "product_reviews.toml", "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "1,000 examples in 24 of 25 strata, 80 of them edge cases" in done.stdout
    assert "sarcastic" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80 + len(str(tmp_path))
    assert (tmp_path / "plan" / "manifest.json").exists()


def test_the_command_line_gives_json_and_takes_a_pool(tmp_path):
    pool = tmp_path / "pool.jsonl"
    pool_of({"phone/1": 5}).write_ndjson(pool)
    config = tmp_path / "c.toml"
    levels = '[strata.levels]\nproduct = ["phone", "watch"]\nrating = [1, 2]'
    config.write_text(f'total = 40\n[strata]\nallocate = "deficit"\n{levels}')
    done = run_tasksel("synth", "plan", config, "--pool", pool, "--json")
    content = json.loads(done.stdout)
    assert content["figures"]["planned"] == 35
    cell = {"stratum": "phone/1", "product": "phone", "rating": "1", "target": 10.0}
    assert content["cells"][0] == {**cell, "held": 5, "planned": 5, "tier_35": 5}
    assert content["folder"] is None
    shown = run_tasksel("synth", "plan", config, "--pool", pool)
    assert "held" in shown.stdout
    assert "Nothing was written" in shown.stdout


def test_the_command_line_shows_of_a_shortfall_what_is_missing(tmp_path):
    shortfall = tmp_path / "shortfall.csv"
    shortfall_of(("stratum", "phone/5", 3)).write_csv(shortfall)
    done = run_tasksel("synth", "plan", EXAMPLES / "product_reviews.toml", "--shortfall", shortfall)
    assert "3 examples in 1 of 25 strata" in done.stdout
    assert "24 more strata with fewer or no examples are not shown" in done.stdout
    assert "headphones" not in done.stdout
    missing = run_tasksel(
        "synth", "plan", EXAMPLES / "product_reviews.toml", "--shortfall", tmp_path / "x.csv"
    )
    assert missing.exit_code == 2
    assert "The shortfall cannot be read" in missing.stderr


def test_a_pool_that_is_not_used_is_said():
    made = plan(config_of(6, TWO_LEVELS), pool=pool_of({"phone/1": 3}))
    assert made.findings[0] == "The pool is not used: allocate = 'equal'."


def test_a_mistake_on_the_command_line_is_a_paragraph(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("total = 5\n[strata\n")
    done = run_tasksel("synth", "plan", config)
    assert done.exit_code == 2
    assert "line 2" in done.stderr
    assert "Traceback" not in done.stderr
