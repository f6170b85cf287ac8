"""The verb ``coverage``: pools in, a table and an exit code out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console

from tasksel.cli_completion import complete_sentence_models
from tasksel.cli_errors import NOT_GOOD_ENOUGH, reported_errors
from tasksel.cli_options import DebugOption, DeviceOption, JsonOption, QuietOption, SeedOption
from tasksel.cli_output import print_json, shown_progress
from tasksel.file_places import file_trouble
from tasksel.suggestions import did_you_mean
from tasksel.terminal_coverage import print_coverage
from tasksel_core.errors import ConfigError, SchemaError

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from tasksel.data_coverage import Coverage

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command("coverage")(coverage_command)


def coverage_command(
    real: Annotated[Path, typer.Argument(help="Real prompts: Parquet, JSONL, JSON or CSV.")],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTH", help="Synthetic prompts, likewise.")],
    *,
    by: Annotated[
        str | None,
        typer.Option(help="Column with a label of the real prompts, as task: sharpens the headline."),
    ] = None,
    dimension: Annotated[
        list[str] | None, typer.Option(help="Column of both pools whose shares are compared; repeatable.")
    ] = None,
    gate: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Exit with 3 where coverage is below.")
    ] = None,
    embeddings_real: Annotated[
        str | None, typer.Option(help="Vectors of the real prompts: a column, .npy, .parquet[:column].")
    ] = None,
    embeddings_synth: Annotated[
        str | None, typer.Option(help="Vectors of the synthetic prompts, of the same model.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Model that embeds where there are no vectors: minilm, or a folder.",
            autocompletion=complete_sentence_models,
        ),
    ] = "minilm",
    device: DeviceOption = "auto",
    exclude: Annotated[
        Path | None,
        typer.Option(help="File of ids, one a line: real prompts that the synthetic ones were made from."),
    ] = None,
    clusters: Annotated[int, typer.Option(min=1, help="Clusters of the table of gaps.")] = 50,
    legacy_score: Annotated[
        bool, typer.Option("--legacy-score", help="Also the popular number, which should not decide.")
    ] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure how much of the real prompts' mass the synthetic ones cover, and where they fall short."""
    from tasksel.data_coverage import LEGACY_WARNING, coverage
    from tasksel.data_coverage import legacy_score as popular_score
    from tasksel.pool import load_pool

    with reported_errors(debug=debug, stopped="Nothing was written."):
        if (embeddings_real is None) != (embeddings_synth is None):
            raise ConfigError(
                "--embeddings-real and --embeddings-synth belong together: vectors of two models cannot be "
                "compared."
            )
        ours, theirs = load_pool(real).frame, load_pool(synthetic).frame
        names = dimension or []
        labels = None if by is None else _labels(ours, by, "the real pool")
        dimensions = {
            name: (_labels(ours, name, "the real pool"), _labels(theirs, name, "the synthetic pool"))
            for name in names
        }
        excluded = None if exclude is None else _excluded_rows(exclude, ours)
        shown = not (quiet or as_json)
        vectors = _vectors(ours, theirs, (embeddings_real, embeddings_synth), model, device, shown=shown)
        found = coverage(
            *vectors,
            real_tasks=labels,
            synthetic_tasks=theirs[by].to_list() if by is not None and by in theirs.columns else None,
            dimensions=dimensions,
            exclude_rows=excluded,
            n_clusters=clusters,
            seed=seed,
        )
        legacy = popular_score(*vectors, seed=seed) if legacy_score else None
        if as_json:
            print_json(_account(found, ours, gate, legacy, LEGACY_WARNING))
        elif not quiet:
            print_coverage(Console(), found, ours, gate=gate, legacy=legacy)
    if gate is not None and not found.passes(gate):
        raise typer.Exit(NOT_GOOD_ENOUGH)


def _labels(frame: pl.DataFrame, column: str, where: str) -> list[Any]:
    if column not in frame.columns:
        hint = did_you_mean(column, frame.columns)
        raise SchemaError(
            f"There is no column {column!r} in {where}; it has {', '.join(frame.columns)}.{hint}"
        )
    return frame[column].to_list()


def _excluded_rows(path: Path, real: pl.DataFrame) -> npt.NDArray[np.int64]:
    trouble = file_trouble(path)
    if trouble in ("does not exist", "is a folder"):
        raise SchemaError(f"There is no file {path} with ids to leave out.")
    if trouble is not None:
        raise SchemaError(f"The file {path} {trouble}; a text file with ids to leave out is wanted.")
    try:
        ids = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is no text file of ids ({error}).") from None
    place = {each: row for row, each in enumerate(real["id"].to_list())}
    unknown = [each for each in ids if each not in place]
    if unknown:
        raise SchemaError(
            f"{path}: {len(unknown)} of {len(ids)} ids are not in the real pool; the first is {unknown[0]!r}."
        )
    return np.array(sorted({place[each] for each in ids}), dtype=np.int64)


def _vectors(
    real: pl.DataFrame,
    synthetic: pl.DataFrame,
    sources: tuple[str | None, str | None],
    model: str,
    device: str,
    *,
    shown: bool,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    from tasksel.embedding import read_embeddings

    if sources[0] is not None and sources[1] is not None:
        return read_embeddings(sources[0], real), read_embeddings(sources[1], synthetic)
    from tasksel.sentence_embedding import embed_sentences, load_sentence_model

    sentence_model = load_sentence_model(model, device=device)
    texts = [*real["prompt"].to_list(), *synthetic["prompt"].to_list()]
    with shown_progress("Embedding", "prompts", shown=shown) as progress:
        both = embed_sentences(sentence_model, texts, progress=progress)
    return both[: real.height], both[real.height :]


def _account(
    found: Coverage, real: pl.DataFrame, gate: float | None, legacy: float | None, warning: str
) -> dict[str, Any]:
    ids = real["id"].to_list()
    account = found.to_dict()
    for table in ("clusters", "gaps"):
        for row in account[table]:
            row["exemplar_ids"] = [ids[each] for each in row["exemplars"]]
    account["gate"] = None if gate is None else {"at_least": gate, "passed": found.passes(gate)}
    if legacy is not None:
        account["legacy_score"] = {"value": legacy, "warning": warning}
    return account
