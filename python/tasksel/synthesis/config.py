"""What a synthetic set is to hold and how it is written; checked when it is made.

`tasksel.synthesis.config_file` reads it from TOML, where each class here is a section and each parameter a
key. Counts are numbers of examples, shares are numbers from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.synthesis.config_model import PROVIDERS, LimitsConfig, ModelConfig, PriceConfig, RequestConfig
from tasksel.synthesis.config_strata import (
    ALLOCATIONS,
    CHECK_KINDS,
    CheckConfig,
    DimensionConfig,
    StrataConfig,
)
from tasksel.synthesis.config_values import (
    check_json,
    check_name,
    check_number,
    check_numbers,
    check_pattern,
    check_table,
    check_text,
    check_whole,
    holds_shares,
    template_fields,
)
from tasksel.synthesis.edge_cases import EDGE_CASES, SHORT_NAMES
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALLOCATIONS",
    "CHECK_KINDS",
    "DEFAULT_TIERS",
    "EDGE_CATEGORIES",
    "PLAN_FIELDS",
    "PROVIDERS",
    "CheckConfig",
    "CustomEdgeConfig",
    "DimensionConfig",
    "EdgeConfig",
    "LimitsConfig",
    "ModelConfig",
    "PriceConfig",
    "RecordConfig",
    "RequestConfig",
    "StrataConfig",
    "SynthesisConfig",
]

DEFAULT_TIERS: Final = (100, 1_000)
MAX_TOTAL: Final = 1_000_000
"""A plan is held in memory, about a kilobyte an example."""
EDGE_CATEGORIES: Final = tuple(EDGE_CASES)
"""Edge cases that tasksel knows how to make and to prove."""
PLAN_FIELDS: Final = ("plan_id", "stratum", "edge")
"""Columns of the plan that templates may name, beside levels and dimensions."""
_DEFAULT_SCHEMA: Final = {
    "type": "object",
    "required": ["prompt"],
    "properties": {"prompt": {"type": "string", "minLength": 1}},
}


@dataclass(frozen=True)
class CustomEdgeConfig:
    """An edge category of the user's own.

    Parameters
    ----------
    name : str
        What the column ``edge`` says.
    instruction : str
        What the request says about it.
    pattern : str
        Regular expression that the record's prompt must match, or the field if one is named, if anything can
        prove the category so.
    field : str, optional
        Of the item.
    weight : float
        Against the weights of the other categories, where ``categories`` does not name it.
    """

    name: str
    instruction: str
    pattern: str = ""
    field: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        where = f"[edge.custom.{self.name}]"
        check_name("The name of an edge category", self.name)
        check_text(f"instruction of {where}", self.instruction, may_be_empty=False)
        check_pattern(f"pattern of {where}", self.pattern)
        check_number(f"weight of {where}", self.weight, 0)
        if self.field is not None:
            check_name(f"field of {where}", self.field)
        if self.name in (*EDGE_CATEGORIES, *SHORT_NAMES):
            raise ConfigError(f"{where} has the name of a category that tasksel knows; choose another.")


@dataclass(frozen=True)
class EdgeConfig:
    """Which edge cases there are among the examples.

    Parameters
    ----------
    share : float
        Of the total, from 0 to 1; 0.05 to 0.10 is what helps.
    categories : mapping of str to float
        Category, by its name or a short one such as ``invalid``, -> weight; empty for all of
        `EDGE_CATEGORIES`. Custom ones are added with their own weight.
    custom : mapping of str to CustomEdgeConfig
        Categories of the user's own.
    ask_model : bool
        Ask the model also for edge cases that a program can make from ordinary records and prove.
    """

    share: float = 0.08
    categories: Mapping[str, float] = field(default_factory=dict)
    custom: Mapping[str, CustomEdgeConfig] = field(default_factory=dict)
    ask_model: bool = False

    def __post_init__(self) -> None:
        check_number("share of [edge]", self.share, 0, 1)
        if not isinstance(self.ask_model, bool):
            raise ConfigError(f"ask_model of [edge] is {self.ask_model!r}; true or false is wanted.")
        check_table("categories of [edge]", self.categories)
        full = {SHORT_NAMES.get(name, name): weight for name, weight in self.categories.items()}
        if len(full) < len(self.categories):
            raise ConfigError("categories of [edge] names a category twice, by a short name and its own.")
        object.__setattr__(self, "categories", full)
        allowed = (*EDGE_CATEGORIES, *self.custom)
        unknown = [name for name in self.categories if name not in allowed]
        if unknown:
            raise ConfigError(
                f"Unknown edge category {unknown[0]!r}; allowed are {', '.join(map(repr, allowed))}, and "
                "any other with a section [edge.custom.NAME] that has an instruction."
            )
        if self.share > 0:
            check_numbers("The weights of [edge]", self.weights)

    @property
    def weights(self) -> dict[str, float]:
        """Category -> weight, custom ones included."""
        built_in = self.categories or dict.fromkeys(EDGE_CATEGORIES, 1.0)
        own = {name: each.weight for name, each in self.custom.items() if name not in self.categories}
        return {**built_in, **own}


@dataclass(frozen=True)
class RecordConfig:
    """How an item becomes a row of a pool.

    Parameters
    ----------
    prompt, response : str
        Templates: ``{field}`` of the item's schema, or a level, a dimension, ``{stratum}``, ``{edge}``,
        ``{plan_id}``. Without a response the record waits for its label.
    """

    prompt: str = "{prompt}"
    response: str | None = None

    def __post_init__(self) -> None:
        check_text("prompt of [record]", self.prompt, may_be_empty=False)
        if self.response is not None:
            check_text("response of [record]", self.response)

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """The fields that each template names."""
        templates = {"prompt": self.prompt, "response": self.response or ""}
        return {name: template_fields(f"{name} of [record]", each) for name, each in templates.items()}


@dataclass(frozen=True)
class SynthesisConfig:
    """A synthetic set as its TOML file states it, checked.

    Parameters
    ----------
    name : str
        What reports call it; the file's name by default.
    total : int
        Examples in all, edge cases included; with ``allocate = "deficit"`` what is to be there in the end.
        Left out in a file, it is the sum of the targets' or a margin's counts.
    seed : int
        Of every random choice.
    instructions : str
        What every request says first.
    language : str, optional
        Language that the texts are expected in, as a code such as ``en``.
    strata : StrataConfig
        How many examples of what.
    dimensions : tuple of DimensionConfig
        Properties of each example beside its stratum.
    edge : EdgeConfig, optional
        Edge cases among them.
    schema : mapping
        JSON Schema of one item, an object.
    record : RecordConfig
        How an item becomes a row of a pool.
    model, request, limits, price
        Who writes, how much at a time, how fast, at what price (unknown without one).
    gates : mapping of str to float
        What validation demands: gate -> least figure, from 0 to 1.
    tiers : tuple of int
        Sizes of the prefixes that can be run and looked at one after the other, rising; the last is the
        total.
    folder : Path
        Where the file stands; no part of what is planned.
    """

    name: str
    total: int
    strata: StrataConfig
    seed: int = 0
    instructions: str = ""
    language: str | None = None
    dimensions: tuple[DimensionConfig, ...] = ()
    edge: EdgeConfig | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: _DEFAULT_SCHEMA)
    record: RecordConfig = field(default_factory=RecordConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    request: RequestConfig = field(default_factory=RequestConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    price: PriceConfig | None = None
    gates: Mapping[str, float] = field(default_factory=dict)
    tiers: tuple[int, ...] = DEFAULT_TIERS
    folder: Path = Path()

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_whole("total", self.total, 1)
        if self.total > MAX_TOTAL:
            raise ConfigError(f"total is {self.total:,}; at most {MAX_TOTAL:,} are allowed in one plan.")
        check_whole("seed", self.seed, 0)
        check_text("instructions", self.instructions)
        if self.language is not None:
            check_name("language", self.language)
        self._check_tiers()
        self.strata.check_total(self.total)
        self._check_dimensions()
        self._check_schema()
        self._check_checks()
        self._check_item()
        if self.limits.max_cost and self.price is None:
            raise ConfigError("max_cost of [limits] wants [price]: without it no cost is known.")
        check_table("[gates]", self.gates)
        for name, least in self.gates.items():
            check_number(f"{name} of [gates]", least, 0, 1)

    def _check_tiers(self) -> None:
        for tier in self.tiers:
            check_whole("A tier", tier, 1)
        if list(self.tiers) != sorted(set(self.tiers)):
            raise ConfigError(f"tiers is {list(self.tiers)}; rising whole numbers are wanted.")
        below = tuple(tier for tier in self.tiers if tier < self.total)
        object.__setattr__(self, "tiers", (*below, self.total))

    def _check_dimensions(self) -> None:
        names = [*self.strata.levels, *(each.name for each in self.dimensions)]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ConfigError(f"There are two levels or dimensions named {repeated[0]!r}.")
        for each in self.dimensions:
            where, given = f"[dimensions.{each.name}]", each.values.values()
            if not holds_shares(where, given) and math.fsum(given) != self.total:
                raise ConfigError(
                    f"The counts of {where} sum to {math.fsum(given):,.0f} and total is {self.total:,}; make "
                    "them equal, or write shares."
                )

    def _check_schema(self) -> None:
        check_table("[schema]", self.schema)
        check_json("schema", self.schema)
        if self.schema.get("type") != "object" or not self.schema.get("properties"):
            raise ConfigError('[schema] wants type = "object" and a section [schema.properties].')
        check_table("[schema.properties]", self.schema["properties"])

    def _check_checks(self) -> None:
        fields = {*self._item_fields(), "prompt", "response"}
        checks = {f"[dimensions.{each.name}]": each.check for each in self.dimensions}
        checks |= {f"{name} of [strata.checks]": each for name, each in self.strata.checks.items()}
        for where, check in checks.items():
            if check is not None and check.field not in fields:
                raise ConfigError(
                    f"The check of {where} looks at the field {check.field!r}; allowed are "
                    f"{', '.join(map(repr, sorted(fields)))}."
                )

    def _check_item(self) -> None:
        allowed = (*self._item_fields(), *self.strata.levels)
        allowed = (*allowed, *(each.name for each in self.dimensions), *PLAN_FIELDS)
        for template, names in self.record.fields.items():
            unknown = [name for name in names if name not in allowed]
            if unknown:
                raise ConfigError(
                    f"{template} of [record] names the field {unknown[0]!r}; allowed are "
                    f"{', '.join(map(repr, allowed))}."
                )

    def _item_fields(self) -> tuple[str, ...]:
        return tuple(self.schema["properties"])

    def dimension(self, name: str) -> DimensionConfig:
        """Return a dimension by its name."""
        return next(each for each in self.dimensions if each.name == name)
