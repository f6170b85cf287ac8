"""What a validation looks at: the plan of a run, its records, real rows, and vectors of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tasksel.embedding import embeddings_sha256, read_embeddings
from tasksel.polars_panics import panics_kept_quiet
from tasksel.pool import Pool, load_pool
from tasksel.pool_files import scan_file
from tasksel.run_folder import file_sha256
from tasksel.synthesis.checkers import checked_dimensions, read_items
from tasksel.synthesis.config_file import EXAMPLES_NAME, PLAN_FOLDER, read_planned_config
from tasksel.synthesis.records import GENERATION_FOLDER, RECORDS_NAME, read_all_records
from tasksel.synthesis.run_files import read_examples
from tasksel_core.errors import ConfigError, ResumeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tasksel.pool import PoolSource
    from tasksel.synthesis.config import SynthesisConfig

__all__ = ["ValidationInputs", "read_inputs", "written_text"]

_PLAN_COLUMNS: Final = ("plan_id", "tier", "stratum", "edge")
_TEXT_COLUMNS: Final = ("id", "plan_id", "prompt", "response", "item", "edge", "task", "stratum")


@dataclass(frozen=True, eq=False)
class ValidationInputs:
    """What is looked at, row by row.

    Attributes
    ----------
    config : SynthesisConfig
    tier : int
        The tier whose planned examples count.
    planned : pl.DataFrame
        These examples.
    records : pl.DataFrame
        Records of them, the first of each, with the plan's ``stratum``, ``edge``, levels and dimensions.
    items : list
        The item of each record, or None.
    texts : list of str
        What was written for each record: the texts of its item, else its prompt.
    vectors : ndarray of float32 or None
        One row a record.
    real : Pool or None
    real_vectors : ndarray of float32 or None
    n_unknown, n_repeated : int
        Records left out: of no planned example, of one that another record has.
    described : dict
        Names and hashes of what was read.
    """

    config: SynthesisConfig
    tier: int
    planned: pl.DataFrame
    records: pl.DataFrame
    items: list[Any]
    texts: list[str]
    vectors: NDArray[np.float32] | None
    real: Pool | None
    real_vectors: NDArray[np.float32] | None
    n_unknown: int = 0
    n_repeated: int = 0
    described: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ordinary(self) -> NDArray[np.bool_]:
        """Which records are no edge cases, shape (n_records,)."""
        return self.records["edge"].is_null().to_numpy()


def read_inputs(
    run: Path,
    *,
    records: Path | None = None,
    real: PoolSource | None = None,
    synthetic_embeddings: str | Path | NDArray[Any] | None = None,
    real_embeddings: str | Path | NDArray[Any] | None = None,
    embedding_model: str | None = None,
    tier: int | None = None,
) -> ValidationInputs:
    """Read everything that is given, and join the records to the plan.

    Parameters
    ----------
    run : Path
        Run folder with a plan.
    records : Path, optional
        A Parquet, JSONL, JSON or CSV file; by default the records of the run.
    real : path, frame or Pool, optional
        Real rows, labelled where a classifier is to learn from them.
    synthetic_embeddings, real_embeddings : column, path or ndarray, optional
        One vector a record, and a real row, as `tasksel.embedding.read_embeddings` takes them.
    embedding_model : str, optional
        Model whose mean hidden states are the embeddings where none are given (extra hf).
    tier : int, optional
        Look at the examples of this tier; by default the smallest that holds all records.

    Returns
    -------
    ValidationInputs

    Raises
    ------
    ResumeError
        The run has no plan or no records.
    SchemaError
        A file lacks columns or cannot be read.
    ConfigError
        The tier is none of the plan's, or embeddings are given in two ways.
    """
    if embedding_model is not None and (synthetic_embeddings is not None or real_embeddings is not None):
        raise ConfigError("Give embeddings or the model that makes them, not both.")
    if real_embeddings is not None and real is None:
        raise ConfigError("Embeddings of real rows want the real rows too; name the real pool.")
    config = read_planned_config(run)
    planned = _read_planned(run, config)
    path = run / GENERATION_FOLDER / RECORDS_NAME if records is None else records
    if records is None and not path.exists():
        raise ResumeError(
            f"{run} holds no records; `tasksel synth run {run}` writes them, --records names others."
        )
    frame = _check_records(read_all_records(run), path) if records is None else _read_records(path)
    kept, joined = _join(frame, planned, config)
    chosen = _choose_tier(tier, joined, planned, config)
    planned = planned.filter(pl.col("tier") <= chosen)
    in_tier = joined["plan_id"].is_in(planned["plan_id"].implode()).to_numpy()
    pool = None if real is None else load_pool(real)
    vectors, real_vectors = _read_vectors(frame, pool, synthetic_embeddings, real_embeddings, embedding_model)
    joined, rows = joined.filter(pl.Series(in_tier, dtype=pl.Boolean)), kept.rows[in_tier]
    items = read_items(joined)
    checks = (each.check for each in checked_dimensions(config))
    labels = {check.field for check in checks if check is not None and check.kind == "rule"}
    described = {
        "records": {"name": path.name, "rows": frame.height, "sha256": file_sha256(path)},
        "plan": {"name": config.name, "sha256": file_sha256(run / PLAN_FOLDER / EXAMPLES_NAME)},
        "real": None
        if pool is None
        else {"name": pool.name, "rows": pool.frame.height, "sha256": pool.sha256},
        "embeddings": [None if each is None else embeddings_sha256(each) for each in (vectors, real_vectors)],
    }
    return ValidationInputs(
        config,
        chosen,
        planned,
        joined,
        items,
        [
            written_text(item, prompt, without=labels)
            for item, prompt in zip(items, joined["prompt"], strict=True)
        ],
        None if vectors is None else vectors[rows],
        pool,
        real_vectors,
        kept.n_unknown,
        kept.n_repeated,
        described,
    )


def written_text(item: Any, prompt: str | None, *, without: Collection[str] = ()) -> str:
    r"""Return what a model wrote: the texts of the item, one a line, or the prompt where there is no item.

    The template of a prompt would make all texts alike, and so would the labels among an item's fields:
    fields of the names in `without` are left out.

    Examples
    --------
    >>> written_text({"text": "Too slow.", "rating": 2, "tags": ["app"]}, "Rate: Too slow.")
    'Too slow.\napp'
    >>> written_text(None, "Rate: Too slow.")
    'Rate: Too slow.'
    """
    found: list[str] = []
    waiting = [item]
    if isinstance(item, dict):
        waiting = [each for name, each in item.items() if name not in without]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict):
            waiting = [*each.values(), *waiting]
        elif isinstance(each, list):
            waiting = [*each, *waiting]
    return "\n".join(found) if found else prompt or ""


@dataclass(frozen=True, eq=False)
class _Kept:
    """Rows of the records file that are looked at, and how many are not."""

    rows: NDArray[np.int64]
    n_unknown: int
    n_repeated: int


def _read_planned(run: Path, config: SynthesisConfig) -> pl.DataFrame:
    planned = read_examples(run)
    names = [*_PLAN_COLUMNS, *config.strata.levels, *(each.name for each in config.dimensions)]
    missing = [name for name in names if name not in planned.columns]
    if missing:
        raise ResumeError(f"{run / PLAN_FOLDER / EXAMPLES_NAME} has no column {missing[0]!r}; plan again.")
    return planned


def _read_records(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        try:
            with panics_kept_quiet():
                frame = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise SchemaError(f"The records {path.name} cannot be read as Parquet.") from error
    else:
        frame = scan_file(path, text_columns=_TEXT_COLUMNS, eager=True).frame.collect()
    return _check_records(frame, path)


def _check_records(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    if "prompt" not in frame.columns:
        raise SchemaError(
            f"The records {path.name} have no column 'prompt'; they have {_listed(frame.columns)}."
        )
    nulls = frame["prompt"].null_count()
    if nulls:
        raise SchemaError(f"{nulls:,} of the records in {path.name} have no prompt.")
    texts = [_as_text(name, frame.schema[name]) for name in _TEXT_COLUMNS if name in frame.columns]
    try:
        return frame.with_columns(texts)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"The records {path.name} have columns that are no text ({error}).") from error


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Give a column as text; items that a file holds as objects become JSON again."""
    column = pl.col(name)
    return column.struct.json_encode() if isinstance(dtype, pl.Struct) else column.cast(pl.String)


