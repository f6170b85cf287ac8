"""Folders that tasksel wrote, malformed since: selections, shards of a stage, labels, plans with records."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from .kind import Kind
from .places import LABELS, PLANS, SELECTIONS, SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .kind import Make, Place
    from .world import World

__all__ = ["KINDS"]

Damage = "Callable[[Path], object]"


def _copied(name: str, damage: Callable[[Path], object]) -> Make:
    """Copy a folder of what is in order, and damage the copy."""

    def make(folder: Path, world: World) -> Path:
        copy = folder / Path(name).name
        shutil.copytree(world.folder / name, copy)
        damage(copy)
        return copy

    return make


def _cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:40])


def _text(name: str, text: str | bytes) -> Callable[[Path], object]:
    raw = text if isinstance(text, bytes) else text.encode()
    return lambda folder: (folder / name).write_bytes(raw)


def _gone(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _folder_in_place(name: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return damage


def _changed(name: str, **changes: Any) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(content | changes), encoding="utf-8")

    return damage


def _foreign(name: str) -> Callable[[Path], object]:
    """Put a whole file of another run in the place of one."""
    return lambda folder: pl.DataFrame({"id": ["x"], "prompt": ["y"]}).write_parquet(folder / name)


def _loop(name: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return damage


def _kinds(
    stem: str,
    noun: str,
    source: str,
    places: tuple[Place, ...],
    damages: dict[str, tuple[str, Callable[[Path], object], str]],
) -> tuple[Kind, ...]:
    return tuple(
        Kind(f"{stem}-{name}", f"{noun}: {what}", _copied(source, damage), places, said)
        for name, (what, damage, said) in damages.items()
    )


SELECTION_KINDS: Final = _kinds(
    "selection",
    "selection",
    "run/first",
    SELECTIONS,
    {
        "no-manifest": ("no manifest", _gone("manifest.json"), r"holds (no|nothing)"),
        "manifest-cut": (
            "a manifest, cut short",
            _cut("manifest.json"),
            r"manifest\.json cannot be read as JSON",
        ),
        "manifest-list": (
            "a manifest that is a list",
            _text("manifest.json", "[]"),
            r"manifest\.json holds list",
        ),
        "manifest-deep": (
            "a manifest nested 100,000 levels deep",
            _text("manifest.json", "[" * 100_000),
            r"manifest\.json cannot be read as JSON",
        ),
        "manifest-empty": (
            "a manifest that says nothing",
            _text("manifest.json", "{}"),
            r"stage|no (report|finished)|nothing",
        ),
        "version": (
            "of a tasksel of the future",
            _changed("manifest.json", format_version=99),
            "has format 99, this tasksel knows",
        ),
        "version-list": ("a version that is a list", _changed("manifest.json", format_version=[1]), "format"),
        "files-list": (
            "a list of files that is a number",
            _changed("manifest.json", files=3),
            "is not as tasksel wrote it: files is 3, where an object stands",
        ),
        "figures-text": (
            "figures that are text",
            _changed("manifest.json", figures="x"),
            "is not as tasksel wrote it: figures is 'x', where an object stands",
        ),
        "cut": (
            "selected.parquet, cut short",
            _cut("selected.parquet"),
            r"selected\.parquet is not as it was written",
        ),
        "foreign": (
            "a file of another selection",
            _foreign("selected.parquet"),
            r"selected\.parquet is not as it was written",
        ),
        "gone": ("allocation.csv is missing", _gone("allocation.csv"), r"allocation\.csv is missing"),
        "folder": (
            "a folder in the place of a file",
            _folder_in_place("selected.parquet"),
            r"selected\.parquet",
        ),
        "loop": ("a loop of links in the place of a file", _loop("selected.parquet"), r"selected\.parquet"),
        "manifest-loop": ("a loop of links in the place of the manifest", _loop("manifest.json"), r"\S"),
    },
)
SHARD_KINDS: Final = _kinds(
    "shards",
    "vectors in shards",
    "embedded",
    SHARDS,
    {
        "no-manifest": ("no manifest", _gone("embeddings/manifest.json"), "manifest|not finished|unfinished"),
        "manifest-cut": ("a manifest, cut short", _cut("embeddings/manifest.json"), "manifest"),
        "manifest-list": ("shards that are a number", _changed("embeddings/manifest.json", shards=3), r"\S"),
        "version": (
            "of a tasksel of the future",
            _changed("embeddings/manifest.json", format_version=99),
            "format",
        ),
        "cut": ("a shard, cut short", _cut("embeddings/part-00000.parquet"), "part-00000"),
        "foreign": ("a shard of another run", _foreign("embeddings/part-00000.parquet"), "part-00000"),
        "gone": ("a shard is missing", _gone("embeddings/part-00000.parquet"), "part-00000"),
        "folder": (
            "a folder in the place of a shard",
            _folder_in_place("embeddings/part-00000.parquet"),
            "part-00000",
        ),
        "loop": (
            "a loop of links in the place of a shard",
            _loop("embeddings/part-00000.parquet"),
            "part-00000",
        ),
    },
)
LABEL_KINDS: Final = _kinds(
    "labels",
    "labels",
    "labels",
    LABELS,
    {
        "manifest-cut": ("a manifest, cut short", _cut("labels/manifest.json"), r"manifest\.json"),
        "import-cut": ("an import, cut short", _cut("labels/imports/0001.parquet"), "Import 1|0001"),
        "import-gone": ("an import is missing", _gone("labels/imports/0001.parquet"), "Import 1|0001"),
        "record-list": (
            "the record of an import is a list",
            _text("labels/imports/0001.json", "[]"),
            r"0001\.json",
        ),
        "record-empty": (
            "the record of an import says nothing",
            _text("labels/imports/0001.json", '{"format_version": 1}'),
            r"\S",
        ),
        "prompts-foreign": ("prompts of another run", _foreign("labels/prompts.parquet"), r"\S"),
    },
)
PLAN_KINDS: Final = (
    *_kinds(
        "plan",
        "plan",
        "synth",
        tuple(each for each in PLANS if each.verb != "synth export"),
        {
            "config-cut": (
                "a configuration, cut short",
                _cut("plan/config.json"),
                r"config\.json cannot be read as JSON",
            ),
            "config-list": (
                "a configuration that is a list",
                _text("plan/config.json", "[]"),
                r"config\.json holds list",
            ),
            "config-empty": (
                "a configuration that says nothing",
                _text("plan/config.json", "{}"),
                r"config\.json is not what tasksel wrote",
            ),
            "examples-cut": (
                "planned examples, cut short",
                _cut("plan/examples.parquet"),
                r"examples\.parquet cannot be read",
            ),
            "manifest-cut": (
                "a manifest, cut short",
                _cut("plan/manifest.json"),
                r"manifest\.json cannot be read as JSON",
            ),
            "gone": (
                "no plan",
                lambda folder: shutil.rmtree(folder / "plan"),
                r"no plan|nothing that a report|a folder without plan/",
            ),
        },
    ),
    *_kinds(
        "plan",
        "plan",
        "synth",
        tuple(each for each in PLANS if each.verb not in ("synth export", "report")),
        {
            "examples-foreign": (
                "planned examples of another plan",
                _foreign("plan/examples.parquet"),
                r"examples\.parquet is not as .* column 'plan_id' is missing; `tasksel synth plan",
            ),
        },
    ),
    *_kinds(
        "records",
        "records of a synthesis",
        "synth",
        tuple(each for each in PLANS if each.verb not in ("synth status", "synth run", "synth reparse")),
        {
            "cut": ("cut short", _cut("generation/records.parquet"), r"records\.parquet cannot be read"),
            "foreign": (
                "of another run",
                _foreign("generation/records.parquet"),
                r"records\.parquet is not as .* column 'plan_id' is missing; `tasksel synth reparse",
            ),
        },
    ),
    *_kinds(
        "records",
        "records of a synthesis",
        "synth",
        tuple(
            each
            for each in PLANS
            if each.verb in ("synth export", "synth validate", "synth edge", "synth probe")
        ),
        {
            "gone": (
                "not there",
                _gone("generation/records.parquet"),
                r"There is no .*records|holds no records",
            ),
        },
    ),
)

STRAY: Final = Kind(
    "shards-stray",
    "vectors in shards: a shard too many",
    _copied(
        "embedded",
        lambda run: shutil.copyfile(
            run / "embeddings/part-00000.parquet", run / "embeddings/part-00007.parquet"
        ),
    ),
    SHARDS[:1],
    check=lambda meeting: None,
)

KINDS: Final = (*SELECTION_KINDS, *SHARD_KINDS, STRAY, *LABEL_KINDS, *PLAN_KINDS)
