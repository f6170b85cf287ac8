r"""What a model wrote becomes items, step by step; each repair that it took is named and counted.

Plain JSON comes first, so that what is right is never repaired. Nothing here invents content: what a reply
does not hold in full is left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["REPAIRS", "ParsedReply", "parse_reply"]

REPAIRS: Final = (
    "fence",
    "wrapper",
    "prose",
    "truncated",
    "json-lines",
    "trailing-comma",
    "control-characters",
    "smart-quotes",
    "single-object",
    "item-wrapper",
)
_WRAPPERS: Final = ("items", "data", "results", "examples", "records", "output", "response")
_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.DOTALL)
_END_OF_THOUGHT: Final = "</think>"
_DEEPEST_WRAPPER: Final = 2
_MOST_STARTS: Final = 8
_DECODER: Final = json.JSONDecoder()
_LOOSE_DECODER: Final = json.JSONDecoder(strict=False)


@dataclass(frozen=True)
class ParsedReply:
    """What was found in a reply.

    Parameters
    ----------
    items : tuple
        JSON values in their order; not checked.
    repairs : tuple of str
        Names from `REPAIRS`, in the order in which they were made.
    problem : str
        Why there is nothing, in words that can be sent back; empty where there is something.
    """

    items: tuple[Any, ...]
    repairs: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether the last item was cut short and left out."""
        return "truncated" in self.repairs


def parse_reply(text: str, fields: Collection[str] = ()) -> ParsedReply:
    r"""Find the items in what a model wrote.

    Parameters
    ----------
    text : str
        The reply.
    fields : collection of str
        Names of an item's fields: an object that has one of them is an item and no wrapper.

    Returns
    -------
    ParsedReply

    Examples
    --------
    >>> parse_reply('Sure!\n```json\n{"items": [{"a": 1},]}\n```')
    ParsedReply(items=({'a': 1},), repairs=('fence', 'trailing-comma', 'wrapper'), problem='')
    >>> parse_reply('[{"a": 1}, {"a": 2}, {"a":').items
    ({'a': 1}, {'a': 2})
    """
    stripped = text.strip().lstrip("\ufeff").strip()
    if not stripped:
        return ParsedReply((), problem="the reply is empty")
    for content, repairs in _candidates(stripped):
        found = _read(content)
        if found is not None:
            value, more = found
            items, unwrapping = _unwrapped(value, fields)
            all_repairs = (*repairs, *more, *unwrapping)
            # Brackets in prose may hold anything; only objects there are items.
            if items is not None and ("prose" not in all_repairs or _holds_objects(items)):
                return ParsedReply(tuple(items), all_repairs)
    return ParsedReply((), problem="the reply holds no JSON array of objects")


def _holds_objects(items: list[Any]) -> bool:
    return any(isinstance(each, dict) for each in items)


