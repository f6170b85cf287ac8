"""Who is at the other end, and how long and how much it may talk."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from tasksel.annotation.label_studio_client import KEY_VARIABLE, LabelStudioClient, UnansweredError
from tasksel.endpoint import Endpoint, KeptConnection, check_base_url, check_key_variable
from tasksel.endpoint_connection import HttpRequest, send_once
from tasksel_core.errors import ConfigError, ProviderError

KEY = "sk-planted-secret-of-the-test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="there is no openssl to make certificates"
)


class RawServer:
    """A server on the loopback that gives each connection to a function; it keeps what it was sent."""

    def __init__(self, talk, context=None):
        self.talk, self.context = talk, context
        self.seen, self.closing = [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        try:
            if self.context is not None:
                client = self.context.wrap_socket(client, server_side=True)
            self.seen.append(hear(client))
            self.talk(client, self.closing)
        except OSError:
            pass
        finally:
            client.close()

    def close(self):
        self.closing.set()
        self.listener.close()


def hear(client):
    """Receive a request with its body, unless that is large; what nobody reads would reset the connection."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += client.recv(1 << 16) or b"\r\n\r\n"
    length = re.search(rb"Content-Length: (\d{1,4})\r\n", heard)
    wanted = heard.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(heard) < wanted:
        heard += client.recv(1 << 16) or b" " * wanted
    return heard


