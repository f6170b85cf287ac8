"""Settings that people write: jobs, studies and plans in TOML, models in folders."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Final

from .kind import Kind, Place
from .pools_text import holding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .kind import Make
    from .world import World

__all__ = ["KINDS"]

CONFIGS: Final = (
    Place("run", "{bad} --out {out}"),
    Place("run", "{bad} --dry-run --out {out}"),
    Place("study", "{bad} --out {out}"),
    Place("synth plan", "{bad} --out {out}"),
)
ROUNDS: Final = Place("rounds", "{bad} --out {out}")
JOBS: Final = CONFIGS[:2]
MODELS: Final = (
    Place("score", "{world}/pool.jsonl --model {bad} --out {out}"),
    Place("train", "{world}/pool.jsonl --model {bad} --out {out}"),
    Place("evaluate", "{world}/pool.jsonl --model {bad} --out {out}"),
    Place("annotate teacher", "{world}/pool.jsonl --provider hf --model {bad} --into {out}"),
)


def _config(
    name: str, what: str, content: bytes | str, said: str, places: tuple[Place, ...] = CONFIGS
) -> Kind:
    return Kind(
        name, what, holding("job.toml", content), (*places, ROUNDS) if places is CONFIGS else places, said
    )


def _job(name: str, what: str, text: str, said: str) -> Kind:
    return _config(name, what, text, said, JOBS)


GOOD: Final = '[pool]\npath = "pool.jsonl"\n[select]\nbudget = 2\nstrategy = "random"\n'
TOML: Final = (
    Kind(
        "toml-missing",
        "settings that do not exist",
        lambda folder, world: folder / "job.toml",
        (*CONFIGS, ROUNDS),
        r"job\.toml cannot be read: No such file",
    ),
    Kind(
        "toml-folder",
        "a folder in the place of settings",
        lambda folder, world: _made(folder / "job.toml"),
        (*CONFIGS, ROUNDS),
        r"job\.toml cannot be read: Is a directory",
    ),
    Kind(
        "toml-pipe",
        "a named pipe in the place of settings",
        lambda folder, world: _pipe(folder / "job.toml"),
        (*CONFIGS, ROUNDS),
        "is not a regular file",
    ),
    _config(
        "toml-cut",
        "TOML, cut in a value",
        '[pool]\npath = "po',
        r"is not TOML: Unterminated string \(at end of document\)",
    ),
    _config(
        "toml-latin-1",
        "TOML in Latin-1",
        'title = "café"\n'.encode("latin-1"),
        "is not UTF-8 \\(byte 0xe9 at offset 12\\)",
    ),
    _config("toml-utf-16", "TOML in UTF-16", GOOD.encode("utf-16"), "is not UTF-8"),
    _config("toml-nul", "NUL in TOML", "[pool]\0\n", r"is not TOML"),
    _config(
        "toml-key-twice",
        "a key that stands twice",
        "[pool]\npath = 'a'\npath = 'b'\n",
        "is not TOML: .*overwrite|twice",
    ),
    _config(
        "toml-deep",
        "lists nested 10,000 levels deep",
        "x = " + "[" * 10_000 + "]" * 10_000 + "\n",
        "nested too deeply",
    ),
    _config("toml-empty", "settings of 0 bytes", "", r"\S"),
    _config(
        "toml-unknown-key",
        "a key that there is not",
        "[poool]\npath = 'x'\n",
        r"'poool'|no section \[rounds\]",
    ),
    _config("toml-huge-integer", "an integer of 5,000 digits", "seed = " + "1" * 5_000 + "\n", "is not TOML"),
)
JOB_KINDS: Final = (
    _job("job-budget-text", "a budget that is text", GOOD.replace("budget = 2", 'budget = "two"'), "budget"),
    _job("job-budget-nan", "a budget that is NaN", GOOD.replace("budget = 2", "budget = nan"), "budget"),
    _job(
        "job-budget-huge", "a budget beyond 64 bits", GOOD.replace("budget = 2", f"budget = {2**70}"), r"\S"
    ),
    _job("job-pool-list", "a pool that is a list", GOOD.replace('path = "pool.jsonl"', "path = []"), "path"),
    _job(
        "job-section-list",
        "a section that is a number",
        GOOD.replace("[select]", "[select]\n[score]\nmodel = 3\n[train]"),
        r"\S",
    ),
    _job("job-pool-missing", "a job whose pool does not exist", GOOD, "does not exist"),
)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _model(change: Callable[[Path], None]) -> Make:
    """Copy the folder of the embedded model, and change the copy."""

    def make(folder: Path, world: World) -> Path:
        from tasksel.assets import embedded_model_path

        path = folder / "model"
        path.mkdir()
        for source in embedded_model_path().iterdir():
            shutil.copyfile(source, path / source.name)
        change(path)
        return path

    return make


def _configured(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    (path / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


MODEL_KINDS: Final = (
    Kind(
        "model-missing",
        "a model folder that does not exist",
        lambda folder, world: folder / "model",
        MODELS,
        "There is no model folder",
    ),
    Kind(
        "model-file",
        "a file in the place of a model",
        holding("model", "x"),
        MODELS,
        "is a file; the folder that holds config.json is wanted",
    ),
    Kind(
        "model-empty",
        "an empty folder",
        lambda folder, world: _made(folder / "model"),
        MODELS,
        "holds no model: it has no config.json",
    ),
    Kind(
        "model-config-cut",
        "a configuration, cut short",
        _model(lambda path: (path / "config.json").write_text('{"model_ty') and None),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-config-list",
        "a configuration that is a list",
        _model(lambda path: (path / "config.json").write_text("[]") and None),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-architecture",
        "an architecture that there is not",
        _model(lambda path: _configured(path, model_type="nonesuch", architectures=["Nonesuch"])),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-no-weights",
        "no weights",
        _model(lambda path: [each.unlink() for each in path.glob("*.safetensors")] and None),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-weights-cut",
        "weights, cut short",
        _model(
            lambda path: (
                [each.write_bytes(each.read_bytes()[:1000]) for each in path.glob("*.safetensors")] and None
            )
        ),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-weights-json",
        "weights whose header says 2⁶³ bytes",
        _model(
            lambda path: (
                [
                    each.write_bytes(b"\xff" * 7 + b"\x7f" + each.read_bytes()[8:])
                    for each in path.glob("*.safetensors")
                ]
                and None
            )
        ),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-pickle",
        "pickled weights",
        _model(
            lambda path: (
                [each.rename(path / "pytorch_model.bin") for each in path.glob("*.safetensors")] and None
            )
        ),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-tokenizer-cut",
        "a tokenizer, cut short",
        _model(lambda path: (path / "tokenizer.json").write_text('{"version') and None),
        MODELS,
        r"\S",
    ),
    Kind(
        "model-wrong-shape",
        "weights of another shape than the configuration says",
        _model(lambda path: _configured(path, hidden_size=64, intermediate_size=96)),
        MODELS,
        r"\S",
    ),
)

KINDS: Final = (*TOML, *JOB_KINDS, *MODEL_KINDS)
