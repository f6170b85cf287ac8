"""The TOML file: what it may hold, and one sentence for what it may not."""

import dataclasses
import json
from pathlib import Path

import pytest

from tasksel.synthesis.config import CustomEdgeConfig, EdgeConfig
from tasksel.synthesis.config_file import config_content, parse_config, read_config, read_planned_config
from tasksel_core.errors import ConfigError, ResumeError

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))
LEVELS = '[strata.levels]\na = ["x", "y"]\n'
TWO_LEVELS = '[strata.levels]\na = ["x", "y"]\nb = ["1", "2"]\n'


def read_text(tmp_path, text):
    path = tmp_path / "given.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_read_and_come_back_from_json(path):
    config = read_config(path)
    content = json.loads(json.dumps(config_content(config)))
    again = parse_config(content, name="", folder=config.folder)
    assert again == config
    assert "folder" not in content


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {"product_reviews", "support_tickets"}


def test_defaults(tmp_path):
    config = read_text(tmp_path, "total = 12\n" + LEVELS)
    assert (config.name, config.total, config.seed, config.tiers) == ("given", 12, 0, (12,))
    assert config.strata.allocate == "equal"
    assert (config.model.provider, config.model.model) == ("hf", "demo")
    assert config.edge is None
    assert config.folder == tmp_path


def test_total_follows_from_counts(tmp_path):
    assert read_text(tmp_path, LEVELS + "[strata.targets]\nx = 30\ny = 12").total == 42
    assert read_text(tmp_path, TWO_LEVELS + "[strata.margins]\na = { x = 5, y = 6 }").total == 11


def test_tiers_end_with_the_total(tmp_path):
    assert read_text(tmp_path, "total = 5000\n" + LEVELS).tiers == (100, 1000, 5000)
    assert read_text(tmp_path, "total = 1000\ntiers = [10, 1000, 3000]\n" + LEVELS).tiers == (10, 1000)


def test_values_may_be_numbers_and_days(tmp_path):
    config = read_text(
        tmp_path,
        "total = 9\n[strata.levels]\nrating = [1, 2]\n[dimensions.day]\nvalues = [2024-01-31, 2024-02-29]",
    )
    assert config.strata.levels == {"rating": ("1", "2")}
    assert dict(config.dimension("day").values) == {"2024-01-31": 0.5, "2024-02-29": 0.5}


def test_providers_have_their_own_keys_and_addresses():
    strata = {"levels": {"a": ["x"]}}
    own = {"provider": "anthropic", "model": "m"}
    model = parse_config({"total": 1, "strata": strata, "model": own}, name="n", folder=Path()).model
    assert (model.key_variable, model.base_url) == ("ANTHROPIC_API_KEY", "https://api.anthropic.com")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "given.toml"
    path.write_bytes(b"\xef\xbb\xbf" + ("total = 2\n" + LEVELS).encode())
    assert read_config(path).total == 2


