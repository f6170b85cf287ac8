"""Which engine a call asks for, and with what; a worker on another machine opens it from the same request."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasksel.engines.engine import Engine

__all__ = ["DEFAULT_ENGINE", "ENGINES", "EngineRequest"]

DEFAULT_ENGINE: Final = "hf"
_TRUTHS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class _Declaration:
    """Where an engine is, and what may be said to it.

    Attributes
    ----------
    module, class_name : str
        Imported when it is asked for.
    takes : tuple of str
        Settings that have a name of their own in `tasksel.score`.
    needs : tuple of str
        Those of them that must be given.
    own : dict of str to callable
        Options of this engine alone, and what makes their values from text.
    """

    module: str
    class_name: str
    takes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    own: dict[str, Callable[[str], Any]] = field(default_factory=dict)


def _truth(text: str) -> bool:
    return _TRUTHS[text.lower()]


ENGINES: Final[Mapping[str, _Declaration]] = {
    "hf": _Declaration(
        "tasksel.engines.hf",
        "HfEngine",
        takes=("adapter", "batch_tokens", "max_batch_rows", "device", "dtype", "records_hidden"),
        own={"shares_prefix": _truth, "static_cache": _truth},
    ),
    "openai": _Declaration(
        "tasksel.engines.openai",
        "OpenAIEngine",
        takes=("base_url", "api", "top_logprobs", "max_concurrency", "journal_folder"),
        needs=("base_url",),
        own={"key_variable": str, "timeout_s": float},
    ),
    "vllm": _Declaration(
        "tasksel.engines.vllm",
        "VllmEngine",
        takes=("adapter", "top_logprobs", "dtype"),
        own={
            "tensor_parallel_size": int,
            "gpu_memory_utilization": float,
            "max_model_len": int,
            "enable_prefix_caching": _truth,
        },
    ),
}
"""Every engine by name."""
_SHARED: Final = ("max_new_tokens", "prompt_template")
_UNSAID: Final = {
    "batch_tokens": 8192,
    "max_batch_rows": 128,
    "device": "auto",
    "dtype": "auto",
    "records_hidden": False,
}
"""What settings say that nobody gave; an engine that has no use for them is not told."""
_SILENT: Final = ("journal_folder", "records_hidden")
"""Settings that no user gives under these names."""


@dataclass(frozen=True)
class EngineRequest:
    """An engine by name with its settings, or one that the caller made.

    Parameters
    ----------
    engine : str or Engine
        One of `ENGINES`, or an engine, which is taken as it is.
    model : str
        What is to answer.
    settings : mapping
        By name; those that are None were not given.
    options : mapping of str to Any
        Of this engine alone; text is converted.
    """

    engine: str | Engine
    model: str
    settings: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Engine:
        """Make the engine; nothing is loaded or asked yet.

        Raises
        ------
        ConfigError
            There is no such engine, it does not take what was given, or lacks what it needs.
        """
        if not isinstance(self.engine, str):
            return self.engine
        if self.engine not in ENGINES:
            hint = did_you_mean(self.engine, ENGINES)
            raise ConfigError(f"There is no engine {self.engine!r}; allowed are {', '.join(ENGINES)}.{hint}")
        declared = ENGINES[self.engine]
        arguments = {**self._settings(declared), **self._options(declared)}
        opened: Engine = getattr(importlib.import_module(declared.module), declared.class_name)(
            self.model, **arguments
        )
        return opened

    def without(self, *names: str) -> EngineRequest:
        """Return the same request without some settings, such as a folder that other machines do not see."""
        kept = {name: value for name, value in self.settings.items() if name not in names}
        return replace(self, settings=kept)

    def _settings(self, declared: _Declaration) -> dict[str, Any]:
        taken = (*_SHARED, *declared.takes)
        given = {name: value for name, value in self.settings.items() if value is not None}
        for name, value in given.items():
            if name not in taken and value != _UNSAID.get(name) and name != "journal_folder":
                said = ", ".join(each for each in taken if each not in _SILENT)
                shown = "embed_from" if name == "records_hidden" else name
                raise ConfigError(f"The engine {self.engine} takes no {shown}; it takes {said}.")
        for name in declared.needs:
            if name not in given:
                raise ConfigError(f"The engine {self.engine} needs {name}; it was not given.")
        return {name: value for name, value in given.items() if name in taken}

    def _options(self, declared: _Declaration) -> dict[str, Any]:
        found = {}
        for name, value in self.options.items():
            if name not in declared.own:
                allowed = ", ".join(declared.own) or "none"
                hint = did_you_mean(name, declared.own)
                raise ConfigError(
                    f"The engine {self.engine} has no option {name!r} of its own; it has: {allowed}.{hint}"
                )
            try:
                found[name] = declared.own[name](value) if isinstance(value, str) else value
            except (ValueError, KeyError):
                raise ConfigError(
                    f"The option {name} of the engine {self.engine} is {value!r}, which cannot be read."
                ) from None
        return found
