"""Tables that scripts write into pages, between two marks that a reader does not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasksel.run_folder import write_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_between_marks", "write_between_marks"]


def write_between_marks(page: Path, name: str, content: str) -> None:
    """Put `content` in the place of what stands between the marks of `name` on a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = _find(text, name)
    write_text(page, f"{text[:begin]}\n{content}\n\n{text[end:]}")


def read_between_marks(page: Path, name: str) -> str:
    """Return what stands between the marks of `name` on a page, without the empty lines around it."""
    text = page.read_text(encoding="utf-8")
    begin, end = _find(text, name)
    return text[begin:end].strip("\n")


def _find(text: str, name: str) -> tuple[int, int]:
    marks = (f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n")
    if [text.count(mark) for mark in marks] != [1, 1]:
        raise SystemExit(
            f"The page has no place for {name!r}: {marks[0].strip()} and {marks[1].strip()}, once each."
        )
    return text.index(marks[0]) + len(marks[0]), text.index(marks[1])
