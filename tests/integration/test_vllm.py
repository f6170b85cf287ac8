"""A real vLLM: inside its own interpreter as an engine, and as a server on the loopback.

`TASKSEL_VLLM_PYTHON` names that interpreter; it needs what scripts/vllm_environment.py installs. It runs
on a CPU, where starting vLLM takes minutes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import vllm_stand_in
from tasksel.causal_model import load_model
from tasksel.engines.engine import ShardPrompts
from tasksel.engines.openai import OpenAIEngine
from tasksel.generation import generate
from tasksel.prompt_encoding import PromptEncoder

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("TASKSEL_VLLM_PYTHON")
NEW_TOKENS = 24
CONTEXT = 128
START_S = 900
PROMPTS = [*(f"prompt {number} " + "word " * (number % 9) for number in range(40)), "naïve 日本"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(PYTHON is None, reason="TASKSEL_VLLM_PYTHON names no interpreter with vLLM"),
]


@pytest.fixture(scope="module")
def environment():
    """Give the environment of vLLM's processes: little memory, no network, this checkout's packages."""
    return os.environ | {
        "PYTHONPATH": str(ROOT / "python"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def folder(save_tiny_model, tmp_path_factory):
    return vllm_stand_in.save_model(tmp_path_factory.mktemp("vllm-model"), save_tiny_model, chat=True)


@pytest.fixture(scope="module")
def causal_model(folder):
    return load_model(str(folder), device="cpu")


@pytest.fixture(scope="module")
def base_url(environment, folder, tmp_path_factory):
    """Serve the model; the server and its processes end with the tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    command += ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-num-seqs", "16", "--gpu-memory-utilization", "0.2"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    home = tmp_path_factory.mktemp("vllm-server")
    log = home / "log.txt"
    with log.open("wb") as output:
        # Its processes import what lies in the working directory.
        server = subprocess.Popen(command, env=environment, cwd=home, stdout=output, stderr=output)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(120)


def wait_for(url, server, log):
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        assert server.poll() is None, log.read_text(errors="replace")[-4000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(1.0)
    pytest.fail(f"The server did not start: {log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def answer(engine, prompts):
    found = {}
    for batch in engine.answer([ShardPrompts(0, prompts)], threading.Event()):
        found.update(zip(batch.positions, batch.answers, strict=True))
    return [found[position] for position in range(len(prompts))]


def expect(causal_model, prompts, template):
    encoder = PromptEncoder(causal_model, prompt_template=template, max_new_tokens=NEW_TOKENS)
    encoded = [prompt.token_ids for prompt in encoder.encode(prompts)]
    return encoded, generate(causal_model, encoded, max_new_tokens=NEW_TOKENS)


def test_the_engine_passes_its_tests_inside_vllm(environment):
    """All of them, the contract of engines and the comparison with transformers among them."""
    command = [PYTHON, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/test_engine_vllm.py"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("api", "template"), [("completions", "{prompt}"), ("chat", None)])
def test_the_server_measures_what_transformers_does(base_url, causal_model, api, template):
    engine = OpenAIEngine("tiny", base_url=base_url, api=api, max_new_tokens=NEW_TOKENS)
    start = engine.start()
    assert start.settings["includes_end_token"] is True
    assert start.settings["top_logprobs"] == 20
    assert start.versions["server"] == "vllm"
    answers = answer(engine, PROMPTS)
    encoded, expected = expect(causal_model, PROMPTS, template)
    for given, token_ids, generation in zip(answers, encoded, expected, strict=True):
        measured = given.generation
        assert given.refusal is None
        assert given.prompt_tokens == len(token_ids)
        assert measured.finish_reason == generation.finish_reason
        if measured.token_ids is not None:
            np.testing.assert_array_equal(measured.token_ids, generation.token_ids)
        np.testing.assert_allclose(measured.token_logprobs, generation.token_logprobs, atol=1e-4, rtol=0)
        np.testing.assert_allclose(measured.token_margin, generation.token_margin, atol=1e-4, rtol=0)
        assert (measured.token_entropy <= generation.token_entropy + 1e-4).all()
    engine.close()


def test_a_prompt_longer_than_the_context_is_refused_alone(base_url):
    engine = OpenAIEngine("tiny", base_url=base_url, max_new_tokens=NEW_TOKENS)
    too_long, short = answer(engine, ["too long " * CONTEXT, "short"])
    assert too_long.generation is None
    assert "maximum context length is 128 tokens" in too_long.refusal
    assert short.generation is not None
    engine.close()
