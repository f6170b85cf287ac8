"""The stages up to the selection: vectors, scores, and which prompts to label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tasksel.embedding_run import embed
from tasksel.job.keys import call_settings
from tasksel.job.ledger import manifest_sha256
from tasksel.job.prices import take_prices, with_prices
from tasksel.job.sections import SECTIONS
from tasksel.job.sources import source_sha256
from tasksel.job.stage import Outcome, Stage, section_record, stage_name
from tasksel.scoring import score
from tasksel.selection import select
from tasksel.selection_files import read_selection
from tasksel.selection_inputs import find_named
from tasksel.selection_labelled import read_labelled
from tasksel.strategies import DEFAULT_PICKER
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from tasksel.job.config import SelectionConfig
    from tasksel.job.context import JobContext
    from tasksel.job.ledger import StageRecord

__all__ = ["EmbedStage", "ScoreStage", "SelectStage"]


@dataclass(frozen=True)
class EmbedStage(Stage):
    """One vector a prompt."""

    section: ClassVar[str] = "embed"
    checks_itself: ClassVar[bool] = True
    needs: tuple[str, ...] = ()

    def folder(self, context: JobContext) -> Path:
        """Return the folder of shards."""
        return context.places.embeddings

    def describe(self, context: JobContext) -> StageRecord:
        """Say which prompts are embedded, and how."""
        keys = context.config["embed"]
        inputs = {"pool": context.given_prompts_sha256}
        given = source_sha256(keys.get("embed_from"))
        inputs |= {} if given is None else {"vectors": given}
        return section_record(context, "embed", keys, inputs)

    def run(self, context: JobContext) -> Outcome:
        """Embed what is missing."""
        summary = embed(
            context.given_pool,
            out=context.places.run,
            progress=context.begin("Embedding", "prompts"),
            announce=context.announce,
            **call_settings(SECTIONS["embed"].keys, context.config["embed"]),
        )
        figures = {
            name: getattr(summary, name) for name in ("rows", "rows_reused", "n_dimensions", "seconds")
        }
        return Outcome(figures, summary.notes, is_reused=summary.rows_reused == summary.rows)


@dataclass(frozen=True)
class ScoreStage(Stage):
    """The base model's answers, and how sure it was of them."""

    section: ClassVar[str] = "score"
    checks_itself: ClassVar[bool] = True
    needs: tuple[str, ...] = ()

    def folder(self, context: JobContext) -> Path:
        """Return the folder of shards."""
        return context.places.scores

    def describe(self, context: JobContext) -> StageRecord:
        """Say which prompts are answered, and how."""
        inputs = {"pool": context.prompts_sha256}
        return section_record(context, "score", context.config["score"], inputs)

    def run(self, context: JobContext) -> Outcome:
        """Answer what is not answered yet."""
        summary = score(
            context.pool,
            out=context.places.run,
            progress=context.begin("Scoring", "prompts"),
            announce=context.announce,
            **call_settings(SECTIONS["score"].keys, context.config["score"]),
        )
        names = ("rows", "rows_reused", "tokens", "tokens_per_s", "refused_rows", "seconds")
        figures = {name: getattr(summary, name) for name in names}
        return Outcome(figures, summary.notes, is_reused=summary.rows_reused == summary.rows)


@dataclass(frozen=True)
class SelectStage(Stage):
    """Which prompts to label, in one way.

    Parameters
    ----------
    selection : SelectionConfig
        The way.
    needs : tuple of str
        What makes the scores, vectors and tasks.
    """

    selection: SelectionConfig
    section: ClassVar[str] = "select"
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return ``select``, with the name of the selection where there are several."""
        return stage_name("select", self.selection.name)

    def folder(self, context: JobContext) -> Path:
        """Return the folder of the selection."""
        return context.places.selection(self.selection.name)

    def describe(self, context: JobContext) -> StageRecord:
        """Say which pool, scores and embeddings it is made from, and how."""
        keys = with_prices(self.selection.settings, context.config)
        inputs = {"pool": context.pool.sha256, "prompts": context.prompts_sha256}
        if "labelled" in keys:  # which prompts are labelled decides, not with which words
            ids = context.pool.frame["id"]
            inputs["labelled"] = read_labelled(keys.pop("labelled"), ids).account(ids)["sha256"]
        for name, source in self._sources(context).items():
            keys.pop(name, None)
            found = manifest_sha256(Path(source)) or source_sha256(source)
            inputs[name] = f"column:{source}" if found is None else found
        return section_record(context, "select", keys, inputs)

    def _sources(self, context: JobContext) -> dict[str, str]:
        """Give the scores and embeddings: those named, else those that this job makes."""
        keys, places, config = self.selection.settings, context.places, context.config
        found: dict[str, str] = {}
        if "scores" in keys or "score" in config:
            found["scores"] = keys.get("scores", str(places.scores))
        if self.needs_embeddings:
            made = places.embeddings if "embed" in config else places.scores
            found["embeddings"] = keys.get("embeddings", str(made))
        return found

    @property
    def needs_embeddings(self) -> bool:
        """Tell whether strategy or picker goes by embeddings."""
        return "embeddings" in self._needed

    @property
    def needs_confidence(self) -> bool:
        """Tell whether strategy or picker goes by confidence."""
        return "confidence" in self._needed

    @property
    def needs_tasks(self) -> bool:
        """Tell whether the strategy allocates over tasks."""
        return "tasks" in self._needed

    @property
    def _needed(self) -> frozenset[str]:
        keys = self.selection.settings
        strategy, picker, _ = find_named(
            self.selection.strategy,
            keys.get("within", DEFAULT_PICKER),
            keys.get("option"),
            keys.get("metric"),
        )
        return frozenset(strategy.needs | picker.needs)

    def run(self, context: JobContext) -> Outcome:
        """Select, and write the selection."""
        context.begin("Selecting", "prompts")
        keys = {**with_prices(self.selection.settings, context.config), **self._sources(context)}
        made = select(
            context.pool,
            out=self.folder(context),
            **take_prices(call_settings(SECTIONS["select"].keys, keys)),
        )
        return Outcome(dict(made.manifest["figures"]), tuple(made.manifest["notes"]))

    def recall(self, context: JobContext) -> Outcome | None:
        """Read the figures of the selection, if its files are as they were written."""
        try:
            saved = read_selection(self.folder(context))
        except ResumeError:
            return None
        return Outcome(saved.figures, saved.notes, is_reused=True)
