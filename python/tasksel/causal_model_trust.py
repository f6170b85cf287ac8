"""What files of a model may make a library do: nothing but read numbers and texts in the model's folder.

transformers loads an attention by the name that a configuration gives it, from the hub and as code where it
is one of the hub, and weights from wherever their index says. peft reads other models and pickled files for
some kinds of adapters. None of that needs `trust_remote_code`, so each is refused here before it is loaded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tasksel.wording import first_line
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["refuse_foreign_adapter", "refuse_foreign_files", "unreadable_model"]

_IMPLEMENTATIONS: Final = frozenset(
    f"{prefix}{kind}_implementation{suffix}"
    for kind in ("attn", "experts")
    for prefix in ("", "_")
    for suffix in ("", "_internal")
)
"""Keys of a configuration that name code; what has a slash in it is code on the hub."""
_INDEX: Final = "model.safetensors.index.json"
_ADAPTER_KIND: Final = "LORA"
_CODE: Final = "custom code"
_NO_CODE: Final = (
    "tasksel never runs the code of a model: convert it to an architecture that transformers knows, or serve "
    "it elsewhere and score with --engine openai."
)


def refuse_foreign_files(model: str, folder: Path) -> None:
    """Refuse a model whose files name code on the hub, or whose weights are pickled or not in their folder.

    Parameters
    ----------
    model : str
        As the user named it, for the message.
    folder : Path
        With ``config.json``; a file that cannot be read is left to who loads it.

    Raises
    ------
    ConfigError
        With what is named where.
    """
    for name in _named_code(_read(folder / "config.json")):
        raise ConfigError(
            f"The config.json of the model {model!r} names code on the hub ({name!r}); {_NO_CODE}"
        )
    if next(folder.glob("*.safetensors"), None) is None:
        raise ConfigError(
            f"The model {model!r} cannot be loaded: it holds no weights in safetensors, and other formats "
            "are not read, since pickled weights can run code."
        )
    index = _read(folder / _INDEX)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    for name in sorted(map(str, shards.values())) if isinstance(shards, dict) else ():
        if any(mark in name for mark in "/\\:") or name in (".", ".."):
            raise ConfigError(
                f"The {_INDEX} of the model {model!r} names weights outside of its folder ({name!r}); "
                "allowed are files that stand beside it."
            )


def refuse_foreign_adapter(adapter: str, config: Mapping[str, Any]) -> None:
    """Refuse an adapter that is more than low-rank weights.

    Parameters
    ----------
    adapter : str
        As the user named it.
    config : mapping
        What ``adapter_config.json`` holds.

    Raises
    ------
    ConfigError
        It is of another kind, or names a module of Python.
    """
    kind = config.get("peft_type")
    if kind != _ADAPTER_KIND:
        raise ConfigError(
            f"The adapter {adapter} is of the kind {kind!r}; read are LoRA adapters ({_ADAPTER_KIND})."
        )
    if config.get("megatron_config") is not None:
        raise ConfigError(f"The adapter {adapter} names modules of Python (megatron_config); {_NO_CODE}")


def unreadable_model(what: str, error: Exception) -> ConfigError:
    """Return the error for a model that a library refuses, and what to do where it wants to run code.

    Parameters
    ----------
    what : str
        A clause of ours: which model, and what of it.
    error : Exception
        Of the library.
    """
    if _CODE in str(error):
        return ConfigError(f"{what}: its repository brings code of its own; {_NO_CODE}")
    return ConfigError(f"{what}: {first_line(error)}")


def _named_code(config: Any) -> Iterator[str]:
    """Give every implementation that is one of the hub, in a configuration and those inside it."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        for key in _IMPLEMENTATIONS & value.keys():
            named = value[key].values() if isinstance(value[key], dict) else [value[key]]
            yield from (each for each in named if isinstance(each, str) and "/" in each)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
