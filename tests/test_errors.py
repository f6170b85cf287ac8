from __future__ import annotations

import copy
import pickle

import pytest

from tasksel_core import errors

BUILTINS = {
    "AnnotationError": ValueError,
    "ArrayError": ValueError,
    "BudgetError": ValueError,
    "ConfigError": ValueError,
    "MissingExtraError": ImportError,
    "ProviderError": RuntimeError,
    "ResumeError": RuntimeError,
    "SchemaError": ValueError,
    "TaskselError": Exception,
    "UnknownStrategyError": LookupError,
}


def make(name):
    arguments = ("Scoring with a model", "hf") if name == "MissingExtraError" else ("column 'id' is List",)
    return getattr(errors, name)(*arguments)


def test_the_table_above_is_the_whole_tree():
    in_module = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, Exception)
    }
    assert in_module == set(errors.__all__) == set(BUILTINS)


@pytest.mark.parametrize("name", BUILTINS)
def test_every_error_is_caught_by_the_root_and_by_its_builtin(name):
    for caught_as in (errors.TaskselError, BUILTINS[name]):
        with pytest.raises(caught_as):
            raise make(name)


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_message_and_attributes(name, protocol):
    error = make(name)
    error.row = 7  # an attribute set later must travel too
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


@pytest.mark.parametrize("name", BUILTINS)
def test_every_error_can_be_copied(name):
    assert str(copy.copy(make(name))) == str(make(name))


def test_a_missing_extra_names_the_pip_command():
    error = errors.MissingExtraError("Scoring with a model", "hf")
    assert str(error) == 'Scoring with a model needs an optional dependency: pip install "tasksel[hf]"'
    assert (error.feature, error.extra) == ("Scoring with a model", "hf")


@pytest.mark.parametrize("name", BUILTINS)
def test_the_message_is_what_was_written_without_quotes(name):
    """KeyError shows the repr of its text; nothing in the tree may inherit from it."""
    error = make(name)
    assert not isinstance(error, KeyError)
    assert str(error) == error.args[0]
