"""Measure what it costs that a file's bytes and its name are flushed to the disk before it counts as written.

    python scripts/flush_cost.py --folder FOLDER           # prints the table
    python scripts/flush_cost.py --folder FOLDER --write   # into docs/trust as well

FOLDER is on the disk that is measured. The three ways take turns, so that what else the disk does meets all
of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from marked_tables import write_between_marks
from tasksel.run_folder import write_json
from tasksel.run_folder_durability import flush_file, flush_folder

RESULT = Path(__file__).parents[1] / "docs" / "trust" / "flush_cost.json"
PAGE = RESULT.with_name("kills.md")
MARK = "flushes"
SIZES = {"4 KB, as a manifest": 4_000, "1 MB, as a shard": 1_000_000}
WAYS = ("nothing", "bytes", "bytes and name")
N_FILES = 60


def write_file(path: Path, content: bytes, way: str) -> float:
    """Write a file and rename it, flushed as told; returns the seconds."""
    started_s = time.perf_counter()
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    if way != "nothing":
        flush_file(temporary)
    temporary.replace(path)
    if way == "bytes and name":
        flush_folder(path.parent)
    return time.perf_counter() - started_s


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return, for each size, the median milliseconds of each way."""
    rows = []
    for words, size in SIZES.items():
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(N_FILES):
            for way in WAYS:
                seconds[way].append(write_file(folder / f"{size}-{way[-4:]}-{number}", bytes(size), way))
        rows.append({"file": words} | {way: statistics.median(seconds[way]) * 1e3 for way in WAYS})
    return rows


def render_table(rows: list[dict[str, Any]]) -> str:
    """Return one line a size."""
    lines = [f"| milliseconds a file, flushed: | {' | '.join(WAYS)} |", "|---|---:|---:|---:|"]
    lines += [f"| {row['file']} | {' | '.join(f'{row[way]:.1f}' for way in WAYS)} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="on the disk to be measured")
    parser.add_argument("--write", action="store_true", help="write the page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rows = measure(Path(folder))
    table = render_table(rows)
    print(table)
    if arguments.write:
        write_json(RESULT, {"files": N_FILES, "rows": rows})
        write_between_marks(PAGE, MARK, table)


if __name__ == "__main__":
    main()
