from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasksel.spending_caps import Price, SpendingCaps, Usage
from tasksel_core.errors import ConfigError


def test_without_caps_everything_fits_and_no_cost_is_guessed():
    caps = SpendingCaps()
    for _ in range(3):
        caps.settle(caps.reserve(10**9, 10**9), Usage(5, 7))
    assert caps.reached is None
    assert caps.spent.requests == 3
    assert caps.spent.usage == Usage(15, 21)
    assert caps.spent.cost is None
    assert caps.spent.currency is None


def test_a_cap_on_requests_counts_those_under_way():
    caps = SpendingCaps(max_requests=2)
    first, _ = caps.reserve(1, 1), caps.reserve(1, 1)
    waiting = threading.Event()
    waiting.set()
    assert caps.reserve(1, 1, stopped=waiting) is None
    assert caps.reached is None, "one under way may still be refused"
    caps.release(first)
    assert caps.reserve(1, 1) is not None


def test_requests_of_earlier_runs_count():
    caps = SpendingCaps(max_requests=1)
    caps.count(Usage(1, 1))
    assert caps.reserve(1, 1) is None
    assert caps.reached == "max_requests (1)"
    assert caps.reserve(0, 0) is None, "a cap that is reached stays reached"


def test_money_is_reserved_at_its_most_and_settled_at_what_it_was():
    caps = SpendingCaps(max_cost=1.0, price=Price(1.0, 2.0, "EUR"))
    held = caps.reserve(200_000, 400_000)
    caps.settle(held, Usage(100_000, 0))
    assert caps.spent.cost == pytest.approx(0.1)
    assert caps.spent.currency == "EUR"
    assert caps.reserve(900_000, 1) is None
    assert caps.reached == "max_cost (1 EUR)"


def test_a_cap_on_money_wants_a_price():
    with pytest.raises(ConfigError, match="price"):
        SpendingCaps(max_cost=1.0)


def test_a_request_waits_for_others_to_settle_before_it_is_refused():
    caps = SpendingCaps(max_tokens=100)
    held = caps.reserve(0, 80)
    found = []
    thread = threading.Thread(target=lambda: found.append(caps.reserve(0, 50)))
    thread.start()
    caps.settle(held, Usage(0, 10))
    thread.join()
    assert found[0] is not None
    assert caps.reached is None


def test_who_holds_all_that_is_reserved_does_not_wait_for_himself():
    caps = SpendingCaps(max_requests=1, max_tokens=100, total_cap_name="max_total_tokens")
    assert caps.reserve(0, 80, waits=False) is not None
    assert caps.reserve(0, 10, waits=False) is None
    assert caps.reached == "max_requests (1)"
    caps = SpendingCaps(max_tokens=100, total_cap_name="max_total_tokens")
    assert caps.reserve(0, 101) is None
    assert caps.reached == "max_total_tokens (100)"


@given(
    requests=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0, 1)), max_size=30),
    cap=st.integers(1, 300),
)
def test_no_order_of_requests_passes_a_cap(requests, cap):
    caps = SpendingCaps(max_tokens=cap)
    for most_input, most_output, share in requests:
        held = caps.reserve(most_input, most_output)
        if held is None:
            break
        caps.settle(held, Usage(int(most_input * share), int(most_output * share)))
    assert caps.spent.usage.total_tokens <= cap


def test_estimates_stay_marked():
    caps = SpendingCaps()
    caps.count(Usage(1, 1))
    assert not caps.spent.usage.is_estimate
    caps.count(Usage(1, 1, is_estimate=True))
    caps.count(Usage(1, 1))
    assert caps.spent.usage.is_estimate
