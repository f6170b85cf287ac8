"""The toy world proper: 57 procedural tasks in six families, with answers of one to eight tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .arithmetic_tasks import ARITHMETIC_TASKS
from .classification_tasks import CLASSIFICATION_TASKS
from .formats_tasks import FORMATS_TASKS
from .lookup_tasks import LOOKUP_TASKS
from .sequence_tasks import SEQUENCE_TASKS
from .string_tasks import STRING_TASKS

if TYPE_CHECKING:
    from .task import ToyTask

TOY_TASKS: tuple[ToyTask, ...] = (
    *STRING_TASKS,
    *ARITHMETIC_TASKS,
    *LOOKUP_TASKS,
    *FORMATS_TASKS,
    *SEQUENCE_TASKS,
    *CLASSIFICATION_TASKS,
)
