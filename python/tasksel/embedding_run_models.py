"""The models that embed prompts: an encoder of sentences, or a causal model's own hidden states.

An `EmbeddingRequest` holds what a call asks for and can be sent to a worker on another machine, which opens
the model from it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model import identify_model, load_model, model_sha256, suitable_threads
from tasksel.embedding_run_worker import EmbedderStart
from tasksel.hidden_states import mean_states
from tasksel.prompt_encoding import PromptEncoder, check_prompt_template
from tasksel.run_folder_identity import find_versions
from tasksel.sentence_embedding import (
    MINILM,
    embed_token_ids,
    encode_texts,
    find_sentence_model,
    load_sentence_model,
)
from tasksel.sentence_embedding_folder import read_recipe
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from tasksel.causal_model import CausalModel
    from tasksel.embedding_run_worker import PromptEmbedder
    from tasksel.prompt_encoding import EncodedPrompt
    from tasksel.sentence_embedding import SentenceModel

__all__ = ["HIDDEN", "SENTENCE", "EmbeddingRequest", "HiddenEmbedder", "SentenceEmbedder"]

SENTENCE: Final = "sentence"
HIDDEN: Final = "hidden"
_LIBRARIES: Final = ("torch", "transformers", "tokenizers")
_AUTO: Final = "auto"


@dataclass(frozen=True)
class EmbeddingRequest:
    """What a call asks for.

    Parameters
    ----------
    embed_from : {"sentence", "hidden"}
        Which kind of model.
    model : str or None
        Its name or folder; None is the default of ``sentence``.
    adapter : str or None
        ``hidden``: folder of a LoRA adapter.
    prompt_template : str or None
        Text with ``{prompt}`` once.
    max_tokens : int or None
        ``sentence``: longest prompt.
    device, dtype : str
        As for `load_sentence_model` and `load_model`.
    """

    embed_from: str
    model: str | None = None
    adapter: str | None = None
    prompt_template: str | None = None
    max_tokens: int | None = None
    device: str = _AUTO
    dtype: str = _AUTO

    def open(self) -> PromptEmbedder:
        """Make the embedder; nothing is loaded yet.

        Raises
        ------
        ConfigError
            A setting is one of the other kind, or the template is wrong.
        """
        check_prompt_template(self.prompt_template)
        if self.embed_from == SENTENCE:
            if self.adapter is not None:
                raise ConfigError("An adapter belongs to a causal model: embed_from must be 'hidden'.")
            return SentenceEmbedder(self.model or MINILM, self)
        if self.model is None:
            raise ConfigError("embed_from='hidden' needs a model: whose hidden states?")
        if self.max_tokens is not None:
            raise ConfigError(
                "max_tokens is for embed_from='sentence'; hidden states read the whole context."
            )
        return HiddenEmbedder(self.model, self)


class SentenceEmbedder:
    """Embeds prompts with an encoder, as `tasksel.sentence_embedding` does.

    Parameters
    ----------
    model : str
        As for `load_sentence_model`.
    request : EmbeddingRequest
        The rest.

    Raises
    ------
    ConfigError
        There is no such model, or it makes its vectors in a way that is not known here.
    """

    def __init__(self, model: str, request: EmbeddingRequest) -> None:
        self.model = model
        self.request = request
        self._folder = find_sentence_model(model)
        recipe = read_recipe(model, self._folder)
        self.settings: Mapping[str, Any] = {
            "embed_from": SENTENCE,
            "pooling": recipe.pooling,
            "normalized": recipe.is_normalized,
            "prompt_template": request.prompt_template,
            "max_tokens": request.max_tokens or _AUTO,
            "device": request.device,
            "dtype": request.dtype,
        }
        self._sentence_model: SentenceModel | None = None

    def identify_model(self) -> dict[str, Any]:
        """Return name and hash of the model."""
        return {"name": self.model, "sha256": model_sha256(self._folder)}

    def start(self) -> EmbedderStart:
        """Load the encoder; errors as of `load_sentence_model`."""
        loaded = load_sentence_model(
            self.model,
            device=self.request.device,
            dtype=self.request.dtype,
            max_tokens=self.request.max_tokens,
        )
        self._sentence_model = loaded
        resolved = {
            "max_tokens": loaded.max_tokens,
            "device": loaded.device.partition(":")[0],
            "dtype": loaded.dtype,
        }
        return EmbedderStart({**self.settings, **resolved}, find_versions(_LIBRARIES))

    def running(self) -> AbstractContextManager[None]:
        """Hold nothing: an encoder is large enough for all threads."""
        return contextlib.nullcontext()

    def encode(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Return the tokens of each prompt."""
        return encode_texts(self._loaded, prompts, prompt_template=self.request.prompt_template)

    def embed(self, batch: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Return the vectors of a batch."""
        return embed_token_ids(self._loaded, batch)

    def close(self) -> None:
        """Let go of the encoder."""
        self._sentence_model = None

    @property
    def _loaded(self) -> SentenceModel:
        assert self._sentence_model is not None  # noqa: S101 -- `start` was called
        return self._sentence_model


class HiddenEmbedder:
    """Embeds prompts as `tasksel.hidden_states` does, batch by batch.

    Parameters
    ----------
    model : str
        As for `load_model`.
    request : EmbeddingRequest
        The rest.
    """

    def __init__(self, model: str, request: EmbeddingRequest) -> None:
        self.model = model
        self.request = request
        self.settings: Mapping[str, Any] = {
            "embed_from": HIDDEN,
            "prompt_template": request.prompt_template,
            "device": request.device,
            "dtype": request.dtype,
        }
        self._causal_model: CausalModel | None = None
        self._encoder: PromptEncoder | None = None

    def identify_model(self) -> dict[str, Any]:
        """Return name and hash of the model, and its adapter, without loading it."""
        return identify_model(self.model, self.request.adapter)

    def start(self) -> EmbedderStart:
        """Load the model; errors as of `load_model`."""
        request = self.request
        loaded = load_model(self.model, adapter=request.adapter, device=request.device, dtype=request.dtype)
        self._causal_model = loaded
        self._encoder = PromptEncoder(loaded, prompt_template=request.prompt_template, max_new_tokens=0)
        resolved = {"device": loaded.device.partition(":")[0], "dtype": loaded.dtype}
        return EmbedderStart({**self.settings, **resolved}, find_versions(_LIBRARIES))

    def running(self) -> AbstractContextManager[None]:
        """Hold the threads that suit the model's size."""
        return suitable_threads(self._loaded)

    def encode(self, prompts: Sequence[str]) -> list[EncodedPrompt]:
        """Return the tokens of each prompt."""
        assert self._encoder is not None  # noqa: S101 -- `start` was called
        return self._encoder.encode(prompts)

    def embed(self, batch: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        """Return the mean last hidden states of a batch."""
        return mean_states(self._loaded, batch)

    def close(self) -> None:
        """Let go of the model."""
        self._causal_model = self._encoder = None

    @property
    def _loaded(self) -> CausalModel:
        assert self._causal_model is not None  # noqa: S101 -- `start` was called
        return self._causal_model
