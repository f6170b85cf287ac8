"""What is sent to an OpenAI-compatible server, and what a server is found to take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from tasksel.prompt_encoding import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["APIS", "Api", "RequestForm", "candidate_forms"]

Api = Literal["completions", "chat"]
APIS: Final = ("completions", "chat")
_PATHS: Final = {"completions": "completions", "chat": "chat/completions"}
_TOP_LOGPROBS: Final = (20, 5)
"""Most that vLLM gives by default and OpenAI for chats; most that OpenAI gives for completions."""
_EXTRAS: Final = {"return_tokens_as_token_ids": True, "repetition_penalty": 1.0}
"""vLLM and SGLang take a penalty from the model's own generation defaults unless they are told one.

Tokens as ids (vLLM) tell more than their texts, of which several can be written alike.
"""
_PROBE_PROMPT: Final = "Say yes."
_PROBE_TOKENS: Final = 32


@dataclass(frozen=True)
class RequestForm:
    """How a prompt becomes a request.

    Parameters
    ----------
    model : str
        Its name at the server.
    api : {"completions", "chat"}
        A bare text, or a message that the server puts into the model's own template.
    max_new_tokens : int
        Longest answer.
    prompt_template : str or None
        Around the prompt; only for ``completions``.
    top_logprobs : int
        Likeliest tokens to list.
    has_extras : bool
        Whether fields are sent that OpenAI does not know.
    is_own_host : bool
        The server is OpenAI's own, whose chats know the limit by another name.
    """

    model: str
    api: Api
    max_new_tokens: int
    prompt_template: str | None
    top_logprobs: int
    has_extras: bool
    is_own_host: bool

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        return _PATHS[self.api]

    def make_body(self, prompt: str) -> dict[str, Any]:
        """Return what is sent for a prompt: equal prompts give equal bodies."""
        return self._make_body(prompt, self.max_new_tokens)

    def make_probe(self) -> dict[str, Any]:
        """Return a tiny request of the same kind."""
        return self._make_body(_PROBE_PROMPT, min(_PROBE_TOKENS, self.max_new_tokens))

    def _make_body(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "temperature": 0.0}
        if self.api == "chat":
            body["messages"] = [{"role": "user", "content": prompt}]
            body["max_completion_tokens" if self.is_own_host else "max_tokens"] = max_tokens
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        else:
            template = self.prompt_template
            body["prompt"] = prompt if template is None else template.replace(PLACEHOLDER, prompt)
            body |= {"max_tokens": max_tokens, "logprobs": self.top_logprobs}
        return body | _EXTRAS if self.has_extras else body


def candidate_forms(
    *,
    model: str,
    api: Api,
    max_new_tokens: int,
    prompt_template: str | None,
    top_logprobs: int | None,
    is_own_host: bool,
) -> Iterator[RequestForm]:
    """Yield the forms in which a server may take requests, the one that tells most first.

    Parameters
    ----------
    model, api, max_new_tokens, prompt_template, is_own_host
        As of `RequestForm`.
    top_logprobs : int or None
        None asks for 20 and then for 5.
    """
    for count in _TOP_LOGPROBS if top_logprobs is None else (top_logprobs,):
        for has_extras in (False,) if is_own_host else (True, False):
            yield RequestForm(model, api, max_new_tokens, prompt_template, count, has_extras, is_own_host)
