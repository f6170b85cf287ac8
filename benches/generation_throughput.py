"""Tokens a second, memory and use of one device, for each way to answer the same prompts."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from generation_workloads import MODEL_SIZES, PoolAnswers, build_model, make_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BETWEEN_SAMPLES_S = 0.1
_ONE_BY_ONE_PROMPTS = 8
"""One prompt at a time takes long: so many of them tell its rate."""


class Usage:
    """How busy a CUDA device was, sampled in a thread; nothing where it cannot be asked."""

    def __init__(self) -> None:
        self.percent: list[int] = []
        self.ended = threading.Event()

    @contextlib.contextmanager
    def sampled(self, device: str) -> Iterator[Usage]:
        """Sample while the block runs."""
        thread = threading.Thread(target=self._sample, args=(device,), daemon=True)
        if device.startswith("cuda"):
            thread.start()
        yield self
        self.ended.set()
        if thread.is_alive():
            thread.join()

    def _sample(self, device: str) -> None:
        import torch

        # torch asks the driver through a package that need not be there.
        with contextlib.suppress(ImportError, RuntimeError):
            while not self.ended.wait(_BETWEEN_SAMPLES_S):
                self.percent.append(torch.cuda.utilization(device))


def print_throughput(description: str) -> None:
    """Measure what the command line asks for, and print a table."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", required=True, help="cpu, cuda, cuda:N or mps")
    parser.add_argument("--model-size", choices=MODEL_SIZES, default="1b")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="bfloat16 but on a CPU")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--prompt-tokens", type=int, default=256, help="of the longest")
    parser.add_argument("--shared", type=int, default=0, help="first tokens that all prompts share")
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[8192, 32_768, 131_072])
    parser.add_argument("--static", action="store_true", help="also a static cache, compiled on CUDA")
    parser.add_argument("--continuous", action="store_true", help="also generate_batch")
    arguments = parser.parse_args()
    dtype = arguments.dtype or ("float32" if arguments.device == "cpu" else "bfloat16")
    size = MODEL_SIZES[arguments.model_size]
    causal_model = build_model(
        size,
        mean_tokens=max(1, arguments.max_new_tokens // 2),
        device=arguments.device,
        dtype=dtype,
    )
    prompts = make_prompts(
        arguments.prompts, arguments.prompt_tokens, size.vocab_size, shared=arguments.shared
    )
    pool = PoolAnswers(causal_model, prompts, arguments.max_new_tokens)
    n_parameters = sum(parameter.numel() for parameter in causal_model.model.parameters())
    print(
        f"{n_parameters:,} parameters in {dtype} on {device_name(arguments.device)}; {len(prompts)} prompts"
    )
    print(f"{'':34}{'tokens/s':>10}{'seconds':>9}{'peak GiB':>10}{'busy %':>8}{'same':>7}")
    reference: list[list[int]] = []
    for name, side in sides_of(pool, arguments).items():
        answers = print_line(name, side, arguments.device, reference)
        reference = reference or answers


def sides_of(pool: PoolAnswers, arguments: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """Name each way to answer the pool."""
    sides: dict[str, Callable[[], Any]] = {}
    for batch_tokens in arguments.batch_tokens:
        batched = PoolAnswers(pool.causal_model, pool.prompts, pool.max_new_tokens, batch_tokens)
        sides[f"engine, batch_tokens {batch_tokens}"] = batched.engine
        if arguments.static:
            sides[f"static cache, batch_tokens {batch_tokens}"] = partial(batched.engine, static_cache=True)
        sides[f"output_scores, batch_tokens {batch_tokens}"] = batched.output_scores
    sides["one prompt at a time"] = partial(pool.one_by_one, _ONE_BY_ONE_PROMPTS)
    if arguments.continuous:
        sides["generate_batch"] = pool.continuous
    return sides


def print_line(
    name: str, side: Callable[[], Any], device: str, reference: list[list[int]]
) -> list[list[int]]:
    """Run one side, and print its figures beside the share of answers that are those of the first side.

    In bfloat16 that share is below 1: batches of another shape round differently, and of two tokens that are
    nearly as likely the other one may win.
    """
    reset_peak(device)
    begin = time.perf_counter()
    try:
        with Usage().sampled(device) as usage:
            answers = [_token_ids(answer) for answer in side()]
            synchronize(device)
    except RuntimeError as error:
        print(f"{name:34}{str(error).splitlines()[0][:60]}", flush=True)
        return []
    seconds = time.perf_counter() - begin
    n_tokens = sum(map(len, answers))
    busy = f"{statistics.mean(usage.percent):.0f}" if usage.percent else "-"
    peak = peak_gib(device)
    shown_peak = "-" if peak is None else f"{peak:.2f}"
    pairs = list(zip(answers, reference or answers, strict=False))
    same = sum(ours == theirs for ours, theirs in pairs) / max(1, len(pairs))
    print(
        f"{name:34}{n_tokens / seconds:>10,.0f}{seconds:>9.1f}{shown_peak:>10}{busy:>8}{same:>7.2f}",
        flush=True,
    )
    return answers


def _token_ids(answer: Any) -> list[int]:
    return answer if isinstance(answer, list) else answer.token_ids.tolist()


def device_name(device: str) -> str:
    """Give the name of the device that a person knows."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def reset_peak(device: str) -> None:
    """Start to measure the peak of the memory anew, and let go of what is kept for later."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: str) -> float | None:
    """Peak of the memory that tensors took, weights included."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**30 if device.startswith("cuda") else None


def synchronize(device: str) -> None:
    """Wait for what was queued."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
