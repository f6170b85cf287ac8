"""What every verb prints alike: a progress display, one JSON object."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

from tasksel import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["announced_stop", "print_json", "shown_progress"]


@contextlib.contextmanager
def shown_progress(label: str, unit: str, *, shown: bool) -> Iterator[terminal.ScoreProgress | None]:
    """Give a progress display, or None where nothing is to be shown."""
    if not shown:
        yield None
        return
    with terminal.ScoreProgress(label, unit) as progress:
        yield progress


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object; anything that is not finite becomes null, as JSON knows no NaN.

    What JSON leaves as it is and a terminal obeys is escaped besides: controls from 0x7f on, and signs that
    turn the direction of writing or cannot be seen. Who parses the object reads the same texts.
    """
    text = json.dumps(_finite(content), ensure_ascii=False, indent=2, default=str, allow_nan=False)
    sys.stdout.write(_escaped(text) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str) -> str:
    if text.replace("\n", "").isprintable():
        return text
    return "".join(each if each == "\n" or each.isprintable() else json.dumps(each)[1:-1] for each in text)


def announced_stop() -> None:
    """Say that the first Ctrl-C was heard; past the buffers, which the main thread may be writing to."""
    os.write(2, b"\nFinishing the batch; Ctrl-C again stops at once.\n")