MISTAKES = {
    "no total": (LEVELS, "lacks total"),
    "total 0": ("total = 0\n" + LEVELS, "total is 0; a whole number of at least 1"),
    "total huge": ("total = 1_000_001\n" + LEVELS, "at most 1,000,000"),
    "total float": ("total = 1.5\n" + LEVELS, "total is 1.5"),
    "total bool": ("total = true\n" + LEVELS, "total is True"),
    "unknown key": (
        "totl = 5\n" + LEVELS,
        "Unknown key 'totl' in the configuration; allowed are name, total",
    ),
    "unknown in strata": (
        "total = 5\n[strata]\nallocat = 1\n" + LEVELS,
        "Unknown key 'allocat' in \\[strata\\]",
    ),
    "folder": ('total = 5\nfolder = "x"\n' + LEVELS, "Unknown key 'folder'"),
    "name twice": (
        "total = 5\n" + LEVELS + '[dimensions.t]\nname = "u"\nvalues = ["p"]',
        "Unknown key 'name'",
    ),
    "descriptions no table": (
        "total = 5\n[strata]\ndescriptions = 'a'\n" + LEVELS,
        "\\[strata.descriptions\\]",
    ),
    "margins of no level": (
        LEVELS + '[strata.margins."b\\nc"]\nx = 1',
        r"\[strata.margins\] b\\nc names the level",
    ),
    "a category is a table": (
        "total = 5\n" + LEVELS + "[edge]\nshare = 0.1\ncategories = [{}]",
        "categories of \\[edge\\] has the value",
    ),
    "no strata": ("total = 5", "lacks the section \\[strata.levels\\]"),
    "no levels": ("total = 5\n[strata]\nallocate = 'equal'", "\\[strata.levels\\] is empty"),
    "levels no list": ('total = 5\n[strata.levels]\na = "x"', "a list is wanted"),
    "no values": ("total = 5\n[strata.levels]\na = []", "has no values"),
    "repeated": ('total = 5\n[strata.levels]\na = ["x", "x"]', "has the value 'x' twice"),
    "repeated form": ('total = 5\n[strata.levels]\na = ["\u00e9", "e\u0301"]', "twice"),
    "slash": ('total = 5\n[strata.levels]\na = ["x/y"]\nb = ["1"]', "cannot hold '/'"),
    "spaces": ('total = 5\n[strata.levels]\na = ["x "]', "without spaces around"),
    "control": ('total = 5\n[strata.levels]\na = ["x\\u0007"]', "control character"),
    "float value": ("total = 5\n[strata.levels]\na = [1.5]", "text, a whole number or a date"),
    "reserved": ('total = 5\n[strata.levels]\ntask = ["x"]', "names another column"),
    "braces": ('total = 5\n[strata.levels]\n"a{b}" = ["x"]', "without any of"),
    "too many strata": (
        "total = 5\n[strata.levels]\n" + "\n".join(f"l{n} = {list(range(50))}" for n in range(3)),
        "125,000 strata",
    ),
    "allocate": ("total = 5\n[strata]\nallocate = 'even'\n" + LEVELS, "allowed are 'fixed', 'equal', 'sqrt'"),
    "fixed without targets": (
        "total = 5\n[strata]\nallocate = 'fixed'\n" + LEVELS,
        "neither targets nor margins",
    ),
    "both": (
        "total = 5\n" + LEVELS + "[strata.targets]\nx = 2\ny = 3\n[strata.margins]\na = { x = 2, y = 3 }",
        "one of them is wanted",
    ),
    "targets with equal": (
        "total = 5\n[strata]\nallocate = 'equal'\n" + LEVELS + "[strata.targets]\nx = 2\ny = 3",
        "targets go with 'fixed' and 'deficit'",
    ),
    "counts off": (
        "total = 100\n" + LEVELS + "[strata.targets]\nx = 40\ny = 50",
        "sum to 90 and total is 100",
    ),
    "margin off": (
        "total = 100\n" + LEVELS + "[strata.margins]\na = { x = 60, y = 50 }",
        "sum to 110 and total",
    ),
    "margin shares off": (
        "total = 100\n" + LEVELS + "[strata.margins]\na = { x = 0.5, y = 0.4 }",
        "sums to 0.9",
    ),
    "margin negative": ("total = 100\n" + LEVELS + "[strata.margins]\na = { x = -1, y = 101 }", "at least 0"),
    "margin inf": ("total = 100\n" + LEVELS + "[strata.margins]\na = { x = inf, y = 1 }", "is inf"),
    "margin nan": ("total = 100\n" + LEVELS + "[strata.margins]\na = { x = nan, y = 1 }", "is nan"),
    "margin all 0": ("total = 100\n" + LEVELS + "[strata.margins]\na = { x = 0, y = 0 }", "nothing above 0"),
    "margin unknown": (
        "total = 100\n" + LEVELS + "[strata.margins]\na = { x = 50, z = 50 }",
        "Unknown value 'z'",
    ),
    "margin lacks": (
        "total = 100\n" + LEVELS + "[strata.margins]\na = { x = 100 }",
        "lacks the value 'y'; write 0 for none of it",
    ),
    "margin level": ("total = 100\n" + LEVELS + "[strata.margins]\nq = { x = 100 }", "names the level 'q'"),
    "targets lack": (
        "total = 100\n" + TWO_LEVELS + "[strata.targets]\nx = { 1 = 50, 2 = 50 }",
        "lacks the value 'y'",
    ),
    "targets unknown": (
        "total = 9\n" + TWO_LEVELS + "[strata.targets]\nx = { 1 = 9, 2 = 0 }\ny = 0\nz = 0",
        "Unknown value 'z' in \\[strata.targets\\]; allowed are 'x', 'y'",
    ),
    "targets shallow": (
        "total = 9\n" + TWO_LEVELS + "[strata.targets]\nx = 4\ny = 5",
        "table of the next level",
    ),
    "targets deep": ("total = 9\n" + LEVELS + "[strata.targets]\nx = { 1 = 4 }\ny = 5", "no further levels"),
    "impossible value": ("total = 9\n[strata]\nimpossible = [{ a = 'q' }]\n" + LEVELS, "names the value 'q'"),
    "impossible empty": ("total = 9\n[strata]\nimpossible = [{}]\n" + LEVELS, "would rule out everything"),
    "clash": (
        "total = 5\n" + LEVELS + '[dimensions.a]\nvalues = ["p"]',
        "two levels or dimensions named 'a'",
    ),
    "dimension counts": (
        "total = 5\n" + LEVELS + "[dimensions.t]\nvalues = { p = 2, q = 9 }",
        "sum to 11 and total",
    ),
    "dimension mixture": (
        "total = 5\n" + LEVELS + "[dimensions.t]\nvalues = { p = 2, q = 0.5 }",
        "not a mixture",
    ),
    "dimension twice": (
        "total = 5\n" + LEVELS + "[dimensions.t]\nvalues = [1, '1']",
        "has the value '1' twice",
    ),
    "dimension lacks": ("total = 5\n" + LEVELS + "[dimensions.t]\ndescription = 'd'", "lacks 'values'"),
    "check kind": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'magic' }",
        "'rule', 'regex', 'classifier'",
    ),
    "check field": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'rule', field = 'q' }",
        "looks at the field",
    ),
    "check pattern": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'regex', patterns = { x = '(' } }",
        "no regular expression",
    ),
    "check pattern kind": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'regex', patterns = { x = 5 } }",
        "The pattern of 'x' is 5; a regular expression is wanted",
    ),
    "check without patterns": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'regex' }",
        'A check of kind "regex" wants patterns = ',
    ),
    "check value": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'regex', patterns = { q = 'q' } }",
        "Unknown value 'q' in the patterns",
    ),
    "check mixed": (
        "total = 5\n" + LEVELS + "[strata.checks]\na = { kind = 'rule', question = 'q' }",
        "goes with kind",
    ),
    "edge category": (
        "total = 5\n" + LEVELS + "[edge]\ncategories = { odd = 1 }",
        "Unknown edge category 'odd'",
    ),
    "edge ask": (
        "total = 5\n" + LEVELS + "[edge]\nask_model = 'no'",
        "ask_model of \\[edge\\] is 'no'; true or false",
    ),
    "edge share": ("total = 5\n" + LEVELS + "[edge]\nshare = 8", "from 0 to 1"),
    "edge custom": ("total = 5\n" + LEVELS + "[edge.custom.odd]\npattern = 'x'", "lacks 'instruction'"),
    "edge own name": ("total = 5\n" + LEVELS + "[edge.custom.unicode]\ninstruction = 'x'", "choose another"),
    "schema": ("total = 5\n" + LEVELS + "[schema]\ntype = 'array'", 'wants type = "object"'),
    "schema date": (
        "total = 5\n" + LEVELS + "[schema]\ntype = 'object'\n[schema.properties]\nd = { const = 2020-01-01 }",
        "quote it",
    ),
    "schema infinite": (
        "total = 5\n" + LEVELS + "[schema]\ntype = 'object'\n[schema.properties]\nd = { enum = [1, inf] }",
        "is inf; JSON has no such number",
    ),
    "template kind": (
        "total = 5\n" + LEVELS + "[record]\nprompt = 5",
        "prompt of \\[record\\] is 5; text is wanted",
    ),
    "template": (
        "total = 5\n" + LEVELS + "[record]\nprompt = '{q}'",
        "names the field 'q'; allowed are 'prompt', 'a'",
    ),
    "template brace": ("total = 5\n" + LEVELS + "[record]\nprompt = '{'", "brace that is not closed"),
    "template form": ("total = 5\n" + LEVELS + "[record]\nprompt = '{prompt.x}'", "plain name is wanted"),
    "provider": (
        "total = 5\n" + LEVELS + "[model]\nprovider = 'x'\nmodel = 'm'",
        "'openai', 'anthropic', 'hf'",
    ),
    "base url": (
        "total = 5\n" + LEVELS + "[model]\nprovider = 'openai'\nmodel = 'm'\nbase_url = 'ftp://x'",
        "no address of an endpoint",
    ),
    "hf with url": ("total = 5\n" + LEVELS + "[model]\nbase_url = 'http://x'", "goes with an endpoint"),
    "max cost": ("total = 5\n" + LEVELS + "[limits]\nmax_cost = 1.0", "wants \\[price\\]"),
    "gates": ("total = 5\n" + LEVELS + "[gates]\ncoverage = 85", "from 0 to 1"),
    "tiers": ("total = 5\ntiers = [4, 2]\n" + LEVELS, "rising whole numbers"),
    "toml": ("total = 5\n[strata\n", "not TOML.*line 2"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(tmp_path, mistake):
    text, sentence = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_text(tmp_path, text)
    assert "given.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_in_the_file_is_refused_without_being_shown(tmp_path):
    text = "total = 5\n" + LEVELS + "[model]\nprovider = 'openai'\nmodel = 'm'\nkey_variable = 'sk-secret'"
    with pytest.raises(ConfigError, match="keys do not belong") as caught:
        read_text(tmp_path, text)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "nowhere.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        read_config(tmp_path / "binary.toml")


def test_a_folder_without_a_plan_is_a_sentence(tmp_path):
    with pytest.raises(ResumeError, match="holds no plan"):
        read_planned_config(tmp_path)


def test_a_plan_whose_configuration_was_changed_by_hand_is_a_sentence(tmp_path):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "config.json").write_text('{"total": 0}')
    with pytest.raises(ResumeError, match=r"config\.json is not what tasksel wrote \(.*\); plan again"):
        read_planned_config(tmp_path)


def test_a_single_level_may_hold_the_separator(tmp_path):
    config = read_text(tmp_path, 'total = 5\n[strata.levels]\nkind = ["mmlu/law", "mmlu/history"]')
    assert list(config.strata.combinations()) == [("mmlu/law",), ("mmlu/history",)]


def test_a_configuration_cannot_be_changed(tmp_path):
    config = read_text(tmp_path, "total = 5\n" + LEVELS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.total = 6


def test_edge_categories_go_by_short_names_too():
    edge = EdgeConfig(categories={"invalid": 2.0, "boundary": 1.0})
    assert edge.categories == {"invalid-but-parseable": 2.0, "boundary": 1.0}
    with pytest.raises(ConfigError, match="names a category twice"):
        EdgeConfig(categories={"invalid": 2.0, "invalid-but-parseable": 1.0})
    with pytest.raises(ConfigError, match="name of a category that tasksel knows"):
        CustomEdgeConfig("invalid", "Break it.")
