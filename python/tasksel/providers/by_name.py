"""A provider by its name, with the address and the variable of the key that are usual for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasksel.endpoint import Endpoint
from tasksel.providers.anthropic_messages import AnthropicProvider
from tasksel.providers.local_model import LocalModelProvider
from tasksel.providers.openai_chat import OpenAIProvider

if TYPE_CHECKING:
    from tasksel.providers.chat import LocalProvider, RemoteProvider

__all__ = ["BASE_URLS", "KEY_VARIABLES", "PROVIDERS", "provider_by_name"]

PROVIDERS: Final = ("openai", "anthropic", "hf")
"""Any OpenAI-compatible endpoint, Anthropic's, or a Hugging Face model in this process."""
KEY_VARIABLES: Final = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "hf": ""}
BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "hf": "",
}


def provider_by_name(
    provider: str,
    model: str,
    *,
    base_url: str = "",
    key_variable: str = "",
    timeout_s: float = 120.0,
    device: str = "auto",
) -> RemoteProvider | LocalProvider:
    """Return a provider; nothing is loaded or sent yet.

    Parameters
    ----------
    provider : {"openai", "anthropic", "hf"}
        Its name.
    model : str
        The endpoint's name of it; or ``demo``, a folder, a name on the hub.
    base_url, key_variable : str
        Of the endpoint; empty for the provider's own.
    timeout_s : float
        Longest wait for a reply of an endpoint.
    device : str
        Of a local model.

    Raises
    ------
    ConfigError
        The URL is none.
    """
    if provider == "hf":
        return LocalModelProvider(model, device=device)
    endpoint = Endpoint(
        base_url or BASE_URLS[provider],
        key_variable=key_variable or KEY_VARIABLES[provider],
        timeout_s=timeout_s,
    )
    kind = AnthropicProvider if provider == "anthropic" else OpenAIProvider
    return kind(endpoint, model)
