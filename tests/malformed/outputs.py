"""Places that cannot be written to, or that hold what is read."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

from .kind import Kind, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .kind import Make
    from .world import World

__all__ = ["KINDS"]

FOLDERS: Final = (
    Place("select", "{world}/pool.jsonl -b 2 --strategy random --out {bad}"),
    Place("export", "{world}/pool.jsonl --out {bad}"),
    Place("contamination", "{world}/pool.jsonl --against {world}/pool.parquet --out {bad}"),
    Place("annotate export", "{world}/pool.jsonl --to csv --out {bad}"),
    Place("annotate export", "{world}/pool.jsonl --to argilla --out {bad}"),
    Place("annotate export", "{world}/pool.jsonl --to hf --out {bad}"),
    Place("annotate import", "{world}/answers.jsonl --selection {world}/pool.jsonl --into {bad}"),
    Place(
        "synth plan",
        "{world}/plan.toml --pool {here}/held.jsonl --out {bad}",
        {"held.jsonl": '{{"prompt": "p", "product": "phone"}}\n'},
    ),
    Place("embed", "{world}/pool.jsonl --out {bad}"),
    Place("score", "{world}/pool.jsonl --model demo --out {bad}"),
    Place("train", "{world}/pool.jsonl --model demo --out {bad}"),
    Place("evaluate", "{world}/pool.jsonl --model demo --out {bad}"),
    Place("annotate teacher", "{world}/pool.jsonl --provider hf --model demo --into {bad}"),
    Place("synth probe", "{world}/synth --command true\\x20{{file}} --out {bad}"),
    Place("demo", "--out {bad}"),
    Place(
        "run",
        "{here}/job.toml --out {bad}",
        {"job.toml": '[pool]\npath = "{world}/pool.jsonl"\n[select]\nbudget = 2\nstrategy = "random"\n'},
    ),
    Place(
        "rounds",
        "{here}/job.toml --out {bad}",
        {
            "job.toml": '[pool]\npath = "{world}/pool.jsonl"\n[select]\nstrategy = "random"\n'
            "[rounds]\nsizes = [1, 1]\n"
        },
    ),
    Place(
        "study",
        "{here}/study.toml --out {bad}",
        {
            "study.toml": 'budgets = [2]\n[[worlds]]\nname = "toy"\nkind = "toy"\nreport = [0]\n'
            '[[arms]]\nname = "random"\n'
        },
    ),
)
"""Commands that write into a folder."""

FILES: Final = (
    Place("synth export", "{world}/synth --out {bad}.jsonl"),
    Place(
        "synth weights",
        "{world}/pool.jsonl --column label --target even=1 --target odd=1 --out {bad}.parquet",
    ),
    Place("tasks", "{world}/pool.jsonl --embeddings {world}/vectors.npy --n-tasks 2 --out {bad}.parquet"),
    Place("init", "{world}/pool.jsonl --out {bad}.toml"),
    Place("report", "{world}/synth --out {bad}.html"),
)
"""Commands that write a file."""

SUFFIXES: Final = (".jsonl", ".parquet", ".toml", ".html")


def _each(make: Callable[[Path], object]) -> Make:
    """Put something into the place of every file that may be written."""

    def made(folder: Path, world: World) -> Path:
        for suffix in SUFFIXES:
            make(folder / f"taken{suffix}")
        return folder / "taken"

    return made


def _in_place(make: Callable[[Path], object], name: str = "taken") -> Make:
    def made(folder: Path, world: World) -> Path:
        make(folder / "taken")
        return folder / name

    return made


def _sealed(path: Path) -> None:
    path.mkdir()
    path.chmod(0o500)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _folder(name: str, what: str, make: Make, said: str, *, may_override: bool = True) -> Kind:
    return Kind(name, what, make, FOLDERS, said, may_override=may_override)


def _file(name: str, what: str, make: Make, said: str, *, may_override: bool = True) -> Kind:
    return Kind(name, what, make, FILES, said, may_override=may_override)


IN_FOLDERS: Final = (
    _folder(
        "out-file",
        "a file in the place of an output folder",
        _in_place(lambda path: path.write_text("kept")),
        "is a file",
    ),
    _folder(
        "out-below-file",
        "an output folder below a file",
        _in_place(lambda path: path.write_text("kept"), "taken/out"),
        "is a file|has a file where a folder is wanted",
    ),
    Kind(
        "out-sealed",
        "an output folder that may not be written",
        _in_place(_sealed),
        FOLDERS[1:],  # `select` writes in a thread of polars, which keeps the rights of root
        "may not be read or written by this user",
        may_override=False,
    ),
    _folder(
        "out-below-sealed",
        "an output folder in one that may not be written",
        _in_place(_sealed, "taken/out"),
        "may not be read or written by this user",
        may_override=False,
    ),
    _folder(
        "out-loop",
        "a loop of links in the place of an output folder",
        _in_place(_loop),
        "is a link that leads back to itself|is a file",
    ),
    _folder("out-pipe", "a named pipe in the place of an output folder", _in_place(os.mkfifo), "is a file"),
    _folder(
        "out-long-name",
        "an output folder with a name of 300 characters",
        lambda folder, world: folder / ("x" * 300),
        "has a name that is too long",
    ),
    _folder(
        "out-no-disk",
        "an output folder that the system will not make",
        lambda folder, world: folder.__class__("/proc/tasksel"),
        "is not there and cannot be made|may not be",
    ),
)
IN_FILES: Final = (
    _file(
        "file-folder",
        "a folder in the place of an output file",
        _each(lambda path: path.mkdir()),
        "is a folder|exists",
    ),
    _file(
        "file-pipe",
        "a named pipe in the place of an output file",
        _each(os.mkfifo),
        "is not a regular file|exists",
    ),
    _file(
        "file-below-file",
        "an output file below a file",
        _in_place(lambda path: path.write_text("kept"), "taken/out"),
        "is a file|has a file where a folder is wanted|There is no folder",
    ),
    _file(
        "file-sealed",
        "an output file in a folder that may not be written",
        _in_place(_sealed, "taken/out"),
        "may not be read or written by this user",
        may_override=False,
    ),
    _file(
        "file-long-name",
        "an output file with a name of 300 characters",
        lambda folder, world: folder / ("x" * 300),
        "has a name that is too long",
    ),
)


def _pool_at(name: str) -> Make:
    """Put the pool where the output would go."""

    def make(folder: Path, world: World) -> Path:
        suffix = name.rpartition(".")[2]
        source = world.folder / ("pool.parquet" if suffix == "parquet" else "pool.jsonl")
        shutil.copyfile(source, folder / name)
        return folder / name

    return make


def _linked(folder: Path, world: World) -> Path:
    shutil.copyfile(world.folder / "pool.parquet", folder / "selected.parquet")
    (folder / "link.parquet").symlink_to(folder / "selected.parquet")
    return folder / "link.parquet"


def _copy_of_run(folder: Path, world: World) -> Path:
    shutil.copytree(world.folder / "run", folder / "run")
    return folder / "run" / "first"


def _copy_of_plan(folder: Path, world: World) -> Path:
    shutil.copytree(world.folder / "synth", folder / "synth")
    return folder / "synth"


OVER: Final = "would overwrite"
IN_INPUTS: Final = (
    Kind(
        "out-in-select",
        "select: the output is the input",
        _pool_at("selected.parquet"),
        (Place("select", "{bad} -b 2 --strategy random --out {here}"),),
        OVER,
    ),
    Kind(
        "out-in-link",
        "select: the output is what a link leads to",
        _linked,
        (Place("select", "{bad} -b 2 --strategy random --out {here}"),),
        OVER,
    ),
    Kind(
        "out-in-tasks",
        "tasks: the output is the input",
        _pool_at("pool.parquet"),
        (Place("tasks", "{bad} --embeddings vector --n-tasks 2 --out {bad}"),),
        OVER,
    ),
    Kind(
        "out-in-export",
        "export: the output is the input",
        _pool_at("train.jsonl"),
        (Place("export", "{bad} --out {here}"),),
        OVER,
    ),
    Kind(
        "out-in-contamination",
        "contamination: the output is the input",
        _pool_at("hits.parquet"),
        (
            Place("contamination", "{bad} --against {world}/pool.jsonl --out {here}"),
            Place("contamination", "{world}/pool.jsonl --against {bad} --out {here}"),
        ),
        OVER,
    ),
    Kind(
        "out-in-annotate",
        "annotate export: the output is the input",
        _pool_at("answers.jsonl"),
        (Place("annotate export", "{bad} --to jsonl --out {here}"),),
        OVER,
    ),
    Kind(
        "out-in-weights",
        "synth weights: the output is the input",
        _pool_at("pool.jsonl"),
        (
            Place("synth weights", "{bad} --column label --target even=1 --target odd=1 --out {bad}"),
            Place("synth weights", "{world}/pool.jsonl --column label --to {bad} --out {bad}"),
        ),
        OVER,
    ),
    Kind(
        "out-in-report",
        "report: the output is a file of the selection",
        _copy_of_run,
        (
            Place("report", "{bad} --out {bad}/manifest.json"),
            Place("report", "{bad} --out {bad}/selected.parquet"),
            Place("report", "{bad} --pool {here}/run/pool.parquet --out {here}/run/pool.parquet"),
        ),
        "exists and is no page|would overwrite",
    ),
    Kind(
        "out-in-records",
        "synth export: the output is the records",
        _copy_of_plan,
        (Place("synth export", "{bad} --out {bad}/generation/records.parquet"),),
        OVER,
    ),
    Kind(
        "out-in-init",
        "init: the output exists",
        lambda folder, world: _made_text(folder / "job.toml"),
        (Place("init", "{world}/pool.jsonl --out {bad}"),),
        "exists; --force",
    ),
    Kind(
        "out-other-stage",
        "synth plan: the folder holds replies to another plan",
        _copy_of_plan,
        (
            Place(
                "synth plan",
                "{here}/plan.toml --out {bad}",
                {"plan.toml": 'total = 7\n[strata.levels]\nproduct = ["a"]\n'},
            ),
        ),
        "holds replies to another plan",
    ),
)


def _made_text(path: Path) -> Path:
    path.write_text("kept")
    return path


KINDS: Final = (*IN_FOLDERS, *IN_FILES, *IN_INPUTS)
