"""Look at what tasksel is built from: licences, sources, pins, and advisories where a database is at hand.

Usage: ``python scripts/supply_chain.py``, or ``make audit``.

Nothing is fetched. What cannot be looked at here is said and fails nothing: crates without ``cargo-deny``,
and advisories without a database. ``TASKSEL_ADVISORY_DB`` names a folder with one, in the format of OSV
(https://ossf.github.io/osv-schema), as the databases of PyPI and RustSec are exported.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from packaging.markers import Marker
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.metadata import PackageMetadata

ROOT: Final = Path(__file__).parents[1]
DATABASE_VARIABLE: Final = "TASKSEL_ADVISORY_DB"
ALLOWED: Final = frozenset({
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND",
    "ISC", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
    "Apache-2.0 WITH LLVM-exception",
})  # fmt: skip
"""Licences of SPDX under which a dependency may stand; MPL obliges who changes its own files."""
BROUGHT_BY_TORCH: Final = re.compile(r"(nvidia-|cuda-|triton$).*")
"""Of NVIDIA and not free; they come with a build of torch for CUDA, which is a user's choice."""
_NONE: Final = "(none)"
_SAYS_NOTHING: Final = {"atheris": "Apache-2.0"}
"""Of a distribution whose metadata name no licence: what the text of it is that comes with it."""
_CLASSIFIERS: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "DFSG approved": "MIT",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
_SPELLINGS: Final = (
    (
        re.compile(r"^apache([ -]?(software )?license)?,?( version)?[ -]?(2(\.0)?)?( license)?$", re.I),
        "Apache-2.0",
    ),
    (re.compile(r"^(3-clause bsd license|bsd 3-clause( license)?|new bsd)$", re.I), "BSD-3-Clause"),
    (re.compile(r"^bsd( license)?$", re.I), "BSD"),
    (re.compile(r"^(the )?mit( license)?$", re.I), "MIT"),
    (re.compile(r"^isc( license)?$", re.I), "ISC"),
)


class Package(NamedTuple):
    """One package at one version.

    Attributes
    ----------
    ecosystem : str
        ``PyPI`` or ``crates.io``, as OSV names them.
    name, version : str
        The name normalised as the ecosystem does.
    """

    ecosystem: str
    name: str
    version: str


def normalised(name: str) -> str:
    """Return a name of PyPI as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(text: str) -> list[tuple[Package, bool]]:
    """Read ``constraints.txt``: each pin, and whether it is for this Python."""
    pins = []
    for line in text.splitlines():
        pin, _, marker = line.partition(";")
        name, _, version = pin.strip().partition("==")
        is_here = not marker.strip() or Marker(marker.strip()).evaluate()
        pins.append((Package("PyPI", normalised(name), version), is_here))
    return pins


def read_crates(text: str) -> list[Package]:
    """Read ``Cargo.lock``: every crate that comes from a registry."""
    found = re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "registry', text)
    return [Package("crates.io", name, version) for name, version in found]


# Licences


def licences_of(metadata: PackageMetadata) -> str:
    """Return the licence that a distribution states, as an expression of SPDX as far as it is understood."""
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classifiers = metadata.get_all("Classifier") or []
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    known = sorted({_CLASSIFIERS[each] for each in named if each in _CLASSIFIERS})
    stated = str(metadata.get("License") or "").strip()
    for spelling, licence in _SPELLINGS:
        if spelling.match(stated):
            return licence
    if known and stated not in ALLOWED:  # of several classifiers one may choose, as python-dateutil says
        return " OR ".join(known)
    return stated.partition("\n")[0] or _NONE


def is_allowed(expression: str) -> bool:
    """Tell whether an expression of SPDX can be met by allowed licences."""
    text = expression.strip()
    if text in ALLOWED:
        return True
    for operator, all_or_any in ((" AND ", all), (" OR ", any)):
        parts = _split(text, operator)
        if len(parts) > 1:
            return all_or_any(map(is_allowed, parts))
    return text.startswith("(") and text.endswith(")") and is_allowed(text[1:-1])


def _split(text: str, operator: str) -> list[str]:
    """Split at an operator that stands outside of brackets."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0 and text.startswith(operator, place):
            parts.append(text[start:place])
            start = place + len(operator)
    return [*parts, text[start:]]


