"""Write constraints.txt anew: one pin for every package that the extras of tasksel bring.

Usage: ``python scripts/pin.py PYTHON3.10 PYTHON3.11 [NEWER_PYTHON ...]``

The first interpreter gives the pins below Python 3.11, the second those from 3.11 on; every further one
must then resolve with them. What torch pins itself (CUDA and Triton) is left to torch.
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
REQUIREMENTS = (f"{ROOT}[hf,trl,eval,plots,bench,dev]", "maturin>=1.9,<2")
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
    older, newer, *others = parser.parse_args().pythons
    lines = pins(resolve(older), resolve(newer))
    CONSTRAINTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for python in others:
        resolve(python, "--constraint", str(CONSTRAINTS))


if __name__ == "__main__":
    main()
