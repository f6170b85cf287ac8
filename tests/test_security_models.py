"""A model or an adapter from a stranger: numbers and texts are read, and nothing in its folder is run."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from types import SimpleNamespace

import pytest

from tasksel.causal_model import find_adapter_folder, load_model
from tasksel.causal_model_trust import refuse_foreign_files
from tasksel.engines.vllm_loading import load_llm
from tasksel.evaluation_harness import run_harness_task
from tasksel.prompt_encoding import PromptEncoder
from tasksel.sentence_embedding import load_sentence_model
from tasksel_core.errors import ConfigError

pytest.importorskip("transformers", reason="the extra hf is not installed")


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """Give a copy of a tiny model, to be made hostile."""
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


@pytest.fixture
def ran(tmp_path):
    """Give the file that is there once something hostile ran."""
    return tmp_path / "it-ran"


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def bring_code(folder, ran, *, model_type):
    (folder / "brought.py").write_text(
        f"open({str(ran)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class Config(LlamaConfig):\n    model_type = 'brought'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
        "class Tokenizer(PreTrainedTokenizerFast): pass\n"
    )
    classes = {
        "AutoConfig": "brought.Config",
        "AutoModel": "brought.Model",
        "AutoModelForCausalLM": "brought.Model",
    }
    change(folder / "config.json", auto_map=classes, model_type=model_type)


LOADERS = {"causal": load_model, "sentence": load_sentence_model}


@pytest.mark.parametrize("loader", LOADERS)
def test_code_of_a_model_is_not_run(folder, ran, loader):
    bring_code(folder, ran, model_type="brought")
    with pytest.raises(ConfigError, match="tasksel never runs the code of a model"):
        LOADERS[loader](str(folder))
    assert not ran.exists()


def test_code_beside_a_known_architecture_is_not_run(folder, ran):
    bring_code(folder, ran, model_type="llama")
    assert type(load_model(str(folder), device="cpu").model).__module__.startswith("transformers.")
    assert not ran.exists()


def test_code_of_a_tokenizer_is_not_run(folder, ran):
    bring_code(folder, ran, model_type="llama")
    change(
        folder / "tokenizer_config.json",
        tokenizer_class="Tokenizer",
        auto_map={"AutoTokenizer": [None, "brought.Tokenizer"]},
    )
    with pytest.raises(ConfigError, match="tasksel never runs the code of a model"):
        load_model(str(folder))
    assert not ran.exists()


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def pickled(folder, ran):
    """Give a model whose only weights are pickled, with something to run among them."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(ran)))
    return folder


@pytest.mark.parametrize("loader", LOADERS)
def test_pickled_weights_are_not_opened(pickled, ran, loader):
    with pytest.raises(ConfigError, match="no weights in safetensors"):
        LOADERS[loader](str(pickled))
    assert not ran.exists()


def test_nor_are_they_handed_to_another_library(pickled, ran, monkeypatch):
    monkeypatch.setattr("tasksel.engines.vllm_loading.import_vllm", lambda: None)
    with pytest.raises(ConfigError, match="no weights in safetensors"):
        load_llm(str(pickled), adapter=None, options={})
    assert not ran.exists()


@pytest.mark.parametrize(
    "key",
    [
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
    ],
)
@pytest.mark.parametrize(
    "value", ["someone/kernel", "kernels-community/flash-attn@main:run", {"": "someone/kernel"}]
)
def test_an_attention_from_the_hub_is_code(folder, key, value):
    """transformers fetches and imports it, by the configuration alone, where `kernels` is installed."""
    change(folder / "config.json", **{key: value})
    with pytest.raises(ConfigError, match=r"names code on the hub \('.*kernel"):
        refuse_foreign_files("m", folder)
    change(folder / "config.json", **{key: "sdpa"}, text_config={key: [{key: value}]})
    with pytest.raises(ConfigError, match="names code on the hub"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/../../b", "..\\b", "C:b", ".."])
def test_weights_stand_in_the_folder_of_the_model(folder, name):
    """Elsewhere they would not be part of the hash by which a run knows its model."""
    index = {"metadata": {}, "weight_map": {"lm_head.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match="names weights outside of its folder"):
        load_model(str(folder))


@pytest.fixture
def adapter(tmp_path, ran):
    """Give the folder of an adapter, whose weights nobody reads here, with pickled ones beside them."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(ran)))
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "XLORA", "adapters": {"0": "someone/adapter"}},
        {"peft_type": "MULTITASK_PROMPT_TUNING", "prompt_tuning_init_state_dict_path": "/etc/passwd"},
        {"peft_type": None},
        {"megatron_config": {}, "megatron_core": "brought"},
    ],
    ids=["other-adapters", "other-files", "nothing", "modules"],
)
def test_an_adapter_that_is_more_than_weights_is_refused(adapter, ran, changes):
    change(adapter / "adapter_config.json", **changes)
    with pytest.raises(ConfigError, match=r"of the kind|names modules of Python"):
        find_adapter_folder(str(adapter))
    assert not ran.exists()


def test_the_base_that_an_adapter_names_is_neither_read_nor_fetched(adapter, ran, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("it was fetched"))
    change(
        adapter / "adapter_config.json",
        base_model_name_or_path="../../etc",
        auto_mapping={"parent_library": "os"},
    )
    assert find_adapter_folder(str(adapter)) == adapter
    with pytest.raises(ConfigError, match="It holds an adapter"):
        load_model(str(adapter))
    assert not ran.exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{% set _ = messages.append(1) %}",
        "{% for _ in range(10000000) %}a{% endfor %}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ raise_exception('no') }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_chat_template_is_filled_in_a_sandbox(folder, template):
    """It is a program, and gets no further than text: what it may not do is one sentence."""
    (folder / "chat_template.jinja").write_text(template)
    causal_model = load_model(str(folder), device="cpu")
    with pytest.raises(ConfigError, match=r"chat template fails on a single user message"):
        PromptEncoder(causal_model, prompt_template=None, max_new_tokens=4)


def test_a_chat_template_that_waits_for_its_prompt_is_one_sentence_too(folder):
    text = "{% if 'magic' in messages[0].content %}{{ 1 / 0 }}{% endif %}{{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(text)
    encoder = PromptEncoder(load_model(str(folder), device="cpu"), prompt_template=None, max_new_tokens=4)
    with pytest.raises(ConfigError, match=r"chat template fails on a single user message \(division by zero"):
        encoder.encode(["a prompt", "the magic word"])


def test_a_harness_gets_a_model_only_after_the_same_look(pickled, monkeypatch):
    tasks = SimpleNamespace(TaskManager=lambda **_: SimpleNamespace(all_tasks=["piqa"]))
    harness = SimpleNamespace(tasks=tasks, simple_evaluate=lambda **_: pytest.fail("it was handed over"))
    monkeypatch.setitem(sys.modules, "lm_eval", harness)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", tasks)
    with pytest.raises(ConfigError, match="no weights in safetensors"):
        run_harness_task("piqa", model=str(pickled))
