"""Write docs/trust/mutation.json and the table of mutants in docs/trust/untested_lines.md.

    make mutants                      # makes and tries them, then this
    python scripts/mutation_page.py   # what they have left in target/mutation
    python scripts/mutation_page.py --from-summary   # the page anew, after a change of survivors.toml

A mutant is one small change of the code; it is killed if a test fails. Each one that lives needs its reason
in docs/trust/survivors.toml, by its name without line and column, so that names stay when lines move. A
survivor without a reason, and a reason of a mutant that does not live any more, end this with exit code 1.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marked_tables import write_between_marks

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TRUST = ROOT / "docs" / "trust"
RUST = ROOT / "target" / "mutation" / "rust" / "outcomes.json"
PYTHON = ROOT / "target" / "mutation" / "python" / "mutants" / "src"
SUMMARY = TRUST / "mutation.json"

VERDICTS = ("killed", "timed out", "unviable", "survived", "not run")
PYTHON_VERDICTS = {0: "survived", 1: "killed", 3: "killed", 5: "survived", 33: "survived", 37: "unviable"}
"""By exit code of the tests; 33 is a function that no test calls."""
PYTHON_TIMEOUTS = {-24, 24, 36, 152, 255}


@dataclass(frozen=True)
class Mutant:
    """One change, and what came of it."""

    file: str
    name: str
    verdict: str


def main() -> None:
    """Read what the tools left, write the summary and the table, and say what has no reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rust", type=Path, default=RUST, help="outcomes.json of scripts/mutate_rust.py")
    parser.add_argument("--python", type=Path, default=PYTHON, help="mutants/src of mutmut")
    parser.add_argument("--from-summary", action="store_true")
    arguments = parser.parse_args()
    if not arguments.from_summary:
        mutants = [*rust_mutants(arguments.rust), *python_mutants(arguments.python)]
        SUMMARY.write_text(
            json.dumps(summary_of(mutants), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    summary = json.loads(SUMMARY.read_text(encoding="utf-8"))
    with (TRUST / "survivors.toml").open("rb") as file:
        reasons = tomllib.load(file)["survivor"]
    write_between_marks(TRUST / "untested_lines.md", "mutants", "\n".join(table(summary, reasons)))
    complaints = list(unexplained(summary, reasons))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    raise SystemExit(1 if complaints else 0)


def rust_mutants(path: Path) -> Iterator[Mutant]:
    """Read what scripts/mutate_rust.py has left: verdicts by name."""
    for name, verdict in json.loads(path.read_text(encoding="utf-8"))["verdicts"].items():
        file, _, _, what = name.split(":", 3)
        yield Mutant(file, what.strip(), verdict)


def python_mutants(folder: Path) -> Iterator[Mutant]:
    """Read mutmut's folder: exit codes by name, and the changed functions in the mutated sources."""
    for path in sorted(folder.rglob("*.py.meta")):
        verdicts = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        source = path.with_suffix("")
        functions = functions_of(source.read_text(encoding="utf-8"))
        for key, code in verdicts.items():
            verdict = "timed out" if code in PYTHON_TIMEOUTS else PYTHON_VERDICTS.get(code, "killed")
            mangled = key.rpartition(".")[2]
            original = functions[mangled.rpartition("_")[0] + "_orig"]
            name = f"{readable(mangled)}: {change(original, functions[mangled])}"
            file = f"python/{source.relative_to(folder).as_posix()}"
            yield Mutant(file, name, "not run" if code is None else verdict)


def functions_of(source: str) -> dict[str, list[str]]:
    """Lines of every function and method by name, without its own name in them."""
    lines = source.splitlines()
    functions = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            body = lines[node.lineno - 1 : node.end_lineno]
            functions[node.name] = [line.strip().replace(node.name, "") for line in body]
    return functions


def readable(mangled: str) -> str:
    """Give the name of a function as people write it: ``x__flat__mutmut_1`` is ``_flat``."""
    name = mangled.rpartition("__mutmut_")[0].removeprefix("x")
    return name.removeprefix("ǁ").replace("ǁ", ".") if name.startswith("ǁ") else name.removeprefix("_")


def change(original: list[str], changed: list[str]) -> str:
    """Say which line became which."""
    lines = list(difflib.ndiff(original, changed))
    before = " ".join(line[2:] for line in lines if line.startswith("- "))
    after = " ".join(line[2:] for line in lines if line.startswith("+ "))
    return f"{before} → {after}"


def summary_of(mutants: list[Mutant]) -> dict[str, Any]:
    """Count by file and verdict, and list the survivors."""
    files = {
        file: {verdict: sum(m.file == file and m.verdict == verdict for m in mutants) for verdict in VERDICTS}
        for file in sorted({mutant.file for mutant in mutants})
    }
    survivors = {
        file: sorted(m.name for m in mutants if m.file == file and m.verdict == "survived") for file in files
    }
    return {"files": files, "survivors": {file: names for file, names in survivors.items() if names}}


def is_meant(name: str, reason: dict[str, Any]) -> bool:
    """Whether a reason is of this mutant: by its name, or by a pattern that its whole name matches."""
    return name in reason.get("mutants", ()) or bool(re.fullmatch(reason.get("pattern", r"(?!)"), name))


def unexplained(summary: dict[str, Any], reasons: list[dict[str, Any]]) -> Iterator[str]:
    """Say which survivors have no reason, and which reasons no survivor."""
    for file, names in summary["survivors"].items():
        of_file = [reason for reason in reasons if reason["file"] == file]
        for name, n_places in Counter(names).items():
            named = sum(reason.get("mutants", ()).count(name) for reason in of_file)
            if named < n_places and not any(
                is_meant(name, reason) and "pattern" in reason for reason in of_file
            ):
                yield f"lives without a reason ({named} of {n_places} explained): {file}: {name}"
    for reason in reasons:
        counts = summary["files"].get(reason["file"])
        living = Counter(summary["survivors"].get(reason["file"], ()))
        if counts is not None and not counts["not run"]:
            for name, n_places in Counter(reason.get("mutants", ())).items():
                if n_places > living[name]:
                    yield f"is explained, and does not live: {reason['file']}: {name}"


def table(summary: dict[str, Any], reasons: list[dict[str, Any]]) -> Iterator[str]:
    """Write the table of files, and the reasons."""
    yield f"| file | mutants | {' | '.join(VERDICTS)} |"
    yield f"| --- | ---: | {' | '.join(['---:'] * len(VERDICTS))} |"
    for file, counts in summary["files"].items():
        cells = [str(sum(counts.values())), *(str(counts[verdict]) for verdict in VERDICTS)]
        yield f"| `{file}` | {' | '.join(cells)} |"
    yield ""
    yield "Why the survivors live:"
    yield ""
    for reason in reasons:
        names = [name for name in summary["survivors"].get(reason["file"], ()) if is_meant(name, reason)]
        if names:
            yield f"- `{Path(reason['file']).name}`, {len(names)}: {reason['why']} {shown(names)}"


def shown(names: list[str]) -> str:
    """Quote names, of many the first three."""
    places = Counter(names)
    quoted = [
        f"`{name.replace('`', chr(39))}`" + (f" ({n_places} times)" if n_places > 1 else "")
        for name, n_places in places.items()
    ]
    return ", ".join(quoted if len(quoted) < 5 else [*quoted[:3], f"{len(quoted) - 3} like these"]) + "."


if __name__ == "__main__":
    main()
