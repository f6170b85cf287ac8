"""Install one wheel with the core dependencies alone on every supported Python, and test the core there.

Usage: ``python scripts/python_versions.py [--wheel FILE] [--write] [PYTHON ...]``

Without a wheel one is built. Interpreters are python3.10 to python3.13 by default; one that is not here is
passed over with a sentence. ``--write`` puts what was found into docs/trust/compatibility.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "trust" / "compatibility.json"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
TOOLS = ("hypothesis", "ml-dtypes", "packaging", "pytest", "pytest-benchmark", "pytest-timeout")
"""What the core tests themselves import."""
CORE_TESTS = ("allocation", "confidence", "errors", "k_center", "package", "pool", "round_robin", "selection")
"""Names of the modules of tests: what works without a model."""
_COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


def find_python(version: str) -> str | None:
    """Return an interpreter of this version: one on the PATH, else the newest that pyenv has."""
    found = shutil.which(f"python{version}")
    if found is not None and _says(found).startswith(f"{version}."):
        return found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = sorted(versions.glob(f"{version}.*/bin/python"), key=lambda path: len(str(path)))
    return str(places[-1]) if places else None


def _says(python: str) -> str:
    """Return which version an interpreter is; empty where it does not run, as a pyenv shim may not."""
    ask = [python, "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()


def build_wheel(folder: Path) -> Path:
    """Build the wheel for this machine."""
    subprocess.run(
        [sys.executable, "-m", "maturin", "build", "--release", "--out", folder], check=True, cwd=ROOT
    )
    return next(folder.glob("tasksel-*.whl"))


def try_python(python: str, wheel: Path) -> dict[str, Any]:
    """Install the wheel in a new environment, look at what came with it, and run the tests."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = str(Path(folder, "bin", "python"))
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pinned = ["--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *pinned, str(wheel)], check=True)
        listed = subprocess.run(
            [inside, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        installed = {each["name"]: each["version"] for each in json.loads(listed)}
        said = subprocess.run(
            [inside, "-m", "tasksel", "--version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        subprocess.run([*pip, *pinned, *TOOLS], check=True)
        counts, text = _run_tests(inside)
    return {
        "python": _says(python),
        "wheel": wheel.name,
        "said": said,
        "numpy": installed["numpy"],
        "polars": installed["polars"],
        "packages": len(installed.keys() - {"pip", "setuptools", "wheel"}),
        "tests": counts,
        "is_in_order": not counts.get("failed") and not counts.get("error") and bool(counts.get("passed")),
        "ended_with": text,
    }


def _run_tests(python: str) -> tuple[dict[str, int], str]:
    files = [f"tests/test_{name}.py" for name in CORE_TESTS]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = next((line for line in reversed(result.stdout.splitlines()) if _COUNT.search(line)), "")
    if result.returncode:
        print(result.stdout, result.stderr, sep="\n", file=sys.stderr)
    return {kind: int(number) for number, kind in _COUNT.findall(last)}, last


def write_record(name: str, content: Any) -> None:
    """Put one part into docs/trust/compatibility.json, beside the others."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    record = dict(sorted({**record, name: content}.items()))
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Try each, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", help="interpreters, instead of 3.10 to 3.13")
    parser.add_argument("--wheel", type=Path, help="a wheel that is there already")
    parser.add_argument("--write", action="store_true", help="into docs/trust/compatibility.json")
    given = parser.parse_args()
    pythons = given.pythons or list(map(find_python, VERSIONS))
    for version, python in zip(VERSIONS, pythons, strict=False):
        if python is None:
            print(f"There is no python{version} here; it is passed over.")
    with tempfile.TemporaryDirectory() as folder:
        wheel = given.wheel or build_wheel(Path(folder))
        found = []
        for python in filter(None, pythons):
            found.append(try_python(python, wheel.resolve()))
            print(f"Python {found[-1]['python']}: {found[-1]['said']}, {found[-1]['ended_with']}", flush=True)
    if given.write:
        # How long it took stands in the last line, and is no finding.
        write_record(
            "pythons", [{name: each[name] for name in each if name != "ended_with"} for each in found]
        )
    return 0 if found and all(each["is_in_order"] for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
