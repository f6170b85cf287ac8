"""Replies of a judge as they came: on disk before anybody reads them, and asked for once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tasksel.interruption import wait_for
from tasksel.reply_journal import ReplyJournal, request_key
from tasksel.run_folder import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tasksel.endpoint import Endpoint, Reply

__all__ = ["ask_all", "request_key"]


def ask_all(
    bodies: Sequence[Mapping[str, Any]], endpoint: Endpoint, path: Path, *, concurrency: int
) -> dict[str, Reply]:
    """Ask what has no reply yet; the first failure ends it, and what was answered stays.

    Parameters
    ----------
    bodies : sequence of mapping
        Requests to ``chat/completions``; equal ones are asked once.
    endpoint : Endpoint
        Where they go.
    path : Path
        JSON lines of what was answered; the folder is made. Every reply is flushed to the disk at once.
    concurrency : int
        Requests at a time.

    Returns
    -------
    dict of str to Reply
        By `request_key`; what other calls left in the file is among them.

    Raises
    ------
    ProviderError
        The endpoint failed for good.
    """
    make_folder(path.parent)
    with ReplyJournal(path) as journal, ThreadPoolExecutor(max(1, concurrency)) as pool:
        wanted = {key: body for body in bodies if (key := request_key(body)) not in journal.entries}
        stopped = threading.Event()

        def ask(key: str, body: Mapping[str, Any]) -> None:
            journal.append(key, endpoint.post("chat/completions", body, stopped=stopped))

        futures = [pool.submit(ask, key, body) for key, body in wanted.items()]
        try:
            wait_for(futures, or_an_error=True)
            for future in futures:
                if future.done():
                    future.result()
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    return {key: entry.reply for key, entry in journal.entries.items()}
