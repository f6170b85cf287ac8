"""Embeddings that tasks are found in: given, or made here, and what is known of the model behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tasksel.embedding import read_embeddings
from tasksel.embedding_run import embed
from tasksel.embedding_run_models import HIDDEN, SENTENCE, EmbeddingRequest
from tasksel.embedding_shards import EMBEDDINGS_FOLDER
from tasksel.run_folder import read_versioned
from tasksel.run_folder_identity import SETTINGS_NAME
from tasksel.sentence_embedding import MINILM, embed_sentences, load_sentence_model
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from tasksel.pool import Pool
    from tasksel.shard_run import ShardProgress

__all__ = ["EmbeddingModel", "PromptVectors", "check_same_model", "find_vectors"]

_DECIDING: Final = ("embed_from", "prompt_template", "pooling")
"""Settings that decide what a vector is."""


class PromptVectors(NamedTuple):
    """Vectors, and what made them.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n_rows, n_dimensions)
        One a prompt.
    model : dict
        ``name`` and ``sha256`` of the model, None where they are not known; and ``settings``.
    source : str
        Where they are from.
    """

    vectors: npt.NDArray[np.float32]
    model: dict[str, Any]
    source: str


class EmbeddingModel(NamedTuple):
    """How prompts without vectors are embedded.

    Attributes
    ----------
    name : str
        As for `load_sentence_model`.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    run_folder : Path or None
        Where vectors are kept, so that a run which was stopped goes on; without it they stay in memory.
    """

    name: str = MINILM
    device: str = "auto"
    run_folder: Path | None = None


def find_vectors(
    pool: Pool,
    embeddings: str | os.PathLike[str] | npt.NDArray[Any] | None,
    model: EmbeddingModel,
    *,
    progress: ShardProgress | None = None,
    announce: Callable[[], object] | None = None,
) -> PromptVectors:
    """Read the vectors of a pool, or make them.

    Parameters
    ----------
    pool : Pool
        The prompts.
    embeddings : column name, path or ndarray, optional
        As for `tasksel.embedding.read_embeddings`.
    model : EmbeddingModel
        What makes them where there are none.
    progress, announce : callable, optional
        As for `tasksel.embed`.

    Raises
    ------
    ConfigError
        There are no embeddings, and none can be made.
    SchemaError, ResumeError
        As of `read_embeddings`.
    """
    if embeddings is not None:
        vectors = read_embeddings(embeddings, pool.frame)
        known = _nothing_known() if isinstance(embeddings, np.ndarray) else _model_of(embeddings, pool)
        name = "array" if isinstance(embeddings, np.ndarray) else Path(embeddings).name
        return PromptVectors(vectors, known, name)
    try:
        if model.run_folder is None:
            return _embed_in_memory(pool, model, progress)
        embed(
            pool,
            out=model.run_folder,
            model=model.name,
            device=model.device,
            progress=progress,
            announce=announce,
        )
    except (MissingExtraError, ConfigError) as error:
        raise ConfigError(
            "Tasks are found in embeddings, none were given and none can be made here. Give a run folder of "
            "`tasksel embed`, a list column of the pool, a .npy or a .parquet file with --embeddings "
            f"(embeddings=), or make this possible: {error}"
        ) from error
    vectors = read_embeddings(str(model.run_folder), pool.frame)
    return PromptVectors(vectors, _model_of(model.run_folder, pool), model.run_folder.name)


def check_same_model(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Compare what made two sets of vectors; returns a note where that is not known.

    Raises
    ------
    ConfigError
        They are known to be of different models, or made in different ways.
    """
    if not found.get("sha256") or not wanted.get("sha256"):
        return (
            "Which model made the embeddings is not known, so that only their number of dimensions was "
            "compared with the task model's."
        )
    ours, theirs = (
        {name: (each.get("settings") or {}).get(name) for name in _DECIDING} for each in (found, wanted)
    )
    if found["sha256"] != wanted["sha256"] or ours != theirs:
        raise ConfigError(
            f"The tasks were found with embeddings of {_described(wanted)}, and these are of "
            f"{_described(found)}: vectors of two models cannot be compared."
        )
    return None


def _described(model: Mapping[str, Any]) -> str:
    template = (model.get("settings") or {}).get("prompt_template")
    shown = f" with the template {template!r}" if template else ""
    return f"{model.get('name')} (sha256 {str(model['sha256'])[:12]}){shown}"


def _embed_in_memory(pool: Pool, model: EmbeddingModel, progress: ShardProgress | None) -> PromptVectors:
    embedder = EmbeddingRequest(SENTENCE, model.name, device=model.device).open()
    loaded = load_sentence_model(model.name, device=model.device)
    vectors = embed_sentences(loaded, pool.frame["prompt"].to_list(), progress=progress)
    known = {**embedder.identify_model(), "settings": _deciding(embedder.settings)}
    return PromptVectors(vectors, known, model.name)


def _model_of(embeddings: str | os.PathLike[str], pool: Pool) -> dict[str, Any]:
    """Return what a run folder says of the model behind its vectors; files and columns say nothing."""
    folder = Path(embeddings)
    if str(embeddings) in pool.frame.columns or not folder.is_dir():
        return _nothing_known()
    for stage in (folder / EMBEDDINGS_FOLDER, folder, folder / "scores"):
        if (stage / SETTINGS_NAME).is_file():
            content = read_versioned(stage / SETTINGS_NAME)
            settings, model = content.get("settings"), content.get("model")
            if isinstance(settings, dict) and isinstance(model, dict):
                # Vectors that were made elsewhere are identified by themselves and not by a model.
                is_known = settings.get("embed_from") in (SENTENCE, HIDDEN)
                return {**_named(model), "settings": _deciding(settings)} if is_known else _nothing_known()
    return _nothing_known()


def _named(model: Mapping[str, Any]) -> dict[str, Any]:
    return {name: model.get(name) for name in ("name", "sha256")}


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings.get(name) for name in _DECIDING}


def _nothing_known() -> dict[str, Any]:
    return {"name": None, "sha256": None, "settings": {}}
