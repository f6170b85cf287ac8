"""Say what scoring and embedding a large pool takes: GPU hours, disk, network and memory of the driver.

    python scripts/sizing.py              # by the defaults, which it prints, and made-up answers
    python scripts/sizing.py --run RUN    # by the answers, the vectors and their sizes in a run folder
    python scripts/sizing.py --tokens-per-s 9000 --embeddings-per-s 4000

The rates of a GPU cannot be known from here: `tasksel score` and `tasksel embed` print those of yours, on
some thousands of your prompts. Sizes and the driver's pace are measured when the script runs; made-up answers
have random numbers, which do not compress, so that real ones are rather smaller.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from tasksel.engines import Answer
from tasksel.generation import Generation
from tasksel.run_folder import file_sha256
from tasksel.run_folder_shards import SHARD_GLOB
from tasksel.score_shards import build_frame
from tasksel.shard_files import write_shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOUR_S = 3600.0
GIB = 2.0**30
ORDER_BYTES = 8
"""Of the plan of shards, a row: an int64."""
DEFAULTS = {
    "rows": (100_000_000, "prompts of the pool"),
    "gpus": (64, "GPUs, one worker each"),
    "answer_tokens": (128.0, "tokens of an answer, on average"),
    "prompt_bytes": (600.0, "bytes of a prompt with id and task, on average"),
    "tokens_per_s": (5_000.0, "generated tokens a second, of one GPU"),
    "embeddings_per_s": (2_000.0, "embedded prompts a second, of one GPU"),
    "dimensions": (384.0, "numbers of a vector"),
    "shard_rows": (4_096, "prompts of a shard"),
}
MEASURED = {
    "score_bytes_per_token": "bytes of a score shard, a generated token",
    "score_bytes_per_row": "bytes of a score shard, a prompt, besides its tokens",
    "embedding_bytes_per_number": "bytes of an embedding shard, a number of a vector",
    "driver_score_mb_per_cpu_s": "MB of score shards that the driver takes in and writes, a CPU second",
    "driver_embedding_mb_per_cpu_s": "MB of embedding shards that it takes in and writes, a CPU second",
}
MADE_UP_SHARDS = 4


class Quantity(NamedTuple):
    """A number that the table is made from, and where it comes from."""

    value: float
    source: str


def measure(run: Path, shard_rows: int) -> dict[str, Quantity]:
    """Measure the shards of a run folder."""
    found: dict[str, float] = {}
    scores = sorted((run / "scores").glob(SHARD_GLOB))
    if scores:
        frame = pl.concat([pl.read_parquet(path) for path in scores])
        found["answer_tokens"] = float(frame["token_logprobs"].list.len().sum()) / frame.height
        found |= _measure_scores(frame, shard_rows)
    embeddings = sorted((run / "embeddings").glob(SHARD_GLOB))
    if embeddings:
        frame = pl.concat([pl.read_parquet(path) for path in embeddings])
        found["dimensions"] = len(frame["embedding"][0])
        found |= _measure_embeddings(frame, shard_rows)
    if not found:
        raise SystemExit(f"{run} holds neither scores nor embeddings.")
    return {name: Quantity(value, f"measured in {run.name}") for name, value in found.items()}


def measure_made_up(answer_tokens: float, dimensions: int, shard_rows: int) -> dict[str, Quantity]:
    """Measure shards of random answers and vectors."""
    rng = np.random.default_rng(0)
    answers = [_make_up(rng, answer_tokens) for _ in range(MADE_UP_SHARDS * shard_rows)]
    ids = pl.Series("id", [rng.bytes(8).hex() for _ in answers])
    rows = pl.DataFrame({"id": ids, "task": rng.integers(0, 100, len(ids)).astype(str)})
    vectors = rng.normal(size=(len(ids), dimensions)).astype(np.float32)
    embeddings = pl.DataFrame({"id": ids, "embedding": vectors})
    found = _measure_scores(build_frame(rows, answers), shard_rows)
    found |= _measure_embeddings(embeddings, shard_rows)
    return {name: Quantity(value, "measured on made-up answers") for name, value in found.items()}


def _make_up(rng: np.random.Generator, answer_tokens: float) -> Answer:
    """Make an answer of up to twice as many tokens, of which each is three letters and a space."""
    n_tokens = int(rng.integers(1, 2 * answer_tokens))
    letters = rng.integers(97, 123, size=(n_tokens, 4), dtype=np.uint8)
    letters[:, 3] = 32
    generation = Generation(
        text=letters.tobytes().decode("ascii"),
        token_ids=rng.integers(0, 32_000, n_tokens).astype(np.int32),
        token_logprobs=-rng.exponential(size=n_tokens).astype(np.float32),
        token_entropy=rng.exponential(size=n_tokens).astype(np.float32),
        token_margin=rng.random(n_tokens).astype(np.float32),
        finish_reason="stop",
    )
    return Answer(generation, prompt_tokens=int(rng.integers(10, 500)), truncated_tokens=0)


def _measure_embeddings(frame: pl.DataFrame, shard_rows: int) -> dict[str, float]:
    n_numbers = frame.height * len(frame["embedding"][0])
    return {
        "embedding_bytes_per_number": _parquet_bytes(frame) / n_numbers,
        "driver_embedding_mb_per_cpu_s": _take_in_mb_per_cpu_s(frame, shard_rows),
    }


def _measure_scores(frame: pl.DataFrame, shard_rows: int) -> dict[str, float]:
    of_tokens = frame.select("generation", pl.col("^token_.*$"))
    n_tokens = int(frame["token_logprobs"].list.len().sum())
    return {
        "score_bytes_per_token": _parquet_bytes(of_tokens) / n_tokens,
        "score_bytes_per_row": _parquet_bytes(frame.drop(of_tokens.columns)) / frame.height,
        "driver_score_mb_per_cpu_s": _take_in_mb_per_cpu_s(frame, shard_rows),
    }


def _parquet_bytes(frame: pl.DataFrame) -> int:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.tell()


def _take_in_mb_per_cpu_s(frame: pl.DataFrame, shard_rows: int) -> float:
    """Do with shards what the driver does when a worker sends them: decode, sort, write, hash.

    Returns
    -------
    float
        MB of Parquet a second of one processor's time, which other programs do not change much; that of the
        fastest shard.
    """
    paces = []
    with TemporaryDirectory() as folder:
        for number, rows in enumerate(frame.iter_slices(shard_rows)):
            content = io.BytesIO()
            positions = pl.Series("position", range(rows.height), dtype=pl.UInt32).reverse()
            rows.write_ipc_stream(content, compression="zstd")
            started_s = time.process_time()
            taken = pl.DataFrame([positions]).hstack(pl.read_ipc_stream(content.getvalue())).sort("position")
            path = Path(folder) / str(number)
            write_shard(path, taken.drop("position"), run_sha256="0" * 64, split_batches=0)
            file_sha256(path)
            paces.append(path.stat().st_size / (time.process_time() - started_s) / 1e6)
    return max(paces)


@dataclass(frozen=True)
class Sizing:
    """The arithmetic."""

    quantities: dict[str, Quantity]

    def __getitem__(self, name: str) -> float:
        """Return the value of a quantity."""
        return self.quantities[name].value

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield what it takes: name, amount, arithmetic."""
        rows, gpus = self["rows"], self["gpus"]
        yield "shards", f"{-(-rows // self['shard_rows']):,.0f}", "rows / shard_rows"
        score_s = rows * self["answer_tokens"] / self["tokens_per_s"]
        yield "scoring, GPU hours", f"{score_s / HOUR_S:,.0f}", "rows × answer_tokens / tokens_per_s"
        yield "scoring, hours", f"{score_s / gpus / HOUR_S:,.1f}", "GPU hours / gpus"
        embed_s = rows / self["embeddings_per_s"]
        yield "embedding, GPU hours", f"{embed_s / HOUR_S:,.1f}", "rows / embeddings_per_s"
        yield "embedding, hours", f"{embed_s / gpus / HOUR_S:,.2f}", "GPU hours / gpus"
        yield from self._disk_lines()
        yield from self._driver_lines(score_s / gpus, embed_s / gpus)

    @property
    def score_bytes(self) -> float:
        """Of all score shards."""
        of_row = self["answer_tokens"] * self["score_bytes_per_token"] + self["score_bytes_per_row"]
        return self["rows"] * of_row

    @property
    def embedding_bytes(self) -> float:
        """Of all embedding shards."""
        return self["rows"] * self["dimensions"] * self["embedding_bytes_per_number"]

    def _disk_lines(self) -> Iterator[tuple[str, str, str]]:
        yield (
            "score shards on disk, GiB",
            f"{self.score_bytes / GIB:,.0f}",
            "rows × (answer_tokens × score_bytes_per_token + score_bytes_per_row)",
        )
        yield (
            "embedding shards on disk, GiB",
            f"{self.embedding_bytes / GIB:,.0f}",
            "rows × dimensions × embedding_bytes_per_number",
        )

    def _driver_lines(self, score_s: float, embed_s: float) -> Iterator[tuple[str, str, str]]:
        rows, prompts = self["rows"], self["rows"] * self["prompt_bytes"]
        yield (
            "driver, memory of the pool, GiB",
            f"{(prompts + rows * ORDER_BYTES) / GIB:,.0f}",
            "rows × (prompt_bytes + 8)",
        )
        yield (
            "driver, sends while scoring, MB/s",
            f"{prompts / score_s / 1e6:,.1f}",
            "rows × prompt_bytes / time",
        )
        yield (
            "driver, receives while scoring, MB/s",
            f"{self.score_bytes / score_s / 1e6:,.1f}",
            "score shards / time",
        )
        yield (
            "driver, receives while embedding, MB/s",
            f"{self.embedding_bytes / embed_s / 1e6:,.1f}",
            "embedding shards / time",
        )
        for stage, n_bytes, seconds in (
            ("scoring", self.score_bytes, score_s),
            ("embedding", self.embedding_bytes, embed_s),
        ):
            pace = f"driver_{'score' if stage == 'scoring' else 'embedding'}_mb_per_cpu_s"
            busy = n_bytes / 1e6 / self[pace] / seconds
            yield f"driver, processors busy while {stage}", f"{busy:.2g}", f"MB/s / {pace}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def report(sizing: Sizing) -> str:
    """Return what goes in and what comes out, in Markdown."""
    meanings = {name: meaning for name, (_, meaning) in DEFAULTS.items()} | MEASURED
    given = [
        (f"`{name}`", _shown(quantity.value), meanings[name], quantity.source)
        for name, quantity in sizing.quantities.items()
    ]
    return "\n\n".join(
        [
            table(("quantity", "value", "what it is", "from"), given),
            table(("result", "amount", "arithmetic"), list(sizing.lines())),
        ]
    )


def parse(arguments: Sequence[str]) -> Sizing:
    """Read the command line: what is given goes before what is measured, and that before the defaults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a run folder with scores, embeddings or both")
    for name, meaning in ({name: meaning for name, (_, meaning) in DEFAULTS.items()} | MEASURED).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=meaning)
    options = parser.parse_args(arguments)
    quantities = {name: Quantity(float(value), "assumed") for name, (value, _) in DEFAULTS.items()}
    said = {name: getattr(options, name) for name in (*DEFAULTS, *MEASURED)}
    given = {name: Quantity(value, "given") for name, value in said.items() if value is not None}
    asked = quantities | given
    shard_rows = int(asked["shard_rows"].value)
    quantities |= measure_made_up(asked["answer_tokens"].value, int(asked["dimensions"].value), shard_rows)
    if options.run is not None:
        quantities |= measure(options.run, shard_rows)
    return Sizing(quantities | given)


if __name__ == "__main__":
    print(report(parse(sys.argv[1:])))
