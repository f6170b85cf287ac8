"""Asks a teacher for the labels of a selection; the same call continues an interrupted one.

Layout of ``RUN/teacher``: ``settings.json`` first, then ``replies.jsonl``, which has each raw reply before it
is read; ``samples.parquet``, ``rejects.jsonl`` and ``answers.parquet`` are made from it, the answers go into
``RUN/labels``, and ``manifest.json`` comes last, once no prompt is open.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tasksel.annotation.assignment import Assignment, read_assignment
from tasksel.annotation.label_store import store_answers
from tasksel.providers import Asker, LocalModelProvider, LocalProvider, count_journal
from tasksel.providers.asks import ANSWERED, MAYBE_PAID
from tasksel.reply_journal import ReplyJournal, read_journal
from tasksel.request_pacing import RequestPacing
from tasksel.run_folder import FORMAT_VERSION, MANIFEST_NAME, folder_lock, write_json
from tasksel.run_folder_identity import SETTINGS_NAME, read_settings, refuse_changes
from tasksel.teacher.answers import by_row, open_asks, read_prompts
from tasksel.teacher.estimate import TeacherEstimate, estimate_asks
from tasksel.teacher.files import OUTPUT_NAMES, REPLIES_NAME, answers_frame, write_manifest, write_outputs
from tasksel.teacher.labels import finish_import, is_blank, prompts_to_ask, read_known_labels
from tasksel.teacher.requests import MOST_TRIES, TeacherPrompt, TeacherRequests, asked_ids, gather_prompts
from tasksel.teacher.settings import TeacherLimits, TeacherSettings
from tasksel.teacher.summary import TEACHER_STAGE, TeacherSummary, manifest_content, summarise
from tasksel_core.errors import ConfigError, ProviderError, ResumeError, TaskselError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from tasksel.annotation.label_store import StoredImport
    from tasksel.providers import Answer, Ask, RemoteProvider
    from tasksel.reply_journal import JournalEntry
    from tasksel.spending_caps import SpendingCaps, Spent

__all__ = ["TEACHER_FOLDER", "TeacherProgress", "ask_teacher", "estimate_teacher"]

TEACHER_FOLDER: Final = "teacher"
_NAMES: Final = frozenset({SETTINGS_NAME, REPLIES_NAME, MANIFEST_NAME, *OUTPUT_NAMES})
_REFUSAL: Final = (
    "{folder} holds replies to another question or of another teacher: {changes}. Ask as before, or choose "
    "another folder of the run for this teacher (--folder NAME)."
)


_NO_SEED: Final = "Anthropic's endpoint takes no seed, so that none was sent."


class TeacherProgress(Protocol):
    """Told of ``(replies, requests, tokens, spent)``: replies that are there, of all that are wanted."""

    def __call__(self, replies: int, requests: int, tokens: int, spent: Spent, /) -> None:
        """Show the state."""


@dataclass(frozen=True)
class _Work:
    """A selection, who is asked about it, and where."""

    assignment: Assignment
    settings: TeacherSettings
    folder: Path
    provider: RemoteProvider | LocalProvider
    requests: TeacherRequests

    @property
    def run(self) -> Path:
        return self.folder.parent

    @property
    def n_blank(self) -> int:
        """How many prompts are blank."""
        return int(is_blank(self.assignment.frame).sum())

    @property
    def identity(self) -> dict[str, Any]:
        sha256 = self.provider.sha256 if isinstance(self.provider, LocalModelProvider) else None
        content = {"format_version": FORMAT_VERSION, "stage": TEACHER_STAGE}
        return content | {"settings": self.settings.identity(sha256), "reading": self.settings.reading}

    def prompts(self, entries: Mapping[str, JournalEntry]) -> list[TeacherPrompt]:
        """Return the prompts that are the teacher's."""
        asked = asked_ids(entries)
        self._refuse_strangers(asked)
        known = read_known_labels(self.run, self.assignment.selected, source=self.folder.name)
        return gather_prompts(prompts_to_ask(self.assignment.frame, known, asked))

    def _refuse_strangers(self, asked: Mapping[str, set[str]]) -> None:
        """Refuse a selection without prompts that replies were paid for; one that has grown is welcome."""
        missing = asked.keys() - set(self.assignment.frame["prompt_sha256"])
        if missing:
            raise ResumeError(
                f"{self.folder} holds replies to {len(asked):,} prompts, and {self.assignment.name} lacks "
                f"{len(missing):,} of them; give the selection that it was begun with or one that has grown "
                "from it, or choose another folder of the run (--folder NAME)."
            )


