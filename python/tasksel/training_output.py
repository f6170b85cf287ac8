"""The trained model on the disk: an adapter or a whole model, as safetensors, in its place by one rename."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from tasksel.causal_model import quiet_transformers
from tasksel.causal_model_adapter import quiet_peft
from tasksel.run_folder import emptied_folder, file_sha256
from tasksel.run_folder_durability import flush_tree, move_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ADAPTER_FOLDER", "MODEL_FOLDER", "hash_files", "write_adapter", "write_model"]

ADAPTER_FOLDER = "adapter"
MODEL_FOLDER = "model"

_COPIED_PATTERNS = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.jinja",
    "generation_config.json",
)
"""What belongs to the tokenizer and to generation, and is not touched by training."""


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.tmp")
    with emptied_folder(temporary, path):
        yield temporary
    flush_tree(temporary)
    shutil.rmtree(path, ignore_errors=True)
    move_folder(temporary, path)


def write_adapter(path: Path, peft_model: Any, *, base: str) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` as peft reads them.

    peft's own writer keeps the order of a set in the configuration, which changes from process to process,
    and the path of the base on this machine.

    Parameters
    ----------
    path : Path
        The folder.
    peft_model : PeftModel
        With one LoRA adapter.
    base : str
        How the user named the base model.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = {**peft_model.peft_config["default"].to_dict(), "base_model_name_or_path": base}
    config["inference_mode"] = True
    with _new_folder(path) as folder, quiet_peft():
        tensors = get_peft_model_state_dict(peft_model, save_embedding_layers=False)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        text = json.dumps(config, indent=2, sort_keys=True, default=_plain)
        (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (set, frozenset)) else getattr(value, "value", str(value))


def write_model(path: Path, network: Any, *, base_folder: Path) -> None:
    """Write a whole model with the tokenizer and the generation settings of its base.

    Parameters
    ----------
    path : Path
        The folder.
    network : PreTrainedModel
        Without an adapter; it is stored in the dtype of its base, and is in that dtype afterwards.
    base_folder : Path
        Of the model that it was made from.
    """
    import torch

    config = json.loads((base_folder / "config.json").read_text(encoding="utf-8"))
    stored_dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    with _new_folder(path) as folder:
        network = network.to(getattr(torch, stored_dtype.removeprefix("torch."), torch.float32))
        with quiet_transformers():
            network.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        for source in sorted({each for pattern in _COPIED_PATTERNS for each in base_folder.glob(pattern)}):
            if source.is_file():
                shutil.copyfile(source, folder / source.name)


def hash_files(folder: Path, names: tuple[str, ...]) -> list[dict[str, str]]:
    """Return name and hash of each file of `folder` that has one of `names` or stands in such a folder."""
    paths = [path for name in names for path in (folder / name, *sorted((folder / name).rglob("*")))]
    return [
        {"name": path.relative_to(folder).as_posix(), "sha256": file_sha256(path)}
        for path in paths
        if path.is_file()
    ]
