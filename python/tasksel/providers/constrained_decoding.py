"""A local model held to a JSON schema: of each next token only those are left that the schema allows.

llguidance turns the schema into a grammar and says after each token which ones may follow. Here the token is
drawn as well, since every request has a random stream of its own, whichever requests share its batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel

__all__ = ["Grammars", "RowSampler", "ScheduledSampler", "bounded_schema", "sample_token"]

_CHARS_PER_TOKEN: Final = 2
"""A bound for what has none: so many characters of text fit a token with nearly every tokenizer."""
_FEWEST_CHARS: Final = 16
_MOST_ITEMS: Final = 4
_LARGEST_NUMBER: Final = 1_000_000
_SMALLEST_STEP: Final = 0.01
_FREE_TEXT_KEYS: Final = ("pattern", "format", "enum", "const")
_CLOSING: Final = ('"', "}", "]")
"""What ends a value soonest, tried in this order: inside a text only the quote ends anything."""
_LOOK_AHEAD_TOKENS: Final = 16
_CHILDREN: Final = ("properties", "$defs", "definitions")
_CHILD_LISTS: Final = ("prefixItems", "anyOf", "oneOf", "allOf")


def bounded_schema(schema: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """Bound what a schema leaves open, so that a model which never tires comes to an end.

    Texts get their share of the reply's length, lists a few entries, numbers a million and two decimals;
    objects get no fields that the schema does not name. What the schema bounds more narrowly stays, and what
    it forbids stays forbidden.

    Parameters
    ----------
    schema : mapping
        JSON Schema.
    max_tokens : int
        Longest reply.

    Examples
    --------
    >>> bounded_schema({"type": "object", "properties": {"text": {"type": "string"}}}, 100)["properties"]
    {'text': {'type': 'string', 'maxLength': 200}}
    """
    n_texts = max(1, _count_texts(schema))
    max_chars = max(_FEWEST_CHARS, max_tokens * _CHARS_PER_TOKEN // n_texts)
    bounded: dict[str, Any] = _bounded(schema, max_chars)
    return bounded


def _bounded(schema: Any, max_chars: int) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = {key: _bounded_child(key, value, max_chars) for key, value in schema.items()}
    kinds = found.get("type")
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds or ())
    if "string" in kinds and not any(key in found for key in _FREE_TEXT_KEYS):
        most = min(found.get("maxLength", max_chars), max_chars)
        found["maxLength"] = max(most, found.get("minLength", 0))
    if "array" in kinds and "items" in found and found["items"] is not False:
        found.setdefault("maxItems", max(_MOST_ITEMS, found.get("minItems", 0)))
    if {"integer", "number"} & set(kinds) and "enum" not in found and "const" not in found:
        if "maximum" not in found and "exclusiveMaximum" not in found:
            found["maximum"] = max(
                _LARGEST_NUMBER, found.get("minimum", found.get("exclusiveMinimum", 0)) + 1
            )
        if "minimum" not in found and "exclusiveMinimum" not in found:
            found["minimum"] = min(-_LARGEST_NUMBER, found.get("maximum", 0))
        if "number" in kinds:
            found.setdefault("multipleOf", _SMALLEST_STEP)
    if "object" in kinds and "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def _bounded_child(key: str, value: Any, max_chars: int) -> Any:
    if key in _CHILDREN and isinstance(value, dict):
        return {name: _bounded(each, max_chars) for name, each in value.items()}
    if key in _CHILD_LISTS and isinstance(value, list):
        return [_bounded(each, max_chars) for each in value]
    return _bounded(value, max_chars) if key == "items" else value


def _count_texts(schema: Any) -> int:
    """Count the free texts that one reply holds."""
    if not isinstance(schema, dict):
        return 0
    is_text = schema.get("type") == "string" and not any(key in schema for key in _FREE_TEXT_KEYS)
    count = int(is_text) + sum(map(_count_texts, schema.get("properties", {}).values()))
    count += sum(map(_count_texts, schema.get("prefixItems", [])))
    return count + _count_texts(schema.get("items")) * max(1, int(schema.get("minItems", 1)))


class Grammars:
    """Makes a matcher for each schema; the tokenizer is taken apart once.

    Parameters
    ----------
    causal_model : CausalModel
        Its tokenizer and end tokens.

    Attributes
    ----------
    closing_ids : tuple of int
        Tokens that end a text, an object and an array.

    Raises
    ------
    MissingExtraError
        llguidance is not installed.
    ConfigError
        The tokenizer is not a fast one, or the model has no end token.
    """

    def __init__(self, causal_model: CausalModel) -> None:
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError("Writing with a local model", "synth") from error
        if not causal_model.eos_ids:
            raise ConfigError("The model names no end token, so that it cannot be held to a schema.")
        try:
            self._tokenizer = from_tokenizer(
                causal_model.tokenizer,
                n_vocab=causal_model.n_embeddings,
                eos_token=list(causal_model.eos_ids),
            )
        except ValueError as error:
            raise ConfigError(f"The model's tokenizer cannot be held to a schema: {error}") from error
        self._matcher = LLMatcher
        self._grammars: dict[str, str] = {}
        closing = [self._tokenizer.greedy_tokenize(text) for text in _CLOSING]
        self.closing_ids = tuple(ids[0] for ids in closing if len(ids) == 1)

    def matcher(self, schema: Mapping[str, Any]) -> Any:
        """Return a matcher at the beginning of a reply.

        Raises
        ------
        ConfigError
            The schema is none, or cannot be made a grammar.
        """
        text = json.dumps(schema)
        if text not in self._grammars:
            # Lenient: what a grammar cannot hold (uniqueItems, not) is left to the check of each item.
            self._grammars[text] = self._matcher.grammar_from_json_schema(
                text, overrides={"whitespace_flexible": False, "lenient": True}
            )
        matcher = self._matcher(self._tokenizer, self._grammars[text], log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().strip().splitlines()[0]
            raise ConfigError(f"[schema] cannot be made a grammar for a local model: {reason[:200]}")
        return matcher


def sample_token(logits: npt.NDArray[np.float64], uniform: float, *, temperature: float, top_p: float) -> int:
    """Draw a token by inverting the distribution function at `uniform`.

    Parameters
    ----------
    logits : ndarray of float64, shape (n_tokens,)
        Minus infinity for what is forbidden; at least one is finite.
    uniform : float
        From 0 to below 1.
    temperature : float
        0 is the most likely token.
    top_p : float
        The most likely tokens that have this probability together, or more, are drawn from.

    Examples
    --------
    >>> sample_token(np.array([0.0, -np.inf, 0.0]), 0.75, temperature=1.0, top_p=1.0)
    2
    """
    if temperature == 0.0:
        return int(logits.argmax())
    probabilities = np.exp((logits - logits.max()) / temperature)
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")
    cumulative = probabilities[order].cumsum()
    n_kept = int(np.searchsorted(cumulative, min(top_p, cumulative[-1]))) + 1
    n_kept = min(n_kept, int(np.count_nonzero(probabilities)))
    drawn = np.searchsorted(cumulative[:n_kept], uniform * cumulative[n_kept - 1], side="right")
    return int(order[min(int(drawn), n_kept - 1)])


@dataclass
class RowSampler:
    """The state of one request while it is written.

    Near its longest reply only what ends values soonest is drawn, so that the reply is whole: a model that
    repeats itself would otherwise be cut off inside a text.

    Parameters
    ----------
    matcher : Any
        Of llguidance; None for free text.
    rng : numpy.random.Generator
        Its own stream.
    temperature, top_p : float
        Of sampling.
    max_tokens : int
        Longest reply.
    eos_ids, closing_ids : tuple of int
        End tokens; `Grammars.closing_ids`.
    """

    matcher: Any
    rng: np.random.Generator
    temperature: float
    top_p: float
    max_tokens: int
    eos_ids: tuple[int, ...]
    closing_ids: tuple[int, ...] = ()
    token_ids: list[int] = field(default_factory=list)
    has_ended: bool = False
    is_closing: bool = False

    def draw(self, logits: npt.NDArray[np.float64]) -> int:
        """Draw the next token; the end token once the reply is whole."""
        if self.has_ended or (self.matcher is not None and self.matcher.is_stopped()):
            self.has_ended = True
            return self.eos_ids[0]
        # Drawn whether it is needed or not, so that a step always takes one number of the stream.
        uniform = float(self.rng.random())
        token_id = self._next_token(logits, uniform)
        if self.matcher is not None:
            self.matcher.consume_token(token_id)
        if token_id in self.eos_ids:
            self.has_ended = True
        else:
            self.token_ids.append(token_id)
        return token_id

    def _next_token(self, logits: npt.NDArray[np.float64], uniform: float) -> int:
        if self.matcher is not None:
            allowed = _allowed(self.matcher, len(logits))
            if not self.is_closing:
                self.is_closing = self._must_close(len(logits))
            if self.is_closing:
                closing = self._closing(allowed)
                if closing is not None:
                    return closing
            logits = np.where(allowed, logits, -np.inf)
        return sample_token(logits, uniform, temperature=self.temperature, top_p=self.top_p)

    def _closing(self, allowed: npt.NDArray[np.bool_]) -> int | None:
        found = [each for each in (*self.eos_ids, *self.closing_ids) if allowed[each]]
        # Where several brackets may follow, the place is inside a text that is not long enough yet.
        is_inside_text = len(found) > 1 and not {found[0]} & {*self.eos_ids, *self.closing_ids[:1]}
        return None if is_inside_text or not found else found[0]

    def _must_close(self, n_tokens: int) -> bool:
        """Whether the shortest end, and the steps until the next look, fill the room that is left."""
        left = self.max_tokens - len(self.token_ids)
        if len(self.token_ids) % _LOOK_AHEAD_TOKENS or left > self.max_tokens // 2:
            return False
        return self._count_shortest_end(n_tokens, left) + 2 * _LOOK_AHEAD_TOKENS >= left

    def _count_shortest_end(self, n_tokens: int, most: int) -> int:
        """Count the tokens of an end that is about the shortest, without drawing any."""
        matcher = self.matcher.deep_copy()
        for count in range(most):
            if matcher.is_stopped():
                return count
            allowed = _allowed(matcher, n_tokens)
            closing = self._closing(allowed)
            if closing in self.eos_ids:
                return count
            matcher.consume_token(int(allowed.argmax()) if closing is None else closing)
        return most


@dataclass
class ScheduledSampler:
    """A logits processor that draws each row's token itself and leaves generation no other choice.

    Parameters
    ----------
    rows : sequence of RowSampler
        One for each row of the batch.
    """

    rows: Sequence[RowSampler]

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - the signature of transformers
        """Draw for every row, from `scores` (batch, vocabulary)."""
        logits = scores.detach().float().cpu().numpy().astype(np.float64)
        chosen = [row.draw(each) for row, each in zip(self.rows, logits, strict=True)]
        scores.fill_(float("-inf"))
        for position, token_id in enumerate(chosen):
            scores[position, token_id] = 0.0
        return scores


def _allowed(matcher: Any, n_tokens: int) -> npt.NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
    return bits[:n_tokens].astype(np.bool_)
