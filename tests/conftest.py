"""Fixtures that several test modules share: a tiny Llama with random weights, and real embeddings."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scripted_provider import ScriptedProvider

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|user|>{{ message['content'] | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|user|>answer: {% endif %}"
)
_TEXTS = [
    "Add the numbers two and three, then write the sum.",
    "The quick brown fox jumps over the lazy dog; the dog sleeps.",
    "Translate to French: good morning, where is the station?",
    "def add(a, b):\n    return a + b\n",
]


@pytest.fixture(scope="session", autouse=True)
def heard_ctrl_c() -> None:
    """Hear Ctrl-C also where a shell in the background runs the tests, which has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_embeddings() -> NDArray[np.float32]:
    """Give sentence embeddings of 400 real prompts, shape (400, 384)."""
    return np.load(Path(__file__).parent / "data" / "minilm_excerpt.npy").astype(np.float32)


class SaveTinyModel(Protocol):
    """Saves a Llama of about 40,000 random parameters and a byte-level BPE tokenizer of 320 tokens."""

    def __call__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        adds_bos: bool = True,
        chat: bool = False,
        end_scale: float = 1.6,
    ) -> Path: ...


@pytest.fixture(scope="session")
def save_tiny_model() -> SaveTinyModel:
    """Give the function that saves a tiny model; a larger `end_scale` lets the end token win more often."""
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    return _save_tiny_model


@pytest.fixture(scope="session")
def tiny_model_folder(save_tiny_model: SaveTinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model with a context of 128 tokens that ends about every second answer."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny-model"))


def _save_tiny_model(
    folder: Path, *, seed: int = 0, adds_bos: bool = True, chat: bool = False, end_scale: float = 1.6
) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)
    tokenizer = _train_tokenizer(adds_bos=adds_bos)
    tokenizer.chat_template = CHAT_TEMPLATE if chat else None
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.normal_(0.0, 0.3, generator=generator)
        model.lm_head.weight[tokenizer.eos_token_id] *= end_scale
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _train_tokenizer(*, adds_bos: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>", "<|user|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=["<|user|>"],
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedProvider]:
    """Serve a provider by script on the loopback, with its key set and short pauses."""
    from scripted_provider import KEY, ScriptedProvider

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("tasksel.providers.asking._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("tasksel.request_pacing._FIRST_PAUSE_S", 0.01)
    provider = ScriptedProvider()
    thread = provider.serve()
    yield provider
    provider.shutdown()
    thread.join()
    provider.server_close()
