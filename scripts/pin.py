"""Write constraints.txt anew: one pin for every package that the extras of tasksel bring.

Usage: ``python scripts/pin.py PYTHON3.10 PYTHON3.11 [NEWER_PYTHON ...]``, or
``python scripts/pin.py --oldest PYTHON3.10``

The first interpreter gives the pins below Python 3.11, the second those from 3.11 on; every further one
must then resolve with them. What torch pins itself (CUDA and Triton) is left to torch.

With ``--oldest`` constraints-oldest.txt is written instead: of all that pyproject.toml names the lowest
version that it allows, and of what these need the newest that they take. `make test-oldest` tests with them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = ROOT / "constraints-oldest.txt"
OLDEST_EXTRAS = ("hf", "plots", "ray", "synth", "tasks", "test")
"""What the tests import. Together with trl, which asks for newer ones, those of hf would be no lowest."""
REQUIREMENTS = (f"{ROOT}[hf,trl,eval,plots,bench,dev,fuzz]", "maturin>=1.9,<2")
PINNED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton$|tasksel$")


def resolve(python: str, *options: str) -> dict[str, str]:
    """Ask a fresh, new pip of `python` what it would install; returns versions by normalised name."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [str(Path(folder, "bin", "python")), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
        report = Path(folder, "report.json")
        dry_run = ["install", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([*pip, *dry_run, *options, *REQUIREMENTS], check=True)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    names_versions = ((each["metadata"]["name"], each["metadata"]["version"]) for each in installed)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in names_versions}


def resolve_oldest(python: str) -> dict[str, str]:
    """Ask uv for the lowest versions that are allowed, which pip cannot be asked for; as `resolve` else."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = Path(folder, "bin", "python")
        subprocess.run(
            [inside, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "uv"], check=True
        )
        extras = [part for extra in OLDEST_EXTRAS for part in ("--extra", extra)]
        compile_pins = ["pip", "compile", "--quiet", "--no-header", "--no-annotate"]
        lowest = ["--resolution", "lowest-direct", "--python", python, *extras, str(ROOT / "pyproject.toml")]
        command = [inside, "-m", "uv", *compile_pins, *lowest]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split("==") for line in printed.split())


def pins(older: dict[str, str], newer: dict[str, str]) -> list[str]:
    """Merge two resolutions into constraint lines, with a marker only where they differ."""
    lines = []
    for name in sorted(older.keys() | newer.keys()):
        if PINNED_BY_TORCH.match(name):
            continue
        if older.get(name) == newer.get(name):
            lines.append(f"{name}=={newer[name]}")
            continue
        if name in older:
            lines.append(f'{name}=={older[name]} ; python_version < "3.11"')
        if name in newer:
            lines.append(f'{name}=={newer[name]} ; python_version >= "3.11"')
    return lines


def main() -> None:
    """Resolve, write, and check with every other interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="3.10 first, then 3.11, then newer ones")
    parser.add_argument("--oldest", action="store_true", help="the lowest versions that are allowed")
    given = parser.parse_args()
    if given.oldest:
        found = resolve_oldest(given.pythons[0])
        OLDEST.write_text("\n".join(pins(found, found)) + "\n", encoding="utf-8")
        return
    older, newer, *others = given.pythons
    lines = pins(resolve(older), resolve(newer))
    CONSTRAINTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for python in others:
        resolve(python, "--constraint", str(CONSTRAINTS))


if __name__ == "__main__":
    main()
