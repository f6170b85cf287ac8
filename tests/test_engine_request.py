"""An engine by name: what it takes, what it needs, and its own options as text."""

import pytest

from tasksel.engines.request import EngineRequest
from tasksel_core.errors import ConfigError


@pytest.mark.parametrize(
    ("engine", "settings", "options", "sentence"),
    [
        ("hff", {}, {}, r"There is no engine 'hff'; allowed are hf, openai, vllm\."),
        ("openai", {"adapter": "a"}, {}, r"The engine openai takes no adapter; it takes .*base_url"),
        ("openai", {"records_hidden": True}, {}, r"The engine openai takes no embed_from; it takes "),
        ("openai", {"batch_tokens": 512}, {}, r"The engine openai takes no batch_tokens"),
        ("openai", {"max_new_tokens": 8}, {}, r"The engine openai needs base_url; it was not given\."),
        ("hf", {"base_url": "http://x"}, {}, r"The engine hf takes no base_url"),
        (
            "hf",
            {},
            {"timeout_s": "3"},
            r"no option 'timeout_s' of its own; it has: shares_prefix, static_cache",
        ),
        ("hf", {}, {"static_cash": "yes"}, r"'static_cash' .*static_cache.*Did you mean 'static_cache'"),
        (
            "hf",
            {},
            {"static_cache": "perhaps"},
            r"static_cache of the engine hf is 'perhaps', which cannot be",
        ),
        (
            "openai",
            {"base_url": "http://x"},
            {"timeout_s": "soon"},
            r"timeout_s .* is 'soon', which cannot be",
        ),
    ],
)
def test_what_an_engine_does_not_take_is_one_sentence(engine, settings, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        EngineRequest(engine, "none", settings, options).open()


def test_settings_that_nobody_gave_are_not_told():
    unsaid = {"batch_tokens": 8192, "device": "auto", "records_hidden": False, "adapter": None}
    request = EngineRequest(
        "openai", "none", {"base_url": "http://127.0.0.1:1/v1", **unsaid}, {"timeout_s": "3"}
    )
    assert request.open().close() is None


def test_an_engine_is_taken_as_it_is():
    made = object()
    assert EngineRequest(made, "none", {"batch_tokens": 1}).open() is made
