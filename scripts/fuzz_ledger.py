"""The ledger of all fuzzing, ``docs/trust/fuzzing.json``, and its table on the page beside it.

A fuzzer adds what it has done every few minutes, and the ledger is replaced in one step: a kill loses the
last minutes and no more. Several fuzzers may add at the same time.

``python scripts/fuzz_ledger.py`` writes the table anew from the ledger.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
LEDGER: Final = ROOT / "docs" / "trust" / "fuzzing.json"
PAGE: Final = LEDGER.with_suffix(".md")
KINDS: Final = {"kernel": "Rust kernel", "python": "Python"}
"""What is fuzzed, and how the page calls it."""
BEGIN: Final = "<!-- The table is written by scripts/fuzz_ledger.py -->"
END: Final = "<!-- end of the table -->"
GOAL_CPU_SECONDS: Final = 3600


@dataclass(frozen=True)
class Record:
    """What fuzzing one target came to; also what one stretch of it adds.

    Parameters
    ----------
    kind
        ``"kernel"`` or ``"python"``.
    cpu_seconds
        CPU time that the fuzzer's processes used, user and system.
    executions
        Inputs that were run.
    edges
        Edges of the control flow that the corpus reaches, as the fuzzer counts them.
    corpus_files
        Inputs of the corpus, each of which reaches what the others do not.
    crashes
        Inputs at which a check failed, the code panicked or raised, ran out of memory or hung.
    """

    kind: str
    cpu_seconds: float = 0.0
    executions: int = 0
    edges: int = 0
    corpus_files: int = 0
    crashes: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; allowed: {', '.join(map(repr, KINDS))}")

    def and_then(self, later: Record) -> Record:
        """Add a later stretch: work adds up, and the corpus is what it is now.

        A stretch that was too short to measure its corpus has no edges, and leaves those known before.
        """
        measured = later if later.edges else self
        return replace(
            later,
            cpu_seconds=round(self.cpu_seconds + later.cpu_seconds, 2),
            executions=self.executions + later.executions,
            crashes=self.crashes + later.crashes,
            edges=measured.edges,
            corpus_files=measured.corpus_files,
        )


def read(ledger: Path = LEDGER) -> dict[str, Record]:
    """Read the records by target; there are none before anything was fuzzed."""
    if not ledger.exists():
        return {}
    return {target: Record(**record) for target, record in json.loads(ledger.read_text("utf-8")).items()}


def add(target: str, stretch: Record, ledger: Path = LEDGER) -> Record:
    """Add a stretch of fuzzing to a target's record, and write the page's table anew if there is a page.

    Returns
    -------
    Record
        What the target has come to by now.
    """
    with _locked(ledger.parent):
        records = read(ledger)
        before = records.get(target, Record(stretch.kind))
        if before.kind != stretch.kind:
            raise ValueError(f"the target {target!r} is of kind {before.kind!r}, not {stretch.kind!r}")
        records[target] = before.and_then(stretch)
        lines = {name: asdict(records[name]) for name in sorted(records)}
        _replace(ledger, json.dumps(lines, indent=2) + "\n")
        page = ledger.with_suffix(".md")
        if page.exists():
            _replace(page, with_table(page.read_text("utf-8"), records))
        return records[target]


def with_table(page: str, records: dict[str, Record]) -> str:
    """Put the table of these records between the two marks of a page."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has not both marks, {BEGIN} and {END}")
    return f"{before}{begin}\n\n{table(records)}\n{end}{after}"


def table(records: dict[str, Record]) -> str:
    """Write one row a target in Markdown, Rust first, and whether it has had its CPU hour."""
    lines = [
        "| target | of | CPU hours | at least one | executions | edges reached | corpus | crashes found |",
        "|---|---|--:|---|--:|--:|--:|--:|",
    ]
    for target, record in sorted(records.items(), key=lambda item: (item[1].kind, item[0])):
        is_enough = "yes" if record.cpu_seconds >= GOAL_CPU_SECONDS else "not yet"
        # Rounded down: 0.999 hours are not one.
        hours = int(record.cpu_seconds / 36) / 100
        lines.append(
            f"| `{target}` | {KINDS[record.kind]} | {hours:.2f} | {is_enough} | {record.executions:,} | "
            f"{record.edges:,} | {record.corpus_files:,} | {record.crashes:,} |"
        )
    return "\n".join(lines) + "\n"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; a lock on the folder leaves no file behind and ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: it is the old one or the new one whenever the process dies."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            os.chmod(new.name, 0o644)  # noqa: PTH101 - the temporary file is the owner's alone
            os.replace(new.name, path)  # noqa: PTH105 - symmetrical with the line above
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def main() -> None:
    """Write the page's table from the ledger."""
    parser = argparse.ArgumentParser(description="Write the page's table from the ledger.")
    parser.add_argument("--ledger", type=Path, default=LEDGER)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    with _locked(options.page.parent):
        _replace(options.page, with_table(options.page.read_text("utf-8"), read(options.ledger)))


if __name__ == "__main__":
    main()
