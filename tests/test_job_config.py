"""The file of a job: its keys are the flags of the verbs, and what is wrong with it is one sentence."""

import functools
import inspect
import typing
from pathlib import Path

import polars as pl
import pytest
from typer.main import get_command

import tasksel
from tasksel.cli import app
from tasksel.endpoint import Endpoint
from tasksel.job import load_job
from tasksel.job.config import parse_job
from tasksel.job.keys import relative_place
from tasksel.job.prices import PRICE_KEYS
from tasksel.job.sections import OUTSIDE_FLAGS, SECTIONS, SHARED_KEYS, Kind
from tasksel.job.sources import source_sha256
from tasksel.job.stages_evaluation import evaluation_arguments
from tasksel.job.stages_tasks import search_arguments
from tasksel.judge import JudgeSettings
from tasksel.label_cost import LabelPrices
from tasksel.task_discovery import TagSettings
from tasksel_core.errors import ConfigError, TaskselError

POOL = {"path": "pool.jsonl"}
VERBS = {name: section for name, section in SECTIONS.items() if section.verb}
OWN_KEYS = {"select": {"name"}, "evaluate": {"base"}}
"""Keys that no flag has: what they say has no place on the command line of the verb."""
FUNCTIONS = {"score": tasksel.score, "embed": tasksel.embed, "select": tasksel.select, "train": tasksel.train}


@functools.cache
def flags_of(verb):
    """Give every flag and argument of a verb under the name that its key has."""
    found = {}
    for parameter in get_command(app).commands[verb].params:
        long = [each for each in parameter.opts if each.startswith("--")]
        name = long[0].removeprefix("--").replace("-", "_") if long else parameter.name
        if name != "help":
            found[name] = parameter
    return found


