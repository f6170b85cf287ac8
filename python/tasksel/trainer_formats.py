"""A labelled selection in the formats that other trainers read: TRL, LLaMA-Factory, axolotl."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tasksel.file_places import refuse_overwriting
from tasksel.pool import load_pool, unanswered
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    atomic_path,
    file_sha256,
    make_folder,
    write_json,
    write_text,
)
from tasksel.suggestions import did_you_mean
from tasksel.wording import listed
from tasksel_core import __version__
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from tasksel.pool import PoolSource

__all__ = ["EXPORT_FORMATS", "ExportFormat", "ExportSummary", "export"]

DATA_NAME = "train.jsonl"
LLAMA_FACTORY_NAME = "dataset_info.json"
AXOLOTL_NAME = "axolotl.yml"
DATASET_NAME = "tasksel"
"""Under which LLaMA-Factory finds the data set."""


@dataclass(frozen=True)
class ExportFormat:
    """One example a line, and how trainers are told to read it.

    Parameters
    ----------
    summary : str
        One line for help texts.
    example : callable
        (prompt, response) -> JSON object.
    llama_factory : mapping
        The entry of LLaMA-Factory's ``dataset_info.json``, without the file's name.
    axolotl : mapping
        The entry of axolotl's ``datasets:``, without the file's path and type of file.
    """

    summary: str
    example: Callable[[str, str], dict[str, Any]]
    llama_factory: Mapping[str, Any]
    axolotl: Mapping[str, Any]


def _trl(prompt: str, response: str) -> dict[str, Any]:
    return {"prompt": prompt, "completion": response}


def _messages(prompt: str, response: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}],
    }


def _alpaca(prompt: str, response: str) -> dict[str, Any]:
    return {"instruction": prompt, "input": "", "output": response}


def _sharegpt(prompt: str, response: str) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": response}]}


EXPORT_FORMATS = {
    "trl": ExportFormat(
        "prompt and completion, as TRL takes them: the text as it stands",
        _trl,
        llama_factory={"columns": {"prompt": "prompt", "response": "completion"}},
        axolotl={
            "type": {
                "field_instruction": "prompt",
                "field_output": "completion",
                "format": "{instruction}",
                "no_input_format": "{instruction}",
            }
        },
    ),
    "messages": ExportFormat(
        "a user's and an assistant's message, for models with a chat template",
        _messages,
        llama_factory={
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {
                "role_tag": "role",
                "content_tag": "content",
                "user_tag": "user",
                "assistant_tag": "assistant",
            },
        },
        axolotl={
            "type": "chat_template",
            "field_messages": "messages",
            "message_property_mappings": {"role": "role", "content": "content"},
        },
    ),
    "alpaca": ExportFormat(
        "instruction, input (empty) and output",
        _alpaca,
        llama_factory={"columns": {"prompt": "instruction", "query": "input", "response": "output"}},
        axolotl={"type": "alpaca"},
    ),
    "sharegpt": ExportFormat(
        "conversations of a human and a model",
        _sharegpt,
        llama_factory={"formatting": "sharegpt", "columns": {"messages": "conversations"}},
        axolotl={
            "type": "chat_template",
            "field_messages": "conversations",
            "message_property_mappings": {"role": "from", "content": "value"},
        },
    ),
}
"""By name. The sources are TRL's "Dataset formats", LLaMA-Factory's ``data/README.md`` and axolotl's "Dataset
Formats"."""


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Parameters
    ----------
    folder : str
        Where.
    format : str
        A key of `EXPORT_FORMATS`.
    rows : int
        Examples.
    files : tuple of str
        Their names; the manifest, which is written last, is not among them.
    """

    folder: str
    format: str
    rows: int
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-compatible values."""
        return {**asdict(self), "files": list(self.files)}


