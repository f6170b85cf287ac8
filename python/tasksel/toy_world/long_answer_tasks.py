"""The long-answer world: 44 procedural tasks whose answers have from three to four hundred tokens.

How long an answer is depends on its task far more than on its input. The probability of a whole answer, a
product over its tokens, is then nearly a measure of length: on one scale stand answers of probability one
half and others that float32 calls zero. The inputs of a family look alike, so that only the instruction
tells its tasks apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .counting_tasks import COUNTING_TASKS
from .lists_tasks import LISTS_TASKS
from .records_tasks import RECORDS_TASKS
from .series_tasks import SERIES_TASKS
from .spelling_tasks import SPELLING_TASKS

if TYPE_CHECKING:
    from .task import ToyTask

LONG_ANSWER_TASKS: tuple[ToyTask, ...] = (
    *LISTS_TASKS,
    *COUNTING_TASKS,
    *SPELLING_TASKS,
    *RECORDS_TASKS,
    *SERIES_TASKS,
)
