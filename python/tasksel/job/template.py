"""A job's file with every key in it: those that are known set, the others commented out."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model_folder import EMBEDDED_MODEL
from tasksel.demo import DEMO_NEW_TOKENS, DEMO_TRAINING
from tasksel.job.sections import SECTIONS, SHARED_KEYS
from tasksel.job.survey import survey_machine, survey_pool
from tasksel.pool import load_pool, unanswered
from tasksel.pool_urls import is_url
from tasksel.run_folder import write_text
from tasksel.strategies import DEFAULT_STRATEGY, find_strategy
from tasksel_core.errors import AnnotationError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.job.sections import Key
    from tasksel.job.survey import MachineSurvey, PoolSurvey

__all__ = ["BUDGET_SHARE", "FlagText", "JobTemplate", "write_job_file"]

BUDGET_SHARE: Final = 0.1
"""Share of the pool that is proposed as a budget."""
_DEFAULT_BUDGET: Final = 100
_WIDTH: Final = 100
_PLACEHOLDERS: Final = {
    "text": '""',
    "path": '""',
    "model": '""',
    "source": '""',
    "whole": "0",
    "number": "0.0",
    "flag": "false",
    "names": "[]",
    "pairs": "{}",
    "range": '""',
}
"""What stands behind a key that has no default."""


@dataclass(frozen=True)
class FlagText:
    """What the command line says of a flag.

    Parameters
    ----------
    help : str
        Its sentence.
    default : Any
        None where it has none.
    """

    help: str
    default: Any = None


@dataclass
class JobTemplate:
    """What a job's file is going to say.

    Parameters
    ----------
    values : dict of str to dict
        Keys that are set, by section; the keys above the first section stand under the empty name. A section
        that is not in it is commented out.
    remarks : dict of str to list of str
        Sentences of a section, under its name.
    found : list of str
        What was seen of pool and machine.
    """

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def render(self, flags: Mapping[str, Mapping[str, FlagText]], name: str) -> str:
        """Return the text of the file.

        Parameters
        ----------
        flags : mapping
            What the command line says of each key that is a flag, by section.
        name : str
            Of the file.
        """
        head = [
            "A job of tasksel: the whole loop from one file.",
            f"  tasksel run {name} --dry-run   says what it would do, how long that takes, what labels cost",
            f"  tasksel run {name}             does it; the same command continues",
            "Keys with a # before them are not set and have the default that they show.",
        ]
        lines = [f"# {line}" for line in map(_shown, head)]
        lines += ["#", *_comment(*(f"Found: {each}" for each in self.found))]
        lines += self._keys("", SHARED_KEYS, {})
        for section, declared in SECTIONS.items():
            lines += ["", *_comment(declared.summary, *self.remarks.get(section, []))]
            lines.append(f"{'' if section in self.values else '#'}[{section}]")
            lines += self._keys(section, declared.keys, flags.get(section, {}))
        return "\n".join(lines) + "\n"

    def _keys(self, section: str, keys: Mapping[str, Key], flags: Mapping[str, FlagText]) -> list[str]:
        lines: list[str] = []
        given = self.values.get(section, {})
        for name, key in keys.items():
            text = flags.get(name, FlagText(key.help, key.value))
            said = " ".join(filter(None, (text.help, _default_sentence(key, text))))
            lines += [*([] if section else [""]), *_comment(said)]
            if name in given:
                lines.append(f"{name} = {_toml(given[name])}")
            else:
                shown = _PLACEHOLDERS[key.kind] if text.default is None else _toml(text.default)
                lines.append(f"#{name} = {shown}")
        return lines


def _default_sentence(key: Key, text: FlagText) -> str:
    """Say what holds where the key is not set, if its value does not say it."""
    if key.is_required:
        return "It has to be set."
    if key.shared:
        return f"Default: {key.shared} at the top of the file."
    if key.default:
        return f"Default: {key.default}."
    return "Default: none." if text.default is None and "efault" not in text.help else ""


def _comment(*sentences: str) -> list[str]:
    """Return comment lines; characters that cannot be seen, as names may hold, are shown as signs."""
    return [
        f"# {line}"
        for sentence in map(_shown, sentences)
        for line in textwrap.wrap(sentence, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    ]


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _toml(value: Any) -> str:
    """Write a value as TOML does; text as JSON has it is a TOML basic string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def write_job_file(
    out: str | os.PathLike[str],
    pool: str | os.PathLike[str] | None = None,
    *,
    flags: Mapping[str, Mapping[str, FlagText]],
    model: str | None = None,
    budget: int | None = None,
    strategy: str = DEFAULT_STRATEGY,
    holdout: str | os.PathLike[str] | None = None,
    task_column: str | None = None,
    id_column: str | None = None,
    force: bool = False,
) -> JobTemplate:
    """Look at a pool and this machine, and write a job's file with every key in it.

    Parameters
    ----------
    out : path
        The file.
    pool : path, optional
        The prompts.
    flags : mapping
        As in `JobTemplate.render`.
    model : str, optional
        Base model; ``demo`` if left out.
    budget : int, optional
        A tenth of the pool if left out.
    strategy : str
        What it needs is switched on.
    holdout : path, optional
        Held-out prompts with responses, which switch on the evaluation.
    task_column, id_column : str, optional
        As in `tasksel.load_pool`.
    force : bool
        Replace a file that is there.

    Returns
    -------
    JobTemplate
        What was written.

    Raises
    ------
    ConfigError
        The file exists, or is no ``.toml``.
    SchemaError
        The pool or the held-out prompts cannot be read.
    AnnotationError
        Held-out prompts have no responses.
    UnknownStrategyError
        There is no such strategy.
    """
    path = Path(out)
    if path.suffix != ".toml":
        raise ConfigError(f"{path} has the suffix {path.suffix!r}; a job's file ends in .toml.")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; --force (force=True) replaces it, or choose another name.")
    find_strategy(strategy)
    if holdout is not None:
        _check_holdout(holdout)
    survey = None if pool is None else survey_pool(pool, task_column=task_column, id_column=id_column)
    template = _propose(
        pool=None if pool is None else _relative(pool, path.parent),
        columns={"task_column": task_column, "id_column": id_column},
        survey=survey,
        machine=survey_machine(),
        model=model or EMBEDDED_MODEL,
        budget=budget,
        strategy=strategy,
        holdout=None if holdout is None else _relative(holdout, path.parent),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, template.render(flags, path.name))
    return template


