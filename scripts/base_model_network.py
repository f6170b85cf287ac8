"""The network of a base model, in one of four architectures, and its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from base_model_text import draw_batches
from small_models import train_steps

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from base_model_settings import TrainingConfig

ARCHITECTURES: dict[str, tuple[type, type]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gpt-neox": (GPTNeoXConfig, GPTNeoXForCausalLM),
    "opt": (OPTConfig, OPTForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def build_model(tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> PreTrainedModel:
    """Build the model with random weights."""
    torch.manual_seed(config.seed)
    config_class, model_class = ARCHITECTURES[config.architecture]
    return model_class(
        config_class(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            max_position_embeddings=config.context_tokens,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
            **architecture_settings(config),
        )
    )


def architecture_settings(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings that the architectures call by different names, or that only one of them has."""
    ungated_size = config.intermediate_size * 3 // 2
    return {
        "llama": {"intermediate_size": config.intermediate_size, "num_key_value_heads": config.n_heads},
        "gpt-neox": {"intermediate_size": ungated_size},
        # OPT drops out a tenth by default, the others nothing; positions are learned, for each a vector.
        "opt": {"ffn_dim": ungated_size, "word_embed_proj_dim": config.hidden_size, "dropout": 0.0},
        "qwen3": {
            "intermediate_size": config.intermediate_size,
            "num_key_value_heads": config.n_heads,
            "head_dim": config.hidden_size // config.n_heads,
        },
    }[config.architecture]


def answer_loss(model: PreTrainedModel, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the labelled tokens in nats.

    The vocabulary's logits are computed for these alone, a fifth of all: it saves a quarter of the time.
    """
    # No attention mask: padding stands on the right, where a causal model cannot see it.
    hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != -100
    logits = model.get_output_embeddings()(hidden[learned])
    return torch.nn.functional.cross_entropy(logits, targets[learned])


def train_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig) -> float:
    """Train in place and return the mean loss of the last tenth of the steps, in nats an answer's token."""
    losses = (answer_loss(model, *batch) for batch in draw_batches(tokenizer, config))
    return train_steps(
        model,
        losses,
        steps=config.steps,
        matrix_learning_rate=config.matrix_learning_rate,
        embedding_learning_rate=config.embedding_learning_rate,
        adam_betas=config.adam_betas,
        weight_decay=config.weight_decay,
        warmup_share=config.warmup_share,
        max_gradient_norm=config.max_gradient_norm,
        report_every=100,
    )
