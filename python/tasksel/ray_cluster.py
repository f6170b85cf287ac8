"""A connection to Ray: to a cluster that runs, or to one that is started here and stopped again."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasksel.whole_numbers import check_whole_numbers
from tasksel.wording import first_line
from tasksel_core.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["RayCluster", "WorkerShape", "check_n_workers", "connect"]

DEFAULT_WORKERS: Final = 2
"""Where there is no GPU, and nobody says how many."""
_CPUS_EACH: Final = 4
"""Of a worker that needs no GPU: kernels take several, and the small tasks of a pool one each."""
_ADDRESS_VARIABLE: Final = "RAY_ADDRESS"
"""Set by ``ray job submit`` in the process that it runs."""
_CLIENT: Final = "ray://"
_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_USAGE_DISABLED": "1",  # else it starts a process that collects what is not sent
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else warnings of the C++ core go to the terminal
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's default in future; without it, a warning
}
_LOGGERS: Final = ("ray", "ray.data")


class WorkerShape(NamedTuple):
    """How many workers run at a time, and what each of them holds.

    Attributes
    ----------
    n_workers : int
        At a time.
    cpus, gpus : int
        Of each.
    """

    n_workers: int
    cpus: int
    gpus: int


@dataclass
class RayCluster:
    """A connection; as a context manager it is closed at the end of the block.

    Parameters
    ----------
    shape : WorkerShape
        Of the workers that are to run.
    ending : ExitStack
        What closing does.
    """

    shape: WorkerShape
    ending: contextlib.ExitStack

    def __enter__(self) -> RayCluster:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Disconnect, unless Ray was connected already; a Ray that was started here ends."""
        self.ending.close()


def check_n_workers(n_workers: int | None) -> None:
    """Refuse a number of workers that is none; ConfigError."""
    if n_workers is not None:
        check_whole_numbers({"n_workers": n_workers})


def connect(
    address: str | None = None, n_workers: int | None = None, *, needs_gpu: bool = True
) -> RayCluster:
    """Connect to Ray.

    Parameters
    ----------
    address : str, optional
        Of a cluster, as ``auto`` or ``HEAD:6379``. Without it the Ray that this process is connected to is
        taken, then the cluster that ``RAY_ADDRESS`` names; where there is neither, a Ray is started on this
        machine.
    n_workers : int, optional
        Workers at a time; see `find_shape` for what is taken without it.
    needs_gpu : bool, default True
        Whether a worker is to have a GPU to itself, where there is one.

    Raises
    ------
    ConfigError
        No cluster answers at the address, or `n_workers` is no number of workers.
    MissingExtraError
        Ray is not installed.
    """
    check_n_workers(n_workers)
    address = address or os.environ.get(_ADDRESS_VARIABLE)
    if address is not None and address.startswith(_CLIENT):
        raise ConfigError(
            f"{address} is an address of Ray Client, and tasksel reaches clusters from inside only: run it "
            "on one of its machines with the address auto, or give it to `ray job submit`."
        )
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise MissingExtraError("The backend ray", "ray")
    import ray
    import ray.data  # sets the level of its logger

    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_environment())
        if not ray.is_initialized():
            _init(address, n_workers)
            stack.callback(ray.shutdown)
        stack.enter_context(_quiet_loggers())
        return RayCluster(find_shape(ray.nodes(), n_workers, needs_gpu=needs_gpu), stack.pop_all())


def find_shape(
    nodes: Sequence[dict[str, Any]], n_workers: int | None, *, needs_gpu: bool = True
) -> WorkerShape:
    """Return how many workers a cluster is to run, and what each of them holds.

    Workers that need a GPU have one to themselves: by default there are as many as GPUs, or where there is no
    GPU two that share the processors. Of others there is one for every four processors, two at least.

    Examples
    --------
    >>> node = {"Alive": True, "Resources": {"CPU": 8.0}}
    >>> find_shape([node, node], None)
    WorkerShape(n_workers=2, cpus=8, gpus=0)
    >>> find_shape([node, node], 3)
    WorkerShape(n_workers=3, cpus=4, gpus=0)
    >>> find_shape([{"Alive": True, "Resources": {"CPU": 96.0, "GPU": 8.0}}], None)
    WorkerShape(n_workers=8, cpus=1, gpus=1)
    """
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    n_gpus = sum(int(each.get("GPU", 0)) for each in resources)
    if needs_gpu and n_gpus:
        return WorkerShape(n_workers or n_gpus, cpus=1, gpus=1)
    cpus = [int(each.get("CPU", 0)) for each in resources]
    if n_workers is None:
        n_workers = DEFAULT_WORKERS if needs_gpu else max(DEFAULT_WORKERS, sum(cpus) // _CPUS_EACH)
    fitting = (
        each for each in range(max(cpus, default=1), 1, -1) if sum(of // each for of in cpus) >= n_workers
    )
    return WorkerShape(n_workers, cpus=next(fitting, 1), gpus=0)


def _init(address: str | None, n_workers: int | None) -> None:
    import ray

    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        address = "local"
        settings |= {
            "num_cpus": max(_n_cpus(), n_workers or DEFAULT_WORKERS),
            "include_dashboard": False,
        }
    with _kept_sigterm():
        try:
            with _held_stderr():
                ray.init(address=address, **settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"Ray cannot be reached at {address} ({first_line(error).rstrip('.')}). Start a cluster with "
                "`ray start`, set RAY_AUTH_MODE=token where it wants one, or leave the address out: Ray is "
                "then started here."
            ) from error


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _quiet_environment() -> Iterator[None]:
    """Have Ray started without a word to its makers or to the terminal; what a user has set stays."""
    added = [name for name in _QUIET if name not in os.environ]
    os.environ.update({name: _QUIET[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def _held_stderr() -> Iterator[None]:
    """Hold back what Ray's core writes on file descriptor 2 while it connects.

    It says there that it was told to be quiet, which is left out; and on the way to an error, once a second
    that there is no answer yet, which the error says better.
    """
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
        held.seek(0)
        for line in held:
            if b"RAY_BACKEND_LOG_LEVEL" not in line:
                os.write(2, line)


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Put back the handler of SIGTERM, which `ray.init` replaces by one that ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # None where it is not of Python
            signal.signal(signal.SIGTERM, before)