def ask_teacher(
    selection: str | os.PathLike[str],
    teacher: TeacherSettings,
    *,
    into: str | os.PathLike[str],
    limits: TeacherLimits | None = None,
    folder: str = TEACHER_FOLDER,
    progress: TeacherProgress | None = None,
) -> TeacherSummary:
    """Let a model answer the prompts of a selection; what it answers is added to the labels of a run.

    Every raw reply is on the disk before it is read, and what is there already is not asked again. Prompts
    that have an accepted label in the run are not asked, equal prompts are asked once, and what is no answer
    (refusals, truncations, empty replies) is set aside with its reason and never becomes a label.

    Parameters
    ----------
    selection : path
        A folder that ``tasksel select --out`` wrote, or a file in any of the shapes of a pool.
    teacher : TeacherSettings
        Which model, and how it is asked.
    into : path
        Run folder: replies go to its folder `folder`, labels to its folder ``labels``.
    limits : TeacherLimits, optional
        How fast, and how much may be used up.
    folder : str
        Name of the teacher's folder in the run; another teacher or another question wants another.
    progress : callable, optional
        Told of ``(replies, requests, tokens, spent)``.

    Returns
    -------
    TeacherSummary
        Also where a cap is reached or the provider was given up: then it says so.

    Raises
    ------
    ConfigError
        There is no such selection or model, or the folder's name is none.
    AnnotationError
        An id stands for another prompt in the labels of the run; nothing was sent.
    ResumeError
        The folder holds replies of another teacher or to other prompts, or another process works here.
    ProviderError
        The key, the path or the model is wrong, or every request is refused; what was answered is kept, and
        answers are written.
    MissingExtraError
        With a local model: torch or transformers is not installed.
    OSError
        The disk is full or the folder cannot be written.
    """
    work = _begin(selection, teacher, into, folder)
    bounds = limits or TeacherLimits()
    caps = bounds.make_caps()
    _refuse_other_settings(work)
    with folder_lock(work.folder):
        _refuse_other_settings(work)
        write_json(work.folder / SETTINGS_NAME, work.identity)
        finish_import(work.run, work.assignment.selected)
        with _unless_in_vain(work.folder), ReplyJournal(work.folder / REPLIES_NAME) as journal:
            prompts = work.prompts(journal.entries)
            count_journal(caps, work.provider, journal.entries)
            asker = Asker(work.provider, journal, RequestPacing(bounds.make_pacing()), caps)
            try:
                _ask_all(work, prompts, asker, progress)
            except ProviderError:
                _write(work, prompts, asker)
                raise
            return _write(work, prompts, asker)


@contextlib.contextmanager
def _unless_in_vain(folder: Path) -> Iterator[None]:
    """Take settings and journal away again where a model cannot be loaded and nothing was ever answered."""
    try:
        yield
    except TaskselError:
        replies = folder / REPLIES_NAME
        there = {each.name for each in folder.iterdir() if each.name[0] != "."}
        if there == {SETTINGS_NAME, REPLIES_NAME} and not replies.stat().st_size:
            replies.unlink()
            (folder / SETTINGS_NAME).unlink()
        raise


def estimate_teacher(
    selection: str | os.PathLike[str],
    teacher: TeacherSettings,
    *,
    into: str | os.PathLike[str],
    limits: TeacherLimits | None = None,
    folder: str = TEACHER_FOLDER,
    tokenizer: str | None = None,
) -> TeacherEstimate:
    """Say what `ask_teacher` would send and what that would cost; nothing is sent or written.

    Parameters
    ----------
    selection, teacher, into, limits, folder
        As for `ask_teacher`.
    tokenizer : str, optional
        A model whose tokenizer counts the prompts; by default that of a local teacher.

    Raises
    ------
    AnnotationError, ConfigError, ResumeError
        As for `ask_teacher`.
    """
    work = _begin(selection, teacher, into, folder)
    bounds = limits or TeacherLimits()
    caps = bounds.make_caps()
    _refuse_other_settings(work)
    entries = read_journal(work.folder / REPLIES_NAME)
    count_journal(caps, work.provider, entries)
    answered = read_prompts(work.requests, entries, work.prompts(entries))
    asked = sum(len(each.prompt.ids) for each in answered)
    selected = work.assignment.frame.height
    counted_by = tokenizer if tokenizer is not None or not teacher.is_local else teacher.model
    return estimate_asks(
        open_asks(work.requests, answered),
        entries,
        work.provider,
        tokenizer=counted_by,
        price=bounds.price,
        spent=caps.spent,
        selected=selected,
        settled=selected - work.n_blank - asked,
        blank=work.n_blank,
        asked=asked,
        unanswered=sum(len(each.prompt.ids) for each in answered if each.is_open),
    )


def _begin(
    selection: str | os.PathLike[str],
    teacher: TeacherSettings,
    into: str | os.PathLike[str],
    folder: str,
) -> _Work:
    if not re.fullmatch(r"[\w-][\w.-]*", folder):
        raise ConfigError(
            f"The teacher's folder is {folder!r}; a name of letters, digits and any of - _ . is wanted."
        )
    assignment = read_assignment(selection)
    provider = teacher.make_provider()
    return _Work(assignment, teacher, Path(into) / folder, provider, TeacherRequests(teacher, provider))