@pytest.fixture
def serve(monkeypatch):
    """Give the function that starts a server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers = []

    def start(talk, context=None):
        servers.append(RawServer(talk, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def say(*pieces, pause_s=0.0):
    """Give a talk that sends pieces, one after the other."""

    def talk(client, closing):
        for piece in pieces:
            client.sendall(piece)
            if closing.wait(pause_s):
                return

    return talk


def senders():
    """Give both ways in which a request travels."""
    yield send_once
    with KeptConnection() as connection:
        yield connection.send


def ask(server, sender, timeout_s=5.0, scheme="http", host="127.0.0.1"):
    return sender(HttpRequest(f"{scheme}://{host}:{server.port}/v1/x", {"Accept": "*/*"}, b"{}", timeout_s))


# Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Make a CA, and a certificate of it for ``localhost`` alone: a key and a chain in one file each."""
    folder = tmp_path_factory.mktemp("certificates")
    ca, own = folder / "ca.pem", folder / "own.pem"

    def make(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    make(*new, "-subj", "/CN=CA of a test", "-keyout", "ca.key", "-out", ca)
    name = (
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=CA:FALSE",
    )
    make(*new, *name, "-CA", ca, "-CAkey", "ca.key", "-keyout", "own.key", "-out", own)
    own.write_bytes(own.read_bytes() + (folder / "own.key").read_bytes())
    return ca, own


@pytest.fixture
def https(serve, certificates):
    """Serve https with a certificate that no system trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates[1])
    return serve(say(OK), context)


@openssl
def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_key_is_sent(https, monkeypatch):
    for sender in senders():
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(https, sender, scheme="https", host="localhost")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    attempt = Endpoint(f"https://localhost:{https.port}/v1").attempt("x", {})
    assert attempt.reply is None
    studio = LabelStudioClient(f"https://localhost:{https.port}")
    with studio, pytest.raises(UnansweredError, match="CERTIFICATE_VERIFY_FAILED"):
        studio.post("api/projects", {})
    assert not any(https.seen)


@openssl
def test_a_ca_of_the_environment_is_trusted_and_the_host_must_be_the_one_it_names(
    https, certificates, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    for sender in senders():
        assert ask(https, sender, scheme="https", host="localhost").status == 200
        with pytest.raises(OSError, match=r"certificate is not valid for '127\.0\.0\.1'"):
            ask(https, sender, scheme="https")


@openssl
def test_what_other_code_does_to_the_defaults_of_ssl_changes_nothing(https, monkeypatch):
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    for sender in senders():
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(https, sender, scheme="https", host="localhost")


# Time


DRIPS = {
    "status": [b"H"] * 100,
    "headers": [b"HTTP/1.1 200 OK\r\n", *[b"X-Drip: a\r\n"] * 90],
    "one header": [b"HTTP/1.1 200 OK\r\nX-Drip: ", *[b"a"] * 100],
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *[b"a"] * 100],
    "chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\na\r\n"] * 100],
    "chunk size": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"0"] * 100],
    "trailers": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", *[b"A: b\r\n"] * 90],
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 100,
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_drips_runs_into_the_timeout(serve, what):
    """Each piece comes in time; their sum would take ten seconds."""
    server = serve(say(*DRIPS[what], pause_s=0.1))
    started_s = time.monotonic()
    for sender in senders():
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(server, sender, timeout_s=0.35)
    assert time.monotonic() - started_s < 8, "nothing has stopped it"


def test_a_kept_connection_has_its_whole_time_for_every_request(serve):
    def talk(client, closing):
        for _ in range(4):
            closing.wait(0.3)
            client.sendall(OK[:20])
            closing.wait(0.1)
            client.sendall(OK[20:])
            hear(client)

    server = serve(talk)
    with KeptConnection() as connection:
        assert [ask(server, connection.send, timeout_s=0.8).status for _ in range(4)] == [200] * 4
    assert len(server.seen) == 1


def test_a_server_that_does_not_read_or_answer_runs_into_the_timeout(serve):
    server = serve(lambda client, closing: closing.wait(10))
    for sender in senders():
        with pytest.raises(OSError, match=r"timed out|too long"):
            sender(HttpRequest(f"http://127.0.0.1:{server.port}/", {}, b"x" * (1 << 24), 0.3))


# Size


def test_a_reply_without_end_is_stopped(serve, monkeypatch):
    monkeypatch.setattr("tasksel.endpoint_connection._MOST_REPLY_BYTES", 1 << 20)

    def talk(client, closing):
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not closing.is_set():
            client.sendall(b"a" * (1 << 16))

    server = serve(talk)
    for sender in senders():
        with pytest.raises(OSError, match="is too long"):
            ask(server, sender)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "0x10", "1e9", "nan", "²"])
def test_a_length_that_is_none_is_no_accident(serve, length):
    server = serve(say(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{}}".encode("latin-1")))
    for sender in senders():
        with contextlib.suppress(OSError, http.client.HTTPException):  # what callers know as no answer
            assert ask(server, sender).content == b"{}"


def test_nothing_is_unpacked(serve):
    """A gzip bomb stays the few bytes that it is."""
    bomb = gzip.compress(b"0" * (1 << 24))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    server = serve(say(head.encode() + bomb))
    for sender in senders():
        assert ask(server, sender).content == bomb
    assert b"gzip" not in b"".join(server.seen)


# Redirects and addresses


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:{port}/elsewhere", "https://other.example/", "file:///etc/passwd"]
)
def test_no_redirect_is_followed_and_no_key_goes_anywhere_else(serve, monkeypatch, status, place):
    elsewhere = serve(say(OK))
    location = place.format(port=elsewhere.port)
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server = serve(say(head.encode()))
    url = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert Endpoint(url).attempt("x", {}).verdict == "hopeless"
    with LabelStudioClient(url) as client, pytest.raises(ProviderError, match="redirects"):
        client.get("api/projects")
    assert len(server.seen) == 2
    assert not elsewhere.seen


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://host/v1", "gopher://host/v1", "javascript:alert(1)", "//host/v1",
        "host/v1", "http://", "http:///v1", f"https://user:{KEY}@host/v1", f"https://{KEY}@host/v1",
        f"https://host/v1?api_key={KEY}", f"https://host/v1#{KEY}", "unix:///tmp/socket",
    ],
)  # fmt: skip
def test_an_address_that_is_none_or_holds_a_key_is_refused_and_not_quoted(url):
    with pytest.raises(ConfigError) as raised:
        check_base_url("--endpoint", url)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://host\r\nX-Injected: 1/v1", "http://host/v1\r\nX-Injected: 1\r\n", "http://ho st/v1"]
)
def test_an_address_cannot_bring_headers_of_its_own(serve, url):
    server = serve(say(OK))
    url = url.replace("host", f"127.0.0.1:{server.port}", 1)
    with contextlib.suppress(ConfigError):
        Endpoint(url).attempt("x", {})
    assert not [seen for seen in server.seen if b"\nX-Injected" in seen]


@pytest.mark.parametrize(
    "key", [f"{KEY}\r\nX-Injected: 1", f"{KEY}\nb", "schlüssel-des-tests-0123", f"{KEY}\x00"]
)
def test_a_key_cannot_bring_headers_of_its_own(serve, monkeypatch, key):
    if "\x00" not in key:  # which no variable of the environment can hold
        monkeypatch.setenv("OPENAI_API_KEY", key)
        server = serve(say(OK))
        with pytest.raises(ConfigError, match="no header can carry") as raised:
            Endpoint(f"http://127.0.0.1:{server.port}").attempt("x", {})
        assert KEY not in str(raised.value)
        assert not server.seen


@pytest.mark.parametrize(
    "key",
    ["sk-T4vXqYb81LmZr0pWn6Kd", "gsk_T4vXqYb81LmZr0pWn6KdA1", "0123456789abcdef0123456789abcdef01234567",
     "a1b2c3d4e5f60718293a4b5c6d7e8f90", "hf_abcdefghijklmnopqrstuvwxyz0123", "schlüssel"],
)  # fmt: skip
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_quoted(monkeypatch, key):
    for refuse in (
        lambda: check_key_variable("--key-env", key),
        lambda: Endpoint("http://127.0.0.1:9/v1", key_variable=key),
    ):
        with pytest.raises(ConfigError, match="name of an environment variable") as raised:
            refuse()
        assert key not in str(raised.value)


def test_a_variable_with_a_long_name_that_is_set_is_no_key(monkeypatch):
    monkeypatch.setenv("my_second_openai_api_key", KEY)
    check_key_variable("--key-env", "my_second_openai_api_key")


def test_a_request_does_not_tell_its_headers():
    request = HttpRequest("http://host/v1", {"Authorization": f"Bearer {KEY}"}, b"{}", 1.0)
    assert KEY not in repr(request) + str(request) + f"{request}"
