"""The tokenizer in the folder of a model: loaded without code, and only where the folder holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasksel.word_cache import without_word_cache

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_tokenizer"]


def load_tokenizer(folder: str | Path) -> Any:
    """Load the tokenizer of a model, which keeps no words then.

    Parameters
    ----------
    folder : str or Path
        Of the model.

    Returns
    -------
    PreTrainedTokenizerBase
        As transformers gives it.

    Raises
    ------
    OSError
        No file of the folder holds tokens; what else transformers raises is left as it is
        (`tasksel.causal_model_folder.loading_errors`).
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    # transformers 5.0 makes one up of special tokens alone, by which all texts are the same.
    if tokenizer.vocab_size <= len(tokenizer.all_special_ids):
        raise OSError("no file holds its tokens")
    return without_word_cache(tokenizer)
