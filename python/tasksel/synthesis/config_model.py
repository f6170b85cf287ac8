"""Who writes, how much at a time, how fast and at what price."""

from __future__ import annotations

from dataclasses import dataclass

from tasksel.endpoint import check_base_url, check_key_variable
from tasksel.providers import BASE_URLS, KEY_VARIABLES, PROVIDERS
from tasksel.synthesis.config_values import check_choice, check_name, check_number, check_whole
from tasksel_core.errors import ConfigError

__all__ = ["PROVIDERS", "LimitsConfig", "ModelConfig", "PriceConfig", "RequestConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """Which model writes.

    Parameters
    ----------
    provider : {"openai", "anthropic", "hf"}
        Any OpenAI-compatible endpoint, Anthropic's, or a local Hugging Face model.
    model : str
        The endpoint's name of it; or ``demo``, a folder (from where the command runs), a name on the hub.
    base_url : str
        Of the endpoint; empty for the provider's own.
    key_variable : str
        Environment variable that holds the key; empty for the provider's usual one.
    temperature : float
        Of sampling, 0 to 2.
    top_p : float
        Smallest set of tokens with so much probability is sampled from; above 0, up to 1.
    max_tokens : int
        Longest reply, in tokens.
    timeout_s : float
        Longest wait for a reply, in seconds.
    """

    provider: str = "hf"
    model: str = "demo"
    base_url: str = ""
    key_variable: str = ""
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1_024
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        check_choice("provider of [model]", self.provider, PROVIDERS)
        check_name("model of [model]", self.model)
        check_number("temperature of [model]", self.temperature, 0, 2)
        check_number("top_p of [model]", self.top_p, 1e-6, 1)
        check_whole("max_tokens of [model]", self.max_tokens, 1)
        check_number("timeout_s of [model]", self.timeout_s, 0.001)
        given = [name for name in ("base_url", "key_variable") if getattr(self, name)]
        if given and self.provider == "hf":
            raise ConfigError(f"{given[0]} of [model] goes with an endpoint; the provider is 'hf'.")
        object.__setattr__(self, "base_url", self.base_url or BASE_URLS[self.provider])
        object.__setattr__(self, "key_variable", self.key_variable or KEY_VARIABLES[self.provider])
        self._check_endpoint()

    def _check_endpoint(self) -> None:
        check_key_variable("key_variable of [model]", self.key_variable)
        if self.provider == "hf":
            return
        check_name("base_url of [model]", self.base_url)
        check_base_url("base_url of [model]", self.base_url)


@dataclass(frozen=True)
class RequestConfig:
    """What one request asks for.

    Parameters
    ----------
    items : int
        Items of one stratum.
    examples : int
        Real exemplars of the stratum or gap that are shown.
    """

    items: int = 5
    examples: int = 0

    def __post_init__(self) -> None:
        check_whole("items of [request]", self.items, 1)
        check_whole("examples of [request]", self.examples, 0)


@dataclass(frozen=True)
class LimitsConfig:
    """How fast a run may be and what it may use up; 0 is no limit.

    Parameters
    ----------
    concurrency : int
        Requests under way at a time, at least 1.
    requests_per_minute, tokens_per_minute : int
        Rates.
    max_requests, max_tokens : int
        Of the whole run folder.
    max_cost : float
        Of the whole run folder, in the price's currency; wants ``[price]``.
    """

    concurrency: int = 8
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_requests: int = 0
    max_tokens: int = 0
    max_cost: float = 0.0

    def __post_init__(self) -> None:
        check_whole("concurrency of [limits]", self.concurrency, 1)
        for name in ("requests_per_minute", "tokens_per_minute", "max_requests", "max_tokens"):
            check_whole(f"{name} of [limits]", getattr(self, name), 0)
        check_number("max_cost of [limits]", self.max_cost, 0)


@dataclass(frozen=True)
class PriceConfig:
    """What tokens cost.

    Parameters
    ----------
    input_per_million, output_per_million : float
        For a million tokens read and written.
    currency : str
        Shown beside every amount.
    """

    input_per_million: float
    output_per_million: float
    currency: str = "USD"

    def __post_init__(self) -> None:
        check_number("input_per_million of [price]", self.input_per_million, 0)
        check_number("output_per_million of [price]", self.output_per_million, 0)
        check_name("currency of [price]", self.currency)
