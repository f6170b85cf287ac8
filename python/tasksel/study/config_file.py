"""The TOML file of a study, and what is wrong with it in one sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasksel.study.config import (
    CONTROL_ARMS,
    ArmConfig,
    OracleConfig,
    RoundConfig,
    StudyConfig,
    TuningConfig,
    WorldConfig,
)
from tasksel.toml_file import check_table, load_toml, refuse_unknown_keys
from tasksel.whole_numbers import is_finite_number
from tasksel.wording import printable
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["load_study", "parse_study"]

Section = TypeVar("Section")


def load_study(path: str | os.PathLike[str]) -> StudyConfig:
    """Read a study from its TOML file; the control arms are added where they are missing.

    Parameters
    ----------
    path : path
        See ``studies/`` for examples.

    Returns
    -------
    StudyConfig

    Raises
    ------
    ConfigError
        The file cannot be read, or something in it is unknown or not allowed.
    """
    return load_toml(path, "study", parse_study)


def parse_study(content: Mapping[str, Any], *, name: str, folder: Path) -> StudyConfig:
    """Make a study of the content of its file; errors as in `load_study`."""
    given = dict(content)
    given["worlds"] = tuple(
        _read_section(WorldConfig, each, "[[worlds]]") for each in _tables("worlds", given.get("worlds", []))
    )
    arms = [_read_arm(each) for each in _tables("arms", given.get("arms", []))]
    named = {arm.name for arm in arms}
    controls = [
        ArmConfig(control, (RoundConfig(strategy=control),))
        for control in CONTROL_ARMS
        if control not in named
    ]
    given["arms"] = (*controls, *arms)
    for key, section in (("tuning", TuningConfig), ("oracle", OracleConfig)):
        if key in given:
            given[key] = _read_section(section, given[key], f"[{key}]")
    reserved = {"name", "folder"} & set(given)
    if reserved:
        raise ConfigError(f"Unknown key {min(reserved)!r}.")
    return _read_section(StudyConfig, {**given, "name": name, "folder": folder}, "the study")


def _read_arm(given: Mapping[str, Any]) -> ArmConfig:
    """Read an arm, whose single round may be written without ``rounds``."""
    names = {each.name for each in dataclasses.fields(ArmConfig)}
    own = {key: value for key, value in given.items() if key in names}
    of_round = {key: value for key, value in given.items() if key not in names}
    where = f"arm {given.get('name', '?')!r}"
    if "rounds" not in own:
        if not of_round and own.get("oracle"):
            return _read_section(ArmConfig, {**own, "rounds": (RoundConfig(),)}, where)
        of_round.setdefault("strategy", given.get("name", ""))
        own["rounds"] = [of_round]
    elif of_round:
        raise ConfigError(f"{where} has rounds, so {min(of_round)!r} belongs into one of them.")
    rounds = _tables(f"rounds of {where}", own["rounds"])
    if not rounds:
        raise ConfigError(f"{where} has no rounds.")
    own["rounds"] = tuple(_read_section(RoundConfig, each, where) for each in rounds)
    return _read_section(ArmConfig, own, where)


def _read_section(kind: type[Section], given: Mapping[str, Any], where: str) -> Section:
    check_table(where, given)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type] # a dataclass, as its callers see
    names = [each.name for each in fields]
    refuse_unknown_keys(given, names, where)
    required = [each.name for each in fields if _has_no_default(each) and each.name not in given]
    if required:
        raise ConfigError(f"{where} lacks {required[0]!r}.")
    for each in fields:
        if each.name in given:
            _check_kind(f"{each.name} of {where}", given[each.name], str(each.type))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def _tables(where: str, given: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(given, (list, tuple)):
        raise ConfigError(f"{where} is {_shown(given)}; a list of tables is wanted.")
    for each in given:
        check_table(where, each)
    return given


def _check_kind(where: str, value: Any, annotation: str) -> None:
    """Refuse a value that is not of the kind that its field is annotated with; sections are read before."""
    kind = annotation.removesuffix(" | None")
    if kind.startswith("tuple["):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} is {_shown(value)}; a list is wanted.")
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        for each in value:
            _check_kind(where, each, inner)
    elif kind.startswith("Mapping["):
        check_table(where, value)
    elif kind in _KINDS:
        is_wanted, wanted = _KINDS[kind]
        if not is_wanted(value):
            raise ConfigError(f"{where} is {_shown(value)}; {wanted} is wanted.")


_KINDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "str": (lambda value: isinstance(value, str), "text"),
    "int": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "float": (is_finite_number, "a number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
}
"""By annotation: what is of the kind, and how a sentence calls it."""


def _shown(value: Any) -> str:
    return printable(repr(value))


def _has_no_default(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
