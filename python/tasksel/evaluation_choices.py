"""Multiple choice by log-likelihood: the continuation of a prompt that the model finds most likely.

The form is that of lm-evaluation-harness, token by token: the same MMLU prompts, the same split of context
and continuation, the same cut to the context from the left. Its figure and ours are equal on the same files.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from tasksel.evaluation_parts import answer_in_parts
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tasksel.causal_model import CausalModel
    from tasksel.scoring import ScoreProgress

__all__ = ["MMLU_LETTERS", "ChoiceScorer", "answer_questions", "mmlu_questions"]

MMLU_LETTERS: Final = ("A", "B", "C", "D")
_PART_ROWS: Final = 256
_CUT: Final = "cut_contexts"
_MAX_BATCH_ROWS: Final = 16
"""Prompts of many lengths in one batch need logits at many places."""


def mmlu_questions(test: pl.DataFrame, dev: pl.DataFrame, *, shots: int = 5) -> pl.DataFrame:
    """Write the prompt of every MMLU question: subject, solved examples, question, choices, ``Answer:``.

    Parameters
    ----------
    test, dev : pl.DataFrame
        ``id``, ``task`` (the subject), ``prompt`` (the question), ``choices`` (lists of four String) and
        ``answer`` (0 to 3).
    shots : int
        Solved examples: the first of the subject's rows in `dev`.

    Returns
    -------
    pl.DataFrame
        ``id``, ``task``, ``context`` and ``answer``, in the order of `test`.

    Raises
    ------
    SchemaError
        A column is missing, a row has not four choices or no answer, or a subject lacks solved examples.

    References
    ----------
    Hendrycks, D., et al. (2021). Measuring Massive Multitask Language Understanding. ICLR;
    ``lm_eval/tasks/mmlu/default`` of lm-evaluation-harness 0.4.13.

    Examples
    --------
    >>> row = {"id": "1", "task": "us_history", "prompt": "When?", "choices": list("1234"), "answer": 2}
    >>> print(mmlu_questions(pl.DataFrame([row]), pl.DataFrame([row]), shots=0)["context"][0])
    The following are multiple choice questions (with answers) about us history.
    <BLANKLINE>
    When?
    A. 1
    B. 2
    C. 3
    D. 4
    Answer:
    """
    _check_questions("test", test)
    _check_questions("dev", dev)
    headers = {}
    for subject in test["task"].unique(maintain_order=True):
        solved = dev.filter(task=subject).head(shots)
        if solved.height < shots:
            raise SchemaError(
                f"The dev questions have {solved.height} of {subject!r}; {shots} shots need as many."
            )
        headers[subject] = _header(subject, solved)
    contexts = [headers[row["task"]] + _question(row) for row in test.iter_rows(named=True)]
    return test.select(
        "id", "task", pl.Series("context", contexts, pl.String), pl.col("answer").cast(pl.Int64)
    )


def _header(subject: str, solved: pl.DataFrame) -> str:
    title = (
        f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    )
    examples = [f"{_question(row)} {MMLU_LETTERS[row['answer']]}\n\n" for row in solved.iter_rows(named=True)]
    return title + "".join(examples)


def _question(row: dict[str, Any]) -> str:
    choices = [f"{letter}. {choice}" for letter, choice in zip(MMLU_LETTERS, row["choices"], strict=True)]
    return "\n".join([row["prompt"].strip(), *choices, "Answer:"])


def _check_questions(name: str, frame: pl.DataFrame) -> None:
    missing = [
        column for column in ("id", "task", "prompt", "choices", "answer") if column not in frame.columns
    ]
    if missing:
        raise SchemaError(
            f"The {name} questions lack {', '.join(missing)}; they have {', '.join(frame.columns)}."
        )
    n_choices = len(MMLU_LETTERS)
    # A null has neither four choices nor an answer.
    right = (pl.col("choices").list.len() == n_choices) & pl.col("answer").is_between(0, n_choices - 1)
    wrong = frame.filter(~right.fill_null(value=False))
    if wrong.height:
        raise SchemaError(
            f"{wrong.height} {name} questions have not four choices and an answer from 0 to 3; the first is "
            f"{wrong['id'][0]!r}."
        )


class _Request(NamedTuple):
    """What the model reads, and the tokens after it that are asked for."""

    input_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...]
    is_cut: bool


@dataclass
class ChoiceScorer:
    """Log-likelihoods of continuations under a model.

    Parameters
    ----------
    causal_model : CausalModel
        From `load_model`.
    batch_tokens : int
        Largest batch, in tokens with padding.

    Attributes
    ----------
    cut_contexts : int
        Contexts that did not fit and lost tokens on the left.
    """

    causal_model: CausalModel
    batch_tokens: int = 8192
    cut_contexts: int = 0

    def score(self, contexts: Sequence[str], continuations: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the log-likelihood of every continuation after every context.

        Continuations of one token share one pass over their context.

        Parameters
        ----------
        contexts : sequence of str
            None of them empty.
        continuations : sequence of str
            For example ``" A"`` to ``" D"``; the same for every context.

        Returns
        -------
        ndarray of float64, shape (n_contexts, n_continuations)
            Natural logarithms, summed over the tokens of a continuation.

        Raises
        ------
        ConfigError
            A context or continuation is empty.
        """
        if any(not text.strip() for text in (*contexts, *continuations)):
            raise ConfigError("A context or continuation is empty; a likelihood needs text on both sides.")
        requests = [[self._encode(context, text) for text in continuations] for context in contexts]
        self.cut_contexts += sum(any(request.is_cut for request in row) for row in requests)
        wanted: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
        for request in (request for row in requests for request in row):
            wanted.setdefault(request.input_ids, set()).add(request.continuation_ids)
        found = self._run(wanted)
        scores = [[found[request.input_ids, request.continuation_ids] for request in row] for row in requests]
        return np.array(scores, dtype=np.float64).reshape(len(contexts), len(continuations))

    def _encode(self, context: str, continuation: str) -> _Request:
        """Split as lm-evaluation-harness does: white space before a word belongs to the continuation."""
        bare = context.rstrip()
        continuation = context[len(bare) :] + continuation
        whole, before = self._tokenize(bare + continuation), self._tokenize(bare)
        continuation_ids = whole[len(before) :]
        if not continuation_ids:
            raise ConfigError(f"The tokenizer gives {continuation!r} no tokens of its own.")
        limit = self.causal_model.context_tokens
        input_ids = whole if limit is None else whole[-(limit + 1) :]
        return _Request(tuple(input_ids[:-1]), tuple(continuation_ids), len(input_ids) < len(whole))

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self.causal_model.tokenizer(text, return_attention_mask=False)["input_ids"]
        return ids

    def _run(
        self, wanted: dict[tuple[int, ...], set[tuple[int, ...]]]
    ) -> dict[tuple[tuple[int, ...], tuple[int, ...]], float]:
        # Longest first, so that a lack of memory shows at once; ties by content, for equal batches.
        inputs = sorted(wanted, key=lambda ids: (-len(ids), ids))
        found = {}
        start = 0
        while start < len(inputs):
            stop = start + max(1, min(_MAX_BATCH_ROWS, self.batch_tokens // len(inputs[start])))
            batch = inputs[start:stop]
            found.update(self._run_batch(batch, [wanted[ids] for ids in batch]))
            start = stop
        return found

    def _run_batch(
        self, batch: list[tuple[int, ...]], wanted: list[set[tuple[int, ...]]]
    ) -> dict[tuple[tuple[int, ...], tuple[int, ...]], float]:
        import torch

        width = max(map(len, batch))
        input_ids = np.full((len(batch), width), self.causal_model.pad_id, dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(batch):
            input_ids[row, : len(ids)], mask[row, : len(ids)] = ids, 1
        places = [
            (row, len(ids) - len(text) + offset, token)
            for row, (ids, texts) in enumerate(zip(batch, wanted, strict=True))
            for text in sorted(texts)
            for offset, token in enumerate(text)
        ]
        rows, columns, tokens = map(list, zip(*places, strict=True))
        kept = sorted(set(columns))
        with torch.inference_mode():
            logits = self._logits(input_ids, mask, kept)[rows, [kept.index(column) for column in columns]]
            logprobs = (
                logits.float().log_softmax(-1)[list(range(len(tokens))), tokens].double().cpu().tolist()
            )
        remaining = iter(logprobs)
        return {
            (ids, text): sum(next(remaining) for _ in text)
            for ids, texts in zip(batch, wanted, strict=True)
            for text in sorted(texts)
        }

    def _logits(self, input_ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64], kept: list[int]) -> Any:
        """Return the logits at the places `kept`; padding stands on the right, where it changes nothing."""
        import torch

        model, device = self.causal_model.model, self.causal_model.device
        given = {
            "input_ids": torch.from_numpy(input_ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
            "use_cache": False,
        }
        places = torch.tensor(kept, device=device)
        # The logits of all places can be a hundred times what is asked for.
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            return model(**given, logits_to_keep=places).logits
        return model(**given).logits[:, places]


def answer_questions(
    questions: pl.DataFrame,
    load_scorer: Callable[[], ChoiceScorer],
    *,
    folder: Path,
    run_sha256: str,
    progress: ScoreProgress | None = None,
) -> tuple[pl.DataFrame, int]:
    """Let a model choose an answer to every question, in parts that survive a kill.

    Parameters
    ----------
    questions : pl.DataFrame
        From `mmlu_questions`.
    load_scorer : callable
        Gives the model; called only where something is left to do.
    folder : Path
        Where the parts are kept; it must exist.
    run_sha256 : str
        Of everything that the answers depend on.
    progress : ScoreProgress, optional
        Called after each part.

    Returns
    -------
    examples : pl.DataFrame
        ``id``, ``task``, ``answer`` and ``choice`` (0 to 3), ``correct`` (Boolean), ``choice_logprobs`` (list
        of Float64), in the order of `questions`. Of equally likely choices the first counts.
    cut_contexts : int
        Prompts that did not fit the context.

    Raises
    ------
    ResumeError
        A part was made with another model, setting or file.
    """
    load = functools.cache(load_scorer)
    answers, counts = answer_in_parts(
        questions,
        lambda part: _choose(part, load()),
        folder=folder,
        run_sha256=run_sha256,
        part_rows=_PART_ROWS,
        progress=progress,
    )
    return answers, counts[_CUT]


def _choose(part: pl.DataFrame, scorer: ChoiceScorer) -> tuple[pl.DataFrame, dict[str, int]]:
    cut_before = scorer.cut_contexts
    logprobs = scorer.score(part["context"].to_list(), [f" {letter}" for letter in MMLU_LETTERS])
    frame = part.select("id", "task", "answer").with_columns(
        pl.Series("choice", logprobs.argmax(axis=1), pl.Int64),
        pl.Series("choice_logprobs", logprobs.tolist(), pl.List(pl.Float64)),
    )
    frame = frame.with_columns((pl.col("choice") == pl.col("answer")).alias("correct"))
    return frame, {_CUT: scorer.cut_contexts - cut_before}
