from __future__ import annotations

import doctest
import inspect

import pytest

import tasksel_core


def kernels():
    return sorted(name for name in tasksel_core.__all__ if callable(getattr(tasksel_core, name)))


@pytest.mark.parametrize("name", kernels())
def test_the_examples_run(name):
    examples = doctest.DocTestParser().get_doctest(getattr(tasksel_core, name).__doc__, {}, name, None, 0)
    assert examples.examples, f"{name} shows no example"
    assert doctest.DocTestRunner().run(examples).failed == 0


@pytest.mark.parametrize("name", kernels())
def test_every_parameter_is_described(name):
    kernel = getattr(tasksel_core, name)
    for parameter in inspect.signature(kernel).parameters:
        assert f"\n{parameter} : " in kernel.__doc__
    assert "\nReturns\n" in kernel.__doc__
    assert "\nRaises\n" in kernel.__doc__
