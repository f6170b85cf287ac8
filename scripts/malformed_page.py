"""Write the table of docs/trust/malformed_inputs.md from the registry of malformed inputs.

``python scripts/malformed_page.py`` tries each kind at the first verb that meets it, and puts what is printed
into the table. ``tests/test_malformed_inputs.py`` says where the page is not what it would write.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from marked_tables import write_between_marks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from malformed import FAMILIES, KINDS, make_world
from malformed.meeting import complaints, sentence
from malformed.trial import try_kind

if TYPE_CHECKING:
    from malformed import Kind, Meeting

PAGE: Final = Path(__file__).parents[1] / "docs" / "trust" / "malformed_inputs.md"
MARK: Final = "malformed inputs"
_LONGEST: Final = 150
_MOST_VERBS: Final = 4
_FOREIGN: Final = (
    (re.compile(r"\((?:[^() ]+ ){3,}[^()]*(?:\([^()]*\)[^()]*)*\)"), "(…)"),
    (re.compile(r"(is not TOML|cannot be read|cannot be loaded|that can be read): (?!it ).*"), r"\1: …"),
)
"""Where the words of a library may stand, which change with its version."""


def row(kind: Kind, meeting: Meeting) -> str:
    """Return the line of a kind, from what its first verb has printed."""
    return f"| {kind.what} | {_verbs(kind)} | {_outcome(kind, meeting)} |"


def _verbs(kind: Kind) -> str:
    names = list(dict.fromkeys(place.verb for place in kind.places))
    if len(names) <= _MOST_VERBS:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} more"


def _outcome(kind: Kind, meeting: Meeting) -> str:
    if kind.refused is None:
        return "read all the same"
    said = sentence(meeting)
    first = re.split(r"(?<=[.?]) (?=[A-Z])", said)[0]
    for pattern, shown in _FOREIGN:
        first = pattern.sub(shown, first)
    first = first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1].rstrip()}…"
    return "“" + re.sub(r"([|<*_`\\])", r"\\\1", first) + "”"


def figures() -> str:
    """Return the sentence with the figures of the registry."""
    n_cells = sum(len(kind.places) for kind in KINDS)
    n_read = sum(kind.refused is None for kind in KINDS)
    n_verbs = len({place.verb for kind in KINDS for place in kind.places})
    return (
        f"{len(KINDS)} kinds meet {n_verbs} verbs, {n_cells:,} commands in all; {len(KINDS) - n_read} kinds "
        f"are refused and {n_read} are read all the same."
    )


def tables() -> str:
    """Try every kind once and return the tables."""
    lines = [figures()]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "world").mkdir()
        world = make_world(Path(folder) / "world")
        for family, kinds in FAMILIES.items():
            lines += [
                "",
                f"### {family}",
                "",
                "| What it is | Verbs that meet it | What happens |",
                "|---|---|---|",
            ]
            for kind in kinds:
                trial = try_kind(kind, kind.places[0], world, Path(folder) / kind.name)
                if kind.refused is not None and complaints(kind, trial.meeting):
                    sys.exit(f"{kind.name} is not refused as it should be: {trial.meeting.stderr}")
                lines.append(row(kind, trial.meeting))
    return "\n".join(lines)


def main() -> None:
    """Put the tables between the marks of the page."""
    write_between_marks(PAGE, MARK, tables())


if __name__ == "__main__":
    main()
