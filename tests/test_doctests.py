from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import tasksel
import tasksel_core

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_names():
    for package in (tasksel, tasksel_core):
        yield package.__name__
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not each.name.endswith("__main__"):
                yield each.name


def compiled_tests(module):
    """Find the examples of compiled functions, which doctest's own finder passes over."""
    parser = doctest.DocTestParser()
    for name, each in vars(module).items():
        if inspect.isbuiltin(each) and each.__doc__:
            yield parser.get_doctest(each.__doc__, {}, f"{module.__name__}.{name}", None, None)


@pytest.mark.parametrize("name", sorted(module_names()))
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said = []
    for test in [*doctest.DocTestFinder(exclude_empty=True).find(module, name), *compiled_tests(module)]:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_every_kernel_shows_an_example():
    for name in tasksel_core.__all__:
        kernel = getattr(tasksel_core, name)
        if callable(kernel):
            assert ">>>" in (kernel.__doc__ or ""), f"tasksel_core.{name} has no example"
