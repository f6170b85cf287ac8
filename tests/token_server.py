"""A real server with real logprobs: tiny models behind OpenAI's protocol, in the dialects of several servers.

Run as a script it serves ``NAME=FOLDER …`` on the loopback and ends with its parent. The path of a base URL
is ``/REALM/DIALECT/v1``: a realm has counts and faults of its own, so that tests can share the process.
"""

from __future__ import annotations

import http.client
import http.server
import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest

DIALECTS = ("vllm", "llama_cpp", "openai")
MOST_LISTED = {"vllm": 20, "llama_cpp": 1000, "openai": 20}
OWNERS = {"vllm": "vllm", "llama_cpp": "llamacpp", "openai": "openai"}
OPENAI_FIELDS = frozenset(
    {
        "model",
        "prompt",
        "messages",
        "temperature",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
    }
)


# Models


@dataclass
class Written:
    """What a model wrote, token by token."""

    prompt_tokens: int
    token_ids: list[int]
    logprobs: list[float]
    listed: list[list[tuple[int, float]]]
    text: str
    finish: str


class RefusedError(Exception):
    """The status and the sentence of a refusal."""


class ServedModel:
    """A model in a folder that answers one prompt at a time."""

    def __init__(self, folder):
        import torch

        from tasksel.causal_model import load_model

        torch.set_num_threads(1)
        self.causal_model = load_model(folder, device="cpu")
        self.lock = threading.Lock()

    def encode(self, body):
        tokenizer = self.causal_model.tokenizer
        if "messages" not in body:
            return tokenizer(body["prompt"])["input_ids"]
        if not tokenizer.chat_template:
            raise RefusedError(400, "This model has no chat template.")
        rendered = tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        return tokenizer(rendered, add_special_tokens=False)["input_ids"]

    def write(self, body, top_k):
        with self.lock:
            prompt_ids = self.encode(body)
            return self.continue_prompt(
                prompt_ids, body.get("max_completion_tokens") or body["max_tokens"], top_k
            )

    def continue_prompt(self, prompt_ids, max_tokens, top_k):
        import torch

        model, context_tokens = self.causal_model.model, self.causal_model.context_tokens
        if not prompt_ids:
            raise RefusedError(400, "The decoder prompt cannot be empty.")
        if len(prompt_ids) >= context_tokens:
            raise RefusedError(
                400,
                f"This model's maximum context length is {context_tokens} tokens. However, your prompt "
                f"contains {len(prompt_ids)} input tokens.",
            )
        max_tokens = min(max_tokens, context_tokens - len(prompt_ids))  # vLLM says nothing of it either
        ids, logprobs, listed, cache, finish = [], [], [], None, "length"
        inputs = torch.tensor([prompt_ids])
        with torch.inference_mode():
            while len(ids) < max_tokens:
                out = model(input_ids=inputs, past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                distribution = out.logits[0, -1].float().log_softmax(-1)
                best = distribution.topk(min(top_k, len(distribution)))
                listed.append(list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
                ids.append(listed[-1][0][0])
                logprobs.append(listed[-1][0][1])
                if ids[-1] in self.causal_model.eos_ids:
                    finish = "stop"
                    break
                inputs = torch.tensor([[ids[-1]]])
        return Written(len(prompt_ids), ids, logprobs, listed, self.decode(ids), finish)

    def decode(self, ids, *, skip=True):
        return self.causal_model.tokenizer.decode(
            ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False
        )


# Dialects


def render(dialect, model, body, written):
    """Give the reply of a completion or a chat as the server of that dialect would."""
    steps = list(zip(written.token_ids, written.logprobs, written.listed, strict=True))
    eos_ids = model.causal_model.eos_ids
    if dialect == "openai" and written.finish == "stop":
        steps = steps[:-1]

    def name(token_id):
        if dialect == "vllm" and body.get("return_tokens_as_token_ids"):
            return f"token_id:{token_id}"
        if dialect == "llama_cpp" and token_id in eos_ids:
            return ""
        return model.decode([token_id], skip=False)

    def entry(token_id, logprob):
        found = {"token": name(token_id), "logprob": logprob, "bytes": list(name(token_id).encode())}
        return found | ({"id": token_id} if dialect == "llama_cpp" else {})

    is_chat = "messages" in body
    if is_chat or dialect == "llama_cpp":
        logprobs = {
            "content": [
                entry(*step[:2]) | {"top_logprobs": [entry(*each) for each in step[2]]} for step in steps
            ]
        }
    else:
        logprobs = {
            "tokens": [name(step[0]) for step in steps],
            "token_logprobs": [step[1] for step in steps],
            "top_logprobs": [{name(token_id): number for token_id, number in step[2]} for step in steps],
            "text_offset": [0] * len(steps),
        }
    choice = {"index": 0, "logprobs": logprobs, "finish_reason": written.finish}
    choice |= (
        {"message": {"role": "assistant", "content": written.text}} if is_chat else {"text": written.text}
    )
    usage = {"prompt_tokens": written.prompt_tokens, "completion_tokens": len(written.token_ids)}
    reply = {"id": "x", "model": body["model"], "choices": [choice], "usage": usage}
    return reply | ({"system_fingerprint": "b1-test"} if dialect == "llama_cpp" else {})


def edit(reply, how):
    """Damage a reply as a server that is set up wrongly would."""
    choice = reply["choices"][0]
    if how == "no_logprobs":
        choice["logprobs"] = None
    elif how == "positive":
        negate(choice["logprobs"])
    elif how == "no_choices":
        reply["choices"] = []
    elif how == "content_filter":
        choice["finish_reason"] = "content_filter"
    elif how == "ends":
        choice["finish_reason"] = "stop"
    elif how == "lacks_tokens":
        reply["usage"]["completion_tokens"] += 2
    return reply


def negate(node):
    """Turn every logprob of a reply round."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, float):
            node[key] = -value
        elif isinstance(value, (dict, list)):
            negate(value)


# The server


@dataclass
class Realm:
    """What one test asked for, and what its requests were."""

    faults: list[dict] = field(default_factory=list)
    always: dict = field(default_factory=dict)
    poison: dict[str, dict] = field(default_factory=dict)
    prompts: Counter = field(default_factory=Counter)
    requests: int = 0
    under_way: int = 0
    most_under_way: int = 0
    headers: list[dict] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

    def told(self):
        return {
            "prompts": self.prompts,
            "requests": self.requests,
            "most_under_way": self.most_under_way,
            "headers": self.headers,
            "bodies": self.bodies,
            "connections": len(self.connections),
        }


class TokenServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, models):
        super().__init__(("127.0.0.1", 0), TokenHandler)
        self.models = models
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.realms = defaultdict(Realm)

    def handle_error(self, request, client_address):
        """Say nothing of clients that were killed."""


class TokenHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.number = next(self.server.numbers)

    def do_GET(self):
        realm, rest = self.route()
        if rest == ["control"]:
            with self.server.lock:
                self.say(200, realm.told())
        elif rest[1:] == ["v1", "models"] and not realm.always.get("has_no_list"):
            data = [{"id": name, "owned_by": OWNERS[rest[0]]} for name in self.server.models]
            self.say(200, {"object": "list", "data": data})
        elif rest == ["vllm", "version"]:
            self.say(200, {"version": "0.0.test"})
        else:
            self.say(404, {"error": "no such path"})

    def do_POST(self):
        realm, rest = self.route()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if rest == ["control"]:
            with self.server.lock:
                for name, value in body.items():
                    setattr(realm, name, value)
            self.say(200, {})
            return
        with self.server.lock:
            prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            realm.prompts[prompt] += 1
            realm.requests += 1
            realm.headers.append({name.lower(): value for name, value in self.headers.items()})
            realm.bodies.append(body)
            realm.connections.add(self.number)
            realm.under_way += 1
            realm.most_under_way = max(realm.most_under_way, realm.under_way)
            fault = dict(realm.always)
            fault |= next((each for text, each in realm.poison.items() if text in prompt), {})
            fault |= realm.faults.pop(0) if realm.faults else {}
        try:
            self.answer(rest, body, fault)
        finally:
            with self.server.lock:
                realm.under_way -= 1

    def route(self):
        parts = [urllib.parse.unquote(part) for part in self.path.split("/") if part]
        return self.server.realms[parts[0]], parts[1:]

    def answer(self, rest, body, fault):
        time.sleep(fault.get("delay_s", 0.0))
        if "status" in fault:
            self.say(fault["status"], fault.get("content", {}), **fault.get("headers", {}))
            return
        try:
            reply = self.make_reply(rest[0], "/".join(rest[1:]), body)
        except RefusedError as error:
            self.say(error.args[0], {"error": {"message": error.args[1]}})
            return
        self.say(200, edit(reply, fault.get("edit")), is_cut=bool(fault.get("cut")))

    def make_reply(self, dialect, path, body):
        if path != ("v1/chat/completions" if "messages" in body else "v1/completions"):
            raise RefusedError(404, f"There is no {path}.")
        if body["model"] not in self.server.models:
            raise RefusedError(404, f"There is no model {body['model']}.")
        if dialect == "openai" and (unknown := body.keys() - OPENAI_FIELDS):
            raise RefusedError(400, f"Unrecognized request argument: {min(unknown)}")
        assert body["temperature"] == 0.0
        top_k = body.get("top_logprobs", 1) if "messages" in body else body["logprobs"]
        most = 5 if dialect == "openai" and "prompt" in body else MOST_LISTED[dialect]
        if top_k > most:
            raise RefusedError(400, f"Requested {top_k} logprobs, of which {most} are allowed.")
        model = self.server.models[body["model"]]
        return render(dialect, model, body, model.write(body, top_k))

    def say(self, status, content, *, is_cut=False, **headers):
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text[: len(text) // 2] if is_cut else text)
        self.close_connection = self.close_connection or is_cut

    def log_message(self, *_):
        pass


def main(arguments):
    models = {name: ServedModel(folder) for name, folder in (each.split("=", 1) for each in arguments)}
    server = TokenServer(models)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


# What tests see of it


class RunningServer:
    """The server in a process of its own; ends with this one whatever happens."""

    running = None

    def __init__(self, models):
        command = [sys.executable, __file__, *(f"{name}={folder}" for name, folder in models.items())]
        self.models = models
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"

    def stop(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def realm(self, name):
        return ServedRealm(self, urllib.parse.quote(name, safe=""))


@dataclass
class ServedRealm:
    """One test's part of the server."""

    server: RunningServer
    name: str

    def url(self, dialect="vllm"):
        return f"{self.server.url}/{self.name}/{dialect}/v1"

    def play(self, **script):
        """Set ``faults`` (one a request), ``always`` or ``poison`` (by a part of the prompt)."""
        self._control("POST", script)

    def told(self):
        return self._control("GET", None)

    def _control(self, method, content):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.server.url).netloc, timeout=30)
        try:
            connection.request(method, f"/{self.name}/control", body=content and json.dumps(content))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def running_server(save_tiny_model, tmp_path_factory):
    """Serve three models: one without a template, one with it, and the one inside the package.

    Test modules import this fixture; the first of them starts the process and stops it at the end.
    """
    if RunningServer.running is not None:
        yield RunningServer.running
        return
    folder = tmp_path_factory.mktemp("served")
    server = RunningServer(
        {
            "tiny": save_tiny_model(folder / "tiny"),
            "chatty": save_tiny_model(folder / "chatty", seed=1, chat=True, end_scale=2.0),
            "demo": "demo",
        }
    )
    RunningServer.running = server
    yield server
    RunningServer.running = None
    server.stop()


@pytest.fixture
def served(running_server, request, monkeypatch):
    """Give a realm of this test's own, and short pauses."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("tasksel.endpoint._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("tasksel.request_pacing._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("tasksel.engines.openai_sending._FIRST_PAUSE_S", 0.01)
    return running_server.realm(request.node.nodeid)


if __name__ == "__main__":
    main(sys.argv[1:])
