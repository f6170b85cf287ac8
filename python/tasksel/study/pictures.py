"""The pictures of a finished study as files beside its page."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from tasksel.study.plots import save_chart
from tasksel.study.result_plots import UNIFORM
from tasksel_core.errors import MissingExtraError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tasksel.study.results import StudyResult

__all__ = ["draw_pictures", "list_pictures"]


def draw_pictures(result: StudyResult) -> list[tuple[str, str]]:
    """Write the SVG files of a study into its folder; none where the extra ``plots`` is not installed.

    Parameters
    ----------
    result : StudyResult
        What was found.

    Returns
    -------
    list of (str, str)
        File name and description of each picture, in the order of the page.
    """
    pictures = []
    for name, description, chart in list_pictures(result):
        try:
            save_chart(chart(), result.folder / f"{name}.svg")
        except MissingExtraError:
            return []
        except SchemaError:  # there is nothing to draw
            continue
        pictures.append((f"{name}.svg", description))
    return pictures


def list_pictures(result: StudyResult) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield name, description and maker of each picture; SchemaError where a maker has nothing to draw."""
    metric = result.study.primary
    yield "scores", f"Macro {metric} of each arm", result.plot_scores_by_budget
    yield "differences", f"Paired differences in macro {metric}", result.plot_differences
    yield (
        "efficiency",
        f"Labels that random needs for the same macro {metric}",
        result.plot_label_efficiency,
    )
    for world in result.worlds_with_gains():
        yield (
            f"gains-{re.sub(r'[^A-Za-z0-9.-]', '-', world)}",
            f"Gain in {metric} of each task of {world} under {UNIFORM}, by its confidence before",
            partial(result.plot_gains_by_confidence, world),
        )
