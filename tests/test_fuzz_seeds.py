"""Inputs that the fuzzer has made and found are replayed: no reader may raise but by a readable sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from reader_fuzz.decisions import Decisions
from reader_fuzz.promises import BrokenPromiseError, check_sentence, outcome
from reader_fuzz.targets import TARGET_NAMES, load_target
from tasksel_core.errors import SchemaError

SEEDS = Path(__file__).parents[1] / "fuzz" / "python" / "seeds"


def seeds_of(target):
    return sorted((SEEDS / target).iterdir())


def breach(target, data):
    try:
        load_target(target).check(data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of polars is no Exception
        return f"{type(error).__name__}: {error}"[:500]
    return ""


# One test a target: thousands of tests of a millisecond would cost more than what they test.
@pytest.mark.parametrize("target", TARGET_NAMES)
def test_every_seed_is_read_or_refused_by_a_sentence(target):
    broken = {path.name: breach(target, path.read_bytes()) for path in seeds_of(target)}
    broken |= {repr(data): breach(target, data) for data in (b"", b"\0", b"j", b"zz\xff")}
    assert {name: what for name, what in broken.items() if what} == {}


def test_every_target_has_seeds_and_every_folder_a_target():
    assert {each.name for each in SEEDS.iterdir()} == set(TARGET_NAMES)
    for target in TARGET_NAMES:
        assert 10 <= len(seeds_of(target)) <= 150
        assert sum(each.stat().st_size for each in seeds_of(target)) <= 150_000


@pytest.mark.parametrize("target", TARGET_NAMES)
def test_equal_seeds_make_equal_mutations(target):
    mutator = load_target(target).mutator

    def mutate(data, most_bytes):
        return data[::-1][:most_bytes]

    for path in seeds_of(target)[:40]:
        for seed in range(5):
            mutated = mutator.mutate(path.read_bytes(), 4096, seed, mutate)
            assert mutated == mutator.mutate(path.read_bytes(), 4096, seed, mutate)
            assert len(mutated) <= 4096


# The checks themselves: what breaks a promise is seen.


@pytest.mark.parametrize(
    "message",
    ["", " ", "a\nb", "a\x1b[31mb", "a\u202eb", "x" * 5_000, "called `Result::unwrap()` on an `Err` value"],
)
def test_what_is_no_sentence_is_seen(message):
    def refuse():
        raise SchemaError(message)

    with pytest.raises(BrokenPromiseError):
        check_sentence(message)
    with pytest.raises(BrokenPromiseError):
        outcome(refuse)


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), KeyError("x"), OSError("x")])
def test_any_other_error_comes_out(error):
    def fail():
        raise error

    with pytest.raises(type(error)):
        outcome(fail)


def test_decisions_never_run_out():
    decisions = Decisions(b"")
    assert (decisions.below(9), decisions.text(), decisions.whole(), decisions.rest()) == (0, "", 0, b"")
