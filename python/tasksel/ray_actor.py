"""What runs in a worker process of a Ray stage: a handler, opened once, gets one input after the other."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from tasksel.ray_desk import Turn

__all__ = ["NUMBER", "REPLY", "Handler", "Reply", "StageActor"]

NUMBER: Final = "number"
REPLY: Final = "reply"
MOST_TAKES: Final = 5
"""How often an input is tried that kills the process which works on it."""


class Handler(Protocol):
    """Does the work of a stage in one process."""

    def __call__(self, value: Any, stopped: threading.Event, /) -> Any:
        """Make of an input what can be pickled; soon, with what there is, once `stopped` is set."""

    def close(self) -> None:
        """Let go of everything."""


class Reply(NamedTuple):
    """What became of an input.

    Attributes
    ----------
    result : object
        Of the handler.
    is_skipped : bool
        Whether nobody worked on it, since all is stopped or it was done already.
    error : bytes or None
        The error that the handler raised, pickled.
    traceback_text : str
        Where it was raised.
    """

    result: Any = None
    is_skipped: bool = False
    error: bytes | None = None
    traceback_text: str = ""


class StageActor:
    """A class for `ray.data.Dataset.map_batches`: tables of one number in, tables of one reply out.

    Errors are replies, since Ray would show its own traceback of them. The handler is opened at the first
    input and not before: Ray starts an actor again that dies at its work, but not one that dies at its start.

    Parameters
    ----------
    desk : actor handle of RayDesk
        Has the inputs.
    open_handler : bytes
        What opens a handler, by cloudpickle.
    """

    def __init__(self, desk: Any, open_handler: bytes) -> None:
        import ray

        self._desk = desk
        self._open_handler = open_handler
        self._handler: Handler | None = None
        self._stopped = threading.Event()
        here = ray.get_runtime_context()
        # One that finds room when its stage is over already fails here, and Ray does not start it again.
        ray.get(desk.enrol.remote(here.get_actor_id(), [here.current_actor]))
        _take_assigned_cpus()
        threading.Thread(target=self._listen, name="tasksel-stop", daemon=True).start()

    def __call__(self, table: Any) -> Any:
        """Work on the input that the table numbers."""
        import pyarrow as pa

        number = table[NUMBER][0].as_py()
        content = pickle.dumps(self._reply(number))
        return pa.table({NUMBER: [number], REPLY: pa.array([content], pa.large_binary())})

    def __del__(self) -> None:
        """Close the handler; Ray deletes the object when its pool ends."""
        if self._handler is not None:
            with contextlib.suppress(Exception):  # the process ends anyway, and nobody reads what it says
                self._handler.close()

    def _reply(self, number: int) -> Reply:
        import ray

        turn: Turn | None = ray.get(self._desk.take.remote(number))
        if turn is None:
            return Reply(is_skipped=True)
        try:
            if turn.n_takes > MOST_TAKES:
                raise TaskselError(
                    f"A worker process died {MOST_TAKES} times at the same work. Is there too little memory? "
                    "Ray's own logs say what ended it."
                )
            if self._handler is None:
                self._handler = pickle.loads(self._open_handler)()  # noqa: S301 - made by our own driver
            return Reply(self._handler(ray.get(turn.reference[0]), self._stopped))
        except Exception as error:  # noqa: BLE001 - the driver raises it
            return Reply(error=_pickled(error), traceback_text=traceback.format_exc())

    def _listen(self) -> None:
        import ray

        with contextlib.suppress(Exception):  # the desk goes when the driver does
            ray.get(self._desk.hears_stop.remote())
        self._stopped.set()


def _take_assigned_cpus() -> None:
    """Let kernels use the processors that Ray gave to this worker, not all of the machine."""
    import ray

    cpus = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
    os.environ.setdefault("RAYON_NUM_THREADS", str(max(cpus, 1)))


def _pickled(error: Exception) -> bytes:
    """Pickle an error, or where that is not possible one that says the same."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - whatever an error's own pickling raises
        return pickle.dumps(TaskselError(f"A worker failed with {type(error).__name__}: {error}"))
    return content
