"""Chat completions, as OpenAI and everybody compatible with it serves them."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.providers.chat import ChatRequest, Completion
from tasksel.spending_caps import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasksel.endpoint import Attempt, Endpoint, Reply

__all__ = ["OpenAIProvider", "read_chat_completion"]

_OWN_HOST: Final = "api.openai.com"


@dataclass(frozen=True)
class OpenAIProvider:
    """A model behind ``chat/completions``.

    Parameters
    ----------
    endpoint : Endpoint
        Where it is.
    model : str
        Its name there.
    """

    endpoint: Endpoint
    model: str

    def make_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request.

        OpenAI's own newer models know the limit by another name and take no temperature but the default,
        which is therefore left out there; other servers have other defaults and are always told.
        """
        is_own = urllib.parse.urlsplit(self.endpoint.base_url).hostname == _OWN_HOST
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "max_completion_tokens" if is_own else "max_tokens": request.max_tokens,
        }
        if not is_own or request.temperature != 1.0:
            body["temperature"] = request.temperature
        if request.top_p != 1.0:
            body["top_p"] = request.top_p
        if request.seed is not None:
            body["seed"] = request.seed
        return body

    def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Send a body once."""
        return self.endpoint.attempt("chat/completions", body)

    def describe(self, reply: Reply | None, why: str) -> str:
        """Say in a sentence what was answered, and why that is the end."""
        return self.endpoint.describe(reply, why)

    def read(self, reply: Reply) -> Completion:
        """Read a reply."""
        return read_chat_completion(reply.body)


def read_chat_completion(body: str) -> Completion:
    """Read the body of a chat completion.

    Examples
    --------
    >>> read_chat_completion('{"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}]}')
    Completion(text='yes', outcome='text', is_cut=True, usage=None, has_cut_prompt=False)
    >>> read_chat_completion("<html>busy</html>").outcome
    'unreadable'
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text, refusal = _joined(message.get("content")), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Completion("", "unreadable")
    usage = read_usage(content.get("usage"), "prompt_tokens", "completion_tokens")
    if refusal:
        return Completion(str(refusal), "refusal", usage=usage)
    if finish == "content_filter":
        return Completion(text, "filtered", usage=usage)
    has_cut_prompt = bool(content.get("truncated_tokens"))
    return Completion(text, "text", finish == "length", usage, has_cut_prompt)


def read_usage(usage: Any, input_name: str, output_name: str) -> Usage | None:
    """Read the tokens that a provider reports; None where it does not, or reports nonsense."""
    if not isinstance(usage, dict):
        return None
    counts = [usage.get(name) for name in (input_name, output_name)]
    known = [each for each in counts if isinstance(each, int) and not isinstance(each, bool) and each >= 0]
    return Usage(known[0], known[1]) if len(known) == len(counts) else None


def _joined(content: Any) -> str:
    """Return a message's text, which some servers send in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in content)
