"""Configurations that people write in TOML: of a synthesis, a study, a job and rounds of labelling.

The first byte says what the rest is: ``c``, ``d``, ``j``, ``r`` TOML of a synthesis, a study, a job, rounds;
``C``, ``D``, ``J``, ``R`` what TOML of such a kind would hold, as JSON. The second byte means nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reader_fuzz.mutation import HEAD_BYTES, Mutator, kind_of
from reader_fuzz.promises import check, outcome
from reader_fuzz.scratch import scratch_folder
from reader_fuzz.targets import Target
from tasksel.job.config import load_job, parse_job
from tasksel.rounds.config import load_rounds, parse_rounds
from tasksel.study.config_file import load_study, parse_study
from tasksel.synthesis.config_file import config_content, parse_config, read_config

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TARGET", "check_config_reader"]

_READERS: Final[dict[bytes, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    b"c": (read_config, parse_config),
    b"d": (load_study, parse_study),
    b"j": (load_job, parse_job),
    b"r": (load_rounds, parse_rounds),
}
_HEADS: Final = b"cdjrCDJR"
_FOLDER: Final = Path("/nonexistent")
_NAMES: Final = (
    *("name", "total", "seed", "tiers", "strata", "levels", "margins", "targets", "dimensions", "values"),
    *("check", "kind", "schema", "properties", "record", "prompt", "response", "edge", "share", "model"),
    *("request", "limits", "gates", "pool", "path", "select", "budget", "strategy", "score", "train"),
    *("rounds", "n", "sizes", "teacher", "worlds", "arms", "budgets", "seeds", "tuning", "within", "alpha"),
    *("labelled", "out", "base", "evaluate", "batch", "metric", "type", "patterns", "a", ""),
)
MUTATOR: Final = Mutator(heads=_HEADS, json=b"CDJR", names=_NAMES)


def check_config_reader(data: bytes) -> None:
    """Read a configuration twice, and a synthesis's from what is written of it.

    Raises
    ------
    BrokenPromiseError, or anything that no reader may raise
    """
    head = kind_of(data, _HEADS)
    load, parse = _READERS[head.lower()]
    if head.islower():
        with scratch_folder() as folder:
            path = folder / "fuzzed.toml"
            path.write_bytes(data[HEAD_BYTES:])
            first, second = outcome(lambda: load(path)), outcome(lambda: load(path))
    else:
        content = _content(data[HEAD_BYTES:])
        if content is None:
            return
        first, second = (
            outcome(lambda: parse(_content(data[HEAD_BYTES:]), name="fuzzed", folder=_FOLDER))
            for _ in range(2)
        )
    check(repr(first) == repr(second), "read again, it is another")
    if head.lower() == b"c" and not isinstance(first, str):
        again = parse_config(json.loads(json.dumps(config_content(first))), name="", folder=first.folder)
        check(repr(again) == repr(first), "read from what is written of it, it is another")


def _content(text: bytes) -> dict[str, Any] | None:
    """Return what TOML could hold of a JSON object."""
    try:
        content = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return _without_foreign(content) if isinstance(content, dict) else None


def _without_foreign(value: Any) -> Any:
    """Put something else in the place of what TOML has not: null, and half a character."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_foreign(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_foreign(key): _without_foreign(inner) for key, inner in value.items()}
    return value


TARGET: Final = Target(check_config_reader, MUTATOR)
