"""All that has an alternative against each that is installed: measures, and writes the page that docs show.

``python benches/suite.py`` measures what is not yet in the results (``docs/benchmarks.json``) on this
machine with these libraries, and writes the page and the figure beside them. A run that is stopped goes on
with the next case.

- ``--quick`` leaves out the cases that take minutes.
- ``--only k-center,radii`` runs cases whose name contains one of these; ``--again``, what is there, too.
- ``--pairs 5`` runs each side five times in place of three.
- ``--minilm vectors.npy`` names the real vectors that ``embed_minilm.py`` writes.
- ``--out page.md`` names the page; results and figure stand beside it as ``.json`` and ``.svg``.
- ``--render`` measures nothing: it writes the page and the figure from the results.

The alternatives are optional: ``pip install '.[bench]'``. One that is missing is left out with a line that
says so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench_coverage
import bench_embedding
import bench_facility_location
import bench_generation
import bench_k_center
import bench_kernels
import bench_near_duplicates
import bench_neighbours
import figure
import page
from contest import Apart, Case, Growth, lines_of, lines_of_growth, processor, run_case, run_growth
from tasksel_core import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PACKAGES = (
    "numpy",
    "polars",
    "scikit-learn",
    "scipy",
    "lightly-mundig",
    "faiss-cpu",
    "simsimd",
    "skmatter",
    "submodlib-py",
    "apricot-select",
    "prdc",
    "datasketch",
    "sentence-transformers",
    "torch",
    "transformers",
)

Entry = tuple[Case | Growth, Path]


def entries() -> list[Entry]:
    """All cases and growths in the order of the page, each with the script that measures it."""
    found: list[Entry] = []
    for module in (
        bench_k_center,
        bench_neighbours,
        bench_facility_location,
        bench_kernels,
        bench_generation,
        bench_embedding,
        bench_coverage,
        bench_near_duplicates,
    ):
        script = Path(module.__file__ or "")
        found += [(case, script) for case in (*module.CASES, *getattr(module, "GROWTHS", ()))]
    return found


def installed(package: str) -> str | None:
    """Give the version of a package, if it is there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Describe what the figures depend on besides the code of the benchmarks."""
    versions = {package: installed(package) for package in PACKAGES}
    extension = Path(_core.__file__).read_bytes()
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {"tasksel": version("tasksel"), **{name: v for name, v in versions.items() if v}},
        "extension": hashlib.sha256(extension).hexdigest()[:12],
    }


def read_results(path: Path) -> dict[str, Any]:
    """Give records by the name of the case, and the environments that they were measured in."""
    if not path.exists():
        return {"environments": [], "records": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write whole or not at all, without environments that no record is of any more."""
    used = sorted({record["environment"] for record in results["records"].values()})
    numbers = {old: new for new, old in enumerate(used)}
    records = {
        key: {**record, "environment": numbers[record["environment"]]}
        for key, record in sorted(results["records"].items())
    }
    environments = [results["environments"][number] for number in used]
    text = json.dumps({"environments": environments, "records": records}, indent=1, ensure_ascii=False)
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(f"{text}\n", encoding="utf-8")
    unfinished.replace(path)
    results.update(environments=environments, records=records)


def is_done(
    case: Case | Growth, record: dict | None, here: dict, results: dict, n_pairs: int, quick: bool
) -> bool:
    """Tell whether a record is of this machine, these libraries and enough pairs or rows."""
    if record is None or results["environments"][record["environment"]] != here:
        return False
    if isinstance(case, Growth):
        measured = {size["n_rows"] for size in record["sizes"]["tasksel"]}
        return measured >= set(case.rows(quick=quick))
    return record["n_pairs"] >= n_pairs


def is_wanted(case: Case | Growth, arguments: argparse.Namespace) -> bool:
    """Tell whether the options ask for a case."""
    names = arguments.only.split(",")
    return any(name in case.key for name in names) and (case.is_quick or not arguments.quick)


def measure_all(arguments: argparse.Namespace, path: Path) -> int:
    """Measure what is wanted and not there; returns how many cases failed."""
    results, here, n_failed = read_results(path), environment(), 0
    if os.getloadavg()[0] > 0.5:
        print(
            f"The load of this machine is {os.getloadavg()[0]:.1f}: figures will be noisy.", file=sys.stderr
        )
    for case, script in entries():
        record = results["records"].get(case.key)
        if not is_wanted(case, arguments):
            continue
        if case.obstacle:
            print(f"{case.key} is left out: {case.obstacle}", flush=True)
            continue
        if not arguments.again and is_done(case, record, here, results, arguments.pairs, arguments.quick):
            continue
        begin = time.perf_counter()
        try:
            record = measure_one(case, Apart(script), arguments)
        except ChildProcessError as error:
            n_failed += 1
            print(f"{case.key} failed: {error}", file=sys.stderr, flush=True)
            continue
        if here not in results["environments"]:
            results["environments"].append(here)
        record["environment"] = results["environments"].index(here)
        record["date"] = dt.datetime.now(tz=dt.timezone.utc).date().isoformat()
        record["wall_s"] = round(time.perf_counter() - begin, 1)
        results["records"][case.key] = record
        # Cases that are no more, or have another name.
        for key in results["records"].keys() - {case.key for case, _ in entries()}:
            del results["records"][key]
        write_results(path, results)
    return n_failed


def measure_one(case: Case | Growth, apart: Apart, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one case and print it."""
    if isinstance(case, Growth):
        record = run_growth(case, apart, quick=arguments.quick)
        lines = lines_of_growth(case, record)
    else:
        record = run_case(case, apart, arguments.pairs)
        lines = lines_of(case, record)
    print(*lines, sep="\n", flush=True)
    return record


def render(out: Path) -> None:
    """Write the page and the figure from the results beside them."""
    results = read_results(out.with_suffix(".json"))
    cases = [case for case, _ in entries()]
    drawing = out.with_suffix(".svg")
    drawing.write_text(figure.draw(cases, results), encoding="utf-8")
    out.write_text(page.write(cases, results, drawing.name), encoding="utf-8")


def main(options: Sequence[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only the small cases")
    parser.add_argument("--only", default="", help="parts of the names of cases, separated by commas")
    parser.add_argument("--again", action="store_true", help="measure also what is in the results")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side")
    parser.add_argument("--minilm", type=Path, help=".npy of real vectors")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    arguments = parser.parse_args(options)
    if arguments.minilm:
        os.environ["TASKSEL_MINILM"] = str(arguments.minilm.resolve())
    if arguments.list:
        print(*(case.key for case, _ in entries() if is_wanted(case, arguments)), sep="\n")
        return 0
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    n_failed = 0 if arguments.render else measure_all(arguments, arguments.out.with_suffix(".json"))
    render(arguments.out)
    return min(n_failed, 1)


if __name__ == "__main__":
    sys.exit(main())
