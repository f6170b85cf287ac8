"""Train the demo model, or another base model of a procedural world, and its tokenizer.

    python scripts/train_demo_model.py --out python/tasksel/assets/demo_model
    python scripts/train_demo_model.py --out long-answers-0 --world long-answers
    python scripts/train_demo_model.py --out qwen3-hard-3 --architecture qwen3 --coverage hard --seed 3

A model of about half a million parameters, a Llama unless told otherwise, learns to answer the tasks of a
world, but not all equally: each task has one of four levels of coverage (`Coverage`), so that what the base
model can do, and how sure it is of its answers, differs widely from task to task. That is the situation that
tasksel is made for. About two to four minutes of one CPU core, ten for long answers. The same settings give
the same model on the same kind of CPU and version of torch. No polars is needed, and of tasksel only
``tasksel.toy_world``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
import transformers

from base_model_network import ARCHITECTURES, build_model, train_model
from base_model_report import describe_training, evaluate_model, print_results
from base_model_settings import COVERAGE_MIXES, HEAD_SIZE, WORLD_SETTINGS, WORLD_TASKS, TrainingConfig
from base_model_text import train_tokenizer
from small_models import save_model


def parse_width(text: str) -> int:
    """Read a width that whole heads fit into."""
    width = int(text)
    if width < HEAD_SIZE or width % HEAD_SIZE:
        raise argparse.ArgumentTypeError(f"{text} is not a multiple of {HEAD_SIZE}, the size of a head")
    return width


def build_parser() -> argparse.ArgumentParser:
    """Declare the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--world", choices=WORLD_TASKS, default="toy", help="whose tasks (%(default)s)")
    parser.add_argument(
        "--architecture", choices=ARCHITECTURES, default="llama", help="kind of network (%(default)s)"
    )
    parser.add_argument(
        "--coverage",
        choices=COVERAGE_MIXES,
        default="mixed",
        help="how much of the tasks the model gets to know (%(default)s)",
    )
    parser.add_argument(
        "--hidden-size",
        type=parse_width,
        default=TrainingConfig.hidden_size,
        help=f"width, a multiple of {HEAD_SIZE} (%(default)s)",
    )
    parser.add_argument(
        "--layers", type=int, default=TrainingConfig.n_layers, help="layers of the network (%(default)s)"
    )
    parser.add_argument("--steps", type=int, help=f"training steps ({TrainingConfig.steps})")
    parser.add_argument(
        "--seed", type=int, default=TrainingConfig.seed, help="another seed is another world (%(default)s)"
    )
    parser.add_argument("--holdout-per-task", type=int, help="prompts a task that the model is evaluated on")
    return parser


def make_config(options: argparse.Namespace) -> TrainingConfig:
    """Turn options into settings; those that were not given follow from the world."""
    given = {"steps": options.steps, "holdout_per_task": options.holdout_per_task}
    settings = WORLD_SETTINGS[options.world] | {
        name: value for name, value in given.items() if value is not None
    }
    return TrainingConfig(
        seed=options.seed,
        world=options.world,
        architecture=options.architecture,
        coverage_cycle=COVERAGE_MIXES[options.coverage],
        hidden_size=options.hidden_size,
        n_layers=options.layers,
        n_heads=options.hidden_size // HEAD_SIZE,
        intermediate_size=2 * options.hidden_size,
        **settings,
    )


def main(arguments: list[str] | None = None) -> None:
    """Train, evaluate, write."""
    options = build_parser().parse_args(arguments)
    config = make_config(options)
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    tokenizer = train_tokenizer(config)
    model = build_model(tokenizer, config)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer)} tokens", file=sys.stderr)
    final_loss = train_model(model, tokenizer, config)
    # Before the evaluation, which leaves its padding behind in the tokenizer's file.
    save_model(options.out, model, tokenizer, max_new_tokens=config.max_new_tokens)
    results = evaluate_model(model, tokenizer, config)
    print_results(results)
    training = describe_training(config, model, final_loss, results)
    (options.out / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