def _candidates(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give what could be the JSON: all of it, what stands in a fence, what begins at a bracket."""
    _, thinks, rest = text.rpartition(_END_OF_THOUGHT)
    if thinks and rest.strip():
        # What stands before may hold drafts of the items.
        yield from ((content, ("prose",)) for content, _ in _candidates(rest.strip()))
    if text[0] in "[{":
        yield text, ()
    for fenced in _FENCE.findall(text):
        inner = fenced.strip()
        for start in _brackets(inner)[:1]:
            yield inner[start:], ("fence",)
    for start in _brackets(text)[:_MOST_STARTS]:
        if start > 0:
            yield text[start:], ("prose",)


def _brackets(text: str) -> list[int]:
    """Find where JSON could begin: ``[`` or ``{`` before an object, an array or a text."""
    return [found.start() for found in re.finditer(r"\[\s*[\[{\"“\]]|\{\s*[\"“}]", text)]


def _read(text: str) -> tuple[Any, tuple[str, ...]] | None:
    """Read JSON at the beginning of `text`, repairing it only as far as it needs."""
    for repaired, repairs in _repaired(text):
        found = _decode(repaired)
        if found is not None:
            value, more = found
            return value, (*repairs, *more)
    for repaired, repairs in _repaired(text):
        complete = _complete_items(repaired)
        if complete:
            return complete, (*repairs, "truncated")
    return None


def _repaired(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield text, ()
    without_commas = _without_trailing_commas(text)
    if without_commas != text:
        yield without_commas, ("trailing-comma",)
    # Only where no straight quote stands: otherwise curly ones are part of a text.
    if '"' not in text and "“" in text:
        straight = text.replace("“", '"').replace("”", '"')
        yield _without_trailing_commas(straight), ("smart-quotes",)


def _decode(text: str) -> tuple[Any, tuple[str, ...]] | None:
    for decoder, repairs in ((_DECODER, ()), (_LOOSE_DECODER, ("control-characters",))):
        try:
            value, end = decoder.raw_decode(text)
        except (ValueError, RecursionError):
            continue
        rest = text[end:].strip()
        if isinstance(value, dict) and rest[:1] in ("{", ","):
            lines = _read_lines(text, decoder)
            if lines is not None:
                return lines, (*repairs, "json-lines")
        return value, (*repairs, *(("prose",) if rest.strip("`; \n") else ()))
    return None


def _read_lines(text: str, decoder: json.JSONDecoder) -> list[Any] | None:
    """Read objects that follow each other, on lines of their own or not; a last one may be cut short."""
    values: list[Any] = []
    position = 0
    while position < len(text):
        if text[position] != "{":
            break
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        values.append(value)
        gap = re.compile(r"[\s,]*").match(text, position)
        position = gap.end() if gap else position
    return values if len(values) > 1 else None


def _complete_items(text: str) -> list[Any]:
    """Read the items of an array that stops half-way, wherever the array stands in its wrappers."""
    start = re.match(r"(?:\{\s*\"[^\"]*\"\s*:\s*){0,2}\[", text)
    if start is None:
        return []
    values: list[Any] = []
    position = start.end()
    while True:
        gap = re.compile(r"[\s,]*").match(text, position)
        position = gap.end() if gap else position
        try:
            value, position = _LOOSE_DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return values
        # A number that the end cuts is not known to be whole; items are objects anyway.
        if not isinstance(value, dict):
            return values
        values.append(value)


def _without_trailing_commas(text: str) -> str:
    """Drop commas before a closing bracket, outside of texts."""
    return re.sub(r'("(?:[^"\\]|\\.)*"?)|,(?=\s*[\]}])', lambda found: found[1] or "", text, flags=re.DOTALL)


def _unwrapped(value: Any, fields: Collection[str]) -> tuple[list[Any] | None, tuple[str, ...]]:
    """Take the list out of the object around it; a lone item becomes a list."""
    repairs: list[str] = []
    for _ in range(_DEEPEST_WRAPPER):
        if not isinstance(value, dict) or set(value) & set(fields):
            break
        inner = _wrapped(value)
        if inner is None:
            break
        value = inner
        repairs.append("wrapper")
    if isinstance(value, dict):
        if fields and not set(value) & set(fields):
            return None, ()
        return [value], (*repairs, "single-object")
    if value and all(_is_item_wrapper(each, fields) for each in value):
        return [next(iter(each.values())) for each in value], (*repairs, "item-wrapper")
    return value, tuple(repairs)


def _wrapped(value: dict[str, Any]) -> Any:
    for name in _WRAPPERS:
        if isinstance(value.get(name), (list, dict)):
            return value[name]
    lists = [each for each in value.values() if isinstance(each, list)]
    if len(lists) == 1:
        return lists[0]
    if value and all(isinstance(each, dict) for each in value.values()):
        return list(value.values())
    return None


def _is_item_wrapper(value: Any, fields: Collection[str]) -> bool:
    """Whether an entry is ``{"item": {…}}``."""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and not set(value) & set(fields)
        and isinstance(next(iter(value.values())), dict)
    )
