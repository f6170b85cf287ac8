"""The part of Label Studio's HTTP API that is used, on the loopback, with failures by script.

The real one is met in tests/integration/test_label_studio.py; here are the things that it does not do on
demand: lost replies, 429, expired access tokens, redirects.
"""

from __future__ import annotations

import http.server
import json
import threading
import urllib.parse

LEGACY_KEY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL_KEY = "eyJhbGciOi.J0eXBlIjoicmVmcmVzaC-planted.c2lnbmF0dXJl"
ACCESS = "eyJhbGciOi.access-planted-{}.c2ln"


class ScriptedLabelStudio(http.server.ThreadingHTTPServer):
    """Keeps projects and tasks; `script` maps a path's beginning to what happens to the next requests for it.

    A step is a status, ``"lost"`` (the request is carried out, the reply is not sent), ``"unheard"``
    (neither), ``"garbage"``, or ``"page"``, a refusal that is no JSON.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.projects = {}
        self.tasks = {}
        self.views = []
        self.script = {}
        self.seen = []
        self.access_number = 0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def next_step(self, path):
        for beginning, steps in self.script.items():
            if path.startswith(beginning) and steps:
                return steps.pop(0)
        return None

    def annotate(self, project, answers):
        """Let annotator 1 answer the tasks whose prompt's id is in `answers`."""
        for number, task in enumerate(self.tasks[project], start=1):
            text = answers.get(task["data"].get("id"))
            if text is not None:
                result = [{"from_name": "response", "type": "textarea", "value": {"text": [text]}}]
                task["annotations"] = [{"id": number, "completed_by": 1, "result": result}]

    def handle_error(self, request, client_address):
        """Say nothing about connections that the client closed."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(None)

    def do_POST(self):
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, body):
        parts = urllib.parse.urlsplit(self.path)
        with self.server.lock:
            self.server.seen.append((self.command, parts.path, self.headers.get("Authorization")))
            step = self.server.next_step(parts.path)
            if isinstance(step, int):
                return self._send(step, {"detail": f"by script, with {self.headers.get('Authorization')}"})
            if step == "unheard":
                return self._drop()
            if step == "garbage":
                return self._send(200, None)
            if step == "page":
                return self._send(400, None)
            status, content = self._carry_out(parts.path, dict(urllib.parse.parse_qsl(parts.query)), body)
        if step == "lost":
            return self._drop()
        return self._send(status, content)

    def _drop(self):
        self.close_connection = True
        self.connection.close()

    def _send(self, status, content):
        raw = b"<html>" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _carry_out(self, path, query, body):
        server = self.server
        if path == "/api/token/refresh/":
            if body["refresh"] != PERSONAL_KEY:
                return 401, {"detail": "Token is invalid"}
            server.access_number += 1
            return 200, {"access": ACCESS.format(server.access_number)}
        allowed = (f"Token {LEGACY_KEY}", f"Bearer {ACCESS.format(server.access_number)}")
        if self.headers.get("Authorization") not in allowed:
            return 401, {"detail": "Invalid token."}
        return self._projects(path, query, body)

    def _projects(self, path, query, body):
        server = self.server
        if path == "/api/projects/" and body is None:
            found = list(server.projects.values())
            first = (int(query["page"]) - 1) * 1
            return 200, {"count": len(found), "results": found[first : first + 1]}
        if path == "/api/projects/":
            number = len(server.projects) + 1
            server.projects[number] = {**body, "id": number}
            server.tasks[number] = []
            return 201, server.projects[number]
        if path == "/api/dm/views/":
            if body is not None:
                server.views.append(body)
            return 200, server.views
        if path == "/api/tasks":
            return self._page(int(query["project"]), int(query["page"]), int(query["page_size"]))
        number = int(path.split("/")[3])
        if number not in server.projects:
            return 404, {"detail": "No Project matches the given query."}
        if path.endswith("/import"):
            first = len(server.tasks[number]) + 1
            server.tasks[number] += [
                {"annotations": [], **each, "id": first + n} for n, each in enumerate(body)
            ]
            return 201, {"task_count": len(body)}
        return 200, server.projects[number]

    def _page(self, project, page, size):
        tasks = self.server.tasks.get(project)
        if tasks is None:
            return 404, {"detail": "No Project matches the given query."}
        if page > 1 and (page - 1) * size >= len(tasks):
            return 404, {"detail": "Invalid page."}
        return 200, {"total": len(tasks), "tasks": tasks[(page - 1) * size : page * size]}
