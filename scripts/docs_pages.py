"""Run the blocks of code on pages of documentation; CONTRIBUTING.md has the convention.

A block of ``sh`` or ``python`` runs, in the order of the page, in a folder of its own; a block of ``text``
right after it is what it prints. ``toml`` and ``json`` are parsed. A comment before a block says more:
``<!-- file: NAME -->`` writes it to that file, ``<!-- not run: REASON -->`` keeps it from running.

``python scripts/docs_pages.py docs/quickstart.md`` runs a page and says which outputs are others by now;
``--write`` puts the new ones in their place.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typer.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
RUNNABLE: Final = ("sh", "python")
LANGUAGES: Final = (*RUNNABLE, "text", "toml", "json")
ALLOWED_FAILURES: Final = (2, 3)
"""Exit codes after ``|| true``: a mistake of the user, or a check that does not hold."""
WIDTH: Final = 80

_FENCE = re.compile(
    r"(?:^<!-- (?P<mark>file|not run): (?P<value>.+?) -->\n+)?"
    r"^(?P<fence>```+)(?P<language>[a-z]*)[^\n]*\n(?P<code>.*?)^(?P=fence)$",
    flags=re.MULTILINE | re.DOTALL,
)
_TIME = re.compile(r",?(?: in)? \d[\d,.]* (?:ms|s|min|h|[a-z]+/s)\b|,? \d[\d,.]*/s\b")
"""Durations and rates, with what leads to them."""
_SHELL_VERBS: Final = ("cat", "head", "ls", "wc")


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Parameters
    ----------
    language : str
        Word after the fence.
    code : str
        Its lines.
    line : int
        Where it begins, counted from 1.
    mark : {"file", "not run"}, optional
        What the comment before it says.
    value : str, optional
        File or reason of that comment.
    shows : str, optional
        The block of text after it: what it prints.
    shown_at : tuple of int, optional
        Where in the page that text stands, in characters.
    """

    language: str
    code: str
    line: int
    mark: str | None = None
    value: str | None = None
    shows: str | None = None
    shown_at: tuple[int, int] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is code that runs, and not marked otherwise."""
        return self.language in RUNNABLE and self.mark != "not run"


def read_blocks(page: Path) -> list[Block]:
    """Read the blocks of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    blocks = []
    for match, after in itertools.zip_longest(found, found[1:]):
        line = text.count("\n", 0, match.start("fence")) + 1
        block = Block(match["language"], match["code"], line, match["mark"], match["value"])
        is_output = after is not None and after["language"] == "text"
        if block.language in RUNNABLE and is_output and not text[match.end() : after.start()].strip():
            block = replace(block, shows=after["code"], shown_at=after.span("code"))
        blocks.append(block)
    return blocks


def run_page(page: Path) -> Iterator[tuple[Block, str]]:
    """Run the blocks of a page in the current folder; give each that ran, and what it printed."""
    names: dict[str, object] = {"__name__": "__page__"}
    for block in read_blocks(page):
        where = f"{page.relative_to(ROOT)}:{block.line}"
        if block.mark == "file":
            file = Path(block.value or "")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
        if block.runs and block.language == "python":
            yield block, run_python(block.code, names, where)
        elif block.runs:
            yield block, run_shell(block.code, where)


def check_page(page: Path) -> None:
    """Run a page in the current folder, and compare what it shows with what its blocks print."""
    for block, printed in run_page(page):
        difference = None if block.shows is None else find_difference(block.shows, printed)
        if difference is not None:
            raise AssertionError(f"{page}:{block.line} shows other lines than are printed:\n{difference}")


def parse_block(block: Block) -> None:
    """Parse a block of TOML or JSON; ValueError says where it is none."""
    if block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "json":
        json.loads(block.code)


