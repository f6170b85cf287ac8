"""Run the tests of the Rust core under every sanitizer on every dispatch path, and write what came of it.

    python scripts/sanitize_kernels.py                     # all of it; an hour of two cores
    python scripts/sanitize_kernels.py address memcheck    # some tools, on the paths of this machine
    python scripts/sanitize_kernels.py --paths portable avx2 -- address
    python scripts/sanitize_kernels.py --table             # the table anew from docs/trust/kernels.json

Each run replaces the one of the same tool and path in ``docs/trust/kernels.json``, and the table of
``docs/trust/kernels.md`` is made of that file. Needed are rustup's toolchains ``stable`` and ``nightly``, the
latter with ``rust-src`` and ``miri``, and valgrind.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from marked_tables import write_between_marks
from sanitizers import PATHS, ROOT, SANITIZERS, Run, machine_paths, sanitize
from tasksel.run_folder import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable

RESULT: Final = ROOT / "docs" / "trust" / "kernels.json"
PAGE: Final = RESULT.with_suffix(".md")
MARK: Final = "sanitizers"


def main() -> int:
    """Run what was asked for; 1 if anything failed."""
    arguments = _arguments()
    if not arguments.table:
        for name in arguments.tools or SANITIZERS:
            for path in arguments.paths or PATHS:
                _record(sanitize(name, path, arguments.target.resolve(), cases=arguments.cases))
    found = _read()
    write_between_marks(PAGE, MARK, table(found))
    return int(any(run["outcome"] == "failed" for run in found["runs"].values()))


def _record(run: Run) -> None:
    """Say what came of a run and keep it; read anew, since other tools may run beside it."""
    print(
        f"{run.sanitizer} on {run.path}: {run.outcome}, {run.tests} tests, {run.seconds:g} s. {run.why}",
        flush=True,
    )
    found = {**_read(), "machine": _machine(), "tools": _tools()}
    found["runs"][f"{run.sanitizer} {run.path}"] = asdict(run)
    write_json(RESULT, found)


def table(found: dict[str, Any]) -> str:
    """Return the table of the page: a row a tool, a column a path."""
    runs, machine = found["runs"], found["machine"]
    lines = [f"| tool | {' | '.join(PATHS)} |", f"|---|{'---|' * len(PATHS)}"]
    for name, tool in SANITIZERS.items():
        cells = [_cell(runs.get(f"{name} {path}")) for path in PATHS]
        lines.append(f"| {tool.title} | {' | '.join(cells)} |")
    notes = [
        f"- {tool.title.split(':')[0]} leaves out {tool.left_out}."
        for tool in SANITIZERS.values()
        if tool.left_out
    ]
    named = ", ".join(f"{name} {version}" for name, version in found["tools"].items())
    about = f"On {machine['processor']} with {', '.join(machine['paths'])}; {named}."
    return "\n".join([*lines, "", *notes, "", about])


def _cell(run: dict[str, Any] | None) -> str:
    if run is None:
        return "not run yet"
    if run["outcome"] != "passed":
        return f"**{run['outcome']}**: {run['why']}"
    tiles = "; tiles in software" if run.get("is_emulated") else ""
    cases = f" of {run['cases']} cases" if run["cases"] else ""
    return f"{run['tests']} tests{cases} passed in {run['seconds']:,.0f} s{tiles}"


def _read() -> dict[str, Any]:
    if not RESULT.exists():
        return {"machine": _machine(), "tools": _tools(), "runs": {}}
    found: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    return found


def _machine() -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.machine()
    return {"processor": processor, "paths": machine_paths()}


def _tools() -> dict[str, str]:
    commands = {
        "stable": ("rustc", "+stable", "--version"),
        "nightly": ("rustc", "+nightly", "--version"),
        "valgrind": ("valgrind", "--version"),
    }
    return {name: _version(command) for name, command in commands.items()}


def _version(command: Iterable[str]) -> str:
    try:
        done = subprocess.run([*command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "missing"
    return done.stdout.strip().removeprefix("rustc ").removeprefix("valgrind-")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tools", nargs="*", choices=[[], *SANITIZERS], metavar="TOOL", help=", ".join(SANITIZERS)
    )
    parser.add_argument("--paths", nargs="+", choices=PATHS, help="the values of TASKSEL_MAX_ISA")
    parser.add_argument("--cases", type=int, help="inputs of each property")
    parser.add_argument(
        "--target", type=Path, default=ROOT / "target" / "sanitizers", help="for builds and logs"
    )
    parser.add_argument("--table", action="store_true", help="write the table alone")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
