"""What pyproject.toml says of Pythons and libraries is what is tested; what a wheel holds is looked at."""

import itertools
import re
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from pin import OLDEST, OLDEST_EXTRAS
from python_versions import CORE_TESTS, VERSIONS
from vllm_environment import OURS
from wheels import EXTENSION, WANTED, look_at_wheel, newest_glibc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGET = "x86_64-unknown-linux-gnu"


def oldest_pins():
    lines = OLDEST.read_text(encoding="utf-8").splitlines()
    return {pin.name: str(pin.specifier) for pin in map(Requirement, lines)}


def named_requirements():
    extras = [PROJECT["optional-dependencies"][extra] for extra in OLDEST_EXTRAS]
    named = [Requirement(text) for text in [*PROJECT["dependencies"], *itertools.chain(*extras)]]
    python = {"python_version": "3.10"}
    wanted = [each for each in named if not each.marker or each.marker.evaluate(python)]
    return [each for each in wanted if each.name != "tasksel"]


@pytest.mark.parametrize("requirement", named_requirements(), ids=lambda each: each.name)
def test_the_oldest_pin_is_the_lowest_version_that_is_allowed(requirement):
    (bound,) = [each.version for each in requirement.specifier if each.operator == ">="]
    pinned = oldest_pins()[re.sub(r"[-_.]+", "-", requirement.name).lower()].removeprefix("==")
    lowest = Version(bound).release  # 2.3 is 2.3.1 where no 2.3.0 was released
    assert Version(pinned).release[: len(lowest)] == lowest, "run scripts/pin.py --oldest python3.10"


def test_the_environment_of_vllm_asks_for_no_older_versions():
    named = {each.name: each.specifier for each in named_requirements()}
    ours = [Requirement(text) for text in OURS]
    assert [each for each in ours if each.specifier != named[each.name]] == []


def test_oldest_pins_are_exact_and_of_no_address():
    assert all(re.fullmatch(r"==[0-9][0-9A-Za-z.]*", version) for version in oldest_pins().values())
    assert "@" not in OLDEST.read_text(encoding="utf-8")


def test_every_python_that_is_named_is_tested():
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    named = list(map(pattern.fullmatch, PROJECT["classifiers"]))
    assert [each[1] for each in named if each] == list(VERSIONS)
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"
    assert all((ROOT / "tests" / f"test_{name}.py").is_file() for name in CORE_TESTS)


def write_wheel(folder, *, extension=b"", without=(), more=(), python=">=3.10"):
    path = folder / "tasksel-0.1.0-cp310-abi3-manylinux2014_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name in WANTED:
            if name not in without:
                wheel.writestr(name, extension if name == EXTENSION else b"")
        for name in more:
            wheel.writestr(name, b"")
        wheel.writestr("tasksel-0.1.0.dist-info/METADATA", f"Name: tasksel\nRequires-Python: {python}\n")
        if "LICENSE" not in without:
            wheel.writestr("tasksel-0.1.0.dist-info/licenses/LICENSE", b"")
    return path


def elf(machine=62, glibc=b"GLIBC_2.17\0"):
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(8) + glibc


def test_a_wheel_as_it_should_be_has_no_problems(tmp_path):
    found = look_at_wheel(write_wheel(tmp_path, extension=elf()), TARGET)
    assert found.problems == ()
    assert found.glibc == "2.17"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"without": ["tasksel/html_page.css"]}, "tasksel/html_page.css is missing"),
        ({"without": ["LICENSE"]}, "the licence is missing"),
        ({"more": ["tests/test_pool.py"]}, "tests/test_pool.py does not belong there"),
        ({"more": ["tasksel/__pycache__/pool.cpython-311.pyc"]}, "does not belong there"),
        ({"more": ["tasksel/notes.txt"]}, "tasksel/notes.txt does not belong there"),
        ({"extension": elf(machine=183)}, "for another processor"),
        ({"extension": elf(glibc=b"GLIBC_2.17\0GLIBC_2.34\0")}, "asks for glibc 2.34"),
        ({"python": ">=3.11"}, "Requires-Python is >=3.11"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_wheel_is_named(tmp_path, changes, problem):
    found = look_at_wheel(write_wheel(tmp_path, **{"extension": elf(), **changes}), TARGET)
    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_versions_of_glibc_are_compared_as_numbers():
    assert newest_glibc(b"\0GLIBC_2.9\0GLIBC_2.14\0GLIBC_2.2.5\0") == (2, 14)
    assert newest_glibc(b"") == (0,)
