"""The TOML file of a synthetic set, what is wrong with it in one sentence, and its copy in a run folder."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasksel.run_folder import MANIFEST_NAME, read_json, read_versioned
from tasksel.synthesis.config import (
    CheckConfig,
    CustomEdgeConfig,
    DimensionConfig,
    EdgeConfig,
    LimitsConfig,
    ModelConfig,
    PriceConfig,
    RecordConfig,
    RequestConfig,
    StrataConfig,
    SynthesisConfig,
)
from tasksel.toml_file import check_table, load_toml, refuse_unknown_keys
from tasksel.wording import printable
from tasksel_core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = [
    "CONFIG_NAME",
    "EXAMPLES_NAME",
    "PLAN_FOLDER",
    "config_content",
    "parse_config",
    "read_config",
    "read_planned_config",
]

PLAN_FOLDER: Final = "plan"
"""Folder of the plan in a run folder."""
CONFIG_NAME: Final = "config.json"
EXAMPLES_NAME: Final = "examples.parquet"
"""The checked configuration in it."""

Section = TypeVar("Section")


def read_config(path: str | os.PathLike[str]) -> SynthesisConfig:
    """Read a configuration from its TOML file.

    Parameters
    ----------
    path : path
        See ``examples/`` for some.

    Returns
    -------
    SynthesisConfig

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML (the message has the line), or something in it is unknown or
        not allowed.
    """
    return load_toml(path, "configuration", parse_config)


def parse_config(content: Mapping[str, Any], *, name: str, folder: Path) -> SynthesisConfig:
    """Make a configuration of the content of its file.

    Parameters
    ----------
    content : mapping
        Keys and sections as in the file.
    name : str
        Its name, unless the content has one.
    folder : Path
        Where the file stands.

    Returns
    -------
    SynthesisConfig

    Raises
    ------
    ConfigError
        A key is unknown or missing, or a value is not allowed.

    Examples
    --------
    >>> content = {"total": 6, "strata": {"allocate": "equal", "levels": {"rating": [1, 2, 3]}}}
    >>> parse_config(content, name="reviews", folder=Path()).strata.levels
    {'rating': ('1', '2', '3')}
    """
    given = {"name": name, **content}
    _refuse_unknown(SynthesisConfig, given, "the configuration", added=("folder",))
    if "strata" not in given:
        raise ConfigError("The configuration lacks the section [strata.levels].")
    given["strata"] = _read_strata(given["strata"])
    if "total" not in given:
        counted = given["strata"].count_total()
        if counted is None:
            raise ConfigError("The configuration lacks total, the number of examples; no counts say it.")
        given["total"] = counted
    given["dimensions"] = tuple(
        _read_dimension(key, each) for key, each in _table(given, "dimensions").items()
    )
    if "edge" in given:
        given["edge"] = _read_edge(given["edge"])
    for key, kind in _SECTIONS.items():
        if key in given:
            given[key] = _read_section(kind, given[key], f"[{key}]")
    if "tiers" in given:
        given["tiers"] = _list(given["tiers"], "tiers")
    return _read_section(SynthesisConfig, given, "the configuration", folder=folder)


def config_content(config: SynthesisConfig) -> dict[str, Any]:
    """Return a configuration as JSON holds it, in the form of its file: `parse_config` gives it back.

    The folder is left out: it says where, not what.
    """
    content: dict[str, Any] = _plain(config)
    content.pop("folder")
    dimensions = content.pop("dimensions", [])
    content["dimensions"] = {each.pop("name"): each for each in dimensions}
    for own in content.get("edge", {}).get("custom", {}).values():
        own.pop("name")
    if content["model"]["provider"] == "hf":
        content["model"].pop("base_url")
        content["model"].pop("key_variable")
    return content


def read_planned_config(run: str | os.PathLike[str]) -> SynthesisConfig:
    """Read the configuration that a run folder was planned with.

    Parameters
    ----------
    run : path
        Folder that `tasksel synth plan --out` wrote.

    Returns
    -------
    SynthesisConfig
        With the current folder as its folder.

    Raises
    ------
    ResumeError
        There is no plan, or its configuration cannot be read.
    """
    path = Path(run) / PLAN_FOLDER / CONFIG_NAME
    if not path.exists():
        raise ResumeError(f"{run} holds no plan; `tasksel synth plan CONFIG.toml --out {run}` makes one.")
    if path.with_name(MANIFEST_NAME).exists():
        read_versioned(path.with_name(MANIFEST_NAME))  # says in which version the plan is written
    content = read_json(path)
    try:
        return parse_config(content, name="", folder=Path())
    except ConfigError as error:
        raise ResumeError(f"{path} is not what tasksel wrote ({error}); plan again.") from error


_SECTIONS: Final[dict[str, type[Any]]] = {
    "record": RecordConfig,
    "model": ModelConfig,
    "request": RequestConfig,
    "limits": LimitsConfig,
    "price": PriceConfig,
}


def _read_strata(given: Any) -> StrataConfig:
    check_table("[strata]", given)
    found = dict(given)
    levels = _table(found, "levels", "strata.levels")
    found["levels"] = {
        level: tuple(_value(each, f"level {level!r}") for each in _list(values, f"level {level!r}"))
        for level, values in levels.items()
    }
    found["checks"] = {
        level: _read_section(CheckConfig, each, f"{printable(level)} of [strata.checks]")
        for level, each in _table(found, "checks", "strata.checks").items()
    }
    if "impossible" in found:
        found["impossible"] = tuple(
            {level: _value(each, "impossible") for level, each in combination.items()}
            if hasattr(combination, "items")
            else combination
            for combination in _list(found["impossible"], "impossible")
        )
    if "allocate" not in found and "targets" not in found and not found.get("margins"):
        found["allocate"] = "equal"
    return _read_section(StrataConfig, found, "[strata]")


def _read_dimension(name: str, given: Any) -> DimensionConfig:
    where = f"[dimensions.{printable(name)}]"
    check_table(where, given)
    found = dict(given)
    values = found.get("values")
    if isinstance(values, (list, tuple)):
        listed = [_value(each, where) for each in values]
        repeated = [each for each in listed if listed.count(each) > 1]
        if repeated:
            raise ConfigError(f"{where} has the value {repeated[0]!r} twice.")
        found["values"] = {each: 1 / len(listed) for each in listed}
    if "check" in found:
        found["check"] = _read_section(CheckConfig, found["check"], f"check of {where}")
    return _read_section(DimensionConfig, found, where, name=name)


def _read_edge(given: Any) -> EdgeConfig:
    check_table("[edge]", given)
    found = dict(given)
    found["custom"] = {
        name: _read_section(CustomEdgeConfig, each, f"[edge.custom.{printable(name)}]", name=name)
        for name, each in _table(found, "custom", "edge.custom").items()
    }
    if isinstance(found.get("categories"), (list, tuple)):
        listed = [_value(each, "categories of [edge]") for each in found["categories"]]
        found["categories"] = dict.fromkeys(listed, 1.0)
    return _read_section(EdgeConfig, found, "[edge]")


def _read_section(kind: type[Section], given: Any, where: str, **added: Any) -> Section:
    """Make a section of its keys, and of what the file says by the place of the section."""
    check_table(where, given)
    _refuse_unknown(kind, given, where, added=tuple(added))
    required = [each.name for each in _fields(kind) if _has_no_default(each)]
    lacking = [name for name in required if name not in given and name not in added]
    if lacking:
        raise ConfigError(f"{where} lacks {lacking[0]!r}.")
    return kind(**given, **added)


def _refuse_unknown(kind: type[Any], given: Mapping[str, Any], where: str, added: tuple[str, ...]) -> None:
    refuse_unknown_keys(given, [each.name for each in _fields(kind) if each.name not in added], where)


def _fields(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _table(given: Mapping[str, Any], key: str, where: str | None = None) -> Mapping[str, Any]:
    table: Mapping[str, Any] = given.get(key, {})
    check_table(f"[{where or key}]", table)
    return table


def _list(given: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(given, (list, tuple)):
        raise ConfigError(f"{where} is {given!r}; a list is wanted.")
    return tuple(given)


def _value(given: Any, where: str) -> str:
    """Return a value as text: a rating may be written 5, a day as TOML writes days."""
    if isinstance(given, (dt.date, dt.time)):
        return given.isoformat()
    if isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return str(given)
    raise ConfigError(f"{where} has the value {given!r}; text, a whole number or a date is wanted.")


def _has_no_default(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    """Return dataclasses, mappings and tuples as JSON has them; None is left out, as in TOML."""
    if dataclasses.is_dataclass(value):
        pairs = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {name: _plain(each) for name, each in pairs.items() if each is not None}
    if hasattr(value, "items"):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
