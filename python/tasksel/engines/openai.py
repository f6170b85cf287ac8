"""A server that speaks OpenAI's protocol as an engine of scoring: vLLM, SGLang, llama.cpp, OpenAI itself.

The server must give logprobs. It reads prompts with its own tokenizer: over HTTP a prompt that quotes a
special token holds it, an empty prompt may be refused, and a prompt that is too long is refused and not cut.
"""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tasksel.endpoint import DEFAULT_KEY_VARIABLE, Endpoint
from tasksel.engines.engine import EngineStart
from tasksel.engines.openai_replies import CompletionRead, IncompleteReplyError, read_completion
from tasksel.engines.openai_requests import APIS, Api, RequestForm, candidate_forms
from tasksel.engines.openai_run import AnswerRun, replies_path
from tasksel.engines.openai_sending import EndCounts, Sender, StopEvent
from tasksel.prompt_encoding import check_prompt_template
from tasksel.request_pacing import PacingSettings, RequestPacing
from tasksel.run_folder import text_sha256
from tasksel.whole_numbers import check_whole_numbers
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tasksel.endpoint import Reply
    from tasksel.engines.engine import AnsweredBatch, ShardPrompts

__all__ = ["OpenAIEngine", "replies_path"]

_OWN_HOST: Final = "api.openai.com"
_ANSWERED: Final = 200
_FEWEST_LISTED: Final = 2
"""A margin wants the two likeliest tokens."""
_MOST_NAMES: Final = 20
_QUICK_S: Final = 10.0
"""How long a question about the server itself may take; each may stay without an answer."""


