"""Runs a plan: requests go out, replies are kept, items become records; the same call continues."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final, Protocol

from tasksel.endpoint import Endpoint
from tasksel.providers import (
    Answer,
    AnthropicProvider,
    Asker,
    LocalModelProvider,
    OpenAIProvider,
    answer_of,
    count_journal,
    estimate_tokens,
)
from tasksel.reply_journal import ReplyJournal, read_journal
from tasksel.request_pacing import PacingSettings, RequestPacing
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    folder_lock,
    read_json,
    write_json,
    write_text,
)
from tasksel.run_folder_frames import write_frame
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.spending_caps import Price, SpendingCaps
from tasksel.synthesis.generation_summary import GenerationSummary, manifest_content, summarise
from tasksel.synthesis.generation_waves import GenerationWaves
from tasksel.synthesis.items import item_json
from tasksel.synthesis.planned_examples import FULL_TIER, find_tier, read_planned_run
from tasksel.synthesis.records import GENERATION_FOLDER, RECORDS_NAME, make_records
from tasksel_core.errors import ProviderError, ResumeError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasksel.providers import Ask, LocalProvider, RemoteProvider
    from tasksel.reply_journal import JournalEntry
    from tasksel.synthesis.config import SynthesisConfig
    from tasksel.synthesis.planned_examples import PlannedRun

__all__ = [
    "REJECTS_NAME",
    "REPLIES_NAME",
    "DryRun",
    "describe_status",
    "generate",
    "make_provider",
    "rehearse",
    "reparse",
]

REPLIES_NAME: Final = "responses.jsonl"
REJECTS_NAME: Final = "rejects.jsonl"
_EXEMPLARS_NAME: Final = "exemplars.json"
"""Kept, since what a request shows is part of it: a run that continues must show the same."""


class RunProgress(Protocol):
    """Told of ``(examples_done, examples_total, tokens)`` now and then."""

    def __call__(self, rows_done: int, rows_total: int, tokens_done: int) -> None:
        """Show the state."""


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run would send next.

    Parameters
    ----------
    tier, planned, accepted : int
        The tier, its examples, and those that have an item already.
    requests : int
        Requests that the rest begins with; corrections and further tries come on top.
    input_tokens : int
        Estimate of what they hold, at four bytes a token.
    output_tokens : int or None
        Estimate from the replies that are there; None before the first one.
    most_output_tokens : int
        If every reply were as long as it may be.
    cost, most_cost : float or None
        Of the estimate and of the longest replies; None where price or estimate is missing.
    currency : str or None
        Of the cost.
    first_request : tuple of (str, str)
        Role and text of each message of the first request; empty where there is none.
    """

    tier: int
    planned: int
    accepted: int
    requests: int
    input_tokens: int
    output_tokens: int | None
    most_output_tokens: int
    cost: float | None
    most_cost: float | None
    currency: str | None
    first_request: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return dataclasses.asdict(self)


def make_provider(config: SynthesisConfig) -> RemoteProvider | LocalProvider:
    """Return the provider that a configuration names; nothing is loaded or sent yet."""
    model = config.model
    if model.provider == "hf":
        return LocalModelProvider(model.model)
    endpoint = Endpoint(model.base_url, key_variable=model.key_variable, timeout_s=model.timeout_s)
    kind = AnthropicProvider if model.provider == "anthropic" else OpenAIProvider
    return kind(endpoint, model.model)


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
        Told of ``(examples_done, examples_total, tokens)``.

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
            write_json(folder / _EXEMPLARS_NAME, {name: list(texts) for name, texts in exemplars.items()})
        waves = GenerationWaves(planned, provider, journal.entries, _stored_exemplars(folder))
        asker = _make_asker(planned.config, provider, journal, concurrency)
        # Replies of a larger tier that was begun are read too, so that its records stay.
        largest = max(asked_tier, _stored_tier(folder))
        write_json(folder / SETTINGS_NAME, {"format_version": FORMAT_VERSION, "tier": largest})
        try:
            finished = _drive(waves, largest, asker, asked_tier, progress)
        except ProviderError:
            _write_outputs(planned, waves, asker.caps, finished_tier=None)
            raise
        done = largest if finished else None
        if not finished and waves.stage > asked_tier:
            done = asked_tier
        _write_outputs(planned, waves, asker.caps, finished_tier=done)
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
        waves, caps, done = _replay(planned, entries, _stored_tier(folder) or planned.tiers[-1])
        _write_outputs(planned, waves, caps, finished_tier=done)
    tier = _stored_tier(folder) or planned.tiers[-1]
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
    tier = _stored_tier(folder) or find_tier(planned.tiers, FULL_TIER)
    waves, caps, done = _replay(planned, read_journal(folder / REPLIES_NAME), tier)
    return summarise(planned, waves, caps.spent, tier=tier, is_finished=done is not None)


def rehearse(
    run: str | os.PathLike[str],
    *,
    tier: str | int = FULL_TIER,
    exemplars: Mapping[str, Sequence[str]] | None = None,
) -> DryRun:
    """Say what a run would send, and what that would cost; nothing is sent or written.

    Parameters
    ----------
    run, tier, exemplars
        As for `generate`.

    Raises
    ------
    ConfigError, ResumeError
        As for `generate`.
    """
    planned = read_planned_run(run)
    asked_tier = find_tier(planned.tiers, tier)
    entries = read_journal(planned.folder / GENERATION_FOLDER / REPLIES_NAME)
    waves, caps, _ = _replay(planned, entries, asked_tier, exemplars)
    requests = waves.first_requests(asked_tier)
    input_tokens = sum(
        estimate_tokens(message.content) for each in requests for message in each.chat.messages
    )
    most = sum(each.chat.max_tokens for each in requests)
    output_tokens = _expected_output(entries, caps, sum(len(each.examples) for each in requests))
    price = caps.price

    def cost(output: int | None) -> float | None:
        return None if price is None or output is None else price.cost_of(input_tokens, output)

    return DryRun(
        tier=asked_tier,
        planned=sum(each.planned for each in waves.count_strata(asked_tier)),
        accepted=sum(each.accepted for each in waves.count_strata(asked_tier)),
        requests=len(requests),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        most_output_tokens=most,
        cost=cost(output_tokens),
        most_cost=cost(most),
        currency=None if price is None else price.currency,
        first_request=tuple(requests[0].chat.messages) if requests else (),
    )


