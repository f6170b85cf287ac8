"""What may stand in a configuration: names, values, numbers, patterns and templates."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from tasksel.toml_file import check_choice, check_number, check_table, check_text, check_whole
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "SHARE_TOLERANCE",
    "STRATUM_SEPARATOR",
    "check_choice",
    "check_column_name",
    "check_json",
    "check_name",
    "check_number",
    "check_numbers",
    "check_pattern",
    "check_table",
    "check_text",
    "check_values",
    "check_whole",
    "holds_shares",
    "share_of",
    "stratum_name",
    "template_fields",
]

STRATUM_SEPARATOR: Final = "/"
"""Stands between the level values in a stratum's name."""
SHARE_TOLERANCE: Final = 0.01
"""Shares may miss the sum 1 by this much (three times 0.33); they are scaled to it."""
_ROUNDING: Final = 1e-9
RESERVED_COLUMNS: Final = frozenset(
    {"edge", "id", "item", "plan_id", "prompt", "response", "stratum", "task", "tier", "held", "planned"}
)
"""Columns that planned examples, cells and records have already."""
RESERVED_PREFIXES: Final = ("origin", "target", "tier_")


def check_name(where: str, name: Any) -> None:
    """Refuse an empty name, or one with spaces around it or characters that cannot be seen."""
    check_text(where, name)
    if not name.strip() or name != name.strip():
        raise ConfigError(f"{where} is {name!r}; text without spaces around it is wanted.")
    hidden = [char for char in name if unicodedata.category(char) in ("Cc", "Cs")]
    if hidden:
        raise ConfigError(f"{where} is {name!r}, which holds the control character {hidden[0]!r}.")


def check_column_name(where: str, name: Any) -> None:
    """Refuse a level's or dimension's name that could not be a column and a field of a template."""
    check_name(where, name)
    if name in RESERVED_COLUMNS or name.startswith(RESERVED_PREFIXES):
        raise ConfigError(
            f"{where} is {name!r}, which names another column of the plan or the records "
            f"({', '.join(sorted(RESERVED_COLUMNS))}, and what starts with {', '.join(RESERVED_PREFIXES)}); "
            "choose another."
        )
    if set(name) & set("{}[].!:/"):
        raise ConfigError(f"{where} is {name!r}; a name without any of {{ }} [ ] . ! : / is wanted.")


def check_values(where: str, values: Sequence[Any], *, separator_allowed: bool = True) -> None:
    """Refuse no values, repeated ones, and those that make a stratum's name ambiguous."""
    if not values:
        raise ConfigError(f"{where} has no values; at least one is wanted.")
    seen: dict[str, str] = {}
    for value in values:
        check_name(f"A value of {where}", value)
        same = unicodedata.normalize("NFC", value)
        if same in seen:
            raise ConfigError(f"{where} has the value {value!r} twice.")
        seen[same] = value
        if STRATUM_SEPARATOR in value and not separator_allowed:
            raise ConfigError(
                f"{where} has the value {value!r}; with several levels a value cannot hold "
                f"{STRATUM_SEPARATOR!r}, which joins the values to a stratum's name."
            )


def check_numbers(where: str, table: Any, values: Collection[str] | None = None) -> None:
    """Refuse a table of numbers that lacks a value, has an unknown one, or holds no usable number.

    Parameters
    ----------
    where : str
        Name of the table in the file.
    table : mapping of str to float
        Value -> share or count.
    values : collection of str, optional
        The values that must all stand in it; any are allowed by default.
    """
    check_table(where, table)
    if values is not None:
        unknown = [value for value in table if value not in values]
        if unknown:
            raise ConfigError(
                f"Unknown value {unknown[0]!r} in {where}; allowed are {', '.join(map(repr, values))}."
            )
        missing = [value for value in values if value not in table]
        if missing:
            raise ConfigError(f"{where} lacks the value {missing[0]!r}; write 0 for none of it.")
    for value, number in table.items():
        check_number(f"{where}: {value!r}", number, 0)
    if not math.fsum(table.values()):
        raise ConfigError(f"{where} holds nothing above 0.")


def holds_shares(where: str, numbers: Iterable[float]) -> bool:
    """Tell shares, which sum to 1, from counts, which are whole.

    Raises
    ------
    ConfigError
        The numbers are neither.

    Examples
    --------
    >>> holds_shares("tone", [0.33, 0.33, 0.33]), holds_shares("tone", [40, 60])
    (True, False)
    """
    given = list(numbers)
    total = math.fsum(given)
    if all(number <= 1 for number in given) and abs(total - 1) <= SHARE_TOLERANCE + _ROUNDING:
        return True
    if all(number == int(number) for number in given):
        return False
    raise ConfigError(
        f"{where} sums to {total:g}: shares that sum to 1 or whole counts are wanted, not a mixture."
    )


def share_of(table: Mapping[str, float]) -> dict[str, float]:
    """Return each number's share of all; counts and shares alike."""
    total = math.fsum(table.values())
    return {value: number / total for value, number in table.items()}


def check_pattern(where: str, pattern: Any) -> None:
    """Refuse what is not a regular expression of Python's `re`."""
    if not isinstance(pattern, str):
        raise ConfigError(f"{where} is {pattern!r}; a regular expression is wanted.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where} is {pattern!r}, which is no regular expression: {error}.") from error


def check_json(where: str, value: Any) -> None:
    """Refuse what JSON cannot hold, such as the dates and infinities of TOML."""
    if hasattr(value, "items"):
        for key, inner in value.items():
            check_json(f"{where}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_json(where, inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where} is {value!r}; JSON has no such number.")
    elif value is not None and not isinstance(value, (str, int, float)):
        raise ConfigError(f"{where} is a {type(value).__name__} ({value}); JSON has none, so quote it.")


def template_fields(where: str, template: str) -> tuple[str, ...]:
    """Return the fields that a template names in braces, in order, each once; ``{{`` is a brace.

    Raises
    ------
    ConfigError
        A brace is not closed, or a field has no plain name.

    Examples
    --------
    >>> template_fields("prompt", "{text} ({product}), {{as is}}")
    ('text', 'product')
    """
    names = []
    try:
        for _, name, form, conversion in string.Formatter().parse(template):
            if name is None:
                continue
            if not name or set(name) & set(".[") or form or conversion:
                raise ConfigError(
                    f"{where} has the field {{{name}}}; a plain name is wanted, without . [ ! and :."
                )
            names.append(name)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{where} has a brace that is not closed ({error}); write {{{{ for one.") from error
    return tuple(dict.fromkeys(names))


def stratum_name(values: Iterable[str]) -> str:
    """Return the name of a stratum.

    Examples
    --------
    >>> stratum_name(["phone", "5"])
    'phone/5'
    """
    return STRATUM_SEPARATOR.join(values)
