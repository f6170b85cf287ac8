from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.request_pacing import PacingSettings, RequestPacing


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now_s = 1_000.0

    def __call__(self):
        return self.now_s


def make(**settings):
    clock = Clock()
    return RequestPacing(PacingSettings(**settings), clock=clock), clock


def start(pacing, clock=None, tokens=0):
    """Start a request as soon as it may, moving the clock on; fail where it never may."""
    delay_s = pacing.delay_s()
    assert delay_s is not None, "nothing may start"
    if clock is not None:
        clock.now_s += delay_s
    else:
        assert delay_s == 0.0
    return pacing.start(tokens, threading.Event())


# AIMD


def test_no_more_than_the_limit_are_under_way():
    pacing, _ = make(concurrency=2)
    first, _ = start(pacing), start(pacing)
    assert pacing.delay_s() is None
    pacing.succeeded(first, 0)
    assert pacing.delay_s() == 0.0


def test_trouble_halves_once_for_all_that_were_under_way_and_success_adds_slowly():
    pacing, clock = make(concurrency=8)
    permits = [start(pacing) for _ in range(8)]
    for permit in permits[:4]:
        pacing.asked_to_wait(permit, 1.0)
    assert pacing.limit == 4
    for permit in permits[4:]:
        pacing.succeeded(permit, 0)
    assert pacing.limit == 4, "they were sent before the halving"
    clock.now_s += 1.0
    for _ in range(5):
        pacing.succeeded(start(pacing), 0)
    assert pacing.limit == 5
    for _ in range(100):
        pacing.succeeded(start(pacing), 0)
    assert pacing.limit == 8


@given(st.lists(st.sampled_from(["good", "wait", "fail"]), max_size=60), st.integers(1, 9))
def test_the_limit_stays_between_one_and_what_is_allowed(events, concurrency):
    pacing, clock = make(concurrency=concurrency, max_probes=10**6, longest_wait_s=10**9)
    for event in events:
        permit = start(pacing, clock)
        if event == "good":
            pacing.succeeded(permit, 0)
        elif event == "wait":
            pacing.asked_to_wait(permit, None)
        else:
            pacing.failed(permit)
        assert 1 <= pacing.limit <= concurrency
    assert pacing._under_way == 0


# Rates


def test_requests_keep_to_a_rate():
    pacing, clock = make(concurrency=100, requests_per_minute=30)
    began_s = clock.now_s
    for _ in range(31):
        start(pacing, clock)
    assert clock.now_s - began_s == pytest.approx(60.0)


def test_tokens_keep_to_a_rate_and_are_settled_at_what_they_were():
    pacing, clock = make(concurrency=100, tokens_per_minute=600)
    began_s = clock.now_s
    pacing.succeeded(start(pacing, clock, tokens=600), 60)
    start(pacing, clock, tokens=600)
    assert clock.now_s - began_s == pytest.approx(6.0)


# Waits


def test_retry_after_holds_everybody():
    pacing, clock = make(concurrency=4)
    pacing.asked_to_wait(start(pacing), 7.0)
    assert pacing.delay_s() == pytest.approx(7.0)
    clock.now_s += 7.0
    assert pacing.delay_s() == 0.0
    assert pacing.waits == 1
    assert pacing.failures == 0


def test_without_retry_after_waits_double_up_to_a_minute():
    pacing, clock = make(concurrency=1)
    delays = []
    for _ in range(9):
        pacing.asked_to_wait(start(pacing, clock), None)
        delays.append(round(pacing.delay_s()))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(("asked_s", "waited_s"), [(7.0, 7.0), (86_400.0, 100.0)])
def test_a_failure_may_ask_for_a_wait_too(asked_s, waited_s):
    pacing, _ = make(concurrency=4, longest_wait_s=100.0)
    pacing.failed(start(pacing), asked_s)
    assert (pacing.failures, pacing.gave_up) == (1, None)
    assert pacing.delay_s() == pytest.approx(waited_s)


@pytest.mark.parametrize("asked_s", [86_400.0, float("inf")])
def test_a_provider_that_asks_for_too_long_is_given_up(asked_s):
    pacing, _ = make(concurrency=4)
    pacing.asked_to_wait(start(pacing), asked_s)
    assert "wait" in pacing.gave_up
    assert pacing.start(0, threading.Event()) is None


def test_waits_without_a_success_between_add_up():
    pacing, clock = make(concurrency=1, longest_wait_s=100.0)
    while pacing.gave_up is None:
        pacing.asked_to_wait(start(pacing, clock), 30.0)
    assert pacing.waits == 4


# The breaker


def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it():
    pacing, clock = make(concurrency=8, failures_to_open=3, breaker_pause_s=10.0)
    for _ in range(3):
        pacing.failed(start(pacing))
    assert pacing.limit == 1
    assert pacing.delay_s() == pytest.approx(10.0)
    probe = start(pacing, clock)
    assert probe.is_probe
    assert pacing.delay_s() is None, "one probe at a time"
    pacing.succeeded(probe, 0)
    assert pacing.gave_up is None
    assert not start(pacing).is_probe


def test_a_success_between_keeps_the_breaker_closed():
    pacing, _ = make(concurrency=8, failures_to_open=3)
    for _ in range(5):
        pacing.failed(start(pacing))
        pacing.failed(start(pacing))
        pacing.succeeded(start(pacing), 0)
    assert pacing.delay_s() == 0.0


def test_probes_that_fail_end_it():
    pacing, clock = make(concurrency=8, failures_to_open=3, breaker_pause_s=10.0, max_probes=2)
    late = [start(pacing) for _ in range(5)]
    for permit in late[:3]:
        pacing.failed(permit)
    for permit in late[3:]:
        pacing.failed(permit)
    assert pacing.gave_up is None, "what was sent before the breaker opened is no probe"
    began_s = clock.now_s
    pacing.failed(start(pacing, clock))
    assert pacing.gave_up is None
    pacing.failed(start(pacing, clock))
    assert clock.now_s - began_s == pytest.approx(30.0)
    assert "failed 5 times in a row" in pacing.gave_up


def test_a_probe_that_was_not_sent_leaves_the_breaker_open():
    pacing, clock = make(concurrency=8, failures_to_open=1, breaker_pause_s=1.0)
    pacing.failed(start(pacing))
    pacing.withdrawn(start(pacing, clock))
    probe = start(pacing, clock)
    assert probe.is_probe
    pacing.refused(probe)
    assert not start(pacing).is_probe, "it answered, if with a refusal"


def test_whoever_waits_hears_of_a_stop():
    pacing, _ = make(concurrency=1)
    start(pacing)
    stopped = threading.Event()
    stopped.set()
    assert pacing.start(0, stopped) is None
