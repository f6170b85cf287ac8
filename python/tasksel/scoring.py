"""Pool to scores: every prompt answered once, every token measured, in shards that survive a kill."""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.backends import choose_backend
from tasksel.engines import DEFAULT_ENGINE, EngineRequest
from tasksel.pool import load_pool
from tasksel.prompt_encoding import check_prompt_template
from tasksel.run_folder_shards import SCORES_FOLDER
from tasksel.score_shards import SCORES_SCHEMA, scores_format
from tasksel.score_worker import ScoreWorker
from tasksel.shard_run import ShardProgress
from tasksel.shard_stage import ShardedStage
from tasksel.whole_numbers import check_whole_numbers
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.engines import Engine
    from tasksel.pool import PoolSource

__all__ = ["SCORES_FOLDER", "SCORES_SCHEMA", "ScoreProgress", "ScoreSummary", "score"]

HIDDEN: Final = "hidden"
ScoreProgress = ShardProgress


@dataclass(frozen=True)
class ScoreSummary:
    """What a scoring run found, made and cost.

    Attributes
    ----------
    rows, rows_reused : int
        Scored examples, and how many of them an earlier run had scored.
    tokens : int
        Generated tokens of all rows, end tokens included.
    truncated_rows : int
        Prompts that were cut from the left because they do not fit the context.
    stopped_rows, length_rows : int
        Answers ended by the model, and by `max_new_tokens`.
    seconds : float
        Wall time of this call.
    tokens_per_s : float or None
        Tokens generated in this call by the wall time of generation; None when nothing was left to do.
    folder : str
        Where the shards are.
    notes : tuple of str
        Sentences that a user should read: damaged shards, lack of memory, changed versions.
    refused_rows : int
        Prompts that the engine would not answer: they have no confidence.
    """

    rows: int
    rows_reused: int
    tokens: int
    truncated_rows: int
    stopped_rows: int
    length_rows: int
    seconds: float
    tokens_per_s: float | None
    folder: str
    notes: tuple[str, ...] = ()
    refused_rows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a dictionary that `json.dumps` takes."""
        return asdict(self) | {"notes": list(self.notes)}


def score(
    pool: PoolSource,
    *,
    model: str,
    out: str | Path,
    engine: str | Engine = DEFAULT_ENGINE,
    adapter: str | None = None,
    max_new_tokens: int = 256,
    prompt_template: str | None = None,
    batch_tokens: int = 8192,
    max_batch_rows: int = 128,
    shard_rows: int = 256,
    device: str = "auto",
    dtype: str = "auto",
    embed_from: str | None = None,
    base_url: str | None = None,
    api: str | None = None,
    top_logprobs: int | None = None,
    max_concurrency: int | None = None,
    engine_options: Mapping[str, Any] | None = None,
    backend: str = "local",
    ray_address: str | None = None,
    n_workers: int | None = None,
    task_column: str | None = None,
    id_column: str | None = None,
    progress: ScoreProgress | None = None,
    announce: Callable[[], object] | None = None,
) -> ScoreSummary:
    """Let a model answer every prompt of a pool greedily and write the probabilities of its tokens.

    The same call on the same folder continues where it stopped, also after ``kill -9``; a finished
    folder is recognised without loading the model. A changed model, setting or pool is refused. The first
    Ctrl-C (or SIGTERM) finishes the batch and keeps it, the second stops at once.

    Parameters
    ----------
    pool : path, DataFrame, LazyFrame or Pool
        Anything that `tasksel.pool.load_pool` reads.
    model : str
        A folder, a name on the Hugging Face hub, ``demo``, or the name of a model at a server.
    out : path
        The run folder; the scores go into ``OUT/scores``.
    engine : str or Engine
        Who answers: ``hf`` (transformers in this process), ``openai`` (any OpenAI-compatible server that
        gives logprobs), ``vllm`` (vLLM in this process), or an engine of your own.
    adapter : str, optional
        Folder of a LoRA adapter of `model`, or of the training that made it: scores for a second round.
    max_new_tokens : int
        Longest answer in tokens, the end token included.
    prompt_template : str, optional
        Text with ``{prompt}`` once; goes before the chat template of the tokenizer.
    batch_tokens : int
        ``hf``: largest batch, in tokens with padding and answers. One prompt that is longer goes alone.
    max_batch_rows : int
        ``hf``: most prompts in a batch.
    shard_rows : int
        Prompts of a shard; a kill costs at most the shards that are under way.
    device : str
        ``hf``: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    dtype : str
        ``hf``, ``vllm``: ``auto`` (as stored; float32 on a CPU), ``float32``, ``bfloat16`` or ``float16``.
    embed_from : {"hidden"}, optional
        ``hf``: record the mean last hidden state of each prompt from the same pass, in a column
        ``embedding`` beside the scores.
    base_url : str, optional
        ``openai``: of the server, such as ``http://localhost:8000/v1``.
    api : {"completions", "chat"}, optional
        ``openai``: which of its routes; default completions.
    top_logprobs : int, optional
        ``openai``, ``vllm``: likeliest tokens that the truncated entropy is made from; default 20.
    max_concurrency : int, optional
        ``openai``: most requests at a time.
    engine_options : mapping, optional
        Of the engine alone. ``hf``: ``shares_prefix``, ``static_cache``; ``openai``: ``key_variable``
        (default ``OPENAI_API_KEY``), ``timeout_s``; ``vllm``: ``tensor_parallel_size``,
        ``gpu_memory_utilization``, ``max_model_len``, ``enable_prefix_caching``.
    backend : {"local", "ray"}
        Where engines run; Ray starts `n_workers` of them.
    ray_address : str, optional
        Of a running cluster, such as ``auto`` or ``HEAD:6379``; without it one is started here.
    n_workers : int, optional
        Engines at a time under Ray; by default one for each GPU, or two.
    task_column, id_column : str, optional
        Columns of the pool that hold task and id under other names.
    progress : ScoreProgress, optional
        Called after each batch.
    announce : callable, optional
        Called at the first Ctrl-C.

    Returns
    -------
    ScoreSummary

    Raises
    ------
    ConfigError
        A setting is out of range or not one of the engine, or there is no such model.
    MissingExtraError
        What the engine or backend runs on is not installed.
    ProviderError
        A server does not answer, or without logprobs.
    ResumeError
        The folder holds scores of another model, setting or pool, or is in use.
    SchemaError
        The pool cannot be read.
    KeyboardInterrupt
        It was stopped; what was finished is kept.
    """
    check_whole_numbers(
        {
            "max_new_tokens": max_new_tokens,
            "batch_tokens": batch_tokens,
            "max_batch_rows": max_batch_rows,
            "shard_rows": shard_rows,
        }
    )
    check_prompt_template(prompt_template)
    folder = Path(out) / SCORES_FOLDER
    request = EngineRequest(
        engine,
        model,
        {
            "adapter": adapter,
            "max_new_tokens": max_new_tokens,
            "prompt_template": prompt_template,
            "batch_tokens": batch_tokens,
            "max_batch_rows": max_batch_rows,
            "device": device,
            "dtype": dtype,
            "records_hidden": _records_hidden(embed_from),
            "base_url": base_url,
            "api": api,
            "top_logprobs": top_logprobs,
            "max_concurrency": max_concurrency,
            "journal_folder": folder,
        },
        dict(engine_options or {}),
    )
    opened = request.open()
    worker = choose_backend(
        backend,
        functools.partial(_open_worker, request.without("journal_folder")),
        address=ray_address,
        n_workers=n_workers,
        needs_gpu=opened.name != "openai" and device != "cpu",
    )
    stage = ShardedStage(
        pool=load_pool(pool, task_column=task_column, id_column=id_column),
        folder=folder,
        noun="scores",
        verb="scored",
        model=opened.identify_model(),
        settings={"engine": opened.name, "embed_from": embed_from, **opened.settings},
        shard_rows=shard_rows,
        worker=ScoreWorker(opened) if worker is None else worker,
        shape=scores_format,
        progress=progress,
        announce=announce,
    )
    stage.finish()
    return _summary(stage)


def _records_hidden(embed_from: str | None) -> bool:
    if embed_from not in (None, HIDDEN):
        raise ConfigError(
            f"embed_from is {embed_from!r}; scoring can record {HIDDEN!r}, the model's own states. "
            "For sentence embeddings there is `tasksel embed`."
        )
    return embed_from == HIDDEN


def _open_worker(request: EngineRequest) -> ScoreWorker:
    return ScoreWorker(request.open())


def _summary(stage: ShardedStage) -> ScoreSummary:
    counts = stage.counts
    return ScoreSummary(
        rows=counts["rows"],
        rows_reused=stage.rows_reused,
        tokens=counts["tokens"],
        truncated_rows=counts["truncated_rows"],
        stopped_rows=counts["stopped_rows"],
        length_rows=counts["length_rows"],
        refused_rows=counts.get("refused_rows", 0),
        seconds=stage.seconds,
        tokens_per_s=stage.new_tokens / stage.work_s if stage.new_tokens else None,
        folder=str(stage.folder),
        notes=(*stage.pool.notes, *stage.notes),
    )
