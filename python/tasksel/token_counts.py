"""How many tokens texts have: counted with the model's tokenizer where it is here, else from characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model_folder import find_local_model
from tasksel.word_cache import without_word_cache
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CHARS_A_TOKEN", "TokenCount", "TokenCounter"]

CHARS_A_TOKEN: Final = 4.0
"""Of English text under a large vocabulary; used only where there is no tokenizer, and said to be."""
_COUNTED_TEXTS: Final = 1_000


@dataclass(frozen=True)
class TokenCount:
    """Tokens of texts.

    Parameters
    ----------
    tokens : int
        Of all texts together.
    basis : str
        How they were counted, for a person.
    """

    tokens: int
    basis: str


class TokenCounter:
    """Counts with the tokenizer of a model, which is read once; nothing is fetched.

    Parameters
    ----------
    model : str or None
        Whose tokenizer.
    """

    def __init__(self, model: str | None) -> None:
        self._tokenizer = None if model is None else _load_tokenizer(model)

    @property
    def has_tokenizer(self) -> bool:
        """Whether there is a tokenizer on this machine; without one tokens follow from characters."""
        return self._tokenizer is not None

    def count(self, texts: Sequence[str]) -> TokenCount:
        """Count tokens; of many texts some are counted, evenly spread, and the rest follows by characters."""
        chars = sum(map(len, texts))
        if self._tokenizer is None:
            return TokenCount(
                round(chars / CHARS_A_TOKEN), f"from characters, {CHARS_A_TOKEN:g} a token: no tokenizer here"
            )
        step = -(-len(texts) // _COUNTED_TEXTS) if texts else 1
        sample = texts[::step]
        encoded = self._tokenizer.encode_batch(list(sample), add_special_tokens=False)
        tokens = sum(len(each.ids) for each in encoded)
        if step == 1:
            return TokenCount(tokens, "counted with the model's tokenizer")
        sample_chars = sum(map(len, sample))
        scaled = round(tokens * chars / sample_chars) if sample_chars else 0
        return TokenCount(scaled, f"{len(sample):,} counted with the model's tokenizer, the others by length")


def _load_tokenizer(model: str) -> Any:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return None
    try:
        folder = find_local_model(model)
    except ConfigError:
        return None
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    return without_word_cache(Tokenizer.from_file(str(folder / "tokenizer.json")))
