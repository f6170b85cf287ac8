"""One run of somebody's program on a file: without a shell, with an end, whatever it prints."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from tasksel.annotation.label_studio_client import KEY_VARIABLE as LABEL_STUDIO_KEY
from tasksel.providers import KEY_VARIABLES
from tasksel.synthesis.probe_signatures import error_line, plain_line, signature_of
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["FILE_FIELD", "ProgramRun", "parse_command", "run_program"]

FILE_FIELD: Final = "{file}"
KEPT_BYTES: Final = 64 * 1024
"""Of the beginning and of the end of standard error each."""
MAX_OUTPUT_BYTES: Final = 64 * 1024 * 1024
"""A program that prints more is stopped, and has failed."""
_OUR_KEYS: Final = frozenset(
    {*KEY_VARIABLES.values(), LABEL_STUDIO_KEY, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}
)
POLL_S: Final = 0.05
DRAIN_S: Final = 0.5
"""How long output is waited for once the program has ended, when something else still holds its pipes."""


@dataclass(frozen=True)
class ProgramRun:
    """How a program ended, and what it said.

    Attributes
    ----------
    outcome : str
        ``ok``, ``exit`` (a code other than 0), ``signal``, ``timeout`` or ``output-limit``.
    exit_code : int or None
        None where it did not end by itself.
    signal : str or None
        Name of the signal that ended it.
    signature : str or None
        What failures of one kind have in common; None where all is well.
    error_line, first_line, last_line : str or None
        Of standard error, in printable characters: the last line that speaks of an error, the first and the
        last line that is not blank.
    stdout_bytes, stderr_bytes : int
        How much it printed.
    """

    outcome: str
    exit_code: int | None
    signal: str | None
    signature: str | None
    error_line: str | None
    first_line: str | None
    last_line: str | None
    stdout_bytes: int
    stderr_bytes: int

    @property
    def failed(self) -> bool:
        """Whether it ended in any way but with exit code 0."""
        return self.outcome != "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON-compatible values."""
        return asdict(self)


def parse_command(command: str) -> list[str]:
    """Split a command into its arguments, as a shell would but without one.

    Raises
    ------
    ConfigError
        It is empty, a quotation is not closed, ``{file}`` is nowhere in it, or there is no such program.

    Examples
    --------
    >>> parse_command("python -c 'import sys' --input={file}")
    ['python', '-c', 'import sys', '--input={file}']
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"The command {command!r} cannot be split into arguments ({error}).") from error
    if not arguments:
        raise ConfigError("The command is empty; a program with {file} among its arguments is wanted.")
    if not any(FILE_FIELD in argument for argument in arguments[1:]):
        raise ConfigError(f"The command {command!r} has no argument with {{file}}, where the examples stand.")
    if shutil.which(arguments[0]) is None:
        raise ConfigError(
            f"There is no program {arguments[0]!r} that can be run. Pipes and shell built-ins need a shell: "
            "sh -c '...' sh {file}, with \"$1\" in it."
        )
    return arguments


def run_program(arguments: Sequence[str], path: Path, *, timeout_s: float) -> ProgramRun:
    """Run a program on a file and wait for it, not longer than `timeout_s` seconds.

    It gets no input, no key that tasksel reads from the environment, and a process group of its own, which is
    killed with all that it started at the timeout, at `MAX_OUTPUT_BYTES` of output, and when the program
    ends. Output is read and counted to the end; of
    standard error the beginning and the end are kept.

    Parameters
    ----------
    arguments : sequence of str
        Of `parse_command`; ``{file}`` stands for the path.
    path : Path
        The file.
    timeout_s : float
        Seconds.

    Returns
    -------
    ProgramRun

    Raises
    ------
    ConfigError
        The program cannot be started, or this system has no process groups.
    """
    if not hasattr(os, "waitid"):
        raise ConfigError("Probing stops programs by their process group, which this system does not have.")
    argv = [arguments[0], *(argument.replace(FILE_FIELD, str(path)) for argument in arguments[1:])]
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"The program {argv[0]!r} cannot be started ({reason}).") from error
    with process:
        try:
            stopped_by, sizes, kept = _follow(process, timeout_s)
        finally:
            _kill_group(process)
    return _described(process.returncode, stopped_by, sizes, kept)


def _environment() -> dict[str, str]:
    """Return the environment without our keys: a program that fails may print it, and that is kept."""
    return {name: value for name, value in os.environ.items() if name not in _OUR_KEYS}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The group outlives its leader as long as anything that the program started does. macOS refuses a group
    # of which only the leader is left, ended and not collected yet.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _follow(
    process: subprocess.Popen[bytes], timeout_s: float
) -> tuple[str | None, dict[str, int], bytearray]:
    """Read what comes until the program ends or must; give why it must, sizes, and what was kept."""
    sizes = {"stdout": 0, "stderr": 0}
    kept = bytearray()
    deadline_s = time.monotonic() + timeout_s
    drained_s: float | None = None
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
        while True:
            for key, _ in selector.select(POLL_S) if selector.get_map() else ():
                _read(selector, key, sizes, kept)
            if sum(sizes.values()) > MAX_OUTPUT_BYTES:
                return "output-limit", sizes, kept
            now_s = time.monotonic()
            if not _has_ended(process):
                if now_s >= deadline_s:
                    return "timeout", sizes, kept
                if not selector.get_map():  # it has closed its pipes and goes on in silence
                    time.sleep(POLL_S)
                continue
            drained_s = drained_s or now_s + DRAIN_S
            if not selector.get_map() or now_s >= drained_s:
                return None, sizes, kept


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Ask without collecting the process: until then nobody else can get its number, or its group's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _read(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, sizes: dict[str, int], kept: bytearray
) -> None:
    try:
        block = os.read(key.fd, KEPT_BYTES)
    except BlockingIOError:
        return
    if not block:
        selector.unregister(key.fileobj)
        return
    sizes[key.data] += len(block)
    if key.data == "stderr":
        kept += block
        if len(kept) > 3 * KEPT_BYTES:  # the beginning, a line end where something is left out, the end
            kept[KEPT_BYTES:-KEPT_BYTES] = b"\n"


def _described(returncode: int, stopped_by: str | None, sizes: dict[str, int], kept: bytearray) -> ProgramRun:
    lines = [plain_line(line) for line in kept.decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line]
    complaint = error_line(lines)
    signal_name = None
    outcome, code = "ok", None
    if stopped_by is not None:
        outcome = label = stopped_by
    elif returncode < 0:
        signal_name = _signal_name(-returncode)
        outcome, label = "signal", signal_name
    else:
        code, label = returncode, f"exit {returncode}"
        outcome = "ok" if code == 0 else "exit"
    said = complaint or (lines[-1] if lines else None)
    if outcome in ("timeout", "output-limit"):
        said = complaint  # what it said last before it was stopped is no reason
    signature = signature_of(label, said) if outcome != "ok" else None
    if outcome == "ok" and complaint is not None:
        signature = signature_of("complaint", complaint)
    return ProgramRun(
        outcome,
        code,
        signal_name,
        signature,
        complaint,
        lines[0] if lines else None,
        lines[-1] if lines else None,
        sizes["stdout"],
        sizes["stderr"],
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
