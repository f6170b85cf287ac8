"""Collect the examples of the text world: short tasks of Natural Instructions that a small model can bear.

    python scripts/make_text_world.py --data ../shared/data --tokenizer ../models/text-0 --out text.parquet

The rule, in its order:

1. All rows of both files; of rows with the same prompt the first one stays.
2. The prompt gets a line break at its end, since a model knows the words of an answer as they begin a line.
3. An example is usable if its prompt has at most 300 and its response 1 to 28 tokens of the tokenizer.
4. A task is in the world if at least 40 of its examples are usable: 12 to hold out, 28 for a pool. What is
   usable of it is in the file.

A study draws holdouts and pools from the file by seed. Columns: id, task, prompt, response, license (that of
the task's instances, as published; for many it is unknown).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import polars as pl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from train_text_model import WORLD_FILES


@dataclasses.dataclass(frozen=True)
class WorldRule:
    """Which examples and tasks make the world."""

    max_prompt_tokens: int = 300
    """Prompts are most of what scoring and training cost."""

    max_response_tokens: int = 28
    """An answer of 32 new tokens then holds any reference and its end."""

    min_examples: int = 40
    """Usable examples of a task."""


def read_examples(data: Path) -> pl.DataFrame:
    """Read all examples of both files as id, task, prompt, response and license, each prompt once."""
    parts = [
        pl.read_parquet(data / name, columns=["id", "task", "prompt", "response", "instance_license"])
        for name in WORLD_FILES
    ]
    return (
        pl.concat(parts)
        .rename({"instance_license": "license"})
        .unique("prompt", keep="first", maintain_order=True)
        .with_columns(prompt=pl.col("prompt") + "\n", response=pl.col("response").str.strip_chars())
    )


def count_tokens(texts: pl.Series, tokenizer: PreTrainedTokenizerBase) -> pl.Series:
    """Tokens of each text, special tokens quoted in it counted as plain text."""
    encoded = tokenizer(texts.to_list(), add_special_tokens=False, split_special_tokens=True, verbose=False)
    return pl.Series(map(len, encoded["input_ids"]), dtype=pl.UInt32)


def find_usable(examples: pl.DataFrame, tokenizer: PreTrainedTokenizerBase, rule: WorldRule) -> pl.DataFrame:
    """Return the examples that are short enough and have a response."""
    prompt_tokens = count_tokens(examples["prompt"], tokenizer)
    response_tokens = count_tokens(examples["response"], tokenizer)
    return examples.filter(
        (prompt_tokens <= rule.max_prompt_tokens)
        & (response_tokens > 0)
        & (response_tokens <= rule.max_response_tokens)
    )


def keep_large_tasks(usable: pl.DataFrame, rule: WorldRule) -> pl.DataFrame:
    """Return the examples of the tasks that have enough of them, sorted by task and id."""
    return usable.filter(pl.len().over("task") >= rule.min_examples).sort("task", "id")


def describe_world(world: pl.DataFrame, examples: pl.DataFrame) -> str:
    """Say how many tasks and examples there are, and of how many tasks long examples were left out."""
    sizes = world.group_by("task").len("usable")
    shares = sizes.join(examples.group_by("task").len("all"), on="task")
    below_half = shares.filter(pl.col("usable") < 0.5 * pl.col("all")).height
    return (
        f"{len(world):,} examples of {len(sizes)} tasks; examples a task: {sizes['usable'].min()} to "
        f"{sizes['usable'].max()}, median {sizes['usable'].median():.0f}; "
        f"of {below_half} tasks less than half is short enough."
    )


def main(arguments: list[str] | None = None) -> None:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {' and '.join(WORLD_FILES)}")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the text model")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file for the world")
    for field in dataclasses.fields(WorldRule):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=int, default=field.default, help="see the rule (%(default)s)")
    options = parser.parse_args(arguments)
    rule = WorldRule(options.max_prompt_tokens, options.max_response_tokens, options.min_examples)
    examples = read_examples(options.data)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer, local_files_only=True)
    world = keep_large_tasks(find_usable(examples, tokenizer, rule), rule)
    if world.is_empty():
        raise SystemExit(
            f"No task has {rule.min_examples} usable examples; ask for fewer or allow longer ones."
        )
    world.write_parquet(options.out)
    print(describe_world(world, examples))


if __name__ == "__main__":
    main()
