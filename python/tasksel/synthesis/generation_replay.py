"""The way that the replies of a run lead, taken without sending anything; and the files that come of it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers import answer_of, count_journal, provider_by_name
from tasksel.run_folder import MANIFEST_NAME, read_json, read_versioned, write_json, write_text
from tasksel.run_folder_frames import write_frame
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.spending_caps import Price, SpendingCaps
from tasksel.synthesis.generation_summary import manifest_content
from tasksel.synthesis.generation_waves import GenerationWaves
from tasksel.synthesis.items import item_json
from tasksel.synthesis.records import GENERATION_FOLDER, RECORDS_NAME, make_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tasksel.providers import Answer, Ask, LocalProvider, RemoteProvider
    from tasksel.reply_journal import JournalEntry
    from tasksel.synthesis.config import SynthesisConfig
    from tasksel.synthesis.planned_examples import PlannedRun

__all__ = [
    "EXEMPLARS_NAME",
    "REJECTS_NAME",
    "REPLIES_NAME",
    "follow",
    "known_answers",
    "make_caps",
    "make_provider",
    "replay",
    "stored_exemplars",
    "stored_tier",
    "write_outputs",
]

REPLIES_NAME: Final = "responses.jsonl"
REJECTS_NAME: Final = "rejects.jsonl"
EXEMPLARS_NAME: Final = "exemplars.json"
"""Kept, since what a request shows is part of it: a run that continues must show the same."""


def make_provider(config: SynthesisConfig) -> RemoteProvider | LocalProvider:
    """Return the provider that a configuration names; nothing is loaded or sent yet."""
    model = config.model
    return provider_by_name(
        model.provider,
        model.model,
        base_url=model.base_url,
        key_variable=model.key_variable,
        timeout_s=model.timeout_s,
    )


def make_caps(
    config: SynthesisConfig,
    provider: RemoteProvider | LocalProvider,
    entries: Mapping[str, JournalEntry],
) -> SpendingCaps:
    """Return the caps of a configuration, with what the journal's replies spent."""
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


def replay(
    planned: PlannedRun,
    entries: Mapping[str, JournalEntry],
    tier: int,
    exemplars: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GenerationWaves, SpendingCaps, int | None]:
    """Take the way that the replies lead, without sending; the tier that they finish, if any."""
    provider = make_provider(planned.config)
    if exemplars is None:
        exemplars = stored_exemplars(planned.folder / GENERATION_FOLDER)
    waves = GenerationWaves(planned, provider, entries, exemplars)
    finished = follow(waves, tier, lambda asks: known_answers(entries, asks))
    caps = make_caps(planned.config, provider, entries)
    below = [each for each in planned.tiers if each < waves.stage]
    return waves, caps, tier if finished else below[-1] if below else None


def follow(waves: GenerationWaves, tier: int, answer: Callable[[list[Ask]], Mapping[str, Answer]]) -> bool:
    """Go from wave to wave with the answers that are given; True when there is nothing left to ask."""
    steps = waves.waves(tier)
    try:
        asks = next(steps)
        while True:
            asks = steps.send(answer(asks))
    except StopIteration as stop:
        return bool(stop.value)


def known_answers(entries: Mapping[str, JournalEntry], asks: Sequence[Ask]) -> dict[str, Answer]:
    """Return what a journal says of some requests."""
    return {each.key: answer_of(entries[each.key]) for each in asks if each.key in entries}


def stored_tier(folder: Path) -> int:
    """Return the largest tier that was begun; 0 for none."""
    path = folder / SETTINGS_NAME
    if not path.exists():
        return 0
    tier = read_versioned(path).get("tier")
    return tier if isinstance(tier, int) else 0


def stored_exemplars(folder: Path) -> dict[str, list[str]]:
    """Return the real texts that requests of a run show."""
    path = folder / EXEMPLARS_NAME
    return read_json(path, {...: [str]}) if path.exists() else {}


def write_outputs(
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
