"""A real server on the loopback that plays a provider by script, and planned run folders for it."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from dataclasses import dataclass

import polars as pl

from tasksel.run_folder import write_json
from tasksel.synthesis.config_file import config_content, parse_config

KEY = "sk-planted-secret-of-the-test"
SCHEMA = {
    "type": "object",
    "required": ["text", "rating"],
    "properties": {
        "text": {"type": "string", "minLength": 10, "maxLength": 2000},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
    },
}


def make_config(url="http://127.0.0.1:9/v1", **changes):
    """Give the content of a configuration: 2 x 2 strata and a dimension."""
    content = {
        "total": 20,
        "seed": 0,
        "instructions": "Write reviews of a shop.",
        "tiers": [8],
        "strata": {"allocate": "equal", "levels": {"product": ["phone", "watch"], "rating": ["1", "5"]}},
        "dimensions": {"tone": {"values": {"calm": 0.5, "angry": 0.5}, "description": "of the customer"}},
        "schema": SCHEMA,
        "record": {"prompt": "{text}", "response": "{rating}"},
        "model": {"provider": "openai", "model": "scripted", "base_url": url, "timeout_s": 5.0},
        "request": {"items": 3},
        "limits": {"concurrency": 4},
    }
    return {**content, **changes}


def write_plan(run, content, *, edges=None):
    """Write RUN/plan as `tasksel synth plan` does: strata in turn, tiers as prefixes."""
    config = parse_config(content, name="reviews", folder=run)
    plan = run / "plan"
    plan.mkdir(parents=True, exist_ok=True)
    strata = [(product, rating) for product in config.strata.levels["product"] for rating in ("1", "5")]
    tones = list(config.dimensions[0].values) if config.dimensions else []
    rows = []
    for number in range(config.total):
        product, rating = strata[number % len(strata)]
        row = {
            "plan_id": f"s-{number + 1:06}",
            "tier": next(tier for tier in config.tiers if number < tier),
            "stratum": f"{product}/{rating}",
            "product": product,
            "rating": rating,
            "edge": (edges or {}).get(number),
        }
        for each in config.dimensions:
            row[each.name] = list(each.values)[number // len(strata) % len(each.values)]
        rows.append(row)
    assert tones or not config.dimensions
    frame = pl.DataFrame(rows, schema_overrides={"edge": pl.String})
    frame.write_parquet(plan / "examples.parquet")
    write_json(plan / "config.json", config_content(config))
    write_json(plan / "manifest.json", {"format_version": 1})
    return run


@dataclass
class Asked:
    """What a request asks for, as a model would read it."""

    values: list
    is_correction: bool
    text: str
    body: dict

    @property
    def items(self):
        """The items that a good model writes: alike for alike requests, and no two alike."""
        return [
            {"text": f"{each['product']} review {self.mark(number)}", "rating": int(each["rating"])}
            for number, each in enumerate(self.values)
        ]

    def mark(self, number):
        return hashlib.sha256(f"{self.text}{number}".encode()).hexdigest()[:12]

    @property
    def dice(self):
        """A number from 0 to 1 that this request always has."""
        return int(self.mark("dice"), 16) / 16**12


def read_request(body):
    turns = [turn["content"] for turn in body["messages"] if turn["role"] == "user"]
    values = [json.loads(found) for found in re.findall(r"^\d+\. (\{.*\})$", turns[0], re.MULTILINE)]
    if len(turns) > 1:
        numbers = [int(found) for found in re.findall(r"^- item (\d+):", turns[-1], re.MULTILINE)]
        values = [values[number - 1] for number in numbers]
    return Asked(values, len(turns) > 1, json.dumps(body["messages"]), body)


def completion(text, *, finish="stop", usage=(100, 40), **message):
    content = {"choices": [{"message": {"role": "assistant", "content": text, **message}}]}
    content["choices"][0]["finish_reason"] = finish
    if usage:
        content["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return json.dumps(content)


def good(asked):
    return 200, completion(json.dumps(asked.items))


class ScriptedProvider(http.server.ThreadingHTTPServer):
    """`play` gives status, body and headers for each request; a number in place of a status hangs so long."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.play = good
        self.seen = []
        self.headers_seen = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.under_way = self.most_under_way = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def first_times(self, *once):
        """Play `once` for the first requests, one each, and be good from then on."""
        pending = list(once)

        def play(asked):
            with self.lock:
                now = pending.pop(0) if pending else good
            return now(asked) if callable(now) else now

        self.play = play

    def shutdown(self):
        self.closing.set()
        super().shutdown()

    def handle_error(self, request, client_address):
        """Say nothing of clients that were killed."""

    def serve(self):
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        return thread


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.seen.append((self.path, body))
            server.headers_seen.append(dict(self.headers))
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            status, text, *headers = server.play(read_request(body))
            if isinstance(status, float):
                server.closing.wait(status)
                return
        finally:
            with server.lock:
                server.under_way -= 1
        content = text.encode()
        self.send_response(status)
        for name, value in headers[0].items() if headers else ():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass
