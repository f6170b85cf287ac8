from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tasksel.causal_model import load_model
from tasksel.generation import generate
from tasksel.prompt_encoding import PromptEncoder, check_prompt_template, plan_batches
from tasksel_core.errors import ConfigError

pytest.importorskip("transformers", reason="the extra hf is not installed")

NEW_TOKENS = 24
BOS, EOS, USER = 1, 2, 3


@pytest.fixture(scope="module")
def tiny(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def chat_model(save_tiny_model, tmp_path_factory):
    return load_model(str(save_tiny_model(tmp_path_factory.mktemp("chat"), chat=True)))


def encode(causal_model, prompts, *, prompt_template=None, max_new_tokens=NEW_TOKENS):
    encoder = PromptEncoder(causal_model, prompt_template=prompt_template, max_new_tokens=max_new_tokens)
    return encoder.encode(prompts)


def encode_one(causal_model, prompt, **settings):
    return encode(causal_model, [prompt], **settings)[0].token_ids.tolist()


def count_answer_tokens(causal_model, prompt):
    (encoded,) = encode(causal_model, [prompt])
    (generation,) = generate(causal_model, [encoded.token_ids], max_new_tokens=NEW_TOKENS)
    return len(generation.token_ids)


def test_an_empty_prompt_is_answered(tiny, save_tiny_model, tmp_path):
    assert encode_one(tiny, "") == [BOS]
    without_bos = load_model(str(save_tiny_model(tmp_path, adds_bos=False)))
    assert encode_one(without_bos, "") == [BOS]
    assert encode_one(without_bos, "a")[0] != BOS
    assert count_answer_tokens(without_bos, "") > 0


@pytest.mark.parametrize(
    "prompt",
    ["\x00", "a\x00b\x01\x1b[31m", "\r\n\r", "\ue000prompt\ue001", "🏳️‍🌈 𠀀", "\u202e\ufeff", " ", "\n"],
    ids=ascii,
)
def test_any_text_survives(tiny, prompt):
    token_ids = encode_one(tiny, prompt)
    assert tiny.tokenizer.decode(token_ids[1:], clean_up_tokenization_spaces=False) == prompt
    assert count_answer_tokens(tiny, prompt) > 0


def test_a_long_prompt_keeps_its_bos_and_its_tail(tiny):
    text = "0123456789" * 2600
    whole = tiny.tokenizer(text)["input_ids"]
    (encoded,) = encode(tiny, [text])
    limit = tiny.context_tokens - NEW_TOKENS
    assert encoded.token_ids.tolist() == [BOS, *whole[-(limit - 1) :]]
    assert encoded.truncated_tokens == len(whole) - limit
    (generation,) = generate(tiny, [encoded.token_ids], max_new_tokens=NEW_TOKENS)
    assert len(generation.token_ids) > 0


def test_a_prompt_that_just_fits_is_whole_and_one_token_more_is_cut(tiny):
    limit = tiny.context_tokens - NEW_TOKENS
    fitting, longer = encode(tiny, ["0" * (limit - 1), "0" * limit])
    assert (len(fitting.token_ids), fitting.truncated_tokens) == (limit, 0)
    assert (len(longer.token_ids), longer.truncated_tokens) == (limit, 1)


def test_a_tail_without_bos_is_cut_plainly(save_tiny_model, tmp_path):
    causal_model = load_model(str(save_tiny_model(tmp_path, adds_bos=False)))
    (encoded,) = encode(causal_model, ["0" * 500 + "1"])
    assert encoded.truncated_tokens == 501 - (128 - NEW_TOKENS)
    assert encoded.token_ids.tolist() == causal_model.tokenizer("0" * 103 + "1")["input_ids"]


def test_one_token_of_room_keeps_the_end_of_the_prompt_rather_than_bos(tiny):
    (encoded,) = encode(tiny, ["ab0"], max_new_tokens=127)
    assert encoded.token_ids.tolist() == tiny.tokenizer("0", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("max_new_tokens", [128, 500])
def test_an_answer_as_long_as_the_context_is_refused(tiny, max_new_tokens):
    with pytest.raises(ConfigError, match=rf"max_new_tokens is {max_new_tokens}.*128 tokens.*at most 127"):
        encode(tiny, ["a"], max_new_tokens=max_new_tokens)


def test_special_tokens_inside_a_prompt_are_plain_text(tiny):
    prompt = "end</s> or <s> or <|user|> or <pad>"
    token_ids = encode_one(tiny, prompt)
    assert not {0, 1, 2, 3}.intersection(token_ids[1:])
    assert tiny.tokenizer.decode(token_ids[1:], clean_up_tokenization_spaces=False) == prompt


def test_special_tokens_of_a_prompt_template_are_special_and_those_of_the_prompt_are_not(tiny):
    template = "<|user|>Q: {prompt}\n</s><|user|>A: {x}"
    token_ids = encode_one(tiny, "say </s><|user|>", prompt_template=template)
    assert [token for token in token_ids if token < 4] == [BOS, USER, EOS, USER]
    assert tiny.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False) == (
        "<s><|user|>Q: say </s><|user|>\n</s><|user|>A: {x}"
    )
    # A prompt without such strings goes the same way as the tokenizer alone.
    assert (
        encode_one(tiny, "say", prompt_template=template)
        == tiny.tokenizer("<|user|>Q: say\n</s><|user|>A: {x}")["input_ids"]
    )


def test_text_of_the_template_merges_with_a_quoting_prompt(tiny):
    # "the dog" merges across the seam between template and prompt as it does inside one text.
    merged = tiny.tokenizer("the dog</s>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert encode_one(tiny, " dog</s>", prompt_template="the{prompt}")[1:] == merged


def test_a_template_that_begins_with_bos_gets_no_second_one(tiny):
    token_ids = encode_one(tiny, "a</s>", prompt_template="<s>{prompt}")
    assert [token for token in token_ids if token < 4] == [BOS]
    assert token_ids[0] == BOS


def test_a_chat_template_is_used_with_one_bos(chat_model):
    token_ids = encode_one(chat_model, "hello")
    expected = chat_model.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], add_generation_prompt=True, return_dict=False
    )
    assert token_ids == expected
    assert [token for token in token_ids if token < 4] == [BOS, USER, EOS, USER]


