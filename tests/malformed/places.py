"""The commands that read each sort of file or folder."""

from __future__ import annotations

from typing import Final

from .kind import Place

__all__ = [
    "ANSWERS",
    "EVERY_POOL",
    "FEW_POOL",
    "LABELS",
    "LOOKED_AT",
    "PLANS",
    "SCORES",
    "SELECTIONS",
    "SHARDS",
    "VECTORS",
]

JOB: Final = """
model = "demo"
[pool]
path = "{bad}"
[select]
budget = 2
strategy = "random"
"""

STUDY: Final = """
budgets = [2]
[[worlds]]
name = "mine"
kind = "file"
path = "{bad}"
report = [0]
[[arms]]
name = "random"
"""

EVERY_POOL: Final = (
    Place("select", "{bad} -b 2 --strategy random --out {out}"),
    Place("score", "{bad} --model demo --out {out}"),
    Place("embed", "{bad} --out {out}"),
    Place("tasks", "{bad} --out {out}.parquet"),
    Place("export", "{bad} --out {out}"),
    Place("train", "{bad} --model demo --out {out}"),
    Place("evaluate", "{bad} --model demo --out {out}"),
    Place("contamination", "{bad} --against {world}/pool.jsonl --out {out}"),
    Place("contamination", "{world}/pool.jsonl --against {bad} --out {out}"),
    Place("coverage", "{bad} {world}/pool.jsonl"),
    Place("coverage", "{world}/pool.jsonl {bad}"),
    Place("annotate export", "{bad} --to jsonl --out {out}"),
    Place("annotate teacher", "{bad} --model demo --into {out}"),
    Place("annotate import", "{world}/answers.jsonl --into {out} --selection {bad}"),
    Place("select", "{world}/pool.jsonl -b 2 --strategy random --labelled {bad} --out {out}"),
    Place("explain", "{world}/run/first --pool {bad}"),
    Place("report", "{world}/run/first --pool {bad} --out {out}.html"),
    Place(
        "report",
        "{world}/synth --real {bad} --embeddings-real {world}/vectors.npy "
        "--embeddings-synth {world}/vectors.npy --out {out}.html",
    ),
    Place("synth plan", "{world}/plan.toml --pool {bad} --out {out}"),
    Place("synth run", "{world}/synth --tier full --dry-run --exemplars {bad}"),
    Place("synth validate", "{world}/synth --real {bad}"),
    Place("synth weights", "{bad} --column label --target even=1 --target odd=1 --out {out}.parquet"),
    Place("synth weights", "{world}/pool.jsonl --column label --to {bad} --out {out}.parquet"),
    Place("init", "{bad} --out {out}.toml"),
    Place("init", "{world}/pool.jsonl --holdout {bad} --out {out}.toml"),
    Place("demo", "--pool {bad} --out {out}"),
    Place("run", "{here}/job.toml --out {out}", {"job.toml": JOB}),
    Place("run", "{here}/job.toml --dry-run --out {out}", {"job.toml": JOB}),
    Place("rounds", "{here}/job.toml --out {out}", {"job.toml": JOB + "[rounds]\nsizes = [1, 1]\n"}),
    Place("study", "{here}/study.toml --out {out}", {"study.toml": STUDY}),
)
"""Every command that reads a pool, whichever of its files that is."""

FEW_POOL: Final = tuple(EVERY_POOL[number] for number in (0, 8, 11))
"""Some of them, for kinds that all meet in the same reader."""

SCORES: Final = (
    Place("select", "{world}/pool.jsonl -b 2 --scores {bad} --strategy least-confident --out {out}"),
    Place(
        "tasks",
        "{world}/pool.jsonl --embeddings {world}/vectors.npy --n-tasks 2 --scores {bad} --out {out}.parquet",
    ),
    Place("explain", "{world}/run/first --scores {bad}"),
    Place("report", "{world}/run/first --scores {bad} --out {out}.html"),
)
"""Commands that read confidences."""

VECTORS: Final = (
    Place("select", "{world}/pool.jsonl -b 2 --strategy k-center --embeddings {bad} --out {out}"),
    Place("tasks", "{world}/pool.jsonl --embeddings {bad} --out {out}.parquet"),
    Place("explain", "{world}/run/first --embeddings {bad}"),
    Place("report", "{world}/run/first --embeddings {bad} --out {out}.html"),
    Place(
        "coverage",
        "{world}/pool.jsonl {world}/pool.jsonl --embeddings-real {bad} "
        "--embeddings-synth {world}/vectors.npy",
    ),
    Place(
        "coverage",
        "{world}/pool.jsonl {world}/pool.jsonl --embeddings-real {world}/vectors.npy "
        "--embeddings-synth {bad}",
    ),
    Place(
        "synth validate",
        "{world}/synth --real {world}/pool.jsonl --embeddings-real {bad} "
        "--embeddings-synth {world}/vectors.npy",
    ),
)
"""Commands that read vectors."""

SELECTIONS: Final = (
    Place("explain", "{bad}"),
    Place("diff", "{bad} {world}/run/second"),
    Place("diff", "{world}/run/second {bad}"),
    Place("report", "{bad} --out {out}.html"),
    Place("annotate export", "{bad} --to csv --out {out}"),
    Place("annotate teacher", "{bad} --model demo --into {out}"),
)
"""Commands that read the folder of a selection."""

SHARDS: Final = (
    Place("select", "{world}/pool.jsonl -b 2 --strategy k-center --embeddings {bad} --out {out}"),
    Place("tasks", "{world}/pool.jsonl --embeddings {bad} --out {out}.parquet"),
    Place("explain", "{world}/run/first --embeddings {bad}"),
)
"""Commands that read the shards of a finished stage."""

LOOKED_AT: Final = (Place("status", "{bad}"),)

LABELS: Final = (
    Place("annotate status", "{bad}"),
    Place("annotate import", "{world}/answers.jsonl --into {bad} --selection {world}/pool.jsonl"),
)
"""Commands that read the labels of a run."""

ANSWERS: Final = (
    Place("annotate import", "{bad} --into {out} --selection {world}/pool.jsonl"),
    Place("annotate import", "{bad} --into {out} --selection {world}/pool.jsonl --dry-run"),
)
"""Commands that read what annotators gave back."""

PLANS: Final = (
    Place("synth status", "{bad}"),
    Place("synth run", "{bad} --tier full --dry-run"),
    Place("synth reparse", "{bad}"),
    Place("synth export", "{bad} --out {out}.jsonl"),
    Place("synth validate", "{bad}"),
    Place("synth edge", "{bad}"),
    Place("synth probe", "{bad} --command true\\x20{{file}} --out {out}"),
    Place("report", "{bad} --out {out}.html"),
)
"""Commands that read the folder of a plan and its records."""
