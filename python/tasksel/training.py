"""A labelled selection to a trained model: LoRA or full finetuning in a run folder, resumable after a kill.

Layout of ``OUT/training``: ``settings.json`` is written first, ``checkpoint-N`` appears whole or not at all
and replaces the one before, then come ``loss.csv``, ``adapter/`` or ``model/``, and ``manifest.json`` last.
Steps, batches and dropout follow from data, settings and seed alone, so that a run that was killed and
continued gives the same bytes (on one thread of a CPU) as one that was not.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tasksel.causal_model import find_model_folder, identify_model, load_model, suitable_threads
from tasksel.causal_model_folder import TRAINING_FOLDER
from tasksel.json_shapes import NUMBER
from tasksel.pool import load_pool, unanswered
from tasksel.pool_ids import columns_sha256
from tasksel.run_folder import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    file_sha256,
    folder_lock,
    read_versioned,
    write_json,
)
from tasksel.run_folder_identity import (
    find_versions,
    read_settings,
    refuse_changes,
    settle_identity,
)
from tasksel.run_folder_links import listed_path
from tasksel.training_batches import plan_steps
from tasksel.training_examples import EncodedExamples, encode_examples
from tasksel.training_output import ADAPTER_FOLDER, MODEL_FOLDER, hash_files, write_adapter, write_model
from tasksel.training_settings import TrainingSettings
from tasksel.training_state import (
    CHECKPOINT_PREFIX,
    LOSS_NAME,
    CheckpointWriter,
    LossRow,
    find_checkpoint,
    list_checkpoints,
    read_loss_rows,
    write_loss_csv,
)
from tasksel.wording import counted
from tasksel_core.errors import AnnotationError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from tasksel.causal_model import CausalModel
    from tasksel.pool import Pool, PoolSource
    from tasksel.training_loop import TrainingRecord

__all__ = ["TrainingProgress", "TrainingSummary", "train"]

_LIBRARIES = ("tasksel", "torch", "transformers", "tokenizers", "accelerate", "peft")
_INPUTS = ("selection", "model")
_FIGURES: Final[dict[str, Any]] = {
    "examples": int,
    "epochs": int,
    "steps": int,
    "tokens": int,
    "truncated_prompts": int,
    "truncated_responses": int,
    "trained_parameters": int,
    "parameters": int,
    "loss_by_epoch": [NUMBER],
}
_REFUSAL = (
    "{folder} holds a training that cannot be continued as asked: {changes}. "
    "Choose another output folder, or delete {folder} to train again."
)


class TrainingProgress(Protocol):
    """Called once before the first step and again after each."""

    def __call__(self, steps_done: int, steps_total: int, tokens_done: int, /) -> None:
        """Take the steps done, the steps of the whole training and the response tokens trained on so far."""


@dataclass(frozen=True)
class TrainingSummary:
    """What a training found, made and cost.

    Attributes
    ----------
    examples, epochs, steps, steps_reused : int
        Rows of the selection, passes over them, optimizer steps, and how many of those an earlier call made.
    tokens : int
        Response tokens that carried the loss, end tokens included, over all steps.
    truncated_prompts, truncated_responses : int
        Examples that did not fit into `max_tokens`.
    trained_parameters, parameters : int
        Numbers that were trained, and all of the base model.
    loss_by_epoch : list of float
        Mean cross-entropy of a response token in nats, over the steps of each epoch as they were taken.
    seconds : float
        Wall time of this call.
    tokens_per_s : float or None
        Response tokens of this call by the wall time of its steps; None when nothing was left to do.
    folder : str
        The run folder's ``training``.
    adapter, model : str or None
        Folders of the trained adapter and of the whole model, where there is one.
    notes : tuple of str
        Sentences that a user should read.
    """

    examples: int
    epochs: int
    steps: int
    steps_reused: int
    tokens: int
    truncated_prompts: int
    truncated_responses: int
    trained_parameters: int
    parameters: int
    loss_by_epoch: list[float]
    seconds: float
    tokens_per_s: float | None
    folder: str
    adapter: str | None
    model: str | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a dictionary that `json.dumps` takes."""
        return asdict(self) | {"notes": list(self.notes)}


