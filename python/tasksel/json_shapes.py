"""What JSON that tasksel wrote looks like; what was changed into something else is refused by name.

A shape is a type; `NUMBER`; None for null; ``(a, b)`` for either; ``[a]`` for a list of `a`; ``{"key": a}``
for an object with that key; ``{...: a}`` for one of any keys with `a` under each. A key with ``?`` at its end
may be missing. Keys that a shape does not name are not looked at: a newer tasksel may have added them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tasksel.wording import printable
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["AN_OBJECT", "NUMBER", "NUMBER_OR_NULL", "TEXT_OR_NULL", "check_shape", "kinds_of"]


class NUMBER:
    """A float or a whole number that counts something: no truth value, and none that no float holds."""


AN_OBJECT: Final[dict[str, Any]] = {}
NUMBER_OR_NULL: Final = (NUMBER, None)
TEXT_OR_NULL: Final = (str, None)
_TOO_LARGE: Final = 2**63
_SHOWN_CHARS: Final = 60
_MISSING: Final = object()
_MESSAGE_CHARS: Final = 400
_KINDS: Final[dict[Any, str]] = {
    None: "null",
    NUMBER: "a number",
    bool: "true or false",
    dict: "an object",
    int: "a whole number",
    list: "a list",
    str: "text",
}


def check_shape(content: object, shape: Any, path: Path) -> None:
    """Refuse JSON that is not of a shape.

    Parameters
    ----------
    content : object
        What `path` holds.
    shape
        See the module.
    path : Path
        For the message.

    Raises
    ------
    ResumeError
        The message names the file and the first value that is otherwise.

    Examples
    --------
    >>> from pathlib import Path
    >>> shape = {"rows": int, "tasks": [{"name": str, "share?": (NUMBER, None)}]}
    >>> check_shape({"rows": 3, "tasks": [{"name": "a"}], "new": 1}, shape, Path("m.json"))
    >>> check_shape({"rows": 3, "tasks": [{"name": 0}]}, shape, Path("m.json"))
    Traceback (most recent call last):
        ...
    tasksel_core.errors.ResumeError: m.json is not as tasksel wrote it: tasks[0].name is 0, where text \
stands; restore it, or make it anew.
    """
    trouble = _trouble(content, shape, "")
    if trouble is not None:
        raise ResumeError(f"{path} is not as tasksel wrote it: {trouble}; restore it, or make it anew.")


def _trouble(value: Any, shape: Any, where: str) -> str | None:
    """Say what is otherwise, and where; None where nothing is."""
    if isinstance(shape, tuple):
        fitting = [each for each in shape if _is_kind(value, each)]
        return _trouble(value, fitting[0], where) if fitting else _otherwise(value, shape, where)
    if not _is_kind(value, shape):
        return _otherwise(value, shape, where)
    for inner, inner_shape, inner_where in _parts(value, shape, where):
        if inner is _MISSING:
            return f"{inner_where} is missing"
        trouble = _trouble(inner, inner_shape, inner_where)
        if trouble is not None:
            return trouble
    return None


def _is_kind(value: Any, shape: Any) -> bool:
    """Return whether the outermost kind is right."""
    if shape is None:
        return value is None
    if shape is NUMBER or shape is int:
        is_whole = type(value) is int and abs(value) < _TOO_LARGE
        return is_whole or (shape is NUMBER and isinstance(value, float))
    return isinstance(value, shape if isinstance(shape, type) else type(shape))


def _parts(value: Any, shape: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield what is inside, which shape it has to have, and where it is."""
    if isinstance(shape, list):
        for number, each in enumerate(value):
            yield each, shape[0], f"{where}[{number}]"
    elif isinstance(shape, dict):
        start = f"{where}." if where else ""
        for name, each in shape.items():
            if name is ...:
                yield from ((inner, each, f"{start}{key}") for key, inner in value.items())
            elif name.endswith("?"):
                if name[:-1] in value:
                    yield value[name[:-1]], each, f"{start}{name[:-1]}"
            else:
                yield value.get(name, _MISSING), each, f"{start}{name}"


def _otherwise(value: Any, shape: Any, where: str) -> str:
    said = f"{where or 'it'} is {_shortened(repr(value))}, where {kinds_of(shape)} stands"
    return printable(said, max_chars=_MESSAGE_CHARS)


def kinds_of(shape: Any) -> str:
    """Say what a shape wants, as words of a sentence.

    Examples
    --------
    >>> kinds_of((NUMBER, None))
    'a number or null'
    """
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return " or ".join(
        _KINDS[each if each is None or isinstance(each, type) else type(each)] for each in kinds
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
