"""A model's server without discretion: whatever it answers or refuses quotes the key, in many notations."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import urllib.parse

KEY = "sk-pl4nted/+secret=of~the.test"
"""Holds what JSON, URLs and base64 write in ways of their own."""


def notations(secret):
    """Give a secret as others may write it: alone, or in base64 behind other characters."""
    raw = secret.encode()
    forms = {
        "plain": secret,
        "in JSON": json.dumps(secret)[1:-1],
        "in JSON, slashes escaped": json.dumps(secret)[1:-1].replace("/", "\\/"),
        "in a URL": urllib.parse.quote(secret, safe=""),
        "in a path": urllib.parse.quote(secret),
        "hexadecimal": raw.hex(),
        "HEXADECIMAL": raw.hex().upper(),
    }
    for name, encode in (("base64", base64.b64encode), ("base64 of URLs", base64.urlsafe_b64encode)):
        forms |= {f"{name} behind {n}": encode(b"a" * n + raw).decode() for n in range(3)}
    return forms


def traces(secret):
    """Give what of each notation tells the secret: in base64 the ends belong to its neighbours as well."""
    forms = notations(secret)
    return {name: form.rstrip("=")[4:-2] if "base64" in name else form for name, form in forms.items()}


def quoted(secret):
    """Quote a secret as a server might: in every notation, and with what a header has around it."""
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    # An escape is escaped once more where a model writes JSON inside a reply in JSON; no server does that.
    forms = [form for form in notations(secret).values() if "\\" not in form]
    return " | ".join([*forms, f"Bearer {secret}", basic])


class KeyEcho(http.server.ThreadingHTTPServer):
    """`say` makes the text of an answer from a request; `status` other than 200 refuses everything."""

    daemon_threads = True

    def __init__(self, say):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.say, self.status, self.keys = say, 200, []
        self.hangs_after = None
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        """Say nothing of clients that were killed."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(404, {"error": quoted(KEY)})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.keys.append(self.headers.get("Authorization"))
        if server.hangs_after is not None and len(server.keys) > server.hangs_after:
            server.closing.wait(60)
            return
        if server.status != 200:
            self.reply(server.status, {"error": {"message": quoted(KEY)}})
            return
        text = server.say(body)
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}, "text": text}
        if "prompt" in body:
            listed = [{"a": -0.5, "b": -1.5}]
            choice["logprobs"] = {
                "tokens": ["a"],
                "token_logprobs": [-0.5],
                "top_logprobs": listed,
                "text_offset": [0],
            }
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        told = {"system_fingerprint": quoted(KEY), "model": quoted(KEY)}
        self.reply(200, {"choices": [choice], "usage": usage, **told})

    def reply(self, status, content):
        raw = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Set-Cookie", urllib.parse.quote(KEY))
        self.send_header("X-Request-Id", KEY)
        self.send_header("WWW-Authenticate", f'Bearer realm="{KEY}"')
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass
