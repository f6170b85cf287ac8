"""Where the time of a study goes: CPU seconds of each stage, in one process on one thread.

    python benches/bench_study.py [STUDY.toml] [--out FOLDER]

The rest beside the stages is starting Python, importing torch and transformers, drawing pools, selecting,
comparing and writing the page.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

DEFAULT = Path(__file__).parents[1] / "studies" / "default.toml"


def run_study_alone(study: Path, out: Path) -> float:
    """Run a study as a user would, on one thread, and return its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable,
        "-m",
        "tasksel",
        "study",
        str(study),
        "--out",
        str(out),
        "--jobs",
        "1",
        "--quiet",
    ]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sum_stages(out: Path) -> tuple[Counter[str], int]:
    """Return the CPU seconds of each stage, and the number of trainings."""
    stages: Counter[str] = Counter()
    for path in out.glob("worlds/*/*/cpu_s.json"):
        stages.update(json.loads(path.read_text(encoding="utf-8")))
    results = list(out.glob("trainings/*/result.json"))
    for path in results:
        stages.update(json.loads(path.read_text(encoding="utf-8"))["cpu_s"])
    return stages, len(results)


def main() -> None:
    """Run and print one line a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--out", type=Path, help="an empty folder; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        total_s = run_study_alone(options.study, out)
        stages, trainings = sum_stages(out)
    stages["rest"] = total_s - stages.total()
    print(f"{options.study.stem}: {trainings} trainings and evaluations")
    for name, seconds in stages.most_common():
        print(f"{name:12s} {seconds:7.1f} CPU s  {seconds / total_s:6.1%}")
    print(f"{'all':12s} {total_s:7.1f} CPU s")


if __name__ == "__main__":
    main()
