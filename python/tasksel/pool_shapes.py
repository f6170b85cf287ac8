"""Shapes of a pool: which columns say what the prompt, the response, the task and the id are.

A shape is recognised by the names of its columns alone; their types are checked afterwards, so that a
file that was meant to have a shape is told what is wrong with it. Nothing here touches a row until the
frame is collected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import polars.selectors as cs

from tasksel.pool_dates import dates_as_text
from tasksel.suggestions import did_you_mean
from tasksel.wording import listed
from tasksel_core.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["CANONICAL_COLUMNS", "SHAPES", "TEXT_COLUMNS", "ShapePlan", "plan_shape"]

CANONICAL_COLUMNS: Final = ("id", "task", "prompt", "response")
SHAPES: Final = {
    "prompt-completion": "prompt, completion",
    "tasksel": "prompt, optional id, task, response",
    "messages": "messages: list of {role, content}",
    "sharegpt": "conversations: list of {from, value}",
    "alpaca": "instruction, optional input, output",
    "dolly": "instruction, context, response, category",
}
"""Shapes by name, with the columns that each one has."""

TEXT_COLUMNS: Final = frozenset(
    {*CANONICAL_COLUMNS, "completion", "instruction", "input", "output", "context", "category"}
)
"""Columns that are text by their meaning: a CSV prompt of digits stays the digits that it was."""

_TURN_FIELDS: Final = (("role", "content"), ("from", "value"))
_ROLES: Final = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}


@dataclass(frozen=True)
class ShapePlan:
    """How to make the canonical columns of one pool; nulls are still nulls.

    Parameters
    ----------
    shape : str
        One of `SHAPES`.
    columns : tuple of pl.Expr
        `id` (where the pool has ids), `task` (where it has tasks), `prompt`, `response` (where the shape
        has one), then every other column of the source.
    notes : tuple of str
        What a person should know about the choice, one short sentence each.
    """

    shape: str
    columns: tuple[pl.Expr, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Source:
    """The columns of a pool as they were found, with the name that an error gives to the pool."""

    name: str
    schema: pl.Schema

    def text(self, column: str) -> pl.Expr:
        """Give a column of text as String; a prompt of another type is refused."""
        dtype = self.schema[column]
        if not _is_text(dtype):
            other = ", or a list of {role, content} messages" if column == "prompt" else ""
            raise SchemaError(f"{self.name}: column {column!r} {_has_type(dtype)}; it must be text{other}.")
        return cs.by_name(column).cast(pl.String)

    def label(self, column: str, meaning: str) -> pl.Expr:
        """Give a column whose values can be written as text (numbers, categories, dates) as String."""
        dtype = self.schema[column]
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration):
            raise SchemaError(
                f"{self.name}: column {column!r} {_has_type(dtype)}; "
                f"{meaning} must be text, a number or a category."
            )
        expression = cs.by_name(column)
        if dtype in (pl.Date, pl.Datetime):
            return dates_as_text(expression.as_expr(), f"{self.name}: column {column!r}")
        return (expression.fill_nan(None) if dtype.is_float() else expression).cast(pl.String)

    def conversation(self, column: str) -> _Conversation | None:
        """Give a column of messages, or None if the column holds something else."""
        dtype = self.schema[column]
        if not isinstance(dtype, pl.List) or not isinstance(dtype.inner, pl.Struct):
            return None
        fields = {field.name: field.dtype for field in dtype.inner.fields}
        for role_field, content_field in _TURN_FIELDS:
            if role_field in fields and content_field in fields:
                if not _is_text(fields[role_field]):
                    raise SchemaError(
                        f"{self.name}: {role_field!r} in column {column!r} {_has_type(fields[role_field])}; "
                        "the role of a message is text."
                    )
                content = self._content(column, content_field, fields[content_field])
                return _Conversation(cs.by_name(column).as_expr(), role_field, content)
        return None

    def required_conversation(self, column: str) -> _Conversation:
        """Give a column of messages; any other type is refused."""
        conversation = self.conversation(column)
        if conversation is None:
            raise SchemaError(
                f"{self.name}: column {column!r} {_has_type(self.schema[column])}; it must be a list of "
                "{role, content} or of {from, value} messages (CSV cannot hold one: use JSONL or Parquet)."
            )
        return conversation

    def _content(self, column: str, field: str, dtype: object) -> pl.Expr:
        """Give the text of one message, over `pl.element()`; of a list of parts, their texts by lines."""
        content = pl.element().struct.field(field)
        if _is_text(dtype):
            return content.cast(pl.String)
        parts = dtype.inner if isinstance(dtype, pl.List) else None
        fields = parts.fields if isinstance(parts, pl.Struct) else []
        if any(part.name == "text" and _is_text(part.dtype) for part in fields):
            found = content.list.eval(pl.element().struct.field("text").drop_nulls())
            # polars 2.1 forgets what they are in a chunk without one.
            return found.cast(pl.List(pl.String)).list.join("\n")
        raise SchemaError(
            f"{self.name}: {field!r} in column {column!r} {_has_type(dtype)}; a message's content is text "
            "or a list of parts with a field 'text' of text."
        )


@dataclass(frozen=True)
class _Conversation:
    """A list of messages and how to read one of them."""

    messages: pl.Expr
    role_field: str
    content: pl.Expr

    def prompt(self) -> pl.Expr:
        """Give everything before the final assistant turn."""
        before = pl.when(self._is_answered()).then(self.messages.list.head(self._n_turns() - 1))
        return self.rendering(before.otherwise(self.messages), bare_role="user")

    def response(self) -> pl.Expr:
        """Give the final assistant turn; null where the conversation ends otherwise."""
        last = self.messages.list.tail(1).list.eval(self.content).list.first()
        return pl.when(self._is_answered()).then(last)

    def rendering(self, messages: pl.Expr, *, bare_role: str) -> pl.Expr:
        """Give the text of a single `bare_role` turn, or `Role: text` paragraphs of any other list."""
        # Not pl.format: polars 2.1 panics on it in lists of several chunks, one of them of empty lists.
        turn = pl.concat_str(self._role().str.to_titlecase(), pl.lit(": "), self.content.fill_null(""))
        is_bare = (messages.list.len() == 1) & (messages.list.eval(self._role()).list.first() == bare_role)
        bare = messages.list.eval(self.content).list.first()
        return pl.when(is_bare).then(bare).otherwise(messages.list.eval(turn).list.join("\n\n"))

    def _role(self) -> pl.Expr:
        role = pl.element().struct.field(self.role_field).cast(pl.String).fill_null("unknown")
        return role.str.to_lowercase().replace(_ROLES)

    def _n_turns(self) -> pl.Expr:
        return self.messages.list.len()

    def _is_answered(self) -> pl.Expr:
        last_role = self.messages.list.tail(1).list.eval(self._role()).list.first()
        return (last_role == "assistant").fill_null(value=False)


def plan_shape(name: str, schema: pl.Schema, *, task_column: str | None, id_column: str | None) -> ShapePlan:
    """Recognise the shape of a pool and say how its canonical columns are made.

    Where several shapes fit, the first of this order is taken: prompt and completion (without a
    response), prompt, messages, conversations, instruction with input or output, instruction with
    context, response or category, instruction alone. A column whose name is canonical but whose values
    are not those of the canonical column is kept as `original_<name>`.

    Parameters
    ----------
    name : str
        What errors call the pool.
    schema : pl.Schema
        Columns of the source.
    task_column, id_column : str or None
        Columns to take the task and the id from, instead of those of the shape.

    Returns
    -------
    ShapePlan
        The shape and the expressions that make the frame.

    Raises
    ------
    SchemaError
        No shape fits, a named column is missing, or a column has a type that it cannot have.
    """
    source = _Source(name, schema)
    for option, column in (("task", task_column), ("id", id_column)):
        if column is not None and column not in schema:
            raise _missing_column(source, option, column)
    shape = _recognise(source)
    prompt, response, used = _BUILDERS[shape](source)
    task = task_column or _first_of(schema, ("task", "category") if shape == "dolly" else ("task",))
    identifier = id_column or _first_of(schema, ("id",))
    made: dict[str, pl.Expr] = {}
    if identifier is not None:
        made["id"] = source.label(identifier, "an id")
    if task is not None:
        made["task"] = source.label(task, "a task")
    made["prompt"] = prompt
    if response is not None:
        made["response"] = response
    used |= {column for column, chosen in (("id", identifier), ("task", task)) if column == chosen}
    extras, notes = _extras(schema, made, used)
    columns = [expression.alias(column) for column, expression in made.items()]
    return ShapePlan(shape, (*columns, *extras), notes)


def _extras(schema: pl.Schema, made: Iterable[str], used: set[str]) -> tuple[list[pl.Expr], tuple[str, ...]]:
    """Give the columns that go along: all but those `used` as the canonical column of their name."""
    taken = {*schema.names(), *CANONICAL_COLUMNS}
    extras: list[pl.Expr] = []
    notes: list[str] = []
    for column in schema.names():
        if column in used:
            continue
        if column not in CANONICAL_COLUMNS:
            extras.append(cs.by_name(column).as_expr())
            continue
        new = f"original_{column}"
        while new in taken:
            new += "_"
        taken.add(new)
        extras.append(cs.by_name(column).as_expr().alias(new))
        made_here = (
            f"the canonical {column!r} is made from other columns"
            if column in made
            else "it means another thing"
        )
        notes.append(f"Column {column!r} of the source is kept as {new!r}, since {made_here}.")
    return extras, tuple(notes)


def _first_of(schema: pl.Schema, columns: Iterable[str]) -> str | None:
    return next((column for column in columns if column in schema), None)


# --- Recognising --------------------------------------------------------------------------------


def _recognise(source: _Source) -> str:
    columns = set(source.schema.names())
    if "prompt" in columns:
        return "prompt-completion" if "completion" in columns and "response" not in columns else "tasksel"
    for column, shape in (("messages", "messages"), ("conversations", "sharegpt")):
        if column in columns:
            return shape
    if "instruction" in columns:
        if columns & {"input", "output"}:
            return "alpaca"
        return "dolly" if columns & {"context", "response", "category"} else "alpaca"
    raise _no_shape(source)


def _no_shape(source: _Source) -> SchemaError:
    allowed = "; ".join(f"{shape} ({columns})" for shape, columns in SHAPES.items())
    known = {"prompt", "messages", "conversations", "instruction"}
    near = [column for column in source.schema.names() if column.strip().lower() in known]
    hint = f" Did you mean {near[0].strip().lower()!r} by {near[0]!r}? Rename it." if near else ""
    if len(source.schema) == 1 and any(mark in source.schema.names()[0] for mark in ",;|\t"):
        hint = " The separator of a .csv is a comma, that of a .tsv a tab."
    found = listed(source.schema.names(), nothing="no columns")
    return SchemaError(
        f"{source.name} has no column with prompts: found {found}; allowed are the shapes {allowed}.{hint}"
    )


def _missing_column(source: _Source, option: str, column: str) -> SchemaError:
    names = source.schema.names()
    hint = did_you_mean(column, names)
    return SchemaError(f"{source.name} has no {option} column {column!r}: found {listed(names)}.{hint}")


def _has_type(dtype: object, most_chars: int = 80) -> str:
    text = str(dtype)
    return f"has type {text if len(text) <= most_chars else text[: most_chars - 1] + '…'}"


def _is_text(dtype: object) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)


# --- One builder a shape: prompt, response, and the columns that stay what they are -----------------

_Parts = tuple[pl.Expr, "pl.Expr | None", set[str]]


def _tasksel(source: _Source) -> _Parts:
    prompt, used = _prompt(source)
    response = _response(source, "response")
    return prompt, response, used | ({"response"} if response is not None else set())


def _prompt_completion(source: _Source) -> _Parts:
    prompt, used = _prompt(source)
    return prompt, _response(source, "completion"), used


def _prompt(source: _Source) -> tuple[pl.Expr, set[str]]:
    conversation = source.conversation("prompt")
    if conversation is None:
        return source.text("prompt"), {"prompt"}
    return conversation.rendering(conversation.messages, bare_role="user"), set()


def _response(source: _Source, column: str) -> pl.Expr | None:
    if column not in source.schema:
        return None
    conversation = source.conversation(column)
    if conversation is None:
        return source.label(column, "a response")
    return conversation.rendering(conversation.messages, bare_role="assistant")


def _conversations(column: str) -> Callable[[_Source], _Parts]:
    def build(source: _Source) -> _Parts:
        conversation = source.required_conversation(column)
        return conversation.prompt(), conversation.response(), set()

    return build


def _instruction(seconds: Sequence[str], answers: Sequence[str]) -> Callable[[_Source], _Parts]:
    # Files mix the names of the two shapes (instruction, context, output), and all of it is meant.
    def build(source: _Source) -> _Parts:
        instruction = source.text("instruction")
        second, answer = _first_of(source.schema, seconds), _first_of(source.schema, answers)
        response = None if answer is None else _response(source, answer)
        used = {"response"} if answer == "response" else set()
        if second is None:
            return instruction, response, used
        head, tail = instruction.fill_null(""), source.text(second).fill_null("")
        # Two texts stand apart by one blank line; one text stands alone, byte for byte.
        both = pl.concat_str(head, tail, separator="\n\n")
        prompt = pl.when(tail == "").then(instruction).when(head == "").then(tail).otherwise(both)
        return prompt, response, used

    return build


_BUILDERS: Final[dict[str, Callable[[_Source], _Parts]]] = {
    "tasksel": _tasksel,
    "prompt-completion": _prompt_completion,
    "messages": _conversations("messages"),
    "sharegpt": _conversations("conversations"),
    "alpaca": _instruction(("input", "context"), ("output", "response")),
    "dolly": _instruction(("context", "input"), ("response", "output")),
}
