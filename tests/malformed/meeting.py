"""A verb meets a kind: in this process, or in one with little memory; and what is left afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typer.main import get_command
from typer.testing import CliRunner

from tasksel.cli import app
from tasksel.run_folder import file_sha256

from .capabilities import without_override
from .kind import Kind, Meeting, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .world import World

__all__ = ["complaints", "meet", "sentence", "snapshot", "verbs"]

LONGEST_SENTENCE: Final = 900
TREE: Final = get_command(app)
_DUMP: Final = re.compile(
    r"Traceback|panicked at|RUST_BACKTRACE|File \"|Resolved plan|<class '|0x[0-9a-f]{8}"
)
_LONG_NAME: Final = re.compile(r"x{20,}(?:…x{20,})?…?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd]")
_SMALL: Final = (
    "import resource, sys\n"
    "limit = int(sys.argv.pop(1)) << 20\n"
    "from tasksel.cli import main\n"
    "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
    "sys.argv[0] = 'tasksel'\n"
    "main()\n"
)


def verbs() -> list[str]:
    """Return every verb, as it is called."""

    def walk(command: object, path: tuple[str, ...]) -> list[str]:
        children = getattr(command, "commands", None)
        if children is None:
            return [" ".join(path)]
        return [each for name, child in children.items() for each in walk(child, (*path, name))]

    return walk(TREE, ())


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Say of everything in a folder what it is: its kind, time, size and content."""
    found: dict[str, tuple[object, ...]] = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith("torchinductor")]  # torch's own cache
        for name in (*folders, *files):
            path = Path(root, name)
            found[str(path.relative_to(folder))] = _description(path)
    return found


def _description(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))  # noqa: PTH115 -- Path.readlink makes another text of it
    if not stat.S_ISREG(status.st_mode):
        return ("folder or other", status.st_mode)
    return ("file", status.st_mode, status.st_mtime_ns, file_sha256(path))


def meet(kind: Kind, place: Place, bad: Path, here: Path, folder: Path, world: World) -> Meeting:
    """Run a command on a malformed thing, made in `here`; `folder` is empty and the current folder."""
    out = folder / "out"
    texts = {"bad": bad, "out": out, "world": world.folder, "here": here}
    words = [
        *place.verb.split(),
        *(each.format(**texts).replace("\\x20", " ") for each in place.words.split(" ") if each),
    ]
    if kind.memory_mb is None:
        rights = contextlib.nullcontext() if kind.may_override else without_override()
        with rights, _process_stderr() as past_python:
            done = CliRunner(env={"COLUMNS": "100"}).invoke(app, words)
        code, stdout, stderr = done.exit_code, done.stdout, done.stderr + past_python()
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            stderr += f"Traceback: {type(done.exception).__name__}: {done.exception}"
    else:
        ended = subprocess.run(
            [sys.executable, "-c", _SMALL, str(kind.memory_mb), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        )
        code, stdout, stderr = ended.returncode, ended.stdout, ended.stderr
    return Meeting(place, code, stdout, stderr, bad, here, out)


@contextlib.contextmanager
def _process_stderr() -> Iterator[Callable[[], str]]:
    """Catch what is written past ``sys.stderr``, as a panic of Rust is; gives what to ask for it with."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said = file.read().decode("utf-8", errors="replace")


def sentence(meeting: Meeting) -> str:
    """Return the paragraph of an error without its first word and without the places of this run."""
    text = " ".join(meeting.stderr.split()).removeprefix("Error: ")
    for place in (meeting.here, meeting.bad.parent, meeting.out.parent):
        text = text.replace(f"{place}/", "")
    return _LONG_NAME.sub("xxx…", text)


def complaints(kind: Kind, meeting: Meeting) -> list[str]:
    """Return what is wrong with how a refusal was put; empty if nothing."""
    said = meeting.stderr
    found = []
    if meeting.code != 2:
        found.append(f"exit code {meeting.code}")
    if _DUMP.search(said + meeting.stdout):
        found.append("a dump of an error")
    if _CONTROL.search(said):
        found.append("control characters")
    if meeting.stdout:
        found.append("something on standard output")
    if not said.startswith("Error: ") or said.count("Error: ") != 1:
        found.append("no sentence")
    if len(said.strip().splitlines()) != 1:
        found.append("several lines")
    if len(said) > LONGEST_SENTENCE:
        found.append(f"{len(said)} characters")
    if not said.rstrip().endswith((".", "?", "!")):
        found.append("no end of a sentence")
    if kind.refused is not None and not re.search(kind.refused, sentence(meeting)):
        found.append(f"not what was expected, {kind.refused!r}")
    return [f"{each}: {said[-1500:]!r}" for each in found]