class OpenAIEngine:
    """Answers prompts by way of an OpenAI-compatible server.

    Parameters
    ----------
    model : str
        Its name at the server.
    base_url : str
        For example ``http://localhost:8000/v1``.
    key_variable : str
        Environment variable that holds the key; the key is written nowhere.
    api : {"completions", "chat"}
        ``completions`` sends the prompt as it stands, or in `prompt_template`; ``chat`` sends it as a user's
        message, and the server puts it into the model's own template.
    top_logprobs : int, optional
        Likeliest tokens that the server is to list for each token, at least 2; entropy and margin are made
        from them. By default 20, or 5 where the server refuses 20.
    max_new_tokens : int
        Longest answer in tokens.
    prompt_template : str, optional
        Text with ``{prompt}`` once; with ``completions`` alone.
    max_concurrency : int
        Most requests under way. When the server is overloaded, fewer are sent for a while.
    timeout_s : float
        Longest wait for one reply.
    journal_folder : Path, optional
        Folder in which raw replies are kept, a file a shard (`replies_path`), before they are read; what is
        there is not asked again. The files are for the caller to delete once a shard is written.

    Attributes
    ----------
    ends : EndCounts
        How many answers ended with, and how many without, a logprob of the token that ended them.

    Raises
    ------
    ConfigError
        A setting is not one of those allowed, or the URL is none.

    Notes
    -----
    Whether the probability of the token that ends an answer is among those of its tokens depends on the
    server: vLLM and llama.cpp list it, others may not. `start` measures it and writes it down as
    ``includes_end_token``, with null where its small request did not show it.

    Where ``completions`` are answered without token ids, a list of likely tokens has one entry for all that
    are written alike, as parts of characters are; margin and entropy then know only one of them.
    """

    name = "openai"

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        key_variable: str = DEFAULT_KEY_VARIABLE,
        api: Api = "completions",
        top_logprobs: int | None = None,
        max_new_tokens: int = 256,
        prompt_template: str | None = None,
        max_concurrency: int = 32,
        timeout_s: float = 600.0,
        journal_folder: Path | None = None,
    ) -> None:
        if api not in APIS:
            raise ConfigError(f"api is {api!r}; allowed are {' and '.join(APIS)}.")
        check_whole_numbers({"max_new_tokens": max_new_tokens, "max_concurrency": max_concurrency})
        if top_logprobs is not None and top_logprobs < _FEWEST_LISTED:
            raise ConfigError(
                f"top_logprobs is {top_logprobs}; at least {_FEWEST_LISTED} are wanted, since a margin is "
                "the difference of two probabilities."
            )
        check_prompt_template(prompt_template)
        if api == "chat" and prompt_template is not None:
            raise ConfigError(
                "A prompt template goes with the api completions; with chat the server puts prompts into the "
                "model's own template."
            )
        self.model = model
        self.endpoint = Endpoint(base_url, key_variable=key_variable, timeout_s=timeout_s)
        self.max_concurrency = max_concurrency
        self.journal_folder = journal_folder
        self.pacing_settings = PacingSettings(concurrency=max_concurrency)
        self._api: Api = api
        self._top_logprobs = top_logprobs
        self._max_new_tokens = max_new_tokens
        self._prompt_template = prompt_template
        self._form: RequestForm | None = None
        self.ends = EndCounts()
        self._stops: list[StopEvent] = []

    @property
    def settings(self) -> Mapping[str, Any]:
        """What answers depend on; not where the server is."""
        return {
            "api": self._api,
            "top_logprobs": "auto" if self._top_logprobs is None else self._top_logprobs,
            "max_new_tokens": self._max_new_tokens,
            "prompt_template": self._prompt_template,
            "includes_end_token": "auto",
            "tells_token_ids": "auto",
        }

    def identify_model(self) -> dict[str, Any]:
        """Return the model's name and the hash of it: the weights are not ours to see.

        The same model at another address goes on; that a server changes the weights behind a name is not
        noticed.
        """
        return {"name": self.model, "sha256": text_sha256(self.model)}

    def start(self) -> EngineStart:
        """Ask the server for the model, and for a tiny answer that shows what it gives.

        Raises
        ------
        ConfigError
            The model is not among those that the server lists, or it refuses to list the likeliest tokens.
        ProviderError
            The server does not answer, or gives no logprobs.
        """
        return self._begin()[1]

    def answer(self, shards: Iterable[ShardPrompts], stopped: threading.Event) -> Iterator[AnsweredBatch]:
        """Answer every prompt that has no answer yet; see `Engine.answer`.

        Equal prompts of a shard are asked once. A prompt that the server refuses, or fails on while it
        answers others, gets an answer without a generation.

        Raises
        ------
        ProviderError
            The server is given up, or no request can fare better. What was answered is yielded before.
        OSError
            A raw reply could not be written down.
        """
        form = self._form or self._begin()[0]
        own_stop = StopEvent(stopped)
        self._stops.append(own_stop)
        sender = Sender(self.endpoint, form, RequestPacing(self.pacing_settings), own_stop, self.ends)
        run = AnswerRun(
            sender, shards, max_concurrency=self.max_concurrency, journal_folder=self.journal_folder
        )
        try:
            yield from run.batches()
        finally:
            self._stops.remove(own_stop)

    def close(self) -> None:
        """Stop what is under way; connections are those of its threads. May be called twice."""
        for stop in list(self._stops):
            stop.set()

    def _begin(self) -> tuple[RequestForm, EngineStart]:
        listed = self._find_models()
        if listed and self.model not in listed:
            names = ", ".join(map(repr, sorted(listed)[:_MOST_NAMES]))
            raise ConfigError(f"The server has no model {self.model!r}; it lists {names}.")
        form, reply = self._probe()
        try:
            read = read_completion(reply.body, top_k=form.top_logprobs)
        except IncompleteReplyError:
            read = CompletionRead(None, None, None, None)
        self._form = form
        tells_ids = read.generation is not None and read.generation.token_ids is not None
        found = {
            "top_logprobs": form.top_logprobs,
            # The servers that tell ids are vLLM and llama.cpp, and both list the end token.
            "includes_end_token": tells_ids or read.has_end_token,
            "tells_token_ids": tells_ids,
        }
        versions = self._find_versions(reply, listed.get(self.model))
        return form, EngineStart(settings={**self.settings, **found}, versions=versions)

    def _probe(self) -> tuple[RequestForm, Reply]:
        """Find the form in which the server takes requests."""
        forms = candidate_forms(
            model=self.model,
            api=self._api,
            max_new_tokens=self._max_new_tokens,
            prompt_template=self._prompt_template,
            top_logprobs=self._top_logprobs,
            is_own_host=urllib.parse.urlsplit(self.endpoint.base_url).hostname == _OWN_HOST,
        )
        for form in forms:
            reply = self.endpoint.post(form.path, form.make_probe())
            if reply.status == _ANSWERED:
                return form, reply
        raise ConfigError(self.endpoint.describe(reply, "to every form of a request for logprobs"))

    def _find_models(self) -> dict[str, Mapping[str, Any]]:
        """Return what the server lists by name; nothing where it has no such list."""
        content = self._ask(self.endpoint, "models")
        entries = content.get("data")
        entries = [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
        return {str(each["id"]): each for each in entries if "id" in each}

    def _find_versions(self, reply: Reply, listed: Mapping[str, Any] | None) -> dict[str, str]:
        """Return what the server tells of itself, and its host without port, path or user."""
        content = json.loads(reply.body)
        root = self.endpoint.base_url.rstrip("/").removesuffix("/v1")
        told = {
            "host": urllib.parse.urlsplit(root).hostname,
            "server": None if listed is None else listed.get("owned_by"),
            "server_version": self._ask(replace(self.endpoint, base_url=root), "version").get("version"),
            "system_fingerprint": content.get("system_fingerprint"),
            "served_model": content.get("model"),
        }
        return {name: value for name, value in told.items() if isinstance(value, str) and value}

    def _ask(self, endpoint: Endpoint, path: str) -> Mapping[str, Any]:
        """Read a path that a server may not have; nothing where it has not."""
        if path == "version" and urllib.parse.urlsplit(endpoint.base_url).hostname == _OWN_HOST:
            return {}
        reply = replace(endpoint, timeout_s=min(_QUICK_S, endpoint.timeout_s)).attempt(path, None).reply
        if reply is None or reply.status != _ANSWERED:
            return {}
        try:
            content = json.loads(reply.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}
