"""Write docs/trust/coverage.json and the tables of lines in docs/trust/untested_lines.md.

    make coverage                     # runs all tests, then this
    python scripts/coverage_page.py   # what they have left in target/coverage
    python scripts/coverage_page.py --from-summary   # the page anew, after a change of untested.toml

Each function of which no test runs some lines has its reason in docs/trust/untested.toml, with the number of
those lines. A function without a reason, or with more untested lines than its reason was given for, ends this
with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marked_tables import write_between_marks
from tasksel.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TRUST = ROOT / "docs" / "trust"
WORK = ROOT / "target" / "coverage"
SUMMARY = TRUST / "coverage.json"
MODULE_LEVEL = "(module)"

Lines = dict[str, tuple[set[int], set[int]]]
"""Lines that were run and lines that were not, by file."""

Reasons = dict[str, dict[str, tuple[int, str]]]
"""Most untested lines and the reason, by file and function."""


def main() -> None:
    """Read what was measured, write the summary and the tables, and say what has no reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--from-summary", action="store_true")
    parser.add_argument("--lines", action="store_true", help="print the untested lines without a reason")
    arguments = parser.parse_args()
    measured: Lines = {}
    if not arguments.from_summary:
        measured = python_lines(WORK / "python.json") | rust_lines(WORK / "rust.lcov")
        summary = summary_of(measured)
        SUMMARY.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    summary = json.loads(SUMMARY.read_text(encoding="utf-8"))
    reasons = read_reasons(TRUST / "untested.toml")
    page = TRUST / "untested_lines.md"
    write_between_marks(page, "coverage", "\n".join(table(summary)))
    write_between_marks(page, "untested", "\n".join(listed(summary, reasons)))
    open_places = list(unexplained(summary, reasons))
    for file, function, n_lines in open_places:
        print(f"untested without a reason: {file}: {function}, {n_lines} lines", file=sys.stderr)
        if arguments.lines and measured:
            print_lines(file, function, measured[file][1])
    raise SystemExit(1 if open_places else 0)


def read_reasons(path: Path) -> Reasons:
    """Read for each function how many lines may be untested, and why."""
    with path.open("rb") as file:
        files = tomllib.load(file)
    sentences = files.pop("reasons")
    return {
        file: {function: (n_lines, sentences[name]) for function, (n_lines, name) in functions.items()}
        for file, functions in files.items()
    }


def python_lines(path: Path) -> Lines:
    """Read coverage.py's report; lines that configuration or a pragma leaves out are in neither set."""
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {
        name.removeprefix("./"): (set(lines["executed_lines"]), set(lines["missing_lines"]))
        for name, lines in files.items()
    }


def rust_lines(path: Path) -> Lines:
    """Read an lcov file without the unit tests that stand at the end of a module, and without tests."""
    measured: Lines = {}
    for record in path.read_text(encoding="utf-8").split("end_of_record"):
        named = re.search(r"^SF:(.*)$", record, re.MULTILINE)
        if named is None:
            continue
        place = Path(named[1])
        file = place.relative_to(ROOT).as_posix() if place.is_relative_to(ROOT) else ""
        if "/src/" not in file or "fuzz_checks" in file:  # a test, or a crate of others
            continue
        first_test = first_test_line(ROOT / file)
        run, missed = set(), set()
        for line, count in re.findall(r"^DA:(\d+),(\d+)", record, re.MULTILINE):
            if int(line) < first_test:
                (run if int(count) else missed).add(int(line))
        measured[file] = (run, missed)
    return measured


def first_test_line(path: Path) -> int:
    """Return the line at which the unit tests of a Rust file begin."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, line in enumerate(lines, 1) if line == "#[cfg(test)]"), len(lines) + 1)


def functions_of(path: Path) -> list[str]:
    """Name the function, with its class, in which each line of a file stands; the first is of line 1."""
    is_rust = path.suffix == ".rs"
    pattern = (
        r"(\s*)(?:pub(?:\([a-z]+\))? )?(?:const |unsafe )*(fn|impl\b.*?)\s*(\w*)"
        if is_rust
        else (r"(\s*)(?:async )?(def|class) (\w+)")
    )
    names, stack = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.strip().startswith(("#", ")", "]", "}", "//", "where")):
            indent = len(line) - len(line.lstrip())
            while stack and stack[-1][0] >= indent:
                stack.pop()
        found = re.match(pattern, line)
        if found and found[3] and (not is_rust or found[2] == "fn"):
            stack.append((len(found[1]), found[3]))
        names.append(".".join(name for _, name in stack) or MODULE_LEVEL)
    return names


def summary_of(measured: Lines) -> dict[str, Any]:
    """Count lines by file, and the untested ones by function."""
    files = {}
    for file, (run, missed) in sorted(measured.items()):
        functions: dict[str, int] = defaultdict(int)
        names = functions_of(ROOT / file) if missed else []
        for line in sorted(missed):
            functions[names[line - 1]] += 1
        files[file] = {"lines": len(run) + len(missed), "run": len(run), "untested": dict(functions)}
    return files


def area_of(file: str) -> str:
    """Name the part of the product that a file belongs to."""
    parts = file.split("/")
    if parts[0] == "rust":
        return f"rust/{parts[1]}"
    return "/".join(parts[1:3]) if len(parts) > 3 else parts[1]


def table(summary: dict[str, Any]) -> Iterator[str]:
    """Write a line for each part, and one for each language."""
    yield "| part | lines | run by tests | untested | of all |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    areas: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file, counts in summary.items():
        for name in (area_of(file), "**Rust**" if file.startswith("rust/") else "**Python**"):
            areas[name][0] += counts["lines"]
            areas[name][1] += counts["run"]
    for name, (n_lines, n_run) in sorted(areas.items(), key=lambda item: (item[0].startswith("*"), item[0])):
        shown = name if name.startswith("*") else f"`{name}`"
        yield f"| {shown} | {n_lines:,} | {n_run:,} | {n_lines - n_run:,} | {100 * n_run / n_lines:.1f} % |"


def listed(summary: dict[str, Any], reasons: Reasons) -> Iterator[str]:
    """Write the reasons, each with the functions that it is of; and what was not looked at."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    n_lines: dict[str, int] = defaultdict(int)
    for file, counts in summary.items():
        for function, n_untested in counts["untested"].items():
            most, why = reasons.get(file, {}).get(function, (0, ""))
            if n_untested <= most:
                by_reason[why].append(
                    f"`{Path(file).with_suffix('').as_posix().split('/', 1)[1]}`: {function}"
                )
                n_lines[why] += n_untested
    for why, places in sorted(by_reason.items(), key=lambda item: -n_lines[item[0]]):
        yield f"- {why} {counted(n_lines[why], 'line')} in {', '.join(dict.fromkeys(places))}."
    open_places = list(unexplained(summary, reasons))
    if open_places:
        n_open = sum(n for _, _, n in open_places)
        yield f"- Without a test or a reason yet: {n_open:,} lines in {len(open_places):,} functions."


def unexplained(summary: dict[str, Any], reasons: Reasons) -> Iterator[tuple[str, str, int]]:
    """Yield functions with more untested lines than their reason was given for."""
    for file, counts in summary.items():
        for function, n_untested in counts["untested"].items():
            if n_untested > reasons.get(file, {}).get(function, (0, ""))[0]:
                yield file, function, n_untested


def print_lines(file: str, function: str, missed: set[int]) -> None:
    """Print the untested lines of a function."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    for line, name in enumerate(functions_of(ROOT / file), 1):
        if name == function and line in missed:
            print(f"  {line:4} {lines[line - 1]}")


if __name__ == "__main__":
    main()
