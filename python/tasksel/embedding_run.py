"""Pool to embeddings: one float32 vector a prompt, in shards that survive a kill."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.backends import choose_backend
from tasksel.embedding_run_given import GivenWorker, read_given
from tasksel.embedding_run_models import HIDDEN, SENTENCE, EmbeddingRequest
from tasksel.embedding_run_shards import embeddings_format
from tasksel.embedding_run_worker import EmbeddingWorker
from tasksel.pool import load_pool
from tasksel.run_folder import MANIFEST_NAME, read_versioned
from tasksel.run_folder_shards import EMBEDDINGS_FOLDER
from tasksel.shard_files import plan_shards
from tasksel.shard_stage import HASHED_COLUMNS, ShardedStage
from tasksel.whole_numbers import check_whole_numbers
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.pool import Pool, PoolSource
    from tasksel.shard_run import ShardProgress
    from tasksel.shard_work import ShardWorker

__all__ = ["EMBEDDINGS_FOLDER", "EmbedSummary", "embed"]

_HASHED_COLUMNS: Final = ("id", "prompt")
"""A vector does not know the task of its prompt: tasks may be found, cut anew or renamed."""


@dataclass(frozen=True)
class EmbedSummary:
    """What an embedding run found, made and cost.

    Attributes
    ----------
    rows, rows_reused : int
        Embedded prompts, and how many of them an earlier run had embedded.
    n_dimensions : int
        Numbers of a vector.
    tokens : int
        Tokens that the model read for all rows; 0 where the vectors were made elsewhere.
    truncated_rows : int
        Prompts that are longer than what the model reads.
    seconds : float
        Wall time of this call.
    rows_per_s : float or None
        Prompts embedded in this call by the wall time of the work; None when nothing was left to do.
    folder : str
        Where the shards are.
    notes : tuple of str
        Sentences that a user should read: damaged shards, prompts that were cut, changed versions.
    """

    rows: int
    rows_reused: int
    n_dimensions: int
    tokens: int
    truncated_rows: int
    seconds: float
    rows_per_s: float | None
    folder: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a dictionary that `json.dumps` takes."""
        return asdict(self) | {"notes": list(self.notes)}


def embed(
    pool: PoolSource,
    *,
    out: str | Path,
    embed_from: str = SENTENCE,
    model: str | None = None,
    adapter: str | None = None,
    prompt_template: str | None = None,
    batch_tokens: int | None = None,
    max_tokens: int | None = None,
    shard_rows: int = 1024,
    device: str = "auto",
    dtype: str = "auto",
    backend: str = "local",
    ray_address: str | None = None,
    n_workers: int | None = None,
    task_column: str | None = None,
    id_column: str | None = None,
    progress: ShardProgress | None = None,
    announce: Callable[[], object] | None = None,
) -> EmbedSummary:
    """Write one vector for every prompt of a pool.

    The same call on the same folder continues where it stopped, also after ``kill -9``; a finished folder is
    recognised without loading the model. A changed model, setting or pool is refused. The first Ctrl-C (or
    SIGTERM) finishes the batch and keeps it, the second stops at once.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool
        Anything that `tasksel.pool.load_pool` reads.
    out : path
        The run folder; the vectors go into ``OUT/embeddings``.
    embed_from : str
        ``sentence``: an encoder of sentences, as the library sentence-transformers uses it. ``hidden``: the
        mean last hidden state of a causal model over the prompt. ``column:NAME``, or the path of a ``.npy``
        or ``.parquet`` file: vectors that were made elsewhere, checked and brought into the run folder.
    model : str, optional
        A folder, or a name on the Hugging Face hub. ``sentence``: by default ``minilm``. ``hidden``: also
        ``demo``, the embedded model.
    adapter : str, optional
        ``hidden``: folder of a LoRA adapter of `model`, or of the training that made it.
    prompt_template : str, optional
        Text with ``{prompt}`` once, such as ``query: {prompt}``; by default what the model itself wants.
    batch_tokens : int, optional
        Largest batch, in tokens with padding; by default 4,096 on a CPU, 16,384 elsewhere. One prompt that is
        longer goes alone.
    max_tokens : int, optional
        ``sentence``: longest prompt; by default what the model states. A longer one loses its end.
    shard_rows : int
        Prompts of a shard; a kill costs at most the shards that are under way.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    dtype : str
        Of the model: ``auto``, ``float32``, ``bfloat16`` or ``float16``; vectors are always float32.
        ``auto`` is float32 on a CPU; elsewhere ``sentence`` takes bfloat16 where the device has it, and
        ``hidden`` the type that the model is stored in.
    backend : {"local", "ray"}
        Where the model runs; Ray starts `n_workers` of them.
    ray_address : str, optional
        Of a running cluster, such as ``auto`` or ``HEAD:6379``; without it one is started here.
    n_workers : int, optional
        Models at a time under Ray; by default one for each GPU, or two.
    task_column, id_column : str, optional
        Columns of the pool that hold task and id under other names.
    progress : ShardProgress, optional
        Called after each batch.
    announce : callable, optional
        Called at the first Ctrl-C.

    Returns
    -------
    EmbedSummary

    Raises
    ------
    ConfigError
        A setting is out of range or of no use to `embed_from`, or there is no such model.
    MissingExtraError
        What the model or backend runs on is not installed.
    ResumeError
        The folder holds embeddings of another model, setting or pool, or is in use.
    SchemaError
        The pool cannot be read, or vectors that were given are not one a prompt, finite and equally long.
    KeyboardInterrupt
        It was stopped; what was finished is kept.
    """
    numbers = {"shard_rows": shard_rows, "batch_tokens": batch_tokens, "max_tokens": max_tokens}
    check_whole_numbers({name: number for name, number in numbers.items() if number is not None})
    request = EmbeddingRequest(embed_from, model, adapter, prompt_template, max_tokens, device, dtype)
    loaded = load_pool(pool, task_column=task_column, id_column=id_column)
    if embed_from in (SENTENCE, HIDDEN):
        source = _open_model(request, batch_tokens, backend, ray_address, n_workers)
    else:
        _refuse_model_settings(request, backend)
        source = _open_given(embed_from, loaded, shard_rows)
    stage = ShardedStage(
        pool=loaded,
        folder=Path(out) / EMBEDDINGS_FOLDER,
        noun="embeddings",
        verb="embedded",
        model=source.identity,
        settings=source.settings,
        shard_rows=shard_rows,
        worker=source.worker,
        shape=embeddings_format,
        hashed_columns=_HASHED_COLUMNS,
        once_hashed_columns=HASHED_COLUMNS,
        progress=progress,
        announce=announce,
    )
    stage.finish()
    return _summary(stage)


