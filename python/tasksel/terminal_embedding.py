"""What a person sees of an embedding run: one line of what was done, and what to know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.embedding_run import EmbedSummary

__all__ = ["print_embed_summary"]


def print_embed_summary(console: Console, summary: EmbedSummary) -> None:
    """Print what was embedded, how fast, where the files are, and what to know about it."""
    prompts = "1 prompt" if summary.rows == 1 else f"{summary.rows:,} prompts"
    reused = f" ({summary.rows_reused:,} from before)" if summary.rows_reused else ""
    tokens = f", {summary.tokens:,} tokens read" if summary.tokens else ""
    console.print(
        Text(
            f"Embedded {prompts}{reused}: {summary.n_dimensions:,} dimensions{tokens}{_rate(summary)}. "
            f"Files in {printable(summary.folder)}"
        )
    )
    print_notes(console, summary.notes)


def _rate(summary: EmbedSummary) -> str:
    if summary.rows_per_s is None or summary.seconds < 1:
        return ""
    return f" in {summary.seconds:.0f} s, {summary.rows_per_s:,.0f} prompts/s"
