"""The page about one selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasksel.html_page import Page
from tasksel.html_page_search import search_script
from tasksel.report.selected_examples import examples_block
from tasksel.report.selection_sections import selection_sections, sources_blocks

if TYPE_CHECKING:
    from tasksel.report.pictures import Pictures
    from tasksel.report.selection_reading import SelectionMaterial

__all__ = ["MAX_BYTES", "selection_page"]

MAX_BYTES: Final = 2_000_000
"""Of the file; the texts of the examples are cut to fit."""
MARGIN_BYTES: Final = 10_000


def selection_page(material: SelectionMaterial, pictures: Pictures, *, taken: int = 0) -> Page:
    """Put the page of a selection together.

    Parameters
    ----------
    material : SelectionMaterial
        What it is about.
    pictures : Pictures
        Draws them.
    taken : int
        Bytes that the caller adds.
    """
    parts = [*selection_sections(material, pictures)]
    parts[0][1].append(pictures.missing_note())
    sources = sources_blocks(material)
    taken += sum(len("".join(blocks).encode()) for _, blocks in [*parts, ("", sources)])
    page = Page(f"Selection: {material.title}", material.explanation.headline)
    taken += len(page.to_html().encode()) + len(search_script().encode())
    for title, blocks in parts:
        page.add(title, *blocks)
    page.add("Selected prompts", examples_block(material, max_bytes=MAX_BYTES - MARGIN_BYTES - taken))
    page.add("Made from", *sources)
    page.allow(search_script())
    return page