@pytest.mark.parametrize("name", VERBS)
def test_every_flag_is_a_key_and_every_key_a_flag(name):
    section = VERBS[name]
    flags = set(flags_of(section.verb))
    excluded = {*section.excluded, *(OUTSIDE_FLAGS.keys() & flags)}
    assert set(section.keys) - OWN_KEYS.get(name, set()) == flags - excluded
    assert not excluded - flags, "a flag is excluded that there is not"
    assert not set(section.keys) & excluded
    assert all({**OUTSIDE_FLAGS, **section.excluded}.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_key_left_out_means_what_the_flag_left_out_means(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    for key, declared in SECTIONS[name].keys.items():
        if key in OWN_KEYS.get(name, set()):
            continue
        flag = flags_of(SECTIONS[name].verb)[key]
        if key in PRICE_KEYS:  # three flags are one parameter
            assert flag.default == getattr(LabelPrices(), PRICE_KEYS[key])
            continue
        parameter = parameters[declared.parameter or key]
        if parameter.default is inspect.Parameter.empty:
            assert flag.required
        elif declared.kind != "pairs":
            assert flag.default == parameter.default, key


@pytest.mark.parametrize("name", VERBS)
def test_a_key_is_of_the_type_of_its_flag(name):
    verb = VERBS[name].verb
    (function,) = [each.callback for each in app.registered_commands if each.name == verb]
    hints = typing.get_type_hints(function)
    kinds = {bool: {"flag"}, int: {"whole"}, float: {"number"}}
    flags = flags_of(verb)
    for key, declared in VERBS[name].keys.items():
        if key in flags:
            types = set(typing.get_args(hints[flags[key].name])) - {type(None)} or {hints[flags[key].name]}
            allowed = kinds.get(types.pop(), set(typing.get_args(Kind)) - {"flag", "whole", "number"})
            assert declared.kind in allowed, key


def test_keys_that_the_top_of_the_file_stands_in_for_are_there():
    shared = {key.shared for section in SECTIONS.values() for key in section.keys.values()} - {""}
    assert shared == set(SHARED_KEYS) - {"out"}


def parsed(**sections):
    return parse_job({"pool": POOL, "select": {"budget": 3}, **sections}, name="job", folder=Path())


def test_paths_are_relative_to_the_file_and_names_stay_names(tmp_path):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    path = tmp_path / "job.toml"
    path.write_text(
        'model = "models/tiny"\nout = "run"\n[pool]\npath = "data/pool.jsonl"\n'
        '[score]\nmodel = "owner/name"\n[select]\nbudget = 2\nembeddings = "vector"\n[train]\n'
    )
    job = load_job(path)
    assert job.out == tmp_path / "run"
    assert job["pool"]["path"] == str(tmp_path / "data" / "pool.jsonl")
    assert job["score"]["model"] == "owner/name"
    assert job["train"]["model"] == str(tmp_path / "models" / "tiny")
    assert job.selections[0].settings["embeddings"] == "vector"


def test_demo_is_the_embedded_model_whatever_lies_beside_the_file(tmp_path):
    (tmp_path / "demo").mkdir()
    job = parse_job(
        {"model": "demo", "pool": POOL, "select": {"budget": 1}, "train": {}}, name="", folder=tmp_path
    )
    assert job["train"]["model"] == "demo"


def test_a_url_stays_a_url():
    job = parse_job(
        {"pool": {"path": "s3://bucket/pool.parquet"}, "select": {"budget": 1}}, name="", folder=Path("x")
    )
    assert job["pool"]["path"] == "s3://bucket/pool.parquet"


def test_names_that_no_file_can_have_stay_names():
    long = "v" * 5000
    job = parsed(select={"budget": 3, "embeddings": long})
    assert job.selections[0].settings["embeddings"] == long
    assert relative_place(long, Path("run")) == long
    assert source_sha256(long) is None
    assert source_sha256("a\0b") is None


def test_options_of_an_engine_are_taken_as_they_are():
    options = {"temperature": 0.5, "stop": "x", "greedy": True}
    assert parsed(model="demo", score={"engine_option": options})["score"]["engine_option"] == options


def test_the_home_of_a_user_who_does_not_exist_is_a_folder_of_that_name(tmp_path):
    text = "~nobody-of-that-name/pool.jsonl"
    job = parse_job({"pool": {"path": text}, "select": {"budget": 1}}, name="", folder=tmp_path)
    assert job["pool"]["path"] == str(tmp_path / text)


def test_keys_of_a_judge_and_of_a_namer_become_their_settings():
    judge = {"judge_url": "http://127.0.0.1:9/v1", "judge_model": "j", "judge_key_env": "J_KEY"}
    given = evaluation_arguments(
        {**judge, "judge_concurrency": 2, "judge_logprobs": False, "suite": ["exact"]}
    )
    assert given["endpoint"] == Endpoint("http://127.0.0.1:9/v1", key_variable="J_KEY")
    assert given["judge"] == JudgeSettings("j", logprobs=False, concurrency=2)
    assert "judge" not in evaluation_arguments({"suite": ["exact"]})
    tags = {"tag_endpoint": "http://127.0.0.1:9/v1", "tag_model": "t", "tag_max_tokens": 900}
    assert search_arguments(tags) == {
        "tagging": TagSettings(Endpoint("http://127.0.0.1:9/v1"), "t", max_total_tokens=900)
    }
    with pytest.raises(ConfigError, match="tag_endpoint and tag_model of \\[tasks\\] belong together"):
        search_arguments({"tag_model": "t"})


def test_the_top_of_the_file_stands_in_for_what_sections_do_not_say():
    job = parsed(seed=7, model="demo", device="cpu", train={"seed": 9}, score={})
    assert job["train"] == {"seed": 9, "model": "demo", "device": "cpu"}
    assert job["score"] == {"model": "demo", "device": "cpu"}
    assert job.selections[0].settings == {"budget": 3, "seed": 7}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"selct": {}}, "Unknown key 'selct' in the file"),
        ({"selct": {}}, "Did you mean 'select'?"),
        ({"score": {"max_new_token": 3}}, "Unknown key 'max_new_token' in [score]"),
        ({"score": {"max_new_token": 3}}, "Did you mean 'max_new_tokens'?"),
        ({"pool": {}}, "[pool] has no path"),
        ({"select": {"budget": "many"}}, "budget in [select] is 'many'; a whole number of at least 0"),
        ({"select": {"budget": True}}, "budget in [select] is True"),
        ({"select": {"budget": 3, "alpha": "x"}}, "alpha in [select] is 'x'; a number is wanted"),
        ({"select": {"budget": 3, "name": "a"}}, "write [[select]] for several"),
        ({"select": [{"budget": 3}]}, "has no name"),
        (
            {"select": [{"budget": 3, "name": "a"}, {"budget": 4, "name": "a"}]},
            "Two [[select]] have the name 'a'",
        ),
        ({"select": [{"budget": 3, "name": "../a"}]}, "cannot be a folder's"),
        ({"select": []}, "There is no selection"),
        ({"select": 3}, "[select] is 3; a table is wanted"),
        ({"train": {"full": "yes"}}, "full in [train] is 'yes'; true or false is wanted"),
        ({"train": {"model": ""}}, "model in [train] is empty"),
        ({"labels": {"path": 3}}, "path in [labels] is 3; text is wanted"),
        ({"evaluate": {"suite": []}}, "names nothing"),
        ({"score": {"engine_option": {"x": [1]}}}, "text, a number, true or false is wanted"),
        ({"seed": -1}, "seed in the top of the file is -1"),
    ],
)
def test_what_is_wrong_is_one_sentence(content, sentence):
    with pytest.raises(ConfigError) as error:
        parsed(**content)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("section", ["pool", "select"])