def _check_holdout(holdout: str | os.PathLike[str]) -> None:
    """Refuse held-out prompts that the evaluation of a job would refuse."""
    held = load_pool(holdout)
    missing = unanswered(held.frame).height
    if missing:
        raise AnnotationError(
            f"{held.name}, the held-out pool, has {missing:,} of {held.frame.height:,} rows unanswered."
        )


def _relative(source: str | os.PathLike[str], folder: Path) -> str:
    return str(source) if is_url(str(source)) else Path(os.path.relpath(source, folder)).as_posix()


def _propose(
    *,
    pool: str | None,
    columns: Mapping[str, str | None],
    survey: PoolSurvey | None,
    machine: MachineSurvey,
    model: str,
    budget: int | None,
    strategy: str,
    holdout: str | None,
) -> JobTemplate:
    """Decide which sections are on, and what is set in them."""
    template = JobTemplate(found=_found(survey, machine))
    rows = None if survey is None else survey.rows
    proposed = _DEFAULT_BUDGET if rows is None else max(1, round(BUDGET_SHARE * rows))
    template.values = {
        "": {"model": model},
        "pool": {"path": pool or "pool.parquet", **{k: v for k, v in columns.items() if v is not None}},
        "select": {"budget": budget or proposed, "strategy": strategy},
        "labels": {},
        "report": {},
    }
    if budget is None and rows is not None:
        template.remarks["select"] = [f"The budget is a tenth of the {rows:,} prompts; set what you can pay."]
    _switch_on_tasks(template, survey)
    _switch_on_needs(template, find_strategy(strategy).needs, survey, model)
    _say_about_labels(template, survey)
    if "hf" in machine.extras:
        template.values["train"] = dict(DEMO_TRAINING) if model == EMBEDDED_MODEL else {}
    else:
        template.remarks["train"] = ['Training needs: pip install "tasksel[hf]"']
    if holdout is not None:
        template.values["evaluate"] = {"pool": holdout}
        if model == EMBEDDED_MODEL:
            template.values["evaluate"]["max_new_tokens"] = DEMO_NEW_TOKENS
    else:
        template.remarks["evaluate"] = [
            "Needs held-out prompts with responses; name them and take the # away from [evaluate] and pool."
        ]
    return template


def _switch_on_tasks(template: JobTemplate, survey: PoolSurvey | None) -> None:
    """Have tasks found where the pool has none."""
    if survey is None or survey.tasks is not None:
        template.remarks["tasks"] = ["For a pool without a task column, or to cut its tasks anew."]
        return
    vectors = survey.embedding_columns
    template.values["tasks"] = {"embeddings": vectors[0]} if vectors else {}
    template.remarks["tasks"] = ["The pool has no task column, so its tasks are found."]


def _switch_on_needs(
    template: JobTemplate, needs: frozenset[str], survey: PoolSurvey | None, model: str
) -> None:
    """Switch on the sections that make what the strategy goes by, where the pool does not carry it."""
    carried = () if survey is None else survey.confidence_columns
    vectors = () if survey is None else survey.embedding_columns
    if "confidence" in needs and not carried:
        template.values["score"] = {"max_new_tokens": DEMO_NEW_TOKENS} if model == EMBEDDED_MODEL else {}
    if "embeddings" in needs and vectors:
        template.values["select"]["embeddings"] = vectors[0]
    elif "embeddings" in needs:
        template.values["embed"] = {}
    template.remarks["score"] = [
        "Needed by strategies and pickers that go by confidence (`tasksel strategies` says which)."
    ]
    template.remarks["embed"] = [
        "Needed by strategies and pickers that go by embeddings (`tasksel strategies` says which)."
    ]


def _say_about_labels(template: JobTemplate, survey: PoolSurvey | None) -> None:
    if survey is not None and survey.answered == survey.rows:
        said = "Every prompt of the pool has a response; these are the labels, unless path names a file."
    else:
        said = (
            "The job stops after the selection until the answers are there: in labels.jsonl in the run "
            "folder, or in the file that path names."
        )
    template.remarks["labels"] = [said]


def _found(survey: PoolSurvey | None, machine: MachineSurvey) -> list[str]:
    """Say what was seen, a sentence a thing."""
    found = []
    if survey is not None:
        tasks = "no task column" if survey.tasks is None else f"{survey.tasks:,} tasks"
        found.append(
            f"{survey.name}, {survey.rows:,} prompts (shape {survey.shape}), {tasks}, {survey.answered:,} "
            "with a response."
        )
        if survey.confidence_columns:
            found.append(f"confidence of a model in {', '.join(survey.confidence_columns)}.")
        if survey.embedding_columns:
            found.append(f"embeddings in {', '.join(survey.embedding_columns)}.")
    device = "no torch, so no model can run here" if machine.device is None else f"device {machine.device}"
    extras = ", ".join(machine.extras) or "none"
    return [*found, f"{device}, {machine.cores} cores; extras installed: {extras}."]
