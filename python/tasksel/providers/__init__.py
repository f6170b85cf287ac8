"""Models that write on request: endpoints over HTTP and a local model, behind one protocol."""

from tasksel.providers.anthropic_messages import AnthropicProvider
from tasksel.providers.asking import Asker
from tasksel.providers.asks import Answer, Ask, answer_of, count_journal, entry_usage
from tasksel.providers.by_name import BASE_URLS, KEY_VARIABLES, PROVIDERS, provider_by_name
from tasksel.providers.chat import (
    ChatRequest,
    Completion,
    LocalProvider,
    Message,
    Provider,
    RemoteProvider,
    estimate_tokens,
    most_tokens,
)
from tasksel.providers.local_model import LocalModelProvider
from tasksel.providers.openai_chat import OpenAIProvider

__all__ = [
    "BASE_URLS",
    "KEY_VARIABLES",
    "PROVIDERS",
    "Answer",
    "AnthropicProvider",
    "Ask",
    "Asker",
    "ChatRequest",
    "Completion",
    "LocalModelProvider",
    "LocalProvider",
    "Message",
    "OpenAIProvider",
    "Provider",
    "RemoteProvider",
    "answer_of",
    "count_journal",
    "entry_usage",
    "estimate_tokens",
    "most_tokens",
    "provider_by_name",
]