def _refuse_other_settings(work: _Work) -> None:
    """Refuse a folder of something else, and one whose replies were given to other questions."""
    if not work.folder.is_dir():
        return
    strange = sorted(
        each.name for each in work.folder.iterdir() if each.name not in _NAMES and each.name[0] != "."
    )
    if strange:
        raise ConfigError(
            f"{work.folder} holds {strange[0]}, which no teacher wrote; choose another folder of the run "
            "(--folder NAME)."
        )
    stored = read_settings(work.folder, (REPLIES_NAME,))
    # Where nothing was answered yet, a mistake in the settings may still be mended.
    if stored is not None and _holds_replies(read_journal(work.folder / REPLIES_NAME)):
        if stored.get("stage") != TEACHER_STAGE:
            raise ResumeError(f"{work.folder / SETTINGS_NAME} is not as a teacher wrote it; restore it.")
        refuse_changes(work.folder, stored, work.identity, inputs=(), refusal=_REFUSAL, is_resolved=True)


def _holds_replies(entries: Mapping[str, JournalEntry]) -> bool:
    return any(each.reply.status == ANSWERED or MAYBE_PAID in each.facts for each in entries.values())


def _ask_all(
    work: _Work, prompts: Sequence[TeacherPrompt], asker: Asker, progress: TeacherProgress | None
) -> None:
    """Ask whatever is open; a reply that cannot be read is asked for again."""
    entries = asker.journal.entries
    total = len(prompts) * work.settings.samples
    tried: set[str] = set()
    for _ in range(MOST_TRIES):
        asks = _next_asks(work, prompts, entries, tried)
        if not asks or asker.ended is not None:
            return
        n_open = sum(each.key not in entries for each in asks)
        show = _Shown(progress, asker.caps, total - n_open, total)
        if not work.settings.is_local:
            show()
        asker.ask(asks, answered=show)
        tried |= {each.key for each in asks}


def _next_asks(
    work: _Work, prompts: Sequence[TeacherPrompt], entries: Mapping[str, JournalEntry], tried: set[str]
) -> list[Ask]:
    answered = read_prompts(work.requests, entries, prompts)
    asks = [each for each in open_asks(work.requests, answered) if each.key not in tried]
    if asks and not tried and isinstance(work.provider, LocalProvider):
        # Whole batches: the last digits of a model's numbers depend on what stands beside a prompt.
        return work.requests.first_asks(prompts)
    return asks


@dataclass
class _Shown:
    """Counts replies for whoever watches."""

    progress: TeacherProgress | None
    caps: SpendingCaps
    replies: int
    requests: int

    def __call__(self, _key: str = "", answer: Answer | None = None) -> None:
        self.replies += answer is not None
        if self.progress is not None:
            spent = self.caps.spent
            self.progress(min(self.replies, self.requests), self.requests, spent.usage.total_tokens, spent)


def _write(work: _Work, prompts: Sequence[TeacherPrompt], asker: Asker) -> TeacherSummary:
    """Write what there is, add the answers to the labels, and the manifest where nothing is open."""
    answered = read_prompts(work.requests, asker.journal.entries, prompts)
    rows = by_row(answered, work.assignment.frame["id"])
    answers = answers_frame(rows, annotator=work.settings.annotator, source=work.folder.name)
    write_outputs(work.folder, rows, answers)
    stored = _store(work, answers)
    has_lost_seed = work.settings.provider == "anthropic" and work.settings.seed is not None
    summary = summarise(
        answered,
        asker.caps.spent,
        selected=work.assignment.frame.height,
        blank=work.n_blank,
        samples=work.settings.samples,
        folder=str(work.folder),
        annotator=work.settings.annotator,
        is_local=work.settings.is_local,
        sent=asker.sent,
        added=0 if stored is None else stored.added,
        labels="" if stored is None else str(stored.labels.folder / "labelled.parquet"),
        labelled=0 if stored is None else stored.labels.counts["labelled"],
        conflicts=0 if stored is None else len(stored.conflicts),
        ended=asker.ended,
        was_given_up=asker.was_given_up,
        notes=(_NO_SEED,) if has_lost_seed else (),
    )
    if summary.is_finished:
        selection = {
            "name": work.assignment.name,
            "rows": work.assignment.frame.height,
            "sha256": work.assignment.sha256,
        }
        write_manifest(work.folder, manifest_content(summary, work.identity, selection))
    return summary


def _store(work: _Work, answers: pl.DataFrame) -> StoredImport | None:
    if answers.is_empty():
        return None
    return store_answers(
        work.run,
        work.assignment.selected,
        answers,
        source=work.folder.name,
        about={"format": TEACHER_STAGE, "annotator": work.settings.annotator},
    )
