from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tasksel
import tasksel_core
from pin import CONSTRAINTS, OLDEST, OLDEST_EXTRAS

ROOT = Path(__file__).parents[1]
MODEL_LIBRARIES = ("accelerate", "peft", "ray", "tokenizers", "torch", "transformers")
EXTRAS = ("hf", "test", "dev")
PINNED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton$")
has_cli = pytest.mark.skipif(importlib.util.find_spec("tasksel.cli") is None, reason="there is no CLI yet")


def run_python(source):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def loaded_model_libraries(source):
    ask = f"import json, sys\nprint()\nprint(json.dumps(sorted(set({MODEL_LIBRARIES}) & set(sys.modules))))"
    return json.loads(run_python(f"{source}\n{ask}").splitlines()[-1])


# Light imports


def test_importing_tasksel_brings_no_model_library():
    assert loaded_model_libraries("import tasksel") == []


@has_cli
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["score", "--help"], ["select", "--help"], ["evaluate", "--help"], ["demo", "--help"]],
)
def test_asking_for_help_brings_no_model_library(arguments):
    source = (
        "import sys\n"
        "from tasksel.cli import main\n"
        f"sys.argv = ['tasksel', *{arguments}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
    )
    assert loaded_model_libraries(source) == []


@has_cli
def test_python_dash_m_is_the_same_program():
    command = [sys.executable, "-m", "tasksel", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "select" in result.stdout


def test_the_kernels_need_numpy_alone():
    source = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"polars", "rich", "typer", "click", "torch", "transformers", "tasksel"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
import numpy as np
from tasksel_core import allocate
print(allocate(np.array([0.75, 0.25]), np.array([10, 10]), 4, base=1).tolist())
"""
    assert json.loads(run_python(source)) == [3, 1]


def test_types_are_shipped():
    for package in (tasksel, tasksel_core):
        assert Path(package.__file__).with_name("py.typed").is_file()


def test_everything_in_all_is_there():
    for package in (tasksel, tasksel_core):
        assert [name for name in package.__all__ if not hasattr(package, name)] == []


# Versions and pins


def cargo_version():
    workspace = (ROOT / "Cargo.toml").read_text(encoding="utf-8").partition("[workspace.package]")[2]
    return re.search(r'^version = "(.+)"$', workspace, flags=re.MULTILINE).group(1)


def test_one_version_everywhere():
    assert tasksel.__version__ == tasksel_core.__version__ == cargo_version()
    assert importlib.metadata.version("tasksel") == cargo_version()


def test_the_changelog_speaks_of_this_version_or_of_what_is_unreleased():
    headings = re.findall(
        r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert headings[0] in ("Unreleased", cargo_version())


def test_the_rust_lock_file_is_committed_and_up_to_date():
    lock = (ROOT / "Cargo.lock").read_text(encoding="utf-8")
    for crate in ("tasksel-core", "tasksel-python"):
        assert f'name = "{crate}"\nversion = "{cargo_version()}"\n' in lock
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not {"Cargo.lock", "/Cargo.lock", "*.lock"} & set(ignored)


def read_pins(path=CONSTRAINTS):
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pin_of(name, path=CONSTRAINTS, **environment):
    """Give the version that a name is pinned to in this, or the given, environment."""
    pins = [pin for pin in read_pins(path) if canonicalize_name(pin.name) == canonicalize_name(name)]
    versions = [str(pin.specifier) for pin in pins if not pin.marker or pin.marker.evaluate(environment)]
    assert len(versions) < 2, f"{name} is pinned more than once"
    return versions[0].removeprefix("==") if versions else None


def test_every_constraint_is_one_exact_version_and_no_address():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "@" not in text
    for pin in read_pins():
        assert re.fullmatch(r"==[0-9][0-9A-Za-z.]*", str(pin.specifier)), pin
        assert pin.url is None


def own_requirements():
    return [Requirement(text) for text in importlib.metadata.requires("tasksel")]


def is_needed(requirement, python_version):
    """Whether the core or an extra wants a requirement on that Python.

    vLLM pins other versions of what the pins hold, and lives in an environment of its own.
    """
    extras = {"", *importlib.metadata.metadata("tasksel").get_all("Provides-Extra")} - {"vllm"}
    # maturin writes python_version of pyproject.toml as python_full_version.
    python = {"python_version": python_version, "python_full_version": f"{python_version}.0"}
    return requirement.marker is None or any(
        requirement.marker.evaluate({**python, "extra": extra}) for extra in extras
    )


@pytest.mark.parametrize("python_version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_requirement_of_ours_has_a_pin_that_it_allows(python_version):
    build = re.search(r'requires = \["(.+?)"\]', (ROOT / "pyproject.toml").read_text(encoding="utf-8")).group(
        1
    )
    for requirement in [*own_requirements(), Requirement(build)]:
        if requirement.name == "tasksel" or not is_needed(requirement, python_version):
            continue
        version = pin_of(requirement.name, python_version=python_version)
        assert version, f"{requirement.name} has no pin for Python {python_version}; run scripts/pin.py"
        assert requirement.specifier.contains(version), f"{requirement} does not allow its pin {version}"


def is_wanted(requirement, extras):
    return not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)


def installed_closure(extras):
    """Follow the requirements of our extras through what is installed here."""
    waiting = [("tasksel", frozenset(extras))]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        wanted = [each for each in map(Requirement, requirements) if is_wanted(each, {"", *extras})]
        waiting += [(canonicalize_name(each.name), frozenset(each.extras)) for each in wanted]
    return sorted({name for name, _ in seen} - {"tasksel"})


def pins_and_extras_of_this_environment():
    """Tell an environment of the lowest versions (`make test-oldest`) by its numpy."""
    is_oldest = pin_of("numpy", OLDEST) == importlib.metadata.version("numpy")
    return (OLDEST, OLDEST_EXTRAS) if is_oldest else (CONSTRAINTS, EXTRAS)


def test_everything_that_the_extras_bring_is_pinned():
    path, extras = pins_and_extras_of_this_environment()
    names = [name for name in installed_closure(extras) if not PINNED_BY_TORCH.match(name)]
    unpinned = [name for name in names if not pin_of(name, path)]
    assert not unpinned, f"not in {path.name}: {', '.join(unpinned)}; run scripts/pin.py"
