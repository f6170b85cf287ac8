"""The folders of a model and of an adapter: found and identified without torch and transformers.

So that a finished run can be recognised without them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import IO, Any

from tasksel.causal_model_trust import refuse_foreign_adapter
from tasksel.file_places import expanded_home
from tasksel.run_folder import file_sha256
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

__all__ = [
    "EMBEDDED_MODEL",
    "TRAINING_FOLDER",
    "find_adapter_folder",
    "find_local_model",
    "find_model_folder",
    "identify_model",
    "loading_errors",
    "model_sha256",
]

EMBEDDED_MODEL = "demo"
"""The name under which every verb finds the model that ships with the package."""

_MODEL_PATTERNS = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt")
"""Weights, configuration and tokenizer; read-me files and other frameworks' weights are left out."""

TRAINING_FOLDER = "training"
"""Where in a run folder a training stands."""

_ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"
_HASHED_WHOLE_BYTES = 64 * 2**20
_SAMPLED_BYTES = 4096


def find_model_folder(model: str) -> Path:
    """Return the folder of a model: itself, the embedded one, or a snapshot in the hub's cache.

    A snapshot that is already in the cache is used as it is; only a model that is not there is fetched.

    Raises
    ------
    ConfigError
        There is no such folder, and no such model on the hub or no way to reach it.
    MissingExtraError
        A hub name was given and huggingface_hub is not installed.
    """
    if model == EMBEDDED_MODEL:
        from tasksel.assets import embedded_model_path

        return embedded_model_path()
    folder = expanded_home(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"The folder {model} holds no model: it has no config.json.{_base_hint(folder)}"
            )
        return folder
    if folder.exists():
        raise ConfigError(f"The model {model} is a file; the folder that holds config.json is wanted.")
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model:
        raise ConfigError(f"There is no model folder {model}.")
    return _fetch_snapshot(model)


def _base_hint(folder: Path) -> str:
    if not (folder / _ADAPTER_CONFIG).is_file():
        return ""
    base = _read_adapter_config(folder).get("base_model_name_or_path") or "the model that it was made from"
    return f" It holds an adapter: pass it as the adapter, and its base ({base}) as the model."


def find_adapter_folder(adapter: str) -> Path:
    """Return the folder of a LoRA adapter: itself, or the one inside a run folder of `tasksel train`.

    What its configuration says of its base is not read: the base may have moved, and is named beside it.

    Parameters
    ----------
    adapter : str
        A folder with ``adapter_config.json`` and ``adapter_model.safetensors``, or the ``--out`` of a
        finished training.

    Raises
    ------
    ConfigError
        There is no such folder, or it holds no LoRA adapter in safetensors.
    """
    given = expanded_home(adapter)
    if not given.is_dir():
        raise ConfigError(f"There is no adapter folder {adapter}.")
    for folder in (given, given / "adapter", given / TRAINING_FOLDER / "adapter"):
        if (folder / _ADAPTER_CONFIG).is_file():
            break
    else:
        raise ConfigError(f"The folder {adapter} holds no adapter: it has no {_ADAPTER_CONFIG}.")
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise ConfigError(f"The adapter {folder} has no {_ADAPTER_WEIGHTS}; other formats are not read.")
    refuse_foreign_adapter(adapter, _read_adapter_config(folder))
    return folder


def _read_adapter_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / _ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder / _ADAPTER_CONFIG} cannot be read as JSON ({error}).") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{folder / _ADAPTER_CONFIG} holds no JSON object.")
    return config


def _fetch_snapshot(model: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise MissingExtraError("Scoring with a model", "hf") from error
    cached = _find_snapshot(model)
    if cached is not None:
        return cached
    try:
        return Path(snapshot_download(model, allow_patterns=list(_MODEL_PATTERNS)))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise ConfigError(
            f"The model {model!r} is no folder here, and the Hugging Face hub did not give it: "
            f"{first_line(error)}"
        ) from error


def _find_snapshot(model: str) -> Path | None:
    """Return the snapshot of a model in the hub's cache, without asking the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=list(_MODEL_PATTERNS), local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{model!r} is neither a folder nor a name on the Hugging Face hub.") from error


def find_local_model(model: str) -> Path | None:
    """Return the folder of a model that is on this machine, or None; nothing is fetched."""
    if model == EMBEDDED_MODEL or expanded_home(model).exists():
        return find_model_folder(model)
    try:
        return _find_snapshot(model)
    except (ConfigError, ModuleNotFoundError):
        return None


def model_sha256(folder: Path, adapter_folder: Path | None = None) -> str:
    """Return a hash that tells one model from another: names, sizes and contents of its files.

    With an adapter it covers the adapter's configuration and weights too.

    Files up to 64 MiB are hashed whole. Of larger safetensors files, which would take minutes, the
    header (names, shapes, types, offsets) and the first 4 KiB of every tensor are hashed: training
    changes practically every number of a tensor that it touches. A change that leaves all those bytes
    as they were is not noticed.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    files = sorted({path for pattern in _MODEL_PATTERNS for path in folder.glob(pattern)})
    for path in files:
        size = path.stat().st_size
        sampled = size > _HASHED_WHOLE_BYTES and path.suffix == ".safetensors"
        content = _sampled_safetensors_sha256(path) if sampled else file_sha256(path)
        digest.update(f"{path.name}\0{size}\0{content}\n".encode())
    if adapter_folder is not None:
        for name in (_ADAPTER_CONFIG, _ADAPTER_WEIGHTS):
            digest.update(f"adapter\0{name}\0{file_sha256(adapter_folder / name)}\n".encode())
    return digest.hexdigest()


def identify_model(model: str, adapter: str | None = None) -> dict[str, str]:
    """Return ``name``, ``sha256`` and, if there is one, ``adapter`` of a model, without loading it.

    Raises
    ------
    ConfigError
        There is no such model or adapter.
    """
    folder = find_model_folder(model)
    if adapter is None:
        return {"name": model, "sha256": model_sha256(folder)}
    sha256 = model_sha256(folder, find_adapter_folder(adapter))
    return {"name": model, "adapter": adapter, "sha256": sha256}


def _sampled_safetensors_sha256(path: Path) -> str:
    """Hash the header and the beginning of every tensor (format: 8-byte length, JSON header, data)."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        length = source.read(8)
        header = source.read(int.from_bytes(length, "little"))
        digest.update(length + header)
        for start, stop in _tensor_ranges(path, header):
            digest.update(_read_range(source, 8 + len(header) + start, min(stop - start, _SAMPLED_BYTES)))
    return digest.hexdigest()


def _tensor_ranges(path: Path, header: bytes) -> list[tuple[int, int]]:
    try:
        entries = json.loads(header)
        return sorted(
            tuple(entry["data_offsets"]) for name, entry in entries.items() if name != "__metadata__"
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a safetensors file: its header cannot be read.") from error


def _read_range(source: IO[bytes], offset: int, n_bytes: int) -> bytes:
    source.seek(offset)
    return source.read(n_bytes)


def loading_errors() -> tuple[type[Exception], ...]:
    """Return what transformers, peft and safetensors raise for files that they cannot use."""
    from safetensors import SafetensorError

    return (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        ImportError,
        SafetensorError,
    )
