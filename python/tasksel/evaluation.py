"""What is a model worth? Suites of questions, answered once, as figures with intervals.

Layout of ``OUT``: each suite has a folder with what the model answered (resumable), ``examples.parquet`` and
``tasks.csv``; then ``report.json`` and, last, ``manifest.json``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.causal_model import identify_model, load_model, suitable_threads
from tasksel.evaluation_bbh import BBH_NEW_TOKENS, BBH_TEMPLATE, bbh_prompts, cut_answer
from tasksel.evaluation_choices import ChoiceScorer, answer_questions, mmlu_questions
from tasksel.evaluation_exact import EXACT_METRICS, match_answers, pair_answers, read_answers
from tasksel.evaluation_harness import HARNESS_PREFIX, run_harness_task
from tasksel.evaluation_loss import LOSS_METRICS, measure_losses_in_parts
from tasksel.evaluation_results import Evaluation, EvaluationSettings, SuiteResult, summarise, write_suite
from tasksel.file_places import file_trouble
from tasksel.judge import JudgeSettings, count_outcomes, judge_pairs
from tasksel.pool import load_pool
from tasksel.pool_files import scan_file
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    make_folder,
    refuse_unknown_format,
    text_sha256,
    write_json,
)
from tasksel.run_folder_identity import find_versions
from tasksel.score_files import open_scores
from tasksel.scoring import score
from tasksel.suggestions import did_you_mean
from tasksel.winrate import win_rates
from tasksel_core.errors import ConfigError, ProviderError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from tasksel.causal_model import CausalModel
    from tasksel.endpoint import Endpoint
    from tasksel.pool import Pool, PoolSource
    from tasksel.scoring import ScoreProgress

__all__ = ["REPORT_NAME", "SUITES", "Evaluation", "EvaluationSettings", "SuiteResult", "evaluate"]

SUITES: Final = ("exact", "loss", "mmlu", "bbh", "winrate")
REPORT_NAME: Final = "report.json"
BENCHMARK_FILES: Final = {"mmlu": ("mmlu_test.parquet", "mmlu_dev.parquet"), "bbh": ("bbh.parquet",)}
_POOL_SUITES: Final = ("exact", "loss", "winrate")
_RECORDED_SUITES: Final = ("exact", "winrate")
"""Suites for which recorded answers take the place of a model; a loss is no matter of answers."""
_CHOICE_METRICS: Final = ("correct",)


def evaluate(
    pool: PoolSource | None = None,
    *,
    model: str | None = None,
    adapter: str | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    suites: Sequence[str] = ("exact",),
    out: str | os.PathLike[str] | None = None,
    benchmarks: str | os.PathLike[str] | None = None,
    verdicts: str | os.PathLike[str] | pl.DataFrame | None = None,
    baseline: str | None = None,
    judge: JudgeSettings | None = None,
    endpoint: Endpoint | None = None,
    include_path: str | os.PathLike[str] | None = None,
    settings: EvaluationSettings | None = None,
    task_column: str | None = None,
    id_column: str | None = None,
    progress: ScoreProgress | None = None,
) -> Evaluation:
    """Evaluate a model, or answers that were recorded before, on one or more suites.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool, optional
        Held-out prompts with responses, for ``exact``, ``loss`` and ``winrate`` with a judge.
    model, adapter : str, optional
        As in `tasksel.score`; needed by suites that ask a model.
    scores : path or DataFrame, optional
        A run folder of `tasksel.score` over `pool`: ``exact`` then needs no model.
    suites : sequence of str
        Of ``exact``, ``loss``, ``mmlu``, ``bbh``, ``winrate``, and ``lm-eval:TASK`` (extra ``eval``).
    out : path, optional
        Folder for everything; needed where a model answers. The same call continues an interrupted one.
    benchmarks : path, optional
        Folder with ``mmlu_test.parquet``, ``mmlu_dev.parquet`` and ``bbh.parquet``.
    verdicts : path or DataFrame, optional
        Recorded verdicts of a judge, for ``winrate``: a frame, or a file in one of the formats of pools; see
        `tasksel.winrate.win_rates`.
    baseline : str, optional
        The generator in `verdicts` that the others were compared with: its lengths allow length control.
    judge, endpoint : JudgeSettings and Endpoint, optional
        For ``winrate``, instead of `verdicts`: a model compares the answers with the responses of `pool`.
    include_path : path, optional
        Folder with task files of lm-evaluation-harness.
    settings : EvaluationSettings, optional
        How answers are made.
    task_column, id_column : str, optional
        Columns of the pool that hold task and id under other names.
    progress : ScoreProgress, optional
        Called after each batch.

    Returns
    -------
    Evaluation

    Raises
    ------
    ConfigError
        A suite is unknown or lacks what it needs.
    SchemaError
        A file cannot be read or lacks a column, or a prompt has no answer.
    ResumeError
        The folder holds answers of another model, setting or file, or is in use.
    MissingExtraError
        A suite needs a library that is not installed.

    Examples
    --------
    >>> ids = ["1", "2"]
    >>> pool = pl.DataFrame({"id": ids, "task": ["a", "b"], "prompt": ["?", "??"], "response": ["x", "y"]})
    >>> recorded = pl.DataFrame({"id": ids, "generation": ["x", "z"]})
    >>> found = evaluate(pool, scores=recorded)
    >>> found["exact"].figures["exact_match"]["macro"]["mean"]
    0.5
    """
    run = _EvaluationRun(
        pool=None if pool is None else load_pool(pool, task_column=task_column, id_column=id_column),
        model=model,
        adapter=adapter,
        scores=scores,
        benchmarks=None if benchmarks is None else Path(benchmarks),
        verdicts=verdicts,
        baseline=baseline,
        judge=judge,
        endpoint=endpoint,
        include_path=None if include_path is None else Path(include_path),
        settings=settings or EvaluationSettings(),
        out=None if out is None else Path(out),
        progress=progress,
    )
    chosen = tuple(dict.fromkeys(suites))
    run.check(chosen)
    if run.out is None:
        return run.finish(chosen)
    with folder_lock(run.out):
        return run.finish(chosen)


@dataclass
class _EvaluationRun:
    """One call of `evaluate`."""

    pool: Pool | None
    model: str | None
    adapter: str | None
    scores: str | os.PathLike[str] | pl.DataFrame | None
    benchmarks: Path | None
    verdicts: str | os.PathLike[str] | pl.DataFrame | None
    baseline: str | None
    judge: JudgeSettings | None
    endpoint: Endpoint | None
    include_path: Path | None
    settings: EvaluationSettings
    out: Path | None
    progress: ScoreProgress | None
    inputs: dict[str, Any] = field(default_factory=dict)

    def check(self, suites: Sequence[str]) -> None:
        """Refuse, before anything is loaded, what cannot be run."""
        if not suites:
            raise ConfigError(
                f"No suite was named; allowed are {', '.join(SUITES)} and {HARNESS_PREFIX}TASK."
            )
        for suite in suites:
            if suite not in SUITES and not (suite.startswith(HARNESS_PREFIX) and suite != HARNESS_PREFIX):
                raise ConfigError(
                    f"suite is {suite!r}; allowed are {', '.join(SUITES)} and {HARNESS_PREFIX}TASK."
                    f"{did_you_mean(suite, SUITES)}"
                )
            self._check_needs(suite)

    def _check_needs(self, suite: str) -> None:
        if suite in BENCHMARK_FILES:
            self._find_benchmark(suite)
        if suite == "winrate":
            if self.verdicts is not None:
                return
            if self.judge is None or self.endpoint is None:
                raise ConfigError("The suite winrate needs verdicts of a judge, or a judge and its endpoint.")
            if self.out is None:
                raise ConfigError("A judge's replies are kept and need an output folder.")
        if suite in _POOL_SUITES and self.pool is None:
            raise ConfigError(f"The suite {suite} needs a pool of held-out prompts with responses.")
        if suite in _RECORDED_SUITES and self.scores is not None:
            return
        if self.model is None:
            either = " or scores." if suite in _RECORDED_SUITES else "."
            raise ConfigError(f"The suite {suite} needs a model{either}")
        if self.out is None:
            raise ConfigError(f"The suite {suite} keeps what the model answers and needs an output folder.")

    def _find_benchmark(self, suite: str) -> list[Path]:
        names = BENCHMARK_FILES[suite]
        if self.benchmarks is None:
            raise ConfigError(f"The suite {suite} needs a folder of benchmarks with {' and '.join(names)}.")
        paths = [self.benchmarks / name for name in names]
        for path in paths:
            if not path.is_file():
                raise ConfigError(f"The suite {suite} needs {path}, which does not exist.")
        return paths

    def finish(self, suites: Sequence[str]) -> Evaluation:
        if self.out is not None:
            refuse_unknown_format(self.out / MANIFEST_NAME)
            (self.out / MANIFEST_NAME).unlink(missing_ok=True)
        if self.model is not None:
            self.inputs["model"] = identify_model(self.model, self.adapter)
        results = []
        for suite in suites:
            result = self._run_suite(suite)
            if self.out is not None:
                write_suite(self.out, result)
            results.append(result)
        manifest = {
            "format_version": FORMAT_VERSION,
            "inputs": self.inputs,
            "settings": {"suites": list(suites), **vars(self.settings)},
            "versions": find_versions(("tasksel",)),
        }
        evaluation = Evaluation(tuple(results), manifest, None if self.out is None else str(self.out))
        if self.out is not None:
            report = {"suites": [result.to_dict() for result in results]}
            write_json(self.out / REPORT_NAME, report)
            write_json(
                self.out / MANIFEST_NAME, manifest | {"report_sha256": file_sha256(self.out / REPORT_NAME)}
            )
        return evaluation

    def _run_suite(self, suite: str) -> SuiteResult:
        runners: dict[str, Callable[[], SuiteResult]] = {
            "exact": self._run_exact,
            "loss": self._run_loss,
            "mmlu": self._run_mmlu,
            "bbh": self._run_bbh,
            "winrate": self._run_winrate,
        }
        if suite in runners:
            return runners[suite]()
        return self._run_harness(suite)

    def _run_exact(self) -> SuiteResult:
        pool, answers, notes = self._answer_pool("exact")
        examples, left_out = match_answers(pool, answers)
        return summarise("exact", examples, EXACT_METRICS, [*notes, *left_out], seed=self.settings.seed)

    def _answer_pool(self, suite: str) -> tuple[Pool, pl.DataFrame, list[str]]:
        """Give the pool and an answer to each of its prompts, recorded or generated."""
        pool = self._name_pool()
        notes: list[str] = []
        if self.scores is None:
            return pool, self._generate(suite, pool, notes), notes
        source = open_scores(self.scores)
        self.inputs["scores"] = {"name": source.name, "sha256": source.sha256}
        return pool, read_answers(self.scores), notes

    def _name_pool(self) -> Pool:
        """Give the pool, and name it in the manifest."""
        pool = self.pool
        assert pool is not None  # noqa: S101 - checked before; for the type checker
        self.inputs["pool"] = {"name": pool.name, "rows": pool.frame.height, "sha256": pool.sha256}
        return pool

    def _run_loss(self) -> SuiteResult:
        assert self.out is not None  # noqa: S101 - checked before; for the type checker
        folder = self.out / "loss"
        make_folder(folder)
        examples, notes = measure_losses_in_parts(
            self._name_pool(),
            self._load_model,
            folder=folder,
            model_sha256=self.inputs["model"]["sha256"],
            settings=self.settings,
            progress=self.progress,
        )
        return summarise("loss", examples, LOSS_METRICS, notes, seed=self.settings.seed)

    def _run_bbh(self) -> SuiteResult:
        (path,) = self._find_benchmark("bbh")
        self.inputs["bbh"] = {"name": path.name, "sha256": file_sha256(path)}
        asked = load_pool(bbh_prompts(load_pool(path), shots=self.settings.bbh_shots))
        notes: list[str] = []
        answers = self._generate(
            "bbh", asked, notes, max_new_tokens=BBH_NEW_TOKENS, prompt_template=BBH_TEMPLATE
        )
        examples, _ = match_answers(asked, answers, cut=cut_answer)
        # Answers such as "(A)" have no words that F1 or ROUGE could count.
        return summarise("bbh", examples, ("exact_match",), notes, seed=self.settings.seed)

    def _generate(self, suite: str, pool: Pool, notes: list[str], **changed: Any) -> pl.DataFrame:
        assert self.model is not None  # noqa: S101 - checked before; for the type checker
        assert self.out is not None  # noqa: S101 - as above
        shared = {
            "max_new_tokens": self.settings.max_new_tokens,
            "prompt_template": self.settings.prompt_template,
            "batch_tokens": self.settings.batch_tokens,
            "device": self.settings.device,
            "dtype": self.settings.dtype,
        }
        folder = self.out / suite
        summary = score(
            pool,
            model=self.model,
            adapter=self.adapter,
            out=folder,
            progress=self.progress,
            **(shared | changed),
        )
        if summary.truncated_rows:
            notes.append(f"{summary.truncated_rows} of {summary.rows} prompts were cut to fit the context.")
        if summary.length_rows:
            notes.append(
                f"{summary.length_rows} of {summary.rows} answers were ended by the limit on new tokens."
            )
        return read_answers(folder)

    def _run_mmlu(self) -> SuiteResult:
        assert self.out is not None  # noqa: S101 - checked before; for the type checker
        paths = self._find_benchmark("mmlu")
        self.inputs["mmlu"] = [{"name": path.name, "sha256": file_sha256(path)} for path in paths]
        questions = mmlu_questions(*(pl.read_parquet(path) for path in paths), shots=self.settings.mmlu_shots)
        depends_on = {
            "model": self.inputs["model"]["sha256"],
            "questions": self.inputs["mmlu"],
            "shots": self.settings.mmlu_shots,
            "dtype": self.settings.dtype,
        }
        folder = self.out / "mmlu"
        make_folder(folder)
        with contextlib.ExitStack() as threads:
            examples, cut_contexts = answer_questions(
                questions,
                lambda: self._load_scorer(threads),
                folder=folder,
                run_sha256=text_sha256(json.dumps(depends_on, sort_keys=True)),
                progress=self.progress,
            )
        notes = []
        if cut_contexts:
            notes.append(f"{cut_contexts} of {examples.height} prompts were cut to fit the context.")
        return summarise("mmlu", examples, _CHOICE_METRICS, notes, seed=self.settings.seed)

    def _load_scorer(self, threads: contextlib.ExitStack) -> ChoiceScorer:
        causal_model = self._load_model()
        threads.enter_context(suitable_threads(causal_model))
        return ChoiceScorer(causal_model, batch_tokens=self.settings.batch_tokens)

    def _load_model(self) -> CausalModel:
        assert self.model is not None  # noqa: S101 - checked before; for the type checker
        return load_model(
            self.model, adapter=self.adapter, device=self.settings.device, dtype=self.settings.dtype
        )

    def _run_winrate(self) -> SuiteResult:
        return self._read_win_rates() if self.verdicts is not None else self._ask_judge()

    def _ask_judge(self) -> SuiteResult:
        assert self.judge is not None  # noqa: S101 - checked before; for the type checker
        assert self.endpoint is not None  # noqa: S101 - as above
        assert self.out is not None  # noqa: S101 - as above
        pool, answers, notes = self._answer_pool("winrate")
        pairs, left_out = pair_answers(pool, answers)
        self.inputs["judge"] = {"url": self.endpoint.base_url, **vars(self.judge)}
        verdicts = judge_pairs(pairs, self.endpoint, self.judge, folder=self.out / "winrate")
        examples = pairs.select(
            "prompt_id",
            "task",
            pl.lit(self.model or "scores").alias("generator"),
            pl.col("answer").str.len_chars().cast(pl.Int64).alias("output_chars"),
            pl.col("baseline_answer").str.len_chars().cast(pl.Int64).alias("baseline_chars"),
        ).hstack(verdicts.drop("prompt_id"))
        judged = examples.drop_nulls("preference").with_columns(win=pl.col("preference") - 1)
        if judged.is_empty():
            raise ProviderError(
                f"None of {examples.height} pairs has a verdict: {count_outcomes(verdicts)}. The "
                f"replies are in {self.out / 'winrate'}."
            )
        replies = count_outcomes(verdicts)
        result = summarise(
            "winrate", judged, ("win",), [*notes, *left_out, *_judge_notes(replies)], seed=self.settings.seed
        )
        return dataclasses.replace(result, examples=examples, win_rates=win_rates(examples), replies=replies)

    def _read_win_rates(self) -> SuiteResult:
        frame = _read_verdicts(self.verdicts)
        if isinstance(self.verdicts, (str, Path)):
            self.inputs["verdicts"] = {
                "name": Path(self.verdicts).name,
                "sha256": file_sha256(Path(self.verdicts)),
            }
        table = win_rates(frame, baseline=self.baseline).sort("win_rate", descending=True, nulls_last=True)
        unjudged = int(table["n_unjudged"].sum())
        notes = (f"{unjudged} answers have no verdict and are left out.",) if unjudged else ()
        return SuiteResult("winrate", table, {}, None, notes)

    def _run_harness(self, suite: str) -> SuiteResult:
        assert self.model is not None  # noqa: S101 - checked before; for the type checker
        table = run_harness_task(
            suite.removeprefix(HARNESS_PREFIX),
            model=self.model,
            adapter=self.adapter,
            include_path=self.include_path,
            device=self.settings.device,
            dtype=self.settings.dtype,
        )
        return SuiteResult(suite, table, {}, None)


def _judge_notes(replies: dict[str, int]) -> list[str]:
    pairs = replies["pairs"]
    notes = []
    if replies["unjudged_pairs"]:
        kinds = ", ".join(f"{replies[kind]} {kind}" for kind in ("refusal", "unparsable", "rejected"))
        notes.append(
            f"{replies['unjudged_pairs']} of {pairs} pairs have no verdict and are left out ({kinds})."
        )
    if replies["flipped_pairs"]:
        notes.append(
            f"In {replies['flipped_pairs']} of {pairs} pairs the judge preferred a place, not an answer."
        )
    return notes


def _read_verdicts(verdicts: str | os.PathLike[str] | pl.DataFrame | None) -> pl.DataFrame:
    if isinstance(verdicts, pl.DataFrame):
        return verdicts
    path = Path(verdicts or "")
    trouble = file_trouble(path)
    if trouble is not None:
        raise SchemaError(f"There is no file of verdicts {path}: it {trouble}.")
    return scan_file(path, text_columns=("prompt_id", "generator"), eager=True).frame.collect()
