"""Who the teacher is, how it is asked, and how much it may use up."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model_folder import EMBEDDED_MODEL
from tasksel.endpoint import check_base_url, check_key_variable
from tasksel.file_places import is_folder
from tasksel.prompt_encoding import PLACEHOLDER, check_prompt_template
from tasksel.providers import BASE_URLS, KEY_VARIABLES, PROVIDERS, provider_by_name
from tasksel.request_pacing import PacingSettings
from tasksel.spending_caps import Price, SpendingCaps
from tasksel.toml_file import check_choice, check_flag, check_number, check_text, check_whole
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from tasksel.providers import LocalProvider, RemoteProvider

__all__ = ["TeacherLimits", "TeacherSettings"]

_LOCAL: Final = "hf"
_READING: Final = ("keep_truncated", "keep_refusals", "keep_reasoning")
_SAMPLED_TEMPERATURE: Final = 0.7
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound
_SHORTEST_KEY: Final = 8
_CAP_NAME: Final = "max_total_tokens"


@dataclass(frozen=True)
class TeacherSettings:
    """Which model answers, how it is asked, and what of its replies becomes a label.

    Parameters
    ----------
    model : str
        The endpoint's name of it; for ``hf`` a folder, a name on the hub, or ``demo``.
    provider : {"openai", "anthropic", "hf"}, optional
        Any OpenAI-compatible endpoint, Anthropic's, or a local model. By default ``openai`` where an
        `endpoint` is given, and ``hf`` for ``demo`` and folders.
    endpoint : str
        Base URL; empty for the provider's own.
    key_variable : str
        Environment variable that holds the key; empty for the provider's usual one.
    system : str
        System message before each prompt; empty for none.
    prompt_template : str, optional
        Holds ``{prompt}`` once; the user's message is the prompt alone by default.
    temperature : float, optional
        0 to 2; by default 0, and 0.7 with several samples.
    top_p : float
        Above 0, up to 1.
    max_tokens : int
        Longest answer, in tokens.
    seed : int, optional
        Of sampling, sent to providers that take one (sample k is sent ``seed + k``).
    samples : int
        Answers to each prompt, of which the most frequent becomes the label.
    keep_truncated : bool
        Answers that were cut at `max_tokens` become labels too.
    keep_refusals : bool
        Refusals in words become labels too; a content filter's never do.
    keep_reasoning : bool
        Leave what stands in ``<think>`` at the beginning of an answer in the label.
    timeout_s : float
        Longest wait for a reply of an endpoint; nothing depends on it.
    device : str
        Of a local model.

    Raises
    ------
    ConfigError
        A value is none of those allowed, or a key stands where it would be written to a file.

    Examples
    --------
    >>> TeacherSettings("demo").provider, TeacherSettings("m", endpoint="http://localhost:8000/v1").provider
    ('hf', 'openai')
    >>> TeacherSettings("demo").annotator
    'teacher:demo'
    """

    model: str
    provider: str | None = None
    endpoint: str = ""
    key_variable: str = ""
    system: str = ""
    prompt_template: str | None = None
    temperature: float | None = None
    top_p: float = 1.0
    max_tokens: int = 1_024
    seed: int | None = None
    samples: int = 1
    keep_truncated: bool = False
    keep_refusals: bool = False
    keep_reasoning: bool = False
    timeout_s: float = 120.0
    device: str = "auto"

    def __post_init__(self) -> None:
        check_text("The model", self.model, may_be_empty=False)
        object.__setattr__(self, "provider", self._find_provider())
        self._check_values()
        if self.temperature is None:
            object.__setattr__(self, "temperature", _SAMPLED_TEMPERATURE if self.samples > 1 else 0.0)
        if self.samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"With temperature 0 all {self.samples} samples of a prompt are the same answer; raise the "
                "temperature, or ask for one sample."
            )
        self._check_address()
        self._refuse_written_key()

    @property
    def annotator(self) -> str:
        """What labels say of who gave them."""
        return f"teacher:{self.model_name}"

    @property
    def model_name(self) -> str:
        """The model as files name it: a folder without the way to it."""
        has_folder = self.is_local and is_folder(self.model)
        return Path(self.model).resolve().name if has_folder else self.model

    @property
    def is_local(self) -> bool:
        """Whether the model runs in this process."""
        return self.provider == _LOCAL

    def render(self, prompt: str) -> str:
        """Return the user's message for a prompt."""
        if self.prompt_template is None:
            return prompt
        # A replacement and no format: both may hold other braces.
        return self.prompt_template.replace(PLACEHOLDER, prompt)

    def make_provider(self) -> RemoteProvider | LocalProvider:
        """Return what answers; nothing is loaded or sent yet."""
        return provider_by_name(
            str(self.provider),
            self.model,
            base_url=self.endpoint,
            key_variable=self.key_variable,
            timeout_s=self.timeout_s,
            device=self.device,
        )

    def identity(self, model_sha256: str | None) -> dict[str, Any]:
        """Return all that replies depend on, as the settings file keeps it.

        Parameters
        ----------
        model_sha256 : str or None
            Of a local model's files.
        """
        content = asdict(self)
        for name in ("key_variable", "timeout_s", "device", *_READING):
            del content[name]
        content["model"] = self.model_name
        content["endpoint"] = _lasting_address(self.endpoint)
        return content | ({} if model_sha256 is None else {"model_sha256": model_sha256})

    @property
    def reading(self) -> dict[str, bool]:
        """What is made of replies: another way of reading them asks for none again."""
        return {name: getattr(self, name) for name in _READING}

    def _find_provider(self) -> str:
        if self.provider is not None:
            check_choice("The provider", self.provider, PROVIDERS)
            return self.provider
        if self.endpoint:
            return "openai"
        if self.model == EMBEDDED_MODEL or is_folder(self.model):
            return _LOCAL
        raise ConfigError(
            f"Where the model {self.model!r} is, is not said; give an endpoint (--endpoint URL), or a "
            f"provider (--provider {', '.join(PROVIDERS)})."
        )

    def _check_values(self) -> None:
        check_text("The system message", self.system)
        check_prompt_template(self.prompt_template)
        if self.temperature is not None:
            check_number("temperature", self.temperature, 0, 2)
        check_number("top_p", self.top_p, 1e-6, 1)
        check_whole("max_tokens", self.max_tokens, 1)
        check_whole("samples", self.samples, 1)
        check_number("timeout_s", self.timeout_s, 0.001)
        if self.seed is not None:
            check_whole("seed", self.seed, 0)
        for name in _READING:
            check_flag(name, getattr(self, name))

    def _check_address(self) -> None:
        provider = str(self.provider)
        check_key_variable("The key variable", self.key_variable)
        given = [name for name in ("endpoint", "key_variable") if getattr(self, name)]
        if self.is_local and given:
            raise ConfigError(f"{given[0]} goes with an endpoint; the provider is 'hf', a local model.")
        object.__setattr__(self, "endpoint", (self.endpoint or BASE_URLS[provider]).rstrip("/"))
        object.__setattr__(self, "key_variable", self.key_variable or KEY_VARIABLES[provider])
        if not self.is_local:
            check_base_url("The endpoint", self.endpoint)

    def _refuse_written_key(self) -> None:
        """Refuse a key among the settings, which are written to files; it is not quoted."""
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if len(key) < _SHORTEST_KEY:  # "EMPTY" and the like, for servers that take any
            return
        for name in ("model", "endpoint", "system", "prompt_template"):
            if key in (getattr(self, name) or ""):
                raise ConfigError(
                    f"The key in {self.key_variable} stands in {name} too, which is written to files; leave "
                    "it to the environment."
                )


