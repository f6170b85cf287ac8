"""Labels: what annotators' tools give back, in files and folders of every kind.

The first byte says what the rest is: ``j`` JSON Lines, ``J`` JSON, ``c`` CSV, ``t`` TSV, ``p`` Parquet; ``h``
Parquet in a folder of Hugging Face's datasets, ``s`` Arrow as ``save_to_disk`` writes it; ``q`` and ``k``
decisions that build frames, for a Parquet file or the two shards of a folder. The second byte names columns:
``i`` the id, ``t`` the response, ``b`` both; with ``a`` the answers settle conflicts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from reader_fuzz.decisions import Decisions
from reader_fuzz.frames import build_frame
from reader_fuzz.mutation import HEAD_BYTES, Mutator, kind_of
from reader_fuzz.promises import check, check_sentence, equal_frames, outcome
from reader_fuzz.scratch import scratch_folder
from reader_fuzz.targets import Target
from tasksel.annotation.answer_files import read_answers
from tasksel.annotation.answers import ANSWERED, EMPTY, OPEN, REJECTED, RETURNED_SCHEMA, SKIPPED
from tasksel.annotation.label_import import LabelImport, import_labels
from tasksel.annotation.label_reading import read_labels

if TYPE_CHECKING:
    from tasksel.annotation.answers import ReturnedAnswers

__all__ = ["TARGET", "check_label_import"]

PROMPTS: Final = {"a": "What is one?", "1": "What is two?", "c": "What is\r\nthree?", "007": "é =1+1"}
_FILES: Final = {b"j": ".jsonl", b"J": ".json", b"c": ".csv", b"t": ".tsv", b"p": ".parquet"}
_FOLDERS: Final = {b"h": "data/train-00000-of-00001.parquet", b"s": "data-00000-of-00001.arrow"}
_HEADS: Final = b"jJctphsqk"
_DAMAGE: Final = re.compile(r"(?<=damaged or of an unknown kind ).*", re.DOTALL)
_OPTIONS: Final[dict[bytes, dict[str, Any]]] = {
    b"i": {"id_column": "key"},
    b"t": {"response_column": "label"},
    b"b": {"id_column": "key", "response_column": "label"},
}
_NAMES: Final = (
    *RETURNED_SCHEMA.names(),
    "rank",
    "task",
    "key",
    "label",
    "Response",
    "data",
    "annotations",
    "result",
    "value",
    "text",
    "choices",
    "from_name",
    "completed_by",
    "was_cancelled",
    "fields",
    "responses",
    "response.responses",
    "response.responses.users",
    "response.responses.status",
    "verdict",
    "user_id",
    "metadata",
    "external_id",
    "a",
)
_LEADING: Final = ("id", "prompt")
MUTATOR: Final = Mutator(heads=_HEADS, json=b"jJ", table=b"ct", parquet=b"ph", names=_NAMES, leading=_LEADING)


def check_label_import(data: bytes) -> None:
    """Read answers, import them twice, and look at the labels.

    Raises
    ------
    BrokenPromiseError, or anything that no reader may raise
    """
    head = kind_of(data, _HEADS)
    options = _OPTIONS.get(data[1:2], {})
    with scratch_folder() as folder:
        source = _written(head, data[HEAD_BYTES:], folder)
        if source is None:
            return
        returned = outcome(lambda: read_answers(str(source), **options))
        if not isinstance(returned, str):
            _check_returned(returned)
        _check_import(source, returned, folder, options, decides=data[1:2] == b"a")


def _written(head: bytes, content: bytes, folder: Path) -> Path | None:
    """Write an input as the file or folder that it stands for; None where polars builds no such frame."""
    if head in _FILES:
        path = folder / f"answers{_FILES[head]}"
        path.write_bytes(content)
        return path
    answers = folder / "answers"
    (answers / "data").mkdir(parents=True)
    if head in _FOLDERS:
        (answers / _FOLDERS[head]).write_bytes(content)
        if head == b"s":
            (answers / "state.json").write_text("{}")
        return answers
    decisions = Decisions(content)
    try:
        frames = [build_frame(decisions, _LEADING, _NAMES) for _ in range(1 + (head == b"k"))]
        for number, frame in enumerate(frames):
            frame.write_parquet(answers / "data" / f"{number}.parquet")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return answers if head == b"k" else answers / "data" / "0.parquet"


def _check_returned(returned: ReturnedAnswers) -> None:
    frame = returned.frame
    check(frame.schema == RETURNED_SCHEMA, f"the columns are {frame.schema}")
    check(frame["status"].is_in([ANSWERED, EMPTY, OPEN, REJECTED, SKIPPED]).all(), "a status is none")
    is_answer = frame["status"] == ANSWERED
    check((frame["response"].is_not_null() == is_answer).all(), "answers and responses are not the same rows")
    check((frame["response"].str.strip_chars() != "").all(), "an answer is blank")
    for note in returned.notes:
        check_sentence(note)


def _check_import(
    source: Path, returned: ReturnedAnswers | str, folder: Path, options: dict[str, Any], *, decides: bool
) -> None:
    asked = folder / "asked.jsonl"
    pl.DataFrame({"id": list(PROMPTS), "prompt": list(PROMPTS.values())}).write_ndjson(asked)

    def bring(*, dry_run: bool) -> LabelImport:
        # The run is asked anew each time: what an import left behind must not be in the way of the next.
        return import_labels(
            source, into=folder / "run", selection=asked, adjudication=decides, dry_run=dry_run, **options
        )

    looked = outcome(lambda: bring(dry_run=True))
    made = outcome(lambda: bring(dry_run=False))
    if isinstance(made, str) or isinstance(looked, str):
        check(_alike(looked, made), f"a dry run says {looked!r}, an import {made!r}")
        is_alike = not isinstance(returned, str) or _alike(returned, made)
        check(is_alike, f"read: {returned!r}, imported: {made!r}")
        return
    check(not isinstance(returned, str), f"refused by itself, and imported: {returned!r}")
    _check_labels(looked, made)
    again = bring(dry_run=False)
    check(again.added == 0, f"the same file again adds {again.added}")
    check(again.labels is not None and made.labels is not None, "an import has no labels")
    stored = read_labels(folder / "run")
    check(equal_frames(stored.frame, made.labels.frame), "the labels on the disk are others")
    check(stored.counts == made.labels.counts == again.labels.counts, "the counts on the disk are others")


def _alike(one: object, other: object) -> bool:
    """Compare refusals; of several damages in a Parquet file, Polars names now one and now another."""
    return _without_damage(one) == _without_damage(other)


def _without_damage(refusal: object) -> object:
    return re.sub(_DAMAGE, "", refusal) if isinstance(refusal, str) else refusal


def _check_labels(looked: LabelImport, made: LabelImport) -> None:
    check(looked.problems == made.problems and looked.counts == made.counts, "a dry run finds otherwise")
    for sentence in (*(each.sentence for each in made.problems), *made.notes):
        check_sentence(sentence)
    labels = made.labels.frame
    prompts = labels.select("id", "prompt").rows()
    check(all(PROMPTS.get(identifier) == prompt for identifier, prompt in prompts), "a prompt is another")
    check(labels["id"].n_unique() == labels.height, "a prompt has two labels")
    check(labels["response"].null_count() == 0, "a label is null")
    check((labels["response"].str.strip_chars() != "").all(), "a label is blank")
    check(sum(made.counts.values()) <= made.rows, "more answers than rows")
    check(made.added + made.repeated <= made.rows, "more answers than rows are new or old")


TARGET: Final = Target(check_label_import, MUTATOR)
