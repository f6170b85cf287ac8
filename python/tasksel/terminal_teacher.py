"""A teacher in the terminal: progress with what is spent, what came back, and what a run would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from tasksel.terminal import print_notes, print_paragraph, printable
from tasksel.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from tasksel.spending_caps import Spent
    from tasksel.teacher import TeacherEstimate, TeacherProgress, TeacherSummary
    from tasksel.terminal import ScoreProgress

__all__ = ["money", "print_teacher_estimate", "print_teacher_summary", "show_spending"]

_MAX_MESSAGE_CHARS: Final = 2_000
_MAX_MESSAGE_LINES: Final = 20
_REMEDIES: Final = {
    "truncated": "--keep-truncated takes them as they are, without asking again; a larger --max-tokens with "
    "another --folder asks for whole ones",
    "refusal": "another model with another --folder may answer; --keep-refusals takes them as labels",
    "cut prompt": "the model's context is too short for them",
}


def show_spending(progress: ScoreProgress) -> TeacherProgress:
    """Return what shows replies, rate, time left and the running cost on a progress display."""

    def show(replies: int, requests: int, tokens: int, spent: Spent) -> None:
        progress(replies, requests, tokens, "" if spent.cost is None else money(spent.cost, spent.currency))

    return show


def money(amount: float | None, currency: str | None, *, about: bool = False) -> str:
    """Return an amount as people read it; a price that is not known gives no amount.

    Examples
    --------
    >>> money(1.5, "USD"), money(0.00123, "USD"), money(None, None)
    ('1.50 USD', '0.0012 USD', 'unknown')
    """
    if amount is None:
        return "unknown"
    digits = 2 if amount >= 1 or amount == 0 else 4
    return (
        f"{'about ' if about else ''}{amount:,.{digits}f} {printable(currency or '', max_chars=12)}".strip()
    )


def print_teacher_summary(console: Console, summary: TeacherSummary) -> None:
    """Print what became of every prompt, what was spent, and where the labels are."""
    name = printable(summary.annotator.partition(":")[2], max_chars=60)
    print_paragraph(
        console, "Teacher ", f"{name} answered {summary.answered:,} of {counted(summary.asked, 'prompt')}"
    )
    console.print(_outcome_table(summary))
    if summary.agreement is not None:
        print_paragraph(console, "Samples ", _agreement_line(summary))
    print_paragraph(console, "Spent   ", _spent_line(summary))
    if summary.labels:
        print_paragraph(console, "Labels  ", f"{summary.labelled:,} in {printable(summary.labels)}")
    print_notes(console, _notes(summary))


def _outcome_table(summary: TeacherSummary) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("prompts", justify="right", no_wrap=True)
    table.add_column("outcome")
    rows = [
        (summary.answered, "answered"),
        *((count, f"set aside: {reason}") for reason, count in summary.set_aside.items()),
        (summary.unanswered, "not answered yet"),
        (summary.settled, "not asked: labelled or rejected before"),
        (summary.blank, "not asked: blank"),
    ]
    for count, outcome in rows:
        if count:
            table.add_row(f"{count:,}", Text(outcome))
    return table


def _agreement_line(summary: TeacherSummary) -> str:
    found = summary.agreement
    if found is None or found.mean is None:
        return f"{summary.samples} a prompt; no prompt has two answers to compare"
    return (
        f"{summary.samples} a prompt; {found.mean:.0%} of the answers agree with the chosen one; "
        f"{found.unanimous:,} prompts of one answer, {found.without_majority:,} without any two alike"
    )


def _spent_line(summary: TeacherSummary) -> str:
    about = "about " if summary.is_estimate else ""
    cost = money(summary.cost, summary.currency, about=summary.is_estimate)
    return (
        f"{summary.replies:,} replies ({summary.sent:,} requests sent now); tokens {about}"
        f"{summary.input_tokens:,} read, {about}{summary.output_tokens:,} written"
        f"{'' if summary.is_local and summary.cost is None else f'; cost {cost}'}"
    )


def _notes(summary: TeacherSummary) -> list[str]:
    notes = list(summary.notes)
    if summary.ended is not None:
        notes.append(
            f"Ended before everything was asked: {summary.ended}. What was answered is kept; the same "
            "command continues."
        )
    elif summary.unanswered:
        said = "; ".join(
            f"{counted(count, 'request')}: {printable(problem)}"
            for problem, count in summary.problems.items()
        )
        notes.append(f"Some prompts got no answer ({said}); the same command asks them again.")
    notes += [
        f"Set aside as {reason!r}: {remedy}."
        for reason, remedy in _REMEDIES.items()
        if summary.set_aside.get(reason)
    ]
    if summary.shared:
        notes.append(f"Prompts that repeat another word for word share its answer: {summary.shared:,}.")
    if summary.cut_answers:
        notes.append(
            f"Labels that are cut at the longest answer (--keep-truncated): {summary.cut_answers:,}."
        )
    if summary.reasoning_removed:
        notes.append(f"Reasoning in <think> was left out of labels: {summary.reasoning_removed:,}.")
    if summary.conflicts:
        notes.append(
            "Answers that contradict earlier ones of the same teacher, which stay (see conflicts.jsonl): "
            f"{summary.conflicts:,}."
        )
    if summary.cost is None and not summary.is_local:
        notes.append("Cost is unknown without --input-price and --output-price.")
    if summary.is_estimate:
        notes.append("The provider did not report all tokens; those are estimated at four bytes a token.")
    return notes


def print_teacher_estimate(console: Console, plan: TeacherEstimate) -> None:
    """Print what would be sent, what that would cost, and the first request."""
    others = (
        (plan.asked - plan.unanswered, "have a reply"),
        (plan.settled, "are labelled or rejected"),
        (plan.blank, "are blank"),
    )
    told = [f"{count:,} {what}" for count, what in others if count]
    rest = f"; of the others {', '.join(told)}" if told else ""
    print_paragraph(
        console,
        "Dry run ",
        f"{counted(plan.requests, 'request')} for {counted(plan.unanswered, 'prompt')}{rest}",
    )
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    table.add_row("tokens to read", f"{plan.input_tokens:,}", Text(plan.input_basis))
    table.add_row("tokens to write", f"{plan.output_tokens:,}", Text(plan.output_basis))
    if plan.output_tokens != plan.most_output_tokens:
        table.add_row("  at most", f"{plan.most_output_tokens:,}", "each as long as max_tokens allows")
    if plan.cost is None:
        table.add_row("cost", "unknown", "give --input-price and --output-price a million tokens")
    else:
        table.add_row("cost", money(plan.cost, plan.currency), "of these tokens")
        if plan.cost != plan.most_cost:
            table.add_row("  at most", money(plan.most_cost, plan.currency), "with the longest answers")
    if plan.spent_cost:
        table.add_row("spent before", money(plan.spent_cost, plan.currency), "by replies that are there")
    console.print(table)
    console.print(Text("Retries come on top. Nothing was sent."))
    for role, text in plan.first_request:
        console.print(Text(f"\n[{role}]", style="bold"))
        for line in text[:_MAX_MESSAGE_CHARS].splitlines()[:_MAX_MESSAGE_LINES]:
            console.print(Text(printable(line, max_chars=_MAX_MESSAGE_CHARS)))