@dataclass(frozen=True)
class _Source:
    """Where vectors come from: what identifies it, and who makes the shards."""

    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    worker: ShardWorker


def _open_model(
    request: EmbeddingRequest,
    batch_tokens: int | None,
    backend: str,
    address: str | None,
    n_workers: int | None,
) -> _Source:
    embedder = request.open()
    open_worker = functools.partial(_open_worker, request, batch_tokens)
    worker = choose_backend(
        backend, open_worker, address=address, n_workers=n_workers, needs_gpu=request.device != "cpu"
    )
    return _Source(
        embedder.identify_model(),
        {**embedder.settings, "batch_tokens": batch_tokens or "auto"},
        EmbeddingWorker(embedder, batch_tokens) if worker is None else worker,
    )


def _open_worker(request: EmbeddingRequest, batch_tokens: int | None) -> EmbeddingWorker:
    return EmbeddingWorker(request.open(), batch_tokens)


def _open_given(embed_from: str, pool: Pool, shard_rows: int) -> _Source:
    given = read_given(embed_from, pool.frame)
    plan = plan_shards(pool.frame["prompt"], shard_rows)
    return _Source(given.identify(), given.settings, GivenWorker(given.vectors, plan))


def _refuse_model_settings(request: EmbeddingRequest, backend: str) -> None:
    """Refuse what vectors that exist already have no use for."""
    unsaid = EmbeddingRequest(request.embed_from)
    said = [name for name, value in vars(request).items() if value != getattr(unsaid, name)]
    said += ["backend"] if backend != "local" else []
    if said:
        raise ConfigError(f"{said[0]} is for a model, and embed_from={request.embed_from!r} names no model.")


def _summary(stage: ShardedStage) -> EmbedSummary:
    counts = stage.counts
    settings = read_versioned(stage.folder / MANIFEST_NAME)["settings"]
    new_rows = counts["rows"] - stage.rows_reused
    return EmbedSummary(
        rows=counts["rows"],
        rows_reused=stage.rows_reused,
        n_dimensions=settings["n_dimensions"],
        tokens=counts.get("tokens", 0),
        truncated_rows=counts.get("truncated_rows", 0),
        seconds=stage.seconds,
        rows_per_s=new_rows / stage.work_s if new_rows and stage.work_s else None,
        folder=str(stage.folder),
        notes=(*stage.pool.notes, *stage.notes, *_truncation_notes(counts, settings)),
    )


def _truncation_notes(counts: Mapping[str, int], settings: Mapping[str, Any]) -> list[str]:
    n_rows = counts.get("truncated_rows", 0)
    if not n_rows:
        return []
    many = "1 prompt is" if n_rows == 1 else f"{n_rows:,} prompts are"
    if settings["embed_from"] == HIDDEN:
        return [f"{many} longer than the model's context and lost the beginning."]
    return [f"{many} longer than the {settings['max_tokens']} tokens that the model reads and lost the end."]
