"""A LoRA adapter becomes part of the weights of its base model."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

from tasksel.causal_model_folder import loading_errors
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["merge_adapter", "quiet_peft", "untie_adapted_head"]


@contextlib.contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence what peft warns of: an attribute by its old name, and tied layers, which are taken care of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings=True", category=UserWarning)
        yield


def untie_adapted_head(network: Any, target_modules: str | Iterable[str]) -> None:
    """Give the output layer weights of its own where an adapter changes it and it shares the embeddings'.

    Beside the weights an adapter of the output layer leaves the embeddings alone; merged into shared ones it
    would change what the model reads, too.

    Parameters
    ----------
    network : transformers.PreTrainedModel
        Changed in place, its configuration included.
    target_modules : str or iterable of str
        As in the adapter's configuration.
    """
    import torch

    head, embeddings = network.get_output_embeddings(), network.get_input_embeddings()
    if head is None or embeddings is None or head.weight is not embeddings.weight:
        return
    name = next(name for name, module in network.named_modules() if module is head)
    adapted = [target_modules] if isinstance(target_modules, str) else target_modules
    if any(name == each or name.endswith(f".{each}") for each in adapted):
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        network.config.tie_word_embeddings = False


def merge_adapter(network: Any, adapter: str, folder: Path) -> Any:
    """Add the adapter in `folder` to the weights of `network` and return it as an ordinary model.

    Merged and not beside the weights: a token then costs what it costs the base model. In float32 the
    two agree to rounding; in bfloat16 a merged weight is rounded once more.

    Raises
    ------
    ConfigError
        The adapter was made for another model, is of a kind that cannot be merged, or lacks weights.
    MissingExtraError
        peft is not installed.
    """
    try:
        from peft import PeftConfig, PeftModel
    except ModuleNotFoundError as error:
        raise MissingExtraError("A model with an adapter", "hf") from error
    errors: tuple[type[Exception], ...] = (*loading_errors(), UserWarning)
    try:
        with quiet_peft():
            # peft only warns of weights that the file lacks, and would answer with untrained ones.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            targets = getattr(PeftConfig.from_pretrained(str(folder)), "target_modules", None)
            untie_adapted_head(network, targets or ())
            peft_model = PeftModel.from_pretrained(network, str(folder), torch_device=str(network.device))
            return peft_model.merge_and_unload(safe_merge=True)
    except errors as error:
        raise ConfigError(
            f"The adapter {adapter} does not fit the model, or cannot be merged into it: "
            f"{first_line(error)[:300]}"
        ) from error
