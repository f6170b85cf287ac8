"""Kill six verbs at random moments, 200 times over all, and print what came of it as a table.

    python scripts/chaos_page.py                      # what `make chaos` runs; prints the table
    python scripts/chaos_page.py --write              # into docs/trust/kills.json and kills.md as well
    python scripts/chaos_page.py --kills 60 --seed 7

The kills are those of ``tests/integration/test_kill_and_resume.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from marked_tables import write_between_marks
from tasksel.run_folder import write_json

REPOSITORY = Path(__file__).parents[1]
TESTS = REPOSITORY / "tests" / "integration" / "test_kill_and_resume.py"
RESULT = REPOSITORY / "docs" / "trust" / "kills.json"
PAGE = RESULT.with_name("kills.md")
MARK = "kills"
VERBS = ("score", "embed", "train", "teacher", "synth", "select")


def run_kills(n_kills: int, seed: int) -> tuple[int, list[dict[str, Any]]]:
    """Run the tests; returns their exit code and the reports of the verbs that came to one."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "TASKSEL_KILLS": str(n_kills),
            "TASKSEL_KILL_SEED": str(seed),
            "TASKSEL_KILL_REPORTS": folder,
        }
        command = [sys.executable, "-m", "pytest", "-q", "-m", "integration", str(TESTS)]
        ended = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
        files = [path for verb in VERBS if (path := Path(folder, f"{verb}.json")).is_file()]
        return ended.returncode, [json.loads(path.read_text(encoding="utf-8")) for path in files]


def render_table(reports: list[dict[str, Any]]) -> str:
    """Return one line a verb and one for all."""
    heads = ("kills", "in a half-made run", "while a file was written", "folders", "files compared")
    lines = [f"| verb | {' | '.join(heads)} | all equal |", "|---|---:|---:|---:|---:|---:|---|"]
    names = ("kills", "half_made", "within_write", "folders", "files_compared")
    total: dict[str, Any] = {name: sum(each[name] for each in reports) for name in names}
    total |= {"verb": "all", "all_equal": all(each["all_equal"] for each in reports)}
    for each in (*reports, total):
        cells = [f"{each[name]:,}" for name in names]
        lines.append(f"| {each['verb']} | {' | '.join(cells)} | {'yes' if each['all_equal'] else 'no'} |")
    return "\n".join(lines)


def main() -> None:
    """Kill, print, write; exit as the tests do."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="over all verbs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write the page, if every test passed")
    arguments = parser.parse_args()
    exit_code, reports = run_kills(arguments.kills, arguments.seed)
    table = render_table(reports)
    print(table)
    if arguments.write and exit_code == 0:
        write_json(RESULT, {"seed": arguments.seed, "verbs": reports})
        write_between_marks(PAGE, MARK, table)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
