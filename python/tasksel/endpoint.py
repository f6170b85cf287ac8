"""An endpoint of a model: one POST, with patience or without, and a key that is never written anywhere."""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from tasksel.endpoint_connection import HttpRequest, KeptConnection, send_once
from tasksel.masking import masked
from tasksel_core.errors import ConfigError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_KEY_VARIABLE",
    "Attempt",
    "Endpoint",
    "KeptConnection",
    "Reply",
    "Verdict",
    "check_base_url",
    "check_key_variable",
]

DEFAULT_KEY_VARIABLE: Final = "OPENAI_API_KEY"
Verdict = Literal["answered", "wait", "failed", "hopeless", "refused"]

_ANSWERED: Final = 200
_TOO_MANY: Final = 429
_TRY_AGAIN: Final = (408, 409, 425)
_WRONG_ACCESS: Final = (401, 402, 403, 404, 405)
"""What every request would be answered with: a wrong key, no credit, a wrong path or model."""
_NO_QUOTA: Final = "insufficient_quota"
"""OpenAI says 429 also where the credit is used up, and no waiting would help."""
_VARIABLE: Final = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*)?")
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_KEY_CHARS: Final = 20
"""No key of a provider is shorter, and few names of variables are longer."""


def check_base_url(where: str, base_url: str) -> None:
    """Refuse what is no URL of an endpoint, without quoting it: it may hold a key.

    Parameters
    ----------
    where : str
        What it is, for the error.
    base_url : str
        http or https, with a host, to which paths are appended.

    Raises
    ------
    ConfigError
        The scheme is another, there is no host, or the URL has a user, a password, a query, a fragment, or a
        character that no URL has.

    Examples
    --------
    >>> check_base_url("--endpoint", "http://localhost:8000/v1")
    >>> check_base_url("--endpoint", "https://host/v1?key=secret")
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ConfigError: --endpoint has a query (?…) or a fragment (#…); a path is appended to \
it, and keys come from the environment.
    """
    parts = _split_address(base_url)
    if parts is None:
        raise ConfigError(
            f"{where} is no address of an endpoint; http:// or https:// with a host and without user or "
            "password is wanted, as in http://localhost:8000/v1."
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{where} has a query (?…) or a fragment (#…); a path is appended to it, and keys come from the "
            "environment."
        )


def _split_address(base_url: str) -> urllib.parse.SplitResult | None:
    """Split an address into its parts; None for what is none, or may have a user or a password in it.

    A password with a slash in it ends what is taken for the host, so no @ may stand anywhere.
    """
    try:
        parts = urllib.parse.urlsplit(base_url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    is_plain = base_url.isprintable() and not any(mark in base_url for mark in "@ \\")
    return parts if is_web and is_plain else None


def check_key_variable(where: str, name: str) -> None:
    """Refuse what is no name of an environment variable, without quoting it: it may be the key itself.

    Raises
    ------
    ConfigError
        It holds anything but letters, digits and underscores, begins with a digit, or is not set and looks
        like a key itself.

    Examples
    --------
    >>> check_key_variable("--key-env", "OPENAI_API_KEY")
    >>> check_key_variable("--key-env", "gsk_T4vXqYb81LmZr0pWn6Kd")
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ConfigError: --key-env is the name of an environment variable, such as \
OPENAI_API_KEY; keys do not belong into settings or commands.
    """
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or _is_like_a_key(name):
        raise ConfigError(
            f"{where} is the name of an environment variable, such as {DEFAULT_KEY_VARIABLE}; keys do not "
            "belong into settings or commands."
        )


def _is_like_a_key(name: str) -> bool:
    has_both = any(map(str.islower, name)) and any(map(str.isdigit, name))
    return has_both and len(name) >= _KEY_CHARS and name not in os.environ


class Reply(NamedTuple):
    """A reply as it came: HTTP status and body."""

    status: int
    body: str


class Attempt(NamedTuple):
    """What one POST came to.

    Attributes
    ----------
    reply : Reply or None
        Of any status; None where none came.
    retry_after_s : float or None
        How long the server asks to wait.
    maybe_paid : bool
        No reply came, although the request may have been worked on: it timed out or was cut short.
    """

    reply: Reply | None
    retry_after_s: float | None = None
    maybe_paid: bool = False

    @property
    def verdict(self) -> Verdict:
        """What to make of it.

        ``answered``; ``wait`` and try again, which is no failure; ``failed``, which another attempt may mend;
        ``hopeless``, since every request would be answered so; ``refused`` for a reason of this request.

        Examples
        --------
        >>> [Attempt(Reply(status, "")).verdict for status in (200, 429, 503, 401, 307, 400)]
        ['answered', 'wait', 'failed', 'hopeless', 'hopeless', 'refused']
        >>> Attempt(None).verdict
        'failed'
        """
        if self.reply is None or self.reply.status >= 500 or self.reply.status in _TRY_AGAIN:
            return "failed"
        status = self.reply.status
        if status == _ANSWERED:
            return "answered"
        if status == _TOO_MANY and _NO_QUOTA not in self.reply.body:
            return "wait"
        is_hopeless = status < 400 or status in _WRONG_ACCESS or status == _TOO_MANY
        return "hopeless" if is_hopeless else "refused"


@dataclass(frozen=True)
class Endpoint:
    """Where requests go and how patiently.

    Parameters
    ----------
    base_url : str
        For example ``https://api.openai.com/v1``; http or https.
    key_variable : str
        Environment variable that holds the key; without one no key is sent, as local servers want it.
    timeout_s : float
        Longest wait for one reply.
    max_attempts : int
        Attempts for a request that meets a server's failure; being asked to wait (429) costs none.
    max_wait_s : float
        Longest time that a request waits in all before it is given up.
    key_header, key_prefix : str
        Header that carries the key, and what stands before the key in it.
    headers : tuple of (str, str)
        Sent with every request.
    """

    base_url: str
    key_variable: str = DEFAULT_KEY_VARIABLE
    timeout_s: float = 120.0
    max_attempts: int = 5
    max_wait_s: float = 900.0
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a URL that is none, and a key in the place of its variable's name.

        Raises
        ------
        ConfigError
            As `check_base_url` and `check_key_variable` do.
        """
        check_base_url("The base URL", self.base_url)
        check_key_variable("The key variable", self.key_variable)

    def post(self, path: str, body: Mapping[str, Any], *, stopped: threading.Event | None = None) -> Reply:
        """Post `body` as JSON and return the reply, after as many attempts as it takes.

        Parameters
        ----------
        path : str
            Below the base URL.
        body : mapping
            What `json.dumps` takes.
        stopped : threading.Event, optional
            Once set, waiting ends with an error.

        Returns
        -------
        Reply
            Of status 200, or a refusal of this one request (400, 413, 422 and the like). Where the reply
            quotes the key, asterisks stand for it.

        Raises
        ------
        ProviderError
            The key or path is wrong, or the server still fails after all attempts.
        """
        patience = _Patience(self, stopped or threading.Event())
        while True:
            attempt = self.attempt(path, body)
            reply, verdict = attempt.reply, attempt.verdict
            if verdict == "hopeless":
                raise ProviderError(self.describe(reply, "which no other request would change"))
            if reply is not None and verdict in ("answered", "refused"):
                return reply
            patience.pause(reply, attempt.retry_after_s)

    def attempt(
        self, path: str, body: Mapping[str, Any] | None, *, connection: KeptConnection | None = None
    ) -> Attempt:
        """Post `body` as JSON once; whether to try again is for the caller to decide.

        Redirects are not followed. Wherever a reply quotes the key, asterisks stand for it.

        Parameters
        ----------
        path : str
            Below the base URL.
        body : mapping or None
            What `json.dumps` takes; with None the path is only read.
        connection : KeptConnection, optional
            Used, and left open for the next request; without one each request opens its own.

        Returns
        -------
        Attempt
            Also where the server is not there, does not answer in time, or stops half-way.

        Raises
        ------
        ConfigError
            The key holds what no header can carry.
        """
        key = self._read_key()
        headers = {"Content-Type": "application/json", "Accept": "application/json", **dict(self.headers)}
        if key:
            headers[self.key_header] = f"{self.key_prefix}{key}"
        url = f"{self.base_url.rstrip('/')}/{path}"
        content = None if body is None else json.dumps(body).encode()
        send = send_once if connection is None else connection.send
        try:
            reply = send(HttpRequest(url, headers, content, self.timeout_s))
        except (OSError, http.client.HTTPException) as error:
            return Attempt(None, maybe_paid=not _never_arrived(error))
        text = masked(reply.content.decode("utf-8", errors="replace"), key)
        return Attempt(Reply(reply.status, text), _read_retry_after(reply.retry_after))

    def _read_key(self) -> str:
        key = os.environ.get(self.key_variable, "").strip()
        # http.client would print the header that it refuses.
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"The key in {self.key_variable} holds characters that no header can carry.")
        return key

    def describe(self, reply: Reply | None, why: str) -> str:
        """Say in a sentence what the endpoint answered, and why that is the end."""
        host = urllib.parse.urlsplit(self.base_url).netloc
        if reply is None:
            return f"{host} does not answer, {why}. What was answered before is kept."
        key = "" if os.environ.get(self.key_variable) else f" (there is no key in {self.key_variable})"
        return (
            f"{host} answered with status {reply.status}{key}, {why}: {reply.body[:200].strip()!r}. What was "
            "answered before is kept."
        )


class _Patience:
    """How often and how long one request has waited."""

    def __init__(self, endpoint: Endpoint, stopped: threading.Event) -> None:
        self.endpoint, self.stopped = endpoint, stopped
        self.attempts, self.pauses, self.waited_s = 0, 0, 0.0

    def pause(self, reply: Reply | None, retry_after_s: float | None) -> None:
        """Wait before the next attempt; raise ProviderError when there is none left."""
        asked_to_wait = reply is not None and reply.status == _TOO_MANY
        self.attempts += not asked_to_wait
        if self.attempts >= self.endpoint.max_attempts:
            raise ProviderError(self.endpoint.describe(reply, f"also after {self.attempts} attempts"))
        pause_s = retry_after_s
        if pause_s is None:
            pause_s = min(_FIRST_PAUSE_S * 2**self.pauses, _LONGEST_PAUSE_S)
        self.pauses += 1
        self.waited_s += pause_s
        if self.waited_s > self.endpoint.max_wait_s:
            raise ProviderError(
                self.endpoint.describe(reply, f"which would mean waiting {self.waited_s:.0f} s")
            )
        if self.stopped.wait(pause_s):
            raise ProviderError("The request was given up, since another one failed or the run was stopped.")


def _read_retry_after(text: str | None) -> float | None:
    """Read seconds or an HTTP date; None where there is neither."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _never_arrived(error: Exception) -> bool:
    """Whether the connection was never made, so that nothing can have been paid for."""
    reason = getattr(error, "reason", error)
    return isinstance(reason, (ConnectionRefusedError, socket.gaierror))