def export(
    selected: PoolSource,
    *,
    out: str | os.PathLike[str],
    format: str = "trl",  # noqa: A002 -- what the user types, and what pandas and polars call it
    task_column: str | None = None,
    id_column: str | None = None,
) -> ExportSummary:
    """Write a labelled selection, or any pool with responses, as another trainer reads it.

    Parameters
    ----------
    selected : path, DataFrame, LazyFrame or Pool
        In any of the shapes of a pool; every row needs a response. Rows keep their order.
    out : path
        Folder for ``train.jsonl`` (one example a line), ``dataset_info.json`` (for LLaMA-Factory, whose
        ``dataset_dir`` the folder is then, with ``dataset: tasksel``), ``axolotl.yml`` (the ``datasets:`` of
        an axolotl configuration, paths seen from the folder) and, last, ``manifest.json``.
    format : {"trl", "messages", "alpaca", "sharegpt"}
        Shape of an example.
    task_column, id_column : str, optional
        Columns of the pool to use as task and id.

    Returns
    -------
    ExportSummary

    Raises
    ------
    ConfigError
        There is no such format, or `out` is a file.
    SchemaError
        The pool cannot be read, or a response is missing.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> labelled = pl.DataFrame({"prompt": ["1+1="], "response": ["2"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = export(labelled, out=folder, format="alpaca")
    ...     print(Path(folder, "train.jsonl").read_text(), end="")
    {"instruction": "1+1=", "input": "", "output": "2"}
    """
    if format not in EXPORT_FORMATS:
        hint = did_you_mean(format, EXPORT_FORMATS)
        raise ConfigError(f"format is {format!r}; allowed: {', '.join(EXPORT_FORMATS)}.{hint}")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; allowed: a folder to write the examples to.")
    names = (DATA_NAME, LLAMA_FACTORY_NAME, AXOLOTL_NAME, MANIFEST_NAME)
    refuse_overwriting((folder / name for name in names), [selected])
    pool = load_pool(selected, task_column=task_column, id_column=id_column)
    _check_responses(pool.frame, pool.name)
    make_folder(folder)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    chosen = EXPORT_FORMATS[format]
    pairs = pool.frame.select("prompt", "response").iter_rows()
    _write_lines(folder / DATA_NAME, (chosen.example(*pair) for pair in pairs))
    entry = {"file_name": DATA_NAME, **chosen.llama_factory}
    write_json(folder / LLAMA_FACTORY_NAME, {DATASET_NAME: entry})
    axolotl = {"path": DATA_NAME, "ds_type": "json", **chosen.axolotl}
    write_text(folder / AXOLOTL_NAME, "datasets:\n" + _yaml_entry(axolotl))
    files = (DATA_NAME, LLAMA_FACTORY_NAME, AXOLOTL_NAME)
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "export",
        "pool": {"name": pool.name, "sha256": pool.sha256, "shape": pool.shape, "rows": pool.frame.height},
        "settings": {"format": format},
        "versions": {"tasksel": __version__, "polars": pl.__version__},
        "files": {name: file_sha256(folder / name) for name in files},
    }
    write_json(folder / MANIFEST_NAME, manifest)
    return ExportSummary(folder=str(out), format=format, rows=pool.frame.height, files=files)


def _check_responses(frame: pl.DataFrame, name: str) -> None:
    """Refuse a pool in which a response is missing or empty.

    Raises
    ------
    SchemaError
        How many are missing, and where they belong.
    """
    if "response" not in frame.columns:
        raise SchemaError(
            f"{name} has no responses: have the prompts answered and put the answers into a column "
            f"'response'; it has {listed(frame.columns)}."
        )
    missing = unanswered(frame)
    if not missing.is_empty():
        raise SchemaError(
            f"{name}: {missing.height:,} of {frame.height:,} prompts have no response, the first of them "
            f"{missing['id'][0]!r}. Have them answered and fill in the column 'response', or leave them out."
        )


def _write_lines(path: Path, examples: Iterable[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(example, ensure_ascii=False) + "\n" for example in examples)


def _yaml_entry(entry: Mapping[str, Any]) -> str:
    """Write one entry of a list of mappings of plain names and of text with braces, one level deep."""
    lines = []
    for name, value in entry.items():
        if isinstance(value, str):
            lines.append(f"{name}: {_yaml_text(value)}")
        else:
            lines.append(f"{name}:")
            lines += [f"  {inner}: {_yaml_text(text)}" for inner, text in value.items()]
    return "".join(f"  {'- ' if number == 0 else '  '}{line}\n" for number, line in enumerate(lines))


def _yaml_text(text: str) -> str:
    return json.dumps(text) if "{" in text else text
