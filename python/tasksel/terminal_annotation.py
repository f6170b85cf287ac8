"""What a person sees of annotation: what was handed out, what came back, and how far it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, printable

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.annotation import AnnotationExport, LabelImport, Labels
    from tasksel.annotation.agreement import Agreement

__all__ = ["print_annotation_export", "print_label_import", "print_labels"]

_MOST_CONFLICTS = 3
_MOST_ANNOTATORS = 12
_STATES = (
    ("labelled", "with an accepted answer"),
    ("to_adjudicate", "answered differently: a person must settle them"),
    ("rejected", "that cannot be used, say the annotators"),
    ("skipped", "passed on"),
    ("empty", "handed in without an answer"),
    ("open", "without an answer so far"),
)


def print_annotation_export(console: Console, summary: AnnotationExport) -> None:
    """Print what annotators get, where it is, and how the answers come back."""
    suggested = f", {summary.suggestions:,} with a suggestion" if summary.suggestions else ""
    what = "1 prompt" if summary.rows == 1 else f"{summary.rows:,} prompts"
    console.print(Text(f"Wrote {what}{suggested} ({summary.to}) to {printable(summary.folder)}:"))
    console.print(Text(f"  {', '.join(summary.files[:4])}{', …' if len(summary.files) > 4 else ''}"))
    if summary.choices:
        shown = ", ".join(printable(each) for each in summary.choices)
        console.print(Text(f"The answers are choices: {shown}. --free-text lets them be typed."))
    if summary.project is not None:
        there = f", {summary.present:,} were there" if summary.present else ""
        console.print(Text(f"Uploaded {summary.uploaded:,} tasks{there}: {printable(summary.project)}"))
    print_notes(console, summary.notes)
    back = summary.project or summary.comes_back
    console.print(Text(f"Back: tasksel annotate import {printable(back)} --into RUN", style="dim"))


def print_label_import(console: Console, summary: LabelImport) -> None:
    """Print what came back, what is wrong with it, and what the run has now."""
    counts = ", ".join(f"{number:,} {name}" for name, number in summary.counts.items() if number)
    console.print(
        Text(f"{printable(summary.source)} ({summary.format}), {summary.rows:,} rows: {counts or 'nothing'}.")
    )
    print_notes(console, [*summary.notes, *(each.sentence for each in summary.problems)])
    if summary.labels is None:
        console.print(Text("Nothing was written (--dry-run).", style="dim"))
        return
    repeated = f", {summary.repeated:,} were there" if summary.repeated else ""
    console.print(Text(f"Added {summary.added:,} answers{repeated}."))
    _print_conflicts(console, summary)
    console.print()
    print_labels(console, summary.labels)


def _print_conflicts(console: Console, summary: LabelImport) -> None:
    if not summary.conflicts:
        return
    first = summary.conflicts[0]
    n = len(summary.conflicts)
    what = "1 answer differs" if n == 1 else f"{n:,} answers differ"
    lines = [
        f"{what} from an earlier one of the same annotator; {first['done']}. All are in conflicts.jsonl."
    ]
    lines += [
        f"{printable(each['annotator'], max_chars=30)} on {printable(each['id'], max_chars=30)}: "
        f"{_said(each['earlier'])} → {_said(each['later'])}"
        for each in summary.conflicts[:_MOST_CONFLICTS]
    ]
    print_notes(console, lines)


def _said(answer: dict[str, Any]) -> str:
    text = answer["response"] if answer["response"] is not None else answer["status"]
    return printable(json.dumps(text, ensure_ascii=False), max_chars=40)


def print_labels(console: Console, labels: Labels) -> None:
    """Print how many prompts have an answer, who gave them, and how far they agree."""
    counts = labels.counts
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row(f"{counts['asked']:,}", "prompts asked")
    for name, what in _STATES:
        if counts[name]:
            table.add_row(f"{counts[name]:,}", what)
    console.print(table)
    if labels.answers_by_annotator:
        shown = sorted(labels.answers_by_annotator.items(), key=lambda each: -each[1])
        names = ", ".join(f"{printable(name, max_chars=30)} {n:,}" for name, n in shown[:_MOST_ANNOTATORS])
        more = f" and {len(shown) - _MOST_ANNOTATORS:,} more" if len(shown) > _MOST_ANNOTATORS else ""
        console.print(Text(f"Answers: {names}{more}."))
    if labels.agreement.prompts:
        console.print(Text(_agreement_line(labels.agreement)))
    if labels.annotators:
        names = ", ".join(printable(each, max_chars=30) for each in labels.annotators)
        console.print(Text(f"Trusted before the majority: {names}."))
    if counts["to_adjudicate"]:
        console.print(
            Text(f"To settle: fill in {printable(str(labels.folder))}/adjudication.csv and import it")
        )
        console.print(Text("with --adjudication."))
    console.print(Text(f"Labelled: {printable(str(labels.folder))}/labelled.parquet"))


def _agreement_line(agreement: Agreement) -> str:
    what = "1 prompt" if agreement.prompts == 1 else f"{agreement.prompts:,} prompts"
    line = f"Agreement over {what} with several answers: {agreement.exact_match:.0%} of pairs are equal"
    return line + ("." if agreement.alpha is None else f", Krippendorff's alpha {agreement.alpha:.2f}.")