def run_python(code: str, names: dict[str, object], where: str) -> str:
    """Run Python among the names of the page; give what it printed."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, where, "exec"), names)
    return output.getvalue()


def run_shell(code: str, where: str) -> str:
    """Run the commands of a block; give what they printed.

    ``tasksel`` runs in this process. ``make``, ``pip install`` and ``python FILE`` set up or measure and do
    not run: that the target, the extra and the file exist is checked. ``|| true`` after a command allows
    exit codes 2 and 3 and also shows what goes to standard error.
    """
    printed = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if not words:
            continue
        may_fail = words[-2:] == ["||", "true"]
        words = words[:-2] if may_fail else words
        if words[0] == "tasksel":
            printed.append(_run_tasksel(words[1:], f"{where}: {line}", may_fail=may_fail))
        elif words[0] in _SHELL_VERBS:
            printed.append(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        elif words[0] == "make":
            _check_targets(words[1:], where)
        elif words[:2] == ["pip", "install"]:
            _check_extras(words[2:], where)
        elif words[0] == "python" and (ROOT / words[1]).is_file():
            continue
        else:
            raise AssertionError(f"{where}: {line!r} cannot be run; <!-- not run: REASON --> says why")
    return "".join(printed)


def _run_tasksel(arguments: list[str], where: str, *, may_fail: bool) -> str:
    from tasksel.cli import app

    environment = {"COLUMNS": str(WIDTH), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    done = CliRunner().invoke(app, arguments, env=environment, prog_name="tasksel")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if done.exit_code not in ((0, *ALLOWED_FAILURES) if may_fail else (0,)):
        raise AssertionError(f"{where}\n{done.output}")
    return done.stdout + (done.stderr if done.exit_code else "")


def _check_targets(words: list[str], where: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    unknown = {word for word in words if "=" not in word} - targets
    if unknown:
        raise AssertionError(f"{where}: the Makefile has no target {', '.join(sorted(unknown))}")


def _check_extras(words: list[str], where: str) -> None:
    """Extras of tasksel exist, and another package is one that an extra names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = {re.split(r"[\[<>=~! ;]", each, maxsplit=1)[0] for group in extras.values() for each in group}
    for word in words:
        name, _, listed = word.partition("[")
        unknown = set(filter(None, listed.rstrip("]").split(","))) - set(extras)
        if unknown or name not in {".", *required}:
            raise AssertionError(
                f"{where}: {word} is not tasksel with extras that it has, nor required by one"
            )


def find_difference(shown: str, printed: str) -> str | None:
    """Compare what a page shows with what was printed: word by word, but for times and ``…``.

    ``…`` stands for any text, on a line of its own or inside one. Durations and rates do not count, nor do
    spaces and line breaks, since a terminal breaks a line elsewhere when a duration has another width.

    Returns
    -------
    str or None
        The lines that differ, as a diff.
    """
    wanted = re.escape(_plain_words(shown)).replace("…", ".*?")
    if re.fullmatch(wanted.replace(r"\ .*?\ ", r"(?:\ .*?)?\ "), _plain_words(printed)) is not None:
        return None
    now = [line.rstrip() for line in printed.strip("\n").splitlines()]
    lines = difflib.unified_diff(shown.strip("\n").splitlines(), now, "the page", "printed", lineterm="")
    return "\n".join(lines)


def _plain_words(text: str) -> str:
    return " ".join(_TIME.sub("", " ".join(text.split())).split())


def rewrite_page(page: Path) -> int:
    """Put what blocks print now in the place of what a page shows; give how many places changed."""
    text = page.read_text(encoding="utf-8")
    changes = [
        (block.shown_at, printed)
        for block, printed in run_page(page)
        if block.shown_at and find_difference(block.shows or "", printed)
    ]
    for (start, end), printed in reversed(changes):
        lines = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
        text = text[:start] + lines + text[end:]
    page.write_text(text, encoding="utf-8")
    return len(changes)


def main(arguments: list[str] | None = None) -> None:
    """Run pages, each in a new folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="put the new outputs in their place")
    chosen = parser.parse_args(arguments)
    for page in [each.resolve() for each in chosen.pages]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            if chosen.write:
                print(f"{page.relative_to(ROOT)}: {rewrite_page(page)} outputs written")
            else:
                check_page(page)
            os.chdir(ROOT)


if __name__ == "__main__":
    main()
