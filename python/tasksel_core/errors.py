"""Every error that tasksel raises on purpose: one tree, each also an instance of the matching builtin."""

__all__ = [
    "AnnotationError",
    "ArrayError",
    "BudgetError",
    "ConfigError",
    "MissingExtraError",
    "ProviderError",
    "ResumeError",
    "SchemaError",
    "TaskselError",
    "UnknownStrategyError",
]


class TaskselError(Exception):
    """Base of all errors that tasksel raises on purpose; its text is one readable paragraph."""


class ArrayError(TaskselError, ValueError):
    """An array passed to a kernel has the wrong shape, dtype or a value that it cannot take."""


class BudgetError(TaskselError, ValueError):
    """A budget, base or count is negative, not finite or otherwise out of range."""


class ConfigError(TaskselError, ValueError):
    """A setting is not one of those allowed, or settings contradict each other."""


class SchemaError(TaskselError, ValueError):
    """A file or frame lacks a column, has a wrong type, repeats ids or cannot be parsed."""


class UnknownStrategyError(TaskselError, LookupError):
    """No strategy has that name; the message lists those that exist."""


class MissingExtraError(TaskselError, ImportError):
    """An optional dependency is not installed.

    Parameters
    ----------
    feature : str
        What needs the dependency, as the start of a sentence.
    extra : str
        The extra of tasksel that brings it.

    Examples
    --------
    >>> print(MissingExtraError("Scoring with a model", "hf"))
    Scoring with a model needs an optional dependency: pip install "tasksel[hf]"
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs an optional dependency: pip install "tasksel[{extra}]"')
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str], dict[str, object]]:
        """Pickle by the two parts, since the message is made from them; notes and the like come along."""
        return (type(self), (self.feature, self.extra), self.__dict__)


class ResumeError(TaskselError, RuntimeError):
    """A run folder cannot be continued: its model, settings or pool differ, or it is in use."""


class AnnotationError(TaskselError, ValueError):
    """An annotation file or service returned something that cannot be joined to the selection."""


class ProviderError(TaskselError, RuntimeError):
    """A model provider failed in a way that retrying does not mend."""
