"""Tokenizers that keep no words: what they keep is not given back when they go.

A tokenizer of the library `tokenizers` (0.23.3 was measured) keeps up to 10,000 words with their tokens and
never frees them: each one that has encoded prompts and is dropped leaves its words behind, 80 KB of 135
short prompts. A process that loads models again and again, as rounds and studies do, grew by as much each
time. Without the words an encoding takes about a seventh longer, which beside a model is nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["without_word_cache"]


def without_word_cache(tokenizer: Any) -> Any:
    """Have a tokenizer keep no words, and return it.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase or tokenizers.Tokenizer
        It is changed; a copy of it keeps words again. One that is not of that library is left as it is.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    # Models without merges (WordPiece, WordLevel) keep no words and have no such method.
    resize = getattr(getattr(backend, "model", None), "_resize_cache", None)
    if resize is not None:
        resize(0)
    return tokenizer
