"""Score, embed and select in a loop in one process for an hour, and say whether its memory stays flat.

    python scripts/long_run.py                               # an hour, into docs/trust
    python scripts/long_run.py --seconds 600 --out run.json  # into another file; no page is touched

Each cycle makes a pool of new prompts, so that whatever is kept by its text would grow, scores it with the
embedded model, stops once after the first shard and goes on, embeds it, and selects in two ways. After each
cycle the garbage collector runs and the process is measured by what the kernel says of it: `RssAnon`
(memory that no file stands for: the heap), `VmRSS` (all that lies in memory; of it the kernel drops and
reads again what comes from files, as it likes), open files, threads, and what is left in the folder for
temporary files. Nothing is handed back to the system before a measurement (no `malloc_trim`).

The first sixth of the time is the warm-up. The rest is cut into ten windows of equal length; a window
counts by the median of its cycles. Memory is flat where the anonymous memory of no later window lies more
than two percent above the first one. Open files and temporary ones must be as many as in the first window;
threads of the libraries come and go, and are shown.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marked_tables import write_between_marks
from tasksel.embedding_run import embed
from tasksel.run_folder import write_json
from tasksel.scoring import score
from tasksel.selection import select
from tasksel.toy_world import make_toy_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parents[1]
RESULT = REPOSITORY / "docs" / "trust" / "long_run.json"
PAGE = RESULT.with_name("kills.md")
MARK = "long run"
HOUR_S = 3600.0
WARM_UP_SHARE = 1 / 6
N_WINDOWS = 10
ALLOWED_GROWTH = 0.02
POOL = {"n_tasks": 12, "largest": 24, "exponent": 0.5}
SHARD_ROWS = 32
MIB = 1024
"""In the unit of the kernel, which is KiB."""


@dataclass(frozen=True)
class Sample:
    """The process after one cycle.

    Attributes
    ----------
    second : float
        Since the start.
    rss_kib, anonymous_kib : int
        All memory; of it what no file stands for.
    open_files, threads, temporary_files, objects : int
        Descriptors, threads, files left behind, and what Python's collector follows.
    """

    second: float
    rss_kib: int
    anonymous_kib: int
    open_files: int
    threads: int
    temporary_files: int
    objects: int


MEASURES = ("rss_kib", "anonymous_kib", "open_files", "threads", "temporary_files", "objects")


def measure(started_s: float, temporary: Path) -> Sample:
    """Collect garbage, then ask the kernel."""
    gc.collect()
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    )
    return Sample(
        second=round(time.monotonic() - started_s, 1),
        rss_kib=int(status["VmRSS"].split()[0]),
        anonymous_kib=int(status["RssAnon"].split()[0]),
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=int(status["Threads"]),
        temporary_files=sum(1 for _ in temporary.rglob("*")),
        objects=len(gc.get_objects()),
    )


def run_cycle(number: int, folder: Path) -> int:
    """Score with a stop in between, embed, select in two ways; returns the number of prompts."""
    pool = make_toy_pool(number, **POOL)  # type: ignore[arg-type]  # a mapping of both kinds of numbers
    run = folder / "run"

    def stop(rows_done: int, *_: int) -> None:
        if rows_done >= SHARD_ROWS:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {
        "model": "demo",
        "max_new_tokens": 8,
        "shard_rows": SHARD_ROWS,
        "device": "cpu",
    }
    try:
        score(pool, out=run, progress=stop, **settings)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the run was not stopped")
    summary = score(pool, out=run, **settings)
    if not 0 < summary.rows_reused < summary.rows == pool.height:
        raise AssertionError(f"{summary.rows_reused} of {summary.rows} rows were used again")
    embed(pool, out=run, embed_from="hidden", model="demo", shard_rows=SHARD_ROWS, device="cpu")
    select(pool, scores=run, budget=40, strategy="weighted-task-diversity", out=folder / "weighted")
    select(pool, embeddings=run, budget=40, strategy="k-center", out=folder / "k-center")
    return pool.height


def run_for(seconds: float, temporary: Path) -> tuple[list[Sample], int]:
    """Repeat cycles for so long; returns one sample a cycle, and the prompts of all cycles."""
    started_s = time.monotonic()
    samples: list[Sample] = []
    n_prompts = 0
    while not samples or samples[-1].second < seconds:
        folder = Path(tempfile.mkdtemp(dir=temporary))
        n_prompts += run_cycle(len(samples), folder)
        shutil.rmtree(folder)
        samples.append(measure(started_s, temporary))
        if len(samples) % 10 == 1:
            print(json.dumps(asdict(samples[-1])), flush=True)
    return samples, n_prompts


def cut_into_windows(samples: Sequence[Sample], seconds: float) -> list[dict[str, float]]:
    """Give the median of each measure in each window after the warm-up; one without a cycle is left out."""
    begin = seconds * WARM_UP_SHARE
    length = (seconds - begin) / N_WINDOWS
    windows: list[list[Sample]] = [[] for _ in range(N_WINDOWS)]
    for sample in samples:
        if sample.second >= begin:
            windows[min(int((sample.second - begin) / length), N_WINDOWS - 1)].append(sample)
    return [
        {"cycles": len(window)}
        | {name: statistics.median(getattr(sample, name) for sample in window) for name in MEASURES}
        for window in windows
        if window
    ]


def growth_of(windows: Sequence[dict[str, float]], name: str) -> float:
    """Return how far the largest of the later windows lies above the first one, as a share of that."""
    first, *later = (window[name] for window in windows)
    return max(later) / first - 1 if first else float(max(later) > 0)


def summarise(samples: Sequence[Sample], n_prompts: int, seconds: float) -> dict[str, Any]:
    """Return everything that the page and a reader want: settings, growth, windows."""
    windows = cut_into_windows(samples, seconds)
    if len(windows) < 2:
        raise SystemExit("Too few cycles for two windows after the warm-up; give it more --seconds.")
    growth = {name: round(growth_of(windows, name), 5) for name in MEASURES}
    return {
        "seconds": seconds,
        "warm_up_s": round(seconds * WARM_UP_SHARE, 1),
        "cycles": len(samples),
        "prompts": n_prompts,
        "pool": POOL,
        "shard_rows": SHARD_ROWS,
        "allowed_growth": ALLOWED_GROWTH,
        "growth": growth,
        "is_flat": growth["anonymous_kib"] <= ALLOWED_GROWTH,
        "is_constant": all(growth[name] <= 0 for name in ("open_files", "temporary_files")),
        "windows": windows,
        "first_cycle": asdict(samples[0]),
        "last_cycle": asdict(samples[-1]),
    }


def render_table(result: dict[str, Any]) -> str:
    """Return the figures as the table of the page."""
    rows = [
        ("anonymous memory (`RssAnon`), MiB", "anonymous_kib", MIB),
        ("all memory, files included (`VmRSS`), MiB", "rss_kib", MIB),
        ("open files", "open_files", 1),
        ("threads", "threads", 1),
        ("files left in the temporary folder", "temporary_files", 1),
        ("objects of Python", "objects", 1),
    ]
    first, last = result["windows"][0], result["windows"][-1]
    summary = (
        f"{result['cycles']:,} cycles over {result['prompts']:,} prompts in {result['seconds'] / 60:.0f} "
        f"minutes, the first {result['warm_up_s'] / 60:.0f} of them warm-up."
    )
    head = (
        "| after a cycle, median of a window | first | last | largest of the later ones, against the first |"
    )
    lines = [summary, "", head, "|---|---:|---:|---:|"]
    for words, name, unit in rows:
        digits = 1 if unit == MIB else 0
        values = [f"{window[name] / unit:,.{digits}f}" for window in (first, last)]
        lines.append(f"| {words} | {values[0]} | {values[1]} | {result['growth'][name]:+.2%} |")
    return "\n".join(lines)


def main() -> None:
    """Run, measure, write; exit with 1 where memory grows or something is left behind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=HOUR_S)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = (
            folder  # so that whatever else makes temporary files makes them where they are counted
        )
        try:
            samples, n_prompts = run_for(arguments.seconds, Path(folder))
        finally:
            tempfile.tempdir = None
    result = summarise(samples, n_prompts, arguments.seconds)
    write_json(arguments.out, result)
    table = render_table(result)
    if arguments.out.resolve() == RESULT:
        write_between_marks(PAGE, MARK, table)
    print(table)
    sys.exit(0 if result["is_flat"] and result["is_constant"] else 1)


if __name__ == "__main__":
    main()
