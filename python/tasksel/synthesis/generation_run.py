"""Runs a plan: requests go out, replies are kept, items become records; the same call continues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tasksel.providers import Answer, Asker
from tasksel.reply_journal import ReplyJournal, read_journal
from tasksel.request_pacing import PacingSettings, RequestPacing
from tasksel.run_folder import FORMAT_VERSION, folder_lock, write_json
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.synthesis.generation_replay import (
    EXEMPLARS_NAME,
    REPLIES_NAME,
    follow,
    known_answers,
    make_caps,
    make_provider,
    replay,
    stored_exemplars,
    stored_tier,
    write_outputs,
)
from tasksel.synthesis.generation_summary import GenerationSummary, summarise
from tasksel.synthesis.generation_waves import GenerationWaves
from tasksel.synthesis.planned_examples import FULL_TIER, find_tier, read_planned_run
from tasksel.synthesis.records import GENERATION_FOLDER
from tasksel_core.errors import ProviderError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasksel.providers import Ask, LocalProvider, RemoteProvider
    from tasksel.reply_journal import JournalEntry
    from tasksel.synthesis.config import SynthesisConfig

__all__ = ["RunProgress", "describe_status", "generate", "reparse"]


class RunProgress(Protocol):
    """Told of ``(requests_answered, requests_so_far, tokens)``; what follows a wave is not known before."""

    def __call__(self, rows_done: int, rows_total: int, tokens_done: int) -> None:
        """Show the state."""


def generate(
    run: str | os.PathLike[str],
    *,
    tier: str | int = FULL_TIER,
    resume: bool = False,
    concurrency: int | None = None,
    exemplars: Mapping[str, Sequence[str]] | None = None,
    progress: RunProgress | None = None,
) -> GenerationSummary:
    """Write the examples of a plan, up to a tier; the same call continues an interrupted one.

    Every raw reply is on the disk before it is read, and what is there already is not asked again.

    Parameters
    ----------
    run : path
        Folder with a finished plan.
    tier : str or int
        One of the plan's tiers, or ``full``.
    resume : bool
        There must be replies already.
    concurrency : int, optional
        Requests under way at a time, in place of the configuration's.
    exemplars : mapping of str to sequence of str, optional
        Stratum -> real texts; ``[request] examples`` of them are shown in each request. They are kept, so
        that a run which continues need not be given them again.
    progress : callable, optional
        Told of ``(requests_answered, requests_so_far, tokens)``.

    Returns
    -------
    GenerationSummary
        Also where strata are short, a cap is reached or the provider was given up: then it says so.

    Raises
    ------
    ConfigError
        There is no such tier, or the schema is none.
    ResumeError
        There is no finished plan, nothing to resume, or another process works here.
    ProviderError
        The key, the path or the model is wrong, or every request is refused; what was answered is kept and
        its records are written.
    MissingExtraError
        jsonschema, or with a local model what that needs, is not installed.
    OSError
        The disk is full or the folder cannot be written.
    """
    planned = read_planned_run(run)
    asked_tier = find_tier(planned.tiers, tier)
    folder = planned.folder / GENERATION_FOLDER
    if resume and not read_journal(folder / REPLIES_NAME):
        raise ResumeError(f"{run} has no replies yet, so there is nothing to resume; leave --resume out.")
    provider = make_provider(planned.config)
    with folder_lock(folder), ReplyJournal(folder / REPLIES_NAME) as journal:
        if exemplars is not None:
            write_json(folder / EXEMPLARS_NAME, {name: list(texts) for name, texts in exemplars.items()})
        waves = GenerationWaves(planned, provider, journal.entries, stored_exemplars(folder))
        asker = _make_asker(planned.config, provider, journal, concurrency)
        # Replies of a larger tier that was begun are read too, so that its records stay.
        largest = max(asked_tier, stored_tier(folder))
        write_json(folder / SETTINGS_NAME, {"format_version": FORMAT_VERSION, "tier": largest})
        try:
            finished = _drive(waves, largest, asker, asked_tier, progress)
        except ProviderError:
            write_outputs(planned, waves, asker.caps, finished_tier=None)
            raise
        done = largest if finished else None
        if not finished and waves.stage > asked_tier:
            done = asked_tier
        write_outputs(planned, waves, asker.caps, finished_tier=done)
        return summarise(
            planned,
            waves,
            asker.caps.spent,
            tier=asked_tier,
            is_finished=done is not None,
            sent=asker.sent,
            ended=asker.ended,
            was_given_up=asker.was_given_up,
        )


def reparse(run: str | os.PathLike[str]) -> GenerationSummary:
    """Read the replies of a run again and write its records anew; nothing is sent.

    Parameters
    ----------
    run : path
        A run folder with replies.

    Returns
    -------
    GenerationSummary

    Raises
    ------
    ResumeError
        There is no plan, there are no replies, or another process works here.
    """
    planned = read_planned_run(run)
    folder = planned.folder / GENERATION_FOLDER
    entries = _required_entries(folder, run)
    with folder_lock(folder):
        waves, caps, done = replay(planned, entries, stored_tier(folder) or planned.tiers[-1])
        write_outputs(planned, waves, caps, finished_tier=done)
    tier = stored_tier(folder) or planned.tiers[-1]
    return summarise(planned, waves, caps.spent, tier=tier, is_finished=done is not None)


def describe_status(run: str | os.PathLike[str]) -> GenerationSummary:
    """Say how far a run is, from its replies; nothing is sent or written.

    Parameters
    ----------
    run : path
        Folder with a finished plan.

    Raises
    ------
    ResumeError
        There is no plan.
    """
    planned = read_planned_run(run)
    folder = planned.folder / GENERATION_FOLDER
    tier = stored_tier(folder) or find_tier(planned.tiers, FULL_TIER)
    waves, caps, done = replay(planned, read_journal(folder / REPLIES_NAME), tier)
    return summarise(planned, waves, caps.spent, tier=tier, is_finished=done is not None)


def _make_asker(
    config: SynthesisConfig,
    provider: RemoteProvider | LocalProvider,
    journal: ReplyJournal,
    concurrency: int | None,
) -> Asker:
    limits = config.limits
    pacing = PacingSettings(
        concurrency or limits.concurrency, limits.requests_per_minute, limits.tokens_per_minute
    )
    return Asker(provider, journal, RequestPacing(pacing), make_caps(config, provider, journal.entries))


def _drive(
    waves: GenerationWaves, tier: int, asker: Asker, sent_tier: int, progress: RunProgress | None
) -> bool:
    """Send wave after wave; True when there is nothing left to ask."""
    n_answered = n_asked = 0

    def answer(asks: list[Ask]) -> Mapping[str, Answer]:
        nonlocal n_answered, n_asked
        known = known_answers(waves.entries, asks)
        if waves.stage > sent_tier:
            return known
        n_answered += len(known)
        n_asked += len(asks)

        def show(*_: object) -> None:
            nonlocal n_answered
            n_answered += 1
            if progress is not None:
                progress(min(n_answered, n_asked), n_asked, asker.caps.spent.usage.total_tokens)

        return asker.ask(asks, answered=show)

    return follow(waves, tier, answer)


def _required_entries(folder: Path, run: object) -> dict[str, JournalEntry]:
    entries = read_journal(folder / REPLIES_NAME)
    if not entries:
        raise ResumeError(f"{run} has no replies yet; `tasksel synth run {run} --tier full` asks for them.")
    return entries
