"""The loop over steps: `transformers.Trainer` with our batches and our loss, resumable at checkpoints."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tasksel.causal_model import quiet_transformers
from tasksel.causal_model_adapter import quiet_peft
from tasksel.device_memory import is_out_of_memory
from tasksel.training_batches import collate, plan_device_batches
from tasksel.training_loss import response_loss
from tasksel.training_network import find_precision
from tasksel.training_state import LossRow
from tasksel_core.errors import ConfigError, TaskselError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel
    from tasksel.training_examples import TrainingExample
    from tasksel.training_settings import TrainingSettings
    from tasksel.training_state import CheckpointWriter

__all__ = [
    "StepDataset",
    "TrainingRecord",
    "make_arguments",
    "make_response_trainer",
    "make_trainer_class",
    "run_loop",
    "step_seed",
]

MAX_GRADIENT_NORM = 1.0
_WEIGHTS_NAME = "weights.safetensors"


class ReportStep(Protocol):
    """Called after each step."""

    def __call__(self, row: LossRow) -> None:
        """Take what the step was."""


@dataclass
class TrainingRecord:
    """What a training has done so far, kept in every checkpoint.

    Attributes
    ----------
    rows : list of LossRow
        One a step.
    report : callable, optional
        Called with each new row.
    """

    rows: list[LossRow] = field(default_factory=list)
    report: ReportStep | None = None

    def add(self, row: LossRow) -> None:
        """Keep a step's figures, and refuse a loss that is not a number: nothing after it could mend it."""
        if not math.isfinite(row.loss):
            raise TaskselError(
                f"The loss is {row.loss} at step {row.step}; lower the learning rate, or use dtype float32."
            )
        self.rows.append(row)
        if self.report is not None:
            self.report(row)


class StepDataset:
    """A data set whose items are whole steps: batches for the device, made when they are asked for.

    Parameters
    ----------
    steps : sequence of ndarray of int64
        Rows of each step, from `plan_steps`.
    examples : sequence of TrainingExample
        What the rows are rows of.
    causal_model : CausalModel
        Its padding token.
    settings : TrainingSettings
        Its `packing` and `device_batch_tokens`.
    row_tokens : int
        Most tokens of a packed row.
    """

    def __init__(
        self,
        steps: Sequence[npt.NDArray[np.int64]],
        examples: Sequence[TrainingExample],
        causal_model: CausalModel,
        settings: TrainingSettings,
        row_tokens: int,
    ) -> None:
        self._steps = steps
        self._examples = examples
        self._pad_id = causal_model.pad_id
        self._device_batch_tokens = settings.device_batch_tokens
        self._row_tokens = row_tokens if settings.packing else None

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, number: int) -> dict[str, Any]:
        examples = [self._examples[row] for row in self._steps[number]]
        lengths = np.array([len(example.token_ids) for example in examples], dtype=np.int64)
        batches = plan_device_batches(
            lengths, device_batch_tokens=self._device_batch_tokens, row_tokens=self._row_tokens
        )
        return {
            "batches": [
                collate([[examples[position] for position in row] for row in rows], pad_id=self._pad_id)
                for rows in batches
            ],
            "response_tokens": sum(example.response_tokens for example in examples),
        }


def run_loop(
    trainer: Any, *, checkpoint: Path | None, causal_model: CausalModel, settings: TrainingSettings
) -> None:
    """Run a trainer to its end, from a checkpoint if one is given.

    Raises
    ------
    ConfigError
        The device's memory does not suffice.
    """
    import torch

    device = torch.device(causal_model.device)
    placed = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    try:
        with placed, quiet_peft(), quiet_transformers():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        remedies = [
            f"lower device_batch_tokens (it is {settings.device_batch_tokens:,})",
            *([] if settings.gradient_checkpointing else ["switch gradient_checkpointing on"]),
            *(["train an adapter instead of the full model"] if settings.full else ["lower max_tokens"]),
        ]
        raise ConfigError(
            f"The training does not fit into the memory of {causal_model.device}: {', or '.join(remedies)}."
        ) from error