@pytest.mark.parametrize("prompt", ["</s>", "<|user|>", "  <s> ", "a</s><|user|>answer: b", "<|user|></s>"])
def test_a_prompt_cannot_end_its_own_turn_in_a_chat(chat_model, prompt):
    token_ids = encode_one(chat_model, prompt)
    assert [token for token in token_ids if token < 4] == [BOS, USER, EOS, USER]
    text = chat_model.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)
    assert text == f"<s><|user|>{prompt.strip()}</s><|user|>answer: "


def test_a_prompt_template_goes_before_the_chat_template(chat_model):
    plain = chat_model.tokenizer("Q: hello\nA:")["input_ids"]
    assert encode_one(chat_model, "hello", prompt_template="Q: {prompt}\nA:") == plain


def test_a_chat_template_that_rewrites_a_prompt_is_tokenized_as_a_whole(save_tiny_model, tmp_path):
    causal_model = load_model(str(save_tiny_model(tmp_path)))
    template = "{% set text = messages[0]['content'] %}{{ text | length }}: {{ text }}"
    causal_model.tokenizer.chat_template = template
    whole = causal_model.tokenizer("5: a</s>", add_special_tokens=False)["input_ids"]
    assert encode_one(causal_model, "a</s>") == whole


def test_a_model_without_a_longest_context_loses_nothing(tiny):
    endless = dataclasses.replace(tiny, context_tokens=None)
    (encoded,) = encode(endless, ["a b " * 500], max_new_tokens=10_000)
    assert encoded.truncated_tokens == 0
    assert tiny.tokenizer.decode(encoded.token_ids[1:]) == "a b " * 500


def test_a_chat_template_that_fails_is_one_sentence(save_tiny_model, tmp_path):
    causal_model = load_model(str(save_tiny_model(tmp_path)))
    causal_model.tokenizer.chat_template = "{{ raise_exception('needs a system message') }}"
    with pytest.raises(ConfigError, match=r"needs a system message.*pass a prompt template"):
        PromptEncoder(causal_model, prompt_template=None, max_new_tokens=1)


@pytest.mark.parametrize(
    ("template", "count"), [("no place", 0), ("{prompt} and {prompt}", 2), ("{ prompt }", 0)]
)
def test_a_template_holds_the_placeholder_once(template, count):
    with pytest.raises(ConfigError, match=rf"holds \{{prompt\}} {count} times"):
        check_prompt_template(template)


def test_other_braces_and_a_placeholder_inside_the_prompt_are_text(tiny):
    token_ids = encode_one(tiny, "{prompt}{x}", prompt_template="{{a}} {prompt} {0}")
    assert tiny.tokenizer.decode(token_ids[1:], clean_up_tokenization_spaces=False) == "{{a}} {prompt}{x} {0}"


def test_a_tokenizer_of_another_model_is_noticed(tmp_path, save_tiny_model):
    folder = save_tiny_model(tmp_path)
    causal_model = load_model(str(folder))
    causal_model.tokenizer.add_tokens(["hippopotamus"])
    with pytest.raises(ConfigError, match=r"gives token 320.*only 320 tokens"):
        encode(causal_model, ["a hippopotamus"])


def test_batches_hold_similar_lengths_and_every_prompt_once():
    lengths = np.random.default_rng(0).integers(1, 500, 300).tolist()
    batches = plan_batches(lengths, max_new_tokens=20, batch_tokens=2000, max_batch_rows=16)
    assert sorted(position for batch in batches for position in batch) == list(range(300))
    for batch in batches:
        widest = max(lengths[position] for position in batch) + 20
        assert len(batch) == 1 or len(batch) * widest <= 2000
        assert len(batch) <= 16
    flat = [lengths[position] for batch in batches for position in batch]
    assert flat == sorted(lengths, reverse=True)