def check_licences(pins: Iterable[tuple[Package, bool]]) -> tuple[list[str], list[str]]:
    """Return what is wrong with the licences of the installed pins, and which pins are not installed."""
    wrong, absent = [], []
    for package, is_here in pins:
        if not is_here:
            continue
        try:
            metadata = importlib.metadata.metadata(package.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(package.name)
            continue
        stated = licences_of(metadata)
        if stated == _NONE:
            stated = _SAYS_NOTHING.get(package.name, _NONE)
        if not is_allowed(stated):
            wrong.append(f"{package.name} {package.version} is under {stated[:80]!r}, which is not allowed")
    return wrong, absent


def check_installed(pins: Iterable[tuple[Package, bool]]) -> list[str]:
    """Return what is installed in another version than its pin."""
    versions = {package.name: package.version for package, is_here in pins if is_here}
    installed = {
        normalised(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()
    }
    return [
        f"{name} is installed as {installed[name]} and pinned as {version}"
        for name, version in versions.items()
        if name in installed and installed[name] != version
    ]


# Advisories


def read_advisories(folder: Path) -> Iterator[dict[str, Any]]:
    """Read every advisory of a database that is not withdrawn."""
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "affected" in content and not content.get("withdrawn"):
            yield content


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Tell whether a version is among those that an advisory lists, or in one of its ranges."""
    if version in affected.get("versions", ()):
        return True
    ranges = (each for each in affected.get("ranges", ()) if each.get("type") in ("ECOSYSTEM", "SEMVER"))
    return any(_is_within(version, each.get("events", ())) for each in ranges)


def _is_within(version: str, events: Iterable[Mapping[str, str]]) -> bool:
    """Follow the events of a range, in their order: introduced, fixed, or affected for the last time."""
    is_in = False
    for event in events:
        if "introduced" in event:
            is_in |= event["introduced"] == "0" or _order(version) >= _order(event["introduced"])
        if "fixed" in event and _order(version) >= _order(event["fixed"]):
            is_in = False
        if "last_affected" in event and _order(version) > _order(event["last_affected"]):
            is_in = False
    return is_in


def _order(version: str) -> Version:
    try:
        return Version(version.partition("+")[0])
    except InvalidVersion:  # of a crate, such as 1.0.0-rc.1.x
        return Version(re.match(r"\d+(\.\d+)*", version)[0])  # type: ignore[index]


def find_affected(packages: Iterable[Package], advisories: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each package that an advisory speaks of."""
    by_name: dict[tuple[str, str], list[Package]] = {}
    for package in packages:
        by_name.setdefault((package.ecosystem, package.name), []).append(package)
    lines = {
        f"{package.name} {package.version}: {advisory.get('id')} {advisory.get('summary', '')}"
        for advisory in advisories
        for affected in advisory["affected"]
        for package in by_name.get(_key(affected.get("package", {})), ())
        if is_affected(package.version, affected)
    }
    return sorted(lines)


def _key(about: Mapping[str, str]) -> tuple[str, str]:
    ecosystem, name = about.get("ecosystem", ""), about.get("name", "")
    return ecosystem, normalised(name) if ecosystem == "PyPI" else name


# All of it


def check_crates() -> tuple[list[str], list[str]]:
    """Ask cargo-deny about licences, sources and bans; return what is wrong, and what was not looked at."""
    if shutil.which("cargo-deny") is None:
        return [], ["licences and sources of crates: there is no cargo-deny (cargo install cargo-deny)"]
    command = ["cargo", "deny", "--offline", "--log-level", "error", "check", "licenses", "bans", "sources"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ([f"cargo-deny:\n{done.stderr.strip()}"] if done.returncode else []), []


def check_advisories(packages: list[Package]) -> tuple[list[str], list[str]]:
    """Look the packages up in the database, if there is one."""
    named = os.environ.get(DATABASE_VARIABLE, "")
    if not named:
        return [], [f"advisories: {DATABASE_VARIABLE} names no folder with a database of OSV"]
    advisories = list(read_advisories(Path(named)))
    if not advisories:
        return [f"{named} holds no advisory of OSV"], []
    print(f"{len(advisories):,} advisories were looked through.")
    return find_affected(packages, advisories), []


def main() -> int:
    """Print what was looked at, what is wrong, and what could not be looked at."""
    pins = read_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    crates = read_crates((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    wrong, absent = check_licences(pins)
    wrong += check_installed(pins)
    unseen = [f"licences of pins that are not installed: {', '.join(absent)}"] if absent else []
    for found, not_seen in (check_crates(), check_advisories([*(pin for pin, _ in pins), *crates])):
        wrong += found
        unseen += not_seen
    print(f"{len(pins) - len(absent)} pins of Python and {len(crates)} crates.")
    for line in unseen:
        print(f"not looked at: {line}")
    for line in wrong:
        print(f"wrong: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
