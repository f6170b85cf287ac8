"""How the bytes of one request travel: over a connection of its own, or over one that is kept.

Neither follows redirects, neither waits longer than it was told, and a status of any kind is a reply.
"""

from __future__ import annotations

import http.client
import selectors
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.endpoint_deadline import DeadlineHttpHandler, DeadlineHttpsHandler, new_connection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["HttpReply", "HttpRequest", "KeptConnection", "send_once"]

_MOST_REPLY_BYTES: Final = 1 << 26
"""A reply of a model is some thousand tokens; what is longer than 64 MiB is none."""
_READ_BYTES: Final = 1 << 16
_MOST_LENGTH_DIGITS: Final = 18


class HttpRequest(NamedTuple):
    """One request as it is sent.

    Attributes
    ----------
    url : str
        http or https.
    headers : mapping of str to str
        May hold a key.
    content : bytes or None
        Posted; with None the URL is only read.
    timeout_s : float
        Longest wait for the reply.
    """

    url: str
    headers: Mapping[str, str]
    content: bytes | None
    timeout_s: float

    @property
    def method(self) -> str:
        """``POST`` or ``GET``."""
        return "GET" if self.content is None else "POST"

    def __repr__(self) -> str:
        """Tell what is asked, and nothing of the headers: a traceback may be printed with its variables."""
        return f"HttpRequest({self.method} {self.url})"


class HttpReply(NamedTuple):
    """One reply of any status.

    Attributes
    ----------
    status : int
        Of HTTP.
    content : bytes
        The body, whole.
    retry_after : str or None
        The header of that name.
    """

    status: int
    content: bytes
    retry_after: str | None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def send_once(request: HttpRequest) -> HttpReply:
    """Send a request over a connection of its own, through the proxy of the environment if there is one.

    Raises
    ------
    OSError
        The server is not there, does not answer in time, or stops half-way.
    http.client.HTTPException
        What comes is not HTTP, or less than was announced.
    """
    prepared = urllib.request.Request(  # noqa: S310 - the scheme was checked
        request.url, data=request.content, headers=dict(request.headers), method=request.method
    )
    opener = urllib.request.build_opener(_NoRedirects, DeadlineHttpHandler, DeadlineHttpsHandler)
    with _opened(opener, prepared, request.timeout_s) as answered:
        return _read_reply(answered)


class KeptConnection:
    """A connection that stays open from request to request; a context manager, for one thread.

    A server may close a connection that rests; that is noticed before the next request is sent, not by
    sending it twice, which could be paid for twice. With a proxy nothing is kept.

    Examples
    --------
    >>> with KeptConnection() as connection:
    ...     connection.is_open
    False
    """

    def __init__(self) -> None:
        self._origin: tuple[str, str] | None = None
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> KeptConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept at the moment."""
        return self._connection is not None

    def close(self) -> None:
        """Close the connection, if there is one; a later request opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def send(self, request: HttpRequest) -> HttpReply:
        """Send a request; errors as in `send_once`, and the connection is then closed."""
        parts = urllib.parse.urlsplit(request.url)
        if _has_proxy(parts.scheme, parts.netloc):
            return send_once(request)
        connection = self._ready(parts.scheme, parts.netloc, request.timeout_s)
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        try:
            connection.request(request.method, target, body=request.content, headers=dict(request.headers))
            answered = connection.getresponse()
            reply = _read_reply(answered)
        except BaseException:
            self.close()
            raise
        if answered.length == 0:
            answered.read()  # tells http.client that the reply is over
        if answered.will_close or not answered.isclosed():
            self.close()
        return reply

    def _ready(self, scheme: str, host: str, timeout_s: float) -> http.client.HTTPConnection:
        if self._origin != (scheme, host) or self._was_dropped():
            self.close()
        if self._connection is None:
            self._connection = new_connection(scheme, host, timeout_s)
            self._origin = (scheme, host)
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)  # the reply before has left what it did not need
        return self._connection

    def _was_dropped(self) -> bool:
        """Whether the server closed its end: between replies nothing else makes the socket readable."""
        socket = None if self._connection is None else self._connection.sock
        if socket is None:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(socket, selectors.EVENT_READ)
            return bool(selector.select(timeout=0))


def _has_proxy(scheme: str, host: str) -> bool:
    return scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def _opened(opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float) -> Any:
    """Open a request; an error's status is a reply like any other."""
    try:
        return opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        return error


def _read_reply(answered: Any) -> HttpReply:
    return HttpReply(int(answered.status), _read_all(answered), answered.headers.get("Retry-After"))


def _read_all(answered: Any) -> bytes:
    """Read a reply to its end.

    Raises
    ------
    OSError
        The deadline passed, the connection broke, or the reply is longer than any reply of a model.
    http.client.HTTPException
        The reply stops before its stated length.
    """
    wanted = _stated_length(answered.headers.get("Content-Length"))
    content = bytearray()
    while wanted is None or len(content) < wanted:
        piece = answered.read1(_READ_BYTES)
        if not piece:
            break
        content += piece
        if len(content) > _MOST_REPLY_BYTES:
            raise OSError("The reply is too long.")
    if wanted is not None and len(content) < wanted:
        raise http.client.IncompleteRead(bytes(content), wanted - len(content))
    return bytes(content)


def _stated_length(length: str | None) -> int | None:
    if length is None or not length.isdecimal():
        return None
    if len(length) > _MOST_LENGTH_DIGITS:  # Python refuses to read thousands of digits as a number
        raise OSError("The reply is too long.")
    return int(length)
