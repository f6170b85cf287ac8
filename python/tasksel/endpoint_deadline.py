"""Replies that come before one moment or not at all, over connections that check who is at the other end.

A socket's timeout is for each piece: a server that sends a byte of its headers now and then would never run
into it. Here what is left until the deadline is the timeout of every piece.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

__all__ = ["DeadlineHttpHandler", "DeadlineHttpsHandler", "new_connection"]


class _DeadlineReader(io.RawIOBase):
    """What a socket receives until a moment of the monotonic clock."""

    def __init__(self, raw: io.RawIOBase, receiver: socket.socket, deadline_s: float) -> None:
        super().__init__()
        self._raw, self._receiver, self._deadline_s = raw, receiver, deadline_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("The reply takes too long.")
        self._receiver.settimeout(left_s)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    """A reply whose headers and body share the time that one piece would have had."""

    def __init__(self, sock: socket.socket, *arguments: Any, **settings: Any) -> None:
        super().__init__(sock, *arguments, **settings)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            raw = self.fp.detach()
            reader = _DeadlineReader(raw, sock, time.monotonic() + timeout_s)
            self.fp = io.BufferedReader(reader)


class _HttpConnection(http.client.HTTPConnection):
    response_class = _DeadlineResponse


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _DeadlineResponse


def _verifying_context() -> ssl.SSLContext:
    """Verify certificate and host name whatever else in this process changes the defaults of `ssl`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def new_connection(scheme: str, host: str, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection that is not open yet; that of https verifies certificate and host name."""
    if scheme == "https":
        return _HttpsConnection(host, timeout=timeout_s, context=_verifying_context())
    return _HttpConnection(host, timeout=timeout_s)


class DeadlineHttpHandler(urllib.request.HTTPHandler):
    """Opens http URLs for `urllib.request.build_opener`."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open a URL."""
        return self.do_open(_HttpConnection, req)


class DeadlineHttpsHandler(urllib.request.HTTPSHandler):
    """Opens https URLs for `urllib.request.build_opener`, and verifies who answers."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open a URL."""
        return self.do_open(_HttpsConnection, req, context=_verifying_context())
