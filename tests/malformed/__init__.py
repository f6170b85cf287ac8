"""Malformed input: every kind that is met by a verb, how it is made, and what must happen.

`KINDS` is the registry, of which ``tests/test_malformed_inputs.py`` tries every kind at every place and
``scripts/malformed_page.py`` writes the table of ``docs/trust/malformed_inputs.md``.
"""

from __future__ import annotations

from typing import Final

from . import folders, inputs, outputs, pools_parquet, pools_text, settings, stand_ins, texts
from .kind import Kind, Meeting, Place
from .meeting import complaints, meet, sentence, snapshot, verbs
from .world import World, make_world

__all__ = [
    "FAMILIES",
    "KINDS",
    "UNMET_VERBS",
    "Kind",
    "Meeting",
    "Place",
    "World",
    "complaints",
    "make_world",
    "meet",
    "sentence",
    "snapshot",
    "verbs",
]

FAMILIES: Final = {
    "Pools: encodings": pools_text.ENCODINGS,
    "Pools: JSON Lines": pools_text.JSON_LINES,
    "Pools: JSON": pools_text.JSON,
    "Pools: CSV and TSV": pools_text.CSV,
    "Pools: Parquet": pools_parquet.KINDS,
    "What stands in the place of a file": stand_ins.KINDS,
    "Scores": inputs.SCORE_KINDS,
    "Vectors": inputs.VECTOR_KINDS,
    "Answers of annotators": inputs.ANSWER_KINDS,
    "Other files": texts.KINDS,
    "Settings in TOML": (*settings.TOML, *settings.JOB_KINDS),
    "Model folders": settings.MODEL_KINDS,
    "Folders that tasksel wrote": folders.KINDS,
    "Places to write to": (*outputs.IN_FOLDERS, *outputs.IN_FILES),
    "The output is the input": outputs.IN_INPUTS,
}
"""The kinds under the headings of the table."""

KINDS: Final = tuple(kind for kinds in FAMILIES.values() for kind in kinds)

UNMET_VERBS: Final = frozenset({"strategies"})
"""Verbs that read and write no file."""
