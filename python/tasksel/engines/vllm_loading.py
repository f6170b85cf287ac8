"""A model into vLLM and out of it again: import, options, what became of them, the end of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model_folder import find_adapter_folder, find_model_folder
from tasksel.causal_model_trust import refuse_foreign_files
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["check_llm", "engine_errors", "import_vllm", "load_llm", "read_settings", "shut_down"]

_LORA_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM allows as ``max_lora_rank``."""


def import_vllm() -> Any:
    """Return the module `vllm`.

    Raises
    ------
    ConfigError
        It is installed and does not work here.
    MissingExtraError
        It is not installed.
    """
    try:
        with _quiet_vllm():
            import vllm
    except ModuleNotFoundError as error:
        raise MissingExtraError("Scoring with vLLM, in a virtual environment of its own,", "vllm") from error
    except ImportError as error:
        raise ConfigError(f"vLLM is installed, but cannot be imported: {first_line(error)}") from error
    return vllm


@contextlib.contextmanager
def _quiet_vllm() -> Iterator[None]:
    """Let vLLM and the processes that it starts log errors alone, unless a level was chosen."""
    if "VLLM_LOGGING_LEVEL" in os.environ:
        yield
        return
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    try:
        yield
    finally:
        del os.environ["VLLM_LOGGING_LEVEL"]


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that are started in the block never hear Ctrl-C, which a terminal sends to a whole group.

    vLLM's would end at once and take the answers under way with them. They inherit this thread's blocked
    signals; a Ctrl-C in the block reaches this process by its other threads, or afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # Begun by the first process that is spawned, it would unblock the signal in this thread.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load_llm(model: str, *, adapter: str | None, options: Mapping[str, Any]) -> Any:
    """Return a `vllm.LLM` that holds the model.

    Parameters
    ----------
    model : str
        A folder, a name on the Hugging Face hub, or ``demo``.
    adapter : str or None
        Folder of a LoRA adapter that requests will name.
    options : mapping
        Further arguments of `vllm.LLM`.

    Raises
    ------
    ConfigError
        There is no such model or adapter, or vLLM cannot load it or does not take an option.
    """
    vllm = import_vllm()
    given = {"trust_remote_code": False, **options}
    if adapter is not None:
        given |= {"enable_lora": True, "max_lora_rank": _find_lora_rank(find_adapter_folder(adapter))}
    folder = find_model_folder(model)
    refuse_foreign_files(model, folder)
    try:
        with _quiet_vllm(), _deaf_to_ctrl_c():
            return vllm.LLM(str(folder), **given)
    except (OSError, ValueError, RuntimeError, TypeError, ImportError, AssertionError) as error:
        raise ConfigError(
            f"vLLM cannot load the model {model!r}: {first_line(error)} Where a process of its own failed, "
            "the reason stands above."
        ) from error


def _find_lora_rank(folder: Path) -> int:
    """Return the smallest rank that vLLM allows and that has room for an adapter.

    Raises
    ------
    ConfigError
        The adapter's rank is not stated or too large.
    """
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    rank = max([config.get("r") or 0, *(config.get("rank_pattern") or {}).values()])
    for allowed in _LORA_RANKS:
        if 0 < rank <= allowed:
            return allowed
    raise ConfigError(f"The adapter {folder} has rank {rank}; vLLM takes ranks up to {_LORA_RANKS[-1]}.")


def check_llm(llm: Any, model: str, top_logprobs: int) -> None:
    """Refuse a vLLM whose logprobs would not be those that are recorded.

    Raises
    ------
    ConfigError
        It holds another model, or reports other numbers or too few of them.
    """
    config = llm.model_config
    if find_model_folder(str(config.model)).resolve() != find_model_folder(model).resolve():
        raise ConfigError(f"The vLLM that was given holds the model {config.model}, not {model}.")
    if config.logprobs_mode != "raw_logprobs":
        raise ConfigError(f"vLLM reports {config.logprobs_mode} here; logprobs_mode must be raw_logprobs.")
    if 0 <= config.max_logprobs < top_logprobs:
        raise ConfigError(
            f"vLLM reports {config.max_logprobs} logprobs a token at most, and top_logprobs is "
            f"{top_logprobs}; make it with max_logprobs={top_logprobs}."
        )


def read_settings(llm: Any) -> dict[str, Any]:
    """Return the settings that answers depend on as vLLM has them."""
    from vllm.platforms import current_platform

    config, whole = llm.model_config, llm.llm_engine.vllm_config
    return {
        "device": str(current_platform.device_type),
        "dtype": str(config.dtype).removeprefix("torch."),
        "quantization": None if config.quantization is None else str(config.quantization),
        "tensor_parallel_size": int(whole.parallel_config.tensor_parallel_size),
        "max_model_len": int(config.max_model_len),
        "enable_prefix_caching": bool(whole.cache_config.enable_prefix_caching),
    }


def engine_errors() -> tuple[type[Exception], ...]:
    """Return what a call raises: a request or an adapter that is refused, and a process that has died."""
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    return (EngineDeadError, EngineGenerateError, OSError, ValueError, RuntimeError)


def shut_down(llm: Any) -> None:
    """End vLLM's processes now and not when the object is collected; `LLM` itself has no such method."""
    llm.llm_engine.engine_core.shutdown()
