"""Where work runs: in this process, or on a Ray cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from tasksel.suggestions import did_you_mean
from tasksel_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasksel.shard_work import ShardWorker
    from tasksel.strategies import Spread

__all__ = ["BACKENDS", "choose_backend", "open_spread"]

BACKENDS: Final = ("local", "ray")


def choose_backend(
    backend: str,
    open_worker: Callable[[], ShardWorker],
    *,
    address: str | None = None,
    n_workers: int | None = None,
    needs_gpu: bool = True,
) -> ShardWorker | None:
    """Return the worker that spreads shards over a cluster, or None where they are made in this process.

    Parameters
    ----------
    backend : {"local", "ray"}
    open_worker : callable
        Makes a worker; it is sent to the cluster, so it and what it holds can be pickled.
    address : str, optional
        Of a running cluster.
    n_workers : int, optional
        Workers at a time.
    needs_gpu : bool
        Whether each is to have a GPU to itself, where there is one.

    Raises
    ------
    ConfigError
        There is no such backend, or it is told what only the other one needs.
    MissingExtraError
        Ray is not installed.
    """
    if not _is_ray(backend, address, n_workers):
        return None
    from tasksel.ray_worker import RayWorker

    return RayWorker(open_worker, address=address, n_workers=n_workers, needs_gpu=needs_gpu)


def open_spread(
    backend: str, *, address: str | None = None, n_workers: int | None = None
) -> contextlib.AbstractContextManager[Spread | None]:
    """Return a context manager of what spreads calls over a cluster, or of None; errors as above."""
    if not _is_ray(backend, address, n_workers):
        return contextlib.nullcontext()
    from tasksel.ray_selection import RaySpread

    return RaySpread(address=address, n_workers=n_workers)


def _is_ray(backend: str, address: str | None, n_workers: int | None) -> bool:
    if backend not in BACKENDS:
        hint = did_you_mean(backend, BACKENDS)
        raise ConfigError(f"There is no backend {backend!r}; allowed are {', '.join(BACKENDS)}.{hint}")
    if backend == "ray":
        return True
    for name, value in (("ray_address", address), ("n_workers", n_workers)):
        if value is not None:
            raise ConfigError(f"{name} is for the backend ray; the backend is {backend}.")
    return False
