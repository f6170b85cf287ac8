"""A causal language model without its weights: tokenizer, context and end tokens.

For engines that load the weights themselves, so that they read prompts as the model in this process does.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tasksel.causal_model import (
    CausalModel,
    _find_context_tokens,
    _find_eos_ids,
    _import_backend,
    _load_config,
    _load_tokenizer,
    quiet_transformers,
)
from tasksel.causal_model_folder import find_model_folder

__all__ = ["read_outline"]


def read_outline(model: str) -> CausalModel:
    """Read all that `load_model` knows of a model but its weights.

    Parameters
    ----------
    model : str
        A folder, a name on the Hugging Face hub, or ``demo``.

    Returns
    -------
    CausalModel
        With `model` None, no device, the dtype of the stored weights (``auto`` where none is stated) and no
        padding.

    Raises
    ------
    ConfigError
        There is no such model, it is no causal language model, or it has no tokenizer.
    MissingExtraError
        torch or transformers is not installed.
    """
    _import_backend()
    folder = str(find_model_folder(model))
    with quiet_transformers():
        config = _load_config(model, folder)
        tokenizer = _load_tokenizer(model, folder)
    stated = SimpleNamespace(config=config, generation_config=_load_generation_config(folder, config))
    context_tokens = _find_context_tokens(config, tokenizer)
    # The limit is kept here; left in the tokenizer it would print a warning for each long prompt.
    tokenizer.model_max_length = 10**30
    return CausalModel(
        model=None,
        tokenizer=tokenizer,
        device="",
        dtype=str(getattr(config, "dtype", None) or "auto").removeprefix("torch."),
        context_tokens=context_tokens,
        eos_ids=_find_eos_ids(stated, tokenizer),
        pad_id=0,
        bos_id=tokenizer.bos_token_id,
        n_embeddings=int(config.get_text_config().vocab_size),
    )


def _load_generation_config(folder: str, config: Any) -> Any:
    """Return the generation config as a loaded model has it: its own file, else what the model's says."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_model_config(config)
