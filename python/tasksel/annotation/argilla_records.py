"""Records of Argilla 2: what its ``Dataset.from_disk`` and ``Record.from_dict`` read, and its exports back.

The HTTP API (``GET /api/v1/datasets/ID/records?include=responses``) says who submitted, discarded and drafted
what. The SDK's flattened export (``dataset.records.to_list(flatten=True)``, ``to_datasets()``) says so of
responses with a value. Its nested export (``to_json``) does not, so that of it only the responses of
completed records are answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.annotation.answers import ANSWERED, EMPTY, OPEN, REJECTED, RETURNED_SCHEMA, SKIPPED
from tasksel_core.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasksel.annotation.assignment import Assignment

__all__ = [
    "AGENT",
    "dataset_name",
    "dataset_settings",
    "is_flat_record",
    "is_nested_record",
    "read_records",
    "records_of",
]

AGENT: Final = "tasksel-base-model"
"""Author of the suggestions in Argilla."""
_VERDICTS: Final = {"usable": "This prompt can be used", "rejected": "This prompt cannot be used"}
_PENDING: Final = "pending"
_LONGEST_NAME: Final = 60


def records_of(assignment: Assignment, *, choices: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Give one record a prompt, as ``Record.to_dict`` does, in the order of the rank."""
    n = assignment.frame.height
    for position, row in enumerate(assignment.frame.iter_rows(named=True)):
        fields = {"prompt": row["prompt"]}
        if assignment.has_tasks:
            fields["task"] = row["task"] or ""
        yield {
            "id": row["id"],
            "fields": fields,
            "metadata": {
                "rank": row["rank"],
                "priority": round(1.0 - position / n, 6),
                "prompt_sha256": row["prompt_sha256"],
            },
            "suggestions": _suggestions(row, choices),
            "responses": {},
            "vectors": {},
        }


