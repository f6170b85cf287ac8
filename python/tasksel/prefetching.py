"""The next thing is made ready in a thread while the caller works on the one before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from tasksel.interruption import result_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future

__all__ = ["prefetched"]

_Item = TypeVar("_Item")
_Ready = TypeVar("_Ready")


def prefetched(
    items: Iterable[_Item], prepare: Callable[[_Item], _Ready], stopped: threading.Event
) -> Generator[tuple[_Item, _Ready], None, None]:
    """Yield items with what `prepare` makes of them, the next of which is made meanwhile.

    Parameters
    ----------
    items : iterable
        Taken one ahead, in the caller's thread.
    prepare : callable
        Called with one item after the other in a thread of its own.
    stopped : threading.Event
        Once set, nothing more is taken or given.

    Yields
    ------
    item, ready
        In the order of `items`. An error of `prepare` is raised in the place of its item.

    Examples
    --------
    >>> import threading
    >>> list(prefetched("ab", str.upper, threading.Event()))
    [('a', 'A'), ('b', 'B')]
    """
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetching")
    waiting: tuple[_Item, Future[_Ready]] | None = None
    try:
        for item in items:
            coming = item, thread.submit(prepare, item)
            if waiting is not None:
                yield waiting[0], result_of(waiting[1])
            waiting = coming
            if stopped.is_set():
                return
        if waiting is not None:
            yield waiting[0], result_of(waiting[1])
    finally:
        # Whoever leaves early, as by Ctrl-C, does not wait for what nobody will read.
        thread.shutdown(wait=False, cancel_futures=True)
