"""Where inputs of a Ray stage lie between the driver, which makes them, and workers, which ask for them."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

__all__ = ["RayDesk", "Turn"]


class Turn(NamedTuple):
    """An input that is handed out.

    Attributes
    ----------
    reference : sequence of one ObjectRef
        To the input. In a list, since Ray would fetch a bare reference at once.
    n_takes : int
        How often it was handed out, this time included.
    """

    reference: list[Any]
    n_takes: int


class RayDesk:
    """Inputs by their number, from 0; an actor, whose methods run one at a time between their awaits."""

    def __init__(self) -> None:
        self._inputs: dict[int, list[Any]] = {}
        self._n_takes: dict[int, int] = {}
        self._n_put = 0
        self._is_closed = False
        self._is_stopped = False
        self._workers: dict[str, Any] | None = {}
        self._news = asyncio.Condition()

    async def enrol(self, name: str, handle: list[Any]) -> None:
        """Note the handle with which a worker can be ended; RuntimeError where all have been dismissed."""
        if self._workers is None:
            raise RuntimeError("the stage is over")
        self._workers[name] = handle

    async def dismiss(self) -> list[Any]:
        """Return the handles of all workers, and let nobody come after them."""
        workers, self._workers = self._workers or {}, None
        return [each for handle in workers.values() for each in handle]

    async def put(self, number: int, reference: list[Any]) -> None:
        """Lay down an input."""
        self._inputs[number] = reference
        self._n_put = max(self._n_put, number + 1)
        await self._tell()

    async def forget(self, number: int) -> None:
        """Let go of an input that is done."""
        self._inputs.pop(number, None)
        self._n_takes.pop(number, None)

    async def stop(self) -> None:
        """Hand out nothing more, and tell all that listen."""
        self._is_stopped = True
        await self._tell()

    async def close(self) -> None:
        """Say that no input will follow."""
        self._is_closed = True
        await self._tell()

    async def comes(self, number: int) -> bool:
        """Wait until an input is there, or can no longer come."""
        async with self._news:
            await self._news.wait_for(lambda: number < self._n_put or self._is_closed)
        return number < self._n_put

    async def take(self, number: int) -> Turn | None:
        """Hand out an input; None where it is done already, or where all is stopped."""
        if number >= self._n_put:  # calls may overtake each other
            await self.comes(number)
        if self._is_stopped or number not in self._inputs:
            return None
        self._n_takes[number] = self._n_takes.get(number, 0) + 1
        return Turn(self._inputs[number], self._n_takes[number])

    async def hears_stop(self) -> None:
        """Wait until all is stopped."""
        async with self._news:
            await self._news.wait_for(lambda: self._is_stopped)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