def train(
    selection: PoolSource,
    *,
    model: str,
    out: str | Path,
    r: int = 64,
    alpha: float = 16.0,
    dropout: float = 0.1,
    target_modules: str = "all-linear",
    full: bool = False,
    learning_rate: float = 1e-4,
    warmup_ratio: float = 0.03,
    weight_decay: float = 0.0,
    batch_size: int = 128,
    device_batch_tokens: int = 8192,
    epochs: int = 3,
    max_tokens: int = 2048,
    packing: bool = False,
    gradient_checkpointing: bool = False,
    merge: bool = False,
    trainer: str = "transformers",
    prompt_template: str | None = None,
    checkpoint_every_s: float = 300.0,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    task_column: str | None = None,
    id_column: str | None = None,
    progress: TrainingProgress | None = None,
) -> TrainingSummary:
    """Finetune a model on a labelled selection and write the adapter, or the model, as safetensors.

    The same call on the same folder continues where it stopped, also after ``kill -9``; a finished folder
    is recognised without loading the model. A changed model, setting or selection is refused; what only
    decides where and how fast (`device_batch_tokens`, `gradient_checkpointing`, `checkpoint_every_s`) and
    `merge` may change.

    The prompt is the one that `tasksel.score` gives to the model; the loss is the mean cross-entropy of the
    response's tokens and of the end token, over all examples of a step. Gradients are clipped to norm 1.

    Parameters
    ----------
    selection : path, DataFrame, LazyFrame or Pool
        Anything that `tasksel.pool.load_pool` reads, with a response in every row.
    model : str
        The base: a folder, a name on the Hugging Face hub, or ``demo``.
    out : path
        The run folder; everything goes into ``OUT/training``.
    r, alpha, dropout : int, float, float
        Rank, scale (the adapter counts alpha / r) and dropout of LoRA; 64, 16 and 0.1 are QLoRA's [1]_.
    target_modules : str
        ``all-linear`` (every linear layer but the head, which [1]_ found to matter most), or names with
        commas between them.
    full : bool
        Train every parameter instead of an adapter. Recipes then take a learning rate near 2e-5 [2]_.
    learning_rate : float
        At the end of the warm-up, from where it falls linearly to 0; 1e-4 is that of [2]_ for LoRA.
    warmup_ratio : float
        Share of the steps in which the learning rate rises from 0 [2]_.
    weight_decay : float
        Of AdamW; 0 as in [2]_.
    batch_size : int
        Examples of a step; 128 as in [2]_. It does not depend on the device.
    device_batch_tokens : int
        Tokens that the device holds at once, padding included; a step is accumulated from such parts.
    epochs : int
        Passes over the selection; recipes take 2 to 5.
    max_tokens : int
        Longest example; 2,048 as in [2]_. A longer one loses the beginning of its prompt; only a response
        that leaves its prompt less than a quarter of the room is cut, at its end.
    packing : bool
        Put several examples into a row of up to `max_tokens`, kept apart by their positions, instead of
        padding each: faster on a GPU where lengths differ much. The loss is the same.
    gradient_checkpointing : bool
        Compute activations anew in the backward pass: less memory, about a third more time.
    merge : bool
        Also write the base with the adapter merged into it, which loads without peft.
    trainer : {"transformers", "trl"}
        ``trl`` trains with `trl.SFTTrainer` (extra ``trl``) on the same tokens and labels, in an order of its
        own and without packing.
    prompt_template : str, optional
        Text with ``{prompt}`` once; goes before the chat template of the tokenizer.
    checkpoint_every_s : float
        Seconds between two checkpoints, of which the newest is kept; what a kill can cost.
    seed : int
        Of the adapter's first weights, the order of the examples and dropout.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; one device.
    dtype : str
        ``auto`` (bfloat16 on a GPU that has it, else float32), ``bfloat16`` or ``float32``. In bfloat16 what
        is trained is still kept in float32.
    task_column, id_column : str, optional
        Columns of the selection that hold task and id under other names.
    progress : TrainingProgress, optional
        Called after each step.

    Returns
    -------
    TrainingSummary

    Raises
    ------
    AnnotationError
        Rows have no response.
    ConfigError
        A setting is out of range, there is no such model, it has no end token, or memory does not suffice.
    ResumeError
        The folder holds a training of another model, setting or selection, or is in use.
    SchemaError
        The selection cannot be read.

    References
    ----------
    .. [1] T. Dettmers, A. Pagnoni, A. Holtzman and L. Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized
       LLMs", NeurIPS 2023, arXiv 2305.14314, section 4 and appendix B.
    .. [2] Y. Wang et al., "How Far Can Camels Go?", NeurIPS 2023 Datasets, arXiv 2306.04751, and its code,
       github.com/allenai/open-instruct, ``scripts/finetune_lora_with_accelerate.sh``.
    """
    started_s = time.perf_counter()
    settings = TrainingSettings(
        r=r,
        alpha=alpha,
        dropout=dropout,
        target_modules=target_modules,
        full=full,
        learning_rate=learning_rate,
        warmup_ratio=warmup_ratio,
        weight_decay=weight_decay,
        batch_size=batch_size,
        device_batch_tokens=device_batch_tokens,
        epochs=epochs,
        max_tokens=max_tokens,
        packing=packing,
        gradient_checkpointing=gradient_checkpointing,
        merge=merge,
        trainer=trainer,
        prompt_template=prompt_template,
        checkpoint_every_s=checkpoint_every_s,
        seed=seed,
        device=device,
        dtype=dtype,
    )
    loaded = load_pool(selection, task_column=task_column, id_column=id_column)
    _check_responses(loaded)
    folder = Path(out) / TRAINING_FOLDER
    with folder_lock(folder):
        run = _TrainingRun(selection=loaded, model=model, folder=folder, settings=settings, progress=progress)
        return run.finish(started_s)


