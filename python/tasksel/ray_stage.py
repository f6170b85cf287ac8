"""A stage of Ray Data that is fed while it runs: inputs are made when there is room for them.

Ray Data streams numbers through a pool of actors, and each actor fetches the input of its number from the
object store. So a stage over millions of inputs holds a few of them at a time, loads its models once, and has
from Ray Data what that is good at: a pool that fills free machines, moves on when one of them is lost, and
repeats what was under way there.
"""

from __future__ import annotations

import contextlib
import itertools
import pickle
import queue
import threading
from typing import TYPE_CHECKING, Any, Final

from tasksel.ray_actor import NUMBER, REPLY, Reply, StageActor
from tasksel.ray_cluster import connect
from tasksel.ray_desk import RayDesk
from tasksel_core.errors import TaskselError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tasksel.ray_actor import Handler
    from tasksel.ray_cluster import RayCluster

__all__ = ["RayStage", "open_stage"]

_UNDER_WAY_EACH: Final = 2
"""Inputs of a worker: one that it works on and one that waits, so that it need not."""
_LISTEN_S: Final = 0.1
"""Waits are short: polars restarts system calls after Ctrl-C, so that one without end never hears of it."""
_CLOSE_S: Final = 10.0
"""How long workers may take to finish what is under way when a stage is left; then they are ended in it."""
_GO_S: Final = 5.0
"""How long those that have finished may take to end by themselves; then they are ended, too."""


class _WorkerTracebackError(Exception):
    """The cause of an error that a worker raised: its text says where."""

    def __init__(self, text: str) -> None:
        super().__init__("\n" + text)


def open_stage(
    open_handler: Callable[[], Handler],
    *,
    address: str | None = None,
    n_workers: int | None = None,
    needs_gpu: bool = True,
) -> RayStage:
    """Connect to a cluster and open a stage there; closing the stage disconnects.

    Parameters
    ----------
    open_handler : callable
        Opens a `Handler` in a worker process, at its first input.
    address, n_workers, needs_gpu
        As for `connect`; errors as there.
    """
    cluster = connect(address, n_workers, needs_gpu=needs_gpu)
    try:
        return RayStage(cluster, open_handler)
    except BaseException:
        cluster.close()
        raise


