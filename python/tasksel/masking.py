"""Secrets in texts of others: asterisks in their place, also where a secret is quoted in another notation."""

from __future__ import annotations

import base64
import json
import urllib.parse
from functools import lru_cache
from typing import Final

__all__ = ["MASK", "masked"]

MASK: Final = "***"
_SHORTEST_SECRET: Final = 12
"""Local servers take any key; "EMPTY" is no secret, and replacing it would damage what a model wrote."""
_BASE64_GROUP: Final = 3


def masked(text: str, *secrets: str | None) -> str:
    """Return a text without the secrets in it.

    A server that quotes a key may do so in JSON, in a URL, in hexadecimal digits or in base64, where the key
    may follow any other characters; each of these is found.

    Parameters
    ----------
    text : str
        For example a reply.
    *secrets : str or None
        Keys; what is shorter than twelve characters is no secret and stays.

    Examples
    --------
    >>> masked('{"error": "no such key: sk-0123456789"}', "sk-0123456789")
    '{"error": "no such key: ***"}'
    >>> masked("the server is EMPTY", "EMPTY", None)
    'the server is EMPTY'
    """
    for secret in secrets:
        if secret is not None and len(secret) >= _SHORTEST_SECRET:
            for form in _forms(secret):
                text = text.replace(form, MASK)
    return text


@lru_cache(maxsize=16)
def _forms(secret: str) -> tuple[str, ...]:
    """Give the notations of a secret, the longest first, so that none leaves half of another."""
    raw = secret.encode()
    in_json = json.dumps(secret)[1:-1]
    forms = {secret, in_json, in_json.replace("/", "\\/"), raw.hex(), raw.hex().upper()}
    forms |= {urllib.parse.quote(secret, safe=safe) for safe in ("", "/")}
    for shift in range(_BASE64_GROUP):
        core = _base64_core(raw, shift)
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _base64_core(raw: bytes, shift: int) -> str:
    """Return what the base64 of a longer text has of `raw`, `shift` bytes behind the start of a group."""
    encoded = base64.b64encode(b"\0" * shift + raw).decode()
    first = -(-shift * 4 // _BASE64_GROUP)  # of these digits some bits belong to what stands before
    last = (shift + len(raw)) * 4 // _BASE64_GROUP  # and of those behind to what follows
    return encoded[first:last]
