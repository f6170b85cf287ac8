"""The HTTP API of Label Studio: requests with a key from the environment, which is written nowhere."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.endpoint_connection import HttpReply, HttpRequest, KeptConnection
from tasksel.masking import masked
from tasksel_core.errors import ConfigError, ProviderError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "KEY_VARIABLE",
    "LabelStudioClient",
    "LabelStudioPlace",
    "NotThereError",
    "UnansweredError",
    "parse_place",
]

KEY_VARIABLE: Final = "LABEL_STUDIO_API_KEY"
_PROJECT: Final = re.compile(r"/projects/([0-9]{1,12})(?:/|$)")
_HOST: Final = re.compile(r"[\w.\-:\[\]%]+")
_JWT: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
"""A personal access token is a JWT, a legacy token 40 hexadecimal digits."""
_REFRESH_PATH: Final = "api/token/refresh/"
_ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_UNAUTHORIZED, _NOT_THERE, _TOO_MANY, _UNAVAILABLE = 401, 404, 429, 503
_SHOWN_CHARS: Final = 300


class LabelStudioPlace(NamedTuple):
    """A Label Studio, and perhaps a project in it.

    Attributes
    ----------
    base_url : str
        Without a slash at its end.
    project : int or None
        Number of the project.
    """

    base_url: str
    project: int | None


def parse_place(url: str) -> LabelStudioPlace:
    """Read the address of a Label Studio, or of a project as it stands in the browser.

    Raises
    ------
    ConfigError
        It is no such address.

    Examples
    --------
    >>> parse_place("https://labels.example.org/studio/projects/12/data?tab=3")
    LabelStudioPlace(base_url='https://labels.example.org/studio', project=12)
    """
    try:
        parts = urllib.parse.urlsplit(url.strip())
        bad = parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc
        bad = bad or "@" in parts.path or parts.port == 0 or not _HOST.fullmatch(parts.netloc)
    except ValueError:
        bad = True
    if bad:
        raise ConfigError(
            "The address of Label Studio must begin with http:// or https:// and a host, without user or "
            "password; allowed for example: http://localhost:8080 or http://localhost:8080/projects/1."
        )
    found = _PROJECT.search(parts.path)
    path = parts.path[: found.start()] if found else parts.path.rstrip("/").removesuffix("/projects")
    base = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), "", ""))
    return LabelStudioPlace(base, int(found[1]) if found else None)


class UnansweredError(ProviderError):
    """A request whose fate is unknown: no reply, or a failure of the server."""


class NotThereError(ProviderError):
    """What was asked for does not exist on the server."""


class LabelStudioClient:
    """Requests to one Label Studio; a context manager, for one thread.

    The certificate of an https server is verified, redirects are refused, and the key goes to that server
    alone.

    Parameters
    ----------
    base_url : str
        As of `parse_place`.
    timeout_s : float
        Longest wait for one reply.

    Raises
    ------
    ConfigError
        There is no key in the environment, or none that a header can carry.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 60.0) -> None:
        self.base_url = base_url
        self._timeout_s = timeout_s
        self._key = _read_key()
        self._access: str | None = None
        self._connection = KeptConnection()

    def __enter__(self) -> LabelStudioClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urllib.parse.urlsplit(self.base_url).netloc

    @property
    def is_exposed(self) -> bool:
        """Whether the key travels unencrypted to another machine."""
        parts = urllib.parse.urlsplit(self.base_url)
        return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")

    def get(self, path: str, **query: object) -> Any:
        """Read a path below the base URL, as often as it takes.

        Raises
        ------
        ProviderError
            It is refused, or there is no whole reply after some attempts.
        """
        full = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        for attempt in range(_ATTEMPTS - 1):
            with contextlib.suppress(UnansweredError):
                return self._ask(full, None)
            _pause(attempt, None)
        return self._ask(full, None)

    def post(self, path: str, body: Any) -> Any:
        """Post JSON once: whether to post again is for the caller to find out.

        Raises
        ------
        UnansweredError
            What became of it is unknown.
        ProviderError
            It is refused.
        """
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, content: bytes | None) -> Any:
        reply = self._send_patiently(path, content)
        if reply.status == _UNAUTHORIZED and self._access is not None:
            self._access = None  # it is good for minutes only
            reply = self._send_patiently(path, content)
        return self._read(reply, path)

    def _send_patiently(self, path: str, content: bytes | None) -> HttpReply:
        """Send, and again where the server asks to come back later; it has then done nothing."""
        for attempt in range(_ATTEMPTS - 1):
            reply = self._send(path, content, self._authorization())
            if not _asks_to_wait(reply):
                return reply
            _pause(attempt, reply.retry_after)
        return self._send(path, content, self._authorization())

    def _authorization(self) -> str:
        if not _JWT.fullmatch(self._key):
            return f"Token {self._key}"
        if self._access is None:
            reply = self._send(_REFRESH_PATH, json.dumps({"refresh": self._key}).encode(), None)
            access = self._read(reply, _REFRESH_PATH).get("access")
            if not isinstance(access, str) or not _JWT.fullmatch(access):
                raise ProviderError(f"{self.host} gave no access token for the key in {KEY_VARIABLE}.")
            self._access = access
        return f"Bearer {self._access}"

    def _send(self, path: str, content: bytes | None, authorization: str | None) -> HttpReply:
        headers = {"Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if authorization is not None:
            headers["Authorization"] = authorization
        request = HttpRequest(f"{self.base_url}/{path}", headers, content, self._timeout_s)
        try:
            return self._connection.send(request)
        except (OSError, http.client.HTTPException) as error:
            reason = self._masked(str(error) or type(error).__name__)[:_SHOWN_CHARS]
            raise UnansweredError(f"{self.host} does not answer ({reason}).") from None

    def _read(self, reply: HttpReply, path: str) -> Any:
        """Return the JSON of a reply.

        Raises
        ------
        ProviderError
            It is a redirect, a refusal, a failure, or no JSON.
        """
        text = self._masked(reply.content.decode("utf-8", errors="replace"))
        if 300 <= reply.status < 400:
            raise ProviderError(
                f"{self.host} redirects to another address, and the key is not sent there; give the address "
                "that the browser shows behind the redirect."
            )
        if reply.status >= 500:
            raise UnansweredError(f"{self.host} fails with status {reply.status}: {_shown(text)}")
        if reply.status in (_UNAUTHORIZED, 403):
            raise ProviderError(
                f"{self.host} refuses the key in {KEY_VARIABLE} (status {reply.status}): {_shown(text)}. "
                "Take an access token or a legacy token from the page of your account."
            )
        if reply.status == _NOT_THERE:
            raise NotThereError(f"{self.host} has no {path.split('?')[0]}: {_shown(text)}")
        if reply.status >= 400:
            raise ProviderError(f"{self.host} refuses {path.split('?')[0]} ({reply.status}): {_shown(text)}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ProviderError(
                f"{self.host} answers {path.split('?')[0]} with something that is no JSON; is that a Label "
                "Studio?"
            ) from None

    def _masked(self, text: str) -> str:
        return masked(text, self._key, self._access)


def _asks_to_wait(reply: HttpReply) -> bool:
    return reply.status == _TOO_MANY or (reply.status == _UNAVAILABLE and reply.retry_after is not None)


def _read_key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise ConfigError(
            f"There is no key in {KEY_VARIABLE}; take an access token or a legacy token from the page of "
            "your account in Label Studio and put it into that variable of the environment."
        )
    # http.client would print the header that it refuses.
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"The key in {KEY_VARIABLE} holds characters that no header can carry.")
    return key


def _shown(text: str) -> str:
    """Return what a reply says, in the words of its validation where it has some."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        text = str(content.get("validation_errors") or content.get("detail") or content)
    return repr(text.strip()[:_SHOWN_CHARS])


def _pause(attempt: int, retry_after: str | None) -> None:
    asked = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    time.sleep(min(max(asked, _FIRST_PAUSE_S * 2**attempt), _LONGEST_PAUSE_S))