class RayStage:
    """A pool of handlers on a cluster.

    Parameters
    ----------
    cluster : RayCluster
        Connected, and closed with the stage.
    open_handler : callable
        Opens a `Handler` in a worker process, at its first input.
    """

    def __init__(self, cluster: RayCluster, open_handler: Callable[[], Handler]) -> None:
        import ray
        from ray import cloudpickle
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._cluster = cluster
        self._news: queue.SimpleQueue[tuple[int, bytes] | BaseException] = queue.SimpleQueue()
        self._under_way: dict[int, Any] = {}
        self._numbers = itertools.count()
        self._is_stopped = False
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._desk: Any = (
            ray.remote(RayDesk).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here).remote()
        )
        dataset = self._dataset(cloudpickle.dumps(open_handler))
        self._thread = threading.Thread(
            target=self._consume, args=(dataset,), name="tasksel-ray", daemon=True
        )
        self._thread.start()

    @property
    def n_workers(self) -> int:
        """How many workers there are to be at a time."""
        return self._cluster.shape.n_workers

    def submit(self, value: Any) -> int:
        """Give an input to the workers and return its number."""
        import ray

        number = next(self._numbers)
        self._under_way[number] = ray.put(value)
        self._desk.put.remote(number, [self._under_way[number]])
        return number

    def next_reply(self) -> tuple[int, Reply] | None:
        """Wait a moment for a reply.

        Raises
        ------
        Exception
            What a handler raised.
        TaskselError
            Ray itself failed.
        """
        try:
            news = self._news.get(timeout=_LISTEN_S)
        except queue.Empty:
            return None
        if isinstance(news, BaseException):
            raise TaskselError(f"Ray ended the work: {_last_line(news)}") from news
        number, content = news
        self._under_way.pop(number, None)
        self._desk.forget.remote(number)
        reply: Reply = pickle.loads(content)  # noqa: S301 - from our own worker
        if reply.error is not None:
            raise pickle.loads(reply.error) from _WorkerTracebackError(reply.traceback_text)  # noqa: S301 - as above
        return number, reply

    def map(
        self, values: Iterable[Any], stopped: threading.Event | None = None
    ) -> Generator[tuple[int, Any], None, None]:
        """Have inputs worked on.

        Parameters
        ----------
        values : iterable
            Taken one by one when there is room.
        stopped : threading.Event, optional
            Once set, workers finish soon with what they have, and the stage is over.

        Yields
        ------
        place : int
            Of the input among `values`.
        result : object
            Of its handler; in the order in which they finish.
        """
        places: dict[int, int] = {}
        rest = enumerate(values)
        is_over = False
        while True:
            if stopped is not None and stopped.is_set():
                self.stop()
            while not is_over and not self._is_stopped and self._has_room():
                place, value = next(rest, (None, None))
                if place is None:
                    is_over = True
                else:
                    places[self.submit(value)] = place
            if not places:
                return
            found = self.next_reply()
            if found is not None:
                place = places.pop(found[0], None)
                if place is not None and not found[1].is_skipped:
                    yield place, found[1].result

    def stop(self) -> None:
        """Tell the workers to finish soon; what is not begun stays so."""
        if not self._is_stopped:
            self._is_stopped = True
            self._desk.stop.remote()

    def close(self) -> None:
        """Let the workers go, and disconnect; may be called twice."""
        try:
            if self._desk is not None:
                self._leave()
        finally:
            self._cluster.close()

    def _leave(self) -> None:
        import ray

        if self._under_way:
            self.stop()
        self._desk.close.remote()
        self._thread.join(_CLOSE_S)
        with contextlib.suppress(ray.exceptions.RayError):
            self._end_workers()
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._desk)
        self._desk = None
        self._under_way.clear()

    def _end_workers(self) -> None:
        """End the workers now: Ray Data lets go of them with its last reference, which may be in a traceback.

        Until then they would hold their GPUs, and the next stage on the same cluster would wait for them.
        """
        import ray

        workers = ray.get(self._desk.dismiss.remote(), timeout=_GO_S)
        if workers and not self._thread.is_alive():
            ray.wait(
                [each.__ray_terminate__.remote() for each in workers],
                num_returns=len(workers),
                timeout=_GO_S,
            )
        for each in workers:
            ray.kill(each)

    def _has_room(self) -> bool:
        return len(self._under_way) < _UNDER_WAY_EACH * self.n_workers

    def _dataset(self, open_handler: bytes) -> Any:
        import ray.data

        shape, desk = self._cluster.shape, self._desk
        # A read that never ends but for the desk; without a processor, or Ray would fuse it with the pool.
        numbers = ray.data.from_items([0], override_num_blocks=1).map_batches(
            _numbers, fn_args=(desk,), batch_size=1, batch_format="pyarrow", num_cpus=0
        )
        dataset = numbers.map_batches(
            StageActor,
            fn_constructor_args=(desk, open_handler),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=shape.cpus,
            num_gpus=shape.gpus,
            compute=ray.data.ActorPoolStrategy(
                size=shape.n_workers, max_tasks_in_flight_per_actor=_UNDER_WAY_EACH
            ),
        )
        context = dataset.context
        context.target_max_block_size = 1  # every number and every reply is a block, given on at once
        context.enable_progress_bars = False
        if hasattr(context, "execution_no_progress_timeout_s"):
            context.execution_no_progress_timeout_s = -1  # one input may take longer than half an hour
        return dataset

    def _consume(self, dataset: Any) -> None:
        try:
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for number, content in zip(table[NUMBER].to_pylist(), table[REPLY].to_pylist(), strict=True):
                    self._news.put((number, content))
            self._news.put(RuntimeError("its stage is over"))  # read only where something is still under way
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._news.put(error)


def _numbers(_: Any, desk: Any) -> Iterator[Any]:
    """Yield a table of one number for each input, as they come; runs in a task of Ray."""
    import pyarrow as pa
    import ray

    for number in itertools.count():
        if not ray.get(desk.comes.remote(number)):
            return
        yield pa.table({NUMBER: [number]})


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
