"""Pool to tasks: found anew, or those of a model that was found before."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Protocol

from tasksel.embedding_run_models import SENTENCE
from tasksel.sentence_embedding import MINILM
from tasksel.task_discovery.discovery_settings import DiscoverySettings, automatic_min_size
from tasksel.task_discovery.finishing import LabelledPool, finish, pool_account, read_asked
from tasksel.task_discovery.places import Places
from tasksel.task_discovery.prompt_vectors import EmbeddingModel, check_same_model, find_vectors
from tasksel.task_discovery.tagging import TagSettings, tag_tasks
from tasksel.task_discovery.task_fitting import fit_tasks
from tasksel.task_discovery.task_model import TaskModel
from tasksel.task_discovery.task_model_files import load_task_model
from tasksel.task_discovery.task_names import name_tasks, template_name, unique_names
from tasksel.task_discovery.task_table import gather_evidence
from tasksel.task_discovery.templates import normalised
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import polars as pl

    from tasksel.pool import PoolSource
    from tasksel.shard_run import ShardProgress
    from tasksel.task_discovery.result import TaskDiscovery
    from tasksel.task_discovery.task_fitting import FittedTasks
    from tasksel.task_discovery.task_table import TaskEvidence

__all__ = ["StageProgress", "assign_tasks", "discover_tasks"]


class StageProgress(Protocol):
    """Gives each stage what it is to be told of as ``(done, total, tokens)``, or None."""

    def __call__(self, label: str, unit: str) -> ShardProgress | None:
        """Begin a stage."""


def discover_tasks(
    pool: PoolSource,
    *,
    embeddings: str | os.PathLike[str] | npt.NDArray[Any] | None = None,
    n_tasks: int | tuple[int, int] | None = None,
    method: str = "k-means",
    min_size: int | None = None,
    templates: bool = True,
    seed: int = 0,
    budget: int | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    metric: str = "product",
    tagging: TagSettings | None = None,
    embedding_model: str = MINILM,
    device: str = "auto",
    task_column: str | None = None,
    id_column: str | None = None,
    out: str | os.PathLike[str] | None = None,
    model_out: str | os.PathLike[str] | None = None,
    progress: StageProgress | None = None,
    announce: Callable[[], object] | None = None,
) -> TaskDiscovery:
    """Find tasks in a pool that has none, or cut those that it has anew.

    Prompts that share an instruction template, a long beginning or end, become a task each. The others are
    clustered by their embeddings. Prompts that are empty or far from every cluster become ``other``.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool
        See `tasksel.read_pool`.
    embeddings : column name, path or ndarray of shape (n_rows, n_dimensions), optional
        One vector a prompt, as for `tasksel.select`; also a run folder of `tasksel embed`. Without it they
        are made here, which needs the extra ``hf``.
    n_tasks : int or (int, int), optional
        So many tasks (without ``other``), or the best number of a range; by default of a range that grows
        with the pool. Templates come first; where they alone are more, the nearest tasks are merged.
    method : {"k-means", "hdbscan"}
        What clusters prompts without a template. ``hdbscan`` needs the extra ``tasks``.
    min_size : int, optional
        Prompts of the smallest task; by default a quarter of the root of the pool's size, at least 5.
    templates : bool
        Whether templates are looked for.
    seed : int
        Of every random choice.
    budget : int, optional
        Labels of the granularity report; by default a tenth of the pool.
    scores : path or DataFrame, optional
        As for `tasksel.select`: shows how weights would concentrate.
    metric : str
        Confidence of an example, as for `tasksel.select`.
    tagging : TagSettings, optional
        A model that names and describes the tasks.
    embedding_model, device : str
        What embeds prompts where no embeddings are given.
    task_column, id_column : str, optional
        Columns of the pool to use as task and id.
    out : path, optional
        A ``.parquet`` or ``.jsonl`` file for the pool with its tasks.
    model_out : path, optional
        Folder for the task model; by default beside `out`, ``pool2-tasks`` of ``pool2.parquet``.
    progress : StageProgress, optional
        Called at the beginning of each stage.
    announce : callable, optional
        Called at the first Ctrl-C while prompts are embedded.

    Returns
    -------
    TaskDiscovery

    Raises
    ------
    ConfigError
        A setting is not allowed, there are no embeddings and none can be made, or a file would be overwritten
        that is read.
    BudgetError
        `min_size` or `budget` is out of range.
    SchemaError
        The pool, scores or embeddings cannot be read or do not fit together.
    MissingExtraError
        scikit-learn is not installed, and ``hdbscan`` is asked for.
    ProviderError
        The tagging endpoint failed for good; what it answered is kept.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> rng = np.random.default_rng(0)
    >>> prompts = [f"Translate into French: word {n}" for n in range(20)]
    >>> prompts += [f"How much is {n} plus {n * n}?" for n in range(20)]
    >>> vectors = np.repeat(np.eye(2, 8), 20, axis=0) + 0.1 * rng.standard_normal((40, 8))
    >>> found = discover_tasks(pl.DataFrame({"prompt": prompts}), embeddings=vectors, n_tasks=2)
    >>> found.tasks.select("task", "kind", "prompts").rows()
    [('Translate into French', 'template', 20), ('plus', 'cluster', 20)]
    """
    settings = DiscoverySettings(n_tasks, method, min_size, templates=templates, seed=seed)
    places = Places.checked((pool, embeddings, scores), out, model_out, needs_folder=tagging is not None)
    asked = read_asked(pool, budget, scores, metric, task_column, id_column)
    stages = progress or _unseen
    made_by = EmbeddingModel(embedding_model, device, places.run_folder)
    vectors = find_vectors(
        asked.pool, embeddings, made_by, progress=stages("Embedding", "prompts"), announce=announce
    )
    texts = normalised(asked.pool.frame["prompt"])
    least = min(settings.min_size or automatic_min_size(len(texts)), len(texts))
    told = stages("Finding tasks", "numbers")
    fitted = fit_tasks(
        texts,
        vectors.vectors,
        settings,
        min_size=least,
        progress=None if told is None else lambda done, total: told(done, total, 0),
    )
    evidence = gather_evidence(
        texts, asked.pool.frame["id"], vectors.vectors, fitted.labels, len(fitted.model.tasks)
    )
    origin = {"pool": pool_account(asked.pool), "settings": {**asdict(settings), "min_size": least}}
    model = _named(fitted, texts, evidence, vectors.model, origin)
    notes, account = list(fitted.notes), None
    if tagging is not None:
        model, account, tag_notes = tag_tasks(
            model, tagging, places.model_folder, progress=stages("Naming", "tasks")
        )
        notes += tag_notes
    found = LabelledPool(model, fitted.labels, evidence, vectors, origin["settings"], account, notes)
    return finish(asked, found, _reason(fitted, settings), fitted.choice, places, seed)


def assign_tasks(
    pool: PoolSource,
    using: str | os.PathLike[str] | TaskModel,
    *,
    embeddings: str | os.PathLike[str] | npt.NDArray[Any] | None = None,
    budget: int | None = None,
    scores: str | os.PathLike[str] | pl.DataFrame | None = None,
    metric: str = "product",
    device: str = "auto",
    task_column: str | None = None,
    id_column: str | None = None,
    out: str | os.PathLike[str] | None = None,
    model_out: str | os.PathLike[str] | None = None,
    progress: StageProgress | None = None,
    announce: Callable[[], object] | None = None,
) -> TaskDiscovery:
    """Give the prompts of a pool the tasks that were found in another one.

    Parameters
    ----------
    using : path or TaskModel
        What `discover_tasks` wrote beside its pool, or its `TaskDiscovery.model`.
    pool, embeddings, budget, scores, metric, device, task_column, id_column, out, progress, announce
        As for `discover_tasks`. Prompts without embeddings are embedded with the model that the tasks were
        found with.
    model_out : path, optional
        Folder for a copy of the task model; by default none is written.

    Returns
    -------
    TaskDiscovery
        Without a curve; the model is the one given.

    Raises
    ------
    ConfigError
        There is no task model, or the embeddings are known to be of another model.
    SchemaError
        The embeddings have another number of dimensions; else as of `discover_tasks`.
    ResumeError
        The task model is damaged.
    """
    model = using if isinstance(using, TaskModel) else load_task_model(using)
    places = Places.checked((pool, embeddings, scores), out, model_out, needs_folder=False)
    asked = read_asked(pool, budget, scores, metric, task_column, id_column)
    stages = progress or _unseen
    made_by = EmbeddingModel(_sentence_name(model, embeddings), device, places.run_folder)
    vectors = find_vectors(
        asked.pool, embeddings, made_by, progress=stages("Embedding", "prompts"), announce=announce
    )
    model.check_dimensions(vectors.vectors.shape[1])
    doubt = check_same_model(vectors.model, model.embedding)
    stages("Assigning", "prompts")
    texts = normalised(asked.pool.frame["prompt"])
    labels = model.assign(texts, vectors.vectors)
    evidence = gather_evidence(texts, asked.pool.frame["id"], vectors.vectors, labels, len(model.tasks))
    idle = int((evidence.sizes[:-1] == 0).sum())
    notes = [] if doubt is None else [doubt]
    if idle:
        notes.append(f"{idle:,} of {len(model.tasks):,} tasks have no prompt in this pool.")
    settings = {"using": dict(model.origin.get("pool", {}))}
    found = LabelledPool(model, labels, evidence, vectors, settings, None, notes)
    reason = f"The tasks are those of {settings['using'].get('name', 'the model')}."
    return finish(asked, found, reason, None, places, seed=0)


def _named(
    fitted: FittedTasks,
    texts: pl.Series,
    evidence: TaskEvidence,
    embedding: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> TaskModel:
    names, terms = name_tasks(texts, fitted.labels, len(fitted.model.tasks))
    for template, place in zip(fitted.model.templates, fitted.model.template_tasks.tolist(), strict=True):
        if fitted.model.tasks[place].kind == "template":
            names[place] = template_name(template) or names[place]
    names = unique_names(names)
    tasks = tuple(
        replace(task, name=names[place], terms=terms[place], examples=evidence.typical[place])
        for place, task in enumerate(fitted.model.tasks)
    )
    return replace(fitted.model, tasks=tasks, embedding=embedding, origin=origin)


def _reason(fitted: FittedTasks, settings: DiscoverySettings) -> str:
    model = fitted.model
    n_templates = len(model.templates)
    parts = []
    if n_templates:
        shared = "1 template is" if n_templates == 1 else f"{n_templates:,} templates are"
        parts.append(f"{shared} shared by many prompts.")
    if fitted.choice is not None:
        parts.append(fitted.choice.reason)
    elif settings.method == "hdbscan":
        parts.append("HDBSCAN found the number of clusters.")
    elif isinstance(settings.n_tasks, int):
        parts.append(f"{settings.n_tasks:,} tasks were asked for.")
    elif any(task.kind == "cluster" for task in model.tasks):
        parts.append("For the other prompts only one number of clusters can be tried.")
    merged = sum(task.kind == "merged" for task in model.tasks)
    if merged:
        parts.append(f"{merged:,} tasks are merges of the nearest, so that there are no more than asked for.")
    return " ".join(parts) or "No prompt has a task."


def _sentence_name(model: TaskModel, embeddings: object) -> str:
    """Return the model that embeds prompts as those were that the tasks were found in."""
    settings = model.embedding.get("settings") or {}
    name = model.embedding.get("name")
    if embeddings is None and (not name or settings.get("embed_from") != SENTENCE):
        raise ConfigError(
            "The tasks were found with embeddings that cannot be made here; give those of the same model "
            "with --embeddings (embeddings=)."
        )
    return str(name or MINILM)


def _unseen(_: str, __: str) -> None:
    """Begin a stage that nobody looks at."""
