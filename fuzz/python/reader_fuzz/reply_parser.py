"""Replies of models: what a provider sends, and what in it becomes items, labels and verdicts.

The first byte says what the rest is: ``o`` a body as OpenAI's, ``a`` one as Anthropic's, ``t`` the text of a
completion, which is put into a body. The second byte says how the teacher reads: ``t`` keeps what is cut
short, ``i`` refusals, ``b`` reasoning, ``a`` all of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reader_fuzz.mutation import HEAD_BYTES, Mutator, kind_of
from reader_fuzz.promises import check, outcome
from reader_fuzz.targets import Target
from tasksel.endpoint import Endpoint, Reply
from tasksel.engines.openai_replies import read_completion
from tasksel.judge import OUTCOMES, read_verdict
from tasksel.providers import Answer, AnthropicProvider, OpenAIProvider
from tasksel.providers.chat import usage_of
from tasksel.synthesis.checkers_judge import read_choice
from tasksel.synthesis.config_file import parse_config
from tasksel.synthesis.item_intake import REASONS as ITEM_REASONS
from tasksel.synthesis.item_intake import ItemIntake
from tasksel.synthesis.items import item_json
from tasksel.synthesis.planned_examples import PlannedExample
from tasksel.synthesis.records import write_record
from tasksel.synthesis.replies import REPAIRS, parse_reply
from tasksel.task_discovery.tagging import read_tag
from tasksel.teacher import TeacherSettings
from tasksel.teacher.replies import REASONS as ANSWER_REASONS
from tasksel.teacher.replies import read_answer, repeats_prompt, split_reasoning
from tasksel.teacher.votes import vote

if TYPE_CHECKING:
    from tasksel.providers import Completion

__all__ = ["TARGET", "check_reply_parser"]

_HEADS: Final = b"oat"
_URL: Final = "http://localhost:1/v1"
_PROMPT: Final = "Name the capital of France."
_FIELDS: Final = ("text", "rating")
_KEPT: Final = {
    b"t": ("keep_truncated",),
    b"i": ("keep_refusals",),
    b"b": ("keep_reasoning",),
    b"a": ("keep_truncated", "keep_refusals", "keep_reasoning"),
}
_SCHEMA: Final = {
    "type": "object",
    "required": ["text", "rating"],
    "properties": {
        "text": {"type": "string", "minLength": 3, "pattern": "^[^#]"},
        "rating": {"type": "integer", "minimum": 1, "maximum": 5},
        "more": {"type": "array", "items": {"multipleOf": 0.5}, "uniqueItems": True},
    },
}
_CONFIG: Final = parse_config(
    {
        "total": 20,
        "seed": 0,
        "instructions": "Write reviews of a shop.",
        "tiers": [8],
        "language": "en",
        "strata": {"allocate": "equal", "levels": {"product": ["phone", "watch"], "rating": ["1", "5"]}},
        "schema": _SCHEMA,
        "record": {"prompt": "{text} {more}", "response": "{rating}"},
        "model": {"provider": "openai", "model": "scripted", "base_url": _URL, "timeout_s": 5.0},
    },
    name="reviews",
    folder=Path(),
)
_EXAMPLES: Final = tuple(
    PlannedExample(f"s-{number:06}", 8, "phone/1", {"product": "phone", "rating": "1"}, edge)
    for number, edge in enumerate((None, None, "missing", None))
)
MUTATOR: Final = Mutator(
    heads=_HEADS,
    json=b"oat",
    names=(
        "choices",
        "message",
        "content",
        "refusal",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "stop_reason",
        "type",
        "text",
        "rating",
        "more",
        "items",
        "data",
        "item",
        "logprobs",
        "top_logprobs",
        "token",
        "logprob",
        "token_logprobs",
        "tokens",
        "token_ids",
        "name",
        "description",
        "total_tokens",
    ),
)


def check_reply_parser(data: bytes) -> None:
    """Read a reply in all the ways in which replies are read; nothing may be raised.

    Raises
    ------
    BrokenPromiseError, or anything that no reader may raise
    """
    head = kind_of(data, _HEADS)
    content = data[HEAD_BYTES:].decode("utf-8", "surrogateescape" if data[1:2] == b"b" else "replace")
    text = content if head == b"t" else ""
    endpoint = Endpoint(_URL)
    provider = AnthropicProvider(endpoint, "m") if head == b"a" else OpenAIProvider(endpoint, "m")
    body = json.dumps({"choices": [{"message": {"content": text}}]}) if head == b"t" else content
    answer = Answer(Reply(200, body))
    completion = provider.read(answer.reply)
    _check_completion(completion)
    if head == b"t":
        check(completion.text == text, "the text of a completion is another")
    _check_verdict(body)
    _check_other_readers(body, completion.text)
    _check_teacher(answer, provider, dict.fromkeys(_KEPT.get(data[1:2], ()), True))
    _check_items(completion.text)
    _check_intake(answer, provider)


def _check_completion(completion: Completion) -> None:
    check(isinstance(completion.text, str), f"the text is {completion.text!r}")
    check(completion.outcome in ("text", "refusal", "filtered", "unreadable"), completion.outcome)
    usage = usage_of(completion, 100)
    check(usage.input_tokens >= 0 and usage.output_tokens >= 0, f"the usage is {usage}")


def _check_verdict(body: str) -> None:
    preference, outcome = read_verdict(Reply(200, body))
    check(outcome in OUTCOMES, outcome)
    check((preference is None) == (outcome not in ("preference", "tie")), f"{outcome}: {preference}")
    check(preference is None or 1.0 <= preference <= 2.0, f"the preference is {preference}")


def _check_other_readers(body: str, text: str) -> None:
    """Read a reply as the scores of an engine, as a label of a judge, and as the name of a task."""
    read = outcome(lambda: read_completion(body, top_k=2))
    if not isinstance(read, str) and read.generation is not None:
        generation = read.generation
        n_tokens = len(generation.token_logprobs)
        check(
            generation.token_ids is None or len(generation.token_ids) == n_tokens, "ids and logprobs differ"
        )
        check((generation.token_logprobs <= 0).all(), "a logprob is above 0, or NaN")
    label, _ = read_choice(Reply(200, body), ["angry", "calm"])
    check(label in (None, "angry", "calm"), f"the label is {label!r}")
    tag = read_tag(text)
    check(tag is None or tag[0].isprintable(), f"the name of a task is {tag!r}")


def _check_teacher(answer: Answer, provider: Any, kept: dict[str, bool]) -> None:
    settings = TeacherSettings("m", endpoint=_URL, **kept)
    reading = read_answer(answer, provider, _PROMPT, settings)
    check(reading is not None, "an answered request is unanswered")
    check(reading.reason in (*ANSWER_REASONS, ""), f"the reason is {reading.reason!r}")
    check(len(reading.detail) <= 200, "the detail is long")
    check(
        not reading.is_answer or reading.text.strip() == reading.text != "", "a label is blank, or has edges"
    )
    check(split_reasoning(reading.text, keep=True) == (reading.text, False), "the text has edges")
    check(not (reading.is_answer and repeats_prompt(reading.text, _PROMPT)), "the prompt is an answer")
    if reading.text:
        chosen = vote(["Paris", reading.text, reading.text])
        check(chosen.votes >= 2 and 0 < chosen.agreement <= 1, f"the vote is {chosen}")


def _check_items(text: str) -> None:
    parsed = parse_reply(text, _FIELDS)
    check(set(parsed.repairs) <= set(REPAIRS), f"the repairs are {parsed.repairs}")
    check(not (parsed.items and parsed.problem), "there are items, and none")
    check(
        parse_reply(text, _FIELDS) == parsed or _holds_nan(parsed.items), "read again, the items are others"
    )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(value, list) and value and all(isinstance(each, dict) and "text" in each for each in value):
        check(repr(list(parsed.items)) == repr(value), "what is right was mended")


def _holds_nan(value: Any) -> bool:
    """Whether a value differs from itself."""
    return "nan" in repr(value).lower()


def _check_intake(answer: Answer, provider: Any) -> None:
    intake = ItemIntake(_CONFIG, provider)
    taken = intake.take(_EXAMPLES, "key", answer)
    rejected = {each.example.plan_id for each in taken.rejects}
    check(len(rejected) == len(taken.rejects), "an example was rejected twice")
    check(not rejected & set(intake.accepted), "an example was accepted and rejected")
    check(len(rejected) + len(intake.accepted) == len(_EXAMPLES), "an example is neither")
    check(all(each.reason in ITEM_REASONS for each in taken.rejects), "a reason is none")
    by_id = {each.plan_id: each for each in _EXAMPLES}
    for plan_id, accepted in intake.accepted.items():
        check(json.loads(item_json(accepted.content)) == accepted.content, "an item is another after JSON")
        prompt, response = write_record(_CONFIG.record, by_id[plan_id], accepted.content)
        f"{prompt}{response}".encode()  # no half of a surrogate pair
    adopting = ItemIntake(_CONFIG, provider)
    adopting.adopt(_EXAMPLES, "key", answer)
    check(
        set(intake.accepted) <= set(adopting.accepted) or not intake.accepted, "what was taken is not adopted"
    )


TARGET: Final = Target(check_reply_parser, MUTATOR)
