"""Change the kernels that decide what is bought, one small change at a time, and run their tests.

    cargo install --locked cargo-mutants
    python scripts/mutate_rust.py [--processes 2]

The mutants are those that `cargo mutants --list` makes of the files in .cargo/mutants.toml. That tool would
compile the crate once for each of them, for hours; here all are compiled into one program, each as another
body of its function, and the environment says which one runs. What does not compile is left out as unviable.
When tests have changed, only the mutants that lived are tried again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TESTS = ("confidences", "decisions", "properties")
SWITCH = """
pub(crate) fn mutant() -> usize {
    static NUMBER: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let read = || std::env::var("TASKSEL_MUTANT").ok().and_then(|number| number.parse().ok());
    *NUMBER.get_or_init(|| read().unwrap_or(usize::MAX))
}
"""
CPU_S = 2
"""Processor time that the tests of one file may take; unchanged they take 0.1."""
MEMORY_BYTES = 6 << 30


def main() -> None:
    """Compile all mutants into the tests and run these for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "mutation" / "rust")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["cargo", "mutants", "--list", "--json"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    mutants = json.loads(listed.stdout)
    outcomes = Outcomes(work / "outcomes.json", mutants)
    programs = compiled(work, mutants, outcomes)
    if verdict(programs, None) != "survived":
        raise SystemExit("A test fails without any change; mutants say nothing then.")
    left = [number for number, mutant in enumerate(mutants) if outcomes.is_open(mutant["name"])]
    inside = [number for number in left if mutants[number]["function"] is not None]
    with ThreadPoolExecutor(arguments.processes) as pool:
        verdicts = pool.map(lambda number: verdict(programs, number), inside)
        for number, found in zip(inside, verdicts, strict=True):
            outcomes.put(mutants[number]["name"], found)
    for number in sorted(set(left) - set(inside)):
        outcomes.put(mutants[number]["name"], verdict_of_constant(work, mutants[number]))
    outcomes.save()


def verdict(programs: list[Path], number: int | None) -> str:
    """Run the files of tests one after the other, until one notices the mutant."""
    return next(
        (found for program in programs if (found := passes(program, number)) != "survived"), "survived"
    )


def verdict_of_constant(work: Path, mutant: dict[str, Any]) -> str:
    """Compile a mutant outside of all functions by itself, and run its tests."""
    lay_out(work / "one")
    path = work / "one" / mutant["file"]
    source = path.read_text(encoding="utf-8")
    first, last = (place(source, mutant["span"][end]) for end in ("start", "end"))
    path.write_text(source[:first] + mutant["replacement"] + source[last:], encoding="utf-8")
    errors, programs = build(work / "one", work / "build")
    return "unviable" if errors else verdict(programs, None)


def lay_out(tree: Path) -> None:
    """Copy the sources anew."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy2(ROOT / name, tree)
    shutil.copytree(ROOT / "rust", tree / "rust")


def place(source: str, position: dict[str, int]) -> int:
    """Return the place of a line and column in a text."""
    lines = source.splitlines(keepends=True)
    return sum(map(len, lines[: position["line"] - 1])) + position["column"] - 1


class Outcomes:
    """Verdicts by mutant, in a file that knows which kernels and tests they are of."""

    def __init__(self, path: Path, mutants: list[dict[str, Any]]) -> None:
        kernels = sorted({ROOT / mutant["file"] for mutant in mutants})
        tests = [ROOT / "rust" / "core" / "tests" / f"{name}.rs" for name in TESTS]
        self._of = {"kernels": _sha256(kernels), "tests": _sha256(tests)}
        self._path, self._names = path, [mutant["name"] for mutant in mutants]
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"of": {}}
        same = [known["of"].get(what) == sha256 for what, sha256 in self._of.items()]
        self.verdicts: dict[str, str] = known["verdicts"] if same[0] else {}
        if not same[1]:
            self.verdicts = {name: found for name, found in self.verdicts.items() if found != "survived"}

    def is_open(self, name: str) -> bool:
        """Whether a mutant has no verdict yet."""
        return self.verdicts.get(name, "not run") == "not run"

    def put(self, name: str, verdict: str) -> None:
        """Keep a verdict, on the disk now and then."""
        self.verdicts[name] = verdict
        if len(self.verdicts) % 10 == 0:
            self.save()

    def save(self) -> None:
        """Write all verdicts, with the mutants that have none."""
        verdicts = {name: self.verdicts.get(name, "not run") for name in self._names}
        text = json.dumps({"of": self._of, "verdicts": verdicts}, indent=1, ensure_ascii=False)
        self._path.with_suffix(".new").write_text(text + "\n", encoding="utf-8")
        self._path.with_suffix(".new").replace(self._path)


def _sha256(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def compiled(work: Path, mutants: list[dict[str, Any]], outcomes: Outcomes) -> list[Path]:
    """Compile the tests with all mutants that do compile; the others get their verdict here."""
    tree = work / "tree"
    by_file: dict[str, list[int]] = defaultdict(list)
    for number, mutant in enumerate(mutants):
        by_file[mutant["file"]].append(number)
    before = {path: (path.read_bytes(), path.stat()) for path in tree.glob("rust/core/src/*.rs")}
    lay_out(tree)
    with (tree / "rust" / "core" / "src" / "lib.rs").open("a", encoding="utf-8") as file:
        file.write(SWITCH)
    while True:
        owners = {
            file: write_mutants(tree / file, mutants, numbers, outcomes) for file, numbers in by_file.items()
        }
        for path, (content, times) in before.items():
            if path.is_file() and path.read_bytes() == content:
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # cargo need not compile it again
        errors, programs = build(tree, work / "build")
        if not errors:
            return programs
        unviable = {owners.get(file, {}).get(line) for file, line in errors}
        if unviable <= {None}:
            raise SystemExit(f"The tests do not compile: {sorted(errors)[:5]}")
        for number in unviable - {None}:
            outcomes.put(mutants[number]["name"], "unviable")


def write_mutants(
    path: Path, mutants: list[dict[str, Any]], numbers: list[int], outcomes: Outcomes
) -> dict[int, int]:
    """Write a file of which each function has many bodies; return the mutant that each line belongs to."""
    source = (ROOT / path.relative_to(path.parents[3])).read_text(encoding="utf-8")
    functions: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in numbers:
        function = mutants[number]["function"]
        if function is not None and outcomes.verdicts.get(mutants[number]["name"]) != "unviable":
            span = function["span"]
            functions[place(source, span["start"]), place(source, span["end"])].append(number)
    text, owners, at = "", {}, 0
    for (start, end), in_function in sorted(functions.items()):
        body = body_start(source, start)
        text += (
            source[at:start] + source[start:body].replace("const fn", "fn") + "{ match crate::mutant() {\n"
        )
        for number in in_function:
            span = mutants[number]["span"]
            first, last = place(source, span["start"]), place(source, span["end"])
            changed = source[body:first] + mutants[number]["replacement"] + source[last:end]
            line = text.count("\n") + 1
            text += f"{number} => {changed}\n"
            owners |= dict.fromkeys(range(line, text.count("\n") + 1), number)
        text += f"_ => {source[body:end]}\n}} }}"
        at = end
    # Bodies inlined into bodies would make a program of millions of lines.
    text = (text + source[at:]).replace("#[inline(always)]", "#[inline(never)]")
    path.write_text(text, encoding="utf-8")
    return owners


def body_start(source: str, start: int) -> int:
    """Return where the body of the function that starts here begins."""
    depth = 0
    for at in range(source.index("fn ", start), len(source)):
        depth += (source[at] in "([") - (source[at] in ")]")
        if source[at] == "{" and depth == 0:
            return at
    raise ValueError("A function has no body.")


def build(tree: Path, target: Path) -> tuple[set[tuple[str, int]], list[Path]]:
    """Compile; return the lines with errors, or the programs."""
    command = ["cargo", "test", "--profile", "mutants", "--package", "tasksel-core", "--no-run"]
    command += ["--message-format", "json", *(f"--test={name}" for name in TESTS)]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    finished = subprocess.run(command, cwd=tree, env=environment, check=False, capture_output=True, text=True)
    errors, programs = set(), []
    for line in finished.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            programs.append(Path(message["executable"]))
        if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
            errors |= {(span["file_name"], span["line_start"]) for span in message["message"]["spans"]}
    if finished.returncode and not errors:
        raise SystemExit(finished.stderr)
    return errors, sorted(programs, key=lambda program: TESTS.index(program.name.rpartition("-")[0]))


def passes(program: Path, number: int | None) -> str:
    """Run one file of tests with a mutant; say whether it survived."""
    environment = os.environ | {
        "TASKSEL_MUTANT": "" if number is None else str(number),
        "PROPTEST_CASES": "64",
        "PROPTEST_RNG_SEED": "0",
        "PROPTEST_MAX_SHRINK_ITERS": "0",
        "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
        "RAYON_NUM_THREADS": "2",
        "RUST_BACKTRACE": "0",
    }
    finished = subprocess.run(
        [str(program)],
        env=environment,
        check=False,
        capture_output=True,
        preexec_fn=limited,
        cwd=program.parent,
    )
    if finished.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timed out"
    return "killed" if finished.returncode else "survived"


def limited() -> None:
    """Hold a program to its processor time and memory."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()
