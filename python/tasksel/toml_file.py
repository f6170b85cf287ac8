"""TOML files that people write: read, and what is wrong with them in one sentence."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tasksel.file_places import NO_REGULAR_FILE, file_trouble
from tasksel.suggestions import did_you_mean
from tasksel.whole_numbers import is_finite_number
from tasksel_core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Mapping

__all__ = [
    "check_choice",
    "check_flag",
    "check_number",
    "check_table",
    "check_text",
    "check_whole",
    "load_toml",
    "read_toml",
    "refuse_unknown_keys",
]


Parsed = TypeVar("Parsed", covariant=True)


def read_toml(path: Path, noun: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
        The file, with or without a byte-order mark.
    noun : str
        What it is, for the error: ``study``.

    Raises
    ------
    ConfigError
        It cannot be read, or is not TOML (the message has the line).
    """
    if file_trouble(path) == NO_REGULAR_FILE:  # reading a pipe may never end
        raise ConfigError(f"The {noun} {path} {NO_REGULAR_FILE}; a TOML file is wanted.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"The {noun} {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"The {noun} {path} is not TOML: it is not UTF-8 (byte {error.object[error.start]:#04x} at "
            f"offset {error.start:,}); save it as UTF-8."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"The {noun} {path} is not TOML: it is nested too deeply.") from error
    except ValueError as error:  # also of a number of thousands of digits, which is no TOMLDecodeError
        raise ConfigError(f"The {noun} {path} is not TOML: {str(error).split(';')[0]}.") from error


class _Parser(Protocol[Parsed]):
    """Makes something of the content of a file."""

    def __call__(self, content: Mapping[str, Any], /, *, name: str, folder: Path) -> Parsed: ...


def load_toml(path: str | os.PathLike[str], noun: str, parse: _Parser[Parsed]) -> Parsed:
    """Read a TOML file and make of it what it stands for.

    Parameters
    ----------
    path : path
        The file.
    noun : str
        What it is, for the error: ``study``.
    parse : callable
        Takes the content, the ``name`` of the file without its ending, and the ``folder`` that it stands in.

    Raises
    ------
    ConfigError
        It cannot be read, is not TOML, or `parse` refuses it; the message names the file.
    """
    source = Path(path)
    content = read_toml(source, noun)
    try:
        return parse(content, name=source.stem, folder=source.parent)
    except ConfigError as error:
        raise ConfigError(f"{source.name}: {error}") from error


def refuse_unknown_keys(given: Iterable[str], allowed: Collection[str], where: str) -> None:
    """Refuse a key that there is not; the error has the nearest one and lists those that there are.

    Examples
    --------
    >>> refuse_unknown_keys(["budgte"], ["budget", "seed"], "[select]")
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ConfigError: Unknown key 'budgte' in [select]; allowed are budget, seed. Did you \
mean 'budget'?
    """
    unknown = [key for key in given if key not in allowed]
    if unknown:
        hint = did_you_mean(unknown[0], allowed)
        raise ConfigError(f"Unknown key {unknown[0]!r} in {where}; allowed are {', '.join(allowed)}.{hint}")


def check_choice(where: str, value: Any, allowed: Collection[str]) -> None:
    """Refuse a value that is not among the allowed ones, which the error lists."""
    if not isinstance(value, str) or value not in allowed:
        hint = did_you_mean(value, allowed)
        raise ConfigError(f"{where} is {value!r}; allowed are {', '.join(map(repr, allowed))}.{hint}")


def check_whole(where: str, value: Any, least: int) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{where} is {value!r}; a whole number of at least {least} is wanted.")


def check_number(where: str, value: Any, low: float, high: float = math.inf) -> None:
    """Refuse anything but a finite number from `low` to `high`, both included."""
    if not is_finite_number(value) or not low <= value <= high:
        limits = [f" of at least {low:g}"] if high == math.inf else [f" from {low:g} to {high:g}"]
        wanted = "" if low == -math.inf else limits[0]
        raise ConfigError(f"{where} is {value!r}; a number{wanted} is wanted.")


def check_flag(where: str, value: Any) -> None:
    """Refuse anything but true and false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where} is {value!r}; true or false is wanted.")


def check_table(where: str, value: Any) -> None:
    """Refuse anything but a table (a mapping) whose keys are text."""
    if not hasattr(value, "items") or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{where} is {value!r}; a table is wanted.")


def check_text(where: str, text: Any, *, may_be_empty: bool = True) -> None:
    """Refuse what is not text, of any number of lines."""
    if not isinstance(text, str):
        raise ConfigError(f"{where} is {text!r}; text is wanted.")
    if not may_be_empty and not text.strip():
        raise ConfigError(f"{where} is empty.")
