from __future__ import annotations

import doctest
import importlib
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


@pytest.mark.parametrize("name", sorted(module_names()))
def test_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said = []
    for test in doctest.DocTestFinder().find(module, name):
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_every_kernel_shows_an_example():
    for name in tasksel_core.__all__:
        kernel = getattr(tasksel_core, name)
        if callable(kernel):
            assert ">>>" in (kernel.__doc__ or ""), f"tasksel_core.{name} has no example"
