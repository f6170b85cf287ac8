"""Messages, as Anthropic serves them."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers.chat import ChatRequest, Completion
from tasksel.providers.openai_chat import read_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.endpoint import Attempt, Endpoint, Reply

__all__ = ["AnthropicProvider"]

_VERSION: Final = ("anthropic-version", "2023-06-01")
_HOTTEST: Final = 1.0
"""Temperatures go from 0 to 1 here."""


@dataclasses.dataclass(frozen=True)
class AnthropicProvider:
    """A model behind ``v1/messages``.

    Parameters
    ----------
    endpoint : Endpoint
        Where it is, with or without ``/v1`` at the end; how the key is sent is set here.
    model : str
        Its name there.
    """

    endpoint: Endpoint
    model: str

    def __post_init__(self) -> None:
        own = dataclasses.replace(
            self.endpoint, key_header="x-api-key", key_prefix="", headers=(*self.endpoint.headers, _VERSION)
        )
        object.__setattr__(self, "endpoint", own)

    def make_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request; the system's message has a place of its own."""
        system = [each.content for each in request.messages if each.role == "system"]
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "messages": [
                {"role": each.role, "content": each.content}
                for each in request.messages
                if each.role != "system"
            ],
        }
        if system:
            body["system"] = "\n\n".join(system)
        # Some models refuse temperature and top_p together, or any value but the default of both.
        if request.temperature != _HOTTEST:
            body["temperature"] = min(request.temperature, _HOTTEST)
        if request.top_p != 1.0:
            body["top_p"] = request.top_p
        return body

    def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Send a body once."""
        has_version = self.endpoint.base_url.rstrip("/").endswith("/v1")
        return self.endpoint.attempt("messages" if has_version else "v1/messages", body)

    def describe(self, reply: Reply | None, why: str) -> str:
        """Say in a sentence what was answered, and why that is the end."""
        return self.endpoint.describe(reply, why)

    def read(self, reply: Reply) -> Completion:
        """Read a reply."""
        try:
            content = json.loads(reply.body)
            stop = content.get("stop_reason")
            blocks = [each for each in content["content"] if each.get("type") == "text"]
            text = "".join(str(each["text"]) for each in blocks)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Completion("", "unreadable")
        usage = read_usage(_whole_usage(content.get("usage")), "input_tokens", "output_tokens")
        if stop == "refusal":
            return Completion(text, "refusal", usage=usage)
        return Completion(text, "text", stop == "max_tokens", usage)


def _whole_usage(usage: Any) -> Any:
    """Add what was written to and read from the provider's cache: those are input tokens too."""
    if not isinstance(usage, dict):
        return None
    cached = [usage.get(f"cache_{what}_input_tokens") or 0 for what in ("creation", "read")]
    if not all(isinstance(each, int) for each in (*cached, usage.get("input_tokens"))):
        return None
    return {**usage, "input_tokens": usage["input_tokens"] + sum(cached)}
