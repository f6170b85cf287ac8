"""Ctrl-C once: finish what is under way and stop cleanly. Twice: now, also where a thread is waited for."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from concurrent.futures import Future

__all__ = ["heard_stops", "result_of", "wait_for"]

_SIGNALS = ("SIGINT", "SIGTERM")
_PATIENCE_S: Final = 0.5
"""Longest wait without a look at signals: polars has system calls restarted after Ctrl-C."""

_Result = TypeVar("_Result")


@contextlib.contextmanager
def heard_stops(announce: Callable[[], object] | None = None) -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or a SIGTERM as schedulers send it, into an event while the block runs.

    The second Ctrl-C raises KeyboardInterrupt at once. Signals of a process that has handlers of its own, or
    that ignores them (as one does that a shell started in the background), stay as they are, and so does
    everything outside of the main thread, where Python hears no signals: the event is then never set from
    here.

    Parameters
    ----------
    announce : callable, optional
        Called at the first signal, in a thread of its own, to say what happens.

    Yields
    ------
    threading.Event
        Set once a stop was asked for.
    """
    stopped = threading.Event()
    heard: list[int] = []

    def tell() -> None:
        stopped.set()
        if announce is not None:
            announce()

    def hear(number: int, frame: Any) -> None:  # noqa: ARG001 - the signature of a signal handler
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt
        # A handler runs between two instructions of the main thread, which may hold the very lock that
        # setting an event, printing or threading.Thread.start waits for; a bare thread waits elsewhere.
        _thread.start_new_thread(tell, ())

    replaced: list[tuple[signal.Signals, Any]] = []
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            before = signal.getsignal(number)
            if before in (signal.default_int_handler, signal.SIG_DFL):
                signal.signal(number, hear)
                replaced.append((number, before))
    try:
        yield stopped
    finally:
        for number, before in replaced:
            signal.signal(number, before)


def wait_for(futures: Collection[Future[Any]], *, or_an_error: bool = False) -> None:
    """Wait until all of `futures` are done, and hear Ctrl-C meanwhile.

    Parameters
    ----------
    futures : collection of Future
        What each came to is for the caller to ask.
    or_an_error : bool
        Whether the first that fails ends the wait.
    """
    until = FIRST_EXCEPTION if or_an_error else ALL_COMPLETED
    running = set(futures)
    while running:
        finished, running = wait(running, timeout=_PATIENCE_S, return_when=until)
        if or_an_error and any(not each.cancelled() and each.exception() for each in finished):
            return


def result_of(future: Future[_Result]) -> _Result:
    """Wait for a future, and hear Ctrl-C meanwhile; returns or raises what it came to.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(1) as thread:
    ...     result_of(thread.submit(pow, 2, 5))
    32
    """
    if not future.done():
        wait_for([future])
    return future.result()
