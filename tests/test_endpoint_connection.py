from __future__ import annotations

import http.client
import http.server
import json
import threading
import time

import pytest

from tasksel.endpoint import Endpoint, KeptConnection
from tasksel.endpoint_connection import HttpRequest, send_once


class Echo(http.server.BaseHTTPRequestHandler):
    """Tells what was posted; a path says how the reply ends."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        server = self.server
        with server.lock:
            server.clients.append(self.client_address)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = self.path.partition("?")[0].strip("/")
        text = json.dumps([self.command, self.path, content.decode()]).encode()
        self.send_response(307 if how == "redirect" else 500 if how == "fails" else 200)
        if how == "redirect":
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        if how == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n0\r\n\r\n")
            return
        if how == "until_closed":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(text) + 10 * (how == "cut")))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = how in ("cut", "until_closed", "drops")

    def log_message(self, *_):
        pass


@pytest.fixture
def echo(monkeypatch):
    """Serve echoes on the loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    server.lock, server.clients = threading.Lock(), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def request(echo, path, content=b"{}", timeout_s=5.0):
    url = f"http://127.0.0.1:{echo.server_address[1]}/{path}"
    return HttpRequest(url, {"Content-Type": "application/json"}, content, timeout_s)


PATHS = ["whole", "chunked", "until_closed", "fails", "redirect", "drops", "whole?a=b"]


@pytest.mark.parametrize("path", PATHS)
def test_a_kept_connection_tells_what_one_of_its_own_tells(echo, path):
    with KeptConnection() as connection:
        for content in (b"{}", None):
            alone = send_once(request(echo, path, content))
            assert connection.send(request(echo, path, content)) == alone
            command, seen, body = json.loads(alone.content)
            assert (command, seen, body) == (
                "GET" if content is None else "POST",
                f"/{path}",
                "" if content is None else "{}",
            )


def test_one_connection_serves_many_requests(echo):
    with KeptConnection() as connection:
        for path in ["whole", "chunked", "fails", "redirect", "whole"]:
            connection.send(request(echo, path))
        assert connection.is_open
    assert len(set(echo.clients)) == 1
    assert not connection.is_open


@pytest.mark.parametrize("path", ["drops", "until_closed"])
def test_a_connection_that_the_server_closed_is_replaced_before_the_next_request(echo, path):
    with KeptConnection() as connection:
        for _ in range(3):
            connection.send(request(echo, path))
            time.sleep(0.05)  # the server's end of the connection arrives
    assert len(echo.clients) == len(set(echo.clients)) == 3


def test_a_reply_that_is_cut_short_is_an_error_and_the_next_request_goes_on(echo):
    with KeptConnection() as connection:
        with pytest.raises(http.client.IncompleteRead):
            connection.send(request(echo, "cut"))
        assert connection.send(request(echo, "whole")).status == 200


def test_another_host_gets_another_connection(echo):
    with KeptConnection() as connection:
        connection.send(request(echo, "whole"))
        with pytest.raises(ConnectionRefusedError):
            connection.send(HttpRequest("http://127.0.0.1:9/", {}, None, 5.0))
        assert not connection.is_open


def test_a_proxy_of_the_environment_is_asked(echo, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{echo.server_address[1]}")
    with KeptConnection() as connection:
        reply = connection.send(HttpRequest("http://model.invalid/v1", {}, b"{}", 5.0))
    assert json.loads(reply.content)[1] == "http://model.invalid/v1"


def test_attempts_over_a_kept_connection_hide_the_key(echo, monkeypatch):
    secret = "sk-planted-secret-of-the-test"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    endpoint = Endpoint(f"http://127.0.0.1:{echo.server_address[1]}")
    with KeptConnection() as connection:
        reply = endpoint.attempt("whole", {"quoted": secret}, connection=connection).reply
    assert secret not in reply.body
    assert "***" in reply.body