def _lasting_address(endpoint: str) -> str:
    """Return an address without the port of a server on this machine, which changes from start to start."""
    parts = urllib.parse.urlsplit(endpoint)
    if parts.hostname not in _LOOPBACK:
        return endpoint
    return urllib.parse.urlunsplit((parts.scheme, "localhost", parts.path, "", ""))


@dataclass(frozen=True)
class TeacherLimits:
    """How fast a run may be and what it may use up; 0 is no limit.

    Parameters
    ----------
    concurrency : int
        Requests under way at a time, at least 1.
    requests_per_minute, tokens_per_minute : int
        Rates.
    max_requests, max_total_tokens : int
        Of the whole folder, in all its runs; tokens of prompts and answers together.
    max_cost : float
        Of the whole folder, in `currency`; wants both prices.
    input_price, output_price : float, optional
        For a million tokens read and written; without them no cost is known.
    currency : str
        Of the prices.

    Raises
    ------
    ConfigError
        A value is none of those allowed, one price is missing, or money is capped without prices.
    """

    concurrency: int = 8
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_requests: int = 0
    max_total_tokens: int = 0
    max_cost: float = 0.0
    input_price: float | None = None
    output_price: float | None = None
    currency: str = "USD"

    def __post_init__(self) -> None:
        check_whole("concurrency", self.concurrency, 1)
        for name in ("requests_per_minute", "tokens_per_minute", "max_requests", _CAP_NAME):
            check_whole(name, getattr(self, name), 0)
        check_number("max_cost", self.max_cost, 0)
        check_text("currency", self.currency, may_be_empty=False)
        for name in ("input_price", "output_price"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0)
        if (self.input_price is None) != (self.output_price is None):
            missing = "input_price" if self.input_price is None else "output_price"
            raise ConfigError(f"{missing} is missing; give both prices of a million tokens, or neither.")
        if self.max_cost and self.input_price is None:
            raise ConfigError(
                "max_cost wants input_price and output_price: without a price no cost is known."
            )

    @property
    def price(self) -> Price | None:
        """What tokens cost; None where that is not known."""
        if self.input_price is None or self.output_price is None:
            return None
        return Price(self.input_price, self.output_price, self.currency)

    def make_caps(self) -> SpendingCaps:
        """Return the caps, with nothing spent yet."""
        return SpendingCaps(
            max_requests=self.max_requests,
            max_tokens=self.max_total_tokens,
            max_cost=self.max_cost,
            price=self.price,
            total_cap_name=_CAP_NAME,
        )

    def make_pacing(self) -> PacingSettings:
        """Return how fast requests may follow each other."""
        return PacingSettings(self.concurrency, self.requests_per_minute, self.tokens_per_minute)