def make_arguments(
    arguments_class: Any, folder: Path, causal_model: CausalModel, settings: TrainingSettings, **others: Any
) -> Any:
    """Make the arguments that both trainers share: no logs, no reports, no checkpoints but ours."""
    arguments = arguments_class(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        weight_decay=settings.weight_decay,
        max_grad_norm=MAX_GRADIENT_NORM,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=causal_model.device == "cpu",
        bf16=find_precision(settings) == "bfloat16",
        seed=settings.seed,
        dataloader_pin_memory=False,
        **others,
    )
    # With several GPUs in sight the Trainer would copy the model onto all of them at every step.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def make_trainer_class(
    base: Any, *, record: TrainingRecord, writer: CheckpointWriter, steps_per_epoch: int
) -> Any:
    """Return a subclass of a transformers Trainer that records every step and writes checkpoints whole.

    Parameters
    ----------
    base : type
        `transformers.Trainer` or a subclass of it.
    record : TrainingRecord
        Gets a row a step.
    writer : CheckpointWriter
        Decides when a checkpoint is due and puts it in its place.
    steps_per_epoch : int
        Steps of one pass over the selection.
    """
    from safetensors.torch import load_file, save_file

    def find_trained(network: Any) -> dict[str, Any]:
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    class ResumableTrainer(base):  # type: ignore[misc] # transformers has no types here
        _saving_folder: Path | None = None

        def record_step(self, loss: float, tokens: int) -> None:
            step = self.state.global_step + 1
            rate = float(self.optimizer.param_groups[0]["lr"])
            record.add(LossRow(step, step / steps_per_epoch, rate, loss, tokens))

        def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002 - the signature is theirs
            return 0  # counted for nobody

        def _maybe_log_save_evaluate(self, *_: Any, **__: Any) -> None:
            is_last = self.state.global_step >= self.state.max_steps
            if not is_last and writer.is_due(self.state.global_step):
                self._save_checkpoint(self.model, trial=None)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            with writer.begin(self.state.global_step, record.rows) as folder:
                self._saving_folder = folder
                super()._save_checkpoint(model, trial)

        def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002 - as above
            return str(self._saving_folder or self.args.output_dir)

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            folder = Path(output_dir or self._get_output_dir(None))
            folder.mkdir(parents=True, exist_ok=True)
            tensors = {name: each.detach().contiguous() for name, each in find_trained(self.model).items()}
            save_file(tensors, folder / _WEIGHTS_NAME)

        def _load_from_checkpoint(
            self,
            resume_from_checkpoint: str,
            model: Any = None,  # noqa: ARG002 - as above
        ) -> None:
            import torch

            stored = load_file(Path(resume_from_checkpoint) / _WEIGHTS_NAME)
            with torch.no_grad():
                for name, parameter in find_trained(self.model).items():
                    parameter.copy_(stored[name])

    return ResumableTrainer


def make_response_trainer(
    network: Any,
    dataset: StepDataset,
    *,
    folder: Path,
    causal_model: CausalModel,
    settings: TrainingSettings,
    record: TrainingRecord,
    writer: CheckpointWriter,
    steps_per_epoch: int,
) -> Any:
    """Make a `transformers.Trainer` whose items are whole steps."""
    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    resumable = make_trainer_class(Trainer, record=record, writer=writer, steps_per_epoch=steps_per_epoch)

    class ResponseTrainer(resumable):  # type: ignore[misc,valid-type] # made by a function
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)

        def training_step(
            self,
            model: Any,
            inputs: dict[str, Any],
            num_items_in_batch: Any = None,  # noqa: ARG002 - counted by the data set
        ) -> Any:
            model.train()
            # Dropout then follows from seed and step alone, and a resumed run drops what a whole one would.
            torch.manual_seed(step_seed(settings.seed, self.state.global_step))
            total = torch.zeros((), device=self.args.device)
            for batch in inputs["batches"]:
                loss = response_loss(model, batch) / inputs["response_tokens"]
                self.accelerator.backward(loss)
                total += loss.detach()
            self.record_step(float(total), inputs["response_tokens"])
            return total

    arguments = make_arguments(
        TrainingArguments,
        folder,
        causal_model,
        settings,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        warmup_steps=math.ceil(len(dataset) * settings.warmup_ratio),
        remove_unused_columns=False,
    )
    trainer = ResponseTrainer(
        model=network, args=arguments, train_dataset=dataset, data_collator=lambda items: items[0]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def step_seed(seed: int, step: int) -> int:
    """Return the seed of one step's dropout."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
