"""Change the Python that decides which prompts are bought, one small change at a time, and run its tests.

    python scripts/mutate_python.py [--processes 2] [--work target/mutation/python]

mutmut reads sources from a folder `src`, so a copy of what it needs is laid out anew in the work folder.
Results of functions that have not changed are kept there; where tests have changed, the mutants that lived
are tried again. mutmut stands in an environment of its own, which sees what the one that runs this script
has installed. scripts/mutant_trials.py runs in it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]

VERSION = "3.8.1"
"""Names of mutants may differ in another one."""

MODULES = (
    "allocation",
    "scores",
    "scores_places",
    "strategies/allocators",
    "strategies/problem",
    "strategies/uncertainty",
    "strategies/within_tasks",
)
"""Where an error would change which prompts are bought without anybody seeing it."""

TESTS = (
    "test_allocation_table",
    "test_scores",
    "test_scores_places",
    "test_selection",
    "test_selection_labelled",
    "test_strategies",
    "test_within_tasks",
)
"""Their own tests, and those of what they are called by; a mutant lives if none of these fails."""

LEFT_OUT = (
    "tests/test_scores.py::test_the_values_are_handed_over_without_a_copy",
    "tests/test_within_tasks.py::test_ctrl_c_cancels_the_tasks_that_wait",
)
"""One looks into a function, which stands inside another one while its mutants are tried; the other starts a
process, which knows nothing of mutmut."""

SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = [{modules}]
also_copy = ["conftest.py", "benches", "docs", "examples", "scripts"]
"""

CONFTEST = """

from hypothesis import Phase

settings.register_profile(
    "mutants",
    settings.get_profile("tasksel"),
    max_examples=20,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("mutants")
"""
"""Of a mutant that is dead no example is made smaller. Fewer examples than usual can let one live that more
would kill, and not the other way round."""


def main() -> None:
    """Lay out the copy and run mutmut in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "mutation" / "python")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    lay_out(work)
    python = environment(work.parent / "environment")
    settings = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "2", "CI": "true"}
    settings["PYTHONPATH"] = str(work / "mutants" / "src")  # of processes that tests start
    trials = [python, str(ROOT / "scripts" / "mutant_trials.py"), str(arguments.processes)]
    options = ["--rootdir=.", "-q", "--tb=native", "-m", "not integration"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist"]
    tests = [*(f"--deselect={name}" for name in LEFT_OUT), *(f"tests/{name}.py" for name in TESTS)]
    command = [*trials, *options, *tests]
    raise SystemExit(subprocess.run(command, cwd=work, env=os.environ | settings, check=False).returncode)


def lay_out(work: Path) -> None:
    """Copy what has changed, and leave no file that is gone."""
    for name, target in (("python", "src"), ("tests", "tests"), ("benches", "benches"), ("docs", "docs")):
        mirror(ROOT / name, work / target)
    for name in ("examples", "scripts"):
        mirror(ROOT / name, work / name)
    conftest = (ROOT / "conftest.py").read_text(encoding="utf-8")
    (work / "conftest.py").write_text(conftest + CONFTEST, encoding="utf-8")
    modules = ", ".join(f'"src/tasksel/{name}.py"' for name in MODULES)
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + SETTINGS.format(modules=modules)
    if not (work / "pyproject.toml").is_file() or (work / "pyproject.toml").read_text("utf-8") != settings:
        (work / "pyproject.toml").write_text(settings, encoding="utf-8")


def mirror(source: Path, target: Path) -> None:
    """Make a folder equal to another one, with the times of its files, by which mutmut knows changes."""
    kept = set()
    for path in source.rglob("*"):
        if "__pycache__" in path.parts or path.is_dir():
            continue
        copy = target / path.relative_to(source)
        kept.add(copy)
        if not copy.is_file() or copy.stat().st_mtime != path.stat().st_mtime:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
            (target.parent / "mutants" / copy.relative_to(target.parent)).unlink(missing_ok=True)
    for copy in list(target.rglob("*")):
        if copy.is_file() and copy not in kept:
            copy.unlink()


def environment(folder: Path) -> str:
    """Make the environment, or leave it as it is; return its Python."""
    python, done = folder / "bin" / "python", folder / f".mutmut-{VERSION}"
    if not done.is_file():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"mutmut=={VERSION}"], check=True)
        packages = (
            folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        )
        # .pth files in that folder do not count, so the package under test is the mutated copy alone.
        (packages / "tested.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        done.touch()
    return str(python)


if __name__ == "__main__":
    main()