def test_a_file_without_a_section_that_is_needed_says_how_it_begins(section):
    content = {"pool": POOL, "select": {"budget": 3}}
    del content[section]
    with pytest.raises(ConfigError, match=rf"There is no section \[{section}\]"):
        parse_job(content, name="job", folder=Path())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[pool\n", "is not TOML"),
        (b"\xff\xfe[pool]", "is not TOML"),
        ("[pool]\npath='a'\n[selct]\n", "job.toml: Unknown key 'selct'"),
    ],
)
def test_the_message_names_the_file(tmp_path, text, sentence):
    path = tmp_path / "job.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=sentence):
        load_job(path)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml cannot be read"):
        load_job(tmp_path / "nowhere.toml")


@pytest.fixture
def pool(tmp_path):
    frame = pl.DataFrame({"prompt": [f"prompt {row}" for row in range(6)]})
    frame.write_ndjson(tmp_path / "untasked.jsonl")
    frame.with_columns(task=pl.lit("a")).write_ndjson(tmp_path / "pool.jsonl")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[select]\nbudget = 0", "budget of [select] is 0; at least 1 prompt is wanted"),
        ("[select]", "[select] has no budget"),
        ("[select]\nbudget=2\nstrategy='radnom'", "Did you mean 'random'?"),
        ("[select]\nbudget=2\nwithin='kcenter'", "Did you mean 'k-center'?"),
        ("[select]\nbudget=2\nmetric='prodct'", "Did you mean 'product'?"),
        ("[select]\nbudget=2\nstrategy='k-center'", "needs embeddings: add a section [embed]"),
        (
            "[select]\nbudget=2\nstrategy='weighted-task-diversity'",
            "pool.jsonl carries none: add a section [score]",
        ),
        ("[select]\nbudget=2\n[labels]\npath='s3://bucket/labels.jsonl'", "[labels] is a URL"),
        ("[select]\nbudget=2\n[tasks]\nn_tasks='some'", "allowed: a number, such as 40, or a range"),
        ("[select]\nbudget=2\n[tasks]\nmethod='kmeans'", "method is 'kmeans'"),
        ("[select]\nbudget=2\n[tasks]\ntag_model='m'", "tag_endpoint and tag_model of [tasks] belong"),
        ("[select]\nbudget=2\n[train]", "[train] has no model"),
        ("[select]\nbudget=2\n[train]\nmodel='demo'\nepochs=0", "epochs is 0"),
        (
            "[select]\nbudget=2\n[evaluate]\nmodel='demo'",
            "[evaluate] has no pool, which the suite",
        ),
        ("[select]\nbudget=2\n[evaluate]\nmodel='demo'\nsuite=['exct']", "Did you mean 'exact'?"),
        (
            "[select]\nbudget=2\n[evaluate]\nmodel='demo'\nsuite='mmlu'\njudge_url='http://x/v1'",
            "belong together",
        ),
        ("[select]\nbudget=2\n[evaluate]\nmodel='demo'\npool='pool.jsonl'", "6 of 6 rows without a response"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(pool, text, sentence):
    (pool / "job.toml").write_text(f'[pool]\npath="pool.jsonl"\n{text}\n')
    with pytest.raises(TaskselError) as error:
        tasksel.run_job(pool / "job.toml")
    assert sentence in str(error.value)
    assert not (pool / "job-run").exists()


def test_a_strategy_over_tasks_needs_tasks(pool):
    (pool / "job.toml").write_text('[pool]\npath="untasked.jsonl"\n[select]\nbudget=2\n')
    with pytest.raises(ConfigError, match=r"needs tasks, and untasked\.jsonl has no task column"):
        tasksel.run_job(pool / "job.toml")
