"""Tasks of Label Studio: prompts out, with suggestions as predictions; annotations back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.answers import ANSWERED, EMPTY, OPEN, REJECTED, RETURNED_SCHEMA, SKIPPED
from tasksel.annotation.label_studio_config import NOTE, PROMPT, REJECTED_CHOICE, RESPONSE, VERDICT
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasksel.annotation.assignment import Assignment

__all__ = ["SUGGESTING_MODEL", "is_task", "read_tasks", "tasks_of"]

SUGGESTING_MODEL: Final = "tasksel-base-model"
"""Name of the suggestions' author in Label Studio."""
_MOST_NAMED: Final = 5


def tasks_of(assignment: Assignment, *, choices: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Give one task a prompt, in the order of the rank.

    ``priority`` falls from 1 to 0 with the rank, for the data manager to sort by. A suggestion is a
    prediction whose score is the base model's confidence; where the answers are choices, only one of these is
    suggested.
    """
    n = assignment.frame.height
    for position, row in enumerate(assignment.frame.iter_rows(named=True)):
        data = {
            "id": row["id"],
            "rank": row["rank"],
            "priority": round(1.0 - position / n, 6),
            PROMPT: row["prompt"],
            "prompt_sha256": row["prompt_sha256"],
        }
        if assignment.has_tasks:
            data["task"] = row["task"] or ""
        prediction = _prediction(row, choices)
        yield {"data": data, **({"predictions": [prediction]} if prediction else {})}


def _prediction(row: dict[str, Any], choices: Sequence[str]) -> dict[str, Any] | None:
    text = row["suggestion"]
    if text is None or not text.strip():
        return None
    if choices and text.strip() not in choices:
        return None
    kind, value = ("choices", {"choices": [text.strip()]}) if choices else ("textarea", {"text": [text]})
    result = {"from_name": RESPONSE, "to_name": PROMPT, "type": kind, "value": value}
    score = row["suggestion_confidence"]
    return {
        "model_version": SUGGESTING_MODEL,
        **({} if score is None else {"score": score}),
        "result": [result],
    }


def is_task(content: Any) -> bool:
    """Whether a JSON value looks like a task of Label Studio, annotated or not."""
    if not isinstance(content, dict) or not isinstance(content.get("data"), dict):
        return False
    return "annotations" in content or content.keys() <= {"data", "predictions"}


def read_tasks(tasks: Iterable[Any], *, response_name: str | None = None) -> pl.DataFrame:
    """Read exported tasks as answers, one row an annotation; a task without one is an open row.

    Parameters
    ----------
    tasks : iterable of dict
        As of the export ``JSON`` or ``GET /api/tasks?fields=all``.
    response_name : str, optional
        Name of the tag with the answer; default ``response``.

    Returns
    -------
    DataFrame
        `RETURNED_SCHEMA`. Annotators are ``label-studio-N`` by their number: names and addresses of people
        have no place in training data.

    Raises
    ------
    AnnotationError
        Something is no task, or no annotation has a tag of that name although all have others.
    """
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    wanted = response_name or RESPONSE
    for position, task in enumerate(tasks):
        if not is_task(task) or not isinstance(task.get("annotations", []), list):
            raise AnnotationError(
                f"Item {position} is no task of Label Studio; wanted are objects with data and annotations, "
                "as its export as JSON has them (not JSON-MIN, and not CSV)."
            )
        found = [each for each in task.get("annotations", []) if isinstance(each, dict)]
        rows += [_row(task["data"], each, wanted, names) for each in found] or [_open_row(task["data"])]
    _check_names(names, wanted)
    return pl.DataFrame(rows, schema=RETURNED_SCHEMA, orient="row")


def _open_row(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _text(data.get("id")),
        "prompt": _text(data.get(PROMPT)),
        "prompt_sha256": _text(data.get("prompt_sha256")),
        "response": None,
        "status": OPEN,
        "annotator": None,
        "foreign_id": None,
        "note": None,
    }


def _row(
    data: dict[str, Any], annotation: dict[str, Any], response_name: str, names: set[str]
) -> dict[str, Any]:
    entered = _entered(annotation.get("result"))
    names.update(entered)
    response = entered.get(response_name)
    if annotation.get("was_cancelled"):
        status = SKIPPED
    elif entered.get(VERDICT) == REJECTED_CHOICE:
        status = REJECTED
    else:
        status = ANSWERED if response and response.strip() else EMPTY
    return {
        **_open_row(data),
        "response": response if status == ANSWERED else None,
        "status": status,
        "annotator": _annotator(annotation.get("completed_by")),
        "foreign_id": _text(annotation.get("id")),
        "note": entered.get(NOTE),
    }


def _entered(result: Any) -> dict[str, str]:
    """Return what was entered, by the name of its tag; of several texts in one, its lines."""
    entered: dict[str, str] = {}
    for each in result if isinstance(result, list) else []:
        value = each.get("value") if isinstance(each, dict) else None
        if not isinstance(value, dict):
            continue
        texts = value.get("text", value.get("choices"))
        texts = [texts] if isinstance(texts, str) else texts
        if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
            entered[str(each.get("from_name"))] = "\n".join(texts)
    return entered


def _annotator(completed_by: Any) -> str | None:
    number = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
    return f"label-studio-{number}" if isinstance(number, int) else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _check_names(names: set[str], wanted: str) -> None:
    if names and wanted not in names and not names & {VERDICT}:
        there = ", ".join(map(repr, sorted(names)[:_MOST_NAMED]))
        raise AnnotationError(
            f"No annotation has a tag {wanted!r}; there are {there}. Name the one with the answers with "
            "--response-column (response_column=)."
        )