def _suggestions(row: dict[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    text = row["suggestion"]
    if text is None or not text.strip() or (choices and text.strip() not in choices):
        return {}
    value = text.strip() if choices else text
    return {"response": {"value": value, "score": row["suggestion_confidence"], "agent": AGENT}}


def dataset_name(title: str) -> str:
    """Return a title as a name that Argilla takes: letters, digits, hyphens and underscores.

    Examples
    --------
    >>> dataset_name("Dolly, 200 prompts!")
    'Dolly-200-prompts'
    """
    kept = "".join(char if char.isascii() and char.isalnum() else " " for char in title)
    return "-".join(kept.split())[:_LONGEST_NAME].strip("-") or "tasksel"


def dataset_settings(
    *, guidelines: str | None, choices: Sequence[str] = (), has_tasks: bool
) -> dict[str, Any]:
    """Return the settings of a dataset as ``Settings.to_json`` writes them."""
    fields = [_named("prompt", "Prompt", {"type": "text", "use_markdown": False}, required=True)]
    if has_tasks:
        fields.append(_named("task", "Task", {"type": "text", "use_markdown": False}, required=False))
    answer = _labels({each: each for each in choices}) if choices else {"type": "text", "use_markdown": False}
    note = {"type": "text", "use_markdown": False}
    return {
        "guidelines": guidelines,
        "questions": [
            _named("response", "Answer", answer, required=True),
            _named("verdict", "Can the prompt be used?", _labels(_VERDICTS), required=False),
            _named("note", "Note", note, required=False),
        ],
        "fields": fields,
        "vectors": [],
        "metadata": [
            _metadata("rank", "integer", min=1, max=None),
            _metadata("priority", "float", min=None, max=None),
            _metadata("prompt_sha256", "terms", values=None),
        ],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _named(name: str, title: str, settings: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "description": None,
        "required": required,
        "settings": settings,
        "type": settings["type"],
    }


def _labels(labels: dict[str, str]) -> dict[str, Any]:
    options = [{"value": value, "text": text} for value, text in labels.items()]
    return {"type": "label_selection", "options": options, "visible_options": None}


def _metadata(name: str, kind: str, **bounds: Any) -> dict[str, Any]:
    settings = {"visible_for_annotators": True, **bounds, "type": kind}
    return {"name": name, "settings": settings, "title": name, "visible_for_annotators": True}


def is_nested_record(content: Any) -> bool:
    """Whether a JSON value looks like a record of ``to_json``, ``to_list()`` or the HTTP API."""
    return isinstance(content, dict) and isinstance(content.get("fields"), dict) and "responses" in content


def is_flat_record(content: Any) -> bool:
    """Whether a JSON value or its columns look like a record of ``to_list(flatten=True)``."""
    return isinstance(content, dict) and any(name.endswith(".responses.users") for name in content)


def read_records(
    records: Iterable[Any], *, response_name: str | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read exported records as answers, one row a record and user.

    A draft is no answer. A discarded record is skipped, or rejected where the verdict says so.

    Parameters
    ----------
    records : iterable of dict
        Of either export.
    response_name : str, optional
        Name of the question with the answer; default ``response``.

    Returns
    -------
    frame : DataFrame
        `RETURNED_SCHEMA`.
    notes : tuple of str
        What the export leaves open.

    Raises
    ------
    AnnotationError
        Something is no record of Argilla.
    """
    name = response_name or "response"
    rows: list[dict[str, Any]] = []
    untold = 0
    for position, record in enumerate(records):
        if is_flat_record(record):
            said = _flat_responses(record)
        elif is_nested_record(record) and isinstance(record["responses"], list):
            said = _api_responses(record["responses"])
        elif is_nested_record(record):
            said = _nested_responses(record)
            untold += bool(said) and record.get("status") == _PENDING
        elif isinstance(record, dict) and "id" in record:
            said = {}
        else:
            raise AnnotationError(f"Item {position} is no record of Argilla; wanted are id and fields.")
        found = [_row(record, user, answers, name) for user, answers in said.items()]
        rows += found or [_open_row(record)]
    notes = (_untold_note(untold),) if untold else ()
    return pl.DataFrame(rows, schema=RETURNED_SCHEMA, orient="row"), notes


def _untold_note(count: int) -> str:
    return (
        f"{count:,} pending records hold responses that are drafts, discarded or not yet enough, and "
        "this export does not say which; they count as open. dataset.records.to_list(flatten=True) tells "
        "them apart."
    )


def _flat_responses(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each user said: question -> value, and the status under None."""
    said: dict[str, dict[str, Any]] = {}
    for key, values in record.items():
        question, dot, rest = key.rpartition(".")
        if rest != "responses" or not dot or not isinstance(values, (list, tuple)):
            continue
        users = _list(record.get(f"{key}.users"), len(values))
        statuses = _list(record.get(f"{key}.status"), len(values))
        for value, user, status in zip(values, users, statuses, strict=True):
            said.setdefault(str(user), {"": "submitted"}).update({question: value, "": status or "submitted"})
    return said


def _list(values: Any, length: int) -> list[Any]:
    found = list(values) if isinstance(values, (list, tuple)) else []
    return (found + [None] * length)[:length]


def _api_responses(responses: list[Any]) -> dict[str, dict[str, Any]]:
    """Return what each user said in the shape of the HTTP API; who discards may leave no value at all."""
    said: dict[str, dict[str, Any]] = {}
    for each in responses:
        if not isinstance(each, dict):
            continue
        values = each.get("values")
        given = values.items() if isinstance(values, dict) else ()
        told = {str(name): value.get("value") for name, value in given if isinstance(value, dict)}
        said[str(each.get("user_id"))] = {**told, "": str(each.get("status"))}
    return said


def _nested_responses(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    said: dict[str, dict[str, Any]] = {}
    responses = record["responses"]
    is_pending = record.get("status") == _PENDING
    for question, given in responses.items() if isinstance(responses, dict) else ():
        for each in given if isinstance(given, list) else ():
            if isinstance(each, dict):
                status = each.get("status") or ("draft" if is_pending else "submitted")
                user = said.setdefault(str(each.get("user_id")), {"": status})
                user[str(question)] = each.get("value")
    return said


def _open_row(record: dict[str, Any]) -> dict[str, Any]:
    fields, metadata = record.get("fields"), record.get("metadata")
    fields = fields if isinstance(fields, dict) else record
    metadata = metadata if isinstance(metadata, dict) else record
    return {
        "id": _text(record.get("external_id", record.get("id"))),
        "prompt": _text(fields.get("prompt")),
        "prompt_sha256": _text(metadata.get("prompt_sha256")),
        "response": None,
        "status": OPEN,
        "annotator": None,
        "foreign_id": None,
        "note": None,
    }


def _row(record: dict[str, Any], user: str, answers: dict[str, Any], name: str) -> dict[str, Any]:
    response = _text(answers.get(name))
    status = _status(response, str(answers[""]), str(answers.get("verdict")))
    return {
        **_open_row(record),
        "response": response if status == ANSWERED else None,
        "status": status,
        "annotator": None if status == OPEN or user == "None" else f"argilla-{user}",
        "note": _text(answers.get("note")),
    }


def _status(response: str | None, said: str, verdict: str) -> str:
    if said == "draft":
        return OPEN
    if verdict == "rejected":
        return REJECTED
    if said == "discarded":
        return SKIPPED
    return ANSWERED if response and response.strip() else EMPTY


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
