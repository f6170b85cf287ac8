"""What every verb prints alike: a progress display, one JSON object."""

from __future__ import annotations

import contextlib
import json
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
    """Print one JSON object; anything that is not finite becomes null, as JSON knows no NaN."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n")


def announced_stop() -> None:
    """Say that the first Ctrl-C was heard; past the buffers, which the main thread may be writing to."""
    os.write(2, b"\nFinishing the batch; Ctrl-C again stops at once.\n")
