"""A project in a Label Studio: found or made, filled without double tasks, and read back page by page."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.annotation.label_studio_client import LabelStudioClient, NotThereError, UnansweredError
from tasksel.annotation.label_studio_config import labelling_config, shown_guidelines
from tasksel.annotation.label_studio_tasks import tasks_of
from tasksel.run_folder import text_sha256
from tasksel_core.errors import AnnotationError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tasksel.annotation.assignment import Assignment
    from tasksel.annotation.formats import Presentation

__all__ = ["VIEW_TITLE", "Upload", "download_tasks", "has_project", "upload_assignment"]

VIEW_TITLE: Final = "Best first"
"""The tab of the data manager that is sorted as tasksel ranks."""
_HIDDEN_COLUMNS: Final = tuple(
    f"tasks:{name}"
    for name in (
        *("inner_id", "annotations_ids", "annotations_results", "predictions_results", "avg_lead_time"),
        *("predictions_score", "predictions_model_versions", "draft_exists", "file_upload"),
        *("storage_filename", "created_at", "updated_at", "updated_by", "ground_truth"),
        *("cancelled_annotations", "total_predictions", "data.prompt_sha256"),
    )
)
"""What would push the prompts off the screen."""
_PAGE_TASKS: Final = 100
_BATCH_BYTES: Final = 4 << 20
_BATCH_TASKS: Final = 250
_BATCH_ATTEMPTS: Final = 4
_LONGEST_TITLE: Final = 50
"""Label Studio takes no more."""
_MOST_TASKS: Final = 10_000_000
_MARK_DIGITS: Final = 16


class Upload(NamedTuple):
    """What is in the project now.

    Attributes
    ----------
    project : int
        Its number.
    url : str
        Its address in a browser.
    uploaded : int
        Tasks that this call added.
    present : int
        Tasks of the assignment that were there.
    notes : tuple of str
        What a person should know.
    """

    project: int
    url: str
    uploaded: int
    present: int
    notes: tuple[str, ...]


def upload_assignment(
    client: LabelStudioClient,
    assignment: Assignment,
    shown: Presentation,
    *,
    project: int | None = None,
    progress: Callable[[int, int, int], None] | None = None,
    on_project: Callable[[int], None] | None = None,
) -> Upload:
    """Bring the prompts of an assignment into a project; those that are there already are left alone.

    Parameters
    ----------
    client : LabelStudioClient
        Where to.
    assignment : Assignment
        The prompts.
    shown : Presentation
        Title, guidelines and choices of a new project.
    project : int, optional
        Number of a project; without one, that of an earlier upload of the same prompts under the same title
        is taken, or a new one is made.
    progress : callable, optional
        Called with ``(tasks present, tasks in all, 0)``.
    on_project : callable, optional
        Called with the number of the project before any task is sent.

    Raises
    ------
    ProviderError
        The server refuses, or does not answer; the same call goes on from there.
    """
    if project is not None:
        _check_project(client, project)
    number = project if project is not None else _find_or_make(client, assignment, shown)
    if on_project is not None:
        on_project(number)
    tasks = list(tasks_of(assignment, choices=shown.choices))
    before = _present_ids(client, number)
    _send_missing(client, number, tasks, before, progress)
    notes = (
        [f"{client.host} is not encrypted: whoever listens can read the key."] if client.is_exposed else []
    )
    doubled = sum(count - 1 for count in before.values())
    if doubled:
        notes.append(f"{doubled:,} tasks of project {number} stand there twice; they came from elsewhere.")
    with contextlib.suppress(UnansweredError):  # a convenience, which the next upload makes up for
        notes += _add_view(client, number)
    known = {task["data"]["id"] for task in tasks}
    present = len(known & before.keys())
    return Upload(number, f"{client.base_url}/projects/{number}", len(tasks) - present, present, tuple(notes))


def has_project(client: LabelStudioClient, project: int) -> bool:
    """Whether there is a project of that number, for the owner of the key."""
    try:
        client.get(f"api/projects/{project}/")
    except NotThereError:
        return False
    return True


def _check_project(client: LabelStudioClient, project: int) -> None:
    if not has_project(client, project):
        raise AnnotationError(
            f"{client.host} has no project {project}, or the owner of the key may not see it."
        )


def _find_or_make(client: LabelStudioClient, assignment: Assignment, shown: Presentation) -> int:
    mark = _mark(assignment)
    title = shown.title[:_LONGEST_TITLE]
    found = _find(client, title, mark)
    if found is not None:
        return found
    body = {
        "title": title,
        "description": f"{assignment.frame.height:,} prompts from {assignment.name} ({mark})",
        "label_config": labelling_config(choices=shown.choices, has_tasks=assignment.has_tasks),
        "expert_instruction": shown_guidelines(shown.guidelines or ""),
        "show_instruction": bool(shown.guidelines),
    }
    try:
        return int(client.post("api/projects/", body)["id"])
    except UnansweredError:
        found = _find(client, title, mark)  # the reply may be lost, and the project made
        if found is None:
            raise
        return found


def _mark(assignment: Assignment) -> str:
    """Name an assignment by its prompts, so that a project is found again."""
    pairs = assignment.frame.select("id", "prompt_sha256").iter_rows()
    return "tasksel " + text_sha256(json.dumps(list(pairs)))[:_MARK_DIGITS]


def _find(client: LabelStudioClient, title: str, mark: str) -> int | None:
    page, seen = 1, 0
    while True:
        reply = client.get("api/projects/", page=page, page_size=_PAGE_TASKS, include="id,title,description")
        found = _listed(reply, "results")
        for each in found:
            if each.get("title") == title and mark in str(each.get("description")):
                return int(each["id"])
        seen += len(found)
        if not found or seen >= reply["count"]:
            return None
        page += 1


def _listed(reply: Any, key: str) -> list[dict[str, Any]]:
    found = reply.get(key) if isinstance(reply, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ProviderError(
            f"The reply has no list {key!r}; is that a Label Studio of version 1.20 or newer?"
        )
    return found


def _send_missing(
    client: LabelStudioClient,
    project: int,
    tasks: Sequence[dict[str, Any]],
    before: Counter[str],
    progress: Callable[[int, int, int], None] | None,
) -> None:
    """Send what is not there, in batches; after a failure look what arrived before sending again."""
    present, failures = set(before), 0
    while batch := _first_batch([task for task in tasks if task["data"]["id"] not in present]):
        try:
            client.post(f"api/projects/{project}/import", batch)
        except UnansweredError:
            failures += 1
            if failures == _BATCH_ATTEMPTS:
                raise
            present.update(_present_ids(client, project))
            continue
        present.update(task["data"]["id"] for task in batch)
        failures = 0
        if progress is not None:
            progress(sum(task["data"]["id"] in present for task in tasks), len(tasks), 0)


def _first_batch(tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many of the first tasks as are sent at once: one at least, where there is one."""
    batch: list[dict[str, Any]] = []
    size = 0
    for task in tasks:
        size += len(json.dumps(task))
        if batch and (size > _BATCH_BYTES or len(batch) == _BATCH_TASKS):
            break
        batch.append(task)
    return batch