def _check_responses(selection: Pool) -> None:
    frame = selection.frame
    missing = unanswered(frame)
    if missing.is_empty():
        return
    has_column = "response" in frame.columns
    where = "the column response is empty there" if has_column else "there is no column response"
    raise AnnotationError(
        f"{selection.name}: {missing.height:,} of {counted(frame.height, 'row has', 'rows have')} no "
        f"response to learn (the first is {missing['id'][0]!r}); {where}. Have the prompts answered and "
        "write each answer into the column response of its row (selected.jsonl of `tasksel select` has one "
        "line a prompt), or leave the rows out."
    )


@dataclass
class _TrainingRun:
    """One call of `train` on a folder that it holds for itself."""

    selection: Pool
    model: str
    folder: Path
    settings: TrainingSettings
    progress: TrainingProgress | None
    notes: list[str] = field(default_factory=list)
    steps_reused: int = 0
    new_tokens: int = 0
    loop_s: float = 0.0

    def finish(self, started_s: float) -> TrainingSummary:
        for leftover in self.folder.glob(".*.tmp"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        identity = self._identify()
        manifest = self._read_finished() or self._train_rest(identity)
        if self.settings.merge and not _lists_model(manifest):
            manifest = self._merge(manifest)
        return TrainingSummary(
            **{name: manifest["figures"][name] for name in _FIGURES},
            steps_reused=self.steps_reused,
            seconds=time.perf_counter() - started_s,
            tokens_per_s=self.new_tokens / self.loop_s if self.new_tokens else None,
            folder=str(self.folder),
            adapter=self._find_output(ADAPTER_FOLDER),
            model=self._find_output(MODEL_FOLDER),
            notes=(*self.selection.notes, *self.notes),
        )

    def _find_output(self, name: str) -> str | None:
        return str(self.folder / name) if (self.folder / name).is_dir() else None

    def _identify(self) -> dict[str, Any]:
        """Say what this training is made from, and refuse a folder that was made from something else."""
        frame = self.selection.frame
        sha256 = columns_sha256(frame, ("prompt", "response"))
        identity = {
            "format_version": FORMAT_VERSION,
            "selection": {"name": self.selection.name, "rows": frame.height, "sha256": sha256},
            "model": identify_model(self.model),
            "settings": self.settings.to_identity(),
        }
        stored = self._read_settings()
        if stored is not None:
            refuse_changes(self.folder, stored, identity, inputs=_INPUTS, refusal=_REFUSAL)
        return identity

    def _read_settings(self) -> dict[str, Any] | None:
        return read_settings(self.folder, (CHECKPOINT_PREFIX, MANIFEST_NAME))

    def _read_finished(self) -> dict[str, Any] | None:
        """Return the manifest if it stands and every file is the one that it lists."""
        path = self.folder / MANIFEST_NAME
        if not path.exists():
            return None
        manifest = read_versioned(path, {"figures": _FIGURES, "files": [{"name": str, "sha256": str}]})
        for listed in manifest["files"]:
            each = listed_path(self.folder, listed["name"], path)
            if not each.exists() or file_sha256(each) != listed["sha256"]:
                self.notes.append(f"{listed['name']} was missing or damaged, and the model is trained again.")
                path.unlink()
                shutil.rmtree(self.folder / MODEL_FOLDER, ignore_errors=True)
                return None
        self._remove_checkpoints()  # a kill after the manifest leaves one
        self.steps_reused = manifest["figures"]["steps"]
        self._report(
            manifest["figures"]["steps"], manifest["figures"]["steps"], manifest["figures"]["tokens"]
        )
        return manifest

    def _train_rest(self, identity: dict[str, Any]) -> dict[str, Any]:
        _check_backend(self.settings.trainer)
        from tasksel.training_network import find_precision, preserved_random_state

        precision = find_precision(self.settings)
        with preserved_random_state():
            causal_model = load_model(
                self.model,
                device=self.settings.device,
                dtype="float32" if self.settings.full else precision,
            )
            identity = self._settle(identity, causal_model, precision)
            with suitable_threads(causal_model):
                return self._train_loaded(identity, causal_model)

    def _settle(self, identity: dict[str, Any], causal_model: CausalModel, precision: str) -> dict[str, Any]:
        """Replace `auto` by what it meant, and write the settings or compare with them."""
        resolved = {"device": causal_model.device.partition(":")[0], "dtype": precision}
        libraries = (*_LIBRARIES, *(("trl",) if self.settings.trainer == "trl" else ()))
        identity = {
            **identity,
            "settings": {**identity["settings"], **resolved},
            "versions": find_versions(libraries),
        }
        identity, changed = settle_identity(
            self.folder, identity, stored=self._read_settings(), inputs=_INPUTS, refusal=_REFUSAL
        )
        if changed:
            self.notes.append(f"Continued with other library versions than it was begun with ({changed}).")
        return identity

    def _train_loaded(self, identity: dict[str, Any], causal_model: CausalModel) -> dict[str, Any]:
        from tasksel.training_loop import TrainingRecord, run_loop
        from tasksel.training_network import prepare_network

        frame, settings = self.selection.frame, self.settings
        encoded = encode_examples(
            causal_model,
            frame["prompt"].to_list(),
            frame["response"].to_list(),
            prompt_template=settings.prompt_template,
            max_tokens=settings.max_tokens,
        )
        self._tell_truncated(encoded)
        n_parameters = sum(each.numel() for each in causal_model.model.parameters())
        network = prepare_network(causal_model, settings, encoded.examples)
        checkpoint = find_checkpoint(self.folder)
        record = TrainingRecord(rows=[] if checkpoint is None else read_loss_rows(checkpoint))
        self.steps_reused = len(record.rows)
        trainer = self._make_trainer(network, encoded, causal_model, record)
        started_s = time.perf_counter()
        run_loop(trainer, checkpoint=checkpoint, causal_model=causal_model, settings=settings)
        self.loop_s = time.perf_counter() - started_s
        self.new_tokens = sum(row.tokens for row in record.rows[self.steps_reused :])
        n_trained = sum(each.numel() for each in network.parameters() if each.requires_grad)
        figures = {
            "examples": frame.height,
            "epochs": settings.epochs,
            "steps": len(record.rows),
            "tokens": sum(row.tokens for row in record.rows),
            "truncated_prompts": encoded.truncated_prompts,
            "truncated_responses": encoded.truncated_responses,
            "trained_parameters": n_trained,
            "parameters": n_parameters,
            "loss_by_epoch": _mean_by_epoch(record.rows, settings.epochs),
        }
        return self._write(identity, figures, network, record)

    def _tell_truncated(self, encoded: EncodedExamples) -> None:
        rows = len(encoded.examples)
        if encoded.truncated_prompts:
            self.notes.append(
                f"{encoded.truncated_prompts:,} of {rows:,} prompts were cut from the left to fit into "
                f"max_tokens ({self.settings.max_tokens:,}) or the model's context."
            )
        if encoded.truncated_responses:
            self.notes.append(
                f"{encoded.truncated_responses:,} of {rows:,} responses were cut at their end, and are "
                "learned without an end; raise max_tokens, or shorten them."
            )

    def _make_trainer(
        self, network: Any, encoded: EncodedExamples, causal_model: CausalModel, record: TrainingRecord
    ) -> Any:
        from tasksel.training_loop import StepDataset, make_response_trainer

        settings = self.settings
        limit = min(settings.max_tokens, causal_model.context_tokens or settings.max_tokens)
        steps = plan_steps(
            len(encoded.examples), batch_size=settings.batch_size, epochs=settings.epochs, seed=settings.seed
        )
        done = sum(row.tokens for row in record.rows)
        self._report(len(record.rows), len(steps), done)
        record.report = lambda row: self._report(
            row.step, len(steps), sum(each.tokens for each in record.rows)
        )
        surroundings: dict[str, Any] = {
            "folder": self.folder,
            "causal_model": causal_model,
            "settings": settings,
            "record": record,
            "writer": CheckpointWriter(self.folder, settings.checkpoint_every_s),
        }
        if settings.trainer == "trl":
            from tasksel.training_trl import make_trl_trainer

            return make_trl_trainer(network, encoded.examples, **surroundings)
        dataset = StepDataset(steps, encoded.examples, causal_model, settings, limit)
        return make_response_trainer(
            network, dataset, steps_per_epoch=len(steps) // settings.epochs, **surroundings
        )

    def _write(
        self, identity: dict[str, Any], figures: dict[str, Any], network: Any, record: TrainingRecord
    ) -> dict[str, Any]:
        write_loss_csv(self.folder / LOSS_NAME, record.rows)
        base_folder = find_model_folder(self.model)
        if self.settings.full:
            write_model(self.folder / MODEL_FOLDER, network, base_folder=base_folder)
        else:
            write_adapter(self.folder / ADAPTER_FOLDER, network, base=self.model)
        manifest = self._write_manifest({**identity, "figures": figures})
        self._remove_checkpoints()
        return manifest

    def _remove_checkpoints(self) -> None:
        for path in list_checkpoints(self.folder):
            shutil.rmtree(path)

    def _merge(self, manifest: dict[str, Any]) -> dict[str, Any]:
        adapter = str(self.folder / ADAPTER_FOLDER)
        merged = load_model(self.model, adapter=adapter, device="cpu", dtype="auto")
        write_model(self.folder / MODEL_FOLDER, merged.model, base_folder=find_model_folder(self.model))
        return self._write_manifest(manifest)

    def _write_manifest(self, content: dict[str, Any]) -> dict[str, Any]:
        files = hash_files(self.folder, (LOSS_NAME, ADAPTER_FOLDER, MODEL_FOLDER))
        manifest = {**content, "files": files}
        write_json(self.folder / MANIFEST_NAME, manifest)
        return manifest

    def _report(self, steps_done: int, steps_total: int, tokens_done: int) -> None:
        if self.progress is not None:
            self.progress(steps_done, steps_total, tokens_done)


def _lists_model(manifest: dict[str, Any]) -> bool:
    """Whether a model was merged; a folder that the manifest does not know is what a kill has left."""
    return any(each["name"].startswith(f"{MODEL_FOLDER}/") for each in manifest["files"])


def _check_backend(trainer: str) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "tasksel train runs on one device, and was started by a launcher for several; start it "
            "without one."
        )
    try:
        import peft  # noqa: F401 - asked here once, so that its absence is one sentence
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training", "hf") from error
    if trainer != "trl":
        return
    try:
        import datasets  # noqa: F401 - as peft
        import trl  # noqa: F401 - as peft
    except ModuleNotFoundError as error:
        raise MissingExtraError("Training with trl", "trl") from error


def _mean_by_epoch(rows: list[LossRow], epochs: int) -> list[float]:
    """Mean loss of a response token over the steps of each epoch."""
    sums, tokens = [0.0] * epochs, [0] * epochs
    for row in rows:
        epoch = min(int(row.epoch - 1e-9), epochs - 1)
        sums[epoch] += row.loss * row.tokens
        tokens[epoch] += row.tokens
    return [total / count if count else float("nan") for total, count in zip(sums, tokens, strict=True)]
