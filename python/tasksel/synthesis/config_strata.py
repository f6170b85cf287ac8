"""Strata, dimensions, and how validation finds the values that examples really have."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.config_values import (
    check_choice,
    check_column_name,
    check_name,
    check_numbers,
    check_pattern,
    check_table,
    check_text,
    check_values,
    holds_shares,
    share_of,
)
from tasksel.wording import printable
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "ALLOCATIONS",
    "CHECK_KINDS",
    "CheckConfig",
    "DimensionConfig",
    "StrataConfig",
    "are_share_tables",
    "innermost_tables",
]

ALLOCATIONS: Final = ("fixed", "equal", "sqrt", "proportional", "deficit")
CHECK_KINDS: Final = ("rule", "regex", "classifier", "judge")
MAX_STRATA: Final = 100_000
"""More cells than that are a mistake: a level too many."""


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """How validation finds the value of a level or dimension that an example really has.

    Parameters
    ----------
    kind : {"rule", "regex", "classifier", "judge"}
        A field of the item equals the value; a pattern a value; a classifier on embeddings, trained from
        labelled real rows; a model is asked.
    field : str
        Field of the item that is looked at, or ``prompt`` or ``response`` of the record.
    patterns : mapping of str to str
        Of kind ``regex``: value -> regular expression that is searched for in the field.
    column : str
        Of kind ``classifier``: column of the labelled real rows; empty for the level's or dimension's name.
    question : str
        Of kind ``judge``: what the model is asked; empty for one that is made of name and description.
    """

    kind: str
    field: str = "prompt"
    patterns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    column: str = ""
    question: str = ""

    def __post_init__(self) -> None:
        check_choice("kind of check", self.kind, CHECK_KINDS)
        check_name("field of check", self.field)
        check_table("patterns of check", self.patterns)
        check_text("column of check", self.column)
        check_text("question of check", self.question)
        for value, pattern in self.patterns.items():
            check_pattern(f"The pattern of {value!r}", pattern)
        for name, kind in (("patterns", "regex"), ("column", "classifier"), ("question", "judge")):
            if getattr(self, name) and self.kind != kind:
                raise ConfigError(f"{name} goes with kind = {kind!r}; the check has kind = {self.kind!r}.")
        if self.kind == "regex" and not self.patterns:
            raise ConfigError('A check of kind "regex" wants patterns = { value = "pattern" }.')

    def check_values(self, where: str, values: tuple[str, ...]) -> None:
        """Refuse patterns of values that do not exist."""
        unknown = [value for value in self.patterns if value not in values]
        if unknown:
            raise ConfigError(
                f"Unknown value {unknown[0]!r} in the patterns of {where}; allowed are "
                f"{', '.join(map(repr, values))}."
            )


@dataclasses.dataclass(frozen=True)
class DimensionConfig:
    """A property that every example gets a value of, in exact counts, balanced over the strata.

    Parameters
    ----------
    name : str
        Its column.
    values : mapping of str to float
        Value -> share (they sum to 1) or count (they sum to the configuration's total).
    description : str
        What a request and a judge are told about it.
    check : CheckConfig, optional
        How validation finds the realised value; without one it is not checked.
    """

    name: str
    values: Mapping[str, float]
    description: str = ""
    check: CheckConfig | None = None

    def __post_init__(self) -> None:
        check_column_name("The name of a dimension", self.name)
        where = f"[dimensions.{self.name}]"
        check_table(f"values of {where}", self.values)
        check_values(where, tuple(self.values))
        check_numbers(where, self.values)
        holds_shares(where, self.values.values())
        check_text(f"description of {where}", self.description)
        if self.check is not None:
            self.check.check_values(where, tuple(self.values))

    @property
    def shares(self) -> dict[str, float]:
        """Share of the examples a value; they sum to 1."""
        return share_of(self.values)


@dataclasses.dataclass(frozen=True)
class StrataConfig:
    """How many examples there are to be of what.

    A stratum is one value of each level. Targets are given for every stratum (``targets``) or for the values
    of some levels (``margins``), not both.

    Parameters
    ----------
    levels : mapping of str to tuple of str
        Level -> its values, in order.
    allocate : {"fixed", "equal", "sqrt", "proportional", "deficit"}
        The targets as they stand; equal strata; strata as the square roots of what the pool holds, or as what
        it holds; the targets (equal ones by default) minus what the pool or selection holds. All but targets
        are raked to the margins, where there are any.
    targets : mapping
        Tables in the order of the levels, value -> ... -> number. An innermost table holds counts or shares:
        shares of the total, if all of them together sum to 1, or else shares of an equal part of what tables
        of counts leave.
    margins : mapping of str to mapping of str to float
        Level -> value -> count or share, for any of the levels.
    impossible : tuple of mapping of str to str
        Combinations that do not occur, level -> value; with some of the levels it holds for all values of
        the others.
    checks : mapping of str to CheckConfig
        Level -> how validation finds the realised value.
    descriptions : mapping of str to str
        Level -> what a request and a judge are told about it.
    """

    levels: Mapping[str, tuple[str, ...]]
    allocate: str = "fixed"
    targets: Mapping[str, Any] | None = None
    margins: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    impossible: tuple[Mapping[str, str], ...] = ()
    checks: Mapping[str, CheckConfig] = dataclasses.field(default_factory=dict)
    descriptions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("allocate of [strata]", self.allocate, ALLOCATIONS)
        self._check_levels()
        self._check_sources()
        if self.targets is not None:
            check_nested_targets("[strata.targets]", self.targets, list(self.levels.values()))
        for level, table in self.margins.items():
            where = f"[strata.margins] {printable(level)}"
            self._check_level(where, level)
            check_numbers(where, table, self.levels[level])
            holds_shares(where, table.values())
        self._check_impossible()
        for level, check in self.checks.items():
            self._check_level("[strata.checks]", level)
            check.check_values(f"level {level!r}", self.levels[level])
        check_table("[strata.descriptions]", self.descriptions)
        for level, text in self.descriptions.items():
            self._check_level("[strata.descriptions]", level)
            check_text(f"{level} of [strata.descriptions]", text)

    def _check_levels(self) -> None:
        check_table("[strata.levels]", self.levels)
        if not self.levels:
            raise ConfigError('[strata.levels] is empty; at least one level = ["value", ...] is wanted.')
        for level, values in self.levels.items():
            check_column_name("The name of a level", level)
            check_values(f"level {level!r}", values, separator_allowed=len(self.levels) == 1)
        n_strata = math.prod(map(len, self.levels.values()))
        if n_strata > MAX_STRATA:
            raise ConfigError(
                f"The levels make {n_strata:,} strata; at most {MAX_STRATA:,} are allowed. Turn a level into "
                "a dimension."
            )

    def _check_sources(self) -> None:
        check_table("[strata.margins]", self.margins)
        if self.targets is not None and self.margins:
            raise ConfigError("[strata] has targets and margins; one of them is wanted.")
        if self.targets is not None and self.allocate not in ("fixed", "deficit"):
            raise ConfigError(
                f"[strata] has targets and allocate = {self.allocate!r}; targets go with 'fixed' and "
                "'deficit'."
            )
        if self.allocate == "fixed" and self.targets is None and not self.margins:
            raise ConfigError(
                '[strata] has neither targets nor margins; allocate = "equal" gives every stratum the same.'
            )

    def _check_impossible(self) -> None:
        for combination in self.impossible:
            check_table("A combination in impossible", combination)
            if not combination:
                raise ConfigError("A combination in impossible is empty, which would rule out everything.")
            for level, value in combination.items():
                self._check_level("impossible", level)
                if value not in self.levels[level]:
                    raise ConfigError(
                        f"impossible names the value {value!r} of level {level!r}; allowed are "
                        f"{', '.join(map(repr, self.levels[level]))}."
                    )

    def _check_level(self, where: str, level: str) -> None:
        if level not in self.levels:
            raise ConfigError(
                f"{where} names the level {level!r}; allowed are {', '.join(map(repr, self.levels))}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values a level."""
        return tuple(map(len, self.levels.values()))

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Give the level values of every stratum, the last level running fastest; impossible ones too."""
        return itertools.product(*self.levels.values())

    def count_total(self) -> int | None:
        """Return what the counts of the targets, or else of a margin, sum to; None where there are shares."""
        if self.targets is not None:
            tables = list(innermost_tables(self.targets))
            if any(are_share_tables(tables)):
                return None
            return int(math.fsum(number for table in tables for number in table.values()))
        counted = (table for level, table in self.margins.items() if not _is_share_margin(level, table))
        return next((int(math.fsum(table.values())) for table in counted), None)

    def check_total(self, total: int) -> None:
        """Refuse counts that do not sum to the total.

        Raises
        ------
        ConfigError
            They do not; the message has both sums.
        """
        sums = {
            f"margins] {level}": math.fsum(table.values())
            for level, table in self.margins.items()
            if not _is_share_margin(level, table)
        }
        counted = None if self.targets is None else self.count_total()
        if counted is not None:
            sums["targets]"] = counted
        for where, given in sums.items():
            if given != total:
                raise ConfigError(
                    f"The counts of [strata.{where} sum to {given:,.0f} and total is {total:,}; make them "
                    "equal, leave total out, or write shares."
                )


def _is_share_margin(level: str, table: Mapping[str, float]) -> bool:
    return holds_shares(f"[strata.margins] {level}", table.values())


def check_nested_targets(where: str, table: Any, levels: list[tuple[str, ...]]) -> None:
    """Refuse nested tables that do not have every value of every level, or other than numbers inside."""
    check_table(where, table)
    if len(levels) == 1:
        for value, number in table.items():
            if hasattr(number, "items"):
                raise ConfigError(f"{where}: {value!r} is a table; there are no further levels.")
        if any(table.values()):
            check_numbers(where, table, levels[0])
        else:  # a whole branch may be empty
            check_numbers(where, {**table, next(iter(table), levels[0][0]): 1}, levels[0])
        return
    for value in (*table, *levels[0]):
        if value not in levels[0]:
            raise ConfigError(
                f"Unknown value {value!r} in {where}; allowed are {', '.join(map(repr, levels[0]))}."
            )
        if value not in table:
            raise ConfigError(f"{where} lacks the value {value!r}; write 0 for none of it.")
        inner = table[value]
        if inner == 0 and not isinstance(inner, bool):
            continue
        if not hasattr(inner, "items"):
            raise ConfigError(f"{where}: {value!r} is {inner!r}; a table of the next level is wanted, or 0.")
        check_nested_targets(f"{where} {value}", inner, levels[1:])


def innermost_tables(table: Mapping[str, Any]) -> Iterator[Mapping[str, float]]:
    """Give the innermost tables of nested targets, in order; a branch that is 0 has none."""
    if not any(hasattr(inner, "items") for inner in table.values()):
        yield table
        return
    for inner in table.values():
        if hasattr(inner, "items"):
            yield from innermost_tables(inner)


def are_share_tables(tables: Sequence[Mapping[str, float]]) -> list[bool]:
    """Tell which innermost tables of targets hold shares; all others hold counts.

    Where every number of all tables is whole, one that sums to 1 is a table of counts too.

    Examples
    --------
    >>> are_share_tables([{"1": 40, "2": 60}, {"1": 0, "2": 1}])
    [False, False]
    >>> are_share_tables([{"1": 40, "2": 60}, {"1": 0.25, "2": 0.75}])
    [False, True]
    """
    sums = [math.fsum(table.values()) for table in tables]
    whole = [all(number == int(number) for number in table.values()) for table in tables]
    if all(whole) and math.fsum(sums) != 1:
        return [False] * len(tables)
    return [not is_whole or given == 1 for is_whole, given in zip(whole, sums, strict=True)]