def _present_ids(client: LabelStudioClient, project: int) -> Counter[str]:
    """Count the tasks of a project by the id of their prompt; tasks from elsewhere have none."""
    found: Counter[str] = Counter()
    for task in _pages(client, project, "task_only"):
        data = task.get("data")
        if isinstance(data, dict) and isinstance(data.get("id"), str):
            found[data["id"]] += 1
    return found


def _pages(client: LabelStudioClient, project: int, fields: str) -> Iterator[dict[str, Any]]:
    """Give every task of a project once, whatever is added to it meanwhile."""
    seen: set[int] = set()
    page, total = 1, 1
    while len(seen) < total:
        reply = client.get("api/tasks", project=project, page=page, page_size=_PAGE_TASKS, fields=fields)
        tasks = _listed(reply, "tasks")
        total = min(int(reply.get("total", 0)), _MOST_TASKS)
        if not tasks:
            break
        for task in tasks:
            if task["id"] not in seen:
                seen.add(task["id"])
                yield task
        if page * _PAGE_TASKS >= total:
            break
        page += 1


def _add_view(client: LabelStudioClient, project: int) -> list[str]:
    """Add a tab to the data manager that shows the best prompts first; return what to know."""
    data = {
        "title": VIEW_TITLE,
        "type": "list",
        "target": "tasks",
        "ordering": ["-tasks:data.priority"],
        "columnsDisplayType": {"tasks:data.priority": "Number", "tasks:data.rank": "Number"},
        "columnsWidth": {"tasks:data.prompt": 420, "tasks:data.task": 200},
        "hiddenColumns": {"explore": [*_HIDDEN_COLUMNS], "labeling": [*_HIDDEN_COLUMNS]},
    }
    try:
        views = client.get("api/dm/views/", project=project)
        if any(isinstance(each, dict) and each.get("data", {}).get("title") == VIEW_TITLE for each in views):
            return []
        client.post("api/dm/views/", {"project": project, "data": data})
    except UnansweredError:
        raise
    except ProviderError:
        return [f"The data manager of project {project} takes no further tab; sort it by priority yourself."]
    return []


def download_tasks(client: LabelStudioClient, project: int) -> list[dict[str, Any]]:
    """Return every task of a project with its annotations, as its export as JSON has them.

    Raises
    ------
    ProviderError
        The server refuses, or does not answer.
    AnnotationError
        There is no such project, or it has no tasks.
    """
    _check_project(client, project)
    tasks = list(_pages(client, project, "all"))
    if not tasks:
        raise AnnotationError(f"Project {project} of {client.host} has no tasks.")
    return tasks
