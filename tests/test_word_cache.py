from __future__ import annotations

import copy
import gc
from pathlib import Path

import pytest

from tasksel.causal_model import find_model_folder
from tasksel.toy_world import make_toy_pool
from tasksel.word_cache import without_word_cache

tokenizers = pytest.importorskip("tokenizers", reason="the extra hf is not installed")

N_TOKENIZERS = 40
STATUS = Path("/proc/self/status")


def anonymous_kib():
    gc.collect()
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1])


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.Tokenizer.from_file(str(find_model_folder("demo") / "tokenizer.json"))


def test_tokens_are_the_same(tokenizer):
    other = without_word_cache(copy.deepcopy(tokenizer))
    for prompt in make_toy_pool(0, n_tasks=5, largest=10)["prompt"]:
        assert other.encode(prompt).ids == tokenizer.encode(prompt).ids


@pytest.mark.skipif(not STATUS.exists(), reason="/proc tells the memory of a process")
def test_tokenizers_that_are_dropped_leave_nothing_behind(tokenizer):
    """Without it forty of them, which each encoded 135 prompts, leave three megabytes."""
    prompts = make_toy_pool(0, n_tasks=12, largest=24, exponent=0.5)["prompt"].to_list()

    def encode():
        other = without_word_cache(copy.deepcopy(tokenizer))
        for prompt in prompts:
            other.encode(prompt)

    for _ in range(5):
        encode()
    before = anonymous_kib()
    for _ in range(N_TOKENIZERS):
        encode()
    assert anonymous_kib() - before < 1024


def test_others_are_left_as_they_are():
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    assert without_word_cache(words) is words
    assert without_word_cache("no tokenizer") == "no tokenizer"