def _join(frame: pl.DataFrame, planned: pl.DataFrame, config: SynthesisConfig) -> tuple[_Kept, pl.DataFrame]:
    """Give each record its planned example; without plan ids the record's own columns stand for the plan."""
    columns = [*config.strata.levels, *(each.name for each in config.dimensions)]
    if "plan_id" not in frame.columns:
        raise SchemaError(
            f"The records have no column 'plan_id', by which they belong to the plan; they have "
            f"{_listed(frame.columns)}."
        )
    rows = frame.select("plan_id", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    known = rows.filter(pl.col("plan_id").is_in(planned["plan_id"].implode()))
    first = known.unique("plan_id", keep="first", maintain_order=True)
    kept = first["row"].to_numpy()
    own = frame[kept].drop([name for name in (*columns, "edge", "stratum", "tier") if name in frame.columns])
    joined = own.join(
        planned.select(*_PLAN_COLUMNS, *columns), on="plan_id", how="left", maintain_order="left"
    )
    for name in ("response", "item"):
        if name not in joined.columns:
            joined = joined.with_columns(pl.lit(None, dtype=pl.String).alias(name))
    return _Kept(kept, frame.height - known.height, known.height - first.height), joined


def _choose_tier(
    tier: int | None, joined: pl.DataFrame, planned: pl.DataFrame, config: SynthesisConfig
) -> int:
    tiers = sorted(set(planned["tier"].drop_nulls().to_list())) or [config.total]
    if tier is not None:
        if tier not in tiers:
            raise ConfigError(f"The tier is {tier}; the plan has {', '.join(map(str, tiers))}.")
        return tier
    highest = joined["tier"].max()
    return tiers[0] if highest is None else int(highest)  # type: ignore[arg-type]


def _read_vectors(
    frame: pl.DataFrame,
    real: Pool | None,
    synthetic: str | Path | NDArray[Any] | None,
    real_source: str | Path | NDArray[Any] | None,
    model: str | None,
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    if model is not None:
        return _embed(model, frame, real)
    return (
        None if synthetic is None else read_embeddings(synthetic, frame),
        None if real_source is None or real is None else read_embeddings(real_source, real.frame),
    )


def _embed(
    model: str, frame: pl.DataFrame, real: Pool | None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    from tasksel.causal_model import load_model
    from tasksel.hidden_states import embed_hidden_states

    loaded = load_model(model)
    prompts = [frame, *([] if real is None else [real.frame])]
    vectors = [embed_hidden_states(loaded, each["prompt"].to_list()) for each in prompts]
    return vectors[0], vectors[1] if real is not None else None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) or "none"