def _expected_output(entries: Mapping[str, JournalEntry], caps: SpendingCaps, n_items: int) -> int | None:
    """Estimate what so many items take, from what those that were asked for took."""
    n_asked = sum(len(each.facts.get("plan_ids", ())) for each in entries.values())
    return -(-caps.spent.usage.output_tokens * n_items // n_asked) if n_asked else None


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
    return Asker(provider, journal, RequestPacing(pacing), _make_caps(config, provider, journal.entries))


def _make_caps(
    config: SynthesisConfig,
    provider: RemoteProvider | LocalProvider,
    entries: Mapping[str, JournalEntry],
) -> SpendingCaps:
    limits, price = config.limits, config.price
    caps = SpendingCaps(
        max_requests=limits.max_requests,
        max_tokens=limits.max_tokens,
        max_cost=limits.max_cost,
        price=None
        if price is None
        else Price(price.input_per_million, price.output_per_million, price.currency),
    )
    count_journal(caps, provider, entries)
    return caps


def _drive(
    waves: GenerationWaves, tier: int, asker: Asker, sent_tier: int, progress: RunProgress | None
) -> bool:
    """Send wave after wave; True when there is nothing left to ask."""
    total = sum(each.planned for each in waves.count_strata(sent_tier))

    def answer(asks: list[Ask]) -> Mapping[str, Answer]:
        if waves.stage > sent_tier:
            return _known_answers(waves.entries, asks)
        n_items = {each.key: len(each.facts["plan_ids"]) for each in asks}
        done = len(waves.accepted)

        def show(key: str, _: Answer) -> None:
            nonlocal done
            done = min(total, done + n_items[key])
            if progress is not None:
                progress(done, total, asker.caps.spent.usage.total_tokens)

        return asker.ask(asks, answered=show)

    return _follow(waves, tier, answer)


def _replay(
    planned: PlannedRun,
    entries: Mapping[str, JournalEntry],
    tier: int,
    exemplars: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GenerationWaves, SpendingCaps, int | None]:
    """Take the way that the replies lead, without sending; the tier that they finish, if any."""
    provider = make_provider(planned.config)
    if exemplars is None:
        exemplars = _stored_exemplars(planned.folder / GENERATION_FOLDER)
    waves = GenerationWaves(planned, provider, entries, exemplars)
    finished = _follow(waves, tier, lambda asks: _known_answers(entries, asks))
    caps = _make_caps(planned.config, provider, entries)
    below = [each for each in planned.tiers if each < waves.stage]
    return waves, caps, tier if finished else below[-1] if below else None


def _follow(waves: GenerationWaves, tier: int, answer: Any) -> bool:
    steps = waves.waves(tier)
    try:
        asks = next(steps)
        while True:
            asks = steps.send(answer(asks))
    except StopIteration as stop:
        return bool(stop.value)


def _known_answers(entries: Mapping[str, JournalEntry], asks: Sequence[Ask]) -> dict[str, Answer]:
    return {each.key: answer_of(entries[each.key]) for each in asks if each.key in entries}


def _required_entries(folder: Path, run: object) -> dict[str, JournalEntry]:
    entries = read_journal(folder / REPLIES_NAME)
    if not entries:
        raise ResumeError(f"{run} has no replies yet; `tasksel synth run {run} --tier full` asks for them.")
    return entries


def _stored_tier(folder: Path) -> int:
    """Return the largest tier that was begun; 0 for none."""
    path = folder / SETTINGS_NAME
    if not path.exists():
        return 0
    tier = read_json(path).get("tier")
    return tier if isinstance(tier, int) else 0


def _stored_exemplars(folder: Path) -> dict[str, list[str]]:
    path = folder / _EXEMPLARS_NAME
    return read_json(path) if path.exists() else {}


def _write_outputs(
    planned: PlannedRun, waves: GenerationWaves, caps: SpendingCaps, *, finished_tier: int | None
) -> None:
    """Write records, rejects and, where a tier is finished, the manifest."""
    folder = planned.folder / GENERATION_FOLDER
    with contextlib.suppress(FileNotFoundError):
        (folder / MANIFEST_NAME).unlink()
    write_frame(folder / RECORDS_NAME, make_records(planned, waves.accepted))
    write_text(folder / REJECTS_NAME, "".join(map(_reject_line(waves), waves.rejects)))
    if finished_tier is not None:
        content = manifest_content(planned, waves, caps.spent, tier=finished_tier)
        write_json(folder / MANIFEST_NAME, content)


def _reject_line(waves: GenerationWaves) -> Any:
    def line(reject: Any) -> str:
        content = {
            "plan_id": reject.example.plan_id,
            "stratum": reject.example.stratum,
            "edge": reject.example.edge,
            "reason": reject.reason,
            "detail": reject.detail,
            "request": reject.request_key,
            "filled_later": reject.example.plan_id in waves.accepted,
            "item": reject.item,
        }
        try:
            return item_json(content) + "\n"
        except ValueError:  # the item holds what JSON does not, which is why it was rejected
            return json.dumps({**content, "item": repr(reject.item)}, ensure_ascii=False) + "\n"

    return line
