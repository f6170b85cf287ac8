"""The keys of a section: each value as its kind wants it, or what is wrong with it in one sentence."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasksel.causal_model_folder import EMBEDDED_MODEL
from tasksel.embedding_run_models import HIDDEN, SENTENCE
from tasksel.file_places import expanded_home
from tasksel.pool_urls import is_url
from tasksel.sentence_embedding_folder import MINILM
from tasksel.toml_file import (
    check_flag,
    check_number,
    check_table,
    check_text,
    check_whole,
    refuse_unknown_keys,
)
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.job.sections import Key

__all__ = ["call_settings", "deciding", "read_section", "relative_keys", "relative_place"]


def read_section(where: str, keys: Mapping[str, Key], given: Any, folder: Path) -> dict[str, Any]:
    """Check the keys of a section and make its paths absolute.

    Parameters
    ----------
    where : str
        What the section is called in an error.
    keys : mapping of str to Key
        Those that there are.
    given : mapping
        As the file has it.
    folder : Path
        Where the file stands.

    Raises
    ------
    ConfigError
        A key is unknown, or a value is of another kind.
    """
    check_table(where, given)
    refuse_unknown_keys(given, keys, where)
    return {
        name: _READERS[keys[name].kind](f"{name} in {where}", each, folder) for name, each in given.items()
    }


def call_settings(keys: Mapping[str, Key], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys under the names of the parameters that they are."""
    return {keys[name].parameter or name: value for name, value in given.items()}


def deciding(keys: Mapping[str, Key], given: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """Return those keys of which another value gives another result, as a run folder records them."""
    decides = {name: value for name, value in given.items() if keys[name].decides}
    return relative_keys(keys, decides, run)


def relative_keys(keys: Mapping[str, Key], given: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """Return keys with their paths relative to the run folder, so that both can move together."""
    return {
        name: relative_place(value, run) if keys[name].kind in ("path", "model", "source") else value
        for name, value in given.items()
    }


def relative_place(value: str, run: Path) -> str:
    """Return a path relative to the run folder; a name, a column or a URL stays what it is."""
    file, mark, column = value.partition(".parquet:")
    path = file + mark.rstrip(":")
    if is_url(value) or not _exists(path):
        return value
    place = Path(os.path.relpath(path, run)).as_posix()
    return f"{place}:{column}" if mark else place


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that is too long, or that holds NUL
        return False


def _read_text(where: str, value: Any, folder: Path) -> str:  # noqa: ARG001 - the readers share a signature
    check_text(where, value, may_be_empty=False)
    return str(value)


def _read_whole(where: str, value: Any, folder: Path) -> int:  # noqa: ARG001 - as above
    check_whole(where, value, 0)
    return int(value)


def _read_number(where: str, value: Any, folder: Path) -> float:  # noqa: ARG001 - as above
    check_number(where, value, -math.inf)
    return float(value)


def _read_flag(where: str, value: Any, folder: Path) -> bool:  # noqa: ARG001 - as above
    check_flag(where, value)
    return bool(value)


def _read_path(where: str, value: Any, folder: Path) -> str:
    text = _read_text(where, value, folder)
    return text if is_url(text) else _absolute(folder, text)


def _read_source(where: str, value: Any, folder: Path) -> str:
    """Make a path absolute where there is such a file or folder; a column or a model's name stays."""
    text = _read_text(where, value, folder)
    if text in _NAMES:
        return text
    file, mark, column = text.partition(".parquet:")
    path = _absolute(folder, file + mark.rstrip(":"))
    exists = _exists(path)
    looks_like_path = text.startswith((".", "/", "~")) or text.endswith((".npy", ".parquet"))
    return f"{path}:{column}" if mark and exists else path if exists or looks_like_path else text


_NAMES = (EMBEDDED_MODEL, MINILM, HIDDEN, SENTENCE)
"""What these names mean does not depend on what lies beside the file."""


def _absolute(folder: Path, text: str) -> str:
    return os.path.normpath(folder / expanded_home(text))


def _read_names(where: str, value: Any, folder: Path) -> list[str]:
    listed = value if isinstance(value, list) else _read_text(where, value, folder).split(",")
    names = [_read_text(where, each, folder).strip() for each in listed]
    if not any(names):
        raise ConfigError(f"{where} names nothing; a list of names is wanted.")
    return [name for name in names if name]


def _read_pairs(where: str, value: Any, folder: Path) -> dict[str, Any]:  # noqa: ARG001 - as above
    """Take a table of names and values: an option's value is checked by what has the option."""
    check_table(where, value)
    for name, each in value.items():
        if not isinstance(each, (str, int, float)):
            raise ConfigError(f"{name} of {where} is {each!r}; text, a number, true or false is wanted.")
    return dict(value)


def _read_range(where: str, value: Any, folder: Path) -> str:
    """Take a number, or two with a colon between them, as text."""
    return (
        str(_read_whole(where, value, folder)) if isinstance(value, int) else _read_text(where, value, folder)
    )


_READERS: dict[str, Callable[[str, Any, Path], Any]] = {
    "text": _read_text,
    "whole": _read_whole,
    "number": _read_number,
    "flag": _read_flag,
    "path": _read_path,
    "model": _read_source,
    "source": _read_source,
    "names": _read_names,
    "pairs": _read_pairs,
    "range": _read_range,
}
