"""A causal language model in a folder, on the hub or inside the package, with or without an adapter."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasksel.causal_model_adapter import merge_adapter
from tasksel.causal_model_folder import (
    EMBEDDED_MODEL,
    find_adapter_folder,
    find_model_folder,
    identify_model,
    loading_errors,
    model_sha256,
)
from tasksel.causal_model_tokenizer import load_tokenizer
from tasksel.causal_model_trust import refuse_foreign_files, unreadable_model
from tasksel.suggestions import did_you_mean
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DTYPES",
    "EMBEDDED_MODEL",
    "CausalModel",
    "find_adapter_folder",
    "find_device",
    "find_model_folder",
    "identify_model",
    "load_model",
    "model_sha256",
    "quiet_transformers",
    "suitable_threads",
]

DTYPES = ("auto", "bfloat16", "float16", "float32")
SMALL_MODEL_PARAMETERS = 5_000_000
"""Below this a model on a CPU runs on one thread; see `suitable_threads`."""

_UNLIMITED_TOKENS = 10**9
"""Tokenizers without a limit say 10^30; nothing above this number is taken for a context length."""


@dataclass(frozen=True, eq=False)
class CausalModel:
    """A loaded causal language model with its tokenizer and what generation must know about them.

    Attributes
    ----------
    model, tokenizer : Any
        The transformers objects; the model is in evaluation mode and its own sampling defaults
        (temperature, penalties, minimum lengths) are cleared.
    device : str
        Where it runs, as torch writes it: ``cpu``, ``cuda:0``, ``mps``.
    dtype : str
        Of the weights: ``float32``, ``bfloat16`` or ``float16``.
    context_tokens : int or None
        Longest prompt and answer together; None where neither model nor tokenizer states a limit.
    eos_ids : tuple of int
        Tokens that end an answer; empty for a model that states none (answers then end by length).
    pad_id : int
        Fills the left of shorter prompts, behind the attention mask.
    bos_id : int or None
        Token that begins a text, where the tokenizer knows one.
    n_embeddings : int
        Token ids from 0 up to this number exist in the model.
    """

    model: Any
    tokenizer: Any
    device: str
    dtype: str
    context_tokens: int | None
    eos_ids: tuple[int, ...]
    pad_id: int
    bos_id: int | None
    n_embeddings: int


@contextlib.contextmanager
def suitable_threads(causal_model: CausalModel) -> Iterator[None]:
    """Give a small model on a CPU one thread while the block runs.

    The operations of a model under `SMALL_MODEL_PARAMETERS` are too short to share: a second thread mostly
    waits, busily, and on a machine that is in use makes scoring several times slower.

    Parameters
    ----------
    causal_model : CausalModel
        From `load_model`.
    """
    import torch

    threads = torch.get_num_threads()
    n_parameters = sum(parameter.numel() for parameter in causal_model.model.parameters())
    if causal_model.device == "cpu" and n_parameters < SMALL_MODEL_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def load_model(
    model: str, *, adapter: str | None = None, device: str = "auto", dtype: str = "auto"
) -> CausalModel:
    """Load a causal language model and its tokenizer from a folder, the hub's cache or the hub.

    Only safetensors weights are read and no code of the model's repository is run.

    Parameters
    ----------
    model : str
        A folder, a name on the Hugging Face hub, or ``demo`` for the model inside the package.
    adapter : str, optional
        Folder of a LoRA adapter that was made for `model`, or of the training that made it; it is merged
        into the weights.
    device : str
        ``auto`` (CUDA, else Apple's mps, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    dtype : str
        ``auto`` (as stored; float32 on a CPU), ``float32``, ``bfloat16``, ``float16``.

    Raises
    ------
    ConfigError
        There is no such model, it is no causal language model, it has no tokenizer or lacks weights,
        the adapter does not fit it, or the device or dtype does not exist.
    MissingExtraError
        torch or transformers is not installed, or, with an adapter, peft.
    """
    if dtype not in DTYPES:
        hint = did_you_mean(dtype, DTYPES)
        raise ConfigError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}.{hint}")
    _import_backend()
    model_folder = find_model_folder(model)
    refuse_foreign_files(model, model_folder)
    folder = str(model_folder)
    adapter_folder = None if adapter is None else find_adapter_folder(adapter)
    torch_device = find_device(device)
    with quiet_transformers():
        config = _load_config(model, folder)
        tokenizer = _load_tokenizer(model, folder)
        network = _load_weights(
            model, folder, "float32" if dtype == "auto" and torch_device.type == "cpu" else dtype
        )
    network = network.to(torch_device).eval()
    if adapter is not None and adapter_folder is not None:
        network = merge_adapter(network, adapter, adapter_folder)
    eos_ids = _find_eos_ids(network, tokenizer)
    n_embeddings = int(network.get_input_embeddings().weight.shape[0])
    pad_id = _find_pad_id(tokenizer, eos_ids, n_embeddings)
    _clear_generation_defaults(network)
    context_tokens = _find_context_tokens(config, tokenizer)
    # The limit is kept here; left in the tokenizer it would print a warning for each long prompt.
    tokenizer.model_max_length = 10**30
    return CausalModel(
        model=network,
        tokenizer=tokenizer,
        device=str(network.device),
        dtype=str(network.dtype).removeprefix("torch."),
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        pad_id=pad_id,
        bos_id=tokenizer.bos_token_id,
        n_embeddings=n_embeddings,
    )


def _import_backend() -> None:
    try:
        import torch  # noqa: F401 - asked here once, so that its absence is one sentence
        import transformers  # noqa: F401 - as torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("Scoring with a model", "hf") from error


def find_device(device: str) -> Any:
    """Return the torch device of a name, once something was allocated on it; ``auto`` takes the best.

    Raises
    ------
    ConfigError
        The device does not exist or cannot be used.
    """
    import torch

    if device == "auto":
        has_mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        # Allocating is the one test that every backend understands.
        torch.empty(1, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"The device {device!r} cannot be used here ({first_line(error)}); "
            "allowed are auto, cpu, cuda, cuda:N and mps."
        ) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the progress bars and load reports of transformers; what they report is checked instead."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _load_config(model: str, folder: str) -> Any:
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except loading_errors() as error:
        raise unreadable_model(f"The model {model!r} cannot be read", error) from error
    causal = {name for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for name in _as_tuple(names)}
    architectures = tuple(config.architectures or ())
    if config.is_encoder_decoder or (architectures and not causal.intersection(architectures)):
        named = ", ".join(architectures) or config.model_type
        raise ConfigError(f"The model {model!r} is {named}, not a causal language model.")
    return config


def _load_tokenizer(model: str, folder: str) -> Any:
    try:
        return load_tokenizer(folder)
    except loading_errors() as error:
        raise unreadable_model(f"The model {model!r} has no tokenizer that can be read", error) from error


def _load_weights(model: str, folder: str, dtype: str) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        network, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except loading_errors() as error:
        raise unreadable_model(f"The model {model!r} cannot be loaded", error) from error
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ConfigError(
            f"The model {model!r} lacks {len(missing)} of its weights (the first is {missing[0]}); "
            "scores of random weights would mean nothing."
        )
    return network


def _clear_generation_defaults(network: Any) -> None:
    """Drop the penalties, sampling and length defaults that came with the model.

    Each setting that a call leaves at None is otherwise filled from them: a model that ships
    repetition_penalty=1.1 would be scored by distorted logits.
    """
    from transformers import GenerationConfig

    network.generation_config = GenerationConfig()


def _find_eos_ids(network: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the end tokens: the generation config knows all of them, the tokenizer only one."""
    for stated in (
        network.generation_config.eos_token_id,
        tokenizer.eos_token_id,
        network.config.eos_token_id,
    ):
        if stated is not None:
            return tuple(int(token_id) for token_id in _as_tuple(stated))
    return ()


def _find_pad_id(tokenizer: Any, eos_ids: tuple[int, ...], n_embeddings: int) -> int:
    """Return any token to stand behind the mask; a pad token added without an embedding cannot."""
    for token_id in (tokenizer.pad_token_id, *eos_ids):
        if token_id is not None and token_id < n_embeddings:
            return int(token_id)
    return 0


def _find_context_tokens(config: Any, tokenizer: Any) -> int | None:
    limit = getattr(config.get_text_config(), "max_position_embeddings", None) or tokenizer.model_max_length
    return int(limit) if limit and limit < _UNLIMITED_TOKENS else None


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
