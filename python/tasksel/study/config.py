"""What a study is: worlds, arms, budgets, seeds; checked when they are made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.strategies import ROUNDINGS, TASK_MEANS, find_strategy
from tasksel.training_settings import TrainingSettings
from tasksel.whole_numbers import is_finite_number
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BENCHMARKS",
    "CONTROL_ARMS",
    "METRICS",
    "WORLD_KINDS",
    "ArmConfig",
    "OracleConfig",
    "RoundConfig",
    "StudyConfig",
    "TuningConfig",
    "WorldConfig",
]

WORLD_KINDS: Final = ("toy", "long-answers", "file")
METRICS: Final = {
    "exact_match": "exact",
    "token_f1": "exact",
    "rouge_l": "exact",
    "loss": "loss",
    "likelihood": "loss",
    "mmlu": "mmlu",
    "bbh": "bbh",
}
"""Metrics, and the suite of `tasksel.evaluate` that measures them."""
BENCHMARKS: Final = {"mmlu": "correct", "bbh": "exact_match"}
"""Metrics that are figures of a whole benchmark and not of the world's tasks, by the suite's own name."""
CONTROL_ARMS: Final = ("random", "size-proportional", "task-diversity")
"""Run in every study, whatever its file says: a result without them cannot be read."""
TASK_CUTS: Final = ("true", "merged", "split", "clusters")
ROUND_SCORES: Final = ("base", "trained")
SIGNALS: Final = ("confidence", "ambiguity", "loss", "error", "remaining-error", "churn")
"""What weights are made from."""
LABEL_FREE_SIGNALS: Final = ("confidence", "ambiguity")
"""Those that need no labels of earlier rounds."""
PRIORS: Final = ("mean", "confidence")


@dataclass(frozen=True)
class WorldConfig:
    """Where a study happens: a pool and a holdout that follow from a seed, and a base model.

    Parameters
    ----------
    name : str
        What tables call it.
    kind : {"toy", "long-answers", "file"}
        The procedural worlds of tasksel, or a file of yours.
    model : str
        The base model: ``demo``, a folder (relative to the TOML file), or a name on the hub.
    report, tune : tuple of int
        Seeds for the results, and for choosing among candidates; no seed may be both.
    max_new_tokens : int
        Longest answer, for scores and evaluation.
    holdout_per_task : int
        Held-out prompts of each task.
    path : str
        Of kind ``file``: a labelled file that `tasksel.load_pool` reads; relative to the TOML file.
    largest, smallest, exponent
        The task of rank r (a random order by seed) has ``largest / r ** exponent`` prompts in the pool, and
        at least `smallest`; None keeps the world's own. Without an exponent the sizes of a file's tasks fall
        from `largest` to `smallest` by equal factors.
    n_tasks : int, optional
        How many of the world's tasks take part; a random choice by seed.
    embeddings : str, optional
        Of kind ``file``: a ``.npy`` or ``.parquet`` with a vector a row of `path`. The default is the mean of
        the base model's last hidden states over the prompt.
    training : dict
        Settings of `tasksel.train` that differ from the study's.
    """

    name: str
    kind: str = "toy"
    model: str = "demo"
    report: tuple[int, ...] = ()
    tune: tuple[int, ...] = ()
    max_new_tokens: int = 16
    holdout_per_task: int = 20
    path: str | None = None
    largest: int | None = None
    smallest: int | None = None
    exponent: float | None = None
    n_tasks: int | None = None
    embeddings: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_choice(f"kind of world {self.name!r}", self.kind, WORLD_KINDS)
        if (self.path is None) == (self.kind == "file"):
            raise ConfigError(
                f"World {self.name!r}: kind 'file' has a path, the other kinds "
                f"({', '.join(WORLD_KINDS[:2])}) have none."
            )
        for name in ("report", "tune"):
            seeds = getattr(self, name)
            if len(set(seeds)) < len(seeds) or not all(_is_whole(seed, 0) for seed in seeds):
                raise ConfigError(
                    f"World {self.name!r}: {name} is {list(seeds)}; different whole numbers of at least 0 "
                    "are wanted."
                )
        both = sorted(set(self.report) & set(self.tune))
        if both:
            raise ConfigError(
                f"World {self.name!r}: seed {both[0]} stands in tune and in report; what was chosen on a "
                "seed cannot be reported on it."
            )
        if not self.report and not self.tune:
            raise ConfigError(f"World {self.name!r} has no seeds; report = [0, 1, 2] for example is wanted.")
        for name, least in (("max_new_tokens", 1), ("holdout_per_task", 1)):
            if not _is_whole(getattr(self, name), least):
                raise ConfigError(
                    f"World {self.name!r}: {name} is {getattr(self, name)!r}; a whole number of at least "
                    f"{least} is wanted."
                )


@dataclass(frozen=True)
class RoundConfig:
    """How one round of an arm spends its share of the budget; the names are those of `tasksel.select`.

    Parameters
    ----------
    strategy, within, base, alpha, max_weight_ratio, metric, task_mean, rounding, options
        As in `tasksel.select`.
    share : float, optional
        Of the arm's budget; the last round takes the rest.
    per_task : int, optional
        Instead of a share: so many labels of every task, or all that the budget allows.
    scores : {"base", "trained"}
        Whose confidences and losses count: the base model's, or those of the model trained on the labels of
        the rounds before.
    signal : {"confidence", "ambiguity", "loss", "error", "remaining-error", "churn"}
        What the weights of ``weighted-task-diversity`` are made from: the paper's inverse confidence; the
        share of pairs of answers that differ where the base model draws several to a prompt; the
        mean loss, or the share of wrong answers, on the labels of the rounds before; error before and after
        those labels were learned; or the share of the task's prompts that the model answers differently
        after learning them, which needs no further label.
    offset : float
        Added to a signal other than confidence before it becomes a weight, so that no task gets none.
    shrinkage : float
        Labels' worth of `prior` that is mixed into each task's loss or error.
    prior : {"mean", "confidence"}
        What `shrinkage` draws towards: the mean over the labels, or for errors one minus the confidence.
    size_power : float
        Weights are multiplied by the task's pool size to this power.
    spread_power : float
        Weights are multiplied by the spread of the task's prompts to this power, one minus the mean cosine
        of two of them: a task of near-duplicates is worth fewer labels.
    max_share_ratio : float, optional
        No task is given more than so many times the mean share.
    order : {"", "inverted", "shuffled"}
        Controls: the weights of the tasks turned round, or dealt at random.
    """

    strategy: str = "task-diversity"
    within: str = "random"
    base: int | None = None
    alpha: float = 1.0
    max_weight_ratio: float | None = None
    metric: str | None = None
    task_mean: str = "arithmetic"
    rounding: str = "webster"
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None
    per_task: int | None = None
    scores: str = "base"
    signal: str = "confidence"
    offset: float = 0.0
    shrinkage: float = 0.0
    prior: str = "mean"
    size_power: float = 0.0
    spread_power: float = 0.0
    max_share_ratio: float | None = None
    order: str = ""

    def __post_init__(self) -> None:
        find_strategy(self.strategy)
        _check_choice("rounding", self.rounding, ROUNDINGS)
        _check_choice("task_mean", self.task_mean, TASK_MEANS)
        _check_choice("scores", self.scores, ROUND_SCORES)
        _check_choice("signal", self.signal, SIGNALS)
        _check_choice("order", self.order, ("", "inverted", "shuffled"))
        _check_choice("prior", self.prior, PRIORS)
        if self.per_task is not None and (self.share is not None or not _is_whole(self.per_task, 1)):
            raise ConfigError(
                f"per_task is {self.per_task!r}; a whole number of at least 1 is wanted, and no share."
            )
        if self.share is not None and not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share!r}; a number above 0 and below 1 is wanted.")
        if self.has_own_weights and self.strategy != "weighted-task-diversity":
            raise ConfigError(
                f"signal, size_power, spread_power, max_share_ratio and order change the weights of "
                f"weighted-task-diversity; the strategy is {self.strategy}."
            )

        if self.signal == "loss" and self.scores == "trained":
            raise ConfigError("signal 'loss' is the base model's; scores = 'trained' goes with 'error'.")

    @property
    def has_own_weights(self) -> bool:
        """Whether the weights are not those of `tasksel.select`."""
        return (
            self.signal != "confidence"
            or self.size_power != 0.0
            or self.spread_power != 0.0
            or self.max_share_ratio is not None
            or bool(self.order)
        )


@dataclass(frozen=True)
class ArmConfig:
    """A way of spending a budget.

    Parameters
    ----------
    name : str
        What tables call it.
    rounds : tuple of RoundConfig
        One after the other; each sees what the ones before it taught.
    oracle : bool
        Allocate by measured gain curves: the ceiling of any allocation. Needs ``[oracle]``.
    tasks : {"true", "merged", "split", "clusters"}
        The tasks that the arm sees: the world's, several of them as one, each cut into parts, or clusters of
        the embeddings. Figures are always those of the world's own tasks.
    n_tasks : int, optional
        How many tasks `tasks` makes.
    label_noise : float
        Share of the labels that are another answer of the same task.
    budgets : tuple of float, optional
        Instead of the study's: a baseline's curve wants more of them than an arm.
    """

    name: str
    rounds: tuple[RoundConfig, ...]
    oracle: bool = False
    tasks: str = "true"
    n_tasks: int | None = None
    label_noise: float = 0.0
    budgets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for budget in self.budgets:
            _check_budget(budget)
        _check_choice(f"tasks of arm {self.name!r}", self.tasks, TASK_CUTS)
        if (self.tasks == "true") != (self.n_tasks is None):
            raise ConfigError(f"Arm {self.name!r}: n_tasks goes with tasks = {', '.join(TASK_CUTS[1:])}.")
        if not 0 <= self.label_noise < 1:
            raise ConfigError(
                f"Arm {self.name!r}: label_noise is {self.label_noise}; 0 to below 1 is wanted."
            )
        is_bounded = [each.share is not None or each.per_task is not None for each in self.rounds]
        if not all(is_bounded[:-1]) or is_bounded[-1]:
            raise ConfigError(
                f"Arm {self.name!r}: every round but the last has a share or per_task, and the last takes "
                "the rest."
            )
        if math.fsum(each.share or 0 for each in self.rounds) >= 1:
            raise ConfigError(f"Arm {self.name!r}: the shares of its rounds leave nothing for the last.")
        first = self.rounds[0]
        if first.scores == "trained" or first.signal not in LABEL_FREE_SIGNALS:
            raise ConfigError(
                f"Arm {self.name!r}: the first round has no labels yet; scores = 'trained' and signals made "
                "from labels are for later rounds."
            )


@dataclass(frozen=True)
class TuningConfig:
    """Which arm goes on to the report: the best candidate on the tuning seeds.

    Parameters
    ----------
    candidates : tuple of str
        Names of arms; they run on the tuning seeds, and only the best of them on the report's.
    budgets : tuple of float, optional
        Budgets of the tuning; the study's if left out.
    """

    candidates: tuple[str, ...]
    budgets: tuple[float, ...] = ()


@dataclass(frozen=True)
class OracleConfig:
    """How gain curves are measured: randomised doses of labels a task, on pools of their own.

    Parameters
    ----------
    doses : tuple of int
        Labels of a task.
    runs : int
        Trainings a world; in each, every task has a dose of its own.
    seed : int
        Of pools and doses; neither a tuning nor a report seed.
    """

    doses: tuple[int, ...] = (0, 3, 6, 12, 24, 48)
    runs: int = 60
    seed: int = 9_000

    def __post_init__(self) -> None:
        if len(self.doses) < 2 or list(self.doses) != sorted(set(self.doses)) or self.doses[0] < 0:
            raise ConfigError(f"doses is {list(self.doses)}; at least two rising whole numbers are wanted.")
        if self.runs < len(self.doses):
            raise ConfigError(f"runs is {self.runs}; at least one a dose is wanted.")


@dataclass(frozen=True)
class StudyConfig:
    """A study as its TOML file states it, checked.

    Parameters
    ----------
    name, title, question : str
        File name without its ending, headline, and what the study asks.
    worlds, arms
        Where and what is compared.
    budgets : tuple of float
        Whole numbers of at least 2 are labels, numbers up to 1 shares of the pool.
    metrics : tuple of str
        What is measured on the holdout; the first is the one that decides.
    baselines : tuple of str
        Arms that every arm is compared with, pair by pair.
    training : dict
        Settings of `tasksel.train`.
    benchmarks : str, optional
        Folder with the files of ``mmlu`` and ``bbh``, as for `tasksel.evaluate`; relative to this file.
    all_labels, no_labels : bool
        Also train on the whole pool; also evaluate the base model.
    tuning, oracle
        See there.
    folder : Path
        Where the file stands; paths in it are relative to this.
    """

    name: str
    worlds: tuple[WorldConfig, ...]
    arms: tuple[ArmConfig, ...]
    title: str = ""
    question: str = ""
    budgets: tuple[float, ...] = (0.2,)
    metrics: tuple[str, ...] = ("exact_match",)
    baselines: tuple[str, ...] = ("random", "task-diversity")
    training: Mapping[str, Any] = field(default_factory=dict)
    benchmarks: str | None = None
    all_labels: bool = False
    no_labels: bool = True
    tuning: TuningConfig | None = None
    oracle: OracleConfig | None = None
    folder: Path = Path()

    def __post_init__(self) -> None:
        _check_unique("world", [world.name for world in self.worlds])
        _check_unique("arm", [arm.name for arm in self.arms])
        if not self.worlds:
            raise ConfigError(f"Study {self.name!r} has no [[worlds]].")
        for budget in self.budgets:
            _check_budget(budget)
        if not self.metrics:
            raise ConfigError(f"metrics is empty; allowed are {', '.join(METRICS)}.")
        for metric in self.metrics:
            _check_choice("metric", metric, tuple(METRICS))
        known = {arm.name for arm in self.arms}
        candidates = () if self.tuning is None else self.tuning.candidates
        for named in (*self.baselines, *candidates):
            if named not in known:
                raise ConfigError(f"There is no arm {named!r}; the study has {', '.join(sorted(known))}.")
        self._check_benchmarks()
        self._check_tuning()
        self._check_oracle()
        for world in self.worlds:
            self.training_of(world)

    def _check_oracle(self) -> None:
        if self.oracle is None and any(arm.oracle for arm in self.arms):
            raise ConfigError("An oracle arm needs the section [oracle], which says how gains are measured.")
        if self.oracle is None:
            return
        first, end = self.oracle.seed, self.oracle.seed + self.oracle.runs
        for world in self.worlds:
            used = [seed for seed in (*world.tune, *world.report) if first <= seed < end]
            if used:
                raise ConfigError(
                    f"World {world.name!r}: seed {used[0]} is one of those that gains are measured on "
                    f"({first} to {end - 1}); choose others, or another seed in [oracle]."
                )

    def _check_benchmarks(self) -> None:
        asked = [metric for metric in self.metrics if metric in BENCHMARKS]
        if asked and self.benchmarks is None:
            raise ConfigError(f"The metric {asked[0]!r} needs benchmarks = a folder with its files.")
        if self.oracle is not None and self.metrics[0] in BENCHMARKS:
            raise ConfigError(
                f"Gains are measured task by task, which the metric {self.metrics[0]!r} is not."
            )

    def _check_tuning(self) -> None:
        tuned = [world.name for world in self.worlds if world.tune]
        if self.tuning is None and tuned:
            raise ConfigError(
                f"World {tuned[0]!r} has tuning seeds, and there is no [tuning] that uses them."
            )
        if self.tuning is not None:
            if not tuned:
                raise ConfigError("[tuning] needs a world with tune = [seeds].")
            if not self.tuning.candidates:
                raise ConfigError("[tuning] has no candidates.")
        places: dict[tuple[str, str, str | None], dict[int, str]] = {}
        for world in self.worlds:
            phases = places.setdefault((world.kind, world.model, world.path), {})
            for phase in ("tune", "report"):
                for seed in getattr(world, phase):
                    if phases.setdefault(seed, phase) != phase:
                        raise ConfigError(
                            f"World {world.name!r}: seed {seed} is also a tuning or report seed of another "
                            "world with the same model; what was chosen on a seed cannot be reported on it."
                        )

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return self.metrics[0]

    def arm(self, name: str) -> ArmConfig:
        """Return an arm by its name."""
        return next(arm for arm in self.arms if arm.name == name)

    def training_of(self, world: WorldConfig) -> dict[str, Any]:
        """Return the settings of the trainings in a world, checked."""
        given = {**self.training, **world.training}
        allowed = {each.name for each in dataclasses.fields(TrainingSettings)} - {"seed", "merge"}
        unknown = sorted(set(given) - allowed)
        if unknown:
            raise ConfigError(
                f"[training] has the unknown setting {unknown[0]!r}; allowed are "
                f"{', '.join(sorted(allowed))}."
            )
        TrainingSettings(**given)
        return given


def _check_unique(noun: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"There are two {noun}s named {repeated[0]!r}.")
    for name in names:
        if not name.isprintable() or not name or set(name) & set('/\\:*?"<>|@') or name.startswith("."):
            raise ConfigError(
                f"The {noun} name {name!r} cannot be a folder's; letters, digits, spaces, - and . are wanted."
            )


def _check_budget(budget: Any) -> None:
    if is_finite_number(budget) and (0 < budget <= 1 or (budget >= 2 and budget == int(budget))):
        return
    raise ConfigError(
        f"A budget is {budget!r}; a share of the pool (up to 1) or a whole number of labels (2 or more) "
        "is wanted."
    )


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}.")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
