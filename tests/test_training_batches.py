from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.causal_model import load_model
from tasksel.training_batches import collate, plan_device_batches, plan_steps
from tasksel.training_examples import TrainingExample
from tasksel.training_loss import response_loss
from tasksel.training_network import check_packing
from tasksel_core.errors import ConfigError

torch = pytest.importorskip("torch", reason="the extra hf is not installed")
torch.set_num_threads(1)


@given(st.integers(0, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 5))
def test_every_epoch_has_every_example_once(n_examples, batch_size, epochs, seed):
    steps = plan_steps(n_examples, batch_size=batch_size, epochs=epochs, seed=seed)
    per_epoch = -(-n_examples // batch_size)
    assert len(steps) == epochs * per_epoch
    for epoch in range(epochs):
        dealt = steps[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(row for step in dealt for row in step.tolist()) == list(range(n_examples))
        assert all(step.size == batch_size for step in dealt[:-1])


def test_the_order_follows_from_the_seed_and_differs_by_epoch():
    first, second, other = (
        [step.tolist() for step in plan_steps(20, batch_size=20, epochs=2, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == second != other
    assert first[0] != first[1]


@given(
    st.lists(st.integers(1, 50), max_size=30),
    st.integers(1, 200),
    st.none() | st.integers(50, 120),
)
def test_device_batches_hold_every_example_once_within_the_limits(lengths, device_batch_tokens, row_tokens):
    sizes = np.array(lengths, dtype=np.int64)
    batches = plan_device_batches(sizes, device_batch_tokens=device_batch_tokens, row_tokens=row_tokens)
    dealt = [position for rows in batches for row in rows for position in row]
    assert sorted(dealt) == list(range(len(lengths)))
    for rows in batches:
        totals = [int(sizes[row].sum()) for row in rows]
        assert len(rows) == 1 or len(rows) * max(totals) <= device_batch_tokens
        assert row_tokens is None or max(totals) <= row_tokens
        assert row_tokens is not None or all(len(row) == 1 for row in rows)


def draw_examples(seed=0, n=9):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 30, n)
    return [
        TrainingExample(rng.integers(4, 300, length).astype(np.int32), int(rng.integers(1, length)))
        for length in lengths
    ]


def architectures():
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, Qwen3Config

    small = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {
        "llama": LlamaConfig(**small, intermediate_size=64, max_position_embeddings=512),
        "qwen": Qwen3Config(
            **small, intermediate_size=64, num_key_value_heads=2, head_dim=8, max_position_embeddings=512
        ),
        "neox": GPTNeoXConfig(**small, intermediate_size=64, max_position_embeddings=512),
        "gpt2": GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, n_positions=512),
        "opt": OPTConfig(
            **small, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=512, dropout=0.0
        ),
    }


def make_network(name):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(architectures()[name]).eval()


@pytest.fixture(scope="module", params=["llama", "qwen", "neox", "gpt2"])
def network(request):
    return make_network(request.param)


def sum_alone(network, examples):
    """The loss as the definition has it: each example alone, all logits, one token after the other."""
    total = 0.0
    for example in examples:
        ids = torch.from_numpy(example.token_ids.astype(np.int64))[None]
        logprobs = network(input_ids=ids, use_cache=False).logits.double().log_softmax(-1)[0]
        start = ids.shape[1] - example.response_tokens
        total -= sum(float(logprobs[at - 1, ids[0, at]]) for at in range(start, ids.shape[1]))
    return total


@pytest.mark.parametrize("row_tokens", [None, 60, 400], ids=["padded", "packed", "one-row"])
@pytest.mark.parametrize("device_batch_tokens", [1, 70, 10**6])
@torch.no_grad()
def test_padded_and_packed_losses_are_those_of_each_example_alone(network, row_tokens, device_batch_tokens):
    examples = draw_examples()
    lengths = np.array([len(example.token_ids) for example in examples])
    batches = plan_device_batches(lengths, device_batch_tokens=device_batch_tokens, row_tokens=row_tokens)
    found = sum(
        float(response_loss(network, collate([[examples[at] for at in row] for row in rows], pad_id=0)))
        for rows in batches
    )
    np.testing.assert_allclose(found, sum_alone(network, examples), rtol=1e-5)


@torch.no_grad()
def test_a_model_without_a_head_of_its_own_computes_all_logits(network, monkeypatch):
    batch = collate([[each] for each in draw_examples(1, 4)], pad_id=0)
    expected = response_loss(network, batch, reduction="none")
    monkeypatch.setattr(network, "get_output_embeddings", lambda: None)
    torch.testing.assert_close(response_loss(network, batch, reduction="none"), expected)


def test_packed_gradients_are_those_of_padded_ones(network):
    examples = draw_examples(1, 6)
    gradients = []
    for rows in ([[example] for example in examples], [examples[:4], examples[4:]]):
        network.zero_grad()
        response_loss(network, collate(rows, pad_id=0)).backward()
        gradients.append([each.grad.clone() for each in network.parameters() if each.grad is not None])
    for padded, packed in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-4)


def as_causal_model(network):
    return SimpleNamespace(model=network, device="cpu", dtype="float32", pad_id=0)


def test_models_that_keep_packed_examples_apart_may_pack(network):
    check_packing(as_causal_model(network), draw_examples())
    check_packing(as_causal_model(network), draw_examples(n=1))


def test_an_architecture_that_mixes_packed_examples_is_refused():
    opt = make_network("opt")
    with pytest.raises(ConfigError, match="does not keep packed examples apart"):
        check_packing(as_causal_model(opt), draw_examples())


def test_a_model_that_ignores_positions_is_refused(tiny_model_folder, monkeypatch):
    causal_model = load_model(str(tiny_model_folder), device="cpu")
    forward = causal_model.model.forward
    monkeypatch.setattr(
        causal_model.model,
        "forward",
        lambda input_ids, position_ids=None, **others: forward(input_ids=input_ids, **others),
    )
    with pytest.raises(ConfigError, match="does not keep packed examples apart"):
        check_packing(causal_model, draw_examples())
