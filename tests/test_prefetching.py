from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from tasksel.interruption import wait_for
from tasksel.prefetching import prefetched


def test_the_next_item_is_made_ready_while_the_caller_works():
    ready = {number: threading.Event() for number in range(3)}

    def prepare(number):
        ready[number].set()
        return -number

    for item, made in prefetched(range(3), prepare, threading.Event()):
        assert made == -item
        assert item == 2 or ready[item + 1].wait(timeout=10)


def test_an_error_comes_in_the_place_of_its_item():
    pairs = prefetched([4, 2, 0, 1], lambda number: 8 // number, threading.Event())
    assert [next(pairs), next(pairs)] == [(4, 2), (2, 4)]
    with pytest.raises(ZeroDivisionError):
        next(pairs)


def test_nothing_is_taken_once_it_is_stopped():
    taken = []
    stopped = threading.Event()

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    for _ in prefetched(items(), abs, stopped):
        stopped.set()
    assert len(taken) == 2


def test_no_items_are_no_pairs():
    assert list(prefetched([], abs, threading.Event())) == []


def test_ctrl_c_is_heard_while_an_item_is_made_ready():
    """polars has system calls restarted after a signal, so that a wait without a timeout never ends."""
    pl.DataFrame({"number": [1, 2]}).lazy().select(pl.col("number").sum()).collect()
    release = threading.Event()
    alarm = threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])
    alarm.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            next(prefetched([1], lambda _: release.wait(timeout=60), threading.Event()))
    finally:
        release.set()
        alarm.join()


def test_a_wait_ends_with_the_first_error_where_that_is_asked_for():
    release = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(release.wait, 60), threads.submit(int, "no number")]
        wait_for(futures, or_an_error=True)
        assert [future.done() for future in futures] == [False, True]
        release.set()
        wait_for(futures)
        assert all(future.done() for future in futures)
