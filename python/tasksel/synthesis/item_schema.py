"""The one validator of items against their JSON Schema; nothing that a schema refers to is fetched."""

from __future__ import annotations

import functools
import importlib
import json
import re
from typing import TYPE_CHECKING, Any

from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_errors", "make_validator"]

_SHOWN_CHARS = 200


def make_validator(schema: Mapping[str, Any], *, complaint: str = "The JSON Schema is wrong") -> Any:
    """Return jsonschema's validator of a schema; equal schemas share one.

    Parameters
    ----------
    schema : mapping
        Of one item.
    complaint : str
        How the message about a schema that is none begins.

    Returns
    -------
    jsonschema.protocols.Validator

    Raises
    ------
    ConfigError
        The schema is wrong; the message says where and what about it.
    MissingExtraError
        jsonschema is not installed.
    """
    return _make_validator(json.dumps(schema, sort_keys=True), complaint)


def find_errors(validator: Any, item: Any) -> list[Any]:
    """Return what in an item breaks its schema, as jsonschema says it.

    Raises
    ------
    ConfigError
        The schema refers to what is not in it, or has a pattern that is none.
    OverflowError, RecursionError
        The item holds a number or a depth past what jsonschema can look at.
    """
    try:
        return list(validator.iter_errors(item))
    except (OverflowError, RecursionError):
        raise
    except re.error as error:
        raise ConfigError(f"A pattern of the schema is not a regular expression ({error}).") from error
    except Exception as error:  # what a reference leads to was never looked at: it may be anything
        raise ConfigError(f"The schema cannot be followed ({first_line(error)}).") from error


@functools.lru_cache(maxsize=16)
def _make_validator(schema_json: str, complaint: str) -> Any:
    try:
        jsonschema: Any = importlib.import_module("jsonschema")  # by name: it has no types
        referencing: Any = importlib.import_module("referencing")
    except ImportError as error:
        raise MissingExtraError("Checking items against their JSON Schema", "synth") from error
    schema = json.loads(schema_json)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "schema"
        raise ConfigError(f"{complaint}: {place}: {error.message[:_SHOWN_CHARS]}") from error
    # An empty registry keeps a reference from being fetched from the network.
    return kind(schema, registry=referencing.Registry())
