"""What a teacher's folder holds: answers, samples, rejects, and the manifest that is written last."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.answers import ANSWER_SCHEMA, ANSWERED, EMPTY, SKIPPED
from tasksel.run_folder import MANIFEST_NAME, file_sha256, write_json, write_text
from tasksel.run_folder_frames import write_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tasksel.teacher.answers import AnsweredPrompt, Sample
    from tasksel.teacher.replies import Reading

__all__ = [
    "ANSWERS_NAME",
    "OUTPUT_NAMES",
    "REJECTS_NAME",
    "REPLIES_NAME",
    "SAMPLES_NAME",
    "SAMPLE_SCHEMA",
    "answers_frame",
    "samples_frame",
    "write_manifest",
    "write_outputs",
]

REPLIES_NAME: Final = "replies.jsonl"
ANSWERS_NAME: Final = "answers.parquet"
SAMPLES_NAME: Final = "samples.parquet"
REJECTS_NAME: Final = "rejects.jsonl"
OUTPUT_NAMES: Final = (ANSWERS_NAME, SAMPLES_NAME, REJECTS_NAME)

SAMPLE_SCHEMA: Final = pl.Schema(
    {
        "id": pl.String(),
        "prompt_sha256": pl.String(),
        "sample": pl.Int64(),
        "response": pl.String(),
        "reason": pl.String(),
        "detail": pl.String(),
        "is_cut": pl.Boolean(),
        "has_reasoning": pl.Boolean(),
        "is_chosen": pl.Boolean(),
        "votes": pl.Int64(),
        "usable_samples": pl.Int64(),
        "input_tokens": pl.Int64(),
        "output_tokens": pl.Int64(),
        "request": pl.String(),
    }
)
"""One row a prompt and sample; `reason` is empty for what can be a label, `votes` are the chosen one's."""


def answers_frame(rows: Iterable[tuple[str, AnsweredPrompt]], *, annotator: str, source: str) -> pl.DataFrame:
    """Return the answers in the shape of the label store; prompts that are open have no row.

    What is set aside has no response: the status is ``empty`` for an empty reply and ``skipped`` for the
    rest, so that somebody else may answer; the note has the reason.

    Parameters
    ----------
    rows : iterable of (str, AnsweredPrompt)
        Each row's id and its prompt, in the order of the selection.
    annotator, source : str
        Who answered, and the folder that keeps the replies.
    """
    labels = [
        (identifier, each.prompt.sha256, *_label(each), annotator, source, _request(each), _note(each))
        for identifier, each in rows
        if not each.is_open
    ]
    return pl.DataFrame(labels, schema=ANSWER_SCHEMA, orient="row")


def _label(answered: AnsweredPrompt) -> tuple[str | None, str]:
    """Return response and status."""
    chosen = answered.chosen
    if chosen is not None and chosen.reading is not None:
        return chosen.reading.text, ANSWERED
    return None, EMPTY if answered.reason == "empty" else SKIPPED


def _request(answered: AnsweredPrompt) -> str:
    return (answered.samples[0] if answered.chosen is None else answered.chosen).request


def _note(answered: AnsweredPrompt) -> str | None:
    """Say how an answer was chosen, or why there is none."""
    chosen, found = answered.chosen, answered.vote
    if chosen is None or found is None:
        first = answered.samples[0].reading
        detail = f": {first.detail}" if first is not None and first.detail else ""
        return f"{answered.reason}{detail}"
    parts = []
    if len(answered.samples) > 1:
        parts.append(f"{found.votes} of {found.answers} samples agree")
        aside = len(answered.samples) - found.answers
        if aside:
            parts.append(f"{aside} set aside")
    if chosen.reading is not None and chosen.reading.is_cut:
        parts.append("cut at the longest answer")
    return ", ".join(parts) or None


def samples_frame(rows: Iterable[tuple[str, AnsweredPrompt]]) -> pl.DataFrame:
    """Return every sample that has a reply, `SAMPLE_SCHEMA`."""
    found = [sample for identifier, each in rows for sample in _sample_rows(each, identifier)]
    return pl.DataFrame(found, schema=SAMPLE_SCHEMA, orient="row")


def _sample_rows(answered: AnsweredPrompt, identifier: str) -> Iterator[tuple[Any, ...]]:
    found = answered.vote
    for sample in answered.samples:
        reading = sample.reading
        if reading is None:
            continue
        yield (
            identifier,
            answered.prompt.sha256,
            sample.number,
            reading.text,
            reading.reason,
            reading.detail,
            reading.is_cut,
            reading.has_reasoning,
            sample is answered.chosen,
            None if found is None else found.votes,
            None if found is None else found.answers,
            None if reading.usage is None else reading.usage.input_tokens,
            None if reading.usage is None else reading.usage.output_tokens,
            sample.request,
        )


def _reject_lines(rows: Iterable[tuple[str, AnsweredPrompt]]) -> Iterator[str]:
    for identifier, each in rows:
        for sample in each.samples:
            if sample.reading is not None and not sample.reading.is_answer:
                yield _reject_line(each, identifier, sample.reading, sample)


def _reject_line(answered: AnsweredPrompt, identifier: str, reading: Reading, sample: Sample) -> str:
    content = {
        "id": identifier,
        "sample": sample.number,
        "reason": reading.reason,
        "detail": reading.detail,
        "text": reading.text,
        "request": sample.request,
        "answered_by_another_sample": answered.chosen is not None,
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def write_outputs(folder: Path, rows: Sequence[tuple[str, AnsweredPrompt]], answers: pl.DataFrame) -> None:
    """Write answers, samples and rejects; the manifest is taken away first, since it is of other files."""
    with contextlib.suppress(FileNotFoundError):
        (folder / MANIFEST_NAME).unlink()
    write_frame(folder / SAMPLES_NAME, samples_frame(rows))
    write_text(folder / REJECTS_NAME, "".join(_reject_lines(rows)))
    write_frame(folder / ANSWERS_NAME, answers)


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what was asked and what came of it, with the hashes of the files; nothing is written after it."""
    files = {name: file_sha256(folder / name) for name in OUTPUT_NAMES}
    write_json(folder / MANIFEST_NAME, {**content, "files": files})
