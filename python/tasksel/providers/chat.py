"""What is asked of a model and what comes back, whoever provides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from tasksel.spending_caps import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasksel.endpoint import Attempt, Reply

__all__ = [
    "ChatRequest",
    "Completion",
    "LocalProvider",
    "Message",
    "Outcome",
    "Provider",
    "RemoteProvider",
    "estimate_tokens",
    "most_tokens",
    "usage_of",
]

Outcome = Literal["text", "refusal", "filtered", "unreadable"]
_BYTES_PER_TOKEN: Final = 4
_TOKENS_PER_MESSAGE: Final = 16
"""More than any chat template puts around a message."""


class Message(NamedTuple):
    """One turn of a conversation.

    Attributes
    ----------
    role : str
        ``system`` (first, or not at all), ``user`` or ``assistant``.
    content : str
        Its text.
    """

    role: str
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One conversation that a model is to continue.

    Parameters
    ----------
    messages : tuple of Message
        The last one is the user's.
    temperature, top_p : float
        Of sampling.
    max_tokens : int
        Longest reply.
    schema : mapping, optional
        JSON Schema of the reply, for providers that can hold a model to it; others read it in the messages.
    seed : int, optional
        Of sampling, where a provider takes one; Anthropic's does not.
    """

    messages: tuple[Message, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1_024
    schema: Mapping[str, Any] | None = None
    seed: int | None = None


class Completion(NamedTuple):
    """A reply as it was read.

    Attributes
    ----------
    text : str
        What the model wrote; empty where there is none.
    outcome : {"text", "refusal", "filtered", "unreadable"}
        The model refused, the provider's filter stepped in, or the body is not what this provider sends.
    is_cut : bool
        The longest reply was reached.
    usage : Usage or None
        Tokens as the provider reports them; None where it does not.
    has_cut_prompt : bool
        The request did not fit the model's context, and its beginning was left out.
    """

    text: str
    outcome: Outcome
    is_cut: bool = False
    usage: Usage | None = None
    has_cut_prompt: bool = False


class Provider(Protocol):
    """What every provider can do: say what it would send, and read what came back.

    Attributes
    ----------
    model : str
        Its name, as records have it.
    """

    @property
    def model(self) -> str:
        """Name of the model, as records have it."""

    def make_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return what is sent: equal requests give equal bodies."""

    def read(self, reply: Reply) -> Completion:
        """Read a reply of status 200; never raises."""


@runtime_checkable
class RemoteProvider(Provider, Protocol):
    """A provider over a network: one attempt a request, which may fail."""

    def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Send a body once."""

    def describe(self, reply: Reply | None, why: str) -> str:
        """Say in a sentence what was answered, and why that is the end."""


@runtime_checkable
class LocalProvider(Provider, Protocol):
    """A provider in this process: several requests at once, each with a seed of its own.

    Attributes
    ----------
    batch_requests : int
        How many at a time.
    """

    @property
    def batch_requests(self) -> int:
        """How many requests are answered at a time."""

    def answer(self, bodies: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[Reply]:
        """Answer several requests; equal bodies and seeds give equal replies."""


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text at one for four bytes of UTF-8, which is usual for English and code.

    Examples
    --------
    >>> estimate_tokens("four bytes a token"), estimate_tokens("")
    (5, 0)
    """
    return -(-len(text.encode("utf-8", errors="surrogatepass")) // _BYTES_PER_TOKEN)


def most_tokens(messages: Sequence[Message]) -> int:
    """Return a number of tokens that no tokenizer exceeds: one a byte, and some around each message."""
    return sum(len(each.content.encode("utf-8", "surrogatepass")) + _TOKENS_PER_MESSAGE for each in messages)


def usage_of(completion: Completion, request_bytes: int) -> Usage:
    """Return the tokens as reported, or as estimated from the sizes of request and reply.

    Parameters
    ----------
    completion : Completion
        The reply.
    request_bytes : int
        Size of the request's messages in UTF-8.
    """
    if completion.usage is not None:
        return completion.usage
    return Usage(-(-request_bytes // _BYTES_PER_TOKEN), estimate_tokens(completion.text), is_estimate=True)
