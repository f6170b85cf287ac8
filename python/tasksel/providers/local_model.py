"""A Hugging Face model in this process, several requests at a time, held to a JSON schema."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel.causal_model import CausalModel, find_model_folder, load_model, model_sha256, suitable_threads
from tasksel.device_memory import is_out_of_memory
from tasksel.endpoint import Reply
from tasksel.prompt_encoding import PromptEncoder, pad_left
from tasksel.providers.constrained_decoding import Grammars, RowSampler, ScheduledSampler, bounded_schema
from tasksel.providers.openai_chat import read_chat_completion
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasksel.providers.chat import ChatRequest, Completion

__all__ = ["LocalModelProvider"]

_BATCH_REQUESTS: Final = 8


class LocalModelProvider:
    """A model in a folder, in the hub's cache or inside the package.

    It is loaded when it is first asked. A prompt that does not fit the context is cut from the left, and the
    reply says by how much (``truncated_tokens``). Replies have the form of chat completions.

    Parameters
    ----------
    model : str
        A folder, a name on the hub, or ``demo``.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    batch_requests : int
        Requests at a time.

    Raises
    ------
    ConfigError
        There is no such model, when it is first needed.
    MissingExtraError
        torch, transformers or llguidance is not installed, when they are first needed.
    """

    def __init__(self, model: str, *, device: str = "auto", batch_requests: int = _BATCH_REQUESTS) -> None:
        self.model = model
        self.device = device
        self.batch_requests = batch_requests

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of the model's files."""
        return model_sha256(find_model_folder(self.model))

    @functools.cached_property
    def _causal_model(self) -> CausalModel:
        return load_model(self.model, device=self.device)

    @functools.cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self._causal_model)

    def make_body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the body of a request; the model's hash in it keeps another model's replies apart."""
        body = {
            "model": self.model,
            "model_sha256": self.sha256,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "schema": request.schema,
        }
        return body if request.seed is None else {**body, "seed": request.seed}

    def read(self, reply: Reply) -> Completion:
        """Read a reply."""
        return read_chat_completion(reply.body)

    def answer(self, bodies: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[Reply]:
        """Answer several requests; equal bodies and seeds in equal batches give equal replies.

        Parameters
        ----------
        bodies : sequence of mapping
            From `make_body`.
        seeds : sequence of int
            One for each.

        Returns
        -------
        list of Reply
            In the order of the bodies.

        Raises
        ------
        ConfigError
            The schema cannot be made a grammar, or a request does not fit into the device's memory.
        """
        if not bodies:
            return []
        with suitable_threads(self._causal_model):
            return self._answer(bodies, seeds)

    def _answer(self, bodies: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[Reply]:
        try:
            return self._generate(bodies, seeds)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(bodies) == 1:
                raise ConfigError(
                    f"A request does not fit into the memory of {self._causal_model.device}; ask for fewer "
                    "items a request, lower max_tokens, or use a smaller model."
                ) from error
        # Outside the handler, whose traceback would keep the tensors of the failed batch alive.
        half = len(bodies) // 2
        return self._answer(bodies[:half], seeds[:half]) + self._answer(bodies[half:], seeds[half:])

    def _generate(self, bodies: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[Reply]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        causal_model = self._causal_model
        limits = [self._room(int(body["max_tokens"])) for body in bodies]
        encoder = PromptEncoder(causal_model, prompt_template=None, max_new_tokens=max(limits))
        prompts = encoder.encode([_as_prompt(body["messages"]) for body in bodies])
        rows = [self._row(*each) for each in zip(bodies, seeds, limits, strict=True)]
        input_ids, attention_mask = pad_left([each.token_ids for each in prompts], causal_model.pad_id)
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max(limits),
            eos_token_id=list(causal_model.eos_ids),
            pad_token_id=causal_model.pad_id,
        )
        with torch.inference_mode():
            causal_model.model.generate(
                input_ids=torch.from_numpy(input_ids).to(causal_model.device),
                attention_mask=torch.from_numpy(attention_mask).to(causal_model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([ScheduledSampler(rows)]),
            )
        return [
            self._reply(row, len(prompt.token_ids), prompt.truncated_tokens, limit)
            for row, prompt, limit in zip(rows, prompts, limits, strict=True)
        ]

    def _room(self, max_tokens: int) -> int:
        """Return the longest reply: at most half of the context, so that the request has the other."""
        context = self._causal_model.context_tokens
        return max_tokens if context is None else max(1, min(max_tokens, context // 2))

    def _row(self, body: Mapping[str, Any], seed: int, limit: int) -> RowSampler:
        schema = body["schema"]
        return RowSampler(
            matcher=None if schema is None else self._grammars.matcher(bounded_schema(schema, limit)),
            rng=np.random.default_rng(seed),
            temperature=float(body["temperature"]),
            top_p=float(body["top_p"]),
            max_tokens=limit,
            eos_ids=self._causal_model.eos_ids,
            closing_ids=() if schema is None else self._grammars.closing_ids,
        )

    def _reply(self, row: RowSampler, prompt_tokens: int, truncated_tokens: int, limit: int) -> Reply:
        token_ids = row.token_ids[:limit]
        text = self._causal_model.tokenizer.decode(
            token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        is_whole = row.has_ended or (row.matcher is not None and row.matcher.is_stopped())
        choice = {"message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(token_ids)}
        content = {
            "choices": [{**choice, "finish_reason": "stop" if is_whole else "length"}],
            "usage": usage,
            "truncated_tokens": truncated_tokens,
        }
        return Reply(200, json.dumps(content, ensure_ascii=False))


def _as_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    """Put a conversation into one prompt, as the encoder takes it; roles stand before later turns.

    A single turn is the prompt as it stands, which is what the verbs that score and evaluate give a model.
    """
    if len(messages) == 1:
        return messages[0]["content"]
    parts = []
    for position, message in enumerate(messages):
        is_opening = message["role"] == "system" or all(
            each["role"] != "assistant" for each in messages[:position]
        )
        opening = is_opening and message["role"] != "assistant"
        parts.append(message["content"] if opening else f"{message['role']}: {message['content']}")
    return "\n\n".join(parts) + "\n\n"
