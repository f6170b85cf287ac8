"""Runs of a program, each kept under a hash of what it was given: what was run is not run again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from tasksel.run_folder import FORMAT_VERSION, make_folder, text_sha256, write_json
from tasksel.run_folder_identity import SETTINGS_NAME, read_settings, refuse_changes
from tasksel.run_folder_links import claim_file, open_for_appending
from tasksel.synthesis.probe_batch import file_content
from tasksel.synthesis.probe_program import ProgramRun, run_program
from tasksel_core.errors import ResumeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tasksel.synthesis.probe_batch import ProbeExample

__all__ = ["Runner"]

RUNS_NAME: Final = "runs.jsonl"
INPUTS_FOLDER: Final = "inputs"
_REFUSAL: Final = (
    "{folder} holds the results of another probe ({changes}); choose another --out, or delete it."
)


class Runner:
    """Runs the program on examples, once for each content, and remembers how it ended.

    Parameters
    ----------
    folder : Path
        Of the probe, held by this process.
    arguments : sequence of str
        Of `parse_command`.
    timeout_s : float
        Seconds that a run may take.
    format : {"jsonl", "json", "txt"}
        Of the files.

    Raises
    ------
    ResumeError
        The folder holds the runs of another program or of other settings, or a line of them is damaged.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        timeout_s: float,
        format: str,  # noqa: A002
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._timeout_s = timeout_s
        self._format = format
        self._path = folder / RUNS_NAME
        self._check_folder()
        self._known = _read_runs(self._path)

    def run(self, examples: Sequence[ProbeExample]) -> ProgramRun:
        """Return how the program ended on a file of these examples; the file is kept if it failed."""
        content = file_content(examples, self._format)
        key = text_sha256(content.decode("utf-8", "surrogatepass"))[:32]
        path = self.input_path(key)
        known = self._known.get(key)
        if known is None:
            _write(path, content)
            known = run_program(self._arguments, path.resolve(), timeout_s=self._timeout_s)
            self._append(key, known)
            self._known[key] = known
        is_wanted = known.signature is not None and len(examples) == 1
        if not is_wanted:
            path.unlink(missing_ok=True)
        elif not path.exists():  # the run is known from a probe whose inputs were deleted
            _write(path, content)
        return known

    def input_name(self, example: ProbeExample) -> str:
        """Return the name, in the folder, of the file that an example alone makes."""
        content = file_content([example], self._format)
        key = text_sha256(content.decode("utf-8", "surrogatepass"))[:32]
        return f"{INPUTS_FOLDER}/{self.input_path(key).name}"

    def input_path(self, key: str) -> Path:
        """Return where the file of a content goes."""
        return self._folder / INPUTS_FOLDER / f"{key}.{self._format}"

    def _check_folder(self) -> None:
        asked = {"arguments": list(self._arguments), "timeout_s": self._timeout_s, "format": self._format}
        identity = {"format_version": FORMAT_VERSION, "settings": asked}
        stored = read_settings(self._folder, (RUNS_NAME,))
        if stored is None:
            write_json(self._folder / SETTINGS_NAME, identity)
        else:
            refuse_changes(self._folder, stored, identity, inputs=(), refusal=_REFUSAL)
        make_folder(self._folder / INPUTS_FOLDER)

    def _append(self, key: str, run: ProgramRun) -> None:
        line = json.dumps({"key": key, **run.to_dict()}) + "\n"
        with open_for_appending(self._path) as log:
            log.write(line.encode("ascii"))
            log.flush()
            os.fsync(log.fileno())


def _write(path: Path, content: bytes) -> None:
    claim_file(path)
    path.write_bytes(content)


def _read_runs(path: Path) -> dict[str, ProgramRun]:
    """Read what was run; a line that a kill cut short is left out and closed.

    Raises
    ------
    ResumeError
        Another line is damaged.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        content = content[: content.rfind(b"\n") + 1]
        with path.open("r+b") as log:
            log.truncate(len(content))
    numbered = enumerate(content.splitlines(), start=1)
    return dict(_read_run(line, f"{path}, line {number}") for number, line in numbered)


def _read_run(line: bytes, where: str) -> tuple[str, ProgramRun]:
    try:
        stored = json.loads(line)
        return stored.pop("key"), ProgramRun(**stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResumeError(f"{where}, is damaged; delete the line, and it is run again.") from error
