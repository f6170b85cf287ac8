"""Files that travel inside the package: the demo model with its tokenizer."""

from __future__ import annotations

from pathlib import Path

__all__ = ["embedded_model_path"]


def embedded_model_path() -> Path:
    """Folder of the demo model, in the layout that transformers reads.

    A Llama of about half a million parameters and a byte-level BPE tokenizer of 1,280 tokens, made by
    ``scripts/train_demo_model.py`` from the text of `tasksel.toy_world`; the pool that goes with it is
    ``make_toy_pool()``. ``training.json`` in the folder holds settings and results.

    Examples
    --------
    >>> (embedded_model_path() / "model.safetensors").is_file()
    True
    """
    return Path(__file__).parent / "demo_model"
