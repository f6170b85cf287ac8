"""What a file of rounds says: the sections of a job, ``[rounds]`` and ``[teacher]``."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasksel.job.checks import check_job
from tasksel.job.config import ONE_SELECTION, JobConfig, SelectionConfig, parse_job
from tasksel.job.keys import read_section
from tasksel.job.stages import SelectStage
from tasksel.rounds.sections import ANNOTATORS, ROUNDS, SCORES, TEACHER
from tasksel.rounds.sizes import BUDGET_UNITS, RoundSizes, read_sizes
from tasksel.rounds.stopping import StoppingRules, read_rules
from tasksel.teacher import TeacherLimits, TeacherSettings
from tasksel.toml_file import check_choice, check_table, load_toml, refuse_unknown_keys
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["RoundsConfig", "load_rounds", "parse_rounds"]


@dataclass(frozen=True)
class RoundsConfig:
    """Rounds as their TOML file states them.

    Parameters
    ----------
    job : JobConfig
        The other sections; its one selection has no budget.
    sizes : RoundSizes
        What may have been spent after each round.
    rules : StoppingRules
        When to stop earlier.
    annotator : str or None
        Of `tasksel.rounds.sections.ANNOTATORS`; None where the pool decides.
    scores : str
        Of `tasksel.rounds.sections.SCORES`.
    metric : str or None
        Figure to go by.
    teacher : TeacherSettings or None
        Who answers.
    limits : TeacherLimits or None
        What the teacher may use up in each round.
    """

    job: JobConfig
    sizes: RoundSizes
    rules: StoppingRules = field(default_factory=StoppingRules)
    annotator: str | None = None
    scores: str = "base"
    metric: str | None = None
    teacher: TeacherSettings | None = None
    limits: TeacherLimits | None = None

    @property
    def out(self) -> Path:
        """The run folder."""
        return self.job.out

    @property
    def selection(self) -> SelectionConfig:
        """The selection that each round makes."""
        return self.job.selections[0]

    @property
    def is_evaluated(self) -> bool:
        """Whether there is a figure after each round."""
        return "evaluate" in self.job

    def with_out(self, out: Path) -> RoundsConfig:
        """Return the same rounds with another run folder."""
        return replace(self, job=self.job.with_out(out))


def load_rounds(path: str | os.PathLike[str]) -> RoundsConfig:
    """Read rounds from their TOML file.

    Parameters
    ----------
    path : path
        A job with ``[rounds]``.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or something in it is unknown or not allowed; the message names
        file and key.
    UnknownStrategyError
        There is no strategy or picker of a name.
    """
    return load_toml(path, "rounds", parse_rounds)


def parse_rounds(content: Mapping[str, Any], *, name: str, folder: Path) -> RoundsConfig:
    """Make rounds of the content of their file; errors as in `load_rounds`.

    Examples
    --------
    >>> content = {"pool": {"path": "a.jsonl"}, "select": {"budget": 9}, "rounds": {"n": 3}}
    >>> parse_rounds(content, name="job", folder=Path("/x")).sizes.goals
    (3.0, 6.0, 9.0)
    """
    if "rounds" not in content:
        raise ConfigError(
            "There is no section [rounds]; with n = 3 in it, for example, or use `tasksel run`."
        )
    keys = _read_rounds(content["rounds"], folder)
    rest = {section: each for section, each in content.items() if section not in ("rounds", "teacher")}
    job = parse_job(rest, name=name, folder=folder)
    if job.selections[0].name or len(job.selections) > 1:
        raise ConfigError("[[select]] has several selections; rounds are of one, [select].")
    settings = dict(job.selections[0].settings)
    if "labelled" in settings:
        raise ConfigError("labelled of [select] is what the rounds before have; leave it out.")
    sizes = read_sizes(keys, settings)
    check_job(replace(job, selections=(_sized(settings, sizes, 1),)))
    bare = {key: value for key, value in settings.items() if key not in BUDGET_UNITS}
    job = replace(job, selections=(SelectionConfig(ONE_SELECTION, bare),))
    teacher, limits = _read_teacher(content.get("teacher"), folder)
    config = RoundsConfig(
        job,
        sizes,
        read_rules(keys),
        _annotator_of(keys, job, has_teacher=teacher is not None),
        keys.get("scores", SCORES[0]),
        keys.get("metric"),
        teacher,
        limits,
    )
    _check(config)
    return config


def _sized(settings: Mapping[str, Any], sizes: RoundSizes, number: int) -> SelectionConfig:
    bare = {key: value for key, value in settings.items() if key not in BUDGET_UNITS}
    return SelectionConfig(ONE_SELECTION, {**bare, **sizes.settings(number, 0)})


def _read_rounds(given: Any, folder: Path) -> dict[str, Any]:
    """Read ``[rounds]``; sizes and shares may be lists, which `read_sizes` checks."""
    check_table("[rounds]", given)
    refuse_unknown_keys(given, ROUNDS.keys, "[rounds]")
    listed = {name: given[name] for name in ("sizes", "share") if name in given}
    others = {name: each for name, each in given.items() if name not in listed}
    keys = {**read_section("[rounds]", ROUNDS.keys, others, folder), **listed}
    for name, allowed in (("annotator", ANNOTATORS), ("scores", SCORES)):
        if name in keys:
            check_choice(f"{name} of [rounds]", keys[name], allowed)
    return keys


def _read_teacher(given: Any, folder: Path) -> tuple[TeacherSettings | None, TeacherLimits | None]:
    if given is None:
        return None, None
    keys = read_section("[teacher]", TEACHER.keys, given, folder)
    if "model" not in keys:
        raise ConfigError('[teacher] has no model; model = "demo", for example, is wanted.')
    in_limits = {each.name for each in fields(TeacherLimits)}
    limits = {name: keys.pop(name) for name in tuple(keys) if name in in_limits}
    return TeacherSettings(**keys), TeacherLimits(**limits)


def _annotator_of(keys: Mapping[str, Any], job: JobConfig, *, has_teacher: bool) -> str | None:
    has_file = "path" in job["labels"]
    if has_teacher and has_file:
        raise ConfigError("[teacher] and path of [labels] both say where answers are from; leave one out.")
    found = "teacher" if has_teacher else "file" if has_file else None
    named: str | None = keys.get("annotator", found)
    if named == "teacher" and not has_teacher:
        raise ConfigError("annotator is 'teacher', and there is no section [teacher].")
    if named == "file" and not has_file:
        raise ConfigError("annotator is 'file', and [labels] has no path.")
    if found is not None and named != found:
        raise ConfigError(
            f"annotator of [rounds] is {named!r}, and the file asks for {found!r}; leave one out."
        )
    return named


def _check(config: RoundsConfig) -> None:
    """Refuse what asks for something that the file has not."""
    job, rules = config.job, config.rules
    stage = SelectStage(config.selection)
    if config.is_evaluated and "train" not in job:
        raise ConfigError("[evaluate] is of the models of the rounds, and there is no section [train].")
    if config.is_evaluated and set(job["evaluate"].get("suite", ())) == {"winrate"}:
        raise ConfigError(
            "The suite winrate of [evaluate] has no figure for rounds; exact, for example, has."
        )
    if rules.flat_after is not None and not config.is_evaluated:
        raise ConfigError(
            "flat_after of [rounds] goes by an evaluation; sections [train] and [evaluate] are wanted."
        )
    has_vectors = "embed" in job or "embed_from" in job["score"] or "embeddings" in config.selection.settings
    if rules.stop_radius is not None and not has_vectors:
        raise ConfigError("stop_radius of [rounds] goes by embeddings; a section [embed] is wanted.")
    if config.scores != "trained":
        return
    if "scores" in config.selection.settings:
        raise ConfigError(
            'scores of [select] names finished ones, and scores = "trained" wants new ones; leave one out.'
        )
    if not stage.needs_confidence:
        raise ConfigError(
            f'scores = "trained" changes nothing: {config.selection.strategy} does not go by confidence.'
        )
    missing = [section for section in ("score", "train") if section not in job]
    if missing:
        raise ConfigError(f'scores = "trained" wants a section [{missing[0]}].')
