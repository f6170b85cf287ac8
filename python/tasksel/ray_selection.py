"""Picking on a Ray cluster: parts of k-center, and the tasks of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasksel.ray_cluster import check_n_workers
from tasksel.ray_stage import open_stage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from tasksel.ray_stage import RayStage

__all__ = ["RaySpread"]


class RaySpread:
    """A `tasksel.strategies.problem.Spread` over a Ray cluster; a context manager.

    It connects when it is first called, so that what has no use for it does not wait for a cluster.

    Parameters
    ----------
    address : str, optional
        Of a running cluster; see `tasksel.ray_cluster.connect`.
    n_workers : int, optional
        Calls at a time; by default one for every four processors of the cluster, two at least.

    Raises
    ------
    ConfigError
        `n_workers` is no number of workers.
    """

    def __init__(self, *, address: str | None = None, n_workers: int | None = None) -> None:
        check_n_workers(n_workers)
        self._address = address
        self._n_workers = n_workers
        self._stage: RayStage | None = None

    def __call__(self, function: Callable[[Any], Any], inputs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Call `function` with every input; see `Spread`.

        Raises
        ------
        ConfigError
            There is no such cluster.
        MissingExtraError
            Ray is not installed.
        """
        if self._stage is None:
            self._stage = open_stage(
                _CallHandler, address=self._address, n_workers=self._n_workers, needs_gpu=False
            )
        return self._stage.map((function, each) for each in inputs)

    def __enter__(self) -> RaySpread:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the workers go, and disconnect."""
        if self._stage is not None:
            self._stage.close()
        self._stage = None


class _CallHandler:
    """Calls what it is given."""

    def __call__(self, value: tuple[Callable[[Any], Any], Any], stopped: threading.Event) -> Any:  # noqa: ARG002 - a call cannot be stopped
        """Call a function with its input."""
        function, given = value
        return function(given)

    def close(self) -> None:
        """Nothing is held."""
