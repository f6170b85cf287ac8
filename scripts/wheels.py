"""Build the wheels for x86-64 and aarch64 and the source distribution, and look at what is in them.

Usage: ``python scripts/wheels.py [--out dist] [--only TARGET ...] [--write]``

zig, which comes as a Python package, links for both processors against the C library of 2014, so that the
wheels run on any Linux since; ``rustup target add aarch64-unknown-linux-gnu`` brings Rust's own library.
``--write`` puts what was found into docs/trust/compatibility.json.
"""

from __future__ import annotations

import argparse
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from python_versions import write_record

ROOT = Path(__file__).parents[1]
COMPATIBILITY = "manylinux2014"
NEWEST_GLIBC = (2, 17)
"""What manylinux2014 has."""
MOST_WHEEL_BYTES = 8_000_000
MOST_SDIST_BYTES = 8_000_000
MACHINES = {"x86_64-unknown-linux-gnu": 62, "aarch64-unknown-linux-gnu": 183}
"""Rust's name of each target, and what ELF calls its processor."""
EXTENSION = "tasksel_core/_core.abi3.so"
WANTED = (
    EXTENSION,
    "tasksel_core/_core.pyi",
    "tasksel_core/py.typed",
    "tasksel/py.typed",
    "tasksel/html_page.css",
    "tasksel/html_page_search.js",
    "tasksel/assets/demo_model/model.safetensors",
    "tasksel/assets/demo_model/tokenizer.json",
)
SUFFIXES = {".py", ".pyi", ".css", ".js", ".json", ".safetensors", ".typed", ".so"}
"""Of everything in the packages."""
SDIST_WANTED = (
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "PKG-INFO",
    "rust/core/src/lib.rs",
)
STRAY = re.compile(r"__pycache__|\.pyc$|\.cache|/tests?/|\.egg-info|\.DS_Store|/target/|/\.venv|\.orig$|~$")


class Found(NamedTuple):
    """What is in a wheel.

    Parameters
    ----------
    name : str
        Of the file.
    size : int
        Bytes.
    files : int
        How many files are in it.
    glibc : str
        The newest version of the C library that the extension asks for.
    problems : tuple of str
        What is missing, or should not be there.
    """

    name: str
    size: int
    files: int
    glibc: str | None
    problems: tuple[str, ...]


def build(target: str, out: Path) -> Path:
    """Build the wheel of a target."""
    before = set(out.glob("*.whl"))
    options = ["--release", "--zig", "--target", target, "--compatibility", COMPATIBILITY, "--out", str(out)]
    # maturin finds zig through the first python3 of PATH, which need not be this one.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(
        [sys.executable, "-m", "maturin", "build", *options],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
    )
    processor = target.partition("-")[0]
    made = [path for path in out.glob(f"tasksel-*{processor}.whl") if path not in before]
    return (
        made[0] if made else max(out.glob(f"tasksel-*{processor}.whl"), key=lambda path: path.stat().st_mtime)
    )


def build_sdist(out: Path) -> Path:
    """Build the source distribution."""
    subprocess.run([sys.executable, "-m", "maturin", "sdist", "--out", str(out)], check=True, cwd=ROOT)
    return max(out.glob("tasksel-*.tar.gz"), key=lambda path: path.stat().st_mtime)


def look_at_wheel(path: Path, target: str) -> Found:
    """Compare a wheel with what it should hold."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        extension = wheel.read(EXTENSION) if EXTENSION in names else b""
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(wheel.read(about).decode())
    problems = [f"{name} is missing" for name in WANTED if name not in names]
    problems += [f"{name} does not belong there" for name in names if _is_stray(name)]
    if not any(PurePosixPath(name).name == "LICENSE" for name in names):
        problems.append("the licence is missing")
    if metadata["Requires-Python"] != ">=3.10":
        problems.append(f"Requires-Python is {metadata['Requires-Python']}")
    if extension[:4] != b"\x7fELF" or struct.unpack_from("<H", extension, 18)[0] != MACHINES[target]:
        problems.append("the extension is for another processor")
    glibc = newest_glibc(extension)
    if glibc > NEWEST_GLIBC:
        problems.append(f"the extension asks for glibc {'.'.join(map(str, glibc))}")
    size = path.stat().st_size
    if size > MOST_WHEEL_BYTES:
        problems.append(f"it has {size:,} bytes")
    return Found(path.name, size, len(names), ".".join(map(str, glibc)), tuple(problems))


def newest_glibc(extension: bytes) -> tuple[int, ...]:
    """Return the newest version of glibc whose symbols a library names."""
    named = re.findall(rb"GLIBC_(\d+)\.(\d+)(?:\.(\d+))?\0", extension)
    return max((tuple(int(part) for part in each if part) for each in named), default=(0,))


def _is_stray(name: str) -> bool:
    if ".dist-info/" in name:
        return False
    is_of_package = name.startswith(("tasksel/", "tasksel_core/"))
    return not is_of_package or bool(STRAY.search(f"/{name}")) or PurePosixPath(name).suffix not in SUFFIXES


def look_at_sdist(path: Path) -> Found:
    """Compare a source distribution with what a build needs."""
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    problems = [f"{name} is missing" for name in SDIST_WANTED if name not in names]
    problems += [
        f"{name} does not belong there" for name in names if STRAY.search(f"/{name}") and "rust/" not in name
    ]
    problems += [f"{name} does not belong there" for name in names if name.endswith((".so", ".whl"))]
    size = path.stat().st_size
    if size > MOST_SDIST_BYTES:
        problems.append(f"it has {size:,} bytes")
    return Found(path.name, size, len(names), None, tuple(problems))


def main() -> int:
    """Build, look, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--only", nargs="*", choices=(*MACHINES, "sdist"), default=(*MACHINES, "sdist"))
    parser.add_argument("--built", action="store_true", help="look at what is in --out, and build nothing")
    parser.add_argument("--write", action="store_true", help="into docs/trust/compatibility.json")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = []
    for target in given.only:
        if target == "sdist":
            path = next(given.out.glob("tasksel-*.tar.gz")) if given.built else build_sdist(given.out)
            found.append(look_at_sdist(path))
        else:
            pattern = f"tasksel-*{target.partition('-')[0]}.whl"
            path = next(given.out.glob(pattern)) if given.built else build(target, given.out)
            found.append(look_at_wheel(path, target))
    for each in found:
        glibc = f", glibc {each.glibc} or newer" if each.glibc else ""
        print(f"{each.name}: {each.size:,} bytes, {each.files} files{glibc}")
        for problem in each.problems:
            print(f"  ! {problem}")
    if given.write:
        write_record("wheels", [each._asdict() for each in found])
    return 1 if any(each.problems for each in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
