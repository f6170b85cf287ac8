"""Every setting of the configurations in this project, with every wrong value: a sentence, or it is read.

Where fuzzing comes by chance, this goes in order: each place in each configuration once, and each key that a
section allows, also where no configuration has it.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
import traceback
from pathlib import Path
from typing import NamedTuple

import pytest

from reader_fuzz.promises import outcome
from tasksel.job.config import parse_job
from tasksel.rounds.config import parse_rounds
from tasksel.study.config_file import parse_study
from tasksel.synthesis.config_file import config_content, parse_config
from tasksel.toml_file import tomllib

ROOT = Path(__file__).parents[1]
PARSERS = {"synthesis": parse_config, "study": parse_study, "job": parse_job, "rounds": parse_rounds}
MOMENT = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.timezone.utc)
WRONG = (
    *("", " ", "x", "text\nwith\x1b[31m", "a" * 600, "~nobody/x", "/", "\\", "(", "{prompt}", "."),
    *(True, False, 0, -1, 1, 2**31, 2**63, 10**40, -(10**40), 0.5, -0.0, 1e308),
    *(float("nan"), float("inf"), -float("inf")),
    *([], [[]], [0], [0.5], [""], ["x", "x"], [{}], [True], [[1, 2]], ["text\x1b"]),
    *({}, {"": {}}, {"a": 1}, {"a": []}, {"a": "b"}, {"a": {"a": {}}}, {"\x1b": 1}),
    *(MOMENT, MOMENT.replace(tzinfo=None), MOMENT.date(), MOMENT.time()),
)
"""What TOML can hold and hardly any setting means."""
ALLOWED = re.compile(r"allowed are ((?:\w+, )*\w+)\.")


class Config(NamedTuple):
    """What a file in TOML holds."""

    name: str
    kind: str
    content: dict
    folder: Path


def kind_of(content):
    kinds = {"worlds": "study", "strata": "synthesis", "rounds": "rounds"}
    return next((kind for key, kind in kinds.items() if key in content), "job")


def files():
    for pattern in ("examples/*.toml", "studies/*.toml", "tests/data/golden_runs/v1/*.toml"):
        for path in sorted(ROOT.glob(pattern)):
            yield path.name, tomllib.loads(path.read_text(encoding="utf-8")), path.parent
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S):
            yield path.name, tomllib.loads(block), ROOT
    for path in sorted((ROOT / "fuzz/python/seeds/config_files").glob("json_*")):
        yield path.name, json.loads(path.read_bytes()[2:]), ROOT


def configs(kind):
    found = [Config(name, kind_of(content), content, folder) for name, content, folder in files()]
    return [each for each in found if each.kind == kind and not isinstance(parsed(each, each.content), str)]


def parsed(config, content):
    """Read it; what synthesis writes down of a configuration is read as the same one."""
    result = outcome(lambda: PARSERS[config.kind](copy.deepcopy(content), name="swept", folder=config.folder))
    if config.kind == "synthesis" and not isinstance(result, str):
        written = json.loads(json.dumps(config_content(result)))
        assert repr(parse_config(written, name="", folder=result.folder)) == repr(result)
    return result


def places(value, place=()):
    yield place, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*place, number))


def changed(content, place, value=None, *, is_dropped=False):
    if not place:
        return copy.deepcopy(value)
    content = copy.deepcopy(content)
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    if is_dropped:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return content


def absent_keys(config, place, table):
    """Ask which keys a table may have besides those that it has."""
    said = parsed(config, changed(config.content, place, {**table, "no such key": 1}))
    found = ALLOWED.search(said) if isinstance(said, str) and "no such key" in said else None
    return [] if found is None else [key for key in found[1].split(", ") if key not in table]


def variants(config, place, value):
    """Yield what is changed at a place, and how."""
    if place:
        yield "gone", changed(config.content, place, is_dropped=True)
        for wrong in (*WRONG, [value], {"a": value}):
            yield repr(wrong), changed(config.content, place, wrong)
    if isinstance(value, list):
        yield "twice", changed(config.content, place, value * 2)
    if isinstance(value, dict):
        for key in absent_keys(config, place, value):
            for wrong in WRONG:
                yield f"{key} = {wrong!r}", changed(config.content, place, {**value, key: wrong})


def breach(config, content):
    """Say what was raised that is no sentence, and where; the same for all that one mistake breaks."""
    try:
        parsed(config, content)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {where.name} of {Path(where.filename).name}: {error}"[:300]
    return ""


@pytest.mark.parametrize("kind", PARSERS)
def test_every_wrong_value_is_a_sentence_or_is_read(kind):
    broken, tried = {}, set()
    for config in configs(kind):
        for place, value in places(config.content):
            setting = tuple("*" if isinstance(key, int) else key for key in place)
            if setting in tried:
                continue
            tried.add(setting)
            for how, content in variants(config, place, value):
                raised = breach(config, content)
                if raised:
                    broken.setdefault(raised, f"{config.name} {place}: {how[:80]}")
    assert broken == {}
    assert len(tried) > 20, "the configurations are not read any more"
